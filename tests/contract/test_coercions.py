"""Repairs in the database: what the index answers because of them, counters included, and after they are undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.index_arrivals import arrival, study_uid
from tests.support.ris import NOW, RULES, Hospital, by

from vesalius.backends.coercions_sql import SqlCoercions
from vesalius.backends.database import Database, open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.entities import Event, Level
from vesalius.model.errors import NoSuchRecord, WrongState
from vesalius.model.orders import Images, PerformedStep
from vesalius.model.query import Root
from vesalius.model.query_parser import parse
from vesalius.model.repairs import ACCESSION_NUMBER, PATIENT_ID, PATIENT_NAME
from vesalius.ports.coercions import Repair
from vesalius.ris import images

REPAIR = Repair("order", NOW, "tester", "typed wrong")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


def answers(index: SqlIndex, level: Level = Level.STUDY, **keys: str) -> list[dict[str, str]]:
    tags = {"id": PATIENT_ID, "name": PATIENT_NAME, "accession": ACCESSION_NUMBER, "study": 0x0020000D,
            "studies": 0x00201200, "instances": 0x00201204}  # fmt: skip
    if level is Level.PATIENT:
        del tags["accession"], tags["study"]
    values: Any = {tag: (keys.get(name, ""),) for name, tag in tags.items()}
    found = [match for page in index.find(parse(values, Root.PATIENT, level, _relational())) for match in page]
    return [{name: str(one.values.get(tag, ("",))[0]) if one.values.get(tag) else "" for name, tag in tags.items()}
            for one in found]  # fmt: skip


def _relational() -> Any:
    from vesalius.model.query import Options

    return Options(relational=True)


def test_a_repaired_study_moves_to_its_patient_with_all_counters_and_back(database: Database) -> None:
    index, coercions = SqlIndex(database), SqlCoercions(database)
    index.ingest([arrival(1, 1, n, patient=1) for n in (1, 2, 3)])
    index.ingest([arrival(2, 1, n, patient=2) for n in (4, 5)])
    before, totals = answers(index), index.totals()
    version = index.versions(study_uid(1))
    repair = coercions.add(REPAIR, {study_uid(1): {PATIENT_ID: "P2", PATIENT_NAME: "New^Name", ACCESSION_NUMBER: "B7"}})
    assert {one["id"] for one in answers(index)} == {"P2"}
    assert [one["study"] for one in answers(index, accession="B7", name="new*")] == [study_uid(1)]
    (person,) = answers(index, Level.PATIENT)
    assert (person["id"], person["studies"], person["instances"]) == ("P2", "2", "5")
    assert index.totals().patients == totals.patients - 1
    assert all(one.coerced and one.patient_id == "P2" for one in index.select(Level.STUDY, studies=[study_uid(1)]))
    assert index.versions(study_uid(1)) != version
    assert [(one.tag, one.value) for one in coercions.of(study_uid(1))] == [
        (ACCESSION_NUMBER, "B7"), (PATIENT_NAME, "New^Name"), (PATIENT_ID, "P2"),
    ]  # fmt: skip
    assert list(coercions.undo(repair, NOW, "tester")) == [study_uid(1)]
    assert [one for one in answers(index) if one["study"] == study_uid(1)] == [
        one for one in before if one["study"] == study_uid(1)
    ]
    assert index.totals().patients == totals.patients
    assert index.versions(study_uid(1)) == version
    assert not any(one.coerced for one in index.select(Level.STUDY, studies=[study_uid(1)]))
    with pytest.raises(WrongState):
        coercions.undo(repair, NOW, "tester")
    with pytest.raises(NoSuchRecord):
        coercions.undo(repair + 99, NOW, "tester")
    assert len(coercions.history(study_uid(1))) == 3


def test_the_newest_repair_is_in_force_and_the_one_before_when_it_is_taken_back(database: Database) -> None:
    index, coercions = SqlIndex(database), SqlCoercions(database)
    index.ingest([arrival(1)])
    coercions.add(REPAIR, {study_uid(1): {PATIENT_ID: "FIRST"}})
    second = coercions.add(REPAIR, {study_uid(1): {PATIENT_ID: "SECOND"}})
    assert answers(index)[0]["id"] == "SECOND"
    coercions.undo(second, NOW, "tester")
    assert answers(index)[0]["id"] == "FIRST"
    assert [one["id"] for one in answers(index, Level.PATIENT)] == ["FIRST"]


def test_a_study_that_arrives_after_its_repair_is_placed_as_the_repair_says(database: Database) -> None:
    index, coercions = SqlIndex(database), SqlCoercions(database)
    repair = coercions.add(REPAIR, {study_uid(1): {PATIENT_ID: "RIGHT", ACCESSION_NUMBER: "R1"}})
    index.ingest([arrival(1, 1, 1), arrival(1, 1, 2)])
    assert [(one["id"], one["accession"]) for one in answers(index)] == [("RIGHT", "R1")]
    index.clear()
    index.ingest([arrival(1, 1, 1)])
    assert answers(index)[0]["id"] == "RIGHT"
    coercions.undo(repair, NOW, "tester")
    assert [(one["id"], one["accession"]) for one in answers(index)] == [("P1", "A1")]


def test_images_are_counted_against_what_the_modality_told_of_and_one_missing_of_512_is_an_alert(
    database: Database,
) -> None:
    index, hospital = SqlIndex(database), Hospital(SqlRis(database))
    hospital.stations()
    _, _, _, step = hospital.planned()
    arrivals = [arrival(1, 1, n) for n in range(1, 513)]
    uids = [one.sop_instance for one in arrivals]
    index.ingest(arrivals[:100])  # before the step is complete
    hospital.begin("1.9.50", step)
    done = hospital.end("1.9.50", images={"1.5": uids})
    assert (done.images, done.expected, done.arrived) == (Images.WAITING, 512, 100)
    index.ingest(arrivals[100:511])

    def take(uids: list[str]) -> None:
        events = [Event(n, "stored", study_uid(1), "1.5", uid, NOW, "CT1") for n, uid in enumerate(uids, 1)]
        hospital.ris.change(lambda work: images.take_events(work, by(), events, RULES))

    def state() -> PerformedStep:
        found = hospital.ris.look(lambda view: view.first(PerformedStep, uid="1.9.50"))
        assert found is not None
        return found

    take(uids[:511])
    take(uids[:511])  # told twice, counted once
    assert (state().images, state().arrived) == (Images.WAITING, 511)
    assert hospital.ris.change(lambda work: images.overdue(work, by(), RULES)) == 0
    late = by(at="2026-11-24T10:30:00.000000Z")
    assert hospital.ris.change(lambda work: images.overdue(work, late, RULES)) == 1
    assert hospital.ris.change(lambda work: images.overdue(work, late, RULES)) == 0
    alert = [e for e in hospital.ris.look(lambda view: view.events(0)) if e.kind == "images-missing"]
    assert [(e.detail["images"], e.detail["expected"], e.step) for e in alert] == [("511", "512", step.ref)]
    ref = state().ref
    assert hospital.ris.look(lambda view: view.missing(ref)) == [uids[511]]
    index.ingest(arrivals[511:])
    take(uids[511:])
    assert (state().images, state().arrived) == (Images.COMPLETE, 512)
    kinds = [e.kind for e in hospital.ris.look(lambda view: view.events(0)) if e.kind.startswith("images")]
    assert kinds == ["images-missing", "images-complete"]


def test_an_image_that_arrives_while_its_step_becomes_final_is_found_without_being_told(database: Database) -> None:
    index, hospital = SqlIndex(database), Hospital(SqlRis(database))
    hospital.stations()
    _, _, _, step = hospital.planned()
    one = arrival(1)
    hospital.begin("1.9.51", step)
    hospital.end("1.9.51", images={"1.5": [one.sop_instance]})
    index.ingest([one])  # and its event was taken before the step was final
    hospital.ris.change(lambda work: images.overdue(work, by(at="2026-11-24T09:00:01.000000Z"), RULES))
    found = hospital.ris.look(lambda view: view.first(PerformedStep, uid="1.9.51"))
    assert found is not None and found.images is Images.COMPLETE
