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


def mammogram(instance: int, laterality: str, view: tuple[str, str], orientation: list[str]) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = view[0], "SCT", view[1]
    image = ct("mammography", 1, instance, rows=64, columns=48, patient_id="MG", Modality="MG")
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


def test_mammograms_hang_right_on_the_left_and_oblique_below(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    views = {
        "right cc": mammogram(1, "R", CRANIO_CAUDAL, ["P", "L"]),
        "left cc": mammogram(2, "L", CRANIO_CAUDAL, ["A", "R"]),
        "right mlo": mammogram(3, "R", OBLIQUE, ["P", "FL"]),
        "left mlo": mammogram(4, "L", OBLIQUE, ["A", "FR"]),
    }
    viewer = open_viewer(load(archive, tmp_path, list(views.values())), viewports=4)
    assert "vesalius.mg" in viewer.page.url
    names = {str(image.SOPInstanceUID): name for name, image in views.items()}
    assert [names[uid] for uid in shown(viewer, part("instances"))] == ["right cc", "left cc", "right mlo", "left mlo"]
