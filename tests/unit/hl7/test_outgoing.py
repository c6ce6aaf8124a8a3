"""From events of the workflow to messages: what, to whom, once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.hl7_mpps import completed, in_progress
from tests.support.hl7_site import BY, Site, adt, orm

from vesalius.hl7.config import Destination
from vesalius.hl7.outgoing import TOPICS, Composer
from vesalius.model.orders import By, ScheduledStep, Visit
from vesalius.model.steps import StepVerb
from vesalius.ports.hl7 import OutState
from vesalius.ris import performed_steps, schedule
from vesalius.wire.hl7_message import Message, parse

ALL = Destination(name="BILLING", host="127.0.0.1", port=1, application="SAP", facility="H", sends=frozenset(TOPICS))
DESK = By("desk", "2026-11-24T09:00:00.000000Z")
WHEN = "SC||1^^^20261125093000"


def told(site: Site, destination: Destination = ALL) -> list[Message]:
    """What is queued after every event was looked at."""
    follow(site, destination)
    return [parse(row.message.decode()) for row in site.log.next_out(destination.name, 1000)]


def follow(site: Site, destination: Destination, longest: int = 1000) -> None:
    compose = Composer(site.settings, destination, site.clock.utc)
    while site.log.follow(destination.name, compose, site.clock.utc(), longest=longest):
        pass


def kinds(messages: list[Message]) -> list[str]:
    return [f"{message.type}^{message.event}" for message in messages]


@pytest.fixture
def order(site: Site) -> Site:
    """A site where one order is planned; the destination has seen that already."""
    told(site)
    pv1 = "PV1|1|I" + "|" * 17 + "V17^^^H"
    site.ack(adt("A01", r"4711^^^H^MR||O'Neil \T\ Söhne^J||19800102|F", pv1))
    assert site.ack(orm("NW", "P1", pid="4711^^^H^MR||", orc=WHEN)) == "AA"
    return site


def step_of(site: Site) -> ScheduledStep:
    return site.ris.look(lambda view: view.find(ScheduledStep))[0]


def perform(site: Site, *, codes: bool = True, status: str = "COMPLETED") -> None:
    """What a modality tells by MPPS of the planned step, from begin to end."""
    begun, ended, uid = in_progress(site.ris, step_of(site)), completed(codes=codes, status=status), "1.2.826.1"
    site.ris.change(lambda work: performed_steps.create(work, BY, uid, begun, site.rules))
    site.ris.change(lambda work: performed_steps.update(work, BY, uid, ended, site.rules))


def test_a_planned_order_is_told_with_its_numbers_and_patient(order: Site) -> None:
    messages = told(order)
    assert sorted(kinds(messages)) == ["ORM^O01", "SIU^S12"]
    status = next(message for message in messages if message.type == "ORM")
    assert (status.value("ORC", 1), status.value("ORC", 5), status.value("OBR", 25)) == ("SC", "SC", "S")
    assert (status.value("ORC", 2), status.value("ORC", 2, 2)) == ("P1", "HIS")
    assert status.value("ORC", 3)
    assert status.value("OBR", 4) == "CTHEAD"
    assert status.value("OBR", 18) == order.orders()[0].accession
    assert (status.value("PID", 3), status.value("PID", 3, 4)) == ("4711", "H")
    assert status.value("PID", 5) == "O'Neil & Söhne"
    assert (status.msh.value(5), status.msh.value(6), status.msh.value(18)) == ("SAP", "H", "UNICODE UTF-8")
    booked = next(message for message in messages if message.type == "SIU")
    assert booked.value("SCH", 26) == "P1"
    assert (booked.value("AIS", 4), booked.value("AIL", 3)) == ("20261125093000", "CT1")
    assert booked.value("SCH", 25) == "Booked"


def test_each_event_is_told_once_however_often_it_is_looked_at(order: Site) -> None:
    first = told(order)
    assert [message.control_id for message in told(order)] == [message.control_id for message in first]


def test_a_destination_begins_with_what_happens_after_it_was_named(order: Site) -> None:
    late = replace(ALL, name="LATE")
    assert told(order, late) == []
    order.ack(orm("CA", "P1"))
    assert sorted(kinds(told(order, late))) == ["ORM^O01", "SIU^S15"]


def test_a_destination_gets_its_topics_and_nothing_else(site: Site) -> None:
    orders, silent = replace(ALL, name="A", sends=frozenset({"orders"})), replace(ALL, name="B", sends=frozenset())
    told(site, orders)
    told(site, silent)
    site.ack(orm("NW", "P1", orc=WHEN))
    assert kinds(told(site, orders)) == ["ORM^O01"]
    assert told(site, silent) == []


def test_a_system_is_not_told_what_it_commanded_itself(site: Site) -> None:
    his = replace(ALL, name="HIS")
    told(site, his)
    told(site)
    site.ack(orm("NW", "P1", orc=WHEN))
    site.ack(orm("CA", "P1"))
    assert sorted(kinds(told(site, his))) == ["ORM^O01", "SIU^S12", "SIU^S15"]
    assert kinds(told(site)).count("ORM^O01") == 2


def test_a_moved_and_a_missed_appointment_are_told(order: Site) -> None:
    told(order)
    step = step_of(order)
    order.ris.change(lambda work: schedule.move(work, DESK, step.ref, order.rules, start="20261126100000"))
    order.ris.change(lambda work: schedule.advance(work, DESK, step.ref, StepVerb.MISS))
    messages = [message for message in told(order) if message.type == "SIU"]
    assert kinds(messages) == ["SIU^S12", "SIU^S13", "SIU^S26"]
    assert [message.value("AIS", 4) for message in messages] == ["20261125093000", "20261126100000", "20261126100000"]
    assert messages[2].value("SCH", 25) == "Noshow"


def test_a_completed_performed_step_is_charged_by_what_was_performed(order: Site) -> None:
    perform(order)
    (charge,) = [message for message in told(order) if message.type == "DFT"]
    assert charge.event == "P03"
    assert [ft1.value(7) for ft1 in charge.all("FT1")] == ["C100", "C200"]
    ft1 = charge.all("FT1")[0]
    assert (ft1.value(6), ft1.value(10), ft1.value(23)) == ("CG", "1", order.orders()[0].filler.value)
    states = [message.value("ORC", 5) for message in told(order) if message.type == "ORM"]
    assert states == ["SC", "IP", "CM"]


def test_without_performed_codes_what_was_ordered_is_charged(order: Site) -> None:
    perform(order, codes=False)
    (charge,) = [message for message in told(order) if message.type == "DFT"]
    assert [ft1.value(7) for ft1 in charge.all("FT1")] == ["CTHEAD"]


def test_a_discontinued_performed_step_is_not_charged(order: Site) -> None:
    perform(order, status="DISCONTINUED")
    assert "DFT^P03" not in kinds(told(order))


def test_a_status_as_omi_names_accession_number_and_study(site: Site) -> None:
    omi = replace(ALL, order_message="OMI", sends=frozenset({"orders"}))
    told(site, omi)
    site.ack(orm("NW", "P1", orc=WHEN))
    (message,) = told(site, omi)
    assert message.event == "O23"
    assert message.value("IPC", 1) == site.orders()[0].accession
    assert message.value("IPC", 3).startswith(("1.", "2."))
    assert (message.value("IPC", 5), message.value("IPC", 9)) == ("CT", "CT1")


def test_what_does_not_fit_a_destinations_character_set_goes_out_as_utf_8_and_says_so(site: Site) -> None:
    latin = replace(ALL, charset="8859/1", sends=frozenset({"orders"}))
    told(site, latin)
    for number, name in (("P1", "Müller"), ("P2", "山田")):
        site.ack(orm("NW", number, pid=f"{number}^^^H||{name}", orc=WHEN))
    follow(site, latin)
    first, second = site.log.next_out(latin.name, 10)
    assert "Müller".encode("latin_1") in first.message
    assert b"|8859/1" in first.message
    assert "山田".encode() in second.message
    assert b"|UNICODE UTF-8" in second.message


def test_what_came_in_as_data_goes_out_as_data(site: Site) -> None:
    """T16: a carriage return in PID-5 makes no segment downstream."""
    told(site)
    site.ack(adt("A04", r"4711^^^H^MR||Evil\X0D\PID\F\x\S\y^J"))
    site.ack(orm("NW", "P1", pid=r"4711^^^H^MR||Evil\X0D\PID\F\x\S\y^J", orc=WHEN))
    for message in told(site):
        assert len(message.all("PID")) == 1
        assert message.value("PID", 3) == "4711"
        assert message.value("PID", 5) == "Evil PID|x y"


def test_events_wait_while_the_queue_is_full_and_go_on_afterwards(site: Site) -> None:
    follow(site, ALL)
    for number in ("P1", "P2", "P3"):
        site.ack(orm("NW", number, orc=WHEN))
    follow(site, ALL, longest=2)
    waiting = len(site.log.next_out(ALL.name, 100))
    assert waiting >= 2
    site.ack(orm("CA", "P1"))
    follow(site, ALL, longest=2)
    assert len(site.log.next_out(ALL.name, 100)) == waiting, "the event waits in its own table"
    for row in site.log.next_out(ALL.name, 100):
        site.log.sent(row.id, "AA", b"", site.clock.utc())
    follow(site, ALL, longest=2)
    assert sorted(row.type for row in site.log.outgoing(states=[OutState.WAITING])) == ["ORM^O01", "SIU^S15"]


def test_a_visit_is_not_needed_to_tell_of_an_order(site: Site) -> None:
    told(site)
    site.ack(orm("NW", "P1", orc=WHEN))
    assert site.ris.look(lambda view: view.find(Visit)) == []
    assert all(message.first("PV1") is None for message in told(site))
