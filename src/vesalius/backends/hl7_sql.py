"""The message log of HL7 in the database (implements `ports.hl7.Hl7Log`): inbox and queues together."""

from __future__ import annotations

from vesalius.backends.database import Database, Transaction
from vesalius.backends.hl7_in_sql import SqlInbox
from vesalius.backends.hl7_out_sql import SqlQueues

_PRUNE_IN = "DELETE FROM hl7_in WHERE state = 'done' AND at < ? RETURNING id"
_PRUNE_OUT = "DELETE FROM hl7_out WHERE state IN ('sent', 'replayed') AND at < ? RETURNING id"


class SqlHl7Log(SqlInbox, SqlQueues):
    """`ports.hl7.Hl7Log` over a `Database`."""

    def __init__(self, database: Database) -> None:
        SqlInbox.__init__(self, database)
        SqlQueues.__init__(self, database)

    def prune(self, before: str) -> int:
        """See `Hl7Log.prune`."""

        def act(tx: Transaction) -> int:
            return len(tx.rows(_PRUNE_IN, (before,))) + len(tx.rows(_PRUNE_OUT, (before,)))

        return self._database.transaction(act, durable=False)
