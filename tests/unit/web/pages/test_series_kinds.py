"""What a series is that is no stack of images is said on its card, and what can be read is one click away."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from tests.support.data import need_shared_data
from tests.support.generate import ct, uid
from tests.support.rendered import state
from tests.support.web import Web, web

REPORTS = "sr-ko-pr-seg-rt/sr-tid1500-seg-rwvm/sr.dcm"


def another(series: str, modality: str, sop_class: str, number: int = 1, **attributes: object) -> Dataset:
    """An instance without pixels in the study of all."""
    ds = ct("all", series, number, Modality=modality, SOPClassUID=sop_class, **attributes)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(ds, keyword)
    return ds


def report(number: int) -> Dataset:
    ds = dcmread(need_shared_data() / REPORTS)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study", "all"), uid("series", "all", "reports")
    ds.SOPInstanceUID, ds.InstanceNumber = uid("report", number), str(number)
    ds.PatientID, ds.PatientName, ds.IssuerOfPatientID = "PID-1", "Doe^Jane", ""
    return ds


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    image = ct("all", 1, 1)
    grey = state(image, "1.2.840.10008.5.1.4.1.1.11.1", "grey")
    pdf = another("pdf", "OT", "1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocument=b"%PDF-1.4\n",
                  MIMETypeOfEncapsulatedDocument="application/pdf", DocumentTitle="Letter")  # fmt: skip
    plan = another("plan", "RTPLAN", "1.2.840.10008.5.1.4.1.1.481.5")
    with web(tmp_path_factory.mktemp("kinds")) as made:
        for ds in (image, grey, pdf, plan, report(1), report(2)):
            made.archive.keep(ds)
        yield made


def cards(served: Web) -> dict[str, tuple[str, str]]:
    """The cards of the study: what they are called -> where they lead, and all of their text."""
    text = served.ask(f"/parts/studies/{uid('study', 'all')}").text
    found = {}
    for each in re.findall(r"<li>.*?</li>", text, re.DOTALL):
        name = re.search(r'aria-label="([^"]*)"', each)
        target = re.search(r'class="card" href="([^"]*)"', each)
        assert name and target
        found[name[1].partition(":")[0]] = (target[1], each)
    return found


def test_a_report_a_document_and_a_presentation_state_lead_to_what_can_be_read(served: Web) -> None:
    found = cards(served)
    for word, instance, kind in (
        ("Report", uid("report", 2), "text/html"),
        ("Document", uid("instance", "all", "pdf", 1), "application/pdf"),
        ("Presentation state", uid("state", "grey"), "image/"),
    ):
        target, _ = found[word]
        assert target.endswith(f"/instances/{instance}/rendered"), (word, target)
        answer = served.ask(target, headers={"accept": "text/html,application/xhtml+xml,image/webp,*/*;q=0.8"})
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)


def test_earlier_reports_of_a_series_are_at_hand(served: Web) -> None:
    _, card = cards(served)["Report"]
    assert f"/instances/{uid('report', 1)}/rendered" in card
    assert "newest first" in card


def test_what_cannot_be_read_opens_in_the_viewer_under_its_own_name(served: Web) -> None:
    found = cards(served)
    opened = [target for target, card in found.values() if "/workstation/" in target]
    assert len(opened) == 2
    _, plan = next(value for name, value in found.items() if "RTPLAN" in value[1])
    assert ">Treatment plan<" in plan and "<img" not in plan
    _, image = next(value for value in found.values() if "<img" in value[1])
    assert "thumbnail" in image


def test_the_words_are_in_every_language(served: Web) -> None:
    text = served.ask(f"/parts/studies/{uid('study', 'all')}", headers={"accept-language": "de"}).text
    assert ">Bericht<" in text and ">Dokument<" in text and "Serie" in text
