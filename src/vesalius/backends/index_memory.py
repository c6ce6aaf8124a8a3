"""The index in memory: the twin of the SQL index for unit tests, and the plainest statement of what an index does.

Questions are answered by the oracle (`model/matching.py`) over every row: right, not fast. Thread-safe by one lock.
Nothing survives the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from vesalius.backends.rows import patient_identity
from vesalius.model.attributes import ATTRIBUTES, BY_TAG, ColumnKind, Merge
from vesalius.model.attributes_extract import items_from_json
from vesalius.model.coercion import decimal_text
from vesalius.model.entities import (
    Arrival,
    CopyInfo,
    Level,
    Member,
    PackInfo,
    Peer,
    Scalar,
    StoredInstance,
    Totals,
    Values,
    Verdict,
)
from vesalius.model.matching import matches
from vesalius.model.query import Match, Query

PAGE = 100  # answers in one page of `find`

Columns = dict[str, Scalar]


@dataclass(slots=True)
class _Entity:
    """One patient, study or series: its columns and what lies below, in order of arrival."""

    level: Level
    columns: Columns
    above: _Entity | None = None
    below: dict[str, _Entity] = field(default_factory=dict)


@dataclass(slots=True)
class _Kept:
    """One instance, current or a conflict copy."""

    arrival: Arrival
    entity: _Entity
    state: str  # "current" | "conflict"


def cell_values(tag: int, cell: Scalar) -> tuple[str, ...] | tuple[Values, ...]:
    """The values of an attribute from its column: as an answer holds them."""
    if cell is None or cell == "":
        return ()
    row = BY_TAG[tag]
    if row.kind is ColumnKind.SEQUENCE:
        return items_from_json(str(cell))
    if isinstance(cell, float):
        return (decimal_text(cell),)
    text = str(cell)
    return tuple(text.split("\\")) if row.multi else (text,)


class MemoryIndex:
    """Implements `ports.index.Index`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._peers: dict[str, Peer] = {}
        self._forget()

    def _forget(self) -> None:
        self._patients: dict[str, _Entity] = {}
        self._studies: dict[str, _Entity] = {}
        self._series: dict[tuple[str, str], _Entity] = {}
        self._current: dict[str, _Kept] = {}
        self._kept: list[_Kept] = []
        self._packs: dict[str, PackInfo] = {}
        self._copies: dict[tuple[str, str], CopyInfo] = {}
        self._damaged: set[tuple[str, int, str]] = set()
        self._notes: list[dict[str, str]] = []

    def known(self, sop_instances: Sequence[str]) -> dict[str, tuple[str, str]]:
        """See `Index.known`."""
        with self._lock:
            found = ((uid, self._current.get(uid)) for uid in sop_instances)
            return {
                uid: (kept.arrival.member.sha256, str(kept.arrival.record.study["study_instance_uid"]))
                for uid, kept in found
                if kept is not None and not self._is_damaged(kept.arrival.member)
            }

    def ingest(self, batch: Sequence[Arrival]) -> list[Verdict]:
        """See `Index.ingest`."""
        with self._lock:
            return [self._take(arrival) for arrival in batch]

    def _take(self, arrival: Arrival) -> Verdict:
        self._note_pack(arrival.member)
        same = [kept for kept in self._kept if kept.arrival.sop_instance == arrival.sop_instance]
        for kept in same:
            if kept.arrival.member.sha256 == arrival.member.sha256:
                return self._heal(kept, arrival) if self._is_damaged(kept.arrival.member) else Verdict.DUPLICATE
        record = arrival.record
        if same:
            verdict, state = Verdict.CONFLICT, "conflict"
            self._remember_note("conflict", 0x00080018, "another content under the same SOP Instance UID", arrival)
        else:
            verdict, state = Verdict.STORED, "current"
        entity = self._place(arrival) if not same else same[0].entity
        kept = _Kept(arrival, entity, state)
        self._kept.append(kept)
        if not same:
            self._current[arrival.sop_instance] = kept
            entity.below[arrival.sop_instance] = _Entity(Level.IMAGE, dict(record.instance), entity)
            self._count(entity, arrival)
        for note in record.notes:
            self._remember_note(note.code, note.tag, note.text, arrival)
        return verdict

    def _is_damaged(self, member: Member) -> bool:
        return (member.pack, member.offset, "") in self._damaged

    def _heal(self, kept: _Kept, arrival: Arrival) -> Verdict:
        self._damaged.discard((kept.arrival.member.pack, kept.arrival.member.offset, ""))
        kept.arrival = replace(kept.arrival, member=arrival.member)
        self._remember_note("healed", 0x00080018, "the same content again, in place of a damaged copy", arrival)
        return Verdict.STORED

    def _place(self, arrival: Arrival) -> _Entity:
        record = arrival.record
        uid, series_uid = str(record.study["study_instance_uid"]), str(record.series["series_instance_uid"])
        study = self._studies.get(uid)
        if study is None:
            patient = self._patient(record.patient, uid)
            study = self._studies[uid] = patient.below[uid] = _Entity(Level.STUDY, dict(record.study), patient)
            _add(patient, "number_of_patient_related_studies")
        if study.above is not None and self._is_same_patient(study.above, arrival):
            _fill(study.above, record.patient)
        _fill(study, record.study)
        series = self._series.get((uid, series_uid))
        if series is None:
            series = _Entity(Level.SERIES, dict(record.series), study)
            self._series[uid, series_uid] = study.below[series_uid] = series
            _add(study, "number_of_study_related_series")
            if study.above is not None:
                _add(study.above, "number_of_patient_related_series")
        _fill(series, record.series)
        return series

    def _patient(self, columns: Columns, study: str) -> _Entity:
        identity = patient_identity(columns, study)
        patient = self._patients.get(identity)
        if patient is None:
            patient = self._patients[identity] = _Entity(Level.PATIENT, dict(columns))
        return patient

    def _is_same_patient(self, patient: _Entity, arrival: Arrival) -> bool:
        """Whether an instance names the patient that its study is kept under; if not, one note (bad-input D12)."""
        kept, other = patient.columns, arrival.record.patient
        study = str(arrival.record.study["study_instance_uid"])
        if self._patients.get(patient_identity(other, study)) is not patient:
            code, tag = "study-patient-mismatch", 0x00100020
        else:
            named = (("patient_name_folded", 0x00100010), ("patient_birth_date", 0x00100030))
            differing = [tag for name, tag in named if kept[name] and other[name] and kept[name] != other[name]]
            if not differing:
                return True
            code, tag = "patient-mismatch", differing[0]
        if not any(note["code"] == code and note["study"] == study for note in self._notes):
            self._remember_note(code, tag, "differs from what is kept of the patient", arrival)
        return False

    def _count(self, series: _Entity, arrival: Arrival) -> None:
        _add(series, "number_of_series_related_instances")
        study = series.above
        if study is None:
            return
        _add(study, "number_of_study_related_instances")
        _unite(study, "modalities_in_study", arrival.record.series["modality"])
        _unite(study, "sop_classes_in_study", arrival.record.instance["sop_class_uid"])
        if study.above is not None:
            _add(study.above, "number_of_patient_related_instances")

    def _note_pack(self, member: Member) -> None:
        known = self._packs.get(member.pack) or PackInfo(member.pack, "open", 0, 0)
        self._packs[member.pack] = PackInfo(
            name=known.name,
            state=known.state,
            indexed_to=max(known.indexed_to, member.end),
            size=max(known.size, member.end),
            members=known.members + 1,
            dead_bytes=known.dead_bytes,
            sha256=known.sha256,
        )

    def _remember_note(self, code: str, tag: int, text: str, arrival: Arrival) -> None:
        self._notes.append(
            {
                "at": arrival.provenance.received_at,
                "code": code,
                "tag": f"{tag:08X}",
                "text": text,
                "study": str(arrival.record.study["study_instance_uid"]),
                "series": str(arrival.record.series["series_instance_uid"]),
                "sop_instance": arrival.sop_instance,
                "sender": arrival.provenance.calling_aet,
            }
        )

    def find(self, query: Query) -> Iterator[list[Match]]:
        """See `Index.find`."""
        with self._lock:
            rows = list(self._entities(query.level))
        found: list[Match] = []
        left = -1 if query.limit is None else query.limit
        skip = query.offset
        for entity in rows:
            if left == 0:
                break
            values = _values_of(entity)
            if not matches(values, query):
                continue
            if skip:
                skip -= 1
                continue
            found.append(Match({tag: _answer(tag, values.get(tag, ()), query) for tag in query.returns}))
            left -= 1
            if len(found) == PAGE:
                yield found
                found = []
        if found:
            yield found

    def _entities(self, level: Level) -> Iterator[_Entity]:
        if level is Level.PATIENT:
            yield from self._patients.values()
        elif level is Level.STUDY:
            yield from self._studies.values()
        elif level is Level.SERIES:
            yield from self._series.values()
        else:
            for kept in self._current.values():
                yield kept.entity.below[kept.arrival.sop_instance]

    def select(
        self,
        level: Level,
        *,
        patient_id: str | None = None,
        studies: Sequence[str] = (),
        series: Sequence[str] = (),
        instances: Sequence[str] = (),
    ) -> Iterator[StoredInstance]:
        """See `Index.select`."""
        with self._lock:
            chosen = [
                kept
                for kept in self._current.values()
                if (not patient_id or kept.arrival.record.patient["patient_id"] == patient_id)
                and (not studies or kept.arrival.record.study["study_instance_uid"] in studies)
                and (not series or kept.arrival.record.series["series_instance_uid"] in series)
                and (not instances or kept.arrival.sop_instance in instances)
            ]
        chosen.sort(key=_order)
        for kept in chosen:
            yield _stored(kept)

    def members(self, pack: str | None = None) -> Iterator[tuple[StoredInstance, str]]:
        """See `Index.members`."""
        with self._lock:
            chosen = [kept for kept in self._kept if pack is None or kept.arrival.member.pack == pack]
        chosen.sort(key=lambda kept: (kept.arrival.member.pack, kept.arrival.member.offset))
        for kept in chosen:
            yield _stored(kept), "damaged" if self._is_damaged(kept.arrival.member) else kept.state

    def packs(self) -> list[PackInfo]:
        """See `Index.packs`."""
        with self._lock:
            return sorted(self._packs.values(), key=lambda pack: pack.name)

    def save_pack(self, pack: PackInfo) -> None:
        """See `Index.save_pack`."""
        with self._lock:
            known = self._packs.get(pack.name)
            indexed_to = max(pack.indexed_to, known.indexed_to if known else 0)
            self._packs[pack.name] = replace(pack, indexed_to=indexed_to)

    def copies(self, place: str | None = None) -> list[CopyInfo]:
        """See `Index.copies`."""
        with self._lock:
            return [copy for _, copy in sorted(self._copies.items()) if place is None or copy.place == place]

    def save_copy(self, copy: CopyInfo) -> None:
        """See `Index.save_copy`."""
        with self._lock:
            self._copies[copy.pack, copy.place] = copy

    def mark_damaged(self, member: Member, place: str, damaged: bool) -> None:
        """See `Index.mark_damaged`."""
        with self._lock:
            change: Callable[[tuple[str, int, str]], None] = self._damaged.add if damaged else self._damaged.discard
            change((member.pack, member.offset, place))

    def peers(self) -> list[Peer]:
        """See `Index.peers`."""
        with self._lock:
            return [self._peers[name] for name in sorted(self._peers)]

    def save_peer(self, peer: Peer) -> None:
        """See `Index.save_peer`."""
        with self._lock:
            self._peers[peer.name] = peer

    def remove_peer(self, name: str) -> bool:
        """See `Index.remove_peer`."""
        with self._lock:
            return self._peers.pop(name, None) is not None

    def totals(self) -> Totals:
        """See `Index.totals`."""
        with self._lock:
            made = Totals(
                patients=len(self._patients),
                studies=len(self._studies),
                series=len(self._series),
                instances=len(self._current),
                bytes=sum(kept.arrival.member.dataset_length for kept in self._kept),
                conflicts=sum(kept.state == "conflict" for kept in self._kept),
                notes=len(self._notes),
                packs=len(self._packs),
            )
            for kept in self._current.values():
                modality = str(kept.arrival.record.series["modality"] or "")
                made.by_modality[modality] = made.by_modality.get(modality, 0) + 1
            return made

    def notes(self, study: str | None = None, limit: int = 1000) -> list[dict[str, str]]:
        """See `Index.notes`."""
        with self._lock:
            return [note for note in reversed(self._notes) if study is None or note["study"] == study][:limit]

    def clear(self) -> None:
        """See `Index.clear`."""
        with self._lock:
            self._forget()

    def optimise(self) -> None:
        """Nothing to do in memory."""

    def ping(self) -> None:
        """See `Index.ping`."""

    def close(self) -> None:
        """Nothing to release."""


def _add(entity: _Entity, column: str) -> None:
    number = entity.columns.get(column)
    entity.columns[column] = (number if isinstance(number, int) else 0) + 1


def _unite(entity: _Entity, column: str, value: Scalar) -> None:
    if isinstance(value, str) and value:
        held = entity.columns.get(column)
        entity.columns[column] = "\\".join(sorted({*(held.split("\\") if isinstance(held, str) else ()), value}))


def _fill(entity: _Entity, columns: Columns) -> None:
    """Values that were empty until now (`Merge.FILL`), each with its companions."""
    for row in ATTRIBUTES:
        if row.level is entity.level and row.merge is Merge.FILL and entity.columns.get(row.column) in (None, ""):
            entity.columns[row.column] = columns.get(row.column)


def _values_of(entity: _Entity) -> Values:
    values: Values = {}
    at: _Entity | None = entity
    while at is not None:
        for row in ATTRIBUTES:
            if row.level is at.level:
                values[row.tag] = cell_values(row.tag, at.columns.get(row.column))
        at = at.above
    return values


def _answer(
    tag: int, value: tuple[str, ...] | tuple[Values, ...], query: Query
) -> tuple[str, ...] | tuple[Values, ...]:
    asked = dict(query.item_returns).get(tag)
    if asked is None:
        return value
    return tuple({key: item.get(key, ()) for key in asked} for item in value if not isinstance(item, str))


def _order(kept: _Kept) -> tuple[str, str, int, str]:
    number = kept.arrival.record.instance["instance_number"]
    return (
        str(kept.arrival.record.study["study_instance_uid"]),
        str(kept.arrival.record.series["series_instance_uid"]),
        number if isinstance(number, int) else 0,
        kept.arrival.sop_instance,
    )


def _stored(kept: _Kept) -> StoredInstance:
    arrival = kept.arrival
    return StoredInstance(
        patient_id=str(arrival.record.patient["patient_id"] or ""),
        study=str(arrival.record.study["study_instance_uid"]),
        series=str(arrival.record.series["series_instance_uid"]),
        sop_class=arrival.sop_class,
        sop_instance=arrival.sop_instance,
        transfer_syntax=arrival.transfer_syntax,
        member=arrival.member,
        pixels=arrival.pixels,
    )
