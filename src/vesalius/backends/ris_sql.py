"""The store of the radiology workflow in a SQL database: `ports.ris` over `backends.database`.

Theory. `SqlView` reads; `SqlWork` reads and holds what it read (`FOR NO KEY UPDATE`; SQLite has one writer) and writes.
Events are kept until the end of the transaction and written last, under a lock of their own, so that their numbers
become visible in order (see `outbox_sql`). `in_transaction` runs a verb inside a transaction that somebody else opened:
a message and what it changed, a batch of events and what followed from it.

Unique keys. On SQLite nobody can come between a look and an INSERT; on PostgreSQL an INSERT that lost the race does
nothing and says so. Either way the verb sees `DuplicateRecord` and its transaction is undone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from vesalius.backends import coercions_sql, ris_sql_images, ris_sql_pages, ris_sql_worklist
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.ris_rows import KINDS, Kind, noun_of, values_of, with_ref
from vesalius.model.errors import DuplicateRecord, NoSuchRecord
from vesalius.model.names import fold_name
from vesalius.model.orders import (
    Appointment,
    By,
    Identifier,
    Noun,
    Order,
    Patient,
    RisEvent,
    ScheduledStep,
)
from vesalius.ports.coercions import Repair
from vesalius.ports.ris import RisView, RisWork, StudyFacts, Where, WorklistRow, WorklistWanted

N = TypeVar("N", bound=Noun)
T = TypeVar("T")

_EVENT_COLUMNS = "kind, at, who, why, patient, order_ref, step, detail"
_EVENT = f"INSERT INTO ris_event ({_EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant
_EVENTS = f"SELECT id, {_EVENT_COLUMNS} FROM ris_event WHERE "  # noqa: S608 - a constant
_LOCK = "SELECT pg_advisory_xact_lock(?)"
_LOCK_NUMBER = 0x72697365  # "rise"
_NEXT = (
    "INSERT INTO ris_counter (name, value) VALUES (?, 1) "
    "ON CONFLICT (name) DO UPDATE SET value = ris_counter.value + 1 RETURNING value"
)
_CLAIM = "INSERT INTO ris_accession (number) VALUES (?) ON CONFLICT (number) DO NOTHING RETURNING number"
_PATIENTS_BEFORE = 9_223_372_036_854_775_807


class SqlView:
    """Implements `ports.ris.RisView` over one transaction, or over look-ups."""

    def __init__(self, tx: Transaction, hold: str = "") -> None:
        """`hold`: what keeps the rows read from changing; nothing for those who only look."""
        self._tx = tx
        self._hold = hold

    def get(self, kind: type[N], ref: int) -> N:
        """See `RisView.get`."""
        held = KINDS[kind]
        rows = self._tx.rows(f"SELECT id, data FROM {held.name} WHERE id = ?{self._hold}", (ref,))  # noqa: S608
        if not rows:
            raise NoSuchRecord(f"there is no {held.words} {ref}")
        return noun_of(kind, rows[0])

    def find(
        self, kind: type[N], *, limit: int = 0, newest: bool = False, before: int = 0, **equal: str | int
    ) -> list[N]:
        """See `RisView.find`."""
        held = KINDS[kind]
        unknown = set(equal) - set(held.columns)
        if unknown:
            raise ValueError(f"{held.name} is not looked up by {', '.join(sorted(unknown))}")
        where = " AND ".join((*(f"{name} = ?" for name in equal), *(("id < ?",) if before else ()))) or "1 = 1"
        values = [*equal.values(), *((before,) if before else ())]
        sql = f"SELECT id, data FROM {held.name} WHERE {where} ORDER BY id"  # noqa: S608 - names from the schema
        sql += (" DESC" if newest else "") + (f" LIMIT {limit:d}" if limit else "") + self._hold
        return [noun_of(kind, row) for row in self._tx.rows(sql, values)]

    def first(self, kind: type[N], **equal: str | int) -> N | None:
        """See `RisView.first`."""
        found = self.find(kind, limit=1, newest=False, before=0, **equal)
        return found[0] if found else None

    def page(
        self, kind: type[N], where: Where, *, after: int = 0, limit: int = 0, changed: tuple[str, str] = ("", "")
    ) -> list[N]:
        """See `RisView.page`."""
        return ris_sql_pages.page(self._tx, kind, where, after=after, limit=limit, changed=changed)

    def count(self, kind: type[Noun], where: Where, *, changed: tuple[str, str] = ("", "")) -> int:
        """See `RisView.count`."""
        return ris_sql_pages.count(self._tx, kind, where, changed=changed)

    def last_changes(self, kind: type[Noun], refs: Sequence[int]) -> dict[int, str]:
        """See `RisView.last_changes`."""
        return ris_sql_pages.last_changes(self._tx, kind, refs)

    def patients(self, *, text: str = "", birth_date: str = "", before: int = 0, limit: int = 50) -> list[Patient]:
        """See `RisView.patients`."""
        where, params = ["merged_into = 0", "id < ?"], list[Any]((before or _PATIENTS_BEFORE,))
        folded = fold_name(text)
        if folded:
            likes = [f"{_escaped(folded)}%", f"%^{_escaped(folded)}%", f"%={_escaped(folded)}%"]
            where.append("(name LIKE ? ESCAPE '!' OR name LIKE ? ESCAPE '!' OR name LIKE ? ESCAPE '!' OR "
                         "patient_id LIKE ? ESCAPE '!')")  # fmt: skip
            params += [*likes, f"{_escaped(text.strip())}%"]
        if birth_date:
            where.append("birth_date = ?")
            params.append(birth_date)
        sql = f"SELECT id, data FROM ris_patient WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {limit:d}"  # noqa: S608
        return [noun_of(Patient, row) for row in self._tx.rows(sql, params)]

    def orders(self, *, states: Sequence[str] = (), patient: int = 0, limit: int = 100) -> list[Order]:
        """See `RisView.orders`."""
        where, params = ["1 = 1"], list[Any]()
        if states:
            where.append(f"state IN ({_marks(states)})")
            params += map(str, states)
        if patient:
            where.append("patient = ?")
            params.append(patient)
        sql = f"SELECT id, data FROM ris_order WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {limit:d}"  # noqa: S608
        return [noun_of(Order, row) for row in self._tx.rows(sql, params)]

    def steps(
        self,
        *,
        begin: str = "",
        end: str = "",
        stations: Sequence[str] = (),
        states: Sequence[str] = (),
        limit: int = 10_000,
    ) -> list[ScheduledStep]:
        """See `RisView.steps`."""
        return ris_sql_worklist.steps(self._tx, begin, end, stations, states, limit)

    def appointments(self, station: str, begin: str, end: str) -> list[Appointment]:
        """See `RisView.appointments`."""
        sql = (
            "SELECT id, data FROM ris_appointment WHERE station = ? AND finish > ? AND begin < ? AND active = 1 "
            "ORDER BY begin, id"
        )
        return [noun_of(Appointment, row) for row in self._tx.rows(sql, (station, begin, end))]

    def worklist(
        self, wanted: WorklistWanted, *, limit: int = 0, after: tuple[str, int] = ("", 0)
    ) -> list[WorklistRow]:
        """See `RisView.worklist`."""
        return ris_sql_worklist.worklist(self._tx, wanted, limit, after)

    def studies(self, uids: Iterable[str]) -> dict[str, StudyFacts]:
        """See `RisView.studies`."""
        return ris_sql_images.studies(self._tx, list(dict.fromkeys(uids)))

    def studies_of(self, identifier: Identifier, *, issuers: Sequence[str] = ()) -> list[StudyFacts]:
        """See `RisView.studies_of`."""
        return ris_sql_images.studies_of(self._tx, identifier, issuers)

    def kept(self, sop_instances: Sequence[str]) -> set[str]:
        """See `RisView.kept`."""
        return ris_sql_images.kept(self._tx, sop_instances)

    def missing(self, performed: int, *, limit: int = 1000) -> list[str]:
        """See `RisView.missing`."""
        return ris_sql_images.missing(self._tx, performed, limit)

    def expecting(self, sop_instances: Sequence[str]) -> dict[int, int]:
        """See `RisView.expecting`."""
        return ris_sql_images.expecting(self._tx, sop_instances)

    def events(self, since: int, *, limit: int = 1000) -> list[RisEvent]:
        """See `RisView.events`."""
        return events(self._tx, since, limit)

    def history(self, *, patient: int = 0, order: int = 0, limit: int = 1000) -> list[RisEvent]:
        """See `RisView.history`."""
        key, value = ("order_ref", order) if order else ("patient", patient)
        rows = self._tx.rows(f"{_EVENTS} {key} = ? ORDER BY id LIMIT ?", (value, limit))
        return [_event(row) for row in rows]

    def histories(self, orders: Sequence[int]) -> list[RisEvent]:
        """See `RisView.histories`."""
        if not orders:
            return []
        rows = self._tx.rows_in(f"{_EVENTS} order_ref IN (?)", list(dict.fromkeys(orders)))
        return sorted(map(_event, rows), key=lambda event: event.id)

    def last_event(self) -> int:
        """See `RisView.last_event`."""
        return self._tx.rows("SELECT MAX(id) FROM ris_event")[0][0] or 0


class SqlWork(SqlView):
    """Implements `ports.ris.RisWork` over one transaction. `finish` belongs to its end."""

    def __init__(self, tx: Transaction) -> None:
        super().__init__(tx, tx.for_update)
        self._announced: list[tuple[Any, ...]] = []

    def add(self, noun: N) -> N:
        """See `RisWork.add`."""
        kind = KINDS[type(noun)]
        if kind.unique and self._taken(kind, noun):
            raise DuplicateRecord(f"there is a {kind.words} with this {kind.unique.replace('_', ' ')} already")
        keys = (kind.unique,) if kind.unique else ()
        made = self._tx.insert(kind.table, (*kind.columns, "data"), [values_of(kind, noun)], keys)[0]
        if made is None:
            raise DuplicateRecord(f"there is a {kind.words} with this {kind.unique.replace('_', ' ')} already")
        kept = with_ref(noun, made)
        self._placed(kept)
        return kept

    def save(self, noun: N) -> N:
        """See `RisWork.save`."""
        kind = KINDS[type(noun)]
        if kind.unique and (taken := self._taken(kind, noun)) and taken != noun.ref:
            raise DuplicateRecord(f"there is a {kind.words} with this {kind.unique.replace('_', ' ')} already")
        assignments = ", ".join(f"{name} = ?" for name in (*kind.columns, "data"))
        sql = f"UPDATE {kind.name} SET {assignments} WHERE id = ?"  # noqa: S608 - names from the schema
        self._tx.run(sql, (*values_of(kind, noun), noun.ref))
        self._placed(noun)
        return noun

    def _placed(self, noun: Noun) -> None:
        """Rows beside a noun's own, by which it is looked up."""
        if isinstance(noun, ScheduledStep):
            ris_sql_worklist.place(self._tx, noun)
        elif isinstance(noun, Patient):
            ris_sql_worklist.place_name(self._tx, noun)

    def remove(self, noun: Noun) -> None:
        """See `RisWork.remove`."""
        self._tx.run(f"DELETE FROM {KINDS[type(noun)].name} WHERE id = ?", (noun.ref,))  # noqa: S608

    def announce(
        self,
        kind: str,
        by: By,
        *,
        patient: int = 0,
        order: int = 0,
        step: int = 0,
        detail: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        """See `RisWork.announce`."""
        text = json.dumps({**(detail or {}), **more}, ensure_ascii=False, separators=(",", ":"))
        self._announced.append((kind, by.at, by.who, by.why, patient, order, step, text))

    def next_number(self, name: str) -> int:
        """See `RisWork.next_number`."""
        return int(self._tx.rows(_NEXT, (name,))[0][0])

    def claim_accession(self, number: str) -> bool:
        """See `RisWork.claim_accession`."""
        return bool(self._tx.rows(_CLAIM, (number,)))

    def expect(self, performed: int, sop_instances: Sequence[str]) -> int:
        """See `RisWork.expect`."""
        return ris_sql_images.expect(self._tx, performed, sop_instances)

    def arrived(self, sop_instances: Sequence[str]) -> None:
        """See `RisWork.arrived`."""
        ris_sql_images.arrived(self._tx, sop_instances)

    def coerce(self, repair: Repair, values: Mapping[str, Mapping[int, str]]) -> int:
        """See `RisWork.coerce`."""
        return coercions_sql.add(self._tx, repair, values)

    def undo(self, repair: int, by: By) -> Sequence[str]:
        """See `RisWork.undo`."""
        return coercions_sql.undo(self._tx, repair, by.at, by.who)

    def finish(self) -> None:
        """Write the events: the last statements of the transaction."""
        if not self._announced:
            return
        if self._tx.for_update:  # a database with many writers
            self._tx.rows(_LOCK, (_LOCK_NUMBER,))
        self._tx.many(_EVENT, self._announced)

    def _taken(self, kind: Kind, noun: Noun) -> int:
        value = kind.columns[kind.unique](noun)
        rows = self._tx.rows(f"SELECT id FROM {kind.name} WHERE {kind.unique} = ?", (value,))  # noqa: S608
        return rows[0][0] if rows else 0


class SqlRis:
    """Implements `ports.ris.Ris`. Thread-safe; open one in each process, after forks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self, work: Callable[[RisView], T]) -> T:
        """See `Ris.look`."""
        return self._database.lookup(lambda tx: work(SqlView(tx)))

    def change(self, work: Callable[[RisWork], T]) -> T:
        """See `Ris.change`."""
        return self._database.transaction(lambda tx: in_transaction(tx, work), durable=True)


def in_transaction(tx: Transaction, work: Callable[[RisWork], T]) -> T:
    """Run `work` in a transaction that is open already, and write its events as the last of it."""
    unit = SqlWork(tx)
    result = work(unit)
    unit.finish()
    return result


def events(tx: Transaction, since: int, limit: int) -> list[RisEvent]:
    """What became of the workflow after the event `since`, oldest first."""
    return [_event(row) for row in tx.rows(f"{_EVENTS} id > ? ORDER BY id LIMIT ?", (since, limit))]


def _event(row: Row) -> RisEvent:
    return RisEvent(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], json.loads(row[8]))


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
