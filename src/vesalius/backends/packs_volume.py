"""The volume that packs lie on: how much room it has, whether it may still be written, where files are.

Theory. Two conditions end writing, and they differ in what comes after. No room (ENOSPC, a quota, no more file
descriptors, the watermark) passes by itself: the sender is told to try again later and the next attempt looks anew.
A write or sync that failed (EIO, a file system gone read-only) does not: after a failed fsync the page cache may
show bytes that the disk does not have, so the whole store stays read-only until someone has looked and
started it again. Reading goes on in both.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from vesalius.model.errors import OutOfResources, VolumeReadOnly

log = structlog.get_logger()

PACK = ".tar"
SIDECAR = ".index.jsonl"
SUSPECT = ".suspect"
LEFT = ".left"
RETIRED = ".retired"

# No room, or a limit of this process: the next attempt may succeed.
_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}
)
# How long a look at the free space is good for; a busy receiver writes some 30 MB in this time.
_LOOK_AGAIN = 0.05


@dataclass(frozen=True, slots=True)
class PackSettings:
    """How packs are written. Sizes in bytes, times in seconds."""

    pack_size: int = 1 << 30  # sealed at this size
    seal_after: float = 600.0  # ... or when nothing came for so long
    preallocate: int = 64 << 20  # space reserved ahead in an open pack
    zero_ahead: int = 128 << 20  # ... and written with zeros in idle time, so that a sync needs no journal commit
    watermark: int = 256 << 20  # free space under which nothing is taken (a twentieth of a small volume)
    least_inodes: int = 1024  # free inodes under which nothing is taken
    # Up to here an instance waits in memory and shares the committer's pack, so that one sync serves all.
    # (A little less than 128 KiB: the PDUs that DCMTK sends are written as they lie in the buffer of the connection.)
    buffer: int = 120 << 10
    stream_step: int = 60 << 10  # what streams is written in pieces of this size at least
    # While another instance streams already, up to here; the budget is for all writers of the process together.
    buffer_shared: int = 1 << 20
    buffer_budget: int = 32 << 20
    streams: int = 1  # instances that stream early, write-back overlapping with their arrival
    # Write-back is started for each full piece of this size. In smaller ones it is worse than useless: the sync then
    # waits for conversions of unwritten space that were begun a moment before.
    write_back: int = 2 << 20
    read_files: int = 64  # packs kept open for reading


def room_above(found: os.statvfs_result, watermark: int) -> int:
    """Bytes that may be allocated above the watermark; a small volume (a test, a pen drive) keeps a twentieth free."""
    return found.f_bavail * found.f_frsize - min(watermark, found.f_blocks * found.f_frsize // 20)


def has_inodes(found: os.statvfs_result, least: int) -> bool:
    """Whether files may still be made. Some file systems have no fixed number of inodes and report none at all."""
    return not found.f_files or found.f_favail >= min(least, found.f_files // 20)


class Volume:
    """One folder of packs. Thread-safe."""

    def __init__(self, root: Path, settings: PackSettings) -> None:
        self.root = root
        self._settings = settings
        self._lock = threading.Lock()
        self._looked = 0.0
        self._room = 0
        self._inodes_left = True
        self._read_only: str | None = None
        root.mkdir(parents=True, exist_ok=True)

    def pack_path(self, pack: str) -> str:
        """The tar file of a pack."""
        return f"{self.root}/{pack}{PACK}"

    def sidecar_path(self, pack: str) -> str:
        """The index file beside a sealed pack."""
        return f"{self.root}/{pack}{SIDECAR}"

    def suspect_path(self, pack: str) -> str:
        """The mark beside a pack that must not be appended to any more."""
        return f"{self.root}/{pack}{SUSPECT}"

    def left_path(self, pack: str) -> str:
        """The word beside an open pack that was left clean."""
        return f"{self.root}/{pack}{LEFT}"

    def retired_path(self, pack: str) -> str:
        """The mark beside a pack that another one has replaced."""
        return f"{self.root}/{pack}{RETIRED}"

    @property
    def read_only(self) -> str | None:
        """Why nothing is written any more; None while the volume is well."""
        return self._read_only

    def check(self) -> None:
        """Raises `VolumeReadOnly` after a failure, `OutOfResources` under the watermark."""
        if self._read_only is not None:
            raise VolumeReadOnly(
                f"the store is read-only: {self._read_only}", hint="look at the disk, then start the archive again"
            )
        if self.room() <= 0 or not self._inodes_left:
            raise OutOfResources("the store's volume is full up to its watermark", hint="free or add space")

    def room(self) -> int:
        """Bytes that may still be allocated above the watermark."""
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN:
            with self._lock:
                try:
                    found = os.statvfs(self.root)
                except OSError as error:
                    raise self.refusal(error, "statvfs") from error
                self._room = room_above(found, self._settings.watermark)
                self._inodes_left = has_inodes(found, self._settings.least_inodes)
                self._looked = now
        return self._room

    def spend(self, size: int) -> None:
        """Count an allocation until the next look."""
        self._room -= size

    def refusal(self, error: OSError, action: str) -> OutOfResources:
        """The error to raise for a failed system call; turns the volume read-only where it will not pass."""
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        if error.errno in _PASSING:
            log.warning("store-out-of-resources", action=action, error=name)
            return OutOfResources(f"the store cannot take more ({name})", hint="free space or descriptors; send again")
        return self.fail(f"{action} failed with {name}")

    def fail(self, reason: str) -> VolumeReadOnly:
        """Turn the volume read-only for as long as this process lives."""
        if self._read_only is None:
            self._read_only = reason
            log.error("store-read-only", reason=reason)
        return VolumeReadOnly(f"the store is read-only: {self._read_only}", hint="look at the disk, then start again")


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at a place; one call may write less. Raises `OSError`."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        offset += done
        view = view[done:]


def sync_folder(folder: str | Path) -> None:
    """Make names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
