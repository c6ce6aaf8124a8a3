"""A patient of the workflow: identifiers, and merges that can be given back from the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.support.generate import ct, uid
from tests.support.ris import Hospital, by
from tests.support.web import Answer, Web, web

from vesalius.model.orders import Patient
from vesalius.ris import patients
from vesalius.web.pages.messages import PSEUDO

FORM = {"content-type": "application/x-www-form-urlencoded"}


class Records:
    def __init__(self, made: Web) -> None:
        self.web = made
        assert made.ctx.ris is not None
        self.ris = made.ctx.ris
        self.hospital = Hospital(self.ris, made.ctx.ris_rules)
        self.hospital.stations()

    def merge(self, survivor: Patient, gone: Patient) -> int:
        rules = self.web.ctx.ris_rules
        return self.ris.change(lambda work: patients.merge(work, by(why="twice"), survivor.ref, gone.ref, rules).ref)

    def page(self, patient: Patient, **headers: str) -> str:
        answer = self.web.ask(f"/patients/{patient.ref}", headers=headers)
        assert answer.status == 200
        return answer.text

    def undo(self, patient: Patient, merge: int, **fields: Any) -> Answer:
        return self.web.ask(f"/patients/{patient.ref}/merges/{merge}/undo", "POST", FORM, urlencode(fields).encode())


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with web(tmp_path) as made:
        yield Records(made)


def test_a_record_shows_what_it_is_known_by_and_what_belongs_to_it(records: Records) -> None:
    patient = records.hospital.patient("P1", "Yamada^Tarou=山田^太郎")
    order, _ = records.hospital.order(patient)
    records.web.archive.keep(ct("kept", 1, 1, patient_id="P1", patient_name="Yamada^Tarou"))
    page = records.page(patient)
    for text in ("Yamada, Tarou", "山田, 太郎", "P1", order.accession, "CT head", uid("study", "kept"), "Added"):
        assert text in page, text
    assert records.web.ask("/patients/999").status == 404
    assert records.web.ask("/patients/x").status == 404


def test_a_merge_is_given_back_with_a_reason_and_images_follow(records: Records) -> None:
    keep, gone = records.hospital.patient("P1", "Doe^Jane"), records.hospital.patient("P2", "Do^Jane")
    order, _ = records.hospital.order(gone)
    records.web.archive.keep(ct("kept", 1, 1, patient_id="P2", patient_name="Do^Jane"))
    merge = records.merge(keep, gone)
    assert order.accession in records.page(keep) and "Take the merge back" in records.page(keep)
    assert "This record was merged into" in records.page(gone) and "twice" in records.page(gone)

    def answered() -> str:
        found = records.web.dicom_web(f"/studies?StudyInstanceUID={uid('study', 'kept')}").json()
        return str(found[0]["00100020"]["Value"][0])

    assert answered() == "P1"
    assert records.undo(keep, merge).status == 400, "not without a reason"
    assert records.undo(records.hospital.patient("P3"), merge, reason="x").status == 409
    answer = records.undo(keep, merge, reason="two people")
    assert (answer.status, answer.headers["location"]) == (303, f"/patients/{keep.ref}")
    assert answered() == "P2"
    assert order.accession in records.page(gone) and order.accession not in records.page(keep)
    page = records.page(keep)
    assert "taken back" in page and "Take the merge back" not in page
    assert records.undo(keep, merge, reason="again").status == 409


def test_another_origin_cannot_take_a_merge_back(records: Records) -> None:
    keep, gone = records.hospital.patient("P1"), records.hospital.patient("P2")
    merge = records.merge(keep, gone)
    headers = {**FORM, "origin": "https://evil.example"}
    path = f"/patients/{keep.ref}/merges/{merge}/undo"
    assert records.web.ask(path, "POST", headers, b"reason=x").status == 403
    assert records.ris.look(lambda view: view.get(Patient, gone.ref).merged_into) == keep.ref


def test_no_text_of_the_page_escapes_the_catalogue_and_markup_is_text(records: Records) -> None:
    from tests.unit.web.pages.test_messages import escaped

    keep, gone = records.hospital.patient("P1", "Doe^<b>Jane</b>"), records.hospital.patient("P2", "Do^Jane")
    records.hospital.order(keep)
    records.merge(keep, gone)
    page = records.page(keep, **{"accept-language": PSEUDO})
    assert escaped(page) == [] and "<b>Jane" not in page
