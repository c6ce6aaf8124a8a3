"""Studies of several series or views are laid out as a reader expects. The images are generated; their place counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
)

from tests.browser.conftest import Archive
from tests.support.generate import ct, part10
from tests.support.server import vesalius
from tests.support.viewer import Viewer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CRANIO_CAUDAL, OBLIQUE = ("399162004", "cranio-caudal"), ("399368009", "medio-lateral oblique")

_PLACE = """id => {
  const box = window.cornerstone.getEnabledElementByViewportId(id).viewport.element.getBoundingClientRect();
  return [Math.round(box.top / 50), box.left];
}"""


def load(archive: Archive, folder: Path, images: list[Dataset]) -> str:
    for number, image in enumerate(images):
        (folder / f"{number}.dcm").write_bytes(part10(image))
    vesalius("import", folder, data=archive.server.data)
    return f"/workstation/studies/{images[0].StudyInstanceUID}"


def shown(viewer: Viewer, what: Callable[[str], str]) -> list[str]:
    """What the viewports show, from the upper left to the lower right."""
    found = {}
    for one in viewer.viewports():
        image = viewer.values([], one["id"])["imageId"]
        box = viewer.page.evaluate(_PLACE, one["id"])
        found[tuple(box)] = what(image)
    return [found[place] for place in sorted(found)]


def part(name: str) -> Callable[[str], str]:
    return lambda image: image.partition(f"/{name}/")[2].partition("/")[0]


def mammogram(
    instance: int, laterality: str, view: tuple[str, str], orientation: list[str], study: str = "mammography"
) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = view[0], "SCT", view[1]
    image = ct(study, 1, instance, rows=64, columns=48, patient_id="MG", Modality="MG")
    image.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    image.ImageLaterality, image.ViewCodeSequence, image.PatientOrientation = laterality, [code], orientation
    image.SeriesDescription = "Screening"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(image, keyword)
    return image


def test_series_of_an_mr_stand_side_by_side(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    images = [
        ct("brain", series, instance, rows=64, columns=64, patient_id="MR", Modality="MR", SOPClassUID=MRImageStorage)
        for series in range(1, 5)
        for instance in range(1, 4)
    ]
    viewer = open_viewer(load(archive, tmp_path, images), viewports=4)
    assert len(viewer.viewports()) == 4
    assert len(set(shown(viewer, part("series")))) == 4


def test_two_radiographs_stand_side_by_side(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    images = [ct("chest", 1, instance, rows=64, columns=64, patient_id="DX", Modality="DX") for instance in (1, 2)]
    for image in images:
        image.SOPClassUID = DigitalXRayImageStorageForPresentation
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
            delattr(image, keyword)
    viewer = open_viewer(load(archive, tmp_path, images), viewports=2)
    assert sorted(shown(viewer, part("instances"))) == sorted(image.SOPInstanceUID for image in images)


def screening(study: str) -> dict[str, Dataset]:
    """The four views of a screening, by what they show."""
    return {
        "right cc": mammogram(1, "R", CRANIO_CAUDAL, ["P", "L"], study),
        "left cc": mammogram(2, "L", CRANIO_CAUDAL, ["A", "R"], study),
        "right mlo": mammogram(3, "R", OBLIQUE, ["P", "FL"], study),
        "left mlo": mammogram(4, "L", OBLIQUE, ["A", "FR"], study),
    }


def test_mammograms_hang_right_on_the_left_and_oblique_below(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    views = screening("mammography")
    viewer = open_viewer(load(archive, tmp_path, list(views.values())), viewports=4)
    assert "vesalius.mg" in viewer.page.url
    names = {str(image.SOPInstanceUID): name for name, image in views.items()}
    assert [names[uid] for uid in shown(viewer, part("instances"))] == ["right cc", "left cc", "right mlo", "left mlo"]


def test_mammograms_of_before_hang_below_or_beside_those_of_now_view_by_view(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    now, before = screening("mammography, now"), screening("mammography, before")
    for image in before.values():
        image.StudyDate = "20220131"
    address = load(archive, tmp_path, [*now.values(), *before.values()])
    viewer = open_viewer(f"{address}?prior={before['left cc'].StudyInstanceUID}", viewports=8)
    names = {str(image.SOPInstanceUID): name for name, image in now.items()}
    names |= {str(image.SOPInstanceUID): f"{name}, before" for name, image in before.items()}
    order = ["right cc", "left cc", "right mlo", "left mlo"]
    hung = [names[uid] for uid in shown(viewer, part("instances"))]
    assert hung == [*order, *(f"{name}, before" for name in order)]


# -- real studies

SINGLE = {"CR", "DX", "MG"}
SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"  # of modality MR, and no image
_HUNG = """() => {
  const { protocol, stage } = window.services.hangingProtocolService.getActiveProtocol();
  return [protocol.id, stage.id];
}"""


def expected_layout(series: list[str]) -> tuple[str, str, str | None, int]:
    """Mode, hanging protocol, its stage and how many images are shown at least, for the modalities of the series."""
    images = [modality for modality in series if modality in SINGLE | {"CT", "MR", "PT"}]
    if {"CT", "PT"} <= set(images):
        return "tmtv", "@ohif/extension-tmtv.hangingProtocolModule.ptCT", None, 10
    if SINGLE & set(images):
        return "viewer", "vesalius.cr", "two" if len(images) > 1 else "one", min(len(images), 2)
    if "MR" in images:
        count = 4 if len(images) > 2 else len(images)
        return "viewer", "vesalius.mr", {1: "one", 2: "two", 4: "four"}[count], min(count, len(images))
    return "viewer", "vesalius.ct", "one", 1


def real_studies(archive: Archive, modalities: set[str]) -> list[tuple[str, str, str]]:
    """UID, patient and date of the studies of the shared data that hold images of these modalities."""
    found = []
    for study in archive.query("/studies", limit="1000", includefield="00080061,00080062"):
        uid, held, classes = (study.get(tag, {}).get("Value", [""]) for tag in ("0020000D", "00080061", "00080062"))
        if set(held) & modalities and "SM" not in held and set(classes) != {SPECTROSCOPY} and uid[0][:5] != "2.25.":
            patient, date = (study.get(tag, {}).get("Value", [""])[0] for tag in ("00100020", "00080020"))
            found.append((uid[0], patient, date))
    return found


@pytest.mark.timeout(900)
def test_every_real_study_of_ct_mr_pet_mammography_and_cr_has_its_layout(
    open_viewer: Callable[..., Viewer], archive: Archive
) -> None:
    seen: dict[str, int] = {}
    viewer = None
    for uid, _, _ in real_studies(archive, SINGLE | {"CT", "MR"}):
        answered = archive.query(f"/studies/{uid}/series", limit="100")
        series = [value for each in answered for value in each.get("00080060", {}).get("Value", [])]
        if not set(series) & (SINGLE | {"CT", "MR"}):
            continue
        mode, protocol, stage, count = expected_layout(series)
        address = f"/workstation/studies/{uid}"
        if viewer is None:
            viewer = open_viewer(address, viewports=count)
        else:
            viewer.open(address, viewports=count)
        assert f"/viewer/{mode}?" in viewer.page.url, (uid, series)
        hung = viewer.evaluate(_HUNG)
        assert hung[0] == protocol, (uid, series, hung)
        assert stage is None or hung[1] == stage, (uid, series, hung)
        for pane in range(count):
            viewer.assert_drawn(pane, least=0.002)
        seen[protocol] = seen.get(protocol, 0) + 1
    assert len(seen) == 4 and sum(seen.values()) >= 20, seen


@pytest.mark.timeout(600)
def test_every_real_study_with_an_earlier_one_of_its_patient_opens_beside_it(
    open_viewer: Callable[..., Viewer], archive: Archive
) -> None:
    patients: dict[str, list[tuple[str, str]]] = {}
    for uid, patient, date in real_studies(archive, {"CT", "MR"}):
        if patient:
            patients.setdefault(patient, []).append((date, uid))
    compared = 0
    for studies in patients.values():
        if len(studies) > 1:
            (_, before), (_, now) = sorted(studies)[-2:]
            viewer = open_viewer(f"/workstation/studies/{now}?prior={before}", viewports=2)
            found = [part("studies")(viewer.values([], one["id"])["imageId"]) for one in viewer.viewports()]
            assert set(found) == {now, before}
            compared += 1
    assert compared >= 2
