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
from vesalius.ports.blobs import BlobStore, FoundMember
from vesalius.ports.index import Index, in_batches

log = structlog.get_logger()

BATCH = 500
DELETED = "deleted"
RESTORED = "restored"

Place = tuple[str, int]  # pack and header offset


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
        pixels=header.pixels,
    )


@dataclass(slots=True)
class Ledger:
    """Every tombstone that was met, and the fate of the members that they name."""

    found: list[FoundMember] = field(default_factory=list)  # in order of storing
    _fates: dict[Place, tuple[str, int]] = field(default_factory=dict)  # what was said last, and by which of `found`

    def add(self, members: Iterable[FoundMember]) -> None:
        """Take the tombstones among `members`."""
        self.found += [found for found in members if found.tombstone is not None]

    def settle(self) -> None:
        """To be called once when all are there."""
        self.found.sort(key=lambda found: (found.stored_ns, found.member.pack, found.member.offset))
        for number, found in enumerate(self.found):
            if found.tombstone is not None:
                for one in found.tombstone.members:
                    self._fates[one.member.pack, one.member.header_offset] = (found.tombstone.kind, number)

    def is_dead(self, found: FoundMember) -> bool:
        """Whether this is a deleted instance."""
        return self._fates.get((found.member.pack, found.member.header_offset), ("", 0))[0] == DELETED

    def came_back(self, found: FoundMember) -> bool:
        """Whether this is an instance that was deleted once."""
        return self._fates.get((found.member.pack, found.member.header_offset), ("", 0))[0] == RESTORED

    def dead_in(self, pack: str) -> frozenset[int]:
        """Header offsets of the deleted members of a pack."""
        return frozenset(place[1] for place, (kind, _) in self._fates.items() if kind == DELETED and place[0] == pack)

    def returns(self, blobs: BlobStore, tombstone: FoundMember) -> Iterator[FoundMember]:
        """The members whose fate it is to have come back by this one."""
        for one in tombstone.tombstone.members if tombstone.tombstone is not None else ():
            kind, number = self._fates.get((one.member.pack, one.member.header_offset), ("", 0))
            if kind == RESTORED and self.found[number].member == tombstone.member:
                found = next(blobs.scan(one.member.pack, one.member.header_offset), None)
                if found is not None and found.member == one.member:
                    yield found


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
