"""Advanced blending presentation states (PS3.3 A.33.7) of the real service, beside NumPy's, SciPy's and pydicom's."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import JPEGLSLossless, SecondaryCaptureImageStorage
from tests.support import dciodvfy, stow
from tests.support.advanced_states import (
    Layer,
    advanced_state,
    coloured,
    equal,
    foreground,
    item,
    reference,
    same,
    square_pixels,
    step,
)
from tests.support.blending import (
    COLUMNS,
    ROWS,
    SLICES,
    Floats,
    Mask,
    activity,
    anatomy,
    palette,
    registration,
    sampled,
)
from tests.support.generate import ct, part10, uid
from tests.support.rendered import Answered, Pixels, Site, path_of, picture_site, pixels_by_every_service

CT_WINDOW, PET_WINDOW = (40.0, 400.0), (600.0, 1200.0)
CT, PET = anatomy(), activity("pet")
ELSEWHERE = activity("elsewhere", frame="second machine")
NOWHERE = activity("nowhere", frame="third machine")
STRANGER = activity("stranger", study="blend, another", patient="ANOTHER")


def shaken() -> list[Dataset]:
    """The PET of a patient who moved: in the CT's frame of reference, but not where it belongs."""
    found = activity("shaken", frame="second machine")
    for image in found:
        image.FrameOfReferenceUID = CT[0].FrameOfReferenceUID
    return found


def calmed() -> Dataset:
    """A registration within one frame of reference, of those images alone (PS3.3 C.20.2)."""
    ds = registration(CT[0], SHAKEN[0])
    ds.SOPInstanceUID = uid("registration", "calmed")
    ds.RegistrationSequence[0].ReferencedImageSequence = [reference(each) for each in SHAKEN]
    return ds


SHAKEN = shaken()


def painting() -> list[Dataset]:
    """A map in colours on the grid of the PET: a scale that nothing may be mixed on."""
    found = []
    for number, image in enumerate(activity("painting")):
        image.SOPClassUID, image.Modality = SecondaryCaptureImageStorage, "OT"
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", number % 2
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit = 7
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "Units"):
            delattr(image, keyword)
        pixels = colours_of(number)
        image.PixelData = (np.moveaxis(pixels, 2, 0) if number % 2 else pixels).tobytes()
        found.append(image)
    return found


def colours_of(number: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (20, 14, 3), np.uint8)


PAINTING = painting()


def advanced(name: str, inputs: list[Dataset], steps: list[Dataset], **said: Any) -> Dataset:
    """A state of these inputs and steps, in the study of the CT."""
    return advanced_state(CT[0], name, inputs, steps, **said)


def anatomical(**said: Any) -> Dataset:
    """The CT as input 1, which gives the picture its geometry."""
    return item(1, CT, CT_WINDOW, GeometryForDisplay="TRUE", **said)


def of_registration(uid_: str = "") -> list[Dataset]:
    """Referenced Spatial Registration Sequence."""
    made, series, listed, study = registration(CT[0], ELSEWHERE[0]), Dataset(), Dataset(), Dataset()
    listed.ReferencedSOPClassUID, listed.ReferencedSOPInstanceUID = made.SOPClassUID, uid_ or made.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = made.SeriesInstanceUID, [listed]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = made.StudyInstanceUID, [series]
    return [study]


HOT = [("GREATER_OR_EQUAL", [700.0])]
OUTER = [("LESS_THAN", [450.0]), ("RANGE_INCL", [800.0, 1000.0])]
BONE = [("RANGE_EXCL", [-100.0, 150.0])]
LATER = {"ReferencedSpatialRegistrationSequence": of_registration()}


def annotated(ds: Dataset) -> Dataset:
    """A state with a line along the tenth row of the second image."""
    layer, note, line = Dataset(), Dataset(), Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "MARKS", 1
    line.GraphicAnnotationUnits, line.GraphicDimensions, line.NumberOfGraphicPoints = "PIXEL", 2, 2
    line.GraphicData, line.GraphicType, line.GraphicFilled = [10.0, 10.0, 25.0, 10.0], "POLYLINE", "N"
    note.ReferencedImageSequence, note.GraphicLayer, note.GraphicObjectSequence = [reference(CT[1])], "MARKS", [line]
    ds.GraphicLayerSequence, ds.GraphicAnnotationSequence = [layer], [note]
    return ds


STATES = {
    "foreground": advanced(
        "foreground", [anatomical(), item(2, PET, PET_WINDOW, colours="hotiron")],
        [step("FOREGROUND", [2, 1], None, 0.4)],
    ),
    "thresholds": advanced(
        "thresholds", [anatomical(), item(2, PET, PET_WINDOW, colours="hotiron", keep=HOT)],
        [step("FOREGROUND", [1, 2], None, 0.25)],
    ),
    "equal": advanced(
        "equal", [
            anatomical(), item(2, PET, PET_WINDOW, colours="pet", keep=OUTER),
            item(3, ELSEWHERE, PET_WINDOW, colours="winter", **LATER),
        ], [step("EQUAL", [1, 2, 3])],
    ),
    "steps": advanced(
        "steps", [
            anatomical(), item(2, PET, PET_WINDOW, colours="hotiron", keep=HOT),
            item(3, PET, (400.0, 600.0), colours="winter", keep=[("LESS_THAN", [700.0])]),
            item(4, ELSEWHERE, PET_WINDOW, **LATER),
        ], [
            step("FOREGROUND", [6, 1], None, 0.5), step("EQUAL", [2, 3], 5), step("FOREGROUND", [5, 4], 6, 0.75),
            step("EQUAL", [1, 99], 7),
        ],
    ),
    "twice": advanced(
        "twice", [anatomical(), item(2, CT, (200.0, 300.0), colours="summer", keep=BONE, whole=True)],
        [step("FOREGROUND", [2, 1], None, 0.7)],
    ),
    "pseudo": advanced("pseudo", [item(1, CT, CT_WINDOW, colours="hotiron", whole=True)], [step("EQUAL", [1])]),
    "hidden": advanced("hidden", [anatomical(keep=[("GREATER_THAN", [40.0])])], [step("EQUAL", [1])]),
    "own windows": advanced(
        "own windows", [item(1, CT, GeometryForDisplay="TRUE"), item(2, PET, colours="pet")],
        [step("FOREGROUND", [2, 1], None, 0.5)],
    ),
    "slope": advanced(
        "slope", [anatomical(), item(2, PET, PET_WINDOW, colours="hotiron", RescaleSlope="0.25",
                                     RescaleIntercept="100", RescaleType="US")],
        [step("FOREGROUND", [2, 1], None, 0.4)],
    ),
    "painted": advanced(
        "painted", [anatomical(), item(2, PAINTING)], [step("FOREGROUND", [2, 1], None, 0.6)],
    ),
    "onto colours": advanced(
        "onto colours", [item(1, PAINTING, GeometryForDisplay="TRUE"), item(2, PET, PET_WINDOW, keep=HOT)],
        [step("EQUAL", [1, 2])], DisplayedAreaSelectionSequence=[square_pixels()],
    ),
    "corrected": advanced(
        "corrected", [anatomical(), item(2, SHAKEN, PET_WINDOW, colours="hotiron",
                                         ReferencedSpatialRegistrationSequence=of_registration(calmed().SOPInstanceUID))],
        [step("FOREGROUND", [2, 1], None, 0.4)],
    ),
    "not corrected": advanced(
        "not corrected", [anatomical(), item(2, SHAKEN, PET_WINDOW, colours="hotiron")],
        [step("FOREGROUND", [2, 1], None, 0.4)],
    ),
    "annotated": annotated(advanced(
        "annotated", [anatomical(), item(2, PET, PET_WINDOW, colours="hotiron")],
        [step("FOREGROUND", [2, 1], None, 0.4)],
        DisplayedAreaSelectionSequence=[square_pixels(30, 3, 5, 20)], ImageRotation=90, ImageHorizontalFlip="N",
    )),
    "grey": advanced(
        "grey", [anatomical(), item(2, PET, PET_WINDOW)], [step("EQUAL", [1, 2])], PixelPresentation="MONOCHROME"
    ),
}  # fmt: skip


def of_another_study() -> Dataset:
    """A state in a study of its own, of the same patient."""
    ds = advanced("elsewhere", [anatomical()], [step("EQUAL", [1])])
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study", "afterwards"), uid("states", "afterwards")
    return ds


def of_a_stranger() -> Dataset:
    """The same, of another patient."""
    ds = of_another_study()
    ds.SOPInstanceUID, ds.SeriesInstanceUID = uid("state", "stranger"), uid("states", "stranger")
    ds.StudyInstanceUID, ds.PatientID = STRANGER[0].StudyInstanceUID, STRANGER[0].PatientID
    return ds


# -- the same pictures by others' hands


def ct_layer(
    image: Dataset, shown: tuple[float, float], colours: str = "", keep: Callable[[Floats], Mask] | None = None
) -> Layer:
    units = np.frombuffer(image.PixelData, "<u2").reshape(ROWS, COLUMNS) - 1024.0
    return coloured(units, np.ones(units.shape, bool) if keep is None else keep(units), shown, colours)


def pet_layer(
    image: Dataset, over: list[Dataset], shown: tuple[float, float], colours: str = "",
    keep: Callable[[Floats], Mask] | None = None, *, moved: bool = False, line: tuple[float, float] = (0.5, 0.0),
) -> Layer:  # fmt: skip
    stored, inside, _ = sampled(image, over, moved=moved)
    units = stored * line[0] + line[1]
    return coloured(units, inside if keep is None else inside & keep(units), shown, colours)


def painted_layer(image: Dataset) -> Layer:
    _, inside, places = sampled(image, PET)
    i, j, k = np.moveaxis(np.clip(np.floor(places + 0.5).astype(int), 0, (13, 19, 11)), -1, 0)
    return np.stack([colours_of(number) for number in range(12)])[k, j, i].astype(float), inside


def expected(name: str, image: Dataset) -> Pixels:
    below = ct_layer(image, CT_WINDOW)
    hot, outer = (lambda u: u >= 700), (lambda u: (u < 450) | ((u >= 800) & (u <= 1000)))
    pet = pet_layer(image, PET, PET_WINDOW, "hotiron")
    later = pet_layer(image, ELSEWHERE, PET_WINDOW, moved=True)
    made: dict[str, Callable[[], Layer]] = {
        "foreground": lambda: foreground(pet, below, 0.4),
        "thresholds": lambda: foreground(below, pet_layer(image, PET, PET_WINDOW, "hotiron", hot), 0.25),
        "equal": lambda: equal(
            below, pet_layer(image, PET, PET_WINDOW, "pet", outer),
            pet_layer(image, ELSEWHERE, PET_WINDOW, "winter", moved=True)),
        "steps": lambda: foreground(
            foreground(equal(pet_layer(image, PET, PET_WINDOW, "hotiron", hot),
                             pet_layer(image, PET, (400.0, 600.0), "winter", lambda u: u < 700)), later, 0.75),
            below, 0.5),
        "twice": lambda: foreground(
            ct_layer(image, (200.0, 300.0), "summer", lambda u: (u < -100) | (u > 150)), below, 0.7),
        "pseudo": lambda: ct_layer(image, CT_WINDOW, "hotiron"),
        "hidden": lambda: equal(ct_layer(image, CT_WINDOW, keep=lambda u: u > 40)),
        "slope": lambda: foreground(pet_layer(image, PET, PET_WINDOW, "hotiron", line=(0.25, 100.0)), below, 0.4),
        "corrected": lambda: foreground(pet_layer(image, SHAKEN, PET_WINDOW, "hotiron", moved=True), below, 0.4),
        "not corrected": lambda: foreground(pet_layer(image, SHAKEN, PET_WINDOW, "hotiron"), below, 0.4),
        "painted": lambda: foreground(painted_layer(image), below, 0.6),
        "grey": lambda: equal(below, pet_layer(image, PET, PET_WINDOW)),
    }  # fmt: skip
    return np.rint(made[name]()[0]).astype(np.int64)


# -- what is refused


def without(ds: Dataset, *keywords: str) -> Dataset:
    for keyword in keywords:
        delattr(ds, keyword)
    return ds


def two(name: str, over: Sequence[Dataset], **said: Any) -> Dataset:
    """What is over the CT as input 2, half and half."""
    return advanced(name, [anatomical(), item(2, over, PET_WINDOW, **said)], [step("EQUAL", [1, 2])])


def steps_of(name: str, *steps: Dataset) -> Dataset:
    return advanced(name, [anatomical(), item(2, PET, PET_WINDOW)], list(steps))


def short_palette() -> Dataset:
    ds = two("short palette", PET, colours="pet")
    item_ = ds.AdvancedBlendingSequence[1].PaletteColorLookupTableSequence[0]
    item_.BluePaletteColorLookupTableData = item_.BluePaletteColorLookupTableData[:100]
    return ds


def uneven_palette() -> Dataset:
    ds = two("uneven palette", PET, colours="pet")
    ds.AdvancedBlendingSequence[1].PaletteColorLookupTableSequence[0].RedPaletteColorLookupTableDescriptor = [64, 0, 8]
    return ds


def windows_of_their_own() -> Dataset:
    ds = two("two windows", PET)
    other = Dataset()
    other.WindowCenter, other.WindowWidth, other.ReferencedImageSequence = "1", "2", [reference(PET[3])]
    ds.AdvancedBlendingSequence[1].SoftcopyVOILUTSequence.append(other)
    return ds


def by_path() -> Dataset:
    ds = two("optical path", PET)
    ds.AdvancedBlendingSequence[1].ReferencedImageSequence[0].ReferencedOpticalPathIdentifier = "1"
    return ds


def later_phase() -> list[Dataset]:
    """The PET measured twice: two volumes in one series."""
    found = []
    for time in (0, 1):
        for number, image in enumerate(activity("phases")):
            image.SOPInstanceUID = uid("phases", time, number)
            image.AcquisitionTime, image.TemporalPositionIdentifier = f"10{time:02}00", str(time + 1)
            image.InstanceNumber = str(12 * time + number + 1)
            found.append(image)
    return found


PHASES = later_phase()
GIANT = ct("blend", 7, 1, rows=2, columns=2, patient_id="BLEND", Rows=60_000, Columns=60_000)
GIANT.PixelData = encapsulate([b"\xff\xd8\xff\xf7 and nothing else\xff\xd9"])
GIANT["PixelData"].VR = "OB"
LISTED = 20_000  # images, of which none is here
CYCLE = [step("EQUAL", [1, 5]), step("EQUAL", [6, 2], 5), step("FOREGROUND", [5, 1], 6, 0.5)]
# A state, and words of the reason.
REFUSED = {
    "no inputs": (without(two("no inputs", PET), "AdvancedBlendingSequence"), "no inputs"),
    "empty inputs": (advanced("empty inputs", [], [step("EQUAL", [1])]), "no inputs"),
    "no steps": (without(two("no steps", PET), "BlendingDisplaySequence"), "how its inputs are blended"),
    "a thousand inputs": (
        advanced("thousand", [item(each, CT) for each in range(1, 1001)], [step("EQUAL", [1])]), "1000 inputs"),
    "a thousand steps": (
        steps_of("thousand steps", step("EQUAL", [1]), *(step("EQUAL", [1], 10 + each) for each in range(1000))),
        "1001 steps"),
    "a wide step": (steps_of("wide", step("EQUAL", [1] * 5000)), "more than 64"),
    "no such input": (steps_of("no such input", step("EQUAL", [1, 3])), "no input 3"),
    "an empty step": (steps_of("empty step", step("EQUAL", [])), "step 1 does not say what it blends"),
    "a cycle": (steps_of("cycle", *CYCLE), "needs it already"),
    "its own input": (steps_of("own input", step("EQUAL", [5]), step("EQUAL", [5], 5)), "needs it already"),
    "no picture": (steps_of("no picture", step("EQUAL", [1], 5)), "no more, has no"),
    "two pictures": (steps_of("two pictures", step("EQUAL", [1]), step("EQUAL", [2])), "no more, has no"),
    "two of one number": (
        advanced("twins", [anatomical(), item(1, PET)], [step("EQUAL", [1])]), "a Blending Input Number of its own"),
    "a result of an input's number": (
        steps_of("taken", step("EQUAL", [2]), step("EQUAL", [1], 2)), "have one Blending Input Number"),
    "an unknown mode": (steps_of("mode", step("MAXIMUM", [1, 2])), "neither EQUAL nor FOREGROUND"),
    "no opacity": (steps_of("no opacity", step("FOREGROUND", [1, 2])), "Relative Opacity from 0 to 1"),
    "too much opacity": (steps_of("opacity", step("FOREGROUND", [1, 2], None, 1.5)), "Relative Opacity from 0 to 1"),
    "an opacity that is none": (
        steps_of("nan", step("FOREGROUND", [1, 2], None, float("nan"))), "Relative Opacity from 0 to 1"),
    "three in front": (steps_of("three", step("FOREGROUND", [1, 2, 2], None, 0.5)), "it has two inputs"),
    "two geometries": (two("two geometries", PET, GeometryForDisplay="TRUE"), "more than one input"),
    "a malformed threshold": (two("threshold", PET, keep=[("RANGE_INCL", [1.0])]), "threshold of input 2"),
    "an unknown threshold": (two("threshold type", PET, keep=[("ABOUT", [1.0])]), "threshold of input 2"),
    "a short palette": (short_palette(), "palette of input 2"),
    "an uneven palette": (uneven_palette(), "palette of input 2"),
    "nowhere": (two("nowhere", NOWHERE), "input 2 cannot be blended: "),
    "another registration": (
        two("other registration", ELSEWHERE, ReferencedSpatialRegistrationSequence=of_registration("1.2.3")),
        "no Spatial Registration"),
    "a registration that is not here": (
        two("no registration", PET, ReferencedSpatialRegistrationSequence=of_registration("1.2.3")), "is not kept"),
    "stranger": (two("stranger", STRANGER), "input 2 cannot be blended: its images are of another patient"),
    "missing": (two("missing", [*PET, *activity("pet", slices=14)[12:]]), "2 of its 14 images are not kept"),
    "unknown series": (two("unknown", activity("never sent"), whole=True), "its series is not kept here"),
    "two windows": (windows_of_their_own(), "windows of their own"),
    "optical path": (by_path(), "optical path"),
    "colours by threshold": (two("colour threshold", PAINTING, keep=HOT), "thresholds and palettes are for grey"),
    "a palette on colours": (two("colour palette", PAINTING, colours="pet"), "thresholds and palettes are for grey"),
    "a table": (two("table", PET, ModalityLUTSequence=[Dataset()]), "table as Modality LUT"),
    "a time series": (two("time series", PHASES, TimeSeriesBlending="TRUE"), "one point in time"),
    "several volumes": (two("several volumes", PHASES), "2 volumes"),
    "grey that has colours": (
        advanced("false grey", [anatomical(colours="pet")], [step("EQUAL", [1])], PixelPresentation="MONOCHROME"),
        "what is blended has colours"),
    "a giant": (advanced("giant", [item(1, [GIANT], CT_WINDOW)], [step("EQUAL", [1])]), ""),
    "over a giant": (
        advanced("over giant", [item(1, [GIANT], CT_WINDOW), item(2, PET, PET_WINDOW)], [step("EQUAL", [1, 2])]),
        "million pixels"),
    "another output": (two("output", PET), "Pixel Presentation"),
}  # fmt: skip
REFUSED["another output"][0].PixelPresentation = "MIXED"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Images that are there, and every state sent by STOW-RS."""
    images = [*CT, *PET, *ELSEWHERE, *NOWHERE, *STRANGER, *PAINTING, *PHASES, *SHAKEN]
    images += [registration(CT[0], ELSEWHERE[0]), calmed()]
    folder = tmp_path_factory.mktemp("advanced")
    (folder / "giant.dcm").write_bytes(part10(GIANT, JPEGLSLossless))
    with picture_site(folder, images, [folder / "giant.dcm"]) as served:
        send(
            served,
            of_another_study(),
            of_a_stranger(),
            *crowds(),
            *STATES.values(),
            *(ds for ds, _ in REFUSED.values()),
        )
        yield served


@cache
def crowds() -> tuple[Dataset, Dataset]:
    """Many images that nobody has, as those of the picture and as others."""
    found = []
    for name, number in (("crowd below", 1), ("crowd above", 2)):
        ds = advanced(name, [anatomical(), item(2, PET, PET_WINDOW)], [step("EQUAL", [1, 2])])
        listed = [Dataset() for _ in range(LISTED)]
        for place, each in enumerate(listed):
            each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID = CT[0].SOPClassUID, f"1.2.3.{place + 1}"
        ds.AdvancedBlendingSequence[number - 1].ReferencedImageSequence = listed
        found.append(ds)
    return found[0], found[1]


def send(site: Site, *states: Dataset) -> None:
    body = posted(site, *map(part10, states))
    assert stow.stored(body) == {ds.SOPInstanceUID for ds in states}


def posted(site: Site, *files: bytes) -> bytes:
    """The answer to a request of STOW-RS."""
    connection = http.client.HTTPConnection("127.0.0.1", site.server.http_port, timeout=60)
    connection.request("POST", "/dicom-web/studies", stow.files(*files), stow.headers())
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in (200, 202, 400, 409), body[:500]
    return body


def shown(site: Site, name: str, frame: int) -> Answered:
    return site.get(f"/dicom-web{path_of(STATES[name])}/frames/{frame}/rendered")


@pytest.mark.parametrize("number", range(SLICES))
@pytest.mark.parametrize("name", ["foreground", "equal", "steps"])
def test_every_image_of_the_geometry_is_a_picture_blended_as_the_state_says(site: Site, name: str, number: int) -> None:
    assert same(shown(site, name, number + 1).pixels, expected(name, CT[number]))


@pytest.mark.parametrize("name", ["thresholds", "twice", "pseudo", "hidden", "slope", "painted", "grey"])
def test_what_an_input_says_of_itself_is_seen(site: Site, name: str) -> None:
    found = shown(site, name, 2).pixels
    assert same(found, expected(name, CT[1]))
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize("name", ["corrected", "not corrected"])
def test_a_registration_within_one_frame_of_reference_is_followed_where_it_is_named(site: Site, name: str) -> None:
    assert same(shown(site, name, 1).pixels, expected(name, CT[0]))
    assert not same(expected("corrected", CT[0]), expected("not corrected", CT[0]))


def test_area_rotation_and_annotations_are_those_of_the_state(site: Site) -> None:
    theirs, line = expected("foreground", CT[1]), np.zeros((ROWS, COLUMNS), bool)
    line[9, 10:24] = True
    near = np.zeros_like(line)
    near[8:11, 8:27] = True
    theirs, line, near = (np.rot90(each[2:20, 4:30], -1) for each in (theirs, line, near))
    found = shown(site, "annotated", 2).pixels
    other = np.where(near[..., None], theirs, found)
    assert same(other, theirs)
    assert (np.abs(found - theirs).max(-1)[line] > 30).mean() > 0.8
    unmarked = shown(site, "annotated", 1).pixels
    assert same(unmarked, np.rot90(expected("foreground", CT[0])[2:20, 4:30], -1))


# Pixel Presentation MONOCHROME is not among the values of C.11.34, but of those that volumetric states have.
@pytest.mark.parametrize("name", [each for each in STATES if each != "grey"])
def test_the_states_of_these_tests_are_valid_objects(tmp_path: Path, name: str) -> None:
    dciodvfy.need()
    place = tmp_path / "state.dcm"
    place.write_bytes(part10(STATES[name]))
    assert [line for line in dciodvfy.said_of(place, "-new").splitlines() if line.startswith("Error")] == []


def test_an_input_that_says_no_window_is_shown_as_its_images_say(site: Site) -> None:
    stored, inside, _ = sampled(CT[0], PET)
    units = np.stack([np.frombuffer(ds.PixelData, "<u2") for ds in PET]) * 0.5
    low, high = np.percentile(units, (1, 99.5))
    low = min(low, 0.0)
    grey = np.rint(np.clip((stored * 0.5 - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    over = apply_color_lut(grey, palette("pet")).astype(float), inside
    theirs = foreground(over, ct_layer(CT[0], (0.0, 2.0)), 0.5)[0]
    assert same(shown(site, "own windows", 1).pixels, np.rint(theirs).astype(np.int64))


def test_colours_give_the_geometry_as_grey_images_do(site: Site) -> None:
    units = np.frombuffer(PET[4].PixelData, "<u2").reshape(20, 14) * 0.5
    below = colours_of(4).astype(float), np.ones((20, 14), bool)
    theirs = equal(below, coloured(units, units >= 700, PET_WINDOW, ""))[0]
    assert same(shown(site, "onto colours", 5).pixels, np.rint(theirs).astype(np.int64), 1)


def test_an_image_of_the_geometry_is_shown_so_by_every_service(site: Site) -> None:
    said, theirs = STATES["steps"], expected("steps", CT[2])
    assert same(pixels_by_every_service(site, said, CT[2]), theirs)
    series = f"/dicom-web/studies/{said.StudyInstanceUID}/series/{said.SeriesInstanceUID}"
    assert site.get(f"{series}/rendered", 'multipart/related; type="image/png"').status == 200


def test_a_state_shows_images_of_another_study_of_its_patient_alone(site: Site) -> None:
    found = site.rendered(of_another_study())
    assert same(found.pixels, np.rint(ct_layer(CT[0], CT_WINDOW)[0]).astype(np.int64))
    assert site.rendered(of_a_stranger()).status == 404


def test_the_studies_page_opens_a_state_as_what_it_shows(site: Site) -> None:
    said = of_another_study()
    page = site.get(f"/parts/studies/{said.StudyInstanceUID}", "text/html")
    assert page.status == 200 and f"/instances/{said.SOPInstanceUID}/rendered" in page.text


def test_an_image_of_another_input_by_itself_is_not_what_the_state_shows(site: Site) -> None:
    answer = site.rendered(PET[0], f"?presentationUID={STATES['foreground'].SOPInstanceUID}")
    assert answer.status == 400 and "not about this image" in answer.text


def test_a_window_of_ones_own_does_not_go_together_with_a_blended_picture(site: Site) -> None:
    answer = site.rendered(CT[0], f"?presentationUID={STATES['foreground'].SOPInstanceUID}&window=40,400")
    assert 400 <= answer.status < 500 and "window" in answer.text


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_blended_is_refused_with_the_reason(site: Site, name: str) -> None:
    said, word = REFUSED[name]
    image = GIANT if "giant" in name else CT[0]
    for answer in (site.rendered(said), site.rendered(image, f"?presentationUID={said.SOPInstanceUID}")):
        assert answer.status == 406, answer.text
        assert word in answer.text


def test_a_state_that_lists_twenty_thousand_images_is_answered(site: Site) -> None:
    for said, status in zip(crowds(), (404, 406), strict=True):
        answer = site.rendered(said)
        assert answer.status == status, answer.text[:300]


@pytest.mark.parametrize("seed", range(6))
def test_a_state_with_bytes_that_are_wrong_is_drawn_or_refused(site: Site, seed: int) -> None:
    """What is broken is the part that blends: everything else is as it was, so that the archive keeps it."""
    chance = random.Random(f"advanced blending {seed}")
    for number in range(10):
        ds = deepcopy(STATES["steps"])
        ds.SOPInstanceUID = uid("state", "broken", seed, number)
        data = bytearray(part10(ds))
        begin, end = data.index(b"\x70\x00\x01\x1bSQ") + 12, data.index(b"\x70\x00\x04\x1bSQ") + 200
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(begin, end)] = chance.randrange(256)
        if stow.stored(posted(site, bytes(data))):
            answer = site.rendered(ds)
            assert answer.status == 200 or 400 <= answer.status < 500, (seed, number, answer.text[:300])


def test_a_picture_is_asked_for_again_only_when_what_it_shows_has_changed(site: Site) -> None:
    path = f"/dicom-web{path_of(STATES['foreground'])}/frames/1/rendered"
    tag = site.get(path).headers["etag"]
    assert site.get(path).headers["etag"] == tag
    assert site.get(f"/dicom-web{path_of(STATES['thresholds'])}/frames/1/rendered").headers["etag"] != tag
