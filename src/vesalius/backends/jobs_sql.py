"""Jobs and relays in the database (implements `ports.jobs.Jobs`), and the pieces for transactions of others.

Theory. `enqueue` and `close` work in the caller's transaction, so that a job commits with the rows that it is about. A
lease is taken by one look without a lock (nothing is due nearly always) and then one short transaction: on SQLite under
the writers' lock, on PostgreSQL by locking the rows and skipping those that somebody else is about to take. Each lease
has the next number (`attempts`), and every change of a job names owner and number, so one that ran out changes nothing.

A relay reads a change feed whose ids become visible in order (see `outbox_sql.py`). Its cursor is locked first and
moved last in the transaction that writes what follows from the events: each event has its consequences exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from vesalius.backends import schema_jobs
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.listing_sql import newest
from vesalius.model.errors import IndexUnavailable
from vesalius.ports.clock import Clock
from vesalius.ports.jobs import Job, JobRow, Lease, LeaseLost, State

E = TypeVar("E")

_FIELDS = (
    "id, kind, key, payload, state, attempts, not_before, expires, lease_until, lease_owner, last_error, created_at, "
    "done_at"
)
_COLUMNS = (
    "kind", "key", "payload", "state", "attempts", "not_before", "expires", "lease_until", "lease_owner", "last_error",
    "created_at", "done_at",
)  # fmt: skip
_OPEN_OF_KEY = "SELECT id FROM job WHERE kind = ? AND key = ? AND state = 'open'"
_LATER = "UPDATE job SET not_before = ?, payload = ? WHERE id = ? AND state = 'open' AND lease_until <= ? RETURNING id"
_HELD = "WHERE id = ? AND state = 'open' AND attempts = ? AND lease_owner = ? RETURNING id"
_CLOSE = f"UPDATE job SET state = ?, done_at = ?, last_error = ?, lease_until = '', lease_owner = '' {_HELD}"  # noqa: S608
_AGAIN = f"UPDATE job SET not_before = ?, last_error = ?, lease_until = '', lease_owner = '' {_HELD}"  # noqa: S608
_EXTEND = f"UPDATE job SET lease_until = ? {_HELD}"  # noqa: S608
_TAKE = (
    "UPDATE job SET attempts = attempts + 1, lease_until = ?, lease_owner = ? WHERE id = ? AND state = 'open' "
    "RETURNING attempts"
)
_RELEASE = "UPDATE job SET lease_until = '', lease_owner = '' WHERE state = 'open' AND lease_owner = ? RETURNING id"
_BY_ID = f"SELECT {_FIELDS} FROM job WHERE id = ?"  # noqa: S608
_REOPEN = "UPDATE job SET state = 'open', not_before = ?, expires = '', done_at = '' WHERE id = ? RETURNING id"
_AT_ONCE = "UPDATE job SET not_before = ? WHERE id = ? RETURNING id"
_COUNTS = "SELECT kind, state, COUNT(*) FROM job GROUP BY kind, state"
_PRUNE = "DELETE FROM job WHERE state = 'done' AND done_at < ? RETURNING id"
_CURSOR = "SELECT last_event FROM relay WHERE name = ?"
_MOVE = "UPDATE relay SET last_event = ? WHERE name = ?"
_BEGIN = "INSERT INTO relay (name, last_event) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_END = "DELETE FROM relay WHERE name = ?"


# -- in the caller's transaction ---------------------------------------------------------------------------------------


def enqueue(tx: Transaction, job: Job, now: str, *, later: bool = False) -> int | None:
    """Keep a job; its id, or None where one of its kind and key is open already.

    `later` is for what is to wait until all is quiet: an open one takes over `not_before` and payload; where somebody
    is at it already, another one follows it (its key ends with "+").
    """
    payload = json.dumps(dict(job.payload), separators=(",", ":"), ensure_ascii=False)
    not_before = job.not_before or now
    if job.key is not None:
        found = tx.rows(_OPEN_OF_KEY, (job.kind, job.key))
        if found:
            if later and not tx.rows(_LATER, (not_before, payload, found[0][0], now)):
                following = Job(job.kind, job.payload, f"{job.key.removesuffix('+')}+", not_before, job.expires)
                return enqueue(tx, following, now, later=not job.key.endswith("+"))
            return None
    row = (job.kind, job.key, payload, "open", 0, not_before, job.expires, "", "", "", now, "")
    return tx.insert(schema_jobs.job, _COLUMNS, [row], ("kind", "key"))[0]


def enqueue_leased(tx: Transaction, job: Job, now: str, owner: str, seconds: float) -> Lease | None:
    """Keep a job that its maker does at once: it has the lease already, and others take it up only after that."""
    made = enqueue(tx, job, now)
    if made is None:
        return None
    attempts = tx.rows(_TAKE, (after(now, seconds), owner, made))[0][0]
    return Lease(made, job.kind, job.key, job.payload, attempts, owner, job.expires, now)


def close(tx: Transaction, lease: Lease, now: str) -> None:
    """The job is done, by what this transaction writes. Raises `LeaseLost`."""
    _held(tx.rows(_CLOSE, (State.DONE.value, now, "", lease.id, lease.attempt, lease.owner)))


def again(tx: Transaction, lease: Lease, at: str, why: str, now: str) -> None:
    """It is to be tried again at this time; where that is after `expires`, it fails. Raises `LeaseLost`."""
    if lease.expires and at > lease.expires:
        fail(tx, lease, why, now)
    else:
        _held(tx.rows(_AGAIN, (at, why, lease.id, lease.attempt, lease.owner)))


def fail(tx: Transaction, lease: Lease, why: str, now: str) -> None:
    """Give it up. Raises `LeaseLost`."""
    _held(tx.rows(_CLOSE, (State.FAILED.value, now, why, lease.id, lease.attempt, lease.owner)))


def _held(changed: Sequence[Row]) -> None:
    if not changed:
        raise LeaseLost


def after(now: str, seconds: float) -> str:
    """The moment so many seconds after another (UTC, ISO 8601 with microseconds)."""
    begin = datetime.strptime(now, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (begin + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- relays ----------------------------------------------------------------------------------------------------------


def relay_begin(database: Database, name: str, at: int) -> None:
    """A relay begins after the event `at`, unless it has begun already."""
    if not database.lookup(lambda tx: tx.rows(_CURSOR, (name,))):
        database.transaction(lambda tx: tx.run(_BEGIN, (name, at)), durable=True)


def relay_end(database: Database, name: str) -> None:
    """Forget how far a relay has come: it will begin anew."""
    if database.lookup(lambda tx: tx.rows(_CURSOR, (name,))):
        database.transaction(lambda tx: tx.run(_END, (name,)), durable=True)


def relay_step(
    database: Database,
    name: str,
    read: Callable[[Transaction, int, int], Sequence[tuple[int, E]]],
    write: Callable[[Transaction, Sequence[E]], None],
    limit: int = 500,
) -> int:
    """Take the next events and write what follows from them, in one transaction; how many there were.

    `read(tx, after, limit)` gives (id, event) in order. A relay that has not begun (`relay_begin`) begins at 0.
    """

    def look(tx: Transaction) -> bool:
        cursor = tx.rows(_CURSOR, (name,))
        return bool(read(tx, cursor[0][0] if cursor else 0, 1))

    def act(tx: Transaction) -> int:
        tx.run(_BEGIN, (name, 0))
        cursor = tx.rows(_CURSOR + tx.for_update, (name,))[0][0]
        events = read(tx, cursor, limit)
        if events:
            write(tx, [event for _, event in events])
            tx.run(_MOVE, (events[-1][0], name))
        return len(events)

    return database.transaction(act, durable=True) if database.lookup(look) else 0


# -- the port --------------------------------------------------------------------------------------------------------


class SqlJobs:
    """`ports.jobs.Jobs` over a `Database`. `ring` wakes the runners of all processes that it reaches."""

    def __init__(self, database: Database, clock: Clock, ring: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._clock = clock
        self._ring = ring

    def put(self, job: Job) -> int | None:
        """See `Jobs.put`."""
        now = self._clock.utc()
        made = self._database.transaction(lambda tx: enqueue(tx, job, now), durable=True)
        if made is not None:
            self._ring()
        return made

    def announce(self) -> None:
        """See `Jobs.announce`."""
        self._ring()

    def lease(self, kinds: Sequence[str], owner: str, seconds: float, limit: int = 1) -> list[Lease]:
        """See `Jobs.lease`."""
        now = self._clock.utc()
        until = after(now, seconds)
        which = _due(kinds, now)

        def act(tx: Transaction) -> list[Lease]:
            lock = f"{tx.for_update} SKIP LOCKED" if tx.for_update else ""
            sql = f"SELECT {_FIELDS} FROM job WHERE {which[0]} ORDER BY not_before, id LIMIT ?{lock}"  # noqa: S608
            taken = []
            for row in tx.rows(sql, (*which[1], limit)):
                found = _row(row)
                attempts = tx.rows(_TAKE, (until, owner, found.id))
                if attempts:
                    taken.append(
                        Lease(
                            found.id, found.kind, found.key, found.payload, attempts[0][0], owner, found.expires,
                            found.created_at,
                        )
                    )  # fmt: skip
            return taken

        look = f"SELECT id FROM job WHERE {which[0]} LIMIT 1"  # noqa: S608
        if not kinds or not self._database.lookup(lambda tx: tx.rows(look, which[1])):
            return []
        # A lease that a power cut takes away is one that nobody holds any more.
        return self._database.transaction(act, durable=False)

    def extend(self, lease: Lease, seconds: float) -> bool:
        """See `Jobs.extend`."""
        until = after(self._clock.utc(), seconds)
        held = (until, lease.id, lease.attempt, lease.owner)
        return bool(self._database.transaction(lambda tx: tx.rows(_EXTEND, held), durable=False))

    def done(self, lease: Lease) -> None:
        """See `Jobs.done`."""
        now = self._clock.utc()
        self._database.transaction(lambda tx: close(tx, lease, now), durable=True)

    def again(self, lease: Lease, at: str, why: str) -> None:
        """See `Jobs.again`."""
        now = self._clock.utc()
        self._database.transaction(lambda tx: again(tx, lease, at, why, now), durable=True)

    def fail(self, lease: Lease, why: str) -> None:
        """See `Jobs.fail`."""
        now = self._clock.utc()
        self._database.transaction(lambda tx: fail(tx, lease, why, now), durable=True)

    def release(self, owner: str) -> int:
        """See `Jobs.release`."""
        return len(self._database.transaction(lambda tx: tx.rows(_RELEASE, (owner,)), durable=False))

    def list(
        self, *, kind: str = "", state: State | None = None, job: int | None = None, limit: int = 100
    ) -> list[JobRow]:
        """See `Jobs.list`."""
        equal = {"kind": kind, "state": state.value if state else "", "id": job}
        return [_row(row) for row in newest(self._database, "job", _FIELDS, limit, equal=equal)]

    def replay(self, job: int) -> bool:
        """See `Jobs.replay`."""
        now = self._clock.utc()

        def act(tx: Transaction) -> bool:
            found = tx.rows(_BY_ID + tx.for_update, (job,))
            if not found:
                return False
            row = _row(found[0])
            if row.state is State.OPEN:
                return bool(tx.rows(_AT_ONCE, (now, job)))
            if row.key is not None and tx.rows(_OPEN_OF_KEY, (row.kind, row.key)):
                return False
            return bool(tx.rows(_REOPEN, (now, job)))

        opened = self._database.transaction(act, durable=True)
        if opened:
            self._ring()
        return opened

    def counts(self) -> Mapping[tuple[str, State], int]:
        """See `Jobs.counts`."""
        return {(row[0], State(row[1])): row[2] for row in self._database.lookup(lambda tx: tx.rows(_COUNTS))}

    def next_due(self, kinds: Sequence[str]) -> str:
        """See `Jobs.next_due`."""
        now = self._clock.utc()
        marks = ", ".join("?" * len(kinds))
        sql = f"SELECT MIN(not_before) FROM job WHERE state = 'open' AND lease_until <= ? AND kind IN ({marks})"  # noqa: S608
        found = self._database.lookup(lambda tx: tx.rows(sql, (now, *kinds))) if kinds else []
        return (found[0][0] or "") if found else ""

    def prune(self, before: str) -> int:
        """See `Jobs.prune`."""
        return len(self._database.transaction(lambda tx: tx.rows(_PRUNE, (before,)), durable=False))


def _due(kinds: Sequence[str], now: str) -> tuple[str, tuple[Any, ...]]:
    marks = ", ".join("?" * len(kinds))
    return f"state = 'open' AND not_before <= ? AND lease_until <= ? AND kind IN ({marks})", (now, now, *kinds)


def _row(row: Row) -> JobRow:
    try:
        payload = json.loads(row[3])
    except ValueError:
        raise IndexUnavailable("a job in the database has a payload that is no JSON") from None
    return JobRow(row[0], row[1], row[2], payload, State(row[4]), *row[5:])
