"""The tracking board: phases from what is planned, told, arrived and promised; what is wrong has a word; initials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.archive import NOW
from tests.support.generate import ct, uid
from tests.support.ris import Hospital, by
from tests.support.web import Web, web

from vesalius.archive.commit import CHECK
from vesalius.model.commitments import CommitmentRequest, Reference
from vesalius.model.entities import Event
from vesalius.model.orders import ScheduledStep
from vesalius.model.steps import StepVerb
from vesalius.ris import images, schedule
from vesalius.web.pages.tracking.board import Alert, Board, Phase, Row, Wanted, board_of, initials

DAY = "20260131"  # of the clock of these tests, which stands at 10:15
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


class Ward:
    """A hospital whose day is the clock's, beside an archive."""

    def __init__(self, made: Web) -> None:
        self.web = made
        assert made.ctx.ris is not None
        self.hospital = Hospital(made.ctx.ris, made.ctx.ris_rules)
        self.hospital.stations()

    def planned(self, name: str = "Doe^Jane", at: str = "1000", **fields: Any) -> tuple[ScheduledStep, str]:
        """A step of the day and the study that it will make."""
        patient = self.hospital.patient(name=name)
        _, procedure = self.hospital.order(patient, **fields)
        return self.hospital.step(procedure, start=DAY + at, force=True), procedure.study_uid

    def advance(self, step: ScheduledStep, *verbs: StepVerb) -> None:
        for verb in verbs:
            self.web.ctx.ris.change(lambda work, verb=verb: schedule.advance(work, by(at=NOW), step.ref, verb))

    def arrive(self, study: str, count: int, first: int = 1) -> list[str]:
        """Images come, and the workflow hears of them."""
        found = []
        for number in range(first, first + count):
            ds = ct("tracked", 1, number, StudyInstanceUID=study, StudyDate=DAY)
            ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{study}.1", f"{study}.1.{number}"
            self.web.archive.keep(ds)
            found.append(str(ds.SOPInstanceUID))
        events = [Event(0, "stored", study, f"{study}.1", one, NOW, "CT1") for one in found]
        rules = self.web.ctx.ris_rules
        self.web.ctx.ris.change(lambda work: images.take_events(work, by(at=NOW), events, rules))
        return found

    def commit(self, instances: list[str], transaction: str = "1.2.3.4") -> None:
        """A modality asks for storage commitment, and every instance is read again."""
        commit = self.web.ctx.commit
        assert commit is not None
        lease = commit.accept(CommitmentRequest(transaction, tuple(Reference(CT_CLASS, one) for one in instances)))
        assert lease.kind == CHECK
        commit.check(lease)

    def board(self, **wanted: Any) -> Board:
        from datetime import datetime

        from vesalius.web.pages import ris_words

        commit = self.web.ctx.commit
        day = datetime.strptime(DAY, "%Y%m%d")
        return self.web.ctx.ris.look(
            lambda view: board_of(view, Wanted(day, **wanted), ris_words.now(self.web.ctx), commit.kept.promised_of)
        )

    def row(self, step: ScheduledStep) -> Row:
        return next(row for row in self.board().rows if row.step == step.ref)


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with web(tmp_path) as made:
        yield Ward(made)


def test_a_step_goes_through_every_phase_and_each_is_told_by_its_time(ward: Ward) -> None:
    step, study = ward.planned(at="1030")
    assert (ward.row(step).phase, ward.row(step).minutes) == (Phase.SCHEDULED, -15)
    ward.advance(step, StepVerb.ARRIVE)
    assert ward.row(step).phase is Phase.ARRIVED
    ward.advance(step, StepVerb.PREPARE)
    assert ward.row(step).phase is Phase.ARRIVED
    ward.hospital.begin("1.2.9", step)
    assert ward.row(step).phase is Phase.SCANNING
    uids = [f"{study}.1.{number}" for number in (1, 2, 3)]
    ward.hospital.end("1.2.9", images={f"{study}.1": uids})
    row = ward.row(step)
    assert (row.phase, row.arrived, row.expected) == (Phase.DONE, 0, 3)
    ward.arrive(study, 2)
    row = ward.row(step)
    assert (row.phase, row.arrived, row.expected) == (Phase.DONE, 2, 3)
    ward.arrive(study, 1, first=3)
    assert (ward.row(step).phase, ward.row(step).study) == (Phase.IMAGES, study)
    ward.commit(uids[:2])
    assert ward.row(step).phase is Phase.IMAGES, "one image was not promised"
    ward.commit(uids, "1.2.3.5")
    row = ward.row(step)
    assert (row.phase, row.committed) == (Phase.COMMITTED, 3)
    assert [cell.reached for cell in row.cells] == [True] * 6 and row.cells[-1].at == "10:15"
    assert ward.board().counts[-1] == (Phase.COMMITTED, 1)


def test_what_the_archive_promised_is_an_event_of_the_order(ward: Ward) -> None:
    step, study = ward.planned()
    uids = ward.arrive(study, 2)
    before = ward.web.ctx.ris.look(lambda view: view.last_event())
    ward.commit([*uids, "1.2.3.999"])
    (event,) = ward.web.ctx.ris.look(lambda view: view.events(before))
    assert (event.kind, event.order, event.step) == ("images-committed", step.order, step.ref)
    assert event.detail == {"study": study, "images": "2"}
    assert ward.web.ctx.commit.kept.promised_of([study, "1.2.3"]) == {study: 2}
    assert ward.web.ctx.commit.kept.promised_of([]) == {}


def test_images_of_no_order_are_committed_without_an_event(ward: Ward) -> None:
    kept = ct("alone", 1, 1)
    ward.web.archive.keep(kept)
    before = ward.web.ctx.ris.look(lambda view: view.last_event())
    ward.commit([str(kept.SOPInstanceUID)])
    assert ward.web.ctx.ris.look(lambda view: view.events(before)) == []
    assert ward.web.ctx.commit.kept.promised_of([uid("study", "alone")]) == {uid("study", "alone"): 1}


def test_missing_images_are_an_alarm_even_where_those_that_came_are_promised(ward: Ward) -> None:
    step, study = ward.planned()
    ward.hospital.begin("1.2.9", step)
    ward.hospital.end("1.2.9", images={f"{study}.1": [f"{study}.1.1", f"{study}.1.2"]})
    ward.commit(ward.arrive(study, 1))
    late = by(at="2026-11-24T23:00:00.000000Z")
    rules = ward.web.ctx.ris_rules
    assert ward.web.ctx.ris.change(lambda work: images.overdue(work, late, rules)) == 1
    row = ward.row(step)
    assert (row.phase, row.arrived, row.expected) == (Phase.DONE, 1, 2)
    assert Alert.MISSING in row.alerts and ward.board().missing == 1
    page = ward.web.ask(f"/tracking?day={DAY}").text
    assert "1 of 2" in page and "Images are missing in 1 step" in page


def test_late_is_who_is_not_in_the_scanner_after_their_time(ward: Ward) -> None:
    early, _ = ward.planned(at="1014")
    late, _ = ward.planned(at="0945")
    waiting, _ = ward.planned(at="0930")
    ward.advance(waiting, StepVerb.ARRIVE)
    inside, _ = ward.planned(at="0900")
    ward.advance(inside, StepVerb.ARRIVE, StepVerb.START)
    assert [Alert.LATE in ward.row(each).alerts for each in (early, late, waiting, inside)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert ward.board().late == 2
    assert "30 min" in ward.web.ask(f"/parts/tracking?day={DAY}").text


def test_what_was_performed_and_never_planned_has_a_row_of_its_own(ward: Ward) -> None:
    values = ward.hospital.create_values(None, "UNKNOWN-1") | {0x00100010: ("Nobody^Planned",), 0x00400244: (DAY,)}
    from vesalius.ris import performed_steps

    ward.web.ctx.ris.change(
        lambda work: performed_steps.create(work, by("CT1"), "1.2.9", values, ward.web.ctx.ris_rules)
    )
    (row,) = ward.board().rows
    assert (row.step, row.phase, row.name, row.patient_id) == (0, Phase.SCANNING, "Nobody^Planned", "UNKNOWN-1")
    assert Alert.UNPLANNED in row.alerts
    page = ward.web.ask(f"/tracking?day={DAY}").text
    assert "Nobody, Planned" in page and "not planned" in page


def test_with_initials_no_name_and_no_id_is_in_the_page_at_all(ward: Ward) -> None:
    step, _ = ward.planned(name="Müller^Käthe=山田")
    ward.advance(step, StepVerb.ARRIVE)
    patient = ward.hospital.ris.look(lambda view: view.get(ScheduledStep, step.ref)).patient
    value = ward.hospital.ris.look(lambda view: view.find(type(ward.hospital.patient()), limit=1))
    assert patient and value
    shown = ward.web.ask(f"/tracking?day={DAY}").text
    assert "Müller" in shown and "山田" in shown
    for address in ("/tracking", "/parts/tracking", "/api/tracking"):
        hidden = ward.web.ask(f"{address}?day={DAY}&names=initials").text
        assert "K. M." in hidden
        assert "Müller" not in hidden and "山田" not in hidden and f">{value[0].identifier.value}<" not in hidden


@pytest.mark.parametrize(
    ("name", "short"),
    [("Müller^Käthe", "K. M."), ("Solo", "S."), ("", ""), ("^Given", "G."), ("de Vries^jan", "J. D.")],
)
def test_initials(name: str, short: str) -> None:
    assert initials(name) == short


def test_filters_hold_and_cancelled_steps_are_counted_apart(ward: Ward) -> None:
    step, _ = ward.planned()
    other, _ = ward.planned(at="1100")
    ward.web.ctx.ris.change(lambda work: schedule.advance(work, by(why="ill"), other.ref, StepVerb.CANCEL))
    found = ward.board()
    assert ([row.step for row in found.rows], found.off) == ([step.ref], 1)
    assert [row.step for row in ward.board(modality="CT").rows] == [step.ref]
    assert ward.board(modality="MR").rows == () and ward.board(department="GYN").rows == ()
    assert ward.board(department="RAD").modalities == ("CT",)


def test_scripts_get_the_board_as_json(ward: Ward) -> None:
    step, _ = ward.planned()
    answer = ward.web.ask(f"/api/tracking?day={DAY}")
    assert answer.status == 200
    told = answer.json()
    assert [(row["step"], row["phase"], row["alerts"]) for row in told["rows"]] == [(step.ref, "scheduled", ["late"])]
    assert told["counts"]["scheduled"] == 1 and told["last"] > 0
    assert ward.web.ask("/api/tracking?day=x").status == 400
    assert ward.web.ask("/api/tracking?names=all").status == 400


def test_addresses_of_today_name_no_day_so_that_a_display_goes_on_tomorrow(ward: Ward) -> None:
    page = ward.web.ask("/tracking").text
    assert 'data-day="20260131"' in page and 'href="/tracking?wall=1"' in page
    assert 'href="/tracking?wall=1&amp;day=2026-01-30"' in ward.web.ask("/tracking?day=20260130").text


def test_what_waits_for_a_person_is_told_on_every_page(ward: Ward) -> None:
    assert "reconcile" not in ward.web.ask("/parts/attention").text
    ward.planned()
    ward.arrive("1.2.826.0.1.9", 1)
    assert "1 study to reconcile" in ward.web.ask("/parts/attention").text
    assert 'href="/reconcile"' in ward.web.ask("/parts/attention").text
