"""Unified Procedure Step: workitems, subscriptions, and what is told to whom.

A frozen copy, as 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names.split()]


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, BIG, nullable=False, server_default="0")


def upgrade() -> None:
    """Forward only."""
    op.create_table(
        "workitem",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        *_texts("uid state lock at changed_at creator patient_id study label start"),
        _count("gone"),
        *_texts("data"),
        sa.PrimaryKeyConstraint("id", name="pk_workitem"),
        sa.UniqueConstraint("uid", name="uq_workitem_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workitem_state", "workitem", ["state", "start"])
    op.create_index("ix_workitem_patient_id", "workitem", ["patient_id"])
    op.create_index("ix_workitem_study", "workitem", ["study"])
    op.create_table(
        "workitem_name",
        *_texts("name"),
        sa.Column("workitem", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", "workitem", name="pk_workitem_name"),
    )
    op.create_index("ix_workitem_name_workitem", "workitem_name", ["workitem"])
    op.create_table(
        "workitem_subscription",
        sa.Column("workitem_ref", BIG, nullable=False),
        *_texts("aet"),
        _count("locked"),
        *_texts("origin"),
        sa.PrimaryKeyConstraint("workitem_ref", "aet", name="pk_workitem_subscription"),
        sa.ForeignKeyConstraint(["workitem_ref"], ["workitem.id"], name="fk_workitem_subscription_workitem_ref"),
    )
    op.create_index("ix_workitem_subscription_aet", "workitem_subscription", ["aet"])
    op.create_table(
        "workitem_global",
        *_texts("aet"),
        sa.Column("filtered", BIG, autoincrement=False, nullable=False),
        _count("locked"),
        *_texts("keys"),
        sa.PrimaryKeyConstraint("aet", "filtered", name="pk_workitem_global"),
    )
    op.create_table(
        "workitem_report",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        *_texts("aet workitem"),
        _count("kind"),
        *_texts("data at told"),
        sa.PrimaryKeyConstraint("id", name="pk_workitem_report"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workitem_report_aet", "workitem_report", ["aet", "told", "id"])
    op.create_index("ix_workitem_report_at", "workitem_report", ["at"])
    op.create_table(
        "workitem_reader",
        *_texts("aet"),
        _count("last_report"),
        sa.PrimaryKeyConstraint("aet", name="pk_workitem_reader"),
    )
