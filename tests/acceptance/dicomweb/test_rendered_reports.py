"""Reports of the real service: everything that a structured report says, and nothing that it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.support.data import need_shared_data
from tests.support.rendered import Site, picture_site, state

REPORTS = (
    "sr-ko-pr-seg-rt/sr",
    "sr-ko-pr-seg-rt/sr-tid1500-seg-rwvm",
    "sr-ko-pr-seg-rt/sr-tid1500-seg-with-ct-highdicom",
)
IMAGE = "single-frame/lut-overlay/MR-SIEMENS-DICOM-WithOverlays.dcm"


def key_objects() -> Dataset:
    """A key object selection of a real image, with a remark that is an attack."""
    image = dcmread(need_shared_data() / IMAGE)
    ds = state(image, "1.2.840.10008.5.1.4.1.1.88.59", "key objects")
    for keyword in ("ReferencedSeriesSequence", "DisplayedAreaSelectionSequence"):
        delattr(ds, keyword)
    ds.Modality, ds.PatientName = "KO", '<img src=x onerror="alert(1)">^Eve'

    def code(value: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        return item

    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("113000", "Of Interest")]
    remark, shown, away = Dataset(), Dataset(), Dataset()
    remark.RelationshipType, remark.ValueType = "CONTAINS", "TEXT"
    remark.ConceptNameCodeSequence = [code("113012", "Key Object Description")]
    remark.TextValue = "</p><script>alert('x')</script>\r\nsecond & third line"
    for item, sop_class, instance in ((shown, image.SOPClassUID, image.SOPInstanceUID), (away, "1.2.3", "1.2.3.4")):
        item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, instance
        item.ReferencedSOPSequence = [reference]
    ds.ContentSequence = [remark, shown, away]
    return ds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = need_shared_data()
    real = [root / name for name in (*REPORTS, IMAGE)]
    with picture_site(tmp_path_factory.mktemp("reports"), [key_objects()], real) as served:
        yield served


def reports() -> list[Path]:
    files = [file for folder in REPORTS for file in sorted((need_shared_data() / folder).iterdir())]
    return [file for file in files if dcmread(file, stop_before_pixels=True, force=True).get("Modality") == "SR"]


def everything_said(items: Sequence, found: set[str]) -> set[str]:
    """Every meaning, code, text, number and UID of a content tree, read by pydicom."""
    for item in items:
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            for code in item.get(keyword, []):
                found |= {str(code.CodeMeaning), str(code.get("CodeValue", "")), str(code.CodingSchemeDesignator)}
        for measured in item.get("MeasuredValueSequence", []):
            found.add(str(measured.get("NumericValue", "")))
            found |= {str(unit.CodeValue) for unit in measured.get("MeasurementUnitsCodeSequence", [])}
        found |= set(str(item.get("TextValue", "")).splitlines())
        found.add(str(item.get("UID", "")))
        for reference in item.get("ReferencedSOPSequence", []):
            found.add(str(reference.ReferencedSOPInstanceUID))
        everything_said(item.get("ContentSequence", []), found)
    return found


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_a_report_says_everything_that_its_tree_says(site: Site, kind: str) -> None:
    files = reports()
    assert len(files) >= 6
    for file in files:
        ds = dcmread(file, force=True)
        answer = site.rendered(ds, accept=kind)
        assert answer.status == 200 and answer.headers["content-type"] == f"{kind}; charset=utf-8"
        shown = answer.text
        if kind == "text/html":
            assert "<script" not in shown
            shown = unescape(shown) + unescape(re.sub(r"<[^>]+>", "", shown))
        shown = squeezed(shown)
        missing = {each for each in everything_said(ds.ContentSequence, set()) if squeezed(each) not in shown}
        assert not missing, (file.name, sorted(missing)[:5])


def test_a_page_is_the_first_choice_and_a_picture_none(site: Site) -> None:
    ds = dcmread(reports()[0], force=True)
    assert site.rendered(ds, accept="*/*").headers["content-type"].startswith("text/html")
    answer = site.rendered(ds, accept="image/png")
    assert answer.status == 406 and "text/html" in answer.text
    uids = f"studyUID={ds.StudyInstanceUID}&seriesUID={ds.SeriesInstanceUID}&objectUID={ds.SOPInstanceUID}"
    uri = f"/wado?requestType=WADO&{uids}"
    assert site.get(uri + "&contentType=text/html", "*/*").headers["content-type"].startswith("text/html")
    assert site.get(uri + "&contentType=text/plain&rows=10", "*/*").status == 400
    assert site.get(uri, "*/*").headers["content-type"] == "application/dicom"


def test_a_stranger_s_text_stays_text_and_references_lead_to_what_is_kept(site: Site) -> None:
    answer = site.rendered(key_objects(), accept="text/html")
    page = answer.text
    assert "<script" not in page and 'onerror="alert' not in page
    assert "&lt;script&gt;" in page and "second &amp; third line" in page
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "not kept here: 1.2.3.4" in page
    links = re.findall(r'(?:href|src)="(http[^"]+)"', page)
    root = f"http://127.0.0.1:{site.server.http_port}/dicom-web/"
    assert len(links) == 2 and all(link.startswith(root) for link in links)
    for link in links:
        assert site.get(link.removeprefix(f"http://127.0.0.1:{site.server.http_port}"), "image/*").status == 200
