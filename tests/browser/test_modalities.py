"""Every kind of real study in the viewer: drawn, with true values where a pixel has one value, and without a fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from tests.browser.conftest import Archive
from tests.browser.test_reading import CT_HEAD, originals
from tests.support.browser import is_drawn, pixels
from tests.support.dciodvfy import faults_of
from tests.support.generate import ct, part10
from tests.support.server import vesalius
from tests.support.viewer import Viewer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PET_CT = "1.3.6.1.4.1.14519.5.2.1.7009.2403.334240657131972136850343327463"
LIVER = "1.2.392.200103.20080913.113635.0.2009.6.22.21.43.10.22941.1"
RADIOTHERAPY = "2.16.840.1.113662.2.12.0.3057.1241703565.35"
PRIOR, CURRENT = (
    "1.3.6.1.4.1.14519.5.2.1.99.1071.11697636508537348379117084474190",
    "1.3.6.1.4.1.14519.5.2.1.99.1071.14862055661191295354916571709495",
)

# Study, and what is special about it.
STACKS = {
    "mr, 35 sagittal slices": "1.3.12.2.1107.5.2.43.67060.30000022040717195958300000010",
    "mammogram": "1.2.124.1",
    "radiograph in JPEG 2000": "1.3.6.1.4.1.5962.1.2.11.20040826185059.5457",
    "digital radiograph": "1.2.826.0.1.3680043.8.498.54401662452014863547255413372440461885",
    "angiogram in lossless JPEG": "999.999.1.19941016.083000",
    "scintigram": "2.16.840.1.113662.5.8796818449476.121423489.1",
}
COLOUR = {
    "ultrasound cine with a palette in RLE": "999.999.3859744",
    "ultrasound cine in JPEG": "1.2.840.113543.6.6.1.1.4.2415947926921624359.20123533248",
    "ultrasound": "1.3.46.670589.14.1000.210.4.199999.20110525182825.1.0",
}


@pytest.mark.parametrize("study", STACKS.values(), ids=STACKS.keys())
def test_it_is_drawn_with_its_true_values(study: str, open_viewer: Callable[..., Viewer], archive: Archive) -> None:
    viewer = open_viewer(f"/workstation/studies/{study}")
    viewer.assert_drawn()
    size = viewer.values([])
    rows, columns = size["rows"], size["columns"]
    points = [(row * rows // 7, column * columns // 7) for row in range(1, 7) for column in range(1, 7)]
    shown = viewer.values(points)
    ds, frame = archive.file_of(shown["imageId"])
    assert (rows, columns) == (ds.Rows, ds.Columns)
    expected = originals(ds, frame, points)
    assert [one[0] for one in shown["values"]] == pytest.approx([one[0] for one in expected], abs=1e-3)


@pytest.mark.parametrize("study", COLOUR.values(), ids=COLOUR.keys())
def test_it_is_drawn_in_colour_and_plays(study: str, open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer(f"/workstation/studies/{study}")
    viewer.assert_drawn()
    first = viewer.viewports()[0]
    if first["images"] > 1:
        viewer.button("cine-player-play-pause").click()
        viewer.wait_for(lambda: viewer.viewports()[0]["index"] != first["index"], "moving pictures")


def test_pet_and_ct_are_fused_in_three_planes(open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer(f"/workstation/studies/{PET_CT}", viewports=10)
    assert "/viewer/tmtv?" in viewer.page.url
    volumes = viewer.evaluate(
        """() => window.cornerstone.getRenderingEngines()[0].getViewports()
             .map(viewport => viewport.getAllVolumeIds?.().length ?? 0)"""
    )
    assert sorted(volumes)[-3:] == [2, 2, 2], "three planes show CT and PET in one"
    viewer.wait_for(
        lambda: viewer.evaluate(
            "() => window.cornerstone.cache.getVolumes().every(volume => volume.loadStatus?.loaded)"
        ),
        "all of both volumes",
        120,
    )
    for pane in range(10):
        viewer.assert_drawn(pane)


def test_a_segmentation_lies_on_its_images(open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer(f"/workstation/studies/{LIVER}")
    before = viewer.pane().screenshot()
    viewer.page.get_by_text("Liver Segmentation").first.dblclick()
    viewer.page.get_by_role("button", name="Yes").click()
    viewer.wait_for(
        lambda: viewer.evaluate("() => window.services.segmentationService.getSegmentations().length"), "segmentation"
    )
    viewer.page.wait_for_timeout(500)
    assert _red(viewer.pane().screenshot()) > _red(before) + 0.05


def test_structures_of_radiotherapy_lie_on_their_images(open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer(f"/workstation/studies/{RADIOTHERAPY}")
    viewer.page.get_by_text("RT Structure Set").first.dblclick()
    viewer.page.get_by_role("button", name="Yes").click()
    found = "() => Object.keys(window.services.segmentationService.getSegmentations()[0]?.segments ?? {}).length"
    viewer.wait_for(lambda: viewer.evaluate(found) == 9, "nine structures")


def test_a_segmentation_that_is_painted_is_stored_valid_and_seen_again(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    study = STACKS["mr, 35 sagittal slices"]
    viewer = open_viewer(f"/workstation/studies/{study}?mode=segmentation")
    page = viewer.page
    viewer.button("addSegmentation").click()
    viewer.button("Brush-btn").click()
    viewer.drag((-60, 0), (0, 40), (60, 60))
    start = viewer.viewports()[0]["index"]
    page.mouse.wheel(0, 100)
    viewer.wait_for(lambda: viewer.viewports()[0]["index"] == start + 1, "the next slice")
    viewer.wait_rendered()
    viewer.drag((-60, 20), (20, -40))
    export(viewer, "DICOM SEG", "Painted by hand")
    stored = only_instance(viewer, archive, study, "SEG")
    assert stored.PatientID == "crlab"
    assert faults_of(stored, tmp_path / "segmentation.dcm") == []
    assert (stored.NumberOfFrames, stored.pixel_array.any(axis=(1, 2)).all()) == (2, True)
    frames = stored.PerFrameFunctionalGroupsSequence
    assert sorted(frame.FrameContentSequence[0].DimensionIndexValues for frame in frames) == [1, 2]
    # Each frame lies where the image lies that it was painted on, and says of what kind that is.
    for frame in frames:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        image = pydicom.dcmread(archive.files[source.ReferencedSOPInstanceUID], stop_before_pixels=True)
        assert source.ReferencedSOPClassUID == image.SOPClassUID
        assert frame.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(image.ImagePositionPatient)

    viewer.open(f"/workstation/studies/{study}")
    page.get_by_text("Painted by hand").first.dblclick()
    page.get_by_role("button", name="Yes").click()
    found = "() => window.services.segmentationService.getSegmentations().length"
    viewer.wait_for(lambda: viewer.evaluate(found), "the segmentation again")


def test_what_is_painted_becomes_valid_structures_too(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    study = STACKS["mr, 35 sagittal slices"]
    viewer = open_viewer(f"/workstation/studies/{study}?mode=segmentation")
    viewer.button("addSegmentation").click()
    viewer.button("Brush-btn").click()
    viewer.drag((-60, 0), (0, 40), (60, 60))
    export(viewer, "DICOM RTSS", "Contours of what was painted")
    stored = only_instance(viewer, archive, study, "RTSTRUCT")
    assert faults_of(stored, tmp_path / "structures.dcm") == []
    assert stored.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints > 10
    frame = stored.ReferencedFrameOfReferenceSequence[0]
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert all(image.ReferencedSOPInstanceUID in archive.files for image in series.ContourImageSequence)

    viewer.open(f"/workstation/studies/{study}")
    viewer.page.get_by_text("Contours of what was painted").first.dblclick()
    viewer.page.get_by_role("button", name="Yes").click()
    found = "() => window.services.segmentationService.getSegmentations().length"
    viewer.wait_for(lambda: viewer.evaluate(found), "the structures again")


def export(viewer: Viewer, form: str, name: str) -> None:
    """Keep the segmentation that was painted, by the menu that a reader uses."""
    viewer.button("segmentation-collapsed-more-btn-Labelmap").click()
    viewer.page.get_by_role("menuitem", name="Export").hover()
    viewer.page.get_by_role("menuitem", name=form).click()
    viewer.page.get_by_role("dialog").get_by_role("textbox").fill(name)
    viewer.page.get_by_role("button", name="Save").click()


def only_instance(viewer: Viewer, archive: Archive, study: str, modality: str) -> pydicom.Dataset:
    """The one object of this kind in a study, as soon as it is there."""
    viewer.wait_for(lambda: archive.query(f"/studies/{study}/series", Modality=modality), f"{modality} in the archive")
    series = archive.query(f"/studies/{study}/series", Modality=modality)[0]["0020000E"]["Value"][0]
    instance = archive.query(f"/studies/{study}/series/{series}/instances")[0]["00080018"]["Value"][0]
    return archive.read(f"/studies/{study}/series/{series}/instances/{instance}")


def test_a_whole_slide_is_drawn_from_its_tiles_in_its_true_colours(
    open_viewer: Callable[..., Viewer], archive: Archive
) -> None:
    viewer = open_viewer(f"/workstation/studies/{archive.slide}", viewports=0)
    assert "/viewer/microscopy?" in viewer.page.url
    tiles = viewer.page.locator(".viewport-element, .DicomMicroscopyViewer, [class*=microscopy]").first
    tiles.wait_for()
    viewer.wait_for(lambda: sum("/frames/" in url for _, url in viewer.watch.requests) >= 15, "all tiles of the slide")
    viewer.wait_for(lambda: is_drawn(viewer.page.screenshot(), 0.2), "the slide")

    # One pixel of the slide on one of the screen: both are the same, far from the small map in a corner.
    slide = pydicom.dcmread(archive.slide_file)
    tile, across = slide.Rows, -(-slide.TotalPixelMatrixColumns // slide.Columns)
    points = [(row, column) for row in range(150, 660, 17) for column in range(160, 1050, 23)]
    places = [(row // tile * across + column // tile, row % tile, column % tile) for row, column in points]
    colours = slide.pixel_array
    expected = np.array([colours[place] for place in places]).astype(int)
    assert len(np.unique(expected, axis=0)) > 200, "the points lie in the tissue, too"

    def shown() -> npt.NDArray[np.int64]:
        on_screen = viewer.page.evaluate(_ON_THE_SLIDE, points)
        picture = pixels(viewer.page.screenshot()).astype(int)
        return np.array([picture[int(y), int(x)] for x, y in on_screen])

    viewer.wait_for(lambda: np.abs(shown() - expected).max() <= 3, "the true colours of the slide", 60)


# Where pixels (row, column) of a whole slide are on the screen, at one pixel for one, edges on edges.
_ON_THE_SLIDE = """points => {
  const managed = window.services.microscopyService.getAllManagedViewers()[0];
  const map = managed.viewer[managed._map];
  const [width] = map.getSize();
  map.getView().setResolution(1);
  map.getView().setCenter([600 + (width % 2) / 2, map.getView().getCenter()[1]]);
  map.renderSync();
  const { left, top } = map.getViewport().getBoundingClientRect();
  return points.map(([row, column]) => {
    const [x, y] = map.getPixelFromCoordinate([column + 0.5, -(row + 1.5)]);
    return [left + x, top + y];
  });
}"""


def test_a_study_is_compared_with_the_one_before(open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer(f"/workstation/studies/{CURRENT}?prior={PRIOR}", viewports=2)
    assert len(viewer.viewports()) >= 2
    for pane in range(2):
        viewer.assert_drawn(pane)
    shown = {viewer.values([], one["id"])["imageId"].partition("/series/")[0] for one in viewer.viewports()}
    assert len(shown) == 2


def test_the_list_of_studies_shows_them_all(open_viewer: Callable[..., Viewer], archive: Archive) -> None:
    viewer = open_viewer("/viewer/", viewports=0)
    viewer.page.get_by_text("CT BRAIN WO IVCON").wait_for()
    count = len(archive.query("/studies", limit="1000"))
    assert f"of {count}" in viewer.page.locator("body").inner_text()


def test_names_that_are_markup_are_shown_as_text(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    payload = "<img src=x onerror=\"document.title='run'\">"
    data = ct("markup", 1, 1, patient_id="<svg onload=alert(1)>", patient_name=payload, StudyDescription=payload[:60])
    data.SeriesDescription = payload
    (tmp_path / "one.dcm").write_bytes(part10(data))
    vesalius("import", tmp_path / "one.dcm", data=archive.server.data)
    viewer = open_viewer(f"/workstation/studies/{data.StudyInstanceUID}")
    assert payload in viewer.page.locator('[data-cy="viewport-overlay-top-right"]').inner_text()
    assert viewer.page.locator('img[src="x"]').count() == 0
    assert viewer.page.title() == "Vesalius: reading"


def test_a_series_is_read_by_keys_alone(open_viewer: Callable[..., Viewer]) -> None:
    viewer = open_viewer(f"/workstation/studies/{CT_HEAD}")
    keys = viewer.page.keyboard

    def state() -> tuple[int, bool, float]:
        found = viewer.evaluate(
            """() => {
                 const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
                 return [viewport.getCurrentImageIdIndex(), viewport.getProperties().invert, viewport.getZoom()];
               }"""
        )
        return found[0], found[1], found[2]

    for key, holds in (
        ("Home", lambda: state()[0] == 0),
        ("End", lambda: state()[0] == 92),
        ("ArrowUp", lambda: state()[0] == 91),
        ("i", lambda: state()[1]),
        ("+", lambda: state()[2] > 1.05),
        ("Space", lambda: not state()[1] and abs(state()[2] - 1) < 0.05),
    ):
        keys.press(key)
        viewer.wait_for(holds, f"answer to the key {key}")
    # The toolbar is reached by Tab, and what has the focus can be seen and used.
    for _ in range(60):
        keys.press("Tab")
        if viewer.evaluate("() => document.activeElement?.dataset.cy") == "Zoom-btn":
            break
    else:
        raise AssertionError("Tab does not reach the toolbar")
    keys.press("Enter")
    active = "() => window.services.toolGroupService.getActiveToolForViewport('default')"
    viewer.wait_for(lambda: viewer.evaluate(active) == "Zoom", "the tool that was chosen by Enter")


def _red(picture: bytes) -> float:
    """The part of a picture that is clearly red."""
    found = pixels(picture).astype(int)
    return float(((found[..., 0] - found[..., 1]) > 25).mean())
