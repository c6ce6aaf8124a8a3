"""The contract of `ports.hl7.Hl7Log`, for SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vesalius.backends.database import open_database
from vesalius.backends.hl7_sql import SqlHl7Log
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.orders import By, Identifier, Patient
from vesalius.ports.hl7 import Arrival, Backlog, Draft, InState, Known, OutState, Verdict
from vesalius.ports.ris import RisWork
from vesalius.ris import patients
from vesalius.ris.rules import RisRules

BY = By("hl7:HIS", "2026-11-24T08:00:00.000000Z")
NOW, SOON, LATER = (f"2026-11-24T08:0{minute}:00.000000Z" for minute in (0, 1, 2))
DONE = Verdict(InState.DONE, "AA", "", b"ack")
REFUSED = Verdict(InState.REFUSED, "AE", "204 PID-3", b"nack")


@pytest.fixture
def log(database_url: str) -> Iterator[SqlHl7Log]:
    database = open_database(database_url)
    yield SqlHl7Log(database)
    database.close()


def arrival(control_id: str = "1", content: bytes = b"MSH|one", at: str = NOW, source: str = "HIS") -> Arrival:
    return Arrival(source, "APP", "FAC", control_id, "ADT^A04", "127.0.0.1", at, content, content)


def draft(key: str, destination: str = "HIS") -> Draft:
    return Draft(key, destination, f"C{key}", "ORM^O01", key.encode())


# -- inbox


def test_an_arrival_is_new_then_in_hand_then_done(log: SqlHl7Log) -> None:
    first = log.receive(arrival(), "p1", LATER)
    assert first.known is Known.NEW
    assert (first.row.state, first.row.message) == (InState.RECEIVED, b"MSH|one")
    assert log.receive(arrival(), "p2", LATER).known is Known.BUSY
    assert log.settle(first.row.id, "p1", DONE, SOON)
    again = log.receive(arrival(), "p2", LATER)
    assert (again.known, again.row.ack, again.row.id) == (Known.DONE, b"ack", first.row.id)


def test_other_content_under_a_control_id_is_told_while_it_is_in_hand_and_afterwards(log: SqlHl7Log) -> None:
    row = log.receive(arrival(), "p1", LATER).row
    assert log.receive(arrival(content=b"MSH|two"), "p1", LATER).known is Known.OTHER
    log.settle(row.id, "p1", DONE, SOON)
    assert log.receive(arrival(content=b"MSH|two"), "p1", LATER).known is Known.OTHER
    assert log.receive(arrival(control_id="2", content=b"MSH|two"), "p1", LATER).known is Known.NEW


def test_what_of_a_source_waits_and_was_refused_is_counted_with_the_age_of_the_oldest(log: SqlHl7Log) -> None:
    assert log.backlogs() == []
    first = log.receive(arrival("1"), "p1", LATER).row
    log.receive(arrival("2", b"MSH|two", at=SOON), "p1", LATER, InState.ACCEPTED)
    log.refuse(arrival("3", b"MSH|three", source="RIS"), REFUSED)
    assert log.backlogs() == [Backlog("HIS", 2, 0, NOW), Backlog("RIS", 0, 1, "")]
    log.settle(first.id, "p1", DONE, SOON)
    assert log.backlogs()[0] == Backlog("HIS", 1, 0, SOON)


def test_sender_facility_and_control_id_together_are_the_key(log: SqlHl7Log) -> None:
    one = Arrival("S", "A", "B|1:C", "D", "", "", NOW, b"x", b"x")
    other = Arrival("S", "A", "B", "C|1:D", "", "", NOW, b"y", b"y")
    assert one.key != other.key
    assert log.receive(one, "p", LATER).known is Known.NEW
    assert log.receive(other, "p", LATER).known is Known.NEW


def test_a_row_whose_holder_died_is_taken_up_by_who_gets_it_again(log: SqlHl7Log) -> None:
    row = log.receive(arrival(), "p1", SOON).row
    taken = log.receive(arrival(at=LATER), "p2", LATER)
    assert (taken.known, taken.row.id, taken.row.attempts) == (Known.NEW, row.id, 2)
    assert not log.settle(row.id, "p1", DONE, LATER), "the dead one says nothing any more"
    assert log.settle(row.id, "p2", DONE, LATER)


def test_what_was_refused_is_new_again_and_gives_way_to_another_message(log: SqlHl7Log) -> None:
    row = log.receive(arrival(), "p1", LATER).row
    assert log.settle(row.id, "p1", REFUSED, SOON)
    again = log.receive(arrival(), "p1", LATER)
    assert (again.known, again.row.id, again.row.state) == (Known.NEW, row.id, InState.RECEIVED)
    log.settle(row.id, "p1", REFUSED, SOON)
    other = log.receive(arrival(content=b"MSH|two"), "p1", LATER)
    assert other.known is Known.NEW
    assert other.row.id != row.id


def test_effect_and_verdict_are_one_transaction(log: SqlHl7Log) -> None:
    ris = SqlRis(log._database)
    row = log.receive(arrival(), "p1", LATER).row

    def fails(work: RisWork) -> Verdict:
        patients.add(work, BY, Patient(Identifier("1")), RisRules())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        log.process(row.id, "p1", fails, SOON)
    assert ris.look(lambda view: view.find(Patient)) == []
    found = log.one_in(row.id)
    assert found is not None
    assert found.state is InState.RECEIVED

    def works(work: RisWork) -> Verdict:
        patients.add(work, BY, Patient(Identifier("1")), RisRules())
        return DONE

    assert log.process(row.id, "another", works, SOON) is None, "its lease is not ours"
    assert ris.look(lambda view: view.find(Patient)) == []
    assert log.process(row.id, "p1", works, SOON) == DONE
    assert log.process(row.id, "p1", works, SOON) is None, "done is done"
    assert len(ris.look(lambda view: view.find(Patient))) == 1


def test_only_what_was_committed_to_is_taken_without_its_sender_in_order(log: SqlHl7Log) -> None:
    log.receive(arrival("0"), "dead", SOON)
    first = log.receive(arrival("1"), "dead", SOON, InState.ACCEPTED).row
    second = log.receive(arrival("2"), "dead", SOON, InState.ACCEPTED).row
    log.receive(arrival("3", source="LAB"), "dead", SOON, InState.ACCEPTED)
    assert log.take("p1", NOW, SOON) is None, "its holder may still live"
    taken = log.take("p1", SOON, LATER, source="HIS", before=second.id)
    assert taken is not None
    assert (taken.id, taken.message) == (first.id, b"MSH|one")
    assert log.take("p2", SOON, LATER, source="HIS", before=second.id) is None
    log.release(first.id, "p1", "207 not now", LATER)
    assert log.take("p2", SOON, LATER, source="HIS", before=second.id) is None, "not before its time"
    again = log.take("p2", LATER, LATER, source="HIS", before=second.id)
    assert again is not None
    assert (again.error, again.attempts) == ("", 3)


def test_what_is_tried_again_is_not_overtaken_by_younger_ones_of_its_source(log: SqlHl7Log) -> None:
    first = log.receive(arrival("1"), "p1", SOON, InState.ACCEPTED).row
    second = log.receive(arrival("2"), "p2", SOON, InState.ACCEPTED).row
    other = log.receive(arrival("3", source="LAB"), "p3", SOON, InState.ACCEPTED).row
    assert not log.older_left("HIS", second.id), "the older one came over another connection and is in hand"
    log.release(first.id, "p1", "207 not now", LATER)
    log.release(second.id, "p2", "waits for an older one", SOON)
    assert log.older_left("HIS", second.id)
    assert not log.older_left("LAB", other.id)
    taken = log.take("p4", SOON, LATER)
    assert taken is not None
    assert taken.id == other.id, "another source does not wait"
    assert log.settle(other.id, "p4", DONE, SOON)
    assert log.take("p4", SOON, LATER) is None, "the younger one is due, but must not overtake"
    again = log.take("p4", LATER, LATER + "9")
    assert again is not None
    assert again.id == first.id
    assert log.older_left("HIS", second.id), "it is being tried again"
    assert log.take("p5", LATER, LATER) is None
    assert log.settle(first.id, "p4", DONE, LATER)
    assert not log.older_left("HIS", second.id)
    left = log.take("p5", LATER, LATER)
    assert left is not None
    assert left.id == second.id


def test_refused_rows_are_listed_found_and_replayed_once(log: SqlHl7Log) -> None:
    one = log.refuse(arrival("A1"), REFUSED)
    two = log.receive(arrival("B1"), "p1", LATER).row.id
    log.settle(two, "p1", DONE, SOON)
    assert [row.id for row in log.incoming()] == [two, one]
    assert [row.id for row in log.incoming(states=[InState.REFUSED])] == [one]
    assert [row.id for row in log.incoming(text="B")] == [two]
    assert [row.id for row in log.incoming(before=two)] == [one]
    assert log.incoming(source="LAB") == []
    assert log.incoming()[0].message == b""
    found = log.one_in(one)
    assert found is not None
    assert (found.message, found.ack, found.code, found.error) == (b"MSH|one", b"nack", "AE", "204 PID-3")
    assert log.replay_in(one, NOW)
    assert not log.replay_in(two, NOW)
    assert not log.replay_in(99, NOW)
    taken = log.take("p1", NOW, SOON)
    assert taken is not None
    assert taken.id == one
    assert not log.replay_in(one, NOW), "it is in hand"


def test_a_refused_row_whose_control_id_is_taken_cannot_be_replayed(log: SqlHl7Log) -> None:
    row = log.receive(arrival(), "p1", LATER).row
    log.settle(row.id, "p1", DONE, SOON)
    other = log.refuse(arrival(content=b"MSH|two"), REFUSED)
    assert not log.replay_in(other, NOW)


def test_of_many_at_once_one_has_the_message(log: SqlHl7Log) -> None:
    for round_ in range(5):
        known: list[Known] = []
        ready = threading.Barrier(6)

        def receive(round_: int = round_, known: list[Known] = known, ready: threading.Barrier = ready) -> None:
            ready.wait()
            known.append(log.receive(arrival(f"T{round_}"), threading.current_thread().name, LATER).known)

        threads = [threading.Thread(target=receive) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(one.value for one in known) == ["busy"] * 5 + ["new"]


def test_a_successor_frees_what_its_predecessor_had_and_nothing_else(log: SqlHl7Log) -> None:
    log.receive(arrival("1"), "p1", LATER)
    log.receive(arrival("2"), "p2", LATER)
    log.lease("HIS", "p1", NOW, LATER)
    assert log.take_over("p1") == 2
    assert log.receive(arrival("1"), "p1", LATER).known is Known.NEW
    assert log.receive(arrival("2"), "p1", LATER).known is Known.BUSY
    assert log.lease("HIS", "p2", NOW, LATER)


# -- queues


def test_a_key_is_queued_once_and_rows_come_in_order(log: SqlHl7Log) -> None:
    assert log.queue([draft("1"), draft("2"), draft("x", "LAB")], NOW) == 3
    assert log.queue([draft("2"), draft("3")], NOW) == 1
    assert [row.key for row in log.next_out("HIS", 10)] == ["1", "2", "3"]
    assert log.next_out("HIS")[0].message == b"1"
    assert log.next_out("NOBODY") == []


def test_one_process_has_a_destination_until_it_lets_go_or_its_lease_ends(log: SqlHl7Log) -> None:
    assert log.lease("HIS", "p1", NOW, SOON)
    assert log.lease("HIS", "p1", NOW, SOON), "again is longer"
    assert not log.lease("HIS", "p2", NOW, SOON)
    assert log.lease("LAB", "p2", NOW, SOON)
    assert log.lease("HIS", "p2", SOON, LATER), "it ended"
    log.unlease("HIS", "p1")
    assert not log.lease("HIS", "p1", SOON, LATER)
    log.unlease("HIS", "p2")
    assert log.lease("HIS", "p1", SOON, LATER)


def test_a_failed_try_leaves_the_row_and_puts_the_destination_off(log: SqlHl7Log) -> None:
    log.queue([draft("1")], NOW)
    (row,) = log.next_out("HIS")
    assert log.lease("HIS", "p1", NOW, SOON)
    assert log.failed("HIS", row.id, "nobody there", SOON) == 1
    assert log.failed("HIS", row.id, "nobody there", SOON) == 2
    assert not log.lease("HIS", "p1", NOW, SOON), "its next try is not due"
    assert log.lease("HIS", "p1", SOON, LATER)
    (channel,) = log.channels()
    assert (channel.waiting, channel.held, channel.failures, channel.not_before) == (1, 0, 2, SOON)
    assert channel.oldest == NOW
    (kept,) = log.next_out("HIS")
    assert (kept.attempts, kept.error) == (2, "nobody there")
    log.sent(row.id, "AA", b"ack", LATER)
    (channel,) = log.channels()
    assert (channel.waiting, channel.failures, channel.not_before, channel.oldest) == (0, 0, "", "")


def test_sent_and_held_rows_leave_the_queue_and_are_replayed_behind_it(log: SqlHl7Log) -> None:
    log.queue([draft("1"), draft("2"), draft("3")], NOW)
    one, two, three = log.next_out("HIS", 3)
    log.sent(one.id, "AA", b"ack", SOON)
    log.held(two.id, "AR", "AR 203 MSH-12", b"nack", SOON)
    assert [row.id for row in log.next_out("HIS", 9)] == [three.id]
    found = log.one_out(two.id)
    assert found is not None
    assert (found.state, found.code, found.error, found.ack) == (OutState.HELD, "AR", "AR 203 MSH-12", b"nack")
    assert log.replay_out(two.id)
    assert not log.replay_out(three.id)
    assert not log.replay_out(99)
    assert [row.control_id for row in log.next_out("HIS", 9)] == ["C3", "C2"]
    assert [row.id for row in log.outgoing(states=[OutState.REPLAYED])] == [two.id]
    assert [row.id for row in log.outgoing(before=two.id)] == [one.id]
    assert log.outgoing(destination="LAB") == []


def test_what_is_old_and_done_is_forgotten_and_what_waits_for_somebody_is_not(log: SqlHl7Log) -> None:
    log.refuse(arrival("R"), REFUSED)
    row = log.receive(arrival(), "p1", LATER).row
    log.settle(row.id, "p1", DONE, SOON)
    log.queue([draft("1"), draft("2"), draft("3")], NOW)
    one, two, _ = log.next_out("HIS", 3)
    log.sent(one.id, "AA", b"", SOON)
    log.held(two.id, "AR", "", b"", SOON)
    assert log.prune(NOW) == 0
    assert log.prune(SOON) == 2
    assert [found.control_id for found in log.incoming()] == ["R"]
    assert [found.key for found in log.outgoing()] == ["3", "2"]
    assert log.receive(arrival(content=b"MSH|new"), "p1", LATER).known is Known.NEW, "the control id is free again"
