"""The columns that follow from the rows of the attribute table: names, kinds and companions (see `attributes.py`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vesalius.model.attributes_table import ATTRIBUTES, DATE_TIME_PAIRS, Attribute, ColumnKind
from vesalius.model.entities import Level


class SqlKind(enum.Enum):
    """What a column is in SQL. TEXT compares by code point: COLLATE "C" on PostgreSQL, BINARY on SQLite."""

    TEXT = "text"
    INTEGER = "integer"  # 64 bit
    REAL = "real"  # double precision


class Role(enum.Enum):
    """What a column holds of its attribute."""

    VALUE = ""
    FOLDED = "_folded"
    IDEOGRAPHIC = "_ideographic"
    PHONETIC = "_phonetic"
    SOUNDS = "_sounds"
    NORM = "_norm"
    UTC = "_utc"
    SENT = "_sent"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the index: `patient_name_folded`, TEXT, B-tree indexed."""

    name: str
    sql: SqlKind
    role: Role
    attribute: Attribute
    indexed: bool


_NAME_ROLES = (Role.FOLDED, Role.IDEOGRAPHIC, Role.PHONETIC, Role.SOUNDS)
_NORMALIZED = (ColumnKind.DATE, ColumnKind.TIME, ColumnKind.DATETIME)
_WRITTEN_NUMBERS = ("IS", "DS")  # written by people and devices in many ways: 1, 001, +1, 1.0


def _columns_of(row: Attribute) -> tuple[Column, ...]:
    sql = {ColumnKind.INTEGER: SqlKind.INTEGER, ColumnKind.DECIMAL: SqlKind.REAL}.get(row.kind, SqlKind.TEXT)
    named, normalized = row.kind is ColumnKind.NAME, row.kind in _NORMALIZED
    made = [Column(row.column, sql, Role.VALUE, row, row.indexed and not named and not normalized)]
    if named:
        made += [
            Column(row.column + role.value, SqlKind.TEXT, role, row, row.indexed and role is not Role.SOUNDS)
            for role in _NAME_ROLES
        ]
    if normalized:
        made.append(Column(row.column + Role.NORM.value, SqlKind.TEXT, Role.NORM, row, row.indexed))
    if row.vr in _WRITTEN_NUMBERS and sql is not SqlKind.TEXT and not row.computed:
        made.append(Column(row.column + Role.SENT.value, SqlKind.TEXT, Role.SENT, row, False))
    if row.tag in DATE_TIME_PAIRS:
        made.append(Column(row.column + Role.UTC.value, SqlKind.TEXT, Role.UTC, row, False))
    return tuple(made)


_COLUMNS: dict[Level, tuple[Column, ...]] = {
    level: tuple(column for row in ATTRIBUTES if row.level is level for column in _columns_of(row)) for level in Level
}


def columns(level: Level, *, computed: bool = True) -> tuple[Column, ...]:
    """The columns of one level's table, in order. Without `computed`: exactly the keys of `extract`'s dict."""
    return tuple(column for column in _COLUMNS[level] if computed or not column.attribute.computed)
