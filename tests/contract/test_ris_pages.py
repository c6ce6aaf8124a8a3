"""Pages of the workflow's nouns, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.ris import RULES, Hospital, by

from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.orders import Order, Patient, ScheduledStep
from vesalius.model.steps import StepVerb
from vesalius.ports.ris import Match, Term
from vesalius.ris import patients, schedule


@pytest.fixture
def hospital(database_url: str) -> Iterator[Hospital]:
    database = open_database(database_url)
    made = Hospital(SqlRis(database))
    made.stations()
    yield made
    database.close()


def test_pages_follow_each_other_without_a_gap_and_without_a_repetition_while_more_is_added(hospital: Hospital) -> None:
    made = [hospital.patient(f"A{number:03}").ref for number in range(25)]
    seen: list[int] = []
    after = 0
    while found := hospital.ris.look(lambda view, behind=after: view.page(Patient, [], after=behind, limit=10)):  # type: ignore[misc]
        seen += [one.ref for one in found]
        after = seen[-1]
        if len(seen) == 10:
            made.append(hospital.patient("late").ref)
    assert seen == made
    assert hospital.ris.look(lambda view: view.count(Patient, [])) == 26


def test_terms_are_any_of_a_row_and_all_rows_together(hospital: Hospital) -> None:
    for value, name, day in (
        ("P1", "Doe^Jane", "19700101"), ("P2", "Doerr^Ann", "19800101"), ("P3", "Roe^Jane", "19900101"),
        ("P4", "100%^Jane", "20000101"),
    ):  # fmt: skip
        hospital.patient(value, name, birth_date=day)

    def ids(*where: tuple[Term, ...]) -> list[str]:
        found = hospital.ris.look(lambda view: view.page(Patient, where))
        assert hospital.ris.look(lambda view: view.count(Patient, where)) == len(found)
        return [one.identifier.value for one in found]

    begins, has = Match.PREFIX, Match.CONTAINS
    assert ids((Term("name", begins, ("doe",)),)) == ["P1", "P2"]
    assert ids((Term("name", begins, ("roe",)), Term("name", has, ("^ann",)))) == ["P2", "P3"]
    assert ids((Term("name", has, ("0%",)),)) == ["P4"], "a percent sign is a percent sign"
    assert ids((Term("birth_date", Match.FROM, ("19800101",)),), (Term("birth_date", Match.BELOW, ("2000",)),)) == [
        "P2", "P3",
    ]  # fmt: skip
    assert ids((Term("patient_id", Match.IN, ("P1", "P4")),), (Term("name", has, ("jane",)),)) == ["P1", "P4"]
    assert ids((Term("patient_id", Match.IN, ()),)) == []
    assert ids(()) == []
    with pytest.raises(ValueError):
        ids((Term("data", begins, ("x",)),))


def test_what_last_became_of_a_noun_is_told_and_searched_by(hospital: Hospital) -> None:
    first, order, _, step = hospital.planned("P1")
    second, *_ = hospital.planned("P2")
    early, late = "2026-11-24T09:00:00.000000Z", "2026-11-24T12:00:00.000000Z"
    ris = hospital.ris
    assert ris.look(lambda view: view.last_changes(Patient, [first.ref, second.ref, 999])) == {
        first.ref: early, second.ref: early,
    }  # fmt: skip
    ris.change(lambda work: schedule.advance(work, by(at=late), step.ref, StepVerb.ARRIVE))
    assert ris.look(lambda view: view.last_changes(Order, [order.ref])) == {order.ref: late}
    assert ris.look(lambda view: view.last_changes(ScheduledStep, [step.ref])) == {step.ref: late}
    assert ris.look(lambda view: view.last_changes(Patient, [first.ref])) == {first.ref: early}, "as it was"
    ris.change(lambda work: patients.update(work, by(at=late), second.ref, RULES, sex="M"))

    def changed(kind: type, begin: str, end: str = "") -> list[int]:
        found = ris.look(lambda view: view.page(kind, [], changed=(begin, end)))
        assert ris.look(lambda view: view.count(kind, [], changed=(begin, end))) == len(found)
        return [one.ref for one in found]

    noon = "2026-11-24T11:00:00.000000Z"
    assert changed(Patient, noon) == [second.ref]
    assert changed(Patient, "", noon) == [first.ref]
    assert changed(Order, noon) == [order.ref]
    assert changed(ScheduledStep, noon) == [step.ref]
    assert changed(ScheduledStep, noon, noon) == []
