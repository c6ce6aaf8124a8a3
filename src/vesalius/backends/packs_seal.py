"""Sealing: a pack that is full or idle becomes a file that never changes again.

Theory. Unused space is given back, the two zero blocks that end a tar archive are made sure of, and everything is
synced. Then the pack is read once: its digest and the list of its members go into a sidecar, JSON Lines, that is
written beside it, synced and renamed into place. The sidecar's presence is what makes a pack sealed; a crash at any
point before leaves an open pack that the next recovery takes up again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from typing import Any

import msgspec

from vesalius.backends.packs_format import END_OF_ARCHIVE
from vesalius.backends.packs_open import OpenPack
from vesalius.backends.packs_scan import walk
from vesalius.backends.packs_volume import Volume, sync_folder
from vesalius.model.entities import PackInfo
from vesalius.ports.blobs import FoundMember

# Behind the name of a sidecar that is being written.
UNFINISHED = ".new"
_CHUNK = 1 << 20
_FIRST_LINE = 1024


class Summary(msgspec.Struct, frozen=True):
    """The first line of a sidecar; one line per member follows."""

    pack: str
    size: int  # up to the end of the last member, bytes
    file_size: int  # with the end-of-archive blocks
    members: int
    dead_bytes: int
    sha256: str  # of the whole file
    tombstones: int = 0

    @property
    def info(self) -> PackInfo:
        """As the port tells it."""
        return PackInfo(
            name=self.pack,
            state="sealed",
            indexed_to=0,
            size=self.size,
            members=self.members,
            dead_bytes=self.dead_bytes,
            sha256=self.sha256,
            tombstones=self.tombstones,
        )


_decode = msgspec.json.Decoder(Summary).decode


def read_summary(path: str) -> Summary | None:
    """The first line of a sidecar; None where there is none or it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _decode(os.pread(fd, _FIRST_LINE, 0).partition(b"\n")[0])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    finally:
        os.close(fd)


def file_sha256(fd: int) -> str:
    """Digest of a whole file, in bounded memory. Raises `OSError`."""
    digest = hashlib.sha256()
    offset = 0
    while data := os.pread(fd, _CHUNK, offset):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


def write_whole(path: str, lines: list[bytes], folder: str | os.PathLike[str]) -> None:
    """Put a small file in place, durably and at once. Raises `OSError`."""
    temporary = f"{path}{UNFINISHED}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with open(fd, "wb") as file:  # noqa: PTH123  a descriptor
            file.writelines(lines)
            file.flush()
            os.fsync(fd)
        os.rename(temporary, path)  # noqa: PTH104  paths here are strings
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    sync_folder(os.fspath(folder))


def seal(volume: Volume, pack: OpenPack) -> PackInfo:
    """Seal a pack that the caller holds alone. Raises `OSError`; the pack is still open then."""
    file_size = pack.end + END_OF_ARCHIVE
    os.ftruncate(pack.fd, pack.end)
    os.ftruncate(pack.fd, file_size)
    pack.allocated = file_size
    os.fsync(pack.fd)
    found = list(walk(pack.fd, pack.name, 0, verify=False))
    tombstones = sum(not one.is_instance for one in found)
    digest = file_sha256(pack.fd)
    summary = Summary(pack.name, pack.end, file_size, len(found), pack.dead_bytes, digest, tombstones)
    lines = [msgspec.json.encode(summary) + b"\n", *map(sidecar_line, found)]
    write_whole(volume.sidecar_path(pack.name), lines, volume.root)
    with contextlib.suppress(OSError):
        os.unlink(volume.left_path(pack.name))  # noqa: PTH108
    # Whatever was acknowledged is indexed; and a row of the index that outlives a crash outlives it with all before it.
    return replace(summary.info, indexed_to=pack.end)


def sidecar_line(found: FoundMember) -> bytes:
    """What the sidecar says of one member."""
    label, member = found.label, found.member
    path = f"{label.study}/{label.series}/{label.sop_instance}.dcm"
    if not found.is_instance:
        path = f"vesalius-tombstones/{label.provenance.association}-{member.header_offset}.json"
    line: dict[str, Any] = {
        "path": path,
        "sop_class": label.sop_class,
        "transfer_syntax": label.transfer_syntax,
        "received_at": label.provenance.received_at,
        "header_offset": member.header_offset,
        "offset": member.offset,
        "length": member.length,
        "dataset_offset": member.dataset_offset,
        "dataset_length": member.dataset_length,
        "sha256": member.sha256,
        "xxh3": member.xxh3,
    }
    return msgspec.json.encode(line) + b"\n"
