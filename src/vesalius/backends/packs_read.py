"""Reading members: from the primary place, and from a further one where the primary is missing or wrong.

Theory. A read is one positioned read on a descriptor out of a small cache. What a reader gets as a whole has passed a
checksum that costs a tenth of the reading (XXH3-128, made at receipt); where that fails, or there is none, the digest
of record (SHA-256) decides. The scrub, a storage commitment, sealing and compacting always ask the digest of record.
A part (a frame) cannot be checked alone, so a member once found damaged is remembered and served only from a place
where the whole passes. A place that fails is looked at again through a fresh descriptor, for the file may
have been replaced. Where no place passes, `DamagedInstance` is raised: a damaged byte is never served.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from vesalius.backends.packs_format import HEADER_READ, parse_header
from vesalius.backends.packs_scan import digest_holds, is_whole
from vesalius.backends.packs_volume import PACK
from vesalius.model.entities import Member
from vesalius.model.errors import DamagedInstance

log = structlog.get_logger()

PRIMARY = ""
# Read what is in memory or fail at once (Linux 4.14); not every file system can.
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


class ReadFile:
    """A descriptor that closes when its last user is done, so that the cache may forget it at any time."""

    __slots__ = ("fd",)

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class PackReader:
    """Reads from all places. Thread-safe."""

    def __init__(self, root: Path, copies: Mapping[str, Path], most_files: int) -> None:
        self._folders = {PRIMARY: str(root), **{name: str(path) for name, path in copies.items()}}
        self._most_files = most_files
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, str], ReadFile] = OrderedDict()
        self._bad: set[tuple[str, str, int]] = set()

    def path(self, pack: str, place: str = PRIMARY) -> str:
        """The tar file of a pack in a place."""
        return f"{self._folders[place]}/{pack}{PACK}"

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the further places."""
        return tuple(name for name in self._folders if name != PRIMARY)

    def read(self, member: Member, offset: int, length: int) -> bytes:
        """A part of the data set, from the first place that has it. Raises `DamagedInstance`."""
        length = max(0, min(length, member.dataset_length - offset))
        for place in self._folders:
            if (place, member.pack, member.header_offset) in self._bad:
                continue
            try:
                data = self._pread(self._file(place, member.pack), member.dataset_offset + offset, length)
            except OSError:
                self._forget(place, member.pack)
                continue
            if len(data) == length:
                return data
        # No place that is not known as bad: perhaps one was put right in the meantime.
        for place in self._folders:
            if self.check(member, place, fresh=False):
                return self._pread(self._file(place, member.pack), member.dataset_offset + offset, length)
        raise self._damaged(member)

    def read_at_once(self, member: Member, offset: int, length: int) -> bytes | None:
        """A part of the data set if its first and last byte are in the page cache; None otherwise. Never raises."""
        file = self._in_memory(member, offset, length)
        try:
            data = os.pread(file.fd, length, member.dataset_offset + offset) if file is not None else b""
        except OSError:
            return None
        return data if file is not None and len(data) == length else None

    def read_into_at_once(self, member: Member, offset: int, into: memoryview) -> bool:
        """The same into memory that is there already; whether it was done. Never raises."""
        file = self._in_memory(member, offset, len(into))
        try:
            return file is not None and os.preadv(file.fd, [into], member.dataset_offset + offset) == len(into)
        except OSError:
            return False

    def _in_memory(self, member: Member, offset: int, length: int) -> ReadFile | None:
        """The primary file if the first and the last byte of a part are in the page cache, and nothing says damage."""
        start = member.dataset_offset + offset
        file = self._files.get((PRIMARY, member.pack))
        if file is None or length <= 0 or offset + length > member.dataset_length or not _NOWAIT:
            return None
        if (PRIMARY, member.pack, member.header_offset) in self._bad:
            return None
        probe = [bytearray(1)]
        try:
            there = os.preadv(file.fd, probe, start + length - 1, _NOWAIT) == 1
            return file if there and os.preadv(file.fd, probe, start, _NOWAIT) == 1 else None
        except OSError:
            return None

    def read_verified(self, member: Member) -> bytes:
        """The whole data set, from the first place where it has its digest. Raises `DamagedInstance`."""
        for place in self._folders:
            for _ in range(2):
                try:
                    data = self._pread(self._file(place, member.pack), member.dataset_offset, member.dataset_length)
                except OSError:
                    data = b""
                if is_whole(data, member):
                    return data
                self._forget(place, member.pack)
            self._remember(place, member)
        raise self._damaged(member)

    def read_verified_into(self, member: Member, into: memoryview) -> None:
        """The same into memory that is there already. Raises `DamagedInstance`; then anything may be in it."""
        try:
            file = self._file(PRIMARY, member.pack)
            done = os.preadv(file.fd, [into], member.dataset_offset) == len(into) == member.dataset_length
        except OSError:
            done = False
        if not (done and is_whole(into, member)):
            into[:] = self.read_verified(member)  # another place, or the reason why not

    def stream_verified(self, member: Member, chunk: int) -> Iterator[bytes]:
        """The data set in chunks, from the first place where the whole has its digest. Raises `DamagedInstance`."""
        if member.dataset_length <= chunk:
            yield self.read_verified(member)
            return
        for place in self._folders:
            if not self.check(member, place, fresh=False):
                continue
            file = self._file(place, member.pack)
            offset = 0
            while offset < member.dataset_length:
                data = self._pread(file, member.dataset_offset + offset, min(chunk, member.dataset_length - offset))
                if not data:
                    raise self._damaged(member)
                yield data
                offset += len(data)
            return
        raise self._damaged(member)

    def check(self, member: Member, place: str = PRIMARY, *, fresh: bool = True) -> bool:
        """Whether header and data set are whole in a place.

        `fresh`: as the disk has it, not the page cache, and by the digest of record.
        """
        try:
            file = ReadFile(self.path(member.pack, place))
            if fresh:
                os.posix_fadvise(
                    file.fd, member.header_offset, member.end - member.header_offset, os.POSIX_FADV_DONTNEED
                )
            found = parse_header(
                os.pread(file.fd, HEADER_READ, member.header_offset), member.pack, member.header_offset
            )
            good = digest_holds(file.fd, member, quick=not fresh)
        except OSError:
            found, good = None, False
        if good:
            self._bad.discard((place, member.pack, member.header_offset))
        else:
            self._remember(place, member)
            self._forget(place, member.pack)
        return good and found is not None and found.member == member

    def close(self) -> None:
        """Forget every descriptor."""
        with self._lock:
            self._files.clear()

    # -- inside ----------------------------------------------------------------------------------

    def _file(self, place: str, pack: str) -> ReadFile:
        key = (place, pack)
        with self._lock:
            file = self._files.get(key)
            if file is not None:
                self._files.move_to_end(key)
                return file
        file = ReadFile(self.path(pack, place))
        with self._lock:
            self._files[key] = file
            while len(self._files) > self._most_files:
                self._files.popitem(last=False)
        return file

    def _forget(self, place: str, pack: str) -> None:
        with self._lock:
            self._files.pop((place, pack), None)

    def _remember(self, place: str, member: Member) -> None:
        key = (place, member.pack, member.header_offset)
        if key not in self._bad:
            self._bad.add(key)
            log.error("member-damaged", pack=member.pack, offset=member.header_offset, place=place or "primary")

    @staticmethod
    def _pread(file: ReadFile, offset: int, length: int) -> bytes:
        data = os.pread(file.fd, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]
        done = len(data)
        while done < length:  # one call reads at most 2 GiB
            data = os.pread(file.fd, length - done, offset + done)
            if not data:
                break
            pieces.append(data)
            done += len(data)
        return b"".join(pieces)

    @staticmethod
    def _damaged(member: Member) -> DamagedInstance:
        return DamagedInstance(
            f"no copy of the member at {member.header_offset} of pack {member.pack} has its digest",
            hint="bring back the pack from a backup, then run `vesalius verify`",
        )
