"""THE attribute table: what the index keeps of every instance, and everything that follows from it.

One list of rows (`attributes_table.py`) drives the schema of the index, what is taken from a data set, the keys of
C-FIND and QIDO-RS, the conformance statement, the reference page and what a log must hide. `FINGERPRINT` is kept
with the index, so that a changed table knows that it has to index again (architecture, practice 6).

Columns. Every attribute has one column of its name in snake_case that holds the value as it was sent, its padding
removed; a number is kept as a number, and as `_sent` too where it was written in another way (`001`, `1.50`), which is
then what is answered. Some have companions that exist for matching only and are never answered:

- a name: `_folded` (alphabetic group), `_ideographic`, `_phonetic` (the other groups; NULL where there are none), all
  as `matching.fold_name` folds them, and `_sounds`: the phonetic codes of every word, ` DN JN `;
- a date, time or date-time: `_norm`, fixed width, so that plain comparison of text is comparison of time;
  NULL where what was sent is no date or time (it is kept as sent, and noted: bad-input D11);
- a date with a time of its own: `_utc`, the instant in UTC, where the data set says its offset from UTC.

Several names in one attribute (VM 1-n) are joined by a backslash, the companions too. Text order is the order of
code points ("C" collation, SQLite's BINARY): ranges and prefixes rely on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from vesalius.model.attributes_columns import Column, Role, SqlKind, columns
from vesalius.model.attributes_extract import extract
from vesalius.model.attributes_table import (
    ATTRIBUTES,
    DATE_TIME_PAIRS,
    SEQUENCES,
    Attribute,
    ColumnKind,
    KeyType,
    Merge,
)
from vesalius.model.entities import Level

__all__ = [
    "ANSWERED",
    "ATTRIBUTES",
    "BY_COLUMN",
    "BY_TAG",
    "COMPUTED",
    "DATE_TIME_PAIRS",
    "FINGERPRINT",
    "PHI_KEYWORDS",
    "SEQUENCES",
    "UNIQUE_KEYS",
    "Attribute",
    "Column",
    "ColumnKind",
    "KeyType",
    "Merge",
    "Role",
    "SqlKind",
    "columns",
    "companion",
    "describe",
    "extract",
]

BY_TAG: dict[int, Attribute] = {row.tag: row for row in ATTRIBUTES}
BY_COLUMN: dict[str, Attribute] = {row.column: row for row in ATTRIBUTES}

# Kept by the index itself, from the rows below: sets (UNION) and numbers (COUNT).
COMPUTED: tuple[Attribute, ...] = tuple(row for row in ATTRIBUTES if row.computed)

# Never columns, never matched: `archive/search` adds them to every answer (PS3.4 C.4.1.1.3.2).
ANSWERED: dict[int, str] = {
    0x00080052: "QueryRetrieveLevel",
    0x00080054: "RetrieveAETitle",
    0x00080056: "InstanceAvailability",
}

UNIQUE_KEYS: dict[Level, int] = {
    Level.PATIENT: 0x00100020,
    Level.STUDY: 0x0020000D,
    Level.SERIES: 0x0020000E,
    Level.IMAGE: 0x00080018,
}

PHI_KEYWORDS: frozenset[str] = frozenset(row.keyword for row in ATTRIBUTES if row.phi)

FINGERPRINT: str = hashlib.sha256(
    repr((ATTRIBUTES, sorted(SEQUENCES.items()), sorted(DATE_TIME_PAIRS.items()), "columns 2")).encode()
).hexdigest()[:16]


def companion(row: Attribute, role: Role) -> str:
    """The name of an attribute's column for a role."""
    return row.column + role.value


def describe() -> Iterable[dict[str, str]]:
    """One row of words per attribute: for the reference page and the conformance statement."""
    for row in ATTRIBUTES:
        inside = ", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in SEQUENCES.get(row.tag, ()))
        yield {
            "tag": row.name_of_tag,
            "keyword": row.keyword,
            "vr": row.vr,
            "level": row.level.name,
            "key": row.key.value,
            "matching": _MATCHING[row.kind],
            "column": row.column,
            "merge": row.merge.value,
            "phi": "yes" if row.phi else "",
            "indexed": "yes" if row.indexed else "",
            "inside": inside,
        }


_MATCHING = {
    ColumnKind.TEXT: "single value, wildcard, universal",
    ColumnKind.NAME: "single value, wildcard, fuzzy, universal",
    ColumnKind.UID: "list of UID, universal",
    ColumnKind.DATE: "single value, range, combined, universal",
    ColumnKind.TIME: "single value, range, combined, universal",
    ColumnKind.DATETIME: "single value, range, universal",
    ColumnKind.INTEGER: "single value, universal",
    ColumnKind.DECIMAL: "single value, universal",
    ColumnKind.MULTI: "single value or wildcard on any of the values, universal",
    ColumnKind.SEQUENCE: "sequence, universal",
}
