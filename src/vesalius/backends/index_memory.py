"""The index in memory: the twin of the SQL index for unit tests, and the plainest statement of what an index does.

Questions are answered by the oracle (`model/matching.py`) over every row: right, not fast. Thread-safe by one lock.
Nothing survives the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from vesalius.backends.index_memory_deletions import DeletionsInMemory
from vesalius.backends.index_memory_entities import (
    Columns,
    Entity,
    Kept,
    add,
    answer,
    fill,
    order,
    stored,
    unite,
    values_of,
    within,
)
from vesalius.backends.rows import patient_identity
from vesalius.model.entities import (
    Arrival,
    CopyInfo,
    Deletion,
    Event,
    Level,
    Member,
    PackInfo,
    Peer,
    Removed,
    StoredInstance,
    Totals,
    Verdict,
)
from vesalius.model.matching import deepest, matches
from vesalius.model.query import Match, Query
from vesalius.ports.index import HANDFUL

PAGE = 100  # answers in one page of `find`


class MemoryIndex(DeletionsInMemory):
    """Implements `ports.index.Index`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._last_event = 0
        self._peers: dict[str, Peer] = {}
        self._forget()

    def _forget(self) -> None:
        self._patients: dict[str, Entity] = {}
        self._studies: dict[str, Entity] = {}
        self._series: dict[tuple[str, str], Entity] = {}
        self._current: dict[str, Kept] = {}
        self._kept: list[Kept] = []
        self._packs: dict[str, PackInfo] = {}
        self._copies: dict[tuple[str, str], CopyInfo] = {}
        self._damaged: set[tuple[str, int, str]] = set()
        self._notes: list[dict[str, str]] = []
        self._events: list[Event] = []
        self._deletions: dict[str, Deletion] = {}
        self._deleted: dict[str, list[Removed]] = {}

    @property
    def at_once(self) -> bool:
        """See `Index.at_once`."""
        return True

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
        kept = Kept(arrival, entity, state)
        self._kept.append(kept)
        self._announce("stored" if state == "current" else state, arrival)
        if not same:
            self._current[arrival.sop_instance] = kept
            entity.below[arrival.sop_instance] = Entity(Level.IMAGE, dict(record.instance), entity)
            self._count(entity, arrival)
        for note in record.notes:
            self._remember_note(note.code, note.tag, note.text, arrival)
        return verdict

    def _is_damaged(self, member: Member) -> bool:
        return (member.pack, member.offset, "") in self._damaged

    def _heal(self, kept: Kept, arrival: Arrival) -> Verdict:
        self._damaged.discard((kept.arrival.member.pack, kept.arrival.member.offset, ""))
        kept.arrival = replace(kept.arrival, member=arrival.member)
        self._remember_note("healed", 0x00080018, "the same content again, in place of a damaged copy", arrival)
        self._announce("stored", arrival)
        return Verdict.STORED

    def _place(self, arrival: Arrival) -> Entity:
        record = arrival.record
        uid, series_uid = str(record.study["study_instance_uid"]), str(record.series["series_instance_uid"])
        study = self._studies.get(uid)
        if study is None:
            patient = self._patient(record.patient, uid)
            study = self._studies[uid] = patient.below[uid] = Entity(Level.STUDY, dict(record.study), patient)
            add(patient, "number_of_patient_related_studies")
        if study.above is not None and self._is_same_patient(study.above, arrival):
            fill(study.above, record.patient)
        fill(study, record.study)
        series = self._series.get((uid, series_uid))
        if series is None:
            series = Entity(Level.SERIES, dict(record.series), study)
            self._series[uid, series_uid] = study.below[series_uid] = series
            add(study, "number_of_study_related_series")
            if study.above is not None:
                add(study.above, "number_of_patient_related_series")
        fill(series, record.series)
        return series

    def _patient(self, columns: Columns, study: str) -> Entity:
        identity = patient_identity(columns, study)
        patient = self._patients.get(identity)
        if patient is None:
            patient = self._patients[identity] = Entity(Level.PATIENT, dict(columns))
        return patient

    def _is_same_patient(self, patient: Entity, arrival: Arrival) -> bool:
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

    def _count(self, series: Entity, arrival: Arrival) -> None:
        add(series, "number_of_series_related_instances")
        study = series.above
        if study is None:
            return
        add(study, "number_of_study_related_instances")
        unite(study, "modalities_in_study", arrival.record.series["modality"])
        unite(study, "sop_classes_in_study", arrival.record.instance["sop_class_uid"])
        if study.above is not None:
            add(study.above, "number_of_patient_related_instances")

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

    def _announce(self, kind: str, arrival: Arrival) -> None:
        self._last_event += 1
        self._events.append(
            Event(
                id=self._last_event,
                kind=kind,
                study=str(arrival.record.study["study_instance_uid"]),
                series=str(arrival.record.series["series_instance_uid"]),
                sop_instance=arrival.sop_instance,
                at=arrival.provenance.received_at,
                sender=arrival.provenance.calling_aet,
            )
        )

    def find(self, query: Query) -> Iterator[list[Match]]:
        """See `Index.find`."""
        with self._lock:
            rows = list(self._entities(query.level))
        if query.newest_first:
            rows.reverse()
        found: list[Match] = []
        left = -1 if query.limit is None else query.limit
        skip = query.offset
        level = deepest(query)
        for entity in rows:
            if left == 0:
                break
            if not any(matches(values_of(witness), query) for witness in within(entity, level)):
                continue
            if skip:
                skip -= 1
                continue
            values = values_of(entity)
            found.append(Match({tag: answer(tag, values.get(tag, ()), query) for tag in query.returns}))
            left -= 1
            if len(found) == PAGE:
                yield found
                found = []
        if found:
            yield found

    def find_at_once(self, query: Query) -> list[Match] | None:
        """See `Index.find_at_once`."""
        if query.offset or query.limit == 0:
            return None
        found = list(islice((match for page in self.find(query) for match in page), HANDFUL + 1))
        return found if len(found) <= HANDFUL else None

    def _entities(self, level: Level) -> Iterator[Entity]:
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
        chosen.sort(key=order)
        for kept in chosen:
            yield stored(kept)

    def versions(self, study: str, series: str | None = None) -> dict[str, str]:
        """See `Index.versions`."""
        found: dict[str, list[str]] = {}
        for one in self.select(Level.SERIES, studies=(study,), series=(series,) if series else ()):
            found.setdefault(one.series, []).append(f"{one.member.pack}@{one.member.offset}")
        return {uid: " ".join(places) for uid, places in found.items()}

    def events(self, since: int, limit: int = 1000) -> list[Event]:
        """See `Index.events`."""
        with self._lock:
            return [event for event in self._events if event.id > since][:limit]

    def last_event(self) -> int:
        """See `Index.last_event`."""
        with self._lock:
            return self._events[-1].id if self._events else 0

    def members(self, pack: str | None = None) -> Iterator[tuple[StoredInstance, str]]:
        """See `Index.members`."""
        with self._lock:
            chosen = [kept for kept in self._kept if pack is None or kept.arrival.member.pack == pack]
        chosen.sort(key=lambda kept: (kept.arrival.member.pack, kept.arrival.member.offset))
        for kept in chosen:
            yield stored(kept), "damaged" if self._is_damaged(kept.arrival.member) else kept.state

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

    def damaged(self) -> list[tuple[str, int, str]]:
        """See `Index.damaged`."""
        with self._lock:
            return sorted(self._damaged)

    def outdated(self) -> bool:
        """See `Index.outdated`: what is in memory was written by this code."""
        return False

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
