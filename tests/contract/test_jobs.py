"""Jobs and relays on SQLite and on PostgreSQL: one winner for each lease, nothing lost, nothing twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from vesalius.backends.database import Database, Transaction, open_database
from vesalius.backends.jobs_sql import (
    SqlJobs,
    after,
    close,
    enqueue,
    enqueue_leased,
    relay_begin,
    relay_end,
    relay_step,
)
from vesalius.ports.jobs import Job, LeaseLost, State

KIND = "test.work"


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: str = "2026-01-01T00:00:00.000000Z"

    def utc(self) -> str:
        return self.now

    def monotonic(self) -> float:
        return 0.0

    def pass_(self, seconds: float) -> None:
        self.now = after(self.now, seconds)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(database: Database, clock: Clock) -> SqlJobs:
    return SqlJobs(database, clock)


def test_a_job_is_leased_once_until_its_lease_runs_out(jobs: SqlJobs, clock: Clock) -> None:
    made = jobs.put(Job(KIND, {"number": 7, "text": "é"}))
    (lease,) = jobs.lease([KIND], "one", 30)
    assert (lease.id, lease.payload, lease.attempt, lease.owner) == (made, {"number": 7, "text": "é"}, 1, "one")
    assert jobs.lease([KIND], "two", 30) == []
    clock.pass_(30.1)
    (again,) = jobs.lease([KIND], "two", 30)
    assert (again.id, again.attempt) == (made, 2)


def test_who_comes_back_late_changes_nothing(jobs: SqlJobs, clock: Clock) -> None:
    jobs.put(Job(KIND))
    (late,) = jobs.lease([KIND], "one", 30)
    clock.pass_(31)
    (current,) = jobs.lease([KIND], "one", 30)  # even one of the same name
    for act in (
        lambda: jobs.done(late),
        lambda: jobs.again(late, clock.now, "why"),
        lambda: jobs.fail(late, "why"),
    ):
        with pytest.raises(LeaseLost):
            act()
    assert jobs.extend(late, 30) is False
    assert jobs.extend(current, 30) is True
    jobs.done(current)
    with pytest.raises(LeaseLost):
        jobs.done(current)
    assert [job.state for job in jobs.list()] == [State.DONE]


def test_a_lease_that_is_extended_stays(jobs: SqlJobs, clock: Clock) -> None:
    jobs.put(Job(KIND))
    (lease,) = jobs.lease([KIND], "one", 30)
    clock.pass_(25)
    assert jobs.extend(lease, 30)
    clock.pass_(25)
    assert jobs.lease([KIND], "two", 30) == []


def test_of_a_kind_and_key_one_is_open_and_after_its_end_another_may_be(jobs: SqlJobs) -> None:
    first = jobs.put(Job(KIND, key="a"))
    assert first is not None
    assert jobs.put(Job(KIND, key="a")) is None
    assert jobs.put(Job("test.other", key="a")) is not None
    assert jobs.put(Job(KIND, key="b")) is not None
    assert None not in {jobs.put(Job(KIND)), jobs.put(Job(KIND))}, "without a key there are as many as wanted"
    lease = next(one for one in jobs.lease([KIND], "one", 30, limit=10) if one.id == first)
    assert jobs.put(Job(KIND, key="a")) is None
    jobs.done(lease)
    assert jobs.put(Job(KIND, key="a")) is not None


def test_what_is_due_later_is_leased_later_the_oldest_first(jobs: SqlJobs, clock: Clock) -> None:
    later = jobs.put(Job(KIND, not_before=after(clock.now, 60)))
    second, third = jobs.put(Job(KIND)), jobs.put(Job(KIND))
    assert [one.id for one in jobs.lease([KIND], "one", 300, limit=5)] == [second, third]
    assert jobs.next_due([KIND]) == after(clock.now, 60)
    clock.pass_(60)
    assert [one.id for one in jobs.lease([KIND], "one", 300, limit=5)] == [later]
    assert jobs.next_due([KIND]) == ""


def test_only_the_kinds_that_are_asked_for_are_given(jobs: SqlJobs) -> None:
    jobs.put(Job("test.a"))
    wanted = jobs.put(Job("test.b"))
    assert [one.id for one in jobs.lease(["test.b", "test.c"], "one", 30, limit=5)] == [wanted]
    assert jobs.lease([], "one", 30) == []


def test_again_waits_and_after_its_expiry_it_fails(jobs: SqlJobs, clock: Clock) -> None:
    jobs.put(Job(KIND, expires=after(clock.now, 100)))
    (lease,) = jobs.lease([KIND], "one", 30)
    jobs.again(lease, after(clock.now, 10), "the peer is away")
    assert jobs.lease([KIND], "one", 30) == []
    clock.pass_(10)
    (lease,) = jobs.lease([KIND], "one", 30)
    assert lease.attempt == 2
    jobs.again(lease, after(clock.now, 200), "the peer is still away")
    (job,) = jobs.list(state=State.FAILED)
    assert (job.last_error, job.attempts) == ("the peer is still away", 2)


def test_a_failed_job_is_replayed_and_an_open_one_is_due_at_once(jobs: SqlJobs, clock: Clock) -> None:
    made = jobs.put(Job(KIND, key="a"))
    assert made is not None
    (lease,) = jobs.lease([KIND], "one", 30)
    jobs.fail(lease, "why")
    assert jobs.replay(made)
    (lease,) = jobs.lease([KIND], "one", 30)
    assert lease.id == made
    jobs.again(lease, after(clock.now, 1000), "not now")
    assert jobs.lease([KIND], "one", 30) == []
    assert jobs.replay(made)
    (lease,) = jobs.lease([KIND], "one", 30)
    jobs.fail(lease, "why")
    assert jobs.put(Job(KIND, key="a")) is not None
    assert not jobs.replay(made), "another one of its kind and key is open"
    assert not jobs.replay(10**9)


def test_what_a_dead_owner_had_is_free_at_once_and_nothing_else(jobs: SqlJobs) -> None:
    jobs.put(Job(KIND))
    jobs.put(Job(KIND))
    (dead,) = jobs.lease([KIND], "dead", 300)
    (living,) = jobs.lease([KIND], "living", 300)
    assert jobs.release("dead") == 1
    (taken,) = jobs.lease([KIND], "successor", 300, limit=5)
    assert taken.id == dead.id
    jobs.done(living)


def test_a_job_stands_or_falls_with_the_rows_of_its_transaction(
    database: Database, jobs: SqlJobs, clock: Clock
) -> None:
    def both(tx: Transaction) -> None:
        tx.run("INSERT INTO meta (key, value) VALUES (?, ?)", ("about", "something"))
        enqueue(tx, Job(KIND), clock.now)

    def broken(tx: Transaction) -> None:
        both(tx)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.transaction(broken, durable=True)
    assert jobs.list() == []
    database.transaction(both, durable=True)
    (lease,) = jobs.lease([KIND], "one", 30)

    def effect(tx: Transaction) -> None:
        tx.run("UPDATE meta SET value = ? WHERE key = ?", ("done", "about"))
        close(tx, lease, clock.now)

    database.transaction(effect, durable=True)
    with pytest.raises(LeaseLost):
        database.transaction(effect, durable=True)
    rows = database.lookup(lambda tx: tx.rows("SELECT value FROM meta WHERE key = 'about'"))
    assert [tuple(row) for row in rows] == [("done",)]


def test_the_maker_of_a_job_may_have_its_lease_from_the_beginning(
    database: Database, jobs: SqlJobs, clock: Clock
) -> None:
    lease = database.transaction(lambda tx: enqueue_leased(tx, Job(KIND), clock.now, "maker", 30), durable=True)
    assert lease is not None
    assert jobs.lease([KIND], "other", 30) == []
    jobs.done(lease)


def test_what_waits_for_quiet_is_put_off_and_what_is_under_way_is_followed(
    database: Database, jobs: SqlJobs, clock: Clock
) -> None:
    def put(seconds: float, number: int) -> None:
        job = Job(KIND, {"number": number}, "study", after(clock.now, seconds))
        database.transaction(lambda tx: enqueue(tx, job, clock.now, later=True), durable=True)

    put(10, 1)
    clock.pass_(9)
    put(10, 2)
    clock.pass_(9)
    assert jobs.lease([KIND], "one", 30) == []
    clock.pass_(1)
    (lease,) = jobs.lease([KIND], "one", 30)
    assert lease.payload == {"number": 2}
    put(1, 3)
    put(2, 4)
    jobs.done(lease)
    clock.pass_(2)
    (follower,) = jobs.lease([KIND], "one", 30, limit=5)
    assert follower.payload == {"number": 4}


def test_done_jobs_are_forgotten_after_a_while_and_failed_ones_are_not(jobs: SqlJobs, clock: Clock) -> None:
    jobs.put(Job(KIND))
    jobs.put(Job(KIND))
    jobs.put(Job(KIND))
    one, two = jobs.lease([KIND], "one", 30, limit=2)
    jobs.done(one)
    jobs.fail(two, "why")
    assert jobs.counts() == {(KIND, State.OPEN): 1, (KIND, State.DONE): 1, (KIND, State.FAILED): 1}
    clock.pass_(100)
    assert jobs.prune(after(clock.now, -50)) == 1
    assert {job.state for job in jobs.list()} == {State.OPEN, State.FAILED}


_TAKE_ALL = """
import sys
from vesalius.app.wiring import SystemClock
from vesalius.backends.database import open_database
from vesalius.backends.jobs_sql import SqlJobs

database = open_database(sys.argv[1])
jobs = SqlJobs(database, SystemClock())
while leases := jobs.lease(["test.work"], sys.argv[2], 60, limit=3):
    for lease in leases:
        print(lease.id, lease.attempt)
        jobs.done(lease)
database.close()
"""


def test_many_processes_take_each_job_exactly_once(database_url: str, jobs: SqlJobs) -> None:
    from vesalius.app.wiring import SystemClock

    now = SystemClock().utc()
    jobs._database.transaction(lambda tx: [enqueue(tx, Job(KIND), now) for _ in range(60)] and None, durable=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKE_ALL, database_url, f"p{number}"], stdout=subprocess.PIPE, text=True
        )
        for number in range(3)
    ]
    taken = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(taken) == sorted(f"{job.id} 1" for job in jobs.list(state=State.DONE))
    assert len(taken) == 60


def test_threads_that_ask_at_once_get_one_winner(jobs: SqlJobs) -> None:
    jobs.put(Job(KIND))
    start, won = threading.Barrier(6), []

    def ask(number: int) -> None:
        start.wait()
        won.extend(jobs.lease([KIND], f"t{number}", 60))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


# -- relays -----------------------------------------------------------------------------------------------------------


def _read(tx: Transaction, last: int, limit: int) -> list[tuple[int, int]]:
    rows = tx.rows("SELECT id FROM outbox WHERE id > ? ORDER BY id LIMIT ?", (last, limit))
    return [(row[0], row[0]) for row in rows]


def _announce(database: Database, count: int) -> None:
    def act(tx: Transaction) -> None:
        rows = [("stored", "1.2", "1.3", "1.4", "2026", "") for _ in range(count)]
        tx.many("INSERT INTO outbox (kind, study, series, sop_instance, at, sender) VALUES (?, ?, ?, ?, ?, ?)", rows)

    database.transaction(act, durable=True)


def test_a_relay_has_each_event_once_and_a_failure_in_the_middle_moves_nothing(database: Database) -> None:
    _announce(database, 7)
    seen: list[int] = []

    def write(tx: Transaction, events: Sequence[int]) -> None:
        seen.extend(events)

    def fail(tx: Transaction, events: Sequence[int]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        relay_step(database, "r", _read, fail)
    assert [relay_step(database, "r", _read, write, limit=5) for _ in range(3)] == [5, 2, 0]
    _announce(database, 1)
    assert relay_step(database, "r", _read, write) == 1
    assert len(seen) == len(set(seen)) == 8
    assert relay_step(database, "another", _read, write, limit=100) == 8


def test_a_relay_may_begin_at_the_end_and_again_after_it_was_ended(database: Database) -> None:
    _announce(database, 3)
    last = database.lookup(lambda tx: tx.rows("SELECT MAX(id) FROM outbox"))[0][0]
    relay_begin(database, "r", last)
    relay_begin(database, "r", 0)
    assert relay_step(database, "r", _read, lambda tx, events: None) == 0
    relay_end(database, "r")
    assert relay_step(database, "r", _read, lambda tx, events: None) == 3


def test_relays_of_many_threads_share_the_events_among_them(database: Database) -> None:
    _announce(database, 50)
    seen: list[int] = []

    def write(tx: Transaction, events: Sequence[int]) -> None:
        tx.many("INSERT INTO meta (key, value) VALUES (?, ?)", [(f"event-{event}", "") for event in events])

    def run() -> None:
        while taken := relay_step(database, "r", _read, write, limit=4):
            seen.append(taken)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen) == 50, "meta.key is unique: a second time would have failed"
