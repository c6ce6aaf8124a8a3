"""Tombstones as a recovery and a reindex meet them: what is dead, what came back, and when.

Theory. A member's fate is what was said of it last, in the order in which tombstones were stored. A recovery first
gathers the tombstones behind what is indexed, tells them, and only then tells the instances behind what is indexed,
leaving out the dead: so an instance that was stored again after its deletion is not mistaken for the one before. A
reindex leaves out the dead from the beginning, and an instance that was deleted and came back takes its place in
the order where it came back, which decides which of two contents under one UID is current.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from vesalius.model.attributes import extract
from vesalius.model.elements import HeaderLimits, HeaderReader
from vesalius.model.entities import Arrival, Tombstone
from vesalius.model.errors import DamagedInstance, VesaliusError
from vesalius.model.native_frames import laid_out
from vesalius.ports.blobs import BlobStore, FoundMember
from vesalius.ports.index import Index, in_batches

log = structlog.get_logger()

BATCH = 500
DELETED = "deleted"
RESTORED = "restored"


def arrival_of(found: FoundMember, chunks: Iterable[bytes], limits: HeaderLimits | None = None) -> Arrival:
    """What the index is told of a member with these bytes. Raises `CannotUnderstand`, `DataSetMismatch`, ..."""
    member, label = found.member, found.label
    reader = HeaderReader(label.transfer_syntax, limits or HeaderLimits())
    for chunk in chunks:
        reader.feed(chunk)
    header = reader.finish()
    return Arrival(
        record=extract(header),
        member=member,
        provenance=label.provenance,
        sop_class=label.sop_class,
        sop_instance=label.sop_instance,
        transfer_syntax=label.transfer_syntax,
        pixels=laid_out(header),
    )


@dataclass(slots=True)
class Ledger:
    """Every tombstone that was met, and what it means for a member.

    A tombstone is about the members that it names and about every other one of the same content that was stored before
    it: a pack may hold bytes twice, because two processes raced or an answer was lost, and the index knows one of them.
    """

    found: list[FoundMember] = field(default_factory=list)  # in order of storing
    _places: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # which of `found` name this place
    _contents: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # ... this UID with this digest

    def add(self, members: Iterable[FoundMember]) -> None:
        """Take the tombstones among `members`."""
        self.found += [found for found in members if found.tombstone is not None]

    def settle(self) -> None:
        """To be called once when all are there."""
        self.found.sort(key=lambda found: (found.stored_ns, found.member.pack, found.member.offset))
        for number, found in enumerate(self.found):
            for one in found.tombstone.members if found.tombstone is not None else ():
                self._places.setdefault((one.member.pack, one.member.header_offset), []).append(number)
                self._contents.setdefault((one.sop_instance, one.member.sha256), []).append(number)

    def is_dead(self, found: FoundMember) -> bool:
        """Whether this is a deleted instance."""
        return not self._fate(found)[0]

    def living(self, members: Iterable[FoundMember]) -> Iterator[FoundMember]:
        """The instances among `members`, in order of storing, that are not deleted.

        One that was deleted and came back comes where it came back.
        """
        numbers = {found.member: number for number, found in enumerate(self.found)}
        waiting: dict[int, list[FoundMember]] = {}
        passed = -1
        for found in members:
            if not found.is_instance:
                passed = numbers.get(found.member, passed)
                yield from waiting.pop(passed, ())
                continue
            alive, back = self._fate(found)
            if alive and back is not None and back > passed:
                waiting.setdefault(back, []).append(found)
            elif alive:
                yield found
        for left in waiting.values():
            yield from left

    def dead_in(self, pack: str) -> frozenset[int]:
        """Header offsets of the members of a pack that were named as deleted last."""
        return frozenset(
            offset for (name, offset), numbers in self._places.items() if name == pack and self._deletes(numbers[-1])
        )

    def _fate(self, found: FoundMember) -> tuple[bool, int | None]:
        """Whether a member is living, and which of `found` brought it back."""
        member = found.member
        numbers = self._contents.get((found.label.sop_instance, member.sha256), ())
        named = self._places.get((member.pack, member.header_offset), ())
        alive, back = True, None
        for number in numbers:
            if number not in named and self.found[number].stored_ns < found.stored_ns:
                continue
            if self._deletes(number):
                alive, back = False, None
            elif not alive:
                alive, back = True, number
        return alive, back

    def _deletes(self, number: int) -> bool:
        tombstone = self.found[number].tombstone
        return tombstone is not None and tombstone.kind == DELETED


def restore(blobs: BlobStore, index: Index, tombstone: Tombstone, limits: HeaderLimits | None = None) -> None:
    """Tell the index again of what a deletion took away. What is damaged is left out. Raises `IndexUnavailable`."""

    def arrivals() -> Iterator[Arrival]:
        for one in tombstone.members:
            place = {"pack": one.member.pack, "offset": one.member.header_offset}
            found = next(blobs.scan(one.member.pack, one.member.header_offset), None)
            if found is None or found.member != one.member:
                log.error("undelete-lost", **place)
                continue
            try:
                yield arrival_of(found, blobs.stream_verified(found.member), limits)
            except DamagedInstance:
                log.error("undelete-damaged", **place)
            except VesaliusError as error:
                log.error("undelete-failed", error=error.message, **place)

    for batch in in_batches(arrivals(), BATCH):
        index.ingest(batch)


def tell(blobs: BlobStore, index: Index, found: FoundMember, limits: HeaderLimits | None, *, told: bool) -> None:
    """Tell the index of one tombstone; in order, harmless when it knew. Raises `IndexUnavailable`."""
    tombstone = found.tombstone
    if tombstone is None:
        return
    if tombstone.kind == DELETED:
        # What was taken back since is living, or was deleted by another one that comes later.
        if all(deletion.state == DELETED for deletion in index.deletions(deletion=tombstone.id)):
            index.remove(tombstone, found.member, told=told)
    else:
        restore(blobs, index, tombstone, limits)
        index.restored(tombstone, found.member, told=told)
