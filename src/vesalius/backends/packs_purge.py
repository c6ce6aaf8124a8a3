"""Destroying the bytes of deleted members, in every place, for ever.

Theory. The window in which a deletion can be taken back has ended. A hole is punched over each data set
(fallocate, PUNCH_HOLE): the bytes read as zeros from then on and the blocks go back to the file system, while all
that follows keeps its place. Header, preamble and file meta information stay, which name the instance but nobody's
patient, so that tar and recovery step over it. A file system that punches no holes gets zeros written.

Only sealed packs are touched, and only under their lock. A member is destroyed only if its own header says in
that very place that it is this one. A sealed pack's digest is in its sidecar, which is written again: the members'
lines then say `purged`, and their bytes count as dead.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from vesalius.backends.packs_format import HEADER_READ, parse_header
from vesalius.backends.packs_open import hold
from vesalius.backends.packs_read import PRIMARY, PackReader
from vesalius.backends.packs_seal import Summary, file_sha256, read_summary, write_whole
from vesalius.backends.packs_volume import SIDECAR, Volume
from vesalius.model.entities import Member, PackInfo
from vesalius.model.errors import OutOfResources, VolumeReadOnly

log = structlog.get_logger()

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_ZEROS = bytes(1 << 20)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def purge(volume: Volume, reader: PackReader, pack: str, members: Sequence[Member]) -> PackInfo | None:
    """See `BlobStore.purge`."""
    summary = read_summary(volume.sidecar_path(pack))
    if summary is None:
        return None
    if volume.read_only is not None:
        raise VolumeReadOnly(f"the store is read-only: {volume.read_only}")
    try:
        held = hold(volume.pack_path(pack))
        if held is None:
            return None
        try:
            with contextlib.ExitStack() as files:
                for place in reader.places:
                    with contextlib.suppress(FileNotFoundError):
                        fd = os.open(reader.path(pack, place), os.O_RDWR | os.O_CLOEXEC)
                        files.callback(os.close, fd)
                        _destroy(fd, pack, members)
            _destroy(held, pack, members)
            summary, lines = _sidecar_after(volume, summary, members, file_sha256(held))
            write_whole(volume.sidecar_path(pack), lines, volume.root)
            for place in reader.places:
                path = reader.path(pack, place).removesuffix(".tar") + SIDECAR
                if os.path.exists(path):  # noqa: PTH110  paths here are strings
                    write_whole(path, lines, Path(path).parent)
        finally:
            os.close(held)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutOfResources(
            f"bytes of pack {pack} cannot be destroyed: {error.strerror}", hint="look at the disks of all places"
        ) from error
    log.info("pack-purged", pack=pack, members=len(members), dead_bytes=summary.dead_bytes)
    return summary.info


def _destroy(fd: int, pack: str, members: Sequence[Member]) -> None:
    """Punch and sync. Raises `OSError`."""
    for member in members:
        found = parse_header(os.pread(fd, HEADER_READ, member.header_offset), pack, member.header_offset)
        if found is None or found.member != member or not found.is_instance:
            # A copy that does not reach so far, or something else lies here: nothing to destroy.
            log.warning("purge-skipped", pack=pack, offset=member.header_offset)
            continue
        _punch(fd, member.dataset_offset, member.dataset_length)
    os.fsync(fd)


def _punch(fd: int, offset: int, length: int) -> None:
    if not length:
        return
    if _libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
        raise OSError(code, os.strerror(code))
    done = 0
    while done < length:
        done += os.pwrite(fd, memoryview(_ZEROS)[: min(len(_ZEROS), length - done)], offset + done)


def _sidecar_after(
    volume: Volume, summary: Summary, members: Sequence[Member], sha256: str
) -> tuple[Summary, list[bytes]]:
    """The sidecar as it is to be from now on."""
    gone = {member.header_offset: member for member in members}
    dead = summary.dead_bytes
    lines = []
    with open(volume.sidecar_path(summary.pack), "rb") as file:  # noqa: PTH123
        next(file)
        for raw in file:
            line: dict[str, Any] = msgspec.json.decode(raw)
            member = gone.get(line["header_offset"])
            if member is not None and not line.get("purged"):
                line["purged"] = True
                dead += member.end - member.header_offset
            lines.append(msgspec.json.encode(line) + b"\n")
    summary = msgspec.structs.replace(summary, dead_bytes=dead, sha256=sha256)
    return summary, [msgspec.json.encode(summary) + b"\n", *lines]


def remove_pack(volume: Volume, reader: PackReader, pack: str) -> None:
    """Unlink a pack in every place, the primary last. Raises `OutOfResources`."""
    try:
        for place in (*reader.places, PRIMARY):
            path = reader.path(pack, place)
            for name in (path, path.removesuffix(".tar") + SIDECAR):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108
        with contextlib.suppress(FileNotFoundError):
            os.unlink(volume.retired_path(pack))  # noqa: PTH108
    except OSError as error:
        raise OutOfResources(f"pack {pack} cannot be removed: {error.strerror}") from error
    log.info("pack-removed", pack=pack)
