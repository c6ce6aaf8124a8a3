"""Coercions in the database, and what the index answers because of them (`ports/coercions.py`).

Theory. A repair is written once and never changed but to say that it was taken back. What the index holds of a coerced
study follows from two things: what it held before (`coercion_original`, written at the first repair, or at arrival
where the study was not there yet) and the coercions in force. `_apply` makes the rows say so: the study goes to the
patient that its identity now names, made where there is none, the counters of both follow, and a patient without
studies goes. `study.coerced` is a number made of the coercions in force, 0 without any: retrieval looks at it to know
whether there is anything to do, and a cache of metadata sees that something else is answered.

The tables of coercions outlive `vesalius reindex`: a study that arrives, for the first time or again from the packs, is
placed as its coercions say (`arriving`, called by `index_sql_above` for each new study).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vesalius.backends import schema
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.rows import ABOVE_COLUMNS, patient_identity
from vesalius.model.attributes import BY_TAG, columns
from vesalius.model.attributes_extract import columns_of
from vesalius.model.entities import Arrival, Level, Scalar
from vesalius.model.errors import NoSuchRecord, WrongState
from vesalius.model.repairs import check
from vesalius.ports.coercions import Coercion, Repair

_REPAIR_COLUMNS = ("kind", "at", "who", "why", "undone_at", "undone_by")
_HISTORY = (
    "SELECT coercion.study, coercion.tag, coercion.value, repair.kind, repair.at, repair.who, repair.why, "
    "repair.undone_at, repair.undone_by, repair.id, coercion.id FROM coercion CROSS JOIN repair "
    "WHERE repair.id = coercion.repair_ref AND coercion.study IN (?)"
)
_ADD = "INSERT INTO coercion (repair_ref, study, tag, value) VALUES (?, ?, ?, ?)"
_REPAIR = "SELECT undone_at FROM repair WHERE id = ?"
_UNDO = "UPDATE repair SET undone_at = ?, undone_by = ? WHERE id = ?"
_STUDIES = "SELECT DISTINCT study FROM coercion WHERE repair_ref = ? ORDER BY study"
_ORIGINAL = "SELECT patient, attributes FROM coercion_original WHERE study = ?"
_KEEP = (
    "INSERT INTO coercion_original (study, patient, attributes) VALUES (?, ?, ?) "
    "ON CONFLICT (study) DO UPDATE SET patient = excluded.patient, attributes = excluded.attributes"
)
_COUNTS = "number_of_study_related_series, number_of_study_related_instances"
_ATTRIBUTES = ", ".join(ABOVE_COLUMNS[Level.STUDY])
_STUDY = f"SELECT id, patient_ref, coerced, {_COUNTS}, {_ATTRIBUTES} FROM study WHERE study_instance_uid = ?"  # noqa: S608
_PATIENT = f"SELECT {', '.join(ABOVE_COLUMNS[Level.PATIENT])} FROM patient WHERE id = ?"  # noqa: S608
_FIND_PATIENT = "SELECT id FROM patient WHERE identity = ?"
_MOVE = "UPDATE study SET patient_ref = ? WHERE id = ?"
_COUNT = (
    "UPDATE patient SET number_of_patient_related_studies = number_of_patient_related_studies + ?, "
    "number_of_patient_related_series = number_of_patient_related_series + ?, "
    "number_of_patient_related_instances = number_of_patient_related_instances + ? WHERE id = ?"
)
_EMPTY = "SELECT id FROM patient WHERE id = ? AND number_of_patient_related_studies = 0"
_OCCUPIED = "SELECT 1 FROM study WHERE patient_ref = ? LIMIT 1"
_DROP_NESTED = "DELETE FROM nested WHERE level = 0 AND owner = ?"
_DROP = "DELETE FROM patient WHERE id = ?"
_TOTALS = "UPDATE pack SET new_patients = new_patients + ? WHERE id = (SELECT MIN(id) FROM pack)"

_COLUMNS_OF: dict[int, tuple[str, ...]] = {}
for _level in (Level.PATIENT, Level.STUDY):
    for _column in columns(_level, computed=False):
        _tag = _column.attribute.tag
        _COLUMNS_OF[_tag] = (*_COLUMNS_OF.get(_tag, ()), _column.name)


class SqlCoercions:
    """Implements `ports.coercions.Coercions`. Thread-safe; open one in each process, after forks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, study: str) -> Sequence[Coercion]:
        """See `Coercions.of`."""
        return self._database.lookup(lambda tx: in_force(_history(tx, [study])))

    def history(self, study: str) -> Sequence[Coercion]:
        """See `Coercions.history`."""
        return self._database.lookup(lambda tx: [one for _, one in _history(tx, [study])])

    def add(self, repair: Repair, values: Mapping[str, Mapping[int, str]]) -> int:
        """See `Coercions.add`."""
        return self._database.transaction(lambda tx: add(tx, repair, values), durable=True)

    def undo(self, repair: int, at: str, who: str) -> Sequence[str]:
        """See `Coercions.undo`."""
        return self._database.transaction(lambda tx: undo(tx, repair, at, who), durable=True)


def add(tx: Transaction, repair: Repair, values: Mapping[str, Mapping[int, str]]) -> int:
    """See `Coercions.add`."""
    rows = [(study, tag, check(tag, value)) for study in sorted(values) for tag, value in sorted(values[study].items())]
    described = tuple(getattr(repair, name) for name in _REPAIR_COLUMNS)
    made = tx.insert(schema.schema_ris.repair, _REPAIR_COLUMNS, [described], ())[0]
    if made is None:
        raise WrongState("the repair could not be kept")  # pragma: no cover - its number is new
    tx.many(_ADD, [(made, *row) for row in rows])
    for study in sorted(values):
        _apply(tx, study)
    return made


def undo(tx: Transaction, repair: int, at: str, who: str) -> Sequence[str]:
    """See `Coercions.undo`."""
    found = tx.rows(_REPAIR + tx.for_update, (repair,))
    if not found:
        raise NoSuchRecord(f"there is no repair {repair}")
    if found[0][0]:
        raise WrongState(f"repair {repair} was taken back already")
    tx.run(_UNDO, (at, who, repair))
    studies = [row[0] for row in tx.rows(_STUDIES, (repair,))]
    for study in studies:
        _apply(tx, study)
    return studies


def _history(tx: Transaction, studies: Sequence[str]) -> list[tuple[int, Coercion]]:
    rows = sorted(tx.rows_in(_HISTORY, studies), key=lambda row: int(row[10]))
    return [(row[10], Coercion(row[0], row[1], row[2], Repair(*row[3:10]))) for row in rows]


def in_force(history: Sequence[tuple[int, Coercion]]) -> list[Coercion]:
    """The newest of each attribute whose repair was not taken back, by tag. All of one study."""
    newest = {one.tag: one for _, one in history if not one.repair.undone_at}
    return [newest[tag] for tag in sorted(newest)]


def _number(history: Sequence[tuple[int, Coercion]]) -> int:
    """What tells one set of coercions in force from every other; 0: there are none."""
    ids = {one.tag: number for number, one in history if not one.repair.undone_at}
    if not ids:
        return 0
    digest = hashlib.sha256(repr(sorted(ids.values())).encode()).digest()
    return int.from_bytes(digest[:6], "big") + 1


def _values(coercions: Sequence[Coercion], level: Level) -> dict[str, Scalar]:
    """The columns that the coercions of one level give."""
    return columns_of(level, {one.tag: one.value for one in coercions if _level_of(one.tag) is level})


def _level_of(tag: int) -> Level | None:
    row = BY_TAG.get(tag)
    return None if row is None else row.level


# -- studies that are there


@dataclass(frozen=True, slots=True)
class _Held:
    """The row of a study."""

    id: int
    patient: int
    series: int
    instances: int


def _apply(tx: Transaction, study: str) -> None:
    """Make the rows of a study say what is in force; nothing where it is not kept."""
    rows = tx.rows(_STUDY + tx.for_update, (study,))
    if not rows:
        return
    held = _Held(rows[0][0], rows[0][1], rows[0][3], rows[0][4])
    patient, attributes = _originals(tx, study, held, rows[0])
    history = _history(tx, [study])
    coercions = in_force(history)
    touched = {one.tag for _, one in history}
    _apply_study(tx, held, attributes | _values(coercions, Level.STUDY), touched, _number(history))
    coerced = _values(coercions, Level.PATIENT)
    _apply_patient(tx, study, held, patient | coerced, touched if coerced else set())


def _originals(tx: Transaction, study: str, held: _Held, row: Row) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    kept = tx.rows(_ORIGINAL, (study,))
    if kept:
        return json.loads(kept[0][0]), json.loads(kept[0][1])
    patient = dict(zip(ABOVE_COLUMNS[Level.PATIENT], tx.rows(_PATIENT, (held.patient,))[0], strict=True))
    attributes = dict(zip(ABOVE_COLUMNS[Level.STUDY], row[5:], strict=True))
    tx.run(_KEEP, (study, json.dumps(patient), json.dumps(attributes)))
    return patient, attributes


def _apply_study(tx: Transaction, held: _Held, values: dict[str, Scalar], touched: set[int], number: int) -> None:
    changed = {name: values[name] for tag in sorted(touched) for name in _columns(tag, Level.STUDY)}
    changed["coerced"] = number
    assignments = ", ".join(f"{name} = ?" for name in changed)
    tx.run(f"UPDATE study SET {assignments} WHERE id = ?", (*changed.values(), held.id))  # noqa: S608


def _apply_patient(tx: Transaction, study: str, held: _Held, values: dict[str, Scalar], touched: set[int]) -> None:
    identity = patient_identity(values, study)
    found = tx.rows(_FIND_PATIENT + tx.for_update, (identity,))
    if not found:
        names = ("identity", *ABOVE_COLUMNS[Level.PATIENT])
        row = (identity, *map(values.get, ABOVE_COLUMNS[Level.PATIENT]))
        if tx.insert(schema.patient, names, [row], ("identity",))[0] is not None:
            tx.run(_TOTALS, (1,))
        found = tx.rows(_FIND_PATIENT + tx.for_update, (identity,))
    elif touched or found[0][0] == held.patient:
        # The one who repairs knows better what the patient is called. Without coercions: back to what was received.
        tags = touched or {tag for tag in _COLUMNS_OF if _level_of(tag) is Level.PATIENT}
        changed = {name: values[name] for tag in sorted(tags) for name in _columns(tag, Level.PATIENT)}
        if changed:
            assignments = ", ".join(f"{name} = ?" for name in changed)
            tx.run(f"UPDATE patient SET {assignments} WHERE id = ?", (*changed.values(), found[0][0]))  # noqa: S608
    patient = found[0][0]
    if patient == held.patient:
        return
    tx.run(_MOVE, (patient, held.id))
    tx.run(_COUNT, (1, held.series, held.instances, patient))
    tx.run(_COUNT, (-1, -held.series, -held.instances, held.patient))
    _drop_if_empty(tx, held.patient)


def _drop_if_empty(tx: Transaction, patient: int) -> None:
    if tx.rows(_OCCUPIED, (patient,)) or not tx.rows(_EMPTY + _skip(tx), (patient,)):
        return
    tx.run(_DROP_NESTED, (patient,))
    tx.run(_DROP, (patient,))
    tx.run(_TOTALS, (-1,))


def _skip(tx: Transaction) -> str:
    # Another transaction that is just adding a study to it holds a lock for its foreign key (`index_sql_delete`).
    return " FOR UPDATE SKIP LOCKED" if tx.for_update else ""


def _columns(tag: int, level: Level) -> tuple[str, ...]:
    return _COLUMNS_OF.get(tag, ()) if _level_of(tag) is level else ()


# -- studies that arrive


@dataclass(frozen=True, slots=True)
class Coerced:
    """The first instance of a new study as the index shall hold it, and `study.coerced`."""

    arrival: Arrival
    number: int


def arriving(tx: Transaction, new: Mapping[str, Arrival]) -> dict[str, Coerced]:
    """Of studies that the index is about to hold for the first time: those that have coercions in force."""
    by_study: dict[str, list[tuple[int, Coercion]]] = {}
    for number, one in _history(tx, sorted(new)):
        by_study.setdefault(one.study, []).append((number, one))
    found = {}
    for study, history in by_study.items():
        record = new[study].record
        patient = {name: record.patient.get(name) for name in ABOVE_COLUMNS[Level.PATIENT]}
        attributes = {name: record.study.get(name) for name in ABOVE_COLUMNS[Level.STUDY]}
        tx.run(_KEEP, (study, json.dumps(patient), json.dumps(attributes)))
        coercions = in_force(history)
        if coercions:
            changed = dataclasses.replace(
                record,
                patient=record.patient | _values(coercions, Level.PATIENT),
                study=record.study | _values(coercions, Level.STUDY),
            )
            found[study] = Coerced(dataclasses.replace(new[study], record=changed), _number(history))
    return found
