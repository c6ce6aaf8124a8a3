"""The store in memory: the twin of the pack store for unit tests, and the plainest statement of what a store does.

A "pack" is a list of members with numbered places; a crash is `crash()`, which forgets what was not synced.
Bytes can be damaged with `damage`, further places are dictionaries.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from xxhash import xxh3_128_hexdigest

from vesalius.backends.packs_tombstones import encode, label_of
from vesalius.model.entities import Claim, CopyInfo, Member, PackInfo, Provenance, Tombstone
from vesalius.model.errors import DamagedInstance, OutOfResources, VolumeReadOnly
from vesalius.model.file_meta import file_prefix
from vesalius.ports.blobs import BlobWriter, FoundMember, MemberLabel

_HEADER = 512


@dataclass(slots=True)
class _Pack:
    """One pack: what was found in it, and the data sets by header offset."""

    name: str
    found: list[FoundMember] = field(default_factory=list)
    data: dict[int, bytes] = field(default_factory=dict)
    synced: int = 0
    dead_bytes: int = 0
    sealed: bool = False
    last_used: float = 0.0

    @property
    def end(self) -> int:
        return self.found[-1].member.end if self.found else 0


class MemoryWriter:
    """Implements `ports.blobs.BlobWriter`."""

    def __init__(self, store: MemoryStore, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix
        self._data = bytearray()
        self._ended = False

    @property
    def dataset_length(self) -> int:
        """Bytes of data set written so far."""
        return len(self._data)

    def sha256(self) -> str:
        """Digest (hex) of the data set bytes written so far."""
        return hashlib.sha256(self._data).hexdigest()

    def content(self) -> bytes:
        """The data set bytes written so far."""
        return bytes(self._data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append data set bytes."""
        if self._ended:
            raise OutOfResources("the instance was finished or aborted already")
        self._data += data

    def finish(self, label: MemberLabel) -> Member:
        """The member, known to the store from now on."""
        if self._ended:
            raise OutOfResources("the instance was finished or aborted already")
        self._ended = True
        return self._store.take(label, self._prefix, bytes(self._data))

    def abort(self) -> None:
        """Forget the bytes."""
        self._ended = True
        self._data.clear()


class MemoryStore:
    """Implements `ports.blobs.BlobStore`."""

    def __init__(self, *, places: Sequence[str] = (), pack_size: int = 1 << 20, seal_after: float = 600.0) -> None:
        self._lock = threading.RLock()
        self._packs: dict[str, _Pack] = {}
        self._places: dict[str, dict[tuple[str, int], bytes]] = {name: {} for name in places}
        self._pack_size = pack_size
        self._seal_after = seal_after
        self._retired: dict[str, float] = {}
        self._purged: set[tuple[str, int]] = set()
        self.read_only: str | None = None
        # Set by a test: the next sync fails.
        self.fail_sync = False

    # -- for tests -------------------------------------------------------------------------------

    def take(self, label: MemberLabel, prefix: bytes, data: bytes) -> Member:
        """Called by a writer: append a member to the open pack."""
        with self._lock:
            if self.read_only is not None:
                raise VolumeReadOnly(f"the store is read-only: {self.read_only}")
            pack = next((one for one in self._packs.values() if not one.sealed and one.end < self._pack_size), None)
            if pack is None:
                pack = _Pack(f"memory-{len(self._packs):06d}")
                self._packs[pack.name] = pack
            offset = pack.end + _HEADER
            member = Member(
                pack=pack.name,
                header_offset=pack.end,
                offset=offset,
                length=len(prefix) + len(data),
                dataset_offset=offset + len(prefix),
                dataset_length=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                xxh3=xxh3_128_hexdigest(data),
            )
            pack.found.append(FoundMember(member, label, time.time_ns()))
            pack.data[member.header_offset] = data
            pack.last_used = time.monotonic()
            return member

    def crash(self) -> None:
        """Forget every member that was not synced."""
        with self._lock:
            for pack in self._packs.values():
                for found in pack.found[pack.synced :]:
                    del pack.data[found.member.header_offset]
                del pack.found[pack.synced :]

    def damage(self, member: Member, place: str | None = None) -> None:
        """Change a byte of a member in a place."""
        with self._lock:
            data = bytearray(self._bytes(member, place) or b"\0")
            data[0] ^= 0xFF
            self._put(member, place, bytes(data))

    # -- the port --------------------------------------------------------------------------------

    def begin(self, claim: Claim, provenance: Provenance, *, together: bool = False) -> BlobWriter:
        """See `BlobStore.begin`."""
        if self.read_only is not None:
            raise VolumeReadOnly(f"the store is read-only: {self.read_only}")
        return MemoryWriter(self, file_prefix(claim, provenance.calling_aet))

    @property
    def spare(self) -> bool:
        """See `BlobStore.spare`."""
        return True

    def hasten(self, member: Member) -> None:
        """See `BlobStore.hasten`: there is no medium."""

    def sync(self, members: Sequence[Member]) -> None:
        """See `BlobStore.sync`."""
        with self._lock:
            if self.fail_sync:
                self.read_only = "sync failed"
            if self.read_only is not None:
                raise VolumeReadOnly(f"the store is read-only: {self.read_only}")
            for name in {member.pack for member in members}:
                pack = self._packs[name]
                pack.synced = len(pack.found)

    def discard(self, member: Member, *, undone: bool = False) -> None:
        """See `BlobStore.discard`."""
        with self._lock:
            self._packs[member.pack].dead_bytes += member.end - member.header_offset

    def read(self, member: Member, offset: int, length: int) -> bytes:
        """See `BlobStore.read`; checks the whole each time."""
        return self.read_verified(member)[offset : offset + length]

    def read_at_once(self, member: Member, offset: int, length: int) -> bytes | None:
        """See `BlobStore.read_at_once`."""
        data = self._bytes(member, None) if self.check(member, None) else None
        return data[offset : offset + length] if data is not None else None

    def read_into_at_once(self, member: Member, offset: int, into: memoryview) -> bool:
        """See `BlobStore.read_into_at_once`."""
        data = self.read_at_once(member, offset, len(into))
        if data is None or len(data) != len(into):
            return False
        into[:] = data
        return True

    def read_verified(self, member: Member) -> bytes:
        """See `BlobStore.read_verified`."""
        for place in (None, *self._places):
            if self.check(member, place):
                return self._bytes(member, place) or b""
        raise DamagedInstance(f"no copy of the member at {member.header_offset} of pack {member.pack} has its digest")

    def read_verified_into(self, member: Member, into: memoryview) -> None:
        """See `BlobStore.read_verified_into`."""
        into[:] = self.read_verified(member)

    def stream_verified(self, member: Member, chunk: int = 1 << 20) -> Iterator[bytes]:
        """See `BlobStore.stream_verified`."""
        data = self.read_verified(member)
        for at in range(0, len(data), chunk):
            yield data[at : at + chunk]

    def check(self, member: Member, place: str | None = None) -> bool:
        """See `BlobStore.check`."""
        data = self._bytes(member, place)
        return data is not None and hashlib.sha256(data).hexdigest() == member.sha256

    def repair(self, member: Member) -> bool:
        """See `BlobStore.repair`."""
        for place in self._places:
            if self.check(member, place):
                self._put(member, None, self._bytes(member, place) or b"")
                return True
        return False

    def scan(self, pack: str, from_offset: int = 0, *, verify: bool = False) -> Iterator[FoundMember]:
        """See `BlobStore.scan`."""
        held = self._packs.get(pack)
        for found in list(held.found) if held is not None else ():
            if found.member.header_offset < from_offset:
                continue
            if verify and not self.check(found.member):
                return
            yield found

    def packs(self) -> list[PackInfo]:
        """See `BlobStore.packs`."""
        with self._lock:
            return [self._info(pack) for pack in self._packs.values() if pack.name not in self._retired]

    def recover(
        self,
        pack: str,
        from_offset: int,
        on_cut: Callable[[int], None] | None = None,
        dead: Collection[int] = (),
    ) -> Iterator[FoundMember]:
        """See `BlobStore.recover`. Nothing is ever torn here, so nothing is cut."""
        yield from (
            found
            for found in self.scan(pack, from_offset)
            if found.member.header_offset not in dead and self.check(found.member)
        )

    def tombstone(self, tombstone: Tombstone) -> Member:
        """See `BlobStore.tombstone`."""
        with self._lock:
            payload = encode(tombstone)
            member = self.take(label_of(tombstone), b"", payload)
            pack = self._packs[member.pack]
            pack.found[-1] = dataclasses.replace(pack.found[-1], is_instance=False, tombstone=tombstone)
            self.sync((member,))
            return member

    def purge(self, pack: str, members: Sequence[Member]) -> PackInfo | None:
        """See `BlobStore.purge`."""
        with self._lock:
            held = self._packs.get(pack)
            if held is None or not held.sealed:
                return None
            for member in members:
                if (pack, member.header_offset) not in self._purged:
                    held.dead_bytes += member.end - member.header_offset
                self._purged.add((pack, member.header_offset))
                held.data[member.header_offset] = bytes(member.dataset_length)
                for place in self._places.values():
                    if (pack, member.header_offset) in place:
                        place[pack, member.header_offset] = bytes(member.dataset_length)
            return self._info(held)

    def compact(self, pack: str, living: Sequence[Member]) -> tuple[PackInfo, list[tuple[Member, Member]]]:
        """See `BlobStore.compact`."""
        with self._lock:
            old = self._packs[pack]
            new = _Pack(f"{pack}-again", sealed=True)
            moves = []
            for found in old.found:
                if found.is_instance and found.member not in living:
                    continue
                member = found.member
                shift = new.end - member.header_offset
                after = dataclasses.replace(
                    member,
                    pack=new.name,
                    header_offset=new.end,
                    offset=member.offset + shift,
                    dataset_offset=member.dataset_offset + shift,
                )
                new.data[after.header_offset] = self.read_verified(member)
                new.found.append(dataclasses.replace(found, member=after))
                if found.is_instance:
                    moves.append((member, after))
            new.synced = len(new.found)
            self._packs[new.name] = new
            return dataclasses.replace(self._info(new), indexed_to=new.end), moves

    def retire(self, pack: str, retired: bool = True) -> None:
        """See `BlobStore.retire`."""
        with self._lock:
            if retired:
                self._retired[pack] = time.monotonic()
            else:
                self._retired.pop(pack, None)

    def retired(self) -> dict[str, float]:
        """See `BlobStore.retired`."""
        with self._lock:
            return {pack: time.monotonic() - since for pack, since in self._retired.items()}

    def remove_pack(self, pack: str) -> None:
        """See `BlobStore.remove_pack`."""
        with self._lock:
            self._packs.pop(pack, None)
            self._retired.pop(pack, None)
            for place in self._places.values():
                for key in [key for key in place if key[0] == pack]:
                    del place[key]

    def places(self) -> tuple[str, ...]:
        """See `BlobStore.places`."""
        return tuple(self._places)

    def copy(self, pack: str, place: str, from_offset: int, to_offset: int) -> CopyInfo:
        """See `BlobStore.copy`."""
        with self._lock:
            held = self._packs[pack]
            for offset, data in held.data.items():
                if from_offset <= offset < to_offset:
                    self._places[place][pack, offset] = data
            return CopyInfo(pack, place, to_offset + (held.sealed and to_offset >= held.end))

    def seal_idle(self, now: float) -> list[PackInfo]:
        """See `BlobStore.seal_idle`."""
        with self._lock:
            due = [
                pack
                for pack in self._packs.values()
                if not pack.sealed and (pack.end >= self._pack_size or pack.last_used <= now - self._seal_after)
            ]
            for pack in due:
                pack.sealed = True
            return [dataclasses.replace(self._info(pack), indexed_to=pack.end) for pack in due]

    def close(self) -> None:
        """Nothing to release."""

    # -- inside ----------------------------------------------------------------------------------

    def _bytes(self, member: Member, place: str | None) -> bytes | None:
        if place:
            return self._places[place].get((member.pack, member.header_offset))
        pack = self._packs.get(member.pack)
        return pack.data.get(member.header_offset) if pack is not None else None

    def _put(self, member: Member, place: str | None, data: bytes) -> None:
        if place:
            self._places[place][member.pack, member.header_offset] = data
        else:
            self._packs[member.pack].data[member.header_offset] = data

    @staticmethod
    def _info(pack: _Pack) -> PackInfo:
        return PackInfo(
            name=pack.name,
            state="sealed" if pack.sealed else "open",
            indexed_to=0,
            size=pack.end,
            members=len(pack.found) if pack.sealed else 0,
            dead_bytes=pack.dead_bytes,
            sha256=hashlib.sha256(b"".join(pack.data.values())).hexdigest() if pack.sealed else "",
            tombstones=sum(not found.is_instance for found in pack.found) if pack.sealed else -1,
        )
