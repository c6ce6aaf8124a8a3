"""The open packs of one process: taken by one writer at a time, given back, taken up again after a restart.

Theory. A pack is appended to by one writer at a time, so its members never interleave and its end is known to
one holder only. The process that holds a pack has an exclusive flock on it, which the kernel drops when the
process dies; any number of processes write side by side, each into packs of its own.

Beyond `end` an open pack holds zeros and nothing else: space is reserved by fallocate, and what a broken transfer
left there is cut off by truncation before anyone else may append. So a reader of tar finds the end of the archive
there, and a recovery never meets bytes of the past. Zeros by fallocate are unwritten extents: the first write to one
changes metadata, so the next sync has to commit the file system's journal and wait for whatever else it holds. Space
that was really written before syncs in half the time (docs/explanation/packs.md), so in idle time `packs_ahead`
writes zeros ahead. `reserved` is how far the writer may go without asking, and zeros are only written behind it.

A pack left open by an earlier process is adopted only if it was left clean, which is known from a recovery by this
process or from a small file that a process leaves beside it when it closes or has recovered it; and only if nobody
has touched it since and nothing but zeros follows its last member.
The pool is a stack: the pack used last is used next, so few stay open and one sync serves many.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from vesalius.backends.packs_format import END_OF_ARCHIVE, PAGE
from vesalius.backends.packs_open import Leftover, OpenPack, decode_leftover, hold
from vesalius.backends.packs_scan import data_after
from vesalius.backends.packs_volume import LEFT, PackSettings, Volume, sync_folder
from vesalius.model.errors import OutOfResources

log = structlog.get_logger()

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SMALLEST_STEP = 64 << 10


class PackPool:
    """All open packs of the process. Thread-safe."""

    def __init__(self, volume: Volume, settings: PackSettings) -> None:
        self.volume = volume
        self.settings = settings
        self._lock = threading.Lock()
        self._free: list[OpenPack] = []
        self._full: list[OpenPack] = []
        self._held: dict[str, OpenPack] = {}
        self._leftovers: dict[str, Leftover] = {}
        self._streaming = 0
        self._buffered = 0
        self._closed = False
        self._pid = os.getpid()

    # -- taking and giving back ------------------------------------------------------------------

    def take(self) -> OpenPack:
        """A pack to append to: the one used last, a leftover, or a new one. Raises `OutOfResources`."""
        with self._lock:
            if self._closed:
                raise OutOfResources("the store is closed")
            self._forget_inherited()
            while self._free:
                pack = self._free.pop()
                if pack.end < self.settings.pack_size:
                    return pack
                self._full.append(pack)
            pack = self._adopt() or self._create()
            self._held[pack.name] = pack
            return pack

    def give(self, pack: OpenPack) -> None:
        """Back after a finished or aborted member."""
        pack.last_used = time.monotonic()
        with self._lock:
            if not pack.suspect:
                self._free.append(pack)
            closed = self._closed
        if closed:
            self.close()

    def take_to_stream(self, held: int, *, together: bool = False) -> OpenPack | None:
        """A pack for an instance of which `held` bytes wait in memory; None: go on waiting.

        Few stream at once: what waits shares one pack and so one sync, as long as memory allows; `together`: it
        would rather wait though nobody else streams.
        """
        settings = self.settings
        with self._lock:
            wait = (
                (together or self._streaming >= settings.streams)
                and held < settings.buffer_shared
                and self._buffered + settings.buffer <= settings.buffer_budget
            )
            if wait:
                self._buffered += settings.buffer
                return None
            self._streaming += 1
        try:
            return self.take()
        except BaseException:
            self.stream_ended()
            raise

    @property
    def spare(self) -> bool:
        """Whether what may wait in memory is far from its limit: until then nothing waits for a disk."""
        return self._buffered + self.settings.buffer_shared <= self.settings.buffer_budget // 2

    def stream_ended(self) -> None:
        """An instance that streamed is finished or aborted."""
        with self._lock:
            self._streaming -= 1

    def release_buffer(self, size: int) -> None:
        """Bytes that waited in memory do so no more."""
        with self._lock:
            self._buffered -= size

    def held(self, name: str) -> OpenPack | None:
        """The pack of this name if this process holds it."""
        return self._held.get(name)

    # -- space -----------------------------------------------------------------------------------

    def ensure(self, pack: OpenPack, upto: int) -> None:
        """Let the writer write up to `upto`, the rest of its page included. Raises `OutOfResources`."""
        if upto <= pack.reserved:
            return
        with pack.space:
            if upto + PAGE > pack.allocated:
                self.extend(pack, upto + PAGE)
            pack.reserved = upto

    def extend(self, pack: OpenPack, upto: int) -> None:
        """Make the file at least `upto` long; the caller holds `space`. Raises `OutOfResources`."""
        need = upto - pack.allocated
        room = self.volume.room()
        if need > room:
            raise OutOfResources("the store's volume is full up to its watermark", hint="free or add space")
        # Not much beyond the size at which the pack is sealed, nor a large part of what is left.
        most = min(self.settings.preallocate, room // 4, self.settings.pack_size - pack.allocated)
        step = max(need, most, _SMALLEST_STEP)
        step += -(pack.allocated + step) % PAGE
        while True:
            try:
                os.posix_fallocate(pack.fd, pack.allocated, step)
            except OSError as error:
                if error.errno in _NO_ROOM and step > need:
                    step = max(need, step // 2)
                    continue
                pack.allocated = os.fstat(pack.fd).st_size
                raise self.volume.refusal(error, "fallocate") from error
            pack.allocated += step
            self.volume.spend(step)
            return

    def cut(self, pack: OpenPack) -> None:
        """Take back everything after `pack.end`, so that zeros follow it again. Raises `OSError`."""
        with pack.space:
            pack.reserved = pack.zeroed = 0
            os.ftruncate(pack.fd, pack.end)
            os.ftruncate(pack.fd, pack.end + END_OF_ARCHIVE)
            pack.allocated = pack.end + END_OF_ARCHIVE

    def take_back(self, pack: OpenPack) -> None:
        """After an abort: cut, and give back. A pack that cannot be cut is not used again. Never raises."""
        try:
            self.cut(pack)
        except OSError as error:
            # The reserved header place still holds zeros, so what lies behind it is not seen; the next
            # recovery cuts it off.
            log.warning("pack-retired", pack=pack.name, error=errno.errorcode.get(error.errno or 0, ""))
            self.volume.refusal(error, "ftruncate")
            pack.suspect = True
        self.give(pack)

    def withdraw(self, pack: OpenPack, start: int, end: int) -> bool:
        """Take back a finished member that is still the last of its pack and that nobody refers to; False if not."""
        with self._lock:
            if pack.end != end or pack not in self._free:
                return False
            self._free.remove(pack)
        pack.end = start
        self.take_back(pack)
        return True

    def suspect(self, pack: OpenPack) -> None:
        """Never append to this pack again. Its flock is kept, so that no other process does either."""
        with self._lock:
            pack.suspect = True
            if pack in self._free:
                self._free.remove(pack)
        with contextlib.suppress(OSError):
            os.close(os.open(self.volume.suspect_path(pack.name), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o640))

    # -- the life of a pack ----------------------------------------------------------------------

    def _create(self) -> OpenPack:
        """A new, empty pack whose name and size are durable."""
        self.volume.check()
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(8)}"
        path = self.volume.pack_path(name)
        try:
            fd = hold(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise self.volume.refusal(error, "creating a pack") from error
        if fd is None:
            # A recovery of another process was quicker to lock the new, empty file and keeps it.
            return self._create()
        pack = OpenPack(name, fd, 0, 0, time.monotonic())
        try:
            self.ensure(pack, 0)
            os.fsync(fd)
            sync_folder(self.volume.root)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108  paths here are strings; unlinked while still locked
            os.close(fd)
            if isinstance(error, OSError):
                raise self.volume.refusal(error, "syncing a new pack") from error
            raise
        log.info("pack-created", pack=name)
        return pack

    def leave(self, leftover: Leftover) -> None:
        """Recovery has looked at an unsealed pack that nobody holds: it may be adopted."""
        with self._lock:
            before = self._leftovers.get(leftover.name)
            if before is not None and before.is_same(leftover):
                return
            self._leftovers[leftover.name] = leftover
        self._leave_word(leftover)

    def _adopt(self) -> OpenPack | None:
        for name, leftover in [*self._leftovers.items(), *self._left_by_others()]:
            if leftover.end >= self.settings.pack_size:
                continue
            self._leftovers.pop(name, None)
            pack = self.reopen(leftover)
            if pack is not None:
                log.info("pack-adopted", pack=name, end=pack.end)
                return pack
        return None

    def _left_by_others(self) -> Iterator[tuple[str, Leftover]]:
        try:
            names = sorted(os.listdir(self.volume.root))  # noqa: PTH208  names are enough
        except OSError:
            return
        for name in names:
            if name.endswith(LEFT):
                with contextlib.suppress(OSError, msgspec.DecodeError):
                    leftover = decode_leftover((self.volume.root / name).read_bytes())
                    yield leftover.name, leftover

    def reopen(self, leftover: Leftover) -> OpenPack | None:
        """Hold a leftover if nobody has touched it since it was left; None otherwise."""
        try:
            fd = hold(self.volume.pack_path(leftover.name))
        except OSError:
            return None
        if fd is None:
            return None
        try:
            found = os.fstat(fd)
            # The times of a file prove nothing after a power cut, so what counts is that nothing follows the end.
            if (found.st_size, found.st_mtime_ns) == (leftover.size, leftover.mtime_ns) and not data_after(
                fd, leftover.end
            ):
                pack = OpenPack(leftover.name, fd, leftover.end, found.st_size, time.monotonic())
                if found.st_size < pack.end + END_OF_ARCHIVE:
                    self.cut(pack)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.volume.left_path(pack.name))  # noqa: PTH108  paths here are strings
                return pack
        except OSError as error:
            self.volume.refusal(error, "taking up a pack")
        os.close(fd)
        return None

    def _leave_word(self, leftover: Leftover) -> None:
        """Tell other processes that a pack was left clean. May be lost: then a recovery finds the same."""
        with contextlib.suppress(OSError):
            Path(self.volume.left_path(leftover.name)).write_bytes(msgspec.json.encode(leftover))

    def due(self, now: float) -> list[OpenPack]:
        """Take out of the pool what is full or idle; the caller seals it and calls `drop`."""
        limit = now - self.settings.seal_after
        with self._lock:
            self._forget_inherited()
            due = self._full + [p for p in self._free if p.last_used <= limit or p.end >= self.settings.pack_size]
            self._full = []
            self._free = [pack for pack in self._free if pack not in due]
            old = [
                left for left in self._leftovers.values() if left.seen <= limit or left.end >= self.settings.pack_size
            ]
            for leftover in old:
                del self._leftovers[leftover.name]
        for leftover in old:
            pack = self.reopen(leftover)
            if pack is not None:
                due.append(pack)
                with self._lock:
                    self._held[pack.name] = pack
        for pack in due:
            with pack.space:
                pack.ending = True
        return due

    def used_last(self) -> OpenPack | None:
        """The pack that the next writer will get, if it is in the pool."""
        with self._lock:
            return self._free[-1] if self._free and not self._closed else None

    def drop(self, pack: OpenPack) -> None:
        """Let go of a pack that is durable as it stands: close it, and with it its lock."""
        with pack.lock, pack.space:
            pack.ending = True
            os.close(pack.fd)
            pack.fd = -1
        with self._lock:
            self._held.pop(pack.name, None)

    def close(self) -> None:
        """Let go of every pack that no writer has. Unused space is given back; they stay open packs."""
        with self._lock:
            self._closed = True
            self._forget_inherited()
            idle, self._free, self._full = self._free + self._full, [], []
            suspects = [pack for pack in self._held.values() if pack.suspect]
            self._leftovers = {}
        for pack in idle:
            try:
                if pack.end:
                    with pack.lock:
                        self.cut(pack)
                        os.fsync(pack.fd)
                    found = os.fstat(pack.fd)
                    self._leave_word(Leftover(pack.name, pack.end, found.st_size, found.st_mtime_ns))
                else:
                    self.remove_empty(pack)
            except OSError as error:
                self.volume.refusal(error, "fsync")
            self.drop(pack)
        for pack in suspects:
            self.drop(pack)

    def remove_empty(self, pack: OpenPack) -> None:
        """Unlink a pack into which nothing came, while it is still locked."""
        os.unlink(self.volume.pack_path(pack.name))  # noqa: PTH108  paths here are strings

    def _forget_inherited(self) -> None:
        """After a fork the child shares its parent's descriptors and locks: the packs remain the parent's."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        for pack in self._held.values():
            with contextlib.suppress(OSError):
                os.close(pack.fd)
        self._free, self._full, self._held, self._streaming, self._buffered = [], [], {}, 0, 0
