"""The viewer's daily way, quick enough for every run: a series is read by wheel and keys, a measurement is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut

from tests.browser.conftest import Archive
from tests.support.dciodvfy import faults_of
from tests.support.viewer import Viewer

pytestmark = pytest.mark.browser

CT_HEAD = "1.2.826.0.1.3680043.2.1125.1.73379483469717886505187028001198162"
POINTS = [(5, 5), (20, 32), (32, 32), (40, 20), (50, 40), (60, 60)]


def originals(ds: pydicom.FileDataset, frame: int, points: list[tuple[int, int]]) -> list[list[float]]:
    """What the probe should say: stored values after the modality LUT, by another decoder."""
    cells = ds.pixel_array if int(ds.get("NumberOfFrames") or 1) == 1 else ds.pixel_array[frame]
    return [np.atleast_1d(apply_modality_lut(cells, ds)[row, column]).tolist() for row, column in points]


def test_a_series_is_drawn_with_its_true_values_and_scrolls_by_wheel_and_keys(
    open_viewer: Callable[..., Viewer], archive: Archive
) -> None:
    viewer = open_viewer(f"/workstation/studies/{CT_HEAD}")
    viewer.assert_drawn(least=0.1)
    shown = viewer.values(POINTS)
    ds, frame = archive.file_of(shown["imageId"])
    assert (shown["rows"], shown["columns"]) == (ds.Rows, ds.Columns)
    assert shown["values"] == originals(ds, frame, POINTS)

    start = viewer.viewports()[0]
    assert start["images"] == 93
    viewer.pane().hover()
    viewer.page.mouse.wheel(0, 100)
    viewer.wait_for(lambda: viewer.viewports()[0]["index"] == start["index"] + 1, "scrolling by wheel")
    viewer.page.keyboard.press("ArrowDown")
    viewer.wait_for(lambda: viewer.viewports()[0]["index"] == start["index"] + 2, "scrolling by a key")
    viewer.wait_rendered()
    other = viewer.values(POINTS)
    assert other["imageId"] != shown["imageId"]
    assert other["values"] == originals(*archive.file_of(other["imageId"]), POINTS)

    # Who is on the screen stands beside the image, and the tab says nothing of them.
    assert viewer.pane_text() >= {"Austrialian", "8775070"}
    assert "8775070" not in viewer.page.title()


def test_a_measurement_is_saved_as_a_report_and_found_after_a_reload(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    viewer = open_viewer(f"/workstation/studies/{CT_HEAD}")
    page = viewer.page
    viewer.button("Length-btn").click()
    viewer.drag((-100, -50), (100, 50))
    viewer.button("prompt-begin-tracking-yes-btn").click()
    viewer.button("trackedMeasurements-btn").click()
    viewer.button("measurement-table-row-0").wait_for()
    said = viewer.button("data-row-details-primary").inner_text()
    assert said.endswith("mm")
    page.get_by_role("button", name="Create SR").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("Length of the head")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Length of the head").first.wait_for()
    viewer.wait_for(lambda: archive.query(f"/studies/{CT_HEAD}/series", Modality="SR"), "report in the archive")

    series = archive.query(f"/studies/{CT_HEAD}/series", Modality="SR")[0]["0020000E"]["Value"][0]
    instance = archive.query(f"/studies/{CT_HEAD}/series/{series}/instances")[0]["00080018"]["Value"][0]
    report = archive.read(f"/studies/{CT_HEAD}/series/{series}/instances/{instance}")
    assert report.PatientID == "8775070"
    assert said.split()[0] in str(round(float(_length(report)), 1))
    assert faults_of(report, tmp_path / "report.dcm") == []

    viewer.open(f"/workstation/studies/{CT_HEAD}")
    page.get_by_text("Length of the head").first.dblclick()
    viewer.wait_for(lambda: viewer.pane_text() & {"SR"}, "report shown on its image")


def _length(report: pydicom.Dataset) -> str:
    """The one measured length of a TID 1500 report."""
    waiting = list(report.ContentSequence)
    while waiting:
        item = waiting.pop()
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeMeaning == "Length":
            return str(item.MeasuredValueSequence[0].NumericValue)
        waiting += item.get("ContentSequence", [])
    raise AssertionError("the report has no length")


def test_a_key_image_is_kept_by_one_key_and_marked_after_a_reload(
    open_viewer: Callable[..., Viewer], archive: Archive, tmp_path: Path
) -> None:
    viewer = open_viewer(f"/workstation/studies/{CT_HEAD}")
    viewer.pane().hover()
    viewer.page.mouse.wheel(0, 300)
    viewer.page.keyboard.press("k")
    viewer.wait_for(lambda: viewer.pane_text() >= {"Key", "image"}, "mark on the key image")
    shown = viewer.values([])["imageId"]
    (series,) = archive.query(f"/studies/{CT_HEAD}/series", Modality="KO")
    (instance,) = archive.query(f"/studies/{CT_HEAD}/series/{series['0020000E']['Value'][0]}/instances")
    document = archive.read(
        f"/studies/{CT_HEAD}/series/{series['0020000E']['Value'][0]}/instances/{instance['00080018']['Value'][0]}"
    )
    assert document.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID in shown
    assert (document.PatientID, document.ConceptNameCodeSequence[0].CodeValue) == ("8775070", "113000")
    assert faults_of(document, tmp_path / "key.dcm") == []

    viewer.open(f"/workstation/studies/{CT_HEAD}")
    viewer.pane().hover()
    viewer.page.mouse.wheel(0, -300)
    viewer.page.keyboard.press("Shift+K")
    viewer.wait_for(lambda: viewer.values([])["imageId"] == shown, "the key image again")
    viewer.wait_for(lambda: viewer.pane_text() >= {"Key", "image"}, "its mark")


def test_an_address_cannot_make_the_viewer_ask_elsewhere(open_viewer: Callable[..., Viewer]) -> None:
    elsewhere = "http://127.0.0.1:9/stolen.json"
    viewer = open_viewer(
        f"/viewer/viewer?StudyInstanceUIDs={CT_HEAD}&url={elsewhere}&configUrl={elsewhere}&token=secret&datasources=dicomjson"
    )
    assert viewer.page.url.endswith(f"/viewer/viewer?StudyInstanceUIDs={CT_HEAD}")
    # And were it made to, by whatever means, its page may connect to this origin alone.
    refused = viewer.evaluate(f"fetch('{elsewhere}').then(() => 'reached', error => error.message)")
    assert refused != "reached"
    assert any("connect-src" in text for text in viewer.watch.errors)
    viewer.watch.errors.clear()
    viewer.watch.foreign.clear()
