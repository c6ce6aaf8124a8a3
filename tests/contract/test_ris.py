"""The store of the workflow and its verbs, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.ris import NOW, RULES, TODAY, Hospital, by

from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.errors import BadRecord, DuplicateRecord, NoSuchRecord, SlotTaken, WrongState
from vesalius.model.orders import Appointment, Identifier, Images, Order, Patient, PerformedStep, ScheduledStep, Visit
from vesalius.model.steps import OrderState, PerformedState, StepState, StepVerb
from vesalius.ris import accession, catalogue, orders, patients, schedule
from vesalius.ris.worklist import Worklist

OpenRis = Callable[[], SqlRis]


@pytest.fixture
def open_ris(database_url: str) -> Iterator[OpenRis]:
    opened = []

    def opener() -> SqlRis:
        opened.append(open_database(database_url))
        return SqlRis(opened[-1])

    yield opener
    for database in opened:
        database.close()


@pytest.fixture
def hospital(open_ris: OpenRis) -> Hospital:
    made = Hospital(open_ris())
    made.stations()
    return made


def refs(found: list[Any]) -> list[int]:
    return [one.ref for one in found]


# -- numbers


def test_an_accession_number_never_comes_twice_not_even_from_two_processes_or_after_the_pattern_changed(
    open_ris: OpenRis,
) -> None:
    first, second = open_ris(), open_ris()

    def many(ris: SqlRis) -> list[str]:
        return [ris.change(lambda work: accession.next_accession(work, by(), RULES)) for _ in range(25)]

    with ThreadPoolExecutor(4) as pool:
        given = [number for numbers in pool.map(many, [first, second, first, second]) for number in numbers]
    assert len(set(given)) == 100
    hospital = Hospital(open_ris()).with_rules(accession="V26{number:07}")  # makes the same texts, by another counter
    more = hospital.ris.change(lambda work: accession.next_accession(work, by(), hospital.rules))
    assert more not in given


def test_an_accession_number_that_another_system_gave_is_never_given_here(hospital: Hospital) -> None:
    patient = hospital.patient()
    order, _ = hospital.order(patient, accession="V260000001")
    assert order.accession == "V260000001"
    other, _ = hospital.order(patient)
    assert other.accession == "V260000002"


def test_a_pattern_that_cannot_make_accession_numbers_is_refused() -> None:
    for wrong in ("ABC", "{number}{number}", "{foo}{number}", "A" * 20 + "{number}", "a\\{number}"):
        with pytest.raises(BadRecord):
            accession.check_pattern(wrong)
    accession.check_pattern("RAD{yyyy}{number:06}")


# -- patients


def test_the_same_patient_id_of_two_issuers_is_two_patients_and_of_one_issuer_is_refused(hospital: Hospital) -> None:
    hospital.patient("1")
    other = hospital.ris.change(
        lambda work: patients.add(work, by(), Patient(Identifier("1", "ELSEWHERE"), "Roe^Richard"), RULES)
    )
    with pytest.raises(DuplicateRecord):
        hospital.patient("1")
    found = hospital.ris.look(lambda view: patients.find(view, Identifier("1", "ELSEWHERE"), RULES))
    assert found == other


def test_a_merge_takes_everything_along_and_an_unmerge_gives_back_just_that(hospital: Hospital) -> None:
    gone, order, _, step = hospital.planned(name="Unknown^Male")
    keep, kept_order, _, _ = hospital.planned(name="Roe^Richard")
    hospital.ris.change(lambda work: patients.visit(work, by(), Visit(gone.ref, Identifier("V1"))))
    merge = hospital.ris.change(lambda work: patients.merge(work, by("ADT", "A40"), keep.ref, gone.ref, RULES))
    assert hospital.get(order).patient == hospital.get(step).patient == keep.ref
    found = hospital.ris.look(lambda view: patients.find(view, gone.identifier, RULES))
    assert found is not None and found.ref == keep.ref and gone.identifier in found.others
    later, _ = hospital.order(hospital.get(keep))  # ordered after the merge: it stays
    hospital.ris.change(lambda work: patients.unmerge(work, by(), merge.ref, RULES))
    assert hospital.get(order).patient == hospital.get(step).patient == gone.ref
    assert hospital.get(later).patient == hospital.get(kept_order).patient == keep.ref
    assert hospital.get(keep).others == ()
    history = hospital.ris.look(lambda view: patients.merges(view, keep.ref))
    assert [(one.who, one.why, bool(one.undone_at)) for one in history] == [("ADT", "A40", True)]
    with pytest.raises(WrongState):
        hospital.ris.change(lambda work: patients.unmerge(work, by(), merge.ref, RULES))


def test_merges_of_a_record_with_itself_and_in_a_circle_are_refused(hospital: Hospital) -> None:
    a, b, c = hospital.patient(), hospital.patient(), hospital.patient()

    def merge(survivor: Patient, gone: Patient) -> Any:
        return hospital.ris.change(lambda work: patients.merge(work, by(), survivor.ref, gone.ref, RULES))

    with pytest.raises(WrongState, match="itself"):
        merge(a, a)
    first = merge(b, a)
    with pytest.raises(WrongState):
        merge(a, b)
    merge(c, b)
    for survivor, gone in ((a, c), (b, c), (c, a)):
        with pytest.raises(WrongState):
            merge(survivor, gone)
    found = hospital.ris.look(lambda view: patients.find(view, a.identifier, RULES))
    assert found is not None and found.ref == c.ref
    with pytest.raises(WrongState, match="since"):
        hospital.ris.change(lambda work: patients.unmerge(work, by(), first.ref, RULES))


def test_a_changed_id_is_found_under_both(hospital: Hospital) -> None:
    patient = hospital.patient("OLD")
    for new in ("NEW", "OLD", "NEWER"):
        hospital.ris.change(
            lambda work, new=new: patients.change_identifier(work, by(), patient.ref, Identifier(new), RULES)
        )
    for value in ("OLD", "NEW", "NEWER"):
        found = hospital.ris.look(lambda view, value=value: patients.find(view, Identifier(value), RULES))
        assert found is not None and found.ref == patient.ref


def test_what_a_message_leaves_empty_stays_as_it_is_known(hospital: Hospital) -> None:
    known = hospital.patient("7", name="Doe^Jane", weight="70")
    told = Patient(Identifier("7"), "Doe-Roe^Jane", sex="F")
    after = hospital.ris.change(lambda work: patients.add_or_update(work, by(), told, RULES))
    assert (after.ref, after.name, after.weight, after.birth_date) == (known.ref, "Doe-Roe^Jane", "70", "19700101")


@pytest.mark.parametrize(
    "wrong",
    [
        {"identifier": Identifier("")},
        {"identifier": Identifier("x" * 65)},
        {"name": "a\rb"},
        {"birth_date": "19701301"},
        {"sex": "X"},
        {"name": "a=b=c=d"},
    ],
)
def test_a_patient_who_could_not_be_written_into_an_image_is_refused(hospital: Hospital, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        patient = Patient(**({"identifier": Identifier("1"), "name": "A^B"} | wrong))
        hospital.ris.change(lambda work: patients.add(work, by(), patient, RULES))


def test_patients_are_found_by_a_word_of_their_name_and_by_the_beginning_of_their_id(hospital: Hospital) -> None:
    jane = hospital.patient("4711", name="Müller^Jane")
    yamada = hospital.patient("99", name="Yamada^Tarou=山田^太郎=やまだ^たろう")
    hospital.patient("5", name="100%^Wild_card")
    look = hospital.ris.look
    assert refs(look(lambda view: view.patients(text="mull"))) == [jane.ref]
    assert refs(look(lambda view: view.patients(text="jane"))) == [jane.ref]
    assert refs(look(lambda view: view.patients(text="471"))) == [jane.ref]
    assert refs(look(lambda view: view.patients(text="山田"))) == [yamada.ref]
    assert refs(look(lambda view: view.patients(text="%"))) == []


# -- orders and schedule


def test_every_change_is_an_event_with_who_when_and_why(hospital: Hospital) -> None:
    patient = hospital.patient()
    since = hospital.ris.look(lambda view: view.last_event())
    order, procedure = hospital.order(patient)
    step = hospital.step(procedure)
    hospital.ris.change(lambda work: schedule.advance(work, by("desk", "came in"), step.ref, StepVerb.ARRIVE))
    events = hospital.ris.look(lambda view: view.events(since))
    assert [event.kind for event in events] == [
        "order-placed", "procedure-added", "order-state", "step-scheduled", "step-state",
    ]  # fmt: skip
    last = events[-1]
    assert (last.who, last.why, last.at, last.order, last.step) == ("desk", "came in", NOW, order.ref, step.ref)
    assert last.detail == {"from": "SCHEDULED", "to": "ARRIVED", "verb": "arrive"}
    assert [event.id for event in events] == sorted(event.id for event in events)


def test_a_change_that_fails_leaves_no_trace_and_no_event(hospital: Hospital) -> None:
    patient = hospital.patient()
    since = hospital.ris.look(lambda view: view.last_event())

    def work(unit: Any) -> None:
        patients.update(unit, by(), patient.ref, RULES, name="Changed^Name")
        raise WrongState("no")

    with pytest.raises(WrongState):
        hospital.ris.change(work)
    assert hospital.get(patient).name == "Doe^Jane"
    assert hospital.ris.look(lambda view: view.events(since)) == []


def test_a_placer_order_number_that_is_known_is_refused(hospital: Hospital) -> None:
    patient = hospital.patient()
    hospital.order(patient, placer=Identifier("HIS-1", "HIS"))
    with pytest.raises(DuplicateRecord):
        hospital.order(patient, placer=Identifier("HIS-1", "HIS"))
    hospital.order(patient, placer=Identifier("HIS-1", "OTHER"))


def test_one_order_number_that_comes_many_times_at_once_is_one_order(open_ris: OpenRis, hospital: Hospital) -> None:
    different = [hospital.patient() for _ in range(6)]
    sites = [Hospital(ris) for ris in (hospital.ris, open_ris(), open_ris())]
    begin = threading.Barrier(6)

    def place(number: int) -> bool:
        theirs = {"filler": Identifier(f"F-{number}", "THEIRS"), "accession": f"A-{number}"}
        begin.wait()
        try:
            sites[number % 3].order(different[number], placer=Identifier("HIS-9", "HIS"), **theirs)
        except DuplicateRecord:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(place, range(6))).count(True) == 1


def test_a_cancelled_order_takes_its_steps_and_their_times_along(hospital: Hospital) -> None:
    _, order, _, step = hospital.planned()
    hospital.ris.change(lambda work: orders.cancel(work, by(), order.ref))
    assert hospital.get(order).state is OrderState.CANCELLED
    assert hospital.get(step).state is StepState.CANCELLED
    assert not hospital.ris.look(lambda view: view.find(Appointment, step=step.ref, active=1))
    with pytest.raises(WrongState, match="CANCELLED"):
        hospital.ris.change(lambda work: orders.cancel(work, by(), order.ref))


def test_two_steps_never_overlap_on_one_station(hospital: Hospital) -> None:
    patient = hospital.patient()
    _, procedure = hospital.order(patient)
    hospital.step(procedure, start=TODAY + "1000", minutes=30)
    for start, minutes in (("1000", 10), ("0945", 20), ("1029", 30), ("0900", 120)):
        with pytest.raises(SlotTaken):
            hospital.step(procedure, start=TODAY + start, minutes=minutes)
    hospital.step(procedure, start=TODAY + "1030", minutes=30)
    hospital.step(procedure, start=TODAY + "0930", minutes=30)
    hospital.step(procedure, station="MR1", start=TODAY + "1000", minutes=30)


def test_who_books_one_time_at_the_same_moment_finds_it_taken_but_for_one(
    open_ris: OpenRis, hospital: Hospital
) -> None:
    patient = hospital.patient()
    _, procedure = hospital.order(patient)
    stores = [hospital.ris, open_ris(), open_ris()]
    begin = threading.Barrier(6)

    def book(number: int) -> bool:
        begin.wait()
        try:
            stores[number % 3].change(
                lambda work: schedule.schedule(
                    work, by(), procedure.ref, "CT1", f"{TODAY}15{number * 5:02}", RULES, minutes=60
                )
            )
        except SlotTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        booked = list(pool.map(book, range(6)))
    assert booked.count(True) == 1
    assert len(hospital.ris.look(lambda view: view.appointments("CT1", TODAY + "000000", TODAY + "235959"))) == 1


def test_a_step_moves_with_its_time_and_frees_the_old_one(hospital: Hospital) -> None:
    patient = hospital.patient()
    _, procedure = hospital.order(patient)
    step = hospital.step(procedure, start=TODAY + "1000", minutes=30)
    other = hospital.step(procedure, start=TODAY + "1100", minutes=30)
    with pytest.raises(SlotTaken):
        hospital.ris.change(lambda work: schedule.move(work, by(), step.ref, RULES, start=TODAY + "1115"))
    assert hospital.get(step).start == TODAY + "100000"
    moved = hospital.ris.change(lambda work: schedule.move(work, by(), step.ref, RULES, start=TODAY + "1015"))
    assert (moved.start, moved.state) == (TODAY + "101500", StepState.SCHEDULED)
    moved = hospital.ris.change(lambda work: schedule.move(work, by(), step.ref, RULES, station="MR1"))
    assert (moved.stations, moved.modality) == (("MR1",), "MR")
    hospital.ris.change(lambda work: schedule.move(work, by(), other.ref, RULES, start=TODAY + "1015"))
    assert [one.ref for one in hospital.ris.look(lambda view: view.steps(stations=["CT1"]))] == [other.ref]


def test_a_station_is_closed_outside_its_hours_unless_it_must_be(hospital: Hospital) -> None:
    def work(unit: Any) -> None:
        station = schedule.find_station(unit, "CT1")
        import dataclasses

        opened = dataclasses.replace(
            station, hours=catalogue.hours("12345 0700-1800, 6 0800-1200"), closed=("20261225",)
        )
        catalogue.save_station(unit, by(), opened)

    hospital.ris.change(work)
    _, procedure = hospital.order(hospital.patient())
    for closed in ("202611240650", "202611241750", "202611290900", "202612250900"):
        with pytest.raises(SlotTaken, match="closed"):
            hospital.step(procedure, start=closed, minutes=20)
    hospital.step(procedure, start="202611291000", minutes=20, force=True)
    hospital.step(procedure, start="202611241740", minutes=20)
    free = hospital.ris.look(lambda view: schedule.slots(view, "CT1", TODAY, 60, every=30))
    assert (free[0], free[-1]) == (TODAY + "070000", TODAY + "163000")


def test_a_blocked_time_takes_no_steps_until_it_is_free_again(hospital: Hospital) -> None:
    _, procedure = hospital.order(hospital.patient())
    blocked = hospital.ris.change(
        lambda work: schedule.block(work, by(), "CT1", TODAY + "1200", TODAY + "1300", "service")
    )
    with pytest.raises(SlotTaken):
        hospital.step(procedure, start=TODAY + "1245")
    hospital.ris.change(lambda work: schedule.free(work, by(), blocked.ref))
    hospital.step(procedure, start=TODAY + "1245")


# -- performed steps


def test_a_performed_step_moves_its_step_and_order_along(hospital: Hospital) -> None:
    patient, order, procedure, step = hospital.planned()
    made = hospital.begin("1.9.1", step)
    assert (made.order, made.patient, made.steps, made.study_uid) == (
        order.ref, patient.ref, (step.ref,), procedure.study_uid,
    )  # fmt: skip
    assert hospital.get(step).state is StepState.STARTED
    assert hospital.get(order).state is OrderState.IN_PROGRESS
    with pytest.raises(DuplicateRecord):
        hospital.begin("1.9.1", step)
    done = hospital.end("1.9.1", images={"1.5": ["1.5.1", "1.5.2"]})
    assert (done.state, done.expected, done.images) == (PerformedState.COMPLETED, 2, Images.WAITING)
    assert hospital.get(step).state is StepState.COMPLETED
    assert hospital.get(order).state is OrderState.COMPLETED


def test_a_final_performed_step_never_changes(hospital: Hospital) -> None:
    _, _, _, step = hospital.planned()
    hospital.begin("1.9.2", step)
    hospital.end("1.9.2", "DISCONTINUED")
    before = hospital.ris.look(lambda view: view.first(PerformedStep, uid="1.9.2"))
    for status in ("COMPLETED", "IN PROGRESS", "DISCONTINUED"):
        with pytest.raises(WrongState):
            hospital.end("1.9.2", status)
    assert hospital.ris.look(lambda view: view.first(PerformedStep, uid="1.9.2")) == before
    assert hospital.get(step).state is StepState.DISCONTINUED
    with pytest.raises(NoSuchRecord):
        hospital.end("1.9.999")


def test_a_performed_step_that_begins_completed_is_refused(hospital: Hospital) -> None:
    from vesalius.ris import performed_steps

    with pytest.raises(BadRecord) as failed:
        hospital.ris.change(
            lambda work: performed_steps.create(work, by(), "1.9.3", {0x00400252: ("COMPLETED",)}, RULES)
        )
    assert failed.value.offending == (0x00400252,)


def test_the_append_case_starts_a_done_step_again(hospital: Hospital) -> None:
    _, order, _, step = hospital.planned()
    hospital.begin("1.9.4", step)
    hospital.end("1.9.4")
    since = hospital.ris.look(lambda view: view.last_event())
    hospital.begin("1.9.5", step)
    assert hospital.get(order).state is OrderState.IN_PROGRESS
    created = next(e for e in hospital.ris.look(lambda view: view.events(since)) if e.kind == "performed-created")
    assert created.detail["case"] == "append"
    hospital.end("1.9.5")
    assert hospital.get(step).state is StepState.COMPLETED
    assert hospital.get(order).state is OrderState.COMPLETED


def test_a_step_is_done_when_the_last_of_its_performed_steps_is(hospital: Hospital) -> None:
    _, order, _, step = hospital.planned()
    hospital.begin("1.9.6", step)
    hospital.begin("1.9.7", step)
    hospital.end("1.9.6")
    assert hospital.get(step).state is StepState.STARTED
    hospital.end("1.9.7")
    assert hospital.get(step).state is StepState.COMPLETED
    assert hospital.get(order).state is OrderState.COMPLETED


def test_an_unscheduled_step_belongs_to_its_patient_and_to_nobody_where_the_id_is_unknown(hospital: Hospital) -> None:
    patient = hospital.patient("77")
    known = hospital.begin("1.9.8", None, patient_id="77", study="1.2.840.1")
    unknown = hospital.begin("1.9.9", None, patient_id="78", study="1.2.840.2")
    assert (known.patient, known.order, known.steps) == (patient.ref, 0, ())
    assert (unknown.patient, unknown.order) == (0, 0)


def test_a_step_number_of_another_system_is_not_taken_for_ours(hospital: Hospital) -> None:
    _, _, _, step = hospital.planned()
    values = hospital.create_values(step)
    values[0x00400270] = ({0x0020000D: ("1.2.3.4",), 0x00080050: ("OTHER",), 0x00400009: (step.number,)},)
    from vesalius.ris import performed_steps

    made = hospital.ris.change(lambda work: performed_steps.create(work, by(), "1.9.10", values, RULES))
    assert made.steps == () and hospital.get(step).state is StepState.SCHEDULED


def test_what_was_sent_of_a_performed_step_is_kept_whole(hospital: Hospital) -> None:
    from vesalius.ris import performed_steps

    values = hospital.create_values(None, "1")
    values[0x00081032] = ({0x00080100: ("CTHEAD",), 0x00080102: ("99V",), 0x00080104: ("Schädel",)},)
    hospital.ris.change(lambda work: performed_steps.create(work, by(), "1.9.11", values, RULES))
    hospital.end("1.9.11", "IN PROGRESS", images={"1.6": ["1.6.1"]})
    kept = performed_steps.values_of(hospital.ris.look(lambda view: performed_steps.by_uid(view, "1.9.11")))
    assert kept[0x00081032] == values[0x00081032]
    assert kept[0x00400340][0][0x0020000E] == ("1.6",)  # type: ignore[index]
    assert kept[0x00400270] == values[0x00400270]


# -- worklist


def found(hospital: Hospital, caller: str = "CT1", **keys: Any) -> list[Any]:
    worklist = Worklist(hospital.ris, hospital.rules)
    step = {0x00400009: (), 0x00400001: (), 0x00400002: (), 0x00400003: (), 0x00080060: ()}
    tags = {"station": 0x00400001, "modality": 0x00080060, "date": 0x00400002, "time": 0x00400003}
    step |= {tags[name]: (value,) for name, value in keys.items() if name in tags}
    values: Any = {0x00100010: (keys.get("name", ""),), 0x00100020: (keys.get("patient", ""),), 0x00400100: (step,)}
    values[0x00080050] = (keys.get("accession", ""),)
    return [answer[0x00400100][0][0x00400009][0] for answer in worklist.find(worklist.understand(values), caller)]  # type: ignore[index]


def test_a_station_sees_its_department_and_nothing_of_another(hospital: Hospital) -> None:
    _, head = hospital.order(hospital.patient())
    ct, mr = hospital.step(head, "CT1", TODAY + "1000"), hospital.step(head, "MR1", TODAY + "1100")
    us = hospital.step(head, "US1", TODAY + "1200")
    assert found(hospital) == [ct.number, mr.number]
    assert found(hospital, "US1") == [us.number]
    assert found(hospital, "US1", station="CT1") == []
    assert found(hospital, "STRANGER") == []
    assert found(hospital.with_rules(worklist_open=True), "STRANGER") == [ct.number, mr.number, us.number]
    from vesalius.ris.rules import Scope

    assert found(hospital.with_rules(worklist_scope=Scope.STATION)) == [ct.number]
    assert found(hospital.with_rules(worklist_scope=Scope.ALL)) == [ct.number, mr.number, us.number]


def test_worklist_keys_match_as_the_standard_says(hospital: Hospital) -> None:
    doe, roe = hospital.patient("D1", name="Doe^Jane"), hospital.patient("R1", name="Yamada^Tarou=山田^太郎")
    first_order, first_head = hospital.order(doe)
    _, second_head = hospital.order(roe)
    first = hospital.step(first_head, "CT1", "202611240900")
    second = hospital.step(second_head, "MR1", "202611251500")
    both = [first.number, second.number]
    assert found(hospital, date="20261124") == [first.number]
    assert found(hospital, date="20261124-20261125") == both
    assert found(hospital, date="20261125-") == [second.number]
    assert found(hospital, date="-20261124") == [first.number]
    # One span of time: from the 24th, 10:00 to the 25th, 16:00 (PS3.4 table K.6-1).
    assert found(hospital, date="20261124-20261125", time="1000-1600") == [second.number]
    assert found(hospital, time="0800-1000") == [first.number]
    assert found(hospital, station="MR1") == [second.number]
    assert found(hospital, station="CT1", date="20261124", modality="CT") == [first.number]
    assert found(hospital, modality="US") == []
    assert found(hospital, name="doe*") == [first.number]
    assert found(hospital, name="山田*") == [second.number]
    assert found(hospital, name="DOE^JANE") == [first.number]
    assert found(hospital, name="*a*") == both
    assert found(hospital, patient="D1") == [first.number]
    assert found(hospital, patient="?1") == both
    assert found(hospital, accession=first_order.accession) == [first.number]
    assert found(hospital, accession="nope") == []


def test_a_step_leaves_the_worklist_when_it_is_started_or_as_the_house_says(hospital: Hospital) -> None:
    _, _, _, step = hospital.planned()
    assert found(hospital) == [step.number]
    hospital.ris.change(lambda work: schedule.advance(work, by(), step.ref, StepVerb.ARRIVE))
    assert found(hospital) == [step.number]
    hospital.begin("1.9.20", step)
    assert found(hospital) == []
    later = hospital.with_rules(worklist_states=(*RULES.worklist_states, StepState.STARTED))
    assert found(later) == [step.number]


def test_a_long_worklist_comes_in_order_and_whole(hospital: Hospital) -> None:
    _, procedure = hospital.order(hospital.patient())

    def work(unit: Any) -> None:
        for number in range(450):
            unit.add(
                ScheduledStep(
                    procedure.ref, procedure.order, procedure.patient, f"L{number:03}", ("CT1",),
                    modality="CT", start=f"202701{number % 28 + 1:02}120000",
                )
            )  # fmt: skip

    hospital.ris.change(work)
    answers = found(hospital)
    assert len(answers) == len(set(answers)) == 450
    assert answers[0] == "L000" and answers[-1] == "L447"


def test_the_orders_of_a_patient_come_newest_first(hospital: Hospital) -> None:
    patient = hospital.patient()
    placed = [hospital.order(patient)[0] for _ in range(3)]
    hospital.ris.change(lambda work: orders.cancel(work, by(), placed[0].ref))
    listed = hospital.ris.look(lambda view: view.orders(patient=patient.ref))
    assert refs(listed) == refs(placed[::-1])
    waiting = hospital.ris.look(lambda view: view.orders(states=["PLACED"]))
    assert refs(waiting) == refs(placed[:0:-1])
    assert isinstance(listed[0], Order)
