"""The tables of what is still to be done: jobs, relays, storage commitments, and notices of availability.

Theory. What an answer has promised and has not happened yet is a row. `job` is one thing to do (`ports/jobs.py`): a
partial unique index keeps at most one open job of a kind and key. `relay` is how far a reader of a change feed has
come. `commitment` is one request for storage commitment, whichever side asked (PS3.4 annex J), and
`commitment_instance` what it names, in the order in which it was named; of the requests of peers, one Transaction UID
has at most one row that is `active`. `availability` is one Instance Availability Notification, sent or received
(PS3.4 annex R).
"""

from __future__ import annotations

import sqlalchemy as sa

from vesalius.backends.schema_base import BIG, TEXT, count, metadata, ref, row_id, text

_OPEN = sa.text("state = 'open'")
_ACTIVE = sa.text("active = 1")

job = sa.Table(
    "job",
    metadata,
    row_id(),
    text("kind"),
    sa.Column("key", TEXT),  # NULL: as many as there are
    text("payload"),  # JSON
    text("state"),  # ports.jobs.State
    count("attempts"),  # leases so far; with the owner, the number of a lease
    text("not_before"),
    text("expires"),  # "": never
    text("lease_until"),
    text("lease_owner"),
    text("last_error"),
    text("created_at"),
    text("done_at"),
    sa.Index("ix_job_open", "kind", "key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    sa.Index("ix_job_due", "not_before", sqlite_where=_OPEN, postgresql_where=_OPEN),
    sa.Index("ix_job_state", "state", "done_at"),
    sqlite_autoincrement=True,
)

relay = sa.Table(
    "relay",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    count("last_event"),
)

commitment = sa.Table(
    "commitment",
    metadata,
    row_id(),
    text("role"),  # "scp": a peer asked us; "scu": we ask a peer
    text("transaction_uid"),
    text("peer"),  # by name; "" for a caller that is no peer
    text("aet"),
    text("called_aet"),  # the title that was called, and so the one that calls back
    text("address"),
    text("association"),
    text("state"),  # archive.commit.CommitmentState
    sa.Column("active", sa.SmallInteger(), nullable=False, server_default="0"),  # role scp: owns its Transaction UID
    count("instances"),
    count("failed"),
    count("reports"),  # times that a result was sent, or that it was asked
    text("study"),  # where all are of one
    text("at"),
    text("checked_at"),
    text("done_at"),
    text("remark"),
    sa.Index(
        "ix_commitment_active",
        "transaction_uid",
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    ),
    sa.Index("ix_commitment_transaction_uid", "transaction_uid"),
    sa.Index("ix_commitment_state", "role", "state"),
    sqlite_autoincrement=True,
)

commitment_instance = sa.Table(
    "commitment_instance",
    metadata,
    sa.Column("commitment_ref", BIG, sa.ForeignKey("commitment.id"), primary_key=True, autoincrement=False),
    sa.Column("number", BIG, primary_key=True, autoincrement=False),
    text("sop_class"),
    text("sop_instance"),
    sa.Column("reason", sa.Integer()),  # Failure Reason (0008,1197); 0: committed; NULL: not known yet
    sa.Index("ix_commitment_instance_sop_instance", "sop_instance"),
)

availability = sa.Table(
    "availability",
    metadata,
    row_id(),
    text("role"),  # "scu": sent to a peer; "scp": received from one
    text("sop_instance"),  # of the notification itself
    text("peer"),
    text("aet"),
    text("study"),
    text("state"),  # "open" | "sent" | "failed" | "received"
    count("instances"),
    text("content"),  # JSON: archive.availability
    text("at"),
    text("done_at"),
    text("remark"),
    sa.UniqueConstraint("sop_instance", "role"),
    sa.Index("ix_availability_study", "study"),
    sqlite_autoincrement=True,
)

__all__ = ["availability", "commitment", "commitment_instance", "job", "metadata", "ref", "relay"]
