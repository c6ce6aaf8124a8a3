"""The tables of the radiology workflow, and of the repairs that are applied to images on their way out.

Theory. A row of the workflow holds its noun (`model/orders.py`) whole, as JSON in `data`, and beside it the columns by
which it is looked up: a noun may gain an attribute without a migration, and no attribute is written in two places that
could differ, because both are written from the noun (`backends/ris_rows.py`). `ris_step_station` has one row for each
station of a scheduled step, so that "what is planned on CT1 today" is one walk of an index; `ris_patient_group` one for
each group of a patient's name after the first, so that a beginning is found in any of them. `ris_event` is the feed
that consumers read in order. `ris_accession` holds every accession number that was ever seen, so that a generated one
is new even after its pattern was changed.

`repair` and `coercion` say which values of a study are answered in place of those received, who said so and why;
`coercion_original` is what the index held before the first of them. They are the archive's (`ports/coercions.py`).
"""

from __future__ import annotations

import sqlalchemy as sa

from vesalius.backends.schema_base import BIG, TEXT, count, metadata, ref, row_id, text

ris_patient = sa.Table(
    "ris_patient",
    metadata,
    row_id(),
    sa.Column("identity", TEXT, nullable=False, unique=True),  # Identifier.key
    text("patient_id"),
    text("name"),  # folded as in `model/names.py`
    text("birth_date"),
    count("merged_into"),
    text("data"),
    sa.Index("ix_ris_patient_patient_id", "patient_id"),
    sa.Index("ix_ris_patient_name", "name"),
    sa.Index("ix_ris_patient_birth_date", "birth_date"),
    sqlite_autoincrement=True,
)

ris_patient_group = sa.Table(
    "ris_patient_group",
    metadata,
    sa.Column("name", TEXT, primary_key=True),  # folded
    sa.Column("patient", BIG, primary_key=True, autoincrement=False),
    sa.Index("ix_ris_patient_group_patient", "patient"),
)

ris_visit = sa.Table(
    "ris_visit",
    metadata,
    row_id(),
    ref("patient", "ris_patient", index=True),
    text("number"),  # Identifier.key
    text("state"),
    text("data"),
    sa.Index("ix_ris_visit_number", "number"),
    sqlite_autoincrement=True,
)

ris_order = sa.Table(
    "ris_order",
    metadata,
    row_id(),
    ref("patient", "ris_patient", index=True),
    count("visit"),
    text("placer"),  # Identifier.key
    text("filler"),
    text("accession"),
    text("state"),
    text("data"),
    sa.Index("ix_ris_order_placer", "placer"),
    sa.Index("ix_ris_order_filler", "filler"),
    sa.Index("ix_ris_order_accession", "accession"),
    sa.Index("ix_ris_order_visit", "visit"),
    sqlite_autoincrement=True,
)

ris_procedure = sa.Table(
    "ris_procedure",
    metadata,
    row_id(),
    ref("order_ref", "ris_order", index=True),
    count("patient"),
    text("number"),
    text("study_uid"),
    text("data"),
    sa.Index("ix_ris_procedure_number", "number"),
    sa.Index("ix_ris_procedure_study_uid", "study_uid"),
    sqlite_autoincrement=True,
)

ris_step = sa.Table(
    "ris_step",
    metadata,
    row_id(),
    ref("procedure_ref", "ris_procedure", index=True),
    ref("order_ref", "ris_order", index=True),
    ref("patient", "ris_patient", index=True),
    text("number"),
    text("modality"),
    text("start"),
    text("state"),
    text("data"),
    sa.Index("ix_ris_step_number", "number"),
    sa.Index("ix_ris_step_start", "start", "modality"),
    sqlite_autoincrement=True,
)

ris_step_station = sa.Table(
    "ris_step_station",
    metadata,
    sa.Column("station", TEXT, primary_key=True),
    sa.Column("start", TEXT, primary_key=True),
    sa.Column("step", BIG, primary_key=True, autoincrement=False),
    sa.Index("ix_ris_step_station_step", "step"),
)

ris_performed = sa.Table(
    "ris_performed",
    metadata,
    row_id(),
    sa.Column("uid", TEXT, nullable=False, unique=True),
    count("order_ref"),
    count("patient"),
    text("study_uid"),
    text("state"),
    text("images"),
    text("final_at"),
    text("data"),
    sa.Index("ix_ris_performed_order_ref", "order_ref"),
    sa.Index("ix_ris_performed_patient", "patient"),
    sa.Index("ix_ris_performed_study_uid", "study_uid"),
    sa.Index("ix_ris_performed_images", "images", "final_at"),
    sqlite_autoincrement=True,
)

ris_expected = sa.Table(
    "ris_expected",
    metadata,
    sa.Column("sop_instance", TEXT, primary_key=True),
    sa.Column("performed", BIG, primary_key=True, autoincrement=False),
    sa.Column("arrived", sa.SmallInteger(), nullable=False, server_default="0"),
    sa.Index("ix_ris_expected_performed", "performed", "arrived"),
)

ris_catalogue = sa.Table(
    "ris_catalogue",
    metadata,
    row_id(),
    sa.Column("code", TEXT, nullable=False, unique=True),  # value\scheme
    text("modality"),
    text("data"),
    sqlite_autoincrement=True,
)

ris_station = sa.Table(
    "ris_station",
    metadata,
    row_id(),
    sa.Column("aet", TEXT, nullable=False, unique=True),
    text("modality"),
    text("department"),
    text("data"),
    sqlite_autoincrement=True,
)

ris_room = sa.Table(
    "ris_room",
    metadata,
    row_id(),
    sa.Column("name", TEXT, nullable=False, unique=True),
    text("data"),
    sqlite_autoincrement=True,
)

ris_appointment = sa.Table(
    "ris_appointment",
    metadata,
    row_id(),
    text("station"),
    text("begin"),
    text("finish"),
    count("step"),
    sa.Column("active", sa.SmallInteger(), nullable=False),
    text("data"),
    sa.Index("ix_ris_appointment_station", "station", "finish"),
    sa.Index("ix_ris_appointment_step", "step"),
    sqlite_autoincrement=True,
)

ris_merge = sa.Table(
    "ris_merge",
    metadata,
    row_id(),
    ref("survivor", "ris_patient", index=True),
    ref("gone", "ris_patient", index=True),
    text("undone_at"),
    text("data"),
    sqlite_autoincrement=True,
)

ris_item = sa.Table(
    "ris_item",
    metadata,
    row_id(),
    text("study"),
    text("state"),
    text("trouble"),
    text("data"),
    sa.Index("ix_ris_item_study", "study"),
    sa.Index("ix_ris_item_state", "state"),
    sqlite_autoincrement=True,
)

ris_link = sa.Table(
    "ris_link",
    metadata,
    row_id(),
    sa.Column("study", TEXT, nullable=False, unique=True),
    count("order_ref"),
    text("data"),
    sa.Index("ix_ris_link_order_ref", "order_ref"),
    sqlite_autoincrement=True,
)

ris_event = sa.Table(
    "ris_event",
    metadata,
    row_id(),
    text("kind"),
    text("at"),
    text("who"),
    text("why"),
    count("patient"),
    count("order_ref"),
    count("step"),
    text("detail"),  # JSON
    sa.Index("ix_ris_event_patient", "patient"),
    sa.Index("ix_ris_event_order_ref", "order_ref"),
    sqlite_autoincrement=True,  # readers remember the last id they saw
)

ris_counter = sa.Table(
    "ris_counter",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    count("value"),
)

ris_accession = sa.Table("ris_accession", metadata, sa.Column("number", TEXT, primary_key=True))

repair = sa.Table(
    "repair",
    metadata,
    row_id(),
    text("kind"),
    text("at"),
    text("who"),
    text("why"),
    text("undone_at"),
    text("undone_by"),
    sqlite_autoincrement=True,
)

coercion = sa.Table(
    "coercion",
    metadata,
    row_id(),
    ref("repair_ref", "repair", index=True),
    text("study"),
    sa.Column("tag", BIG, nullable=False),
    text("value"),
    sa.Index("ix_coercion_study", "study"),
    sqlite_autoincrement=True,
)

coercion_original = sa.Table(
    "coercion_original",
    metadata,
    sa.Column("study", TEXT, primary_key=True),
    text("patient"),  # JSON: column -> value
    text("attributes"),  # JSON: column of the study -> value
)
