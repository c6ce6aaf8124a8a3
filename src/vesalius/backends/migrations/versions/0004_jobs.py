"""Jobs, relays, storage commitments, notices of availability; what this archive does for a peer by itself.

A frozen copy, as 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names.split()]


def _counts(names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, BIG, nullable=False, server_default="0") for name in names.split()]


def _row_id() -> sa.Column[int]:
    return sa.Column("id", BIG, autoincrement=True, nullable=False)


def upgrade() -> None:
    """Forward only."""
    op.create_table(
        "job",
        _row_id(),
        *_texts("kind"),
        sa.Column("key", TEXT),
        *_texts("payload state"),
        *_counts("attempts"),
        *_texts("not_before expires lease_until lease_owner last_error created_at done_at"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sqlite_autoincrement=True,
    )
    is_open = sa.text("state = 'open'")
    op.create_index("ix_job_open", "job", ["kind", "key"], unique=True, sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_job_due", "job", ["not_before"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_job_state", "job", ["state", "done_at"])
    op.create_table(
        "relay",
        *_texts("name"),
        *_counts("last_event"),
        sa.PrimaryKeyConstraint("name", name="pk_relay"),
    )
    op.create_table(
        "commitment",
        _row_id(),
        *_texts("role transaction_uid peer aet called_aet address association state"),
        sa.Column("active", sa.SmallInteger(), nullable=False, server_default="0"),
        *_counts("instances failed reports"),
        *_texts("study at checked_at done_at remark"),
        sa.PrimaryKeyConstraint("id", name="pk_commitment"),
        sqlite_autoincrement=True,
    )
    active = sa.text("active = 1")
    op.create_index(
        "ix_commitment_active",
        "commitment",
        ["transaction_uid"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    op.create_index("ix_commitment_transaction_uid", "commitment", ["transaction_uid"])
    op.create_index("ix_commitment_state", "commitment", ["role", "state"])
    op.create_table(
        "commitment_instance",
        sa.Column(
            "commitment_ref",
            BIG,
            sa.ForeignKey("commitment.id", name="fk_commitment_instance_commitment_ref"),
            nullable=False,
            autoincrement=False,
        ),
        sa.Column("number", BIG, nullable=False, autoincrement=False),
        *_texts("sop_class sop_instance"),
        sa.Column("reason", sa.Integer()),
        sa.PrimaryKeyConstraint("commitment_ref", "number", name="pk_commitment_instance"),
    )
    op.create_index("ix_commitment_instance_sop_instance", "commitment_instance", ["sop_instance"])
    op.create_table(
        "availability",
        _row_id(),
        *_texts("role sop_instance peer aet study state"),
        *_counts("instances"),
        *_texts("content at done_at remark"),
        sa.PrimaryKeyConstraint("id", name="pk_availability"),
        sa.UniqueConstraint("sop_instance", "role", name="uq_availability_sop_instance"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_availability_study", "availability", ["study"])
    op.add_column("peer", sa.Column("duties", TEXT, nullable=False, server_default=sa.text("''")))
