"""Walking a pack: its members one after the other, from the file alone; and putting it right after a crash.

Theory. Members follow each other without gaps, so a walk needs one header per member. It ends at the first place
that does not hold the right header of a member of this pack.

After a crash an unsealed pack may end in a torn member: a header whose data set is not whole, or data
without a header. Whatever was acknowledged was covered by a sync, and a sync covers everything that lies before it in
the pack, so all that follows the last acknowledged member may be cut off. But bit rot can look like a torn member,
and cutting there would destroy what was acknowledged behind it. (So can a batch that was never synced, of which
the disk has the end but not the beginning.) So before anything is cut, the rest of the pack is searched for a later
whole member. If there is one, it is kept and only the broken one is skipped; where its header is broken, the gap
becomes a filler, a file of the archive that tar steps over, for else it would see the end of the archive there.

Before digests are compared the pack is synced and its cached pages are dropped, so that what is read is what the
disk has: after a failed sync, or none, the page cache proves nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import structlog
from xxhash import xxh3_128, xxh3_128_hexdigest

from vesalius.backends.packs_format import END_OF_ARCHIVE, HEADER_READ, filler_end, fillers, parse_header
from vesalius.backends.packs_tombstones import LARGEST, decode
from vesalius.model.entities import Member
from vesalius.ports.blobs import FoundMember

log = structlog.get_logger()

_WINDOW = 1 << 20
_SEARCH = 4 << 20
_HEADER_MARK = b"PaxHeaders/vesalius\0"


class Digest(Protocol):
    """A digest that is still being made."""

    def update(self, data: bytes, /) -> None:
        """More bytes."""

    def hexdigest(self) -> str:
        """What it is so far."""


class Window:
    """Positioned reads through one buffer, so that small members do not cost a system call each."""

    def __init__(self, fd: int, size: int = _WINDOW) -> None:
        self._fd = fd
        self._size = size
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; fewer at the end of the file."""
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            self._data = os.pread(self._fd, max(length, self._size), offset)
            self._start = offset
            at = 0
        return self._data[at : at + length]


def is_whole(data: bytes | memoryview, member: Member) -> bool:
    """Whether these bytes are the data set of a member, as a reader asks (`digest_holds` with `quick`)."""
    if len(data) != member.dataset_length:
        return False
    if member.xxh3 and xxh3_128_hexdigest(data) == member.xxh3:
        return True
    return hashlib.sha256(data).hexdigest() == member.sha256


def digest_holds(fd: int, member: Member, window: Window | None = None, *, quick: bool = False) -> bool:
    """Whether the data set of a member has its digest. Bounded memory. Raises `OSError`.

    `quick`: a quick checksum of the same bytes is enough, where there is one. It finds what disks, cables and memory
    do; what somebody wrote over them on purpose is found by the digest, which also has the last word on damage.
    """
    if quick and member.xxh3 and _digest(fd, member, xxh3_128()) == member.xxh3:
        return True
    left = member.dataset_length
    if window is not None and left <= _WINDOW:
        data = window.read(member.dataset_offset, left)
        return len(data) == left and hashlib.sha256(data).hexdigest() == member.sha256
    return _digest(fd, member, hashlib.sha256()) == member.sha256


def _digest(fd: int, member: Member, digest: Digest) -> str:
    """Of the data set of a member, hex; empty where the file is too short."""
    offset, left = member.dataset_offset, member.dataset_length
    while left:
        data = os.pread(fd, min(left, _WINDOW), offset)
        if not data:
            return ""
        digest.update(data)
        offset += len(data)
        left -= len(data)
    return digest.hexdigest()


def walk(fd: int, pack: str, start: int, *, verify: bool) -> Iterator[FoundMember]:
    """Members from `start` on, up to the first place that holds none (or, with `verify`, a torn one)."""
    window = Window(fd, _WINDOW if verify else HEADER_READ)
    size = os.fstat(fd).st_size
    at = start
    while True:
        header = window.read(at, HEADER_READ)
        if (after := filler_end(header, at)) is not None:
            at = after
            continue
        found = parse_header(header, pack, at)
        if found is None or found.member.offset + found.member.length > size:
            return
        if verify and not digest_holds(fd, found.member, window):
            return
        yield found if found.is_instance else _with_tombstone(fd, found)
        at = found.member.end


def _with_tombstone(fd: int, found: FoundMember) -> FoundMember:
    """A tombstone with what it says; without, where its bytes are not those that were written."""
    member = found.member
    if member.dataset_length > LARGEST or not digest_holds(fd, member):
        log.error("tombstone-damaged", pack=member.pack, offset=member.header_offset)
        return found
    return replace(found, tombstone=decode(os.pread(fd, member.dataset_length, member.dataset_offset)))


def find_later(fd: int, pack: str, start: int, *, verify: bool) -> FoundMember | None:
    """The first member at or after `start` that the file holds to its end, whatever lies between; None if none."""
    size = os.fstat(fd).st_size
    at = start & ~511
    while data := os.pread(fd, _SEARCH, at):
        place = data.find(_HEADER_MARK)
        while place >= 0:
            if place % 512 == 0:
                header = os.pread(fd, HEADER_READ, at + place)
                found = parse_header(header, pack, at + place)
                # A header may be whole and its data set cut off by the end of the file: a torn tail, no member.
                whole = found is not None and found.member.offset + found.member.length <= size
                if found is not None and whole and (not verify or digest_holds(fd, found.member)):
                    return found
            place = data.find(_HEADER_MARK, place + 1)
        if len(data) < 1024:
            return None
        # Marks lie within the first bytes of a block, so blocks are never split between two reads.
        at += len(data) & ~511
    return None


def walk_over_damage(fd: int, pack: str, start: int) -> Iterator[FoundMember]:
    """As `walk` without digests, but a broken header does not hide the members behind it."""
    at = start
    least = start  # where the next search begins: always further on, though a writer may cut the file meanwhile
    while True:
        for found in walk(fd, pack, at, verify=False):
            yield found
            at = found.member.end
        later = find_later(fd, pack, max(at, least), verify=False) if data_after(fd, at) else None
        if later is None:
            return
        least = later.member.header_offset + 512
        log.error("pack-damaged", pack=pack, offset=at, next_member=later.member.header_offset)
        at = later.member.header_offset


def data_after(fd: int, start: int) -> int:
    """How many bytes from `start` on are not only zeros: up to the last that is none. Skips holes."""
    size = os.fstat(fd).st_size
    last = start
    at = start
    while at < size:
        try:
            at = max(at, os.lseek(fd, at, os.SEEK_DATA))
            end = os.lseek(fd, at, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                break
            end = size
        while at < end:
            data = os.pread(fd, min(end - at, _WINDOW), at)
            if not data:
                break
            if kept := len(data.rstrip(b"\0")):
                last = at + kept
            at += len(data)
        at = max(at, end)
    return last - start


def recover_open(fd: int, pack: str, start: int, on_cut: Callable[[int], None]) -> Iterator[FoundMember]:
    """The whole members of an unsealed pack from `start` on; then the torn tail is cut off, durably.

    The caller holds the pack. Raises `OSError`.
    """
    if not data_after(fd, start):
        return
    os.fdatasync(fd)
    os.posix_fadvise(fd, start, 0, os.POSIX_FADV_DONTNEED)
    at = start
    while True:
        for found in walk(fd, pack, at, verify=True):
            yield found
            at = found.member.end
        torn = data_after(fd, at)
        if not torn:
            return
        later = find_later(fd, pack, at, verify=True)
        if later is None:
            os.ftruncate(fd, at)
            os.ftruncate(fd, at + END_OF_ARCHIVE)
            os.fsync(fd)
            on_cut(torn)
            return
        at = _bridge(fd, pack, at, later)


def _bridge(fd: int, pack: str, at: int, later: FoundMember) -> int:
    """Get from a broken member to the next whole one, in a way that a reader of tar can follow."""
    goal = later.member.header_offset
    log.error("pack-damaged", pack=pack, offset=at, next_member=goal)
    while at < goal:
        header = os.pread(fd, HEADER_READ, at)
        broken = parse_header(header, pack, at)
        after = broken.member.end if broken is not None else filler_end(header, at)
        if after is None or after > goal:
            for place, block in fillers(at, goal):
                os.pwrite(fd, block, place)
            os.fsync(fd)
            return goal
        # The header is right and only the data are not: what is left of them stays, for whoever wants to look.
        at = after
    return goal
