"""Reconciliation by hand: what changes is marked, one form repairs, everything can be taken back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.support.archive import NOW
from tests.support.generate import ct, uid
from tests.support.ris import Hospital, by
from tests.support.web import Answer, Web, web

from vesalius.model.entities import Event
from vesalius.model.orders import Item, Order, Patient, RequestedProcedure
from vesalius.ris import images, orders, reconcile
from vesalius.web.pages.reconcile.cases import Change, case, cases, proposed, searched

DAY = "20260131"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


class Desk:
    """A hospital beside an archive, where images come that fit nowhere."""

    def __init__(self, made: Web) -> None:
        self.web = made
        assert made.ctx.ris is not None
        self.ris = made.ctx.ris
        self.rules = made.ctx.ris_rules
        self.hospital = Hospital(self.ris, self.rules)
        self.hospital.stations()

    def planned(self, value: str = "P1", name: str = "Doe^Jane", **fields: Any) -> tuple[Patient, Order]:
        patient = self.hospital.patient(value, name, **fields)
        order, procedure = self.hospital.order(patient)
        self.hospital.step(procedure, start=DAY + "1000", force=True)
        return patient, order

    def arrive(self, study: str = "lost", value: str = "TYPO", name: str = "Do^Jane", **fields: Any) -> int:
        """Images come; the number of the item that waits."""
        ds = ct(
            study, 1, 1, patient_id=value, patient_name=name, **({"StudyDate": DAY, "StudyTime": "101500"} | fields)
        )
        self.web.archive.keep(ds)
        event = Event(0, "stored", uid("study", study), uid("series", study, 1), str(ds.SOPInstanceUID), NOW, "CT1")
        self.ris.change(lambda work: images.take_events(work, by(at=NOW), [event], self.rules))
        return self.ris.look(lambda view: view.find(Item, study=uid("study", study), newest=True)[0].ref)

    def act(self, item: int, act: str, **fields: object) -> Answer:
        body = urlencode({"act": act, **fields}).encode()
        return self.web.ask(f"/reconcile/{item}", "POST", FORM, body)

    def qido(self, study: str = "lost") -> tuple[str, str, str]:
        """ID, name and accession number that the archive answers."""
        found = self.web.dicom_web(f"/studies?StudyInstanceUID={uid('study', study)}").json()[0]
        name = found["00100010"]["Value"][0]["Alphabetic"] if "Value" in found["00100010"] else ""
        return found["00100020"]["Value"][0], name, (found["00080050"].get("Value") or [""])[0]

    def state(self, item: int) -> str:
        return self.ris.look(lambda view: view.get(Item, item).state)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with web(tmp_path) as made:
        yield Desk(made)


def test_each_line_says_whether_it_changes(desk: Desk) -> None:
    desk.planned("P1000", birth_date="19800202", sex="F")
    item = desk.arrive(value="P1001", PatientBirthDate="", PatientSex="M", AccessionNumber="")
    (best, *_) = desk.ris.look(lambda view: proposed(view, case(view, item), desk.rules))
    changes = {line.key: line.change for line in best.lines}
    assert changes["name"] is Change.DIFFERS and changes["id"] is Change.DIFFERS
    assert changes["born"] is Change.FILLED and changes["accession"] is Change.FILLED
    assert changes["sex"] is Change.DIFFERS and best.warns
    assert changes["modality"] is Change.TOLD
    assert best.score >= 15 and {reason.points for reason in best.why} >= {10, -25}
    page = desk.web.ask(f"/reconcile/{item}").text
    assert "changes" in page and "added" in page and "contradict" in page and "The sex differs" in page


def test_one_form_repairs_and_the_archive_answers_the_orders_patient(desk: Desk) -> None:
    _, order = desk.planned()
    item = desk.arrive()
    assert desk.qido()[:2] == ("TYPO", "Do^Jane")
    page = desk.web.ask(f"/reconcile/{item}").text
    chosen = re.search(r'name="order" value="(\d+)"><input type="hidden" name="procedure" value="(\d+)"', page)
    assert chosen is not None and int(chosen[1]) == order.ref
    answer = desk.act(item, "order", order=chosen[1], procedure=chosen[2], reason="typed wrongly")
    assert (answer.status, answer.headers["location"]) == (303, f"/reconcile?done={item}")
    assert desk.qido() == ("P1", "Doe^Jane", order.accession)
    back = desk.web.ask(answer.headers["location"]).text
    assert "Repaired" in back and "Take it back" in back and "Everything has its order" in back
    assert desk.act(item, "order", order=order.ref).status == 409
    closed = desk.web.ask("/reconcile?state=repaired").text
    assert "Doe, Jane" in closed and order.accession in closed and "web" in closed
    assert "typed wrongly" in desk.web.ask(f"/reconcile/{item}").text
    answer = desk.act(item, "undo", reason="no")
    assert (answer.status, answer.headers["location"]) == (303, f"/reconcile/{item}")
    assert desk.qido()[:2] == ("TYPO", "Do^Jane") and desk.state(item) == "open"


def test_a_patient_without_an_order_can_be_chosen_and_a_case_accepted(desk: Desk) -> None:
    patient, _ = desk.planned()
    first, second = desk.arrive(), desk.arrive("other", "X2", "Else^Some")
    assert desk.act(first, "patient", patient=patient.ref).status == 303
    assert desk.qido()[:2] == ("P1", "Doe^Jane")
    assert desk.act(second, "accept", reason="a phantom").status == 303
    assert desk.state(second) == "accepted" and desk.qido("other")[0] == "X2"
    assert desk.act(second, "undo").status == 303 and desk.state(second) == "open"


def test_what_is_looked_up_by_hand_has_the_same_form(desk: Desk) -> None:
    patient, order = desk.planned("P77", "Novak^Petra")
    item = desk.arrive(value="Q", name="Quite^Different", StudyDate="20260101")

    def by_hand(text: str) -> list[tuple[int, int]]:
        found = desk.ris.look(lambda view: searched(view, case(view, item), text, desk.rules))
        return [(one.patient.ref, one.order.ref if one.order else 0) for one in found]

    assert by_hand("novak") == [(patient.ref, order.ref), (patient.ref, 0)]
    assert by_hand(order.accession) == [(patient.ref, order.ref)]
    assert by_hand("nobody") == [] and by_hand(" ") == []
    page = desk.web.ask(f"/reconcile/{item}?q=novak").text
    assert "Novak, Petra" in page and "This patient, without an order" in page
    assert "Nobody and no order fits" in desk.web.ask(f"/reconcile/{item}?q=zzz").text
    desk.ris.change(lambda work: orders.cancel(work, by(why="x"), order.ref))
    assert by_hand("novak") == [(patient.ref, 0)], "images are not tied to a cancelled order"


def test_a_wrong_form_changes_nothing(desk: Desk) -> None:
    _, order = desk.planned()
    item = desk.arrive()
    assert desk.act(item, "").status == 400
    assert desk.act(item, "order").status == 400
    assert desk.act(item, "order", order="1 OR 1").status == 400
    assert desk.act(item, "order", order=999).status == 404
    assert desk.act(item, "undo").status == 409
    assert desk.act(999, "accept").status == 404
    assert desk.web.ask(f"/reconcile/{item}", "POST", JSON, b"{}").status == 415
    foreign = {**FORM, "origin": "https://evil.example"}
    body = urlencode({"act": "order", "order": order.ref}).encode()
    assert desk.web.ask(f"/reconcile/{item}", "POST", foreign, body).status == 403
    assert desk.state(item) == "open" and desk.qido()[0] == "TYPO"


def test_every_reason_that_the_verbs_give_has_words_in_the_catalogue() -> None:
    from vesalius.ris import reconcile
    from vesalius.web.pages.messages import CATALOGUES

    source = Path(reconcile.__file__).read_text(encoding="utf-8")
    told = set(re.findall(r'-?\d+, "([a-zA-Z ]+)"', source))
    assert len(told) >= 15
    assert [text for text in told if f"why.{text}" not in CATALOGUES["en"]] == []


def test_scripts_list_repair_accept_and_undo(desk: Desk) -> None:
    _, order = desk.planned()
    item = desk.arrive()
    (listed,) = desk.web.ask("/api/reconcile").json()["items"]
    assert (listed["item"], listed["trouble"], listed["received"]["id"]) == (item, "no-order", "TYPO")
    one = desk.web.ask(f"/api/reconcile/{item}").json()
    assert one["proposals"][0]["order"] == order.ref
    assert one["proposals"][0]["changes"] == {"name": "Doe^Jane", "id": "P1", "accession": order.accession}

    def post(act: str, body: bytes) -> Answer:
        return desk.web.ask(f"/api/reconcile/{item}/{act}", "POST", JSON, body)

    assert post("repair", b"{}").status == 400
    assert post("repair", b'{"order": 1, "patient": 1}').status == 400
    assert post("repair", b'{"order": 999}').status == 404
    assert post("repair", b'{"order": %d, "reason": "r"}' % order.ref).json()["state"] == "repaired"
    assert desk.qido()[0] == "P1"
    assert post("accept", b"{}").status == 409
    assert post("undo", b"{}").json()["state"] == "open"
    assert post("accept", b'{"reason": "fine"}').json()["why"] == "fine"
    assert desk.web.ask("/api/reconcile").json()["items"] == []
    assert len(desk.web.ask("/api/reconcile?state=all").json()["items"]) == 1
    assert desk.web.ask("/api/reconcile?state=odd").status == 400


def test_the_next_page_of_the_list_reads_no_more_than_a_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    items = reconcile.items

    def counted(view: Any, **wanted: Any) -> list[Item]:
        found = items(view, **wanted)
        read.append(len(found))
        return found

    desk.planned()
    waiting = [desk.arrive(f"lost{number}", f"TYPO{number}") for number in range(5)]
    monkeypatch.setattr(reconcile, "items", counted)
    listed = desk.ris.look(lambda view: cases(view, "open", 2, waiting[-1]))
    assert [one.item.ref for one in listed] == waiting[3:1:-1] and read == [2]
    assert desk.web.ask(f"/reconcile?before={10**18 - 1}").status == 200


def test_a_deleted_study_is_told_as_gone(desk: Desk) -> None:
    desk.planned()
    item = desk.arrive()
    gone = Event(0, "deleted", uid("study", "nowhere"), "", "", NOW, "")
    desk.ris.change(lambda work: work.save(dataclasses.replace(work.get(Item, item), study="1.2.3")))
    desk.ris.change(lambda work: images.take_events(work, by(at=NOW), [gone], desk.rules))
    page = desk.web.ask(f"/reconcile/{item}")
    assert page.status == 200 and "does not keep these images any more" in page.text
    assert "does not keep these images any more" in desk.web.ask("/reconcile").text
    assert desk.ris.look(lambda view: view.find(RequestedProcedure, limit=1))
