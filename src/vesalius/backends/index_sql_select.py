"""Instances by their unique keys, for retrieval, and members by their place, for verification.

Theory. A C-GET of four hundred instances must not make four hundred queries, nor hold a cursor open while
the network is slow. So one look finds the ids and the order of everything that is meant (a few dozen bytes
each), and the rows follow in pages by id, each page one short read.

The joins are written in the order in which they must run: from the table whose key is given. CROSS JOIN is
how SQLite is told so; to PostgreSQL it is a join like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vesalius.backends.database import Database, Row
from vesalius.backends.rows import STORED_COLUMNS, stored_instance
from vesalius.model.entities import StoredInstance

PAGE = 500
STUDIES_AT_ONCE = 100

_KEYS = (
    "SELECT study.study_instance_uid, series.series_instance_uid, instance.instance_number, "
    "instance.sop_instance_uid, instance.id, patient.patient_id FROM "
)
_UP = "series.study_ref = study.id AND instance.series_ref = series.id AND study.patient_ref = patient.id"
_DOWN = f"CROSS JOIN study CROSS JOIN patient WHERE {_UP} AND instance.rank = 0 AND "
_BY_INSTANCE = f"{_KEYS} instance CROSS JOIN series {_DOWN} instance.sop_instance_uid IN (?)"
_BY_SERIES = (
    f"{_KEYS} series CROSS JOIN study CROSS JOIN patient CROSS JOIN instance "
    f"WHERE {_UP} AND instance.rank = 0 AND series.series_instance_uid IN (?)"
)
_BY_STUDY = (
    f"{_KEYS} study CROSS JOIN patient CROSS JOIN series CROSS JOIN instance "
    f"WHERE {_UP} AND instance.rank = 0 AND study.study_instance_uid IN (?)"
)
_BY_PATIENT = (
    f"{_KEYS} patient CROSS JOIN study CROSS JOIN series CROSS JOIN instance "
    f"WHERE {_UP} AND instance.rank = 0 AND patient.patient_id IN (?)"
)
_NEXT_STUDIES = "SELECT study_instance_uid FROM study WHERE study_instance_uid > ? ORDER BY 1 LIMIT ?"
_JOINED = (
    "instance CROSS JOIN series CROSS JOIN study CROSS JOIN patient CROSS JOIN pack "
    f"WHERE {_UP} AND pack.id = instance.pack_ref AND "
)
_ROWS = f"SELECT {', '.join(STORED_COLUMNS)}, instance.id FROM {_JOINED} instance.id IN (?)"  # noqa: S608
_ONE = (
    f"SELECT {', '.join(STORED_COLUMNS)} FROM {_JOINED} "  # noqa: S608
    "instance.rank = 0 AND instance.sop_instance_uid = ?"
)
_PACKS = "SELECT id FROM pack ORDER BY name"
_PACK = "SELECT id FROM pack WHERE name = ?"
_MEMBERS = (
    f"SELECT {', '.join(STORED_COLUMNS)}, instance.rank, instance.damaged FROM {_JOINED} "  # noqa: S608
    "instance.pack_ref = ? AND instance.file_offset > ? ORDER BY instance.file_offset LIMIT ?"
)
# Bytes lie in one place for ever, so the places of a set of instances tell one set from every other.
_VERSIONS = (
    "SELECT series.series_instance_uid, COUNT(*), MAX(instance.id), SUM(instance.pack_ref), SUM(instance.file_offset), "
    "SUM(instance.dataset_length), MAX(study.coerced) FROM study CROSS JOIN series CROSS JOIN instance "
    "WHERE series.study_ref = study.id AND instance.series_ref = series.id AND instance.rank = 0 "
    "AND study.study_instance_uid = ?"
)


def versions(database: Database, study: str, series: str | None) -> dict[str, str]:
    """A text for each series that changes with its current instances (`Index.versions`)."""
    sql, params = _VERSIONS, [study]
    if series is not None:
        sql += " AND series.series_instance_uid = ?"
        params.append(series)
    rows = _rows(database, f"{sql} GROUP BY series.series_instance_uid", params)
    return {row[0]: "-".join(f"{int(number):x}" for number in row[1:]) for row in rows}


def select(
    database: Database,
    patient_id: str | None,
    studies: Sequence[str],
    series: Sequence[str],
    instances: Sequence[str],
) -> Iterator[StoredInstance]:
    """Current instances that fit all the keys given, in order of study, series, instance number."""
    if not (patient_id or studies or series or instances):
        yield from _everything(database)
        return
    if len(instances) == 1:  # what a viewer asks all day: one look
        for row in _rows(database, _ONE, instances):
            found = stored_instance(row)
            if (
                (not patient_id or found.patient_id == patient_id)
                and (not studies or found.study in studies)
                and (not series or found.series in series)
            ):
                yield found
        return
    keys = _find(database, patient_id, studies, series, instances)
    for start in range(0, len(keys), PAGE):
        ids = [key[4] for key in keys[start : start + PAGE]]
        page = {row[-1]: row for row in _rows_in(database, _ROWS, ids)}
        yield from (stored_instance(page[number]) for number in ids if number in page)


def _everything(database: Database) -> Iterator[StoredInstance]:
    after = ""
    while True:
        found = _rows(database, _NEXT_STUDIES, (after, STUDIES_AT_ONCE))
        if not found:
            return
        uids = [row[0] for row in found]
        yield from select(database, None, uids, (), ())
        after = uids[-1]


def _find(
    database: Database,
    patient_id: str | None,
    studies: Sequence[str],
    series: Sequence[str],
    instances: Sequence[str],
) -> list[Row]:
    """Keys in order, looked up by the lowest level that is named; the levels above are compared here."""
    if instances:
        rows = _rows_in(database, _BY_INSTANCE, list(dict.fromkeys(instances)))
    elif series:
        rows = _rows_in(database, _BY_SERIES, list(dict.fromkeys(series)))
    elif studies:
        rows = _rows_in(database, _BY_STUDY, list(dict.fromkeys(studies)))
    else:
        rows = _rows_in(database, _BY_PATIENT, [patient_id])
    in_studies, in_series = frozenset(studies), frozenset(series)
    chosen = [
        row
        for row in rows
        if (not patient_id or row[5] == patient_id)
        and (not in_studies or row[0] in in_studies)
        and (not in_series or row[1] in in_series)
    ]
    return sorted(chosen, key=lambda row: (row[0], row[1], row[2] or 0, row[3]))


def _rows(database: Database, sql: str, params: Sequence[str | int] = ()) -> Sequence[Row]:
    return database.lookup(lambda tx: tx.rows(sql, params))


def _rows_in(database: Database, sql: str, values: Sequence[str | int | None]) -> Sequence[Row]:
    return database.lookup(lambda tx: tx.rows_in(sql, values))


def members(database: Database, pack: str | None) -> Iterator[tuple[StoredInstance, str]]:
    """Every kept instance of one pack or of all, with "current", "conflict" or "damaged", by pack and offset."""
    for row in _rows(database, _PACKS) if pack is None else _rows(database, _PACK, (pack,)):
        yield from _members_of(database, row[0])


def _members_of(database: Database, pack_ref: int) -> Iterator[tuple[StoredInstance, str]]:
    after = -1
    while True:
        page = _rows(database, _MEMBERS, (pack_ref, after, PAGE))
        for row in page:
            instance = stored_instance(row)
            after = instance.member.offset
            yield instance, "damaged" if row[-1] else "conflict" if row[-2] else "current"
        if len(page) < PAGE:
            return
