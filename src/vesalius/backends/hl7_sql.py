"""The message log of HL7 in the database (implements `ports.hl7.Hl7Log`): inbox and queues together."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.backends import ris_sql
from vesalius.backends.database import Database, Transaction
from vesalius.backends.hl7_in_sql import SqlInbox
from vesalius.backends.hl7_out_sql import SqlQueues, queue_out, waiting_out
from vesalius.backends.jobs_sql import relay_begin, relay_step
from vesalius.model.orders import RisEvent
from vesalius.ports.hl7 import Compose

_FREE_IN = "UPDATE hl7_in SET lease_owner = '', lease_until = '' WHERE lease_owner = ? RETURNING id"
_FREE_OUT = "UPDATE hl7_channel SET lease_owner = '', lease_until = '' WHERE lease_owner = ? RETURNING destination"
_PRUNE_IN = "DELETE FROM hl7_in WHERE state = 'done' AND at < ? RETURNING id"
_PRUNE_OUT = "DELETE FROM hl7_out WHERE state IN ('sent', 'replayed') AND at < ? RETURNING id"

BATCH = 100  # events in one transaction


class SqlHl7Log(SqlInbox, SqlQueues):
    """`ports.hl7.Hl7Log` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def follow(self, destination: str, compose: Compose, at: str, *, longest: int) -> int:
        """See `Hl7Log.follow`."""
        database, name = self._database, f"hl7-out:{destination}"
        if database.lookup(lambda tx: waiting_out(tx, destination)) >= longest:
            return 0
        relay_begin(database, name, database.lookup(lambda tx: ris_sql.SqlView(tx).last_event()))

        def read(tx: Transaction, since: int, limit: int) -> list[tuple[int, RisEvent]]:
            return [(event.id, event) for event in ris_sql.events(tx, since, limit)]

        def write(tx: Transaction, events: Sequence[RisEvent]) -> None:
            queue_out(tx, compose(ris_sql.SqlView(tx), events), at)

        return relay_step(database, name, read, write, limit=BATCH)

    def take_over(self, owner: str) -> int:
        """See `Hl7Log.take_over`."""

        def act(tx: Transaction) -> int:
            return len(tx.rows(_FREE_IN, (owner,))) + len(tx.rows(_FREE_OUT, (owner,)))

        return self._database.transaction(act, durable=False)

    def prune(self, before: str) -> int:
        """See `Hl7Log.prune`."""

        def act(tx: Transaction) -> int:
            return len(tx.rows(_PRUNE_IN, (before,))) + len(tx.rows(_PRUNE_OUT, (before,)))

        return self._database.transaction(act, durable=False)
