"""Scheduled steps by time and station, and the worklist: a step with everything above it, in one walk of an index.

Theory. Every question to a worklist has one key that narrows it down most, and the statement starts from the table that
has an index for it: an accession number or patient from the order or patient, a station from `ris_step_station`
(station, start), a time from `ris_step` (start). CROSS JOIN keeps SQLite to the order in which the tables are written;
to PostgreSQL it is a join like any other. What comes is a superset; `ris/worklist.py` looks again at every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesalius.backends.database import Row, Transaction
from vesalius.backends.ris_rows import noun_of
from vesalius.model.names import fold_name
from vesalius.model.orders import Order, Patient, RequestedProcedure, ScheduledStep, Visit
from vesalius.ports.ris import WorklistRow, WorklistWanted

_COLUMNS = (
    "ris_step.id, ris_step.data, ris_procedure.id, ris_procedure.data, ris_order.id, ris_order.data, "
    "ris_patient.id, ris_patient.data, ris_visit.id, ris_visit.data"
)
_JOINED = {
    "ris_step_station": "ris_step.id = ris_step_station.step",
    "ris_procedure": "ris_procedure.id = ris_step.procedure_ref",
    "ris_order": "ris_order.id = ris_step.order_ref",
    "ris_patient": "ris_patient.id = ris_step.patient",
}
_LAST = "99999999999999"


def place(tx: Transaction, step: ScheduledStep) -> None:
    """Keep the rows of `ris_step_station` as the step says."""
    held = {
        (row[0], row[1]) for row in tx.rows("SELECT station, start FROM ris_step_station WHERE step = ?", (step.ref,))
    }
    wanted = {(station, step.start) for station in step.stations}
    if held == wanted:
        return
    tx.run("DELETE FROM ris_step_station WHERE step = ?", (step.ref,))
    if wanted:
        rows = [(station, start, step.ref) for station, start in sorted(wanted)]
        tx.many("INSERT INTO ris_step_station (station, start, step) VALUES (?, ?, ?)", rows)


def place_name(tx: Transaction, patient: Patient) -> None:
    """Keep the rows of `ris_patient_group` as the patient's name says."""
    held = {row[0] for row in tx.rows("SELECT name FROM ris_patient_group WHERE patient = ?", (patient.ref,))}
    wanted = {*filter(None, fold_name(patient.name).split("=")[1:])}
    if held == wanted:
        return
    tx.run("DELETE FROM ris_patient_group WHERE patient = ?", (patient.ref,))
    if wanted:
        rows = [(name, patient.ref) for name in sorted(wanted)]
        tx.many("INSERT INTO ris_patient_group (name, patient) VALUES (?, ?)", rows)


def steps(
    tx: Transaction, begin: str, end: str, stations: Sequence[str], states: Sequence[str], limit: int
) -> list[ScheduledStep]:
    """See `RisView.steps`."""
    where, params = ["ris_step.start >= ?", "ris_step.start < ?"], list[Any]((begin, end or _LAST))
    tables = "ris_step"
    if stations:
        tables = "ris_step_station CROSS JOIN ris_step"
        where = ["ris_step.id = ris_step_station.step", "ris_step_station.start >= ?", "ris_step_station.start < ?"]
        where.append(f"ris_step_station.station IN ({_marks(stations)})")
        params += stations
    if states:
        where.append(f"ris_step.state IN ({_marks(states)})")
        params += map(str, states)
    sql = (
        f"SELECT DISTINCT ris_step.id, ris_step.data, ris_step.start FROM {tables} WHERE {' AND '.join(where)} "  # noqa: S608
        f"ORDER BY ris_step.start, ris_step.id LIMIT {limit:d}"
    )
    return [noun_of(ScheduledStep, row) for row in tx.rows(sql, params)]


def worklist(tx: Transaction, wanted: WorklistWanted, limit: int, after: tuple[str, int]) -> list[WorklistRow]:
    """See `RisView.worklist`."""
    if not wanted.states or wanted.scope == ():
        return []
    sql, params = _statement(wanted, after)
    return [_row(row) for row in tx.rows(sql + (f" LIMIT {limit:d}" if limit else ""), params)]


def _statement(wanted: WorklistWanted, after: tuple[str, int]) -> tuple[str, list[Any]]:
    order = ["ris_step", "ris_procedure", "ris_order", "ris_patient"]
    where: list[str] = []
    params: list[Any] = []

    def more(condition: str, *values: Any) -> None:
        where.append(condition)
        params.extend(values)

    if wanted.patient_id:
        more("ris_patient.patient_id = ?", wanted.patient_id)
        order = ["ris_patient", "ris_step", "ris_procedure", "ris_order"]
    if wanted.accession:
        more("ris_order.accession = ?", wanted.accession)
        order = ["ris_order", "ris_step", "ris_procedure", "ris_patient"]
    if wanted.procedure:
        more("ris_procedure.number = ?", wanted.procedure)
        order = ["ris_procedure", "ris_step", "ris_order", "ris_patient"]
    if wanted.study:
        more("ris_procedure.study_uid = ?", wanted.study)
        order = ["ris_procedure", "ris_step", "ris_order", "ris_patient"]
    if wanted.step:
        more("ris_step.number = ?", wanted.step)
        order = ["ris_step", "ris_procedure", "ris_order", "ris_patient"]
    if wanted.names:
        begins = " OR ".join(["(name >= ? AND name < ?)"] * len(wanted.names))
        ends = [end for name in wanted.names for end in (name, name + "\U0010ffff")]
        found = (
            f"SELECT id FROM ris_patient WHERE {begins} "  # noqa: S608 - only marks
            f"UNION SELECT patient FROM ris_patient_group WHERE {begins}"
        )
        more(f"ris_patient.id IN ({found})", *ends, *ends)
        order = ["ris_patient", "ris_step", "ris_procedure", "ris_order"]
    start = "ris_step.start"
    if wanted.stations and order[0] == "ris_step" and not wanted.step:
        more(f"ris_step_station.station IN ({_marks(wanted.stations)})", *wanted.stations)
        order, start = ["ris_step_station", *order], "ris_step_station.start"
    elif wanted.stations:
        more(_on(wanted.stations), *wanted.stations)
    if wanted.scope is not None and not (wanted.stations and set(wanted.stations) <= set(wanted.scope)):
        more(_on(wanted.scope), *wanted.scope)
    if wanted.begin:
        more(f"{start} >= ?", wanted.begin)
    if wanted.end:
        more(f"{start} <= ?", wanted.end)
    if after[1]:
        more(f"({start} > ? OR ({start} = ? AND ris_step.id > ?))", after[0], after[0], after[1])
        more(f"{start} >= ?", after[0])
    if wanted.modality:
        more("ris_step.modality = ?", wanted.modality)
    more(f"ris_step.state IN ({_marks(wanted.states)})", *map(str, wanted.states))
    where += [condition for table, condition in _JOINED.items() if table in order]
    distinct = "DISTINCT " if len(wanted.stations) > 1 and "ris_step_station" in order else ""
    return (
        f"SELECT {distinct}{_COLUMNS}, {start} FROM {' CROSS JOIN '.join(order)} "  # noqa: S608 - names from the schema
        "LEFT JOIN ris_visit ON ris_visit.id = ris_order.visit "
        f"WHERE {' AND '.join(where)} ORDER BY {start}, ris_step.id",
        params,
    )


def _on(stations: Sequence[str]) -> str:
    return (
        "EXISTS (SELECT 1 FROM ris_step_station AS planned WHERE planned.step = ris_step.id "  # noqa: S608 - only marks
        f"AND planned.station IN ({_marks(stations)}))"
    )


def _row(row: Row) -> WorklistRow:
    return WorklistRow(
        noun_of(ScheduledStep, row[0:2]),
        noun_of(RequestedProcedure, row[2:4]),
        noun_of(Order, row[4:6]),
        noun_of(Patient, row[6:8]),
        noun_of(Visit, row[8:10]) if row[8] is not None else None,
    )


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
