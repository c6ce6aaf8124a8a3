"""The inbox of HL7 in the database: `ports.hl7.Inbox`, and `settle_in` for the transaction of what a message changed.

Theory. `key` is unique, so of two processes that get one message at once one has the row and the other finds it. A row
is processed under a lease, and whatever is said of it names the owner, so a process whose lease ran out says nothing.
A refused row keeps its key: the same message again takes it up anew (see `ports/hl7.py`), another one under the same
control id takes its place, because what was refused never counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vesalius.backends import schema_hl7
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.listing_sql import newest, older_than, one_of
from vesalius.backends.ris_sql import in_transaction
from vesalius.ports.hl7 import Arrival, Backlog, Incoming, InState, Known, Receipt, Verdict
from vesalius.ports.ris import RisWork

_LISTED = (
    "id, source, application, facility, control_id, type, address, at, state, code, error, done_at, attempts"
)  # fmt: skip
_WHOLE = f"{_LISTED}, message, ack"
_INSERTED = (
    "key", "source", "application", "facility", "control_id", "type", "address", "at", "state", "code", "error",
    "done_at", "attempts", "lease_owner", "lease_until", "digest", "message", "ack",
)  # fmt: skip
_BY_KEY = f"SELECT {_WHOLE}, digest, lease_owner, lease_until FROM hl7_in WHERE key = ?"  # noqa: S608
_BY_ID = f"SELECT {_WHOLE} FROM hl7_in WHERE id = ?"  # noqa: S608
_AGAIN = (
    "UPDATE hl7_in SET state = ?, code = '', error = '', done_at = '', attempts = attempts + 1, "
    "lease_owner = ?, lease_until = ? WHERE id = ?"
)
# An older message of the same source is to be tried again, or is being tried again: what is younger must not overtake
# it. One that is tried for the first time came over another connection, between which there is no order.
_OLDER_LEFT = (
    "SELECT 1 FROM hl7_in AS older WHERE older.state = 'accepted' AND (older.lease_owner = '' OR older.attempts > 1) "
    "AND older.source = {source} AND older.id < {row}"
)
_FORGET_KEY = "UPDATE hl7_in SET key = NULL WHERE id = ?"
_HELD = "SELECT id FROM hl7_in WHERE id = ? AND lease_owner = ? AND state IN ('received', 'accepted')"
_SETTLE = (
    "UPDATE hl7_in SET state = ?, code = ?, error = ?, ack = ?, done_at = ?, lease_owner = '', lease_until = '' "
    "WHERE id = ? AND lease_owner = ? AND state IN ('received', 'accepted') RETURNING id"
)
_BACKLOGS = (
    "SELECT source, SUM(CASE WHEN state = 'refused' THEN 0 ELSE 1 END), "
    "SUM(CASE WHEN state = 'refused' THEN 1 ELSE 0 END), MIN(CASE WHEN state = 'refused' THEN NULL ELSE at END) "
    "FROM hl7_in WHERE state IN ('received', 'accepted', 'refused') GROUP BY source ORDER BY source"
)
_RELEASE = (
    "UPDATE hl7_in SET error = ?, lease_owner = '', lease_until = ? WHERE id = ? AND lease_owner = ? "
    "AND state IN ('received', 'accepted')"
)
_REPLAY = (
    "UPDATE hl7_in SET state = 'accepted', code = '', error = '', done_at = '', lease_owner = '', lease_until = '' "
    "WHERE id = ? AND (state = 'refused' OR (state = 'received' AND lease_until <= ?)) RETURNING id"
)


def settle_in(tx: Transaction, row: int, owner: str, verdict: Verdict, at: str) -> bool:
    """What became of a row that `owner` has, in the transaction of what it changed. False: the lease is lost."""
    values = (verdict.state.value, verdict.code, verdict.error, verdict.ack or None, at, row, owner)
    return bool(tx.rows(_SETTLE, values))


class _Lost(Exception):
    """The lease of a row ran out: undo what was done for it."""


class SqlInbox:
    """`ports.hl7.Inbox` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receive(self, arrival: Arrival, owner: str, until: str, state: InState = InState.RECEIVED) -> Receipt:
        """See `Inbox.receive`."""
        seen = self._database.lookup(lambda tx: tx.rows(_BY_KEY, (arrival.key,)))
        if seen and (known := _known(seen[0], arrival)) is Known.DONE:
            return Receipt(known, _incoming(seen[0]))

        def act(tx: Transaction) -> Receipt:
            found = tx.rows(_BY_KEY + tx.for_update, (arrival.key,))
            known = _known(found[0], arrival) if found else Known.NEW
            if known in (Known.DONE, Known.BUSY, Known.OTHER):
                return Receipt(known, _incoming(found[0]))
            if found and bytes(found[0][15]) == arrival.digest:
                tx.run(_AGAIN, (state.value, owner, until, found[0][0]))
                return Receipt(Known.NEW, _incoming(tx.rows(_BY_ID, (found[0][0],))[0]))
            if found:
                tx.run(_FORGET_KEY, (found[0][0],))
            values = _values(arrival, arrival.key, state, owner, until)
            made = tx.insert(schema_hl7.hl7_in, _INSERTED, [values], ("key",))[0]
            if made is None:  # another process was quicker by this much
                return Receipt(Known.BUSY, _incoming(tx.rows(_BY_KEY, (arrival.key,))[0]))
            return Receipt(Known.NEW, _incoming(tx.rows(_BY_ID, (made,))[0]))

        return self._database.transaction(act, durable=True)

    def refuse(self, arrival: Arrival, verdict: Verdict) -> int:
        """See `Inbox.refuse`."""
        values = _values(arrival, None, InState.REFUSED, "", "", verdict)
        made = self._database.transaction(
            lambda tx: tx.insert(schema_hl7.hl7_in, _INSERTED, [values], ("key",))[0], durable=True
        )
        return made or 0

    def settle(self, row: int, owner: str, verdict: Verdict, at: str) -> bool:
        """See `Inbox.settle`."""
        return self._database.transaction(lambda tx: settle_in(tx, row, owner, verdict, at), durable=True)

    def process(self, row: int, owner: str, act: Callable[[RisWork], Verdict], at: str) -> Verdict | None:
        """See `Inbox.process`."""

        def run(tx: Transaction) -> Verdict:
            if not tx.rows(_HELD + tx.for_update, (row, owner)):
                raise _Lost
            verdict = in_transaction(tx, act)
            if not settle_in(tx, row, owner, verdict, at):
                raise _Lost
            return verdict

        try:
            return self._database.transaction(run, durable=True)
        except _Lost:
            return None

    def release(self, row: int, owner: str, error: str, not_before: str) -> None:
        """See `Inbox.release`."""
        self._database.transaction(lambda tx: tx.run(_RELEASE, (error, not_before, row, owner)), durable=False)

    def take(self, owner: str, now: str, until: str, *, source: str = "", before: int = 0) -> Incoming | None:
        """See `Inbox.take`."""
        older = _OLDER_LEFT.format(source="hl7_in.source", row="hl7_in.id")
        where, params = f"state = 'accepted' AND lease_until <= ? AND NOT EXISTS ({older})", [now]
        if source:
            where, params = f"{where} AND source = ?", [*params, source]
        if before:
            where, params = f"{where} AND id < ?", [*params, before]  # type: ignore[list-item]
        look = f"SELECT id FROM hl7_in WHERE {where} ORDER BY id LIMIT 1"  # noqa: S608

        def act(tx: Transaction) -> Incoming | None:
            lock = f"{tx.for_update} SKIP LOCKED" if tx.for_update else ""
            found = tx.rows(look + lock, params)
            if not found:
                return None
            tx.run(_AGAIN, (InState.ACCEPTED.value, owner, until, found[0][0]))
            return _incoming(tx.rows(_BY_ID, (found[0][0],))[0])

        if not self._database.lookup(lambda tx: tx.rows(look, params)):
            return None
        return self._database.transaction(act, durable=False)

    def older_left(self, source: str, before: int) -> bool:
        """See `Inbox.older_left`."""
        look = _OLDER_LEFT.format(source="?", row="?")
        return bool(self._database.lookup(lambda tx: tx.rows(f"{look} LIMIT 1", (source, before))))

    def incoming(
        self, *, states: Sequence[InState] = (), source: str = "", text: str = "", before: int = 0, limit: int = 100
    ) -> list[Incoming]:
        """See `Inbox.incoming`."""
        more = [*one_of("state", [state.value for state in states]), *older_than(before)]
        if text:
            more.append(("substr(control_id, 1, ?) = ?", (len(text), text)))
        rows = newest(self._database, "hl7_in", _LISTED, limit, equal={"source": source}, more=more)
        return [_incoming(row) for row in rows]

    def backlogs(self) -> list[Backlog]:
        """See `Inbox.backlogs`."""
        rows = self._database.lookup(lambda tx: tx.rows(_BACKLOGS))
        return [Backlog(row[0], int(row[1]), int(row[2]), row[3] or "") for row in rows]

    def one_in(self, row: int) -> Incoming | None:
        """See `Inbox.one_in`."""
        found = self._database.lookup(lambda tx: tx.rows(_BY_ID, (row,)))
        return _incoming(found[0]) if found else None

    def replay_in(self, row: int, at: str) -> bool:
        """See `Inbox.replay_in`."""

        def act(tx: Transaction) -> bool:
            # One without a key was refused before it was taken: it may have it now, if nobody else has.
            keys = tx.rows("SELECT key, application, facility, control_id FROM hl7_in WHERE id = ?", (row,))
            if not keys:
                return False
            if keys[0][0] is None:
                application, facility, control_id = keys[0][1:4]
                key = Arrival("", application, facility, control_id, "", "", "", b"", b"").key
                if tx.rows("SELECT id FROM hl7_in WHERE key = ?", (key,)):
                    return False
                tx.run("UPDATE hl7_in SET key = ? WHERE id = ? AND state = 'refused'", (key, row))
            return bool(tx.rows(_REPLAY, (row, at)))

        return self._database.transaction(act, durable=True)


def _known(row: Row, arrival: Arrival) -> Known:
    """What the row under an arrival's key says of it; NEW: it is to be processed."""
    state, same = InState(row[8]), bytes(row[15]) == arrival.digest
    if state is InState.DONE:
        return Known.DONE if same else Known.OTHER
    if state in (InState.RECEIVED, InState.ACCEPTED):
        if not same:
            return Known.OTHER
        return Known.BUSY if row[16] and row[17] > arrival.at else Known.NEW
    return Known.NEW


def _values(
    arrival: Arrival, key: str | None, state: InState, owner: str, until: str, verdict: Verdict | None = None
) -> tuple[Any, ...]:
    code, error, done_at, ack = ("", "", "", None)
    if verdict is not None:
        code, error, done_at, ack = verdict.code, verdict.error, arrival.at, verdict.ack or None
    return (
        key, arrival.source, arrival.application, arrival.facility, arrival.control_id, arrival.type, arrival.address,
        arrival.at, state.value, code, error, done_at, 1, owner, until, arrival.digest, arrival.message, ack,
    )  # fmt: skip


def _incoming(row: Row) -> Incoming:
    whole = (bytes(row[13] or b""), bytes(row[14] or b"")) if len(row) > 13 else (b"", b"")
    values: list[Any] = [*row[:8], InState(row[8]), *row[9:13], *whole]
    return Incoming(*values)
