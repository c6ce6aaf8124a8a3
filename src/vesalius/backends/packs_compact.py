"""Compaction: the living of a pack that is mostly dead move into a new one.

Theory. A sealed pack is never changed to win room, it is replaced. The new pack holds the living members and the
tombstones in their old order, each with its label, its time of storing and its data set byte for byte, the digest
compared on the way. It is written under another name, gets its sidecar, and appears as a whole by one rename; the
old one stays until the index points to the new one and nobody can be reading it any more.

The new name keeps the time that the old one was made at, because a reindex reads packs in that order, and the rest
follows from the old name by a hash: whoever takes up a compaction that was broken off writes the same file again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence

import msgspec
import structlog

from vesalius.backends.packs_format import (
    END_OF_ARCHIVE,
    HEADER,
    Written,
    encode_header,
    encode_tombstone_header,
    padded,
)
from vesalius.backends.packs_read import PRIMARY, PackReader
from vesalius.backends.packs_scan import walk_over_damage
from vesalius.backends.packs_seal import Summary, file_sha256, read_summary, sidecar_line, write_whole
from vesalius.backends.packs_volume import Volume, sync_folder, write_all
from vesalius.model.entities import Member, PackInfo
from vesalius.model.errors import DamagedInstance, OutOfResources, VolumeReadOnly
from vesalius.ports.blobs import FoundMember

log = structlog.get_logger()

_CHUNK = 1 << 20
_TIME = 15  # "20260301-081530"


def new_name(pack: str) -> str:
    """The name of the pack that replaces this one."""
    return f"{pack[:_TIME]}-{hashlib.sha256(pack.encode()).hexdigest()[:16]}"


def compact(
    volume: Volume, reader: PackReader, pack: str, living: Sequence[Member]
) -> tuple[PackInfo, list[tuple[Member, Member]]]:
    """See `BlobStore.compact`."""
    old = read_summary(volume.sidecar_path(pack))
    if old is None:
        raise OutOfResources(f"pack {pack} is not sealed")
    if volume.read_only is not None:
        raise VolumeReadOnly(f"the store is read-only: {volume.read_only}")
    if sum(member.end - member.header_offset for member in living) + (1 << 20) > volume.room():
        raise OutOfResources("there is not enough room to copy the living of a pack", hint="free or add space")
    temporary = volume.pack_path(new_name(pack)) + ".new"
    try:
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            found = _Writer(fd, reader, pack).write({member.header_offset: member for member in living})
            os.fsync(fd)
            info = _appear(volume, fd, new_name(pack), temporary, found)
        finally:
            os.close(fd)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108  paths here are strings
        if isinstance(error, OSError):
            raise volume.refusal(error, "compacting a pack") from error
        raise
    moves = [(before, after.member) for before, after in found if after.is_instance]
    log.info("pack-compacted", pack=pack, new=info.name, members=len(moves), size=info.size, was=old.size)
    return info, moves


def _appear(
    volume: Volume, fd: int, name: str, temporary: str, found: Sequence[tuple[Member, FoundMember]]
) -> PackInfo:
    """Sidecar first: the new pack is never there without it, so it is never taken for an open one."""
    end = found[-1][1].member.end if found else 0
    os.ftruncate(fd, end)
    os.ftruncate(fd, end + END_OF_ARCHIVE)
    os.fsync(fd)
    tombstones = sum(not after.is_instance for _, after in found)
    summary = Summary(name, end, end + END_OF_ARCHIVE, len(found), 0, file_sha256(fd), tombstones)
    lines = [msgspec.json.encode(summary) + b"\n", *(sidecar_line(after) for _, after in found)]
    write_whole(volume.sidecar_path(name), lines, volume.root)
    os.rename(temporary, volume.pack_path(name))  # noqa: PTH104  paths here are strings
    sync_folder(volume.root)
    info = summary.info
    return PackInfo(
        info.name, info.state, info.size, info.size, info.members, info.dead_bytes, info.sha256, info.tombstones
    )


class _Writer:
    """Copies members into the new pack, one after the other."""

    def __init__(self, fd: int, reader: PackReader, pack: str) -> None:
        self._fd = fd
        self._reader = reader
        self._pack = pack
        self._name = new_name(pack)
        self._end = 0

    def write(self, living: dict[int, Member]) -> list[tuple[Member, FoundMember]]:
        """The old and the new place of everything that was copied."""
        made = []
        source = os.open(self._reader.path(self._pack, PRIMARY), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for found in walk_over_damage(source, self._pack, 0):
                member = found.member
                if found.is_instance and living.pop(member.header_offset, None) is None:
                    continue
                made.append((member, self._copy(source, found)))
        finally:
            os.close(source)
        if living:
            raise DamagedInstance(
                f"{len(living)} members of pack {self._pack} have no readable header", hint="run `vesalius verify`"
            )
        return made

    def _copy(self, source: int, found: FoundMember) -> FoundMember:
        member = found.member
        prefix = os.pread(source, member.dataset_offset - member.offset, member.offset)
        at = self._end + HEADER
        digest = hashlib.sha256()
        write_all(self._fd, prefix, at)
        at += len(prefix)
        for chunk in self._chunks(source, found):
            digest.update(chunk)
            write_all(self._fd, chunk, at)
            at += len(chunk)
        if digest.hexdigest() != member.sha256:
            raise DamagedInstance(f"the member at {member.header_offset} of pack {self._pack} has no whole copy")
        written = Written(
            self._name, self._end, prefix, member.dataset_length, member.sha256, found.stored_ns, member.xxh3
        )
        encode = encode_header if found.is_instance else encode_tombstone_header
        write_all(self._fd, encode(written, found.label), self._end)
        self._end += HEADER + padded(len(prefix) + member.dataset_length)
        made = written.member
        return FoundMember(made, found.label, found.stored_ns, found.is_instance, found.tombstone)

    def _chunks(self, source: int, found: FoundMember) -> Iterator[bytes]:
        member = found.member
        if found.is_instance:
            yield from self._reader.stream_verified(member, _CHUNK)
        else:
            yield os.pread(source, member.dataset_length, member.dataset_offset)
