"""What each message does to the workflow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.hl7_site import BY, HIS, Site, adt, msh, orm, said

from vesalius.hl7.handlers import HANDLERS
from vesalius.hl7.orders import find_stations
from vesalius.model.orders import Appointment, Identifier, Merge, Order, Patient, Priority, RequestedProcedure, Visit
from vesalius.model.orders import ScheduledStep as Step
from vesalius.model.steps import OrderState, StepState
from vesalius.ris import patients
from vesalius.standard.hl7_tables import MESSAGES

DOE = "4711^^^H^MR||Doe^Jane^A^III^Dr||19800102|F"


def test_every_message_that_is_announced_has_a_handler_and_no_other_has() -> None:
    assert set(HANDLERS) == {(kind.type, kind.event) for kind in MESSAGES}


# -- ADT


@pytest.mark.parametrize("event", ["A01", "A04", "A05"])
def test_an_admission_makes_the_patient_and_the_visit(site: Site, event: str) -> None:
    pv1 = "PV1|1|I|W1^R2^B3||||99^Smith^Tom|88^Jones^Ann|||||||||||V17^^^H" + "|" * 25 + "20261124081500"
    assert (
        site.ack(adt(event, "4711^^^H^MR~99^^^SSA^SS||Doe^Jane^A^III^Dr||19800102|F|||Street 1^^Town||555-1", pv1))
        == "AA"
    )
    (patient,) = site.patients()
    assert patient.identifier == Identifier("4711", "H", "MR")
    assert patient.others == (Identifier("99", "SSA", "SS"),)
    assert (patient.name, patient.birth_date, patient.sex) == ("Doe^Jane^A^Dr^III", "19800102", "F")
    assert (patient.address, patient.telephone) == ("Street 1, Town", "555-1")
    (visit,) = site.ris.look(lambda view: view.find(Visit))
    assert visit.number == Identifier("V17", "H")
    assert (visit.kind, visit.location, visit.state) == ("I", "W1 R2 B3", "open")
    assert (visit.attending, visit.referring) == ("Smith^Tom", "Jones^Ann")
    assert visit.admitted == "20261124081500"


def test_an_update_keeps_what_it_leaves_empty_and_deletes_what_it_says_is_deleted(site: Site) -> None:
    site.ack(adt("A04", DOE + "|||Street 1||555-1"))
    assert site.ack(adt("A08", '4711^^^H^MR||Roe^Jane||||||""')) == "AA"
    (patient,) = site.patients()
    assert (patient.name, patient.birth_date, patient.sex) == ("Roe^Jane", "19800102", "F")
    assert (patient.address, patient.telephone) == ("", "555-1")


def test_an_update_of_somebody_unknown_is_an_error_and_makes_nobody(site: Site) -> None:
    assert site.ack(adt("A08", DOE)) == "AE 204 PID-3"
    assert site.patients() == []


def test_a_person_is_added_once_and_another_person_under_the_same_identifier_is_refused(site: Site) -> None:
    assert site.ack(adt("A28", DOE)) == "AA"
    assert site.ack(adt("A28", DOE)) == "AA"
    assert site.ack(adt("A28", "4711^^^H^MR||Other^One||19500101|M")) == "AE 205 PID-3"
    assert [patient.name for patient in site.patients()] == ["Doe^Jane^A^Dr^III"]


def test_a_person_is_updated_or_added(site: Site) -> None:
    assert site.ack(adt("A31", DOE)) == "AA"
    assert site.ack(adt("A31", "4711^^^H^MR||Doe^Janet")) == "AA"
    assert [patient.name for patient in site.patients()] == ["Doe^Janet"]


def test_names_in_three_representations_become_the_groups_of_a_name(site: Site) -> None:
    name = "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"
    assert site.ack(adt("A04", f"1^^^H||{name}", f18="UNICODE UTF-8")) == "AA"
    assert site.patients()[0].name == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_a_name_never_gains_a_component_from_what_is_escaped_in_it(site: Site) -> None:
    assert site.ack(adt("A04", r"1^^^H||Do\S\e\X0D\PID=x^J\T\n\E\e")) == "AA"
    assert site.patients()[0].name == "Do e PID x^J&n/e"


def test_a_cancelled_admission_cancels_the_visit_and_a_cancelled_discharge_opens_it(site: Site) -> None:
    pv1 = "PV1|1|I" + "|" * 17 + "V17^^^H"
    site.ack(adt("A01", DOE, pv1))
    assert site.ack(adt("A11", DOE, pv1)) == "AA"
    assert site.ris.look(lambda view: view.find(Visit))[0].state == "cancelled"
    (visit,) = site.ris.look(lambda view: view.find(Visit))
    site.ris.change(lambda work: patients.discharge(work, BY, visit.ref, "20261124100000"))
    assert site.ack(adt("A13", DOE, pv1)) == "AA"
    assert site.ris.look(lambda view: view.find(Visit))[0].state == "open"
    assert site.ack(adt("A13", DOE, "PV1|1|I" + "|" * 17 + "V99^^^H")) == "AE 204 PV1-19"
    assert site.ack(adt("A11", "1^^^H||X", pv1)) == "AE 204 PID-3"


def test_a_merge_moves_orders_and_can_be_taken_back(site: Site) -> None:
    site.ack(adt("A04", DOE))
    site.ack(adt("A04", "12^^^H^MR||Doe^J"))
    site.ack(orm("NW", "P1", pid="12^^^H^MR||Doe^J"))
    assert site.ack(adt("A40", DOE, "MRG|12^^^H^MR")) == "AA"
    keep, gone = site.patients()
    assert gone.merged_into == keep.ref
    assert site.orders()[0].patient == keep.ref
    (merge,) = site.ris.look(lambda view: view.find(Merge))
    assert merge.who == "hl7:HIS"
    site.ris.change(lambda work: patients.unmerge(work, BY, merge.ref, site.rules))
    assert site.orders()[0].patient == gone.ref


def test_a_merge_of_somebody_unknown_is_remembered_for_images_that_come_later(site: Site) -> None:
    assert site.ack(adt("A40", DOE, "MRG|12^^^H^MR")) == "AA"
    found = site.ris.look(lambda view: patients.find(view, Identifier("12", "H"), site.rules))
    assert found is not None
    assert found.identifier.value == "4711"


@pytest.mark.parametrize("second", ["same", "again", "loop"])
def test_merges_onto_itself_and_in_circles_are_errors_and_one_that_is_done_is_not(site: Site, second: str) -> None:
    site.ack(adt("A40", DOE, "MRG|12^^^H^MR"))
    before = site.patients()
    if second == "same":
        assert site.ack(adt("A40", DOE, "MRG|4711^^^H^MR")) == "AE 102 MRG-1"
    elif second == "again":
        assert site.ack(adt("A40", DOE, "MRG|12^^^H^MR")) == "AA"
    else:
        assert site.ack(adt("A40", "12^^^H^MR||Doe", "MRG|4711^^^H^MR")).startswith("AE 205 MRG-1")
    assert site.patients() == before


def test_a_loop_over_three_is_an_error(site: Site) -> None:
    for keep, gone in (("B", "A"), ("C", "B")):
        assert site.ack(adt("A40", f"{keep}^^^H||Doe", f"MRG|{gone}^^^H")) == "AA"
    assert site.ack(adt("A40", "A^^^H||Doe", "MRG|C^^^H")).startswith("AE 205")


def test_two_merges_in_one_message_are_done_together_or_not_at_all(site: Site) -> None:
    text = msh("ADT^A40") + "EVN|A40\rPID|1||1^^^H||A\rMRG|2^^^H\rPID|1||3^^^H||B\rMRG|4^^^H\r"
    assert site.ack(text) == "AA"
    assert sum(bool(patient.merged_into) for patient in site.patients()) == 2
    bad = msh("ADT^A40") + "EVN|A40\rPID|1||5^^^H||A\rMRG|6^^^H\rPID|1||7^^^H||B\rMRG|7^^^H\r"
    before = site.patients()
    assert site.ack(bad) == "AE 102 MRG-1"
    assert site.patients() == before


@pytest.mark.parametrize("event", ["A40", "A47"])
def test_merges_count_from_named_senders_only(site: Site, event: str) -> None:
    site.settings = replace(site.settings, sources=(replace(HIS, merges=False),))
    site.intake = site.new_intake()
    assert site.ack(adt(event, DOE, "MRG|12^^^H^MR")) == "AR 201 MSH-9.2"
    assert site.patients() == []


def test_another_identifier_is_the_same_patient(site: Site) -> None:
    site.ack(adt("A04", DOE))
    assert site.ack(adt("A47", "NEW^^^H^MR||Doe^Jane", "MRG|4711^^^H^MR")) == "AA"
    for number in ("NEW", "4711"):
        found = site.ris.look(lambda view, number=number: patients.find(view, Identifier(number, "H"), site.rules))
        assert found is not None
        assert found.identifier.value == "NEW"
        assert found.birth_date == "19800102"


# -- orders


def test_a_new_order_is_placed_with_its_numbers_and_planned_when_it_says_when(site: Site) -> None:
    text = orm(
        "NW", "P1", orc="SC||1^^^20261125093000^^S||20261124080000|||3850^House^Greg", obr="||||||||Trauma",
    )  # fmt: skip
    assert site.ack(text) == "AA"
    (order,) = site.orders()
    assert order.placer == Identifier("P1", "HIS")
    assert order.filler.value
    assert order.accession
    assert (order.priority, order.ordering, order.state) == (Priority.STAT, "House^Greg", OrderState.SCHEDULED)
    assert order.entered_at == "20261124080000"
    (procedure,) = site.ris.look(lambda view: view.find(RequestedProcedure))
    assert (procedure.description, procedure.reason) == ("CT head", "Trauma")
    (step,) = site.ris.look(lambda view: view.find(Step))
    assert (step.stations, step.start, step.minutes, step.modality) == (("CT1",), "20261125093000", 20, "CT")
    assert [code.value for code in step.protocols] == ["P1"]


def test_a_second_order_at_that_time_gets_the_other_station_and_a_third_none(site: Site) -> None:
    when = "SC||1^^^20261125093000"
    for number in ("P1", "P2", "P3"):
        assert site.ack(orm("NW", number, orc=when)) == "AA"
    steps = site.ris.look(lambda view: view.find(Step))
    assert [step.stations for step in steps] == [("CT1",), ("CT2",), ()]
    assert {step.modality for step in steps} == {"CT"}
    assert len(site.ris.look(lambda view: view.find(Appointment))) == 2


def test_an_order_with_a_station_accession_number_and_study_uid_of_its_own(site: Site) -> None:
    text = orm(
        "NW", "P1", kind="OMI^O23", more="IPC|ACC9|RP9|1.2.3.4|SPS9|CT|||CT two|CT2\rTQ1|1||||||20261125110000||A"
    )
    assert site.ack(text) == "AA"
    (order,) = site.orders()
    assert (order.accession, order.priority) == ("ACC9", Priority.HIGH)
    (procedure,) = site.ris.look(lambda view: view.find(RequestedProcedure))
    assert (procedure.number, procedure.study_uid) == ("RP9", "1.2.3.4")
    (step,) = site.ris.look(lambda view: view.find(Step))
    assert (step.stations, step.start) == (("CT2",), "20261125110000")


def test_an_order_of_an_unknown_procedure_is_placed_and_waits_for_a_person(site: Site) -> None:
    assert site.ack(orm("NW", "P1", code="X99^Unheard of^L", orc="SC||1^^^20261125093000", kind="OMG^O19")) == "AA"
    assert site.orders()[0].state is OrderState.PLACED
    assert site.ris.look(lambda view: view.find(RequestedProcedure))[0].description == "Unheard of"
    assert site.ris.look(lambda view: view.find(Step)) == []


def test_two_orders_in_one_message_are_two_orders_and_two_obr_two_procedures(site: Site) -> None:
    text = msh("ORM^O01") + (
        "PID|1||4711^^^H^MR||Doe^Jane\rPV1|1|O\r"
        "ORC|NW|P1^HIS\rOBR|1|||CTHEAD^CT^L\rNTE|1||first\rOBR|2|||MRBRAIN^MR^L\rORC|NW|P2^HIS\rOBR|1|||MRBRAIN^MR^L\r"
    )
    assert site.ack(text) == "AA"
    orders = site.orders()
    assert [order.placer.value for order in orders] == ["P1", "P2"]
    procedures = site.ris.look(lambda view: view.find(RequestedProcedure))
    assert [procedure.order for procedure in procedures] == [orders[0].ref, orders[0].ref, orders[1].ref]
    assert orders[0].comments == "first"


def test_the_second_order_being_wrong_leaves_nothing_of_the_first(site: Site) -> None:
    text = msh("ORM^O01") + (
        "PID|1||4711^^^H^MR||Doe^Jane\rORC|NW|P1^HIS\rOBR|1|||CTHEAD^CT^L\rORC|NW|P2^HIS\rOBR|1||||\r"
    )
    assert site.ack(text) == "AE 101 OBR-4"
    assert (site.orders(), site.patients()) == ([], [])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (orm("NW", "", pid="1^^^H||X").replace("|^HIS", "|"), "AE 101 ORC-2"),
        (orm("NW", "P1", pid="||Doe^Jane"), "AE 101 PID-3"),
        (orm("NW", "P1", code=""), "AE 101 OBR-4"),
        (orm("", "P1"), "AE 101 ORC-1"),
        (orm("QQ", "P1"), "AE 103 ORC-1"),
        (orm("CA", "P1"), "AE 204 ORC-2"),
        (orm("XO", "P1"), "AE 204 ORC-2"),
        (orm("NW", "P1", orc="SC||1^^^nonsense"), "AE 102 ORC-7.4"),
        (orm("NW", "P1", orc="SC||1^^^20261399"), "AE 102 ORC-7.4"),
        (msh("ORM^O01") + "ORC|NW|P1^HIS\rOBR|1|||CTHEAD\r", "AE 100 PID"),
        (orm("NW", "P1", pid="1^^^H||X||nonsense"), "AE 102 PID-7"),
        (orm("NW", "P1", pid="1^^^H||X|||Q"), "AE 103 PID-8"),
    ],
)
def test_orders_that_cannot_be_taken_say_why_and_leave_nothing(site: Site, text: str, answer: str) -> None:
    assert site.ack(text) == answer
    assert (site.orders(), site.patients()) == ([], [])


def test_the_same_placer_number_twice_is_a_duplicate(site: Site) -> None:
    assert site.ack(orm("NW", "P1")) == "AA"
    assert site.ack(orm("NW", "P1")) == "AE 205"
    assert len(site.orders()) == 1


@pytest.mark.parametrize(
    ("control", "status", "state"),
    [
        ("CA", "", OrderState.CANCELLED),
        ("OC", "", OrderState.CANCELLED),
        ("DC", "", OrderState.CANCELLED),
        ("HD", "", OrderState.HELD),
        ("SC", "CA", OrderState.CANCELLED),
        ("SC", "HD", OrderState.HELD),
        ("SC", "CM", OrderState.SCHEDULED),
    ],
)
def test_an_order_is_cancelled_held_and_told_of(site: Site, control: str, status: str, state: OrderState) -> None:
    site.ack(orm("NW", "P1", orc="SC||1^^^20261125093000"))
    assert site.ack(orm(control, "P1", orc=status)) == "AA"
    assert site.ack(orm(control, "P1", orc=status)) == "AA", "said twice is done once"
    assert site.orders()[0].state is state
    if state is OrderState.CANCELLED:
        assert site.ris.look(lambda view: view.find(Step))[0].state is StepState.CANCELLED
        assert site.ris.look(lambda view: view.find(Appointment, active=1)) == []


def test_a_held_order_is_released(site: Site) -> None:
    site.ack(orm("NW", "P1"))
    site.ack(orm("HD", "P1"))
    assert site.ack(orm("RL", "P1")) == "AA"
    assert site.orders()[0].state is OrderState.PLACED


def test_a_changed_order_moves_its_step_and_keeps_what_is_not_said(site: Site) -> None:
    site.ack(orm("NW", "P1", orc="SC||1^^^20261125093000||||" + "|1^House^Greg"))
    assert site.ack(orm("XO", "P1", orc="SC||1^^^20261125120000^^A")) == "AA"
    (order,) = site.orders()
    assert (order.priority, order.ordering) == (Priority.HIGH, "House^Greg")
    (step,) = site.ris.look(lambda view: view.find(Step))
    assert step.start == "20261125120000"
    assert site.ack(orm("XO", "P1", code="MRBRAIN^MR^L")) == "AE 102 OBR-4"


def test_a_message_about_the_order_of_another_patient_is_refused(site: Site) -> None:
    site.ack(orm("NW", "P1"))
    site.ack(adt("A04", "666^^^H||Other^One"))
    assert site.ack(orm("CA", "P1", pid="666^^^H||Other^One")) == "AE 204 PID-3"
    assert site.orders()[0].state is OrderState.PLACED


# -- appointments


def _siu(event: str, *, sch: str = "A1^SCHED", order: str = "", when: str = "20261126100000", pid: str = "4711^^^H^MR",
         ais: str = "CTHEAD^CT^L", where: str = "") -> str:  # fmt: skip
    lines = [f"SCH|{sch}" + "|" * 25 + order, f"PID|1||{pid}||Doe^Jane", "RGS|1", f"AIS|1|A|{ais}|{when}|||20|min"]
    if where:
        lines.append(f"AIL|1|A|{where}")
    return msh(f"SIU^{event}") + "".join(line + "\r" for line in lines)


def test_an_appointment_plans_the_order_that_it_names_moves_and_cancels_it(site: Site) -> None:
    site.ack(orm("NW", "P1"))
    assert site.ack(_siu("S12", order="P1^HIS", where="R2")) == "AA"
    (step,) = site.ris.look(lambda view: view.find(Step))
    assert (step.start, step.stations, step.minutes) == ("20261126100000", ("CT2",), 20)
    assert site.ack(_siu("S13", order="P1^HIS", when="20261127110000")) == "AA"
    (step,) = site.ris.look(lambda view: view.find(Step))
    assert (step.start, step.stations) == ("20261127110000", ("CT2",))
    assert site.ack(_siu("S14", order="P1^HIS", when="20261127110000", where="CT1")) == "AA"
    assert site.ris.look(lambda view: view.find(Step))[0].stations == ("CT1",)
    assert site.ack(_siu("S15", order="P1^HIS")) == "AA"
    assert site.ris.look(lambda view: view.find(Step))[0].state is StepState.CANCELLED
    assert site.orders()[0].state is OrderState.PLACED, "the order stays"


def test_an_appointment_without_an_order_places_one_and_takes_it_along(site: Site) -> None:
    assert site.ack(_siu("S12")) == "AA"
    (order,) = site.orders()
    assert (order.placer, order.state) == (Identifier("A1", "SCHED"), OrderState.SCHEDULED)
    assert site.ack(_siu("S13", when="20261127110000")) == "AA"
    assert site.ris.look(lambda view: view.find(Step))[0].start == "20261127110000"
    assert site.ack(_siu("S15")) == "AA"
    assert site.orders()[0].state is OrderState.CANCELLED


@pytest.mark.parametrize("event", ["S13", "S14", "S15"])
def test_a_change_of_an_appointment_that_nobody_knows_is_an_error(site: Site, event: str) -> None:
    assert site.ack(_siu(event)) == "AE 204 SCH-1"


def test_a_moved_appointment_that_would_overlap_is_refused_and_stays(site: Site) -> None:
    site.ack(_siu("S12", where="CT1"))
    site.ack(_siu("S12", sch="A2^SCHED", when="20261126120000", where="CT1"))
    assert site.ack(_siu("S13", sch="A2^SCHED", where="CT1")) == "AE 206"
    assert site.ris.look(lambda view: view.find(Step))[1].start == "20261126120000"


def test_stations_are_found_by_title_name_and_room(site: Site) -> None:
    def names(name: str) -> list[str]:
        return site.ris.change(lambda work: [one.aet for one in find_stations(work, name)])

    assert (names("CT1"), names("CT two"), names("R3"), names("?")) == (["CT1"], ["CT2"], ["MR1"], [])


# -- queries


def _qbp(*parameters: str, most: str = "") -> str:
    quantity = f"{most}^RD" if most else ""
    qpd = f"QPD|Q22^Find Candidates^HL70471|TAG1|{'~'.join(parameters)}"
    return msh("QBP^Q22") + f"{qpd}\rRCP|I|{quantity}\r"


def test_candidates_are_found_by_identifier_name_and_birth_date(site: Site) -> None:
    site.ack(adt("A04", DOE))
    site.ack(adt("A04", "12^^^H^MR||Döring^Jan||19700101|M"))
    site.ack(adt("A04", "13^^^H^MR||Doe^John||19800102|M"))

    def found(*parameters: str, most: str = "") -> list[str]:
        (reply,) = site.send(_qbp(*parameters, most=most))
        assert reply.msh.value(9, 2) == "K22"
        assert reply.value("MSA", 1) == "AA"
        assert reply.value("QAK", 1) == "TAG1"
        names = [pid.value(5) + "^" + pid.value(5, 2) for pid in reply.all("PID")]
        assert reply.value("QAK", 2) == ("OK" if names else "NF")
        assert reply.value("QPD", 3, 1) == parameters[0].split("^")[0]
        return sorted(names)

    assert found("@PID.3.1^4711", "@PID.3.4^H") == ["Doe^Jane"]
    assert found("@PID.5.1^doe") == ["Doe^Jane", "Doe^John"]
    assert found("@PID.5.1^do*", "@PID.8^M") == ["Doe^John", "Döring^Jan"]
    assert found("@PID.5.1^Doe", "@PID.5.2^jan") == ["Doe^Jane"]
    assert found("@PID.7^19800102") == ["Doe^Jane", "Doe^John"]
    assert len(found("@PID.5.1^Doe", most="1")) == 1
    assert found("@PID.5.1^Nobody") == []


@pytest.mark.parametrize(
    ("parameters", "answer"), [(("@PID.8^M",), "AE 101 QPD-3"), (("@PV1.3^X",), "AE 103 QPD-3"), ((), "AE 101 QPD-3")]
)
def test_a_query_for_everybody_or_for_what_is_not_known_is_an_error(
    site: Site, parameters: tuple[str, ...], answer: str
) -> None:
    site.ack(adt("A04", DOE))
    (reply,) = site.send(_qbp(*parameters))
    assert said(reply) == answer
    assert reply.all("PID") == []


# -- sources


def test_a_source_says_where_it_writes_what(site: Site) -> None:
    fields = {"order.accession": "OBR-20.1 | ORC-3.1", "order.service": "=Radiology", "patient.id": "PID-2"}
    site.settings = replace(site.settings, sources=(replace(HIS, fields=fields, issuer="HIS-IDS"),))
    site.intake = site.new_intake()
    obr = "|" * 15 + "ACC77"
    assert site.ack(orm("NW", "P1", obr=obr).replace("PID|1||4711^^^H^MR|", "PID|1|815||")) == "AA"
    (order,) = site.orders()
    assert (order.accession, order.service) == ("ACC77", "Radiology")
    assert site.patients()[0].identifier == Identifier("815", "HIS-IDS")


def test_events_say_which_source_and_message_they_come_from(site: Site) -> None:
    site.ack(orm("NW", "P1", control_id="M-77"))
    events = site.ris.look(lambda view: view.events(0))
    placed = next(event for event in events if event.kind == "order-placed")
    assert (placed.who, placed.why) == ("hl7:HIS", "ORM^O01 M-77")
    assert isinstance(site.orders()[0], Order)
    assert isinstance(site.patients()[0], Patient)


def test_a_name_that_slipped_into_the_header_is_not_logged(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost segment end may put PID-5 where the type or the control id belong."""
    for text in (
        msh("Geheimrat^Otto", "Geheimrat"),
        msh("ADT^A04", "Geheimrat") + "EVN|A04\rPID|1||\rPV1|1|O\r",
        adt("A04", DOE, control_id="Geheimrat"),
        adt("A04", "9^^^H||Other", control_id="Geheimrat"),
    ):
        site.ack(text)
    logged = capsys.readouterr()
    assert "hl7-refused" in logged.out + logged.err
    assert "Geheimrat" not in logged.out + logged.err
