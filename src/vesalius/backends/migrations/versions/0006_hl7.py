"""HL7: the inbox, the queues of the destinations, and who sends to them.

A frozen copy, as 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names.split()]


def upgrade() -> None:
    """Forward only."""
    op.create_table(
        "hl7_in",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("key", TEXT, nullable=True),
        *_texts("source application facility control_id type address at"),
        sa.Column("state", TEXT, nullable=False),
        *_texts("code error done_at"),
        sa.Column("attempts", BIG, nullable=False, server_default="0"),
        *_texts("lease_owner lease_until"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("ack", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_hl7_in"),
        sa.UniqueConstraint("key", name="uq_hl7_in_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_hl7_in_state", "hl7_in", ["state", "source", "id"])
    op.create_index("ix_hl7_in_at", "hl7_in", ["at"])
    op.create_table(
        "hl7_out",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("destination", TEXT, nullable=False),
        *_texts("control_id type at"),
        sa.Column("state", TEXT, nullable=False),
        *_texts("code error sent_at"),
        sa.Column("attempts", BIG, nullable=False, server_default="0"),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("ack", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_hl7_out"),
        sa.UniqueConstraint("key", name="uq_hl7_out_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_hl7_out_destination", "hl7_out", ["destination", "state", "id"])
    op.create_index("ix_hl7_out_at", "hl7_out", ["at"])
    op.create_table(
        "hl7_channel",
        sa.Column("destination", TEXT, nullable=False),
        *_texts("lease_owner lease_until not_before"),
        sa.Column("failures", BIG, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("destination", name="pk_hl7_channel"),
    )
