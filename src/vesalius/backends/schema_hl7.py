"""The tables of HL7: what came in, what goes out, and who sends to which destination just now.

Theory. `hl7_in` is the durable inbox and the message log at once: a row stands there before the sender gets its
acknowledgement, and the acknowledgement is kept in it. `key` is sending application, facility and control id: unique,
so two processes that get the same message at once cannot both take it. A row that does not count for that (a second
message under a control id that is taken) has no key.

`hl7_out` is the queue of every destination in the order of its ids. `key` names what the message tells of, so the same
event makes one message however often it is looked at. `hl7_channel` has one row for each destination: who sends to it
(one process at a time, or order would be lost) and when the next try is due.
"""

from __future__ import annotations

import sqlalchemy as sa

from vesalius.backends.schema_base import BYTES, TEXT, count, metadata, row_id, text

__all__ = ["hl7_channel", "hl7_in", "hl7_out"]


hl7_in = sa.Table(
    "hl7_in",
    metadata,
    row_id(),
    sa.Column("key", TEXT, unique=True),
    text("source"),  # name in the settings
    text("application"),  # MSH-3
    text("facility"),  # MSH-4
    text("control_id"),  # MSH-10
    text("type"),  # MSH-9
    text("address"),
    text("at"),
    sa.Column("state", TEXT, nullable=False),  # "received" | "done" | "refused"
    text("code"),  # AA, AE, AR
    text("error"),
    text("done_at"),
    count("attempts"),
    text("lease_owner"),
    text("lease_until"),
    sa.Column("digest", BYTES, nullable=False),
    sa.Column("message", BYTES, nullable=False),  # as it came, without its frame
    sa.Column("ack", BYTES),
    sa.Index("ix_hl7_in_state", "state", "source", "id"),
    sa.Index("ix_hl7_in_at", "at"),
    sqlite_autoincrement=True,  # order of arrival
)

hl7_out = sa.Table(
    "hl7_out",
    metadata,
    row_id(),
    sa.Column("key", TEXT, nullable=False, unique=True),
    sa.Column("destination", TEXT, nullable=False),
    text("control_id"),
    text("type"),
    text("at"),
    sa.Column("state", TEXT, nullable=False),  # "waiting" | "sent" | "held"
    text("code"),
    text("error"),
    text("sent_at"),
    count("attempts"),
    sa.Column("message", BYTES, nullable=False),
    sa.Column("ack", BYTES),
    sa.Index("ix_hl7_out_destination", "destination", "state", "id"),
    sa.Index("ix_hl7_out_at", "at"),
    sqlite_autoincrement=True,  # the order in which they are sent
)

hl7_channel = sa.Table(
    "hl7_channel",
    metadata,
    sa.Column("destination", TEXT, primary_key=True),
    text("lease_owner"),
    text("lease_until"),
    text("not_before"),
    count("failures"),
)
