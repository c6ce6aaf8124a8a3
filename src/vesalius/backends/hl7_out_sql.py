"""The queues of HL7 in the database: `ports.hl7.Queues`, and `queue_out` for the transaction of what a message tells
of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesalius.backends import schema_hl7
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.listing_sql import newest, older_than, one_of
from vesalius.ports.hl7 import Channel, Draft, Outgoing, OutState

_LISTED = "id, key, destination, control_id, type, at, state, code, error, sent_at, attempts"
_WHOLE = f"{_LISTED}, message, ack"
_INSERTED = (
    "key",
    "destination",
    "control_id",
    "type",
    "at",
    "state",
    "code",
    "error",
    "sent_at",
    "attempts",
    "message",
)
_BY_KEY = "SELECT id FROM hl7_out WHERE key = ?"
_BY_ID = f"SELECT {_WHOLE} FROM hl7_out WHERE id = ?"  # noqa: S608
_NEXT = f"SELECT {_WHOLE} FROM hl7_out WHERE destination = ? AND state = 'waiting' ORDER BY id LIMIT ?"  # noqa: S608
_SETTLE = (
    "UPDATE hl7_out SET state = ?, code = ?, error = ?, ack = ?, sent_at = ?, attempts = attempts + 1 "
    "WHERE id = ? AND state = 'waiting' RETURNING destination"
)
_TRIED = "UPDATE hl7_out SET error = ?, attempts = attempts + 1 WHERE id = ? AND state = 'waiting'"
_CHANNEL = (
    "INSERT INTO hl7_channel (destination, lease_owner, lease_until, not_before) VALUES (?, '', '', '') "
    "ON CONFLICT (destination) DO NOTHING"
)
_LEASE = (
    "UPDATE hl7_channel SET lease_owner = ?, lease_until = ? WHERE destination = ? "
    "AND (lease_owner = ? OR lease_until <= ?) AND not_before <= ? RETURNING destination"
)
_UNLEASE = "UPDATE hl7_channel SET lease_owner = '', lease_until = '' WHERE destination = ? AND lease_owner = ?"
_FAILED = (
    "UPDATE hl7_channel SET failures = failures + 1, not_before = ? WHERE destination = ? RETURNING failures"
)  # fmt: skip
_WORKS = "UPDATE hl7_channel SET failures = 0, not_before = '' WHERE destination = ? AND failures > 0"
_COUNTS = (
    "SELECT destination, SUM(CASE WHEN state = 'waiting' THEN 1 ELSE 0 END), "
    "SUM(CASE WHEN state = 'held' THEN 1 ELSE 0 END), MIN(CASE WHEN state = 'waiting' THEN at END) "
    "FROM hl7_out WHERE state IN ('waiting', 'held') GROUP BY destination"
)


def queue_out(tx: Transaction, drafts: Sequence[Draft], at: str) -> int:
    """Queue messages in the transaction of what they tell of; how many were new."""
    made = 0
    for draft in drafts:
        if tx.rows(_BY_KEY, (draft.key,)):
            continue
        values = (
            draft.key,
            draft.destination,
            draft.control_id,
            draft.type,
            at,
            "waiting",
            "",
            "",
            "",
            0,
            draft.message,
        )
        made += tx.insert(schema_hl7.hl7_out, _INSERTED, [values], ("key",))[0] is not None
    return made


def waiting_out(tx: Transaction, destination: str) -> int:
    """How many messages wait in a queue."""
    sql = "SELECT COUNT(*) FROM hl7_out WHERE destination = ? AND state = 'waiting'"
    found: int = tx.rows(sql, (destination,))[0][0]
    return found


class SqlQueues:
    """`ports.hl7.Queues` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(self, drafts: Sequence[Draft], at: str) -> int:
        """See `Queues.queue`."""
        return self._database.transaction(lambda tx: queue_out(tx, drafts, at), durable=True)

    def lease(self, destination: str, owner: str, now: str, until: str) -> bool:
        """See `Queues.lease`."""

        def act(tx: Transaction) -> bool:
            tx.run(_CHANNEL, (destination,))
            return bool(tx.rows(_LEASE, (owner, until, destination, owner, now, now)))

        return self._database.transaction(act, durable=False)

    def unlease(self, destination: str, owner: str) -> None:
        """See `Queues.unlease`."""
        self._database.transaction(lambda tx: tx.run(_UNLEASE, (destination, owner)), durable=False)

    def next_out(self, destination: str, limit: int = 1) -> list[Outgoing]:
        """See `Queues.next_out`."""
        return [_outgoing(row) for row in self._database.lookup(lambda tx: tx.rows(_NEXT, (destination, limit)))]

    def sent(self, row: int, code: str, ack: bytes, at: str) -> None:
        """See `Queues.sent`."""
        self._settle(OutState.SENT, row, code, "", ack, at)

    def held(self, row: int, code: str, error: str, ack: bytes, at: str) -> None:
        """See `Queues.held`."""
        self._settle(OutState.HELD, row, code, error, ack, at)

    def _settle(self, state: OutState, row: int, code: str, error: str, ack: bytes, at: str) -> None:
        def act(tx: Transaction) -> None:
            found = tx.rows(_SETTLE, (state.value, code, error, ack or None, at, row))
            if found:
                tx.run(_WORKS, (found[0][0],))

        self._database.transaction(act, durable=True)

    def failed(self, destination: str, row: int, error: str, not_before: str) -> int:
        """See `Queues.failed`."""

        def act(tx: Transaction) -> int:
            tx.run(_TRIED, (error, row))
            found = tx.rows(_FAILED, (not_before, destination))
            return found[0][0] if found else 0

        return self._database.transaction(act, durable=False)

    def channels(self) -> list[Channel]:
        """See `Queues.channels`."""

        def read(tx: Transaction) -> list[Channel]:
            counts = {row[0]: (int(row[1]), int(row[2]), row[3] or "") for row in tx.rows(_COUNTS)}
            known = {row[0]: row[1:] for row in tx.rows("SELECT destination, not_before, failures FROM hl7_channel")}
            return [
                Channel(
                    name,
                    *counts.get(name, (0, 0, "")),
                    *known.get(name, ("", 0)),
                )
                for name in sorted({*counts, *known})
            ]  # fmt: skip

        return self._database.lookup(read)

    def outgoing(
        self,
        *,
        states: Sequence[OutState] = (),
        destination: str = "",
        text: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[Outgoing]:
        """See `Queues.outgoing`."""
        more = [*one_of("state", [state.value for state in states]), *older_than(before)]
        if text:
            more.append(("substr(control_id, 1, ?) = ?", (len(text), text)))
        rows = newest(self._database, "hl7_out", _LISTED, limit, equal={"destination": destination}, more=more)
        return [_outgoing(row) for row in rows]

    def one_out(self, row: int) -> Outgoing | None:
        """See `Queues.one_out`."""
        found = self._database.lookup(lambda tx: tx.rows(_BY_ID, (row,)))
        return _outgoing(found[0]) if found else None

    def replay_out(self, row: int) -> bool:
        """See `Queues.replay_out`. The message gets a new row, so that it comes last; its old row keeps its story."""

        def act(tx: Transaction) -> bool:
            found = tx.rows(_BY_ID + tx.for_update, (row,))
            if not found or found[0][6] == OutState.WAITING.value:
                return False
            old = _outgoing(found[0])
            newest = tx.rows("SELECT MAX(id) FROM hl7_out")[0][0]
            key = f"{old.key}+{newest}"
            values = (key, old.destination, old.control_id, old.type, old.at, "waiting", "", "", "", 0, old.message)
            tx.insert(schema_hl7.hl7_out, _INSERTED, [values], ("key",))
            tx.run("UPDATE hl7_out SET state = 'replayed' WHERE id = ?", (row,))
            return True

        return self._database.transaction(act, durable=True)


def _outgoing(row: Row) -> Outgoing:
    whole = (bytes(row[11] or b""), bytes(row[12] or b"")) if len(row) > 11 else (b"", b"")
    values: list[Any] = [*row[:6], OutState(row[6]), *row[7:11], *whole]
    return Outgoing(*values)
