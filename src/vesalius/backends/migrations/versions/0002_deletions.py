"""Deletions, and where the bytes of what they took away lie.

A frozen copy, as 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names.split()]


def _numbers(names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, BIG, nullable=False) for name in names.split()]


def upgrade() -> None:
    """Forward only."""
    op.create_table(
        "deletion",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        *_texts("uid state"),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        *_texts("study series sop_instance at who address reason"),
        sa.Column("instances", BIG, nullable=False, server_default="0"),
        sa.Column("bytes", BIG, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_deletion"),
        sa.UniqueConstraint("uid", name="uq_deletion_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deletion_state", "deletion", ["state", "at"])
    op.create_index("ix_deletion_study", "deletion", ["study"])
    op.create_table(
        "deleted_member",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column(
            "deletion_ref", BIG, sa.ForeignKey("deletion.id", name="fk_deleted_member_deletion_ref"), nullable=False
        ),
        *_texts("pack"),
        *_numbers("header_offset file_offset file_length dataset_offset dataset_length"),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        *_texts("study series sop_instance"),
        sa.PrimaryKeyConstraint("id", name="pk_deleted_member"),
    )
    op.create_index(
        "ix_deleted_member_deletion_ref", "deleted_member", ["deletion_ref", "pack", "header_offset"], unique=True
    )
    op.create_index("ix_deleted_member_sop_instance", "deleted_member", ["sop_instance"])
    op.create_index("ix_deleted_member_study", "deleted_member", ["study", "series"])
