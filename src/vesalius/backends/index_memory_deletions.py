"""Deletion in the index in memory: the half of `index_memory.py` that takes away and brings back."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from vesalius.backends.index_memory_entities import Kept, removed_of
from vesalius.model.entities import (
    Arrival,
    CopyInfo,
    Deletion,
    Event,
    Member,
    PackInfo,
    Removed,
    Tombstone,
    Verdict,
)


class DeletionsInMemory(ABC):
    """Implements `ports.index_deletions.DeletionIndex` on what the whole index holds."""

    _lock: threading.RLock
    _kept: list[Kept]
    _packs: dict[str, PackInfo]
    _copies: dict[tuple[str, str], CopyInfo]
    _damaged: set[tuple[str, int, str]]
    _notes: list[dict[str, str]]
    _events: list[Event]
    _last_event: int
    _deletions: dict[str, Deletion]
    _deleted: dict[str, list[Removed]]

    @abstractmethod
    def _forget(self) -> None:
        """Begin as an empty index."""

    @abstractmethod
    def _take(self, arrival: Arrival) -> Verdict:
        """One arrival."""

    def kept(self, study: str, series: str = "", sop_instance: str = "") -> list[Removed]:
        """See `DeletionIndex.kept`."""
        with self._lock:
            found = [removed_of(kept) for kept in self._kept]
        found = [
            one
            for one in found
            if one.study == study
            and (not series or one.series == series)
            and (not sop_instance or one.sop_instance == sop_instance)
        ]
        return sorted(found, key=lambda one: (one.member.pack, one.member.offset))

    def remove(self, tombstone: Tombstone, member: Member, *, told: bool = True) -> None:
        """See `DeletionIndex.remove`. What is left is put together anew, as if the rest had never come."""
        with self._lock:
            gone = {one.member for one in tombstone.members}
            left = [kept.arrival for kept in self._kept if kept.arrival.member not in gone]
            uids = {one.sop_instance for one in tombstone.members} - {arrival.sop_instance for arrival in left}
            notes = [note for note in self._notes if note["sop_instance"] not in uids]
            kept_state = (self._packs, self._copies, self._damaged, self._events, self._deletions, self._deleted)
            self._forget()
            for arrival in left:
                self._take(arrival)
            self._packs, self._copies, self._damaged, self._events, self._deletions, self._deleted = kept_state
            self._notes = notes
            self._damaged -= {(one.member.pack, one.member.offset, "") for one in tombstone.members}
            self._note_tombstone(member, told)
            if tombstone.id not in self._deletions:
                self._tell("deleted", tombstone)
            known = self._deleted.setdefault(tombstone.id, [])
            known += [one for one in tombstone.members if one not in known]
            before = self._deletions.get(tombstone.id)
            self._deletions[tombstone.id] = Deletion(
                id=tombstone.id,
                state=before.state if before is not None else "deleted",
                level=tombstone.level,
                study=tombstone.study,
                series=tombstone.series,
                sop_instance=tombstone.sop_instance,
                at=tombstone.at,
                who=tombstone.who,
                address=tombstone.address,
                reason=tombstone.reason,
                instances=len(known),
                bytes=sum(one.member.dataset_length for one in known),
            )

    def restored(self, tombstone: Tombstone, member: Member, *, told: bool = True) -> None:
        """See `DeletionIndex.restored`."""
        with self._lock:
            self._note_tombstone(member, told)
            before = self._deletions.get(tombstone.id)
            if before is not None and before.state == "deleted":
                self._deletions[tombstone.id] = replace(before, state="restored")
                self._tell("restored", tombstone)

    def purged(self, deletion: str) -> None:
        """See `DeletionIndex.purged`."""
        with self._lock:
            before = self._deletions.get(deletion)
            if before is not None and before.state == "deleted":
                self._deletions[deletion] = replace(before, state="purged")

    def deletions(
        self, *, study: str = "", deletion: str = "", state: str = "", before: str = "", limit: int = 1000
    ) -> list[Deletion]:
        """See `DeletionIndex.deletions`."""
        with self._lock:
            found = [
                one
                for one in reversed(self._deletions.values())
                if (not study or one.study == study)
                and (not deletion or one.id == deletion)
                and (not state or one.state == state)
                and (not before or one.at < before)
            ]
        return found[:limit]

    def deleted_members(self, deletion: str) -> list[Removed]:
        """See `DeletionIndex.deleted_members`."""
        with self._lock:
            found = list(self._deleted.get(deletion, ()))
        return sorted(found, key=lambda one: (one.member.pack, one.member.header_offset))

    def is_deleted(self, study: str, series: str = "", sop_instance: str = "") -> bool:
        """See `DeletionIndex.is_deleted`."""
        with self._lock:
            return any(
                one.study == study
                and (not series or one.series == series)
                and (not sop_instance or one.sop_instance == sop_instance)
                for deletion in self._deletions.values()
                if deletion.state == "deleted"
                for one in self._deleted[deletion.id]
            )

    def packs_with_deleted(self) -> set[str]:
        """See `DeletionIndex.packs_with_deleted`."""
        with self._lock:
            return {
                one.member.pack
                for deletion in self._deletions.values()
                if deletion.state == "deleted"
                for one in self._deleted[deletion.id]
            }

    def move_pack(self, old: str, new: PackInfo, moves: Sequence[tuple[Member, Member]]) -> None:
        """See `DeletionIndex.move_pack`."""
        with self._lock:
            if old not in self._packs:
                return
            goal = dict(moves)
            for kept in self._kept:
                after = goal.get(kept.arrival.member)
                if after is not None:
                    kept.arrival = replace(kept.arrival, member=after)
            del self._packs[old]
            self._packs[new.name] = new
            self._copies = {key: copy for key, copy in self._copies.items() if key[0] != old}
            self._damaged = {key for key in self._damaged if key[0] != old}

    def _note_tombstone(self, member: Member, told: bool) -> None:
        known = self._packs.get(member.pack) or PackInfo(member.pack, "open", 0, 0)
        end = member.end if told else 0
        self._packs[member.pack] = replace(known, indexed_to=max(known.indexed_to, end), size=max(known.size, end))

    def _tell(self, kind: str, tombstone: Tombstone) -> None:
        self._last_event += 1
        self._events.append(
            Event(
                id=self._last_event,
                kind=kind,
                study=tombstone.study,
                series=tombstone.series,
                sop_instance=tombstone.sop_instance,
                at=tombstone.at,
                sender=tombstone.who,
            )
        )
