"""Further places: bringing a pack's copy up to date, and repairing a member from a good copy.

Theory. Packs only grow, so a copy is a prefix, and bringing it up to date is appending what it lacks. The copier
asks only for what is durable and indexed, never for what is being written. A copy is a plain tar file too, ended by
zero blocks; when its pack is sealed it gets the sidecar as well and is then equal to the last byte.

A repair rewrites the whole member, header included, in its old place and believes only what it reads back
from the disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import structlog

from vesalius.backends.packs_format import END_OF_ARCHIVE
from vesalius.backends.packs_read import PRIMARY, PackReader
from vesalius.backends.packs_seal import read_summary, write_whole
from vesalius.backends.packs_volume import SIDECAR, Volume, sync_folder
from vesalius.model.entities import CopyInfo, Member
from vesalius.model.errors import OutOfResources, VolumeReadOnly

log = structlog.get_logger()

_CHUNK = 1 << 20


class PackCopies:
    """Writes to further places and back. The copier and a storage commitment may be at one copy at the same time."""

    def __init__(self, volume: Volume, reader: PackReader, copies: dict[str, Path]) -> None:
        self._volume = volume
        self._reader = reader
        self._copies = copies

    def copy(self, pack: str, place: str, from_offset: int, to_offset: int) -> CopyInfo:
        """Bring `place` up to `to_offset`, durably. Raises `OutOfResources`; the copy is then as good as before."""
        folder = self._copies[place]
        path = self._reader.path(pack, place)
        summary = read_summary(self._volume.sidecar_path(pack))
        whole = summary is not None and to_offset >= summary.size
        file_size = summary.file_size if whole and summary is not None else 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new = not os.path.exists(path)  # noqa: PTH110  paths here are strings
            source = os.open(self._volume.pack_path(pack), os.O_RDONLY | os.O_CLOEXEC)
            try:
                target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
                try:
                    fcntl.flock(target, fcntl.LOCK_EX)  # or the one who is behind cuts off what the other has written
                    size = os.fstat(target).st_size
                    # A copy that was lost or cut short is made anew from where it ends.
                    _copy_range(source, target, min(from_offset, size), to_offset)
                    if whole or os.fstat(target).st_size < to_offset + END_OF_ARCHIVE:
                        os.ftruncate(target, file_size or to_offset + END_OF_ARCHIVE)
                    os.fsync(target)
                finally:
                    os.close(target)
            finally:
                os.close(source)
            if whole:
                with open(self._volume.sidecar_path(pack), "rb") as sidecar:  # noqa: PTH123
                    write_whole(f"{folder}/{pack}{SIDECAR}", list(sidecar), folder)
            elif new:
                sync_folder(folder)
        except OSError as error:
            raise OutOfResources(
                f"the copy of pack {pack} in {place} cannot be written: {error.strerror}",
                hint=f"look at the disk of the place {place}",
            ) from error
        return CopyInfo(pack, place, file_size or to_offset)

    def repair(self, member: Member) -> bool:
        """Rewrite the primary's member from the first place where it is good. False where there is none.

        Raises `OutOfResources` when the primary place cannot be written.
        """
        if self._volume.read_only is not None:
            raise VolumeReadOnly(f"the store is read-only: {self._volume.read_only}")
        for place in self._copies:
            if not self._reader.check(member, place):
                continue
            try:
                self._rewrite(member, place)
            except OSError as error:
                raise self._volume.refusal(error, "repair") from error
            good = self._reader.check(member, PRIMARY)
            log.info("member-repaired", pack=member.pack, offset=member.header_offset, source=place, good=good)
            return good
        return False

    def _rewrite(self, member: Member, place: str) -> None:
        path = self._volume.pack_path(member.pack)
        new = not os.path.exists(path)  # noqa: PTH110
        source = os.open(self._reader.path(member.pack, place), os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                _copy_range(source, target, member.header_offset, member.end)
                if os.fstat(target).st_size < member.end + END_OF_ARCHIVE:
                    os.ftruncate(target, member.end + END_OF_ARCHIVE)
                os.fsync(target)
            finally:
                os.close(target)
        finally:
            os.close(source)
        if new:
            # The whole pack was lost: its sidecar comes back with it, or it is not to be appended to, full of gaps.
            try:
                shutil.copyfile(f"{self._copies[place]}/{member.pack}{SIDECAR}", self._volume.sidecar_path(member.pack))
            except FileNotFoundError:
                Path(self._volume.suspect_path(member.pack)).touch()
            sync_folder(self._volume.root)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    """Copy bytes between two files at the same offsets. Raises `OSError`."""
    at = start
    while at < end:
        data = os.pread(source, min(_CHUNK, end - at), at)
        if not data:
            raise OSError(None, "the source ends too early")
        view = memoryview(data)
        while view:
            done = os.pwrite(target, view, at)
            at += done
            view = view[done:]
