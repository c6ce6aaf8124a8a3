"""The radiology workflow (orders, steps, what was performed, stations, appointments), and repairs of images.

A frozen copy, as 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, TEXT, nullable=False)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, BIG, nullable=False, server_default="0")


def _row_id() -> sa.Column[int]:
    return sa.Column("id", BIG, autoincrement=True, nullable=False)


def _ref(table: str, name: str, target: str) -> sa.Column[Any]:
    return sa.Column(name, BIG, sa.ForeignKey(f"{target}.id", name=f"fk_{table}_{name}"), nullable=False)


def upgrade() -> None:
    """Forward only."""
    op.create_table(
        "ris_patient",
        _row_id(),
        _text("identity"),
        _text("patient_id"),
        _text("name"),
        _text("birth_date"),
        _count("merged_into"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_patient"),
        sa.UniqueConstraint("identity", name="uq_ris_patient_identity"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_patient_patient_id", "ris_patient", ["patient_id"])
    op.create_index("ix_ris_patient_name", "ris_patient", ["name"])
    op.create_index("ix_ris_patient_birth_date", "ris_patient", ["birth_date"])
    op.create_table(
        "ris_visit",
        _row_id(),
        _ref("ris_visit", "patient", "ris_patient"),
        _text("number"),
        _text("state"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_visit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_visit_patient", "ris_visit", ["patient"])
    op.create_index("ix_ris_visit_number", "ris_visit", ["number"])
    op.create_table(
        "ris_order",
        _row_id(),
        _ref("ris_order", "patient", "ris_patient"),
        _count("visit"),
        _text("placer"),
        _text("filler"),
        _text("accession"),
        _text("state"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_order"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_order_patient", "ris_order", ["patient"])
    op.create_index("ix_ris_order_placer", "ris_order", ["placer"])
    op.create_index("ix_ris_order_filler", "ris_order", ["filler"])
    op.create_index("ix_ris_order_accession", "ris_order", ["accession"])
    op.create_index("ix_ris_order_visit", "ris_order", ["visit"])
    op.create_table(
        "ris_procedure",
        _row_id(),
        _ref("ris_procedure", "order_ref", "ris_order"),
        _count("patient"),
        _text("number"),
        _text("study_uid"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_procedure"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_procedure_order_ref", "ris_procedure", ["order_ref"])
    op.create_index("ix_ris_procedure_number", "ris_procedure", ["number"])
    op.create_index("ix_ris_procedure_study_uid", "ris_procedure", ["study_uid"])
    op.create_table(
        "ris_step",
        _row_id(),
        _ref("ris_step", "procedure_ref", "ris_procedure"),
        _ref("ris_step", "order_ref", "ris_order"),
        _ref("ris_step", "patient", "ris_patient"),
        _text("number"),
        _text("modality"),
        _text("start"),
        _text("state"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_step"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_step_procedure_ref", "ris_step", ["procedure_ref"])
    op.create_index("ix_ris_step_order_ref", "ris_step", ["order_ref"])
    op.create_index("ix_ris_step_patient", "ris_step", ["patient"])
    op.create_index("ix_ris_step_number", "ris_step", ["number"])
    op.create_index("ix_ris_step_start", "ris_step", ["start", "modality"])
    op.create_table(
        "ris_step_station",
        sa.Column("station", TEXT, nullable=False),
        sa.Column("start", TEXT, nullable=False),
        sa.Column("step", BIG, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("station", "start", "step", name="pk_ris_step_station"),
    )
    op.create_index("ix_ris_step_station_step", "ris_step_station", ["step"])
    op.create_table(
        "ris_performed",
        _row_id(),
        _text("uid"),
        _count("order_ref"),
        _count("patient"),
        _text("study_uid"),
        _text("state"),
        _text("images"),
        _text("final_at"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_performed"),
        sa.UniqueConstraint("uid", name="uq_ris_performed_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_performed_order_ref", "ris_performed", ["order_ref"])
    op.create_index("ix_ris_performed_patient", "ris_performed", ["patient"])
    op.create_index("ix_ris_performed_study_uid", "ris_performed", ["study_uid"])
    op.create_index("ix_ris_performed_images", "ris_performed", ["images", "final_at"])
    op.create_table(
        "ris_expected",
        sa.Column("sop_instance", TEXT, nullable=False),
        sa.Column("performed", BIG, nullable=False, autoincrement=False),
        sa.Column("arrived", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("sop_instance", "performed", name="pk_ris_expected"),
    )
    op.create_index("ix_ris_expected_performed", "ris_expected", ["performed", "arrived"])
    op.create_table(
        "ris_catalogue",
        _row_id(),
        _text("code"),
        _text("modality"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_catalogue"),
        sa.UniqueConstraint("code", name="uq_ris_catalogue_code"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ris_station",
        _row_id(),
        _text("aet"),
        _text("modality"),
        _text("department"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_station"),
        sa.UniqueConstraint("aet", name="uq_ris_station_aet"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ris_room",
        _row_id(),
        _text("name"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_room"),
        sa.UniqueConstraint("name", name="uq_ris_room_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ris_appointment",
        _row_id(),
        _text("station"),
        _text("begin"),
        _text("finish"),
        _count("step"),
        sa.Column("active", sa.SmallInteger(), nullable=False),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_appointment"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_appointment_station", "ris_appointment", ["station", "finish"])
    op.create_index("ix_ris_appointment_step", "ris_appointment", ["step"])
    op.create_table(
        "ris_merge",
        _row_id(),
        _ref("ris_merge", "survivor", "ris_patient"),
        _ref("ris_merge", "gone", "ris_patient"),
        _text("undone_at"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_merge"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_merge_survivor", "ris_merge", ["survivor"])
    op.create_index("ix_ris_merge_gone", "ris_merge", ["gone"])
    op.create_table(
        "ris_item",
        _row_id(),
        _text("study"),
        _text("state"),
        _text("trouble"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_item"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_item_study", "ris_item", ["study"])
    op.create_index("ix_ris_item_state", "ris_item", ["state"])
    op.create_table(
        "ris_link",
        _row_id(),
        _text("study"),
        _count("order_ref"),
        _text("data"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_link"),
        sa.UniqueConstraint("study", name="uq_ris_link_study"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_link_order_ref", "ris_link", ["order_ref"])
    op.create_table(
        "ris_event",
        _row_id(),
        _text("kind"),
        _text("at"),
        _text("who"),
        _text("why"),
        _count("patient"),
        _count("order_ref"),
        _count("step"),
        _text("detail"),
        sa.PrimaryKeyConstraint("id", name="pk_ris_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ris_event_patient", "ris_event", ["patient"])
    op.create_index("ix_ris_event_order_ref", "ris_event", ["order_ref"])
    op.create_table(
        "ris_counter",
        sa.Column("name", TEXT, nullable=False),
        _count("value"),
        sa.PrimaryKeyConstraint("name", name="pk_ris_counter"),
    )
    op.create_table(
        "ris_accession",
        sa.Column("number", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_ris_accession"),
    )
    op.create_table(
        "repair",
        _row_id(),
        _text("kind"),
        _text("at"),
        _text("who"),
        _text("why"),
        _text("undone_at"),
        _text("undone_by"),
        sa.PrimaryKeyConstraint("id", name="pk_repair"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "coercion",
        _row_id(),
        _ref("coercion", "repair_ref", "repair"),
        _text("study"),
        sa.Column("tag", BIG, nullable=False),
        _text("value"),
        sa.PrimaryKeyConstraint("id", name="pk_coercion"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_coercion_repair_ref", "coercion", ["repair_ref"])
    op.create_index("ix_coercion_study", "coercion", ["study"])
    op.create_table(
        "coercion_original",
        sa.Column("study", TEXT, nullable=False),
        _text("patient"),
        _text("attributes"),
        sa.PrimaryKeyConstraint("study", name="pk_coercion_original"),
    )
    op.add_column("study", sa.Column("coerced", BIG, nullable=False, server_default="0"))
