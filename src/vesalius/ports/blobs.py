"""The store of bytes: instances go in as they arrive and are durable after `sync`.

Everything here blocks; callers on an event loop use a thread except for `BlobWriter.write`,
which only copies to the page cache.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vesalius.model.entities import Claim, CopyInfo, Member, PackInfo, Provenance, Tombstone


@dataclass(frozen=True, slots=True)
class MemberLabel:
    """What stands in a member's name and pax header: enough to rebuild the index without Vesalius."""

    study: str
    series: str
    sop_instance: str
    sop_class: str
    transfer_syntax: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class FoundMember:
    """A member met while scanning a pack."""

    member: Member
    label: MemberLabel
    stored_ns: int = 0  # when it was finished, nanoseconds since 1970: the order in which instances became known
    is_instance: bool = True  # else it is a tombstone
    tombstone: Tombstone | None = None  # None for an instance, and for a tombstone that cannot be read


class BlobWriter(Protocol):
    """One instance on its way into an open pack. Exactly one of `finish` and `abort` ends it."""

    @property
    def dataset_length(self) -> int:
        """Bytes of data set written so far."""
        ...

    def sha256(self) -> str:
        """Digest (hex) of the data set bytes written so far."""
        ...

    def content(self) -> bytes:
        """The data set bytes written so far, whole in memory: for comparisons of small ones, before `finish`."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append data set bytes. Raises `OutOfResources`, `VolumeReadOnly`, `LimitExceeded`."""
        ...

    def finish(self, label: MemberLabel) -> Member:
        """Write the member header over its reserved place. Not durable until `BlobStore.sync`."""
        ...

    def abort(self) -> None:
        """Take every byte back: nothing half-stored can ever be seen. Never raises."""
        ...


class BlobStore(Protocol):
    """Packs on some kind of storage."""

    def begin(self, claim: Claim, provenance: Provenance, *, together: bool = False) -> BlobWriter:
        """Reserve a member in an open pack and write its preamble and file meta information.

        `together`: others follow, with which it shall be written and synced; a small one does not go to disk before.
        Raises `OutOfResources` under the free-space watermark, `VolumeReadOnly` after a failed sync.
        """
        ...

    @property
    def spare(self) -> bool:
        """Whether a small instance that is begun `together` now will wait in memory and not for a disk."""
        ...

    def hasten(self, member: Member) -> None:
        """Begin to bring a finished member to the medium, so that `sync` finds less to do. Never raises."""
        ...

    def sync(self, members: Sequence[Member]) -> None:
        """Make finished members durable: one data sync per pack, however many members.

        After a failure the pack is suspect, the volume read-only, and `VolumeReadOnly` raised: none of
        the members is acknowledged. A failed sync is never tried again.
        """
        ...

    def discard(self, member: Member, *, undone: bool = False) -> None:
        """Count a finished member that the index refused (a lost race) as dead bytes.

        `undone`: no row can refer to it, whatever happens, so its bytes may be taken back. For several members of
        one pack call it for the last one first.
        """
        ...

    def read(self, member: Member, offset: int, length: int) -> bytes:
        """Bytes of the data set, one positioned read. Falls back to a copy; raises `DamagedInstance`."""
        ...

    def read_at_once(self, member: Member, offset: int, length: int) -> bytes | None:
        """The same where it needs no disk, in microseconds, so that an event loop may do it; None where it might."""
        ...

    def read_into_at_once(self, member: Member, offset: int, into: memoryview) -> bool:
        """The same into memory that is there already, as much as fits; whether it was done (else anything is in it)."""
        ...

    def read_verified(self, member: Member) -> bytes:
        """The whole data set, its checksum compared; from a copy if need be. Raises `DamagedInstance`."""
        ...

    def read_verified_into(self, member: Member, into: memoryview) -> None:
        """The same into memory that is there already, exactly as much as there is of it."""
        ...

    def stream_verified(self, member: Member, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The data set in chunks after its checksum has been compared, in bounded memory."""
        ...

    def check(self, member: Member, place: str | None = None) -> bool:
        """Whether the member's bytes in `place` (None: the primary) still have their digest."""
        ...

    def repair(self, member: Member) -> bool:
        """Rewrite a bad primary member from a good copy. False where there is none."""
        ...

    def scan(self, pack: str, from_offset: int = 0, *, verify: bool = False) -> Iterator[FoundMember]:
        """The members of a pack in order, from the pack alone. With `verify`, stops before the first torn one."""
        ...

    def packs(self) -> list[PackInfo]:
        """Every pack, as the files tell it: those of the primary place, and those that only a further place has.

        `indexed_to` is 0. `size` of a sealed pack is the end of its last member, of another the size of its file.
        """
        ...

    def recover(
        self,
        pack: str,
        from_offset: int,
        on_cut: Callable[[int], None] | None = None,
        dead: Collection[int] = (),
    ) -> Iterator[FoundMember]:
        """After a crash: the whole members from `from_offset` on; a torn tail is cut off and `on_cut` told its bytes.

        Only for a pack that no living process holds; yields nothing for one that is held. Every digest is
        compared after a sync, against the disk. A recovery that finds nothing behind `from_offset` also says that
        all before it is told to the index: only then may the store append to the pack again. `dead` are header
        offsets of deleted members: in a sealed pack their bytes may be destroyed, and nobody is told of that.
        """
        ...

    def tombstone(self, tombstone: Tombstone) -> Member:
        """Write down a deletion, or that it was taken back. Durable when this returns, or `VolumeReadOnly`."""
        ...

    def purge(self, pack: str, members: Sequence[Member]) -> PackInfo | None:
        """Destroy the data sets of deleted members of a sealed pack, in every place, for ever.

        What the pack is after it; None where it is not sealed yet or held by another process: try again later.
        Headers stay, so that tar can follow. Harmless when done before. Raises `OutOfResources`.
        """
        ...

    def compact(self, pack: str, living: Sequence[Member]) -> tuple[PackInfo, list[tuple[Member, Member]]]:
        """A new sealed pack of the living members of a sealed one (and its tombstones), digests compared.

        Its name follows from the old one's, so a compaction that was broken off is done again over itself. The old
        pack stays as it is. Raises `DamagedInstance`, `OutOfResources`.
        """
        ...

    def retire(self, pack: str, retired: bool = True) -> None:
        """Durably leave a pack out of `packs`, or take that back; its members can still be read."""
        ...

    def retired(self) -> dict[str, float]:
        """The packs that are left out, and for how many seconds."""
        ...

    def remove_pack(self, pack: str) -> None:
        """Remove a retired pack from every place."""
        ...

    def places(self) -> tuple[str, ...]:
        """Names of the further places (`[[store.copies]]`)."""
        ...

    def copy(self, pack: str, place: str, from_offset: int, to_offset: int) -> CopyInfo:
        """Bring a further place up to `to_offset` of a pack, durably.

        `copied_to` of what it returns is past the `size` of a sealed pack when the copy is whole: the end of the
        archive and the sidecar included. Raises `OutOfResources`.
        """
        ...

    def seal_idle(self, now: float) -> list[PackInfo]:
        """Seal own packs that are full or idle at `now` (monotonic); called by the worker from time to time.

        `size` and `indexed_to` of what it returns are the end of the last member: whatever was acknowledged is
        indexed, and what is not acknowledged is promised to nobody.
        """
        ...

    def close(self) -> None:
        """Close every open pack cleanly (they stay open packs and are taken up again)."""
        ...
