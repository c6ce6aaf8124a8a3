"""Notices of availability in the database (implements `ports.commitments.Notices`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vesalius.archive.availability import studies_of, study_job
from vesalius.backends import outbox_sql, schema_jobs
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.jobs_sql import close, enqueue, fail, relay_begin, relay_end, relay_step
from vesalius.backends.listing_sql import newest
from vesalius.model.commitments import Notice, Role
from vesalius.model.entities import Event
from vesalius.ports.clock import Clock
from vesalius.ports.commitments import JobOf
from vesalius.ports.jobs import Lease

RELAY = "availability"

_FIELDS = "id, role, sop_instance, peer, aet, study, state, instances, content, at, done_at, remark"
_COLUMNS = (
    "role", "sop_instance", "peer", "aet", "study", "state", "instances", "content", "at", "done_at", "remark",
)  # fmt: skip
_KNOWN = "SELECT id FROM availability WHERE sop_instance = ? AND role = ?"
_BY_ID = f"SELECT {_FIELDS} FROM availability WHERE id = ?"  # noqa: S608
_END = "UPDATE availability SET state = ?, done_at = ?, remark = ? WHERE id = ?"
_LAST = "SELECT MAX(id) FROM outbox"


class SqlNotices:
    """`ports.commitments.Notices` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receive(self, notice: Notice) -> bool:
        """See `Notices.receive`."""
        return self._database.transaction(lambda tx: _insert(tx, notice) is not None, durable=True)

    def plan(self, notice: Notice, send: JobOf) -> int:
        """See `Notices.plan`."""

        def act(tx: Transaction) -> int:
            made = _insert(tx, notice)
            if made is None:
                raise LookupError("a fresh UID cannot be in anybody's way")
            enqueue(tx, send(made), notice.at)
            return made

        return self._database.transaction(act, durable=True)

    def get(self, notice: int) -> Notice | None:
        """See `Notices.get`."""
        rows = self._database.lookup(lambda tx: tx.rows(_BY_ID, (notice,)))
        return _notice(rows[0]) if rows else None

    def list(self, *, role: Role | None = None, study: str = "", limit: int = 100) -> list[Notice]:
        """See `Notices.list`."""
        equal = {"role": role.value if role else "", "study": study}
        return [_notice(row) for row in newest(self._database, "availability", _FIELDS, limit, equal=equal)]

    def sent(self, lease: Lease, notice: int, now: str) -> None:
        """See `Notices.sent`."""

        def act(tx: Transaction) -> None:
            close(tx, lease, now)
            tx.run(_END, ("sent", now, "", notice))

        self._database.transaction(act, durable=True)

    def failed(self, lease: Lease, notice: int, why: str, now: str) -> None:
        """See `Notices.failed`."""

        def act(tx: Transaction) -> None:
            fail(tx, lease, why, now)
            tx.run(_END, ("failed", now, why, notice))

        self._database.transaction(act, durable=True)


class ArrivalRelay:
    """From the archive's change feed to one job for each study that has gone quiet, as long as anybody wants it.

    It begins where the feed ends when the first peer wants to be told, so that nobody hears of the years before.
    """

    def __init__(self, database: Database, clock: Clock, quiet: float) -> None:
        self._database = database
        self._clock = clock
        self._quiet = quiet

    def step(self, wanted: bool) -> int:
        """One transaction; how many events it took."""
        if not wanted:
            relay_end(self._database, RELAY)
            return 0
        last = self._database.lookup(lambda tx: tx.rows(_LAST))[0][0] or 0
        relay_begin(self._database, RELAY, last)
        return relay_step(self._database, RELAY, outbox_sql.after, self._write)

    def _write(self, tx: Transaction, events: Sequence[Event]) -> None:
        now = self._clock.utc()
        for study in studies_of(events):
            enqueue(tx, study_job(study, now, self._quiet), now, later=True)


def _insert(tx: Transaction, notice: Notice) -> int | None:
    if tx.rows(_KNOWN, (notice.sop_instance, notice.role.value)):
        return None
    row = (
        notice.role.value, notice.sop_instance, notice.peer, notice.aet, notice.study, notice.state, notice.instances,
        json.dumps(notice.content, separators=(",", ":")), notice.at, notice.done_at, notice.remark,
    )  # fmt: skip
    return tx.insert(schema_jobs.availability, _COLUMNS, [row], ("sop_instance", "role"))[0]


def _notice(row: Row) -> Notice:
    values: list[Any] = list(row)
    values[1], values[8] = Role(values[1]), json.loads(values[8])
    return Notice(*values)
