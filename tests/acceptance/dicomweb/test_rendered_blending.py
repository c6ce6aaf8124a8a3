"""Blending presentation states (PS3.3 A.33.4) of the real service, and the same picture made by SciPy and pydicom."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, JPEGLSLossless
from tests.support.blending import (
    COLUMNS,
    ROWS,
    SLICES,
    activity,
    anatomy,
    palette,
    referenced,
    registration,
    same,
    sampled,
    window,
)
from tests.support.generate import ct, part10, uid
from tests.support.rendered import Pixels, Site, path_of, picture_site, pixels_by_every_service, state

BLENDING, VOLUMETRIC = "1.2.840.10008.5.1.4.1.1.11.4", "1.2.840.10008.5.1.4.1.1.11.6"
OPACITY = 0.4
CT_WINDOW, PET_WINDOW = (40.0, 400.0), (600.0, 1200.0)
CT, PET = anatomy(), activity("pet")
ELSEWHERE = activity("elsewhere", frame="second machine")
NOWHERE = activity("nowhere", frame="third machine")
STRANGER = activity("stranger", study="blend, another", patient="ANOTHER")


def image_set(position: str, images: list[Dataset], window: tuple[float, float], **said: object) -> Dataset:
    item, voi = Dataset(), Dataset()
    item.BlendingPosition, item.StudyInstanceUID = position, images[0].StudyInstanceUID
    item.ReferencedSeriesSequence = [referenced(images)]
    voi.WindowCenter, voi.WindowWidth = (str(each) for each in window)
    item.SoftcopyVOILUTSequence = [voi]
    for keyword, value in said.items():
        setattr(item, keyword, value)
    return item


def blending(name: str, over: list[Dataset], **said: object) -> Dataset:
    """CT below, in the colours of hot iron what `over` is; `said` of the set on top."""
    ds = state(CT[0], BLENDING, name)
    for keyword in ("ReferencedSeriesSequence", "DisplayedAreaSelectionSequence"):
        delattr(ds, keyword)
    ds.BlendingSequence = [
        image_set("UNDERLYING", CT, CT_WINDOW),
        image_set("SUPERIMPOSED", over, PET_WINDOW, **said),
    ]
    ds.RelativeOpacity = OPACITY
    colours = palette()
    for colour in ("Red", "Green", "Blue"):
        for what in ("Descriptor", "Data"):
            keyword = f"{colour}PaletteColorLookupTable{what}"
            setattr(ds, keyword, getattr(colours, keyword))
    return ds


def named() -> Dataset:
    """A state that names the registration by which the sets lie to each other."""
    ds = blending("named", ELSEWHERE)
    made, series, item = registration(CT[0], ELSEWHERE[0]), Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = made.SeriesInstanceUID, [item]
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = made.StudyInstanceUID, [series]
    ds.ReferencedSpatialRegistrationSequence = [study]
    return ds


def of_another_registration() -> Dataset:
    ds = named()
    ds.SOPInstanceUID = uid("state", "other registration")
    item = ds.ReferencedSpatialRegistrationSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    item.ReferencedSOPInstanceUID = "1.2.3.4"
    return ds


def over_a_giant() -> tuple[Dataset, Dataset]:
    """An image that claims billions of pixels, and a state that wants something over it."""
    giant = ct("blend", 7, 1, rows=2, columns=2, patient_id="BLEND", Rows=60_000, Columns=60_000)
    giant.PixelData = encapsulate([b"\xff\xd8\xff\xf7 and nothing else\xff\xd9"])
    giant["PixelData"].VR = "OB"
    said = blending("giant", PET)
    said.BlendingSequence[0].ReferencedSeriesSequence = [referenced([giant])]
    return giant, said


def volumetric() -> Dataset:
    ds = state(CT[0], VOLUMETRIC, "volumetric")
    del ds.ReferencedSeriesSequence
    return ds


def half() -> Dataset:
    ds = blending("half", PET)
    del ds.BlendingSequence[1]
    return ds


STATES = {
    "plain": blending("plain", PET),
    "registered": blending("registered", ELSEWHERE),
    "named": named(),
    "slope": blending("slope", PET, RescaleSlope="0.25", RescaleIntercept="100", RescaleType="US"),
}
# What is not drawn, and a word of the reason.
REFUSED = {
    "another registration": (of_another_registration(), "no Spatial Registration"),
    "nowhere": (blending("nowhere", NOWHERE), "Frame of Reference"),
    "stranger": (blending("stranger", STRANGER), "another patient"),
    "missing": (blending("missing", [*PET, *activity("pet", slices=14)[12:]]), "2 of 14"),
    "two series": (blending("two", PET, ReferencedSeriesSequence=[referenced(PET), referenced(CT)]), "one series"),
    "table": (blending("table", PET, ModalityLUTSequence=[Dataset()]), "Modality LUT"),
    "half": (half(), "which images"),
    "volumetric": (volumetric(), "not drawn"),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("blending")
    giant, over_it = over_a_giant()
    (folder / "giant.dcm").write_bytes(part10(giant, JPEGLSLossless))
    made = [*CT, *PET, *ELSEWHERE, *NOWHERE, *STRANGER, registration(CT[0], ELSEWHERE[0]), over_it, *STATES.values()]
    made += [ds for ds, _ in REFUSED.values()]
    with picture_site(folder, made, [folder / "giant.dcm"]) as served:
        yield served


def expected(image: Dataset, over: list[Dataset], *, moved: bool, slope: float = 0.5, intercept: float = 0.0) -> Pixels:
    """The picture by others' hands: SciPy between the voxels, pydicom's palette, the formulas of the standard."""
    stored, inside, _ = sampled(image, over, moved=moved)
    assert 0.3 < inside.mean() < 1.0, "the sets shall overlap in part"
    shown = window(stored * slope + intercept, *PET_WINDOW)
    colours = apply_color_lut(np.rint(shown).astype(np.uint8), palette()).astype(float)
    below = np.rint(window(np.frombuffer(image.PixelData, "<u2").reshape(ROWS, COLUMNS) - 1024.0, *CT_WINDOW))
    part = np.where(inside, OPACITY, 0.0)[..., None]
    return np.rint(below[..., None] * (1 - part) + colours * part).astype(np.int64)


@pytest.mark.parametrize("number", range(SLICES))
def test_a_frame_of_reference_puts_colours_over_grey_where_they_belong(site: Site, number: int) -> None:
    found = site.get(f"/dicom-web{path_of(STATES['plain'])}/frames/{number + 1}/rendered").pixels
    assert same(found, expected(CT[number], PET, moved=False))


@pytest.mark.parametrize("name", ["registered", "named"])
def test_a_registration_does_so_for_another_machine(site: Site, name: str) -> None:
    found = site.get(f"/dicom-web{path_of(STATES[name])}/frames/2/rendered").pixels
    assert same(found, expected(CT[1], ELSEWHERE, moved=True))
    # The same place in the body, whichever machine measured it.
    plain = site.get(f"/dicom-web{path_of(STATES['plain'])}/frames/2/rendered").pixels
    assert np.median(np.abs(found - plain)) <= 3


def test_what_the_state_says_of_the_units_is_stronger_than_what_the_images_say(site: Site) -> None:
    found = site.get(f"/dicom-web{path_of(STATES['slope'])}/frames/1/rendered").pixels
    assert same(found, expected(CT[0], PET, moved=False, slope=0.25, intercept=100.0))


def test_an_underlying_image_is_shown_so_by_every_service(site: Site) -> None:
    said = STATES["plain"]
    theirs = expected(CT[2], PET, moved=False)
    assert same(pixels_by_every_service(site, said, CT[2]), theirs)


def test_a_superimposed_image_by_itself_is_not_what_the_state_shows(site: Site) -> None:
    answer = site.rendered(PET[0], f"?presentationUID={STATES['plain'].SOPInstanceUID}")
    assert answer.status == 400 and "not about this image" in answer.text


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_drawn_is_refused_with_the_reason(site: Site, name: str) -> None:
    said, word = REFUSED[name]
    for answer in (site.rendered(said), site.rendered(CT[0], f"?presentationUID={said.SOPInstanceUID}")):
        assert answer.status == 406, answer.text
        assert word in answer.text


def test_an_image_that_claims_to_be_a_giant_costs_nothing(site: Site) -> None:
    giant, said = over_a_giant()
    for answer in (site.rendered(said), site.rendered(giant, f"?presentationUID={said.SOPInstanceUID}")):
        assert answer.status == 406 and "not blended" in answer.text


def test_a_grey_state_of_the_same_image_blends_nothing(site: Site) -> None:
    plain = state(CT[0], GrayscaleSoftcopyPresentationStateStorage, "never stored")
    assert site.rendered(CT[0], f"?presentationUID={plain.SOPInstanceUID}").status == 404
    found = site.rendered(CT[0]).pixels
    assert (np.ptp(found, axis=-1) == 0).all()
