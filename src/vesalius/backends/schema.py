"""The tables of the index, derived from the attribute table.

Theory. `patient`, `study`, `series` and `instance` hold one column per row of `model/attributes.py` of
their level (with its companions), and besides:

- `id`, and the id of the row above: `patient_ref`, `study_ref`, `series_ref` (not `study_id`: that is
  Study ID, an attribute);
- `patient.identity`: Patient ID with its issuer, unique (see `rows.patient_identity`);
- `instance.rank`: 0 is the current instance of its SOP Instance UID; 1, 2, ... are conflict copies, kept
  beside it and never answered (PS3.4 has no word for them; `service-answers`: the first stays current);
- `instance.damaged`: 1 while the member on the primary place fails its digest;
- where the bytes lie, which pixels they hold, and who sent them.

`deletion` and `deleted_member` say what was deleted and where its bytes lie: the tombstones in the packs tell the same.

`nested` holds the values inside sequences that can be matched: `owner` is the id of the row of `level`.
Totals are kept on `pack`: each pack has one writing process, so no row is fought over by all of them.

Queries that must be fast at a million studies find a B-tree: every column that the attribute table calls
indexed. The indexes of name groups that most patients lack hold only the rows that have one.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from vesalius.backends import schema_hl7, schema_jobs, schema_ris, schema_ups
from vesalius.backends.schema_base import BIG, BYTES, REAL, TEXT, count, metadata, ref, row_id, text
from vesalius.model.attributes import FINGERPRINT, Column, Role, SqlKind, columns
from vesalius.model.entities import Level

__all__ = [
    "BIG",
    "BYTES",
    "FINGERPRINT",
    "REAL",
    "TABLE_OF",
    "TEXT",
    "metadata",
    "schema_hl7",
    "schema_jobs",
    "schema_ris",
    "schema_ups",
]

_TYPES: dict[SqlKind, sa.types.TypeEngine[Any]] = {SqlKind.TEXT: TEXT, SqlKind.INTEGER: BIG, SqlKind.REAL: REAL}

_UNIQUE_APART = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")


def _attribute_columns(level: Level) -> list[sa.Column[Any]]:
    made: list[sa.Column[Any]] = []
    for column in columns(level):
        if column.attribute.computed and column.sql is SqlKind.INTEGER:
            made.append(count(column.name))
        elif column.name in _UNIQUE_APART:
            made.append(sa.Column(column.name, TEXT, nullable=False))
        else:
            made.append(sa.Column(column.name, _TYPES[column.sql]))
    return made


def _attribute_indexes(table: str, level: Level) -> list[sa.Index]:
    return [_index(table, column) for column in columns(level) if column.indexed and column.name not in _UNIQUE_APART]


def _index(table: str, column: Column) -> sa.Index:
    options: dict[str, Any] = {}
    if column.role in (Role.IDEOGRAPHIC, Role.PHONETIC):
        present = sa.text(f"{column.name} IS NOT NULL")
        options = {"sqlite_where": present, "postgresql_where": present}
    return sa.Index(f"ix_{table}_{column.name}", column.name, **options)


patient = sa.Table(
    "patient",
    metadata,
    row_id(),
    sa.Column("identity", TEXT, nullable=False, unique=True),
    *_attribute_columns(Level.PATIENT),
    *_attribute_indexes("patient", Level.PATIENT),
    sqlite_autoincrement=True,  # an id is never used again, so what a process remembers of a row stays true
)

study = sa.Table(
    "study",
    metadata,
    row_id(),
    ref("patient_ref", "patient", index=True),
    # Grows with each repair of the study that is applied on the way out (`coercions_sql`); 0: there are none.
    count("coerced"),
    *_attribute_columns(Level.STUDY),
    sa.UniqueConstraint("study_instance_uid"),
    *_attribute_indexes("study", Level.STUDY),
    sqlite_autoincrement=True,
)

series = sa.Table(
    "series",
    metadata,
    row_id(),
    ref("study_ref", "study", index=True),
    *_attribute_columns(Level.SERIES),
    # Found by the UID alone, and told apart by the study where a modality used one UID in two studies.
    sa.UniqueConstraint("series_instance_uid", "study_ref"),
    *_attribute_indexes("series", Level.SERIES),
    sqlite_autoincrement=True,
)

pack = sa.Table(
    "pack",
    metadata,
    row_id(),
    sa.Column("name", TEXT, nullable=False, unique=True),
    sa.Column("state", TEXT, nullable=False, server_default="open"),
    count("indexed_to"),
    count("size"),
    count("members"),
    count("dead_bytes"),
    text("sha256"),
    # What this pack's arrivals brought into the index: the terms of `Index.totals`.
    count("new_patients"),
    count("new_studies"),
    count("new_series"),
    count("new_instances"),
    count("new_conflicts"),
    count("new_notes"),
    count("new_bytes"),
    sa.Column("by_modality", TEXT, nullable=False, server_default="{}"),  # JSON: modality -> instances
    sqlite_autoincrement=True,
)

instance = sa.Table(
    "instance",
    metadata,
    row_id(),
    ref("series_ref", "series", index=True),
    sa.Column("rank", sa.SmallInteger(), nullable=False),
    sa.Column("damaged", sa.SmallInteger(), nullable=False, server_default="0"),
    ref("pack_ref", "pack"),
    sa.Column("header_offset", BIG, nullable=False),
    sa.Column("file_offset", BIG, nullable=False),
    sa.Column("file_length", BIG, nullable=False),
    sa.Column("dataset_offset", BIG, nullable=False),
    sa.Column("dataset_length", BIG, nullable=False),
    sa.Column("sha256", BYTES, nullable=False),
    sa.Column("pixel_tag", BIG),
    sa.Column("pixel_offset", BIG),
    sa.Column("pixel_length", BIG),
    sa.Column("pixel_encapsulated", sa.SmallInteger()),
    sa.Column("frame_table", BYTES),  # rows.pack_frames
    sa.Column("how", TEXT, nullable=False),
    text("calling_aet"),
    text("called_aet"),
    text("address"),
    text("association"),
    text("received_at"),
    *_attribute_columns(Level.IMAGE),
    sa.Column("xxh3", BYTES),
    sa.UniqueConstraint("sop_instance_uid", "rank"),
    sa.Index("ix_instance_pack", "pack_ref", "file_offset"),
    *_attribute_indexes("instance", Level.IMAGE),
)

nested = sa.Table(
    "nested",
    metadata,
    row_id(),
    sa.Column("level", sa.SmallInteger(), nullable=False),  # entities.Level
    sa.Column("owner", BIG, nullable=False),
    sa.Column("sequence", BIG, nullable=False),
    sa.Column("item", BIG, nullable=False),
    sa.Column("tag", BIG, nullable=False),
    sa.Column("value", TEXT, nullable=False),
    sa.Index("ix_nested_owner", "level", "owner", "sequence", "item"),
    sa.Index("ix_nested_value", "sequence", "tag", "value"),
)

note = sa.Table(
    "note",
    metadata,
    row_id(),
    text("at"),
    sa.Column("code", TEXT, nullable=False),
    sa.Column("tag", BIG, nullable=False),
    text("text"),
    text("study"),
    text("series"),
    text("sop_instance"),
    text("sender"),
    sa.Index("ix_note_study", "study", "code"),
    sqlite_autoincrement=True,
)

outbox = sa.Table(
    "outbox",
    metadata,
    row_id(),
    sa.Column("kind", TEXT, nullable=False),  # "stored" | "conflict" | "deleted" | "restored"
    text("study"),
    text("series"),
    text("sop_instance"),
    text("at"),
    text("sender"),
    sqlite_autoincrement=True,  # readers remember the last id they saw
)

pack_copy = sa.Table(
    "pack_copy",
    metadata,
    sa.Column("pack", TEXT, primary_key=True),
    sa.Column("place", TEXT, primary_key=True),
    count("copied_to"),
    text("verified_at"),
)

damaged = sa.Table(
    "damaged",
    metadata,
    sa.Column("pack", TEXT, primary_key=True),
    sa.Column("file_offset", BIG, primary_key=True, autoincrement=False),
    sa.Column("place", TEXT, primary_key=True),
)

deletion = sa.Table(
    "deletion",
    metadata,
    row_id(),
    sa.Column("uid", TEXT, nullable=False, unique=True),  # hex, as in its tombstone
    sa.Column("state", TEXT, nullable=False),  # "deleted" | "restored" | "purged"
    sa.Column("level", sa.SmallInteger(), nullable=False),  # entities.Level
    text("study"),
    text("series"),
    text("sop_instance"),
    text("at"),
    text("who"),
    text("address"),
    text("reason"),
    count("instances"),
    count("bytes"),
    sa.Index("ix_deletion_study", "study"),
    sa.Index("ix_deletion_state", "state", "at"),
    sqlite_autoincrement=True,
)

deleted_member = sa.Table(
    "deleted_member",
    metadata,
    row_id(),
    ref("deletion_ref", "deletion"),
    sa.Column("pack", TEXT, nullable=False),
    sa.Column("header_offset", BIG, nullable=False),
    sa.Column("file_offset", BIG, nullable=False),
    sa.Column("file_length", BIG, nullable=False),
    sa.Column("dataset_offset", BIG, nullable=False),
    sa.Column("dataset_length", BIG, nullable=False),
    sa.Column("sha256", BYTES, nullable=False),
    text("study"),
    text("series"),
    text("sop_instance"),
    sa.Index("ix_deleted_member_deletion_ref", "deletion_ref", "pack", "header_offset", unique=True),
    sa.Index("ix_deleted_member_study", "study", "series"),
    sa.Index("ix_deleted_member_sop_instance", "sop_instance"),
)

peer = sa.Table(
    "peer",
    metadata,
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("host", TEXT, nullable=False),
    sa.Column("port", sa.Integer(), nullable=False),
    sa.Column("aet", TEXT, nullable=False),
    text("rights"),  # separated by spaces
    text("move_to"),  # JSON list
    sa.Column("tls", sa.SmallInteger(), nullable=False, server_default="0"),
    sa.Column("refuse_conflicts", sa.SmallInteger(), nullable=False, server_default="0"),
    text("comment"),
    sa.Column("duties", TEXT, nullable=False, server_default=sa.text("''")),  # separated by spaces
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("value", TEXT, nullable=False),
)

TABLE_OF: dict[Level, sa.Table] = {
    Level.PATIENT: patient,
    Level.STUDY: study,
    Level.SERIES: series,
    Level.IMAGE: instance,
}
