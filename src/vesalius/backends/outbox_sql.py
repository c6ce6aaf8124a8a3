"""The outbox: what became of the archive, in the order in which it became visible (`Index.events`).

Theory. Rows are written in the transaction that they tell of, so nothing can happen unannounced, and readers remember
the last id that they saw. That is only right if ids become visible in their order. SQLite has one writer at
a time. On PostgreSQL two transactions could take the ids 5 and 6 and commit 6 first, and a reader would
never see 5: so a lock, taken last and held to the commit, lets only one transaction at a time announce.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesalius.backends.database import Database, Transaction
from vesalius.model.entities import Event

_INSERT = "INSERT INTO outbox (kind, study, series, sop_instance, at, sender) VALUES (?, ?, ?, ?, ?, ?)"
_SINCE = "SELECT id, kind, study, series, sop_instance, at, sender FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
_LAST = "SELECT MAX(id) FROM outbox"
_LOCK = "SELECT pg_advisory_xact_lock(?)"
_LOCK_NUMBER = 0x76657361  # "vesa"


def announce(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write (kind, study, series, SOP instance, at, sender) rows: the last statement of a transaction."""
    if not rows:
        return
    if tx.for_update:  # a database with many writers
        tx.rows(_LOCK, (_LOCK_NUMBER,))
    tx.many(_INSERT, rows)


def after(tx: Transaction, event: int, limit: int) -> list[tuple[int, Event]]:
    """The next events after one, with their ids, as a relay reads them (`jobs_sql.relay_step`)."""
    return [(row[0], Event(*row)) for row in tx.rows(_SINCE, (event, limit))]


def events(database: Database, since: int, limit: int) -> list[Event]:
    """See `Index.events`."""
    return [event for _, event in database.lookup(lambda tx: after(tx, since, limit))]


def last_event(database: Database) -> int:
    """See `Index.last_event`."""
    return database.lookup(lambda tx: tx.rows(_LAST))[0][0] or 0
