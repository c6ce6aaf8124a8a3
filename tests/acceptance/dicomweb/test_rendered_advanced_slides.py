"""Advanced blending (PS3.3 A.33.7) of whole slide images, tile by tile, beside pydicom's pixels and NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.support.advanced_states import Layer, advanced_state, coloured, equal, foreground, item, same, step
from tests.support.data import need_shared_data
from tests.support.generate import uid
from tests.support.rendered import Site, path_of, picture_site

WINDOW = (20000.0, 40000.0)
FILES = ("sm_image.dcm", "sm_image_grayscale.dcm", "multiframe_camelyon_challenge_image.dcm")
TILES = 25


@pytest.fixture(scope="module")
def slides() -> dict[str, Dataset]:
    """Colours and grey of one slide, both as two channels of one image, another slide, and other tiles of the first."""
    place = need_shared_data() / "multiframe/wsi"
    colour, grey, other = (pydicom.dcmread(place / name) for name in FILES)
    # Its tiles are all of one value; so that places within a tile can be told, they are not here.
    grey.PixelData = np.random.default_rng(7).integers(0, 40_000, (TILES, 10, 10)).astype("<u2").tobytes()
    grey.SOPInstanceUID, grey.SeriesInstanceUID = uid("slide", "grey"), uid("slides", "grey")
    both = deepcopy(grey)
    both.SOPInstanceUID, both.SeriesInstanceUID = uid("slide", "channels"), uid("slides", "channels")
    first, second = both.OpticalPathSequence[0], deepcopy(both.OpticalPathSequence[0])
    first.OpticalPathIdentifier, second.OpticalPathIdentifier = "DAPI", "FITC"
    both.OpticalPathSequence = [first, second]
    both.NumberOfOpticalPaths, both.NumberOfFrames = 2, 2 * TILES
    stored = np.frombuffer(grey.PixelData, "<u2").reshape(TILES, 10, 10)
    both.PixelData = np.concatenate((stored, stored[::-1])).astype("<u2").tobytes()
    moved = deepcopy(grey)
    moved.SOPInstanceUID, moved.SeriesInstanceUID = uid("slide", "moved"), uid("slides", "moved")
    moved.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = "20"
    other.PatientID = colour.PatientID
    return {"colour": colour, "grey": grey, "both": both, "moved": moved, "other": other}


def channel(number: int, image: Dataset, path: str, *args: Any, **said: Any) -> Dataset:
    ds = item(number, [image], *args, **said)
    ds.ReferencedImageSequence[0].ReferencedOpticalPathIdentifier = path
    return ds


@pytest.fixture(scope="module")
def states(slides: dict[str, Dataset]) -> dict[str, Dataset]:
    colour, grey, both = slides["colour"], slides["grey"], slides["both"]
    below = {"GeometryForDisplay": "TRUE"}

    def state(name: str, inputs: Sequence[Dataset], *steps: Dataset) -> Dataset:
        return advanced_state(colour, f"slide {name}", list(inputs), list(steps))

    over = step("FOREGROUND", [2, 1], None, 0.6)
    mean = step("EQUAL", [1, 2])
    keep = [("GREATER_THAN", [15000.0])]
    return {
        "stain": state("stain", [item(1, [colour], **below), item(2, [grey], WINDOW, colours="pet", keep=keep)], over),
        "channels": state("channels", [channel(1, both, "FITC", WINDOW, colours="hotiron"),
                                       channel(2, both, "DAPI", WINDOW, colours="winter")], mean),
        "across": state("across", [item(1, [colour], **below), channel(2, both, "FITC", WINDOW)], over),
        "no such path": state("no such path", [item(1, [colour], **below), channel(2, both, "CY5", WINDOW)], over),
        "no such path below": state("no such path below", [channel(1, both, "CY5", WINDOW)], step("EQUAL", [1])),
        "which path": state("which path", [item(1, [colour], **below), item(2, [both], WINDOW)], over),
        "moved": state("moved", [item(1, [colour], **below), item(2, [slides["moved"]], WINDOW)], over),
        "other": state("other", [item(1, [colour], **below), item(2, [slides["other"]])], mean),
    }  # fmt: skip


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, slides: dict[str, Dataset], states: dict[str, Dataset]
) -> Iterator[Site]:
    made = [ds for name, ds in slides.items() if name != "other"]
    files = [need_shared_data() / "multiframe/wsi" / FILES[2]]
    with picture_site(tmp_path_factory.mktemp("slides"), [*made, *states.values()], files) as served:
        yield served


def layers(slides: dict[str, Dataset], tile: int) -> dict[str, Layer]:
    grey = np.frombuffer(slides["grey"].PixelData, "<u2").reshape(TILES, 10, 10).astype(float)
    there = np.ones((10, 10), bool)
    return {
        "colour": (slides["colour"].pixel_array[tile].astype(float), there),
        "stain": coloured(grey[tile], grey[tile] > 15000, WINDOW, "pet"),
        "DAPI": coloured(grey[tile], there, WINDOW, "winter"),
        "FITC": coloured(grey[TILES - 1 - tile], there, WINDOW, "hotiron"),
        "grey FITC": coloured(grey[TILES - 1 - tile], there, WINDOW, ""),
    }


@pytest.mark.parametrize("tile", [0, 11, 24])
def test_tiles_at_the_same_place_of_a_slide_are_blended(
    site: Site, slides: dict[str, Dataset], states: dict[str, Dataset], tile: int
) -> None:
    known = layers(slides, tile)
    assert 0.2 < known["stain"][1].mean() < 0.8
    theirs = {
        "stain": foreground(known["stain"], known["colour"], 0.6),
        "channels": equal(known["FITC"], known["DAPI"]),
        "across": foreground(known["grey FITC"], known["colour"], 0.6),
    }
    for name, layer in theirs.items():
        found = site.get(f"/dicom-web{path_of(states[name])}/frames/{tile + 1}/rendered?iccprofile=yes")
        assert same(found.pixels, np.rint(layer[0]).astype(np.int64), 1), name


def test_an_optical_path_that_gives_the_geometry_has_pictures_of_its_own_tiles_alone(
    site: Site, slides: dict[str, Dataset], states: dict[str, Dataset]
) -> None:
    said = states["channels"]
    assert site.get(f"/dicom-web{path_of(said)}/frames/26/rendered").status == 404
    asked = f"rendered?presentationUID={said.SOPInstanceUID}"
    assert site.get(f"/dicom-web{path_of(slides['both'])}/frames/3/{asked}").status == 400
    assert site.get(f"/dicom-web{path_of(slides['both'])}/frames/28/{asked}").status == 200


REFUSED = {
    "no such path": "none of its images", "no such path below": "no optical path CY5",
    "which path": "does not say which",
    "moved": "the same tiles of the same slide", "other": "another patient",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_lie_at_the_same_place_is_refused_with_the_reason(
    site: Site, states: dict[str, Dataset], name: str
) -> None:
    answer = site.rendered(states[name])
    assert answer.status == 406 and REFUSED[name] in answer.text, answer.text
