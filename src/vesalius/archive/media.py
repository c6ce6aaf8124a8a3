"""Where import finds files: folders, ZIP archives, DICOMDIR media. Nothing is ever unpacked to disk.

Theory. Each way yields sources in a stable order, one at a time, however many there are. What an archive or a
directory record says is not trusted: names that leave the medium are refused, and the size of a ZIP entry is what
comes out of it, not what its header claims. A refusal concerns one entry, is reported, and the others go on; only
where the total passes a limit the rest of that ZIP is given up.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from vesalius.archive.part10 import open_part10
from vesalius.model.datasets import decode
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand, LimitExceeded, VesaliusError
from vesalius.standard.sop_classes import MEDIA_STORAGE_DIRECTORY

DIRECTORY_RECORD_SEQUENCE = 0x00041220
REFERENCED_FILE_ID = 0x00041500
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What one ZIP archive or DICOMDIR may cost. Every figure is a setting."""

    zip_entries: int = 200_000
    zip_bytes: int = 256 << 30  # of all entries of one archive, uncompressed
    zip_ratio: int = 200  # uncompressed bytes per byte of the archive, beyond a grace of 16 MiB
    dicomdir_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Something that may be a DICOM file."""

    name: str  # for the report
    size: int
    mtime_ns: int
    open: Callable[[], BinaryIO]
    named: bool = False  # the caller named this very file


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was not even opened, and why."""

    name: str
    reason: str


def sources(paths: Sequence[Path], limits: MediaLimits | None = None) -> Iterator[Source | Refused]:
    """Every file under the given paths: files, ZIP archives, DICOMDIR media, folders.

    Folders are sorted; symbolic links to folders are not followed.
    """
    limits = limits or MediaLimits()
    for path in paths:
        if path.is_dir():
            yield from _folder(path, limits)
        elif not path.exists():
            yield Refused(str(path), "there is no such file or folder")
        else:
            yield from _file(path, limits, named=True)


def _folder(folder: Path, limits: MediaLimits) -> Iterator[Source | Refused]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Refused(str(folder), _why(error))
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(path, limits)
        elif entry.is_file():
            yield from _file(path, limits, named=False)
        elif entry.is_symlink():
            yield Refused(entry.path, "a symbolic link to a folder, or to nothing, is not followed")


def _file(path: Path, limits: MediaLimits, *, named: bool) -> Iterator[Source | Refused]:
    try:
        found = path.stat()
        if not path.is_file():
            yield Refused(str(path), "not a regular file")
            return
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        yield Refused(str(path), _why(error))
        return
    if start in _ZIP_STARTS:
        yield from _zip(path, found.st_mtime_ns, limits)
    elif named and path.name.upper().startswith("DICOMDIR") and _is_directory(path):
        yield from _dicomdir(path, limits)
    else:
        yield Source(str(path), found.st_size, found.st_mtime_ns, lambda: path.open("rb"), named)


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror or type(error).__name__}"


# -- ZIP ------------------------------------------------------------------------------------------


class _Budget:
    """What may still come out of one archive."""

    def __init__(self, limits: MediaLimits, packed: int) -> None:
        self._left = min(limits.zip_bytes, packed * limits.zip_ratio + (16 << 20))

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise LimitExceeded("the ZIP archive unpacks to more than the limit")

    @property
    def spent(self) -> bool:
        return self._left < 0


class _Entry(io.RawIOBase):
    """One entry as a stream whose real bytes are counted."""

    def __init__(self, stream: IO[bytes], budget: _Budget, archive: zipfile.ZipFile | None = None) -> None:
        """`archive` is closed with the entry."""
        self._stream = stream
        self._budget = budget
        self._archive = archive

    def close(self) -> None:
        super().close()
        self._stream.close()
        if self._archive is not None:
            self._archive.close()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise CannotUnderstand("the ZIP entry is damaged") from error
        self._budget.spend(len(data))
        return data


def _zip(path: Path, mtime_ns: int, limits: MediaLimits) -> Iterator[Source | Refused]:
    try:
        _check_directory(path, limits)
        archive = zipfile.ZipFile(path)
    except VesaliusError as error:
        yield Refused(str(path), error.message)
        return
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        yield Refused(str(path), "the ZIP archive is damaged")
        return
    budget = _Budget(limits, path.stat().st_size)
    with archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            name = f"{path}!{info.filename}"
            if budget.spent:
                yield Refused(str(path), "the ZIP archive unpacks to more than the limit; the rest is left out")
                return
            if info.is_dir():
                continue
            reason = _refusal(info)
            if reason:
                yield Refused(name, reason)
                continue
            yield from _entry(path, archive, info, name, mtime_ns, budget)


def _entry(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, mtime_ns: int, budget: _Budget
) -> Iterator[Source | Refused]:
    def opened() -> BinaryIO:
        if archive.fp is not None:
            return _Entry(archive.open(info), budget)  # type: ignore[return-value]
        # The walk has gone on to other files: whoever comes back opens the archive for this entry alone.
        again = zipfile.ZipFile(path)
        try:
            return _Entry(again.open(info), budget, again)  # type: ignore[return-value]
        except BaseException:
            again.close()
            raise

    try:
        start = opened().read(4)
    except (VesaliusError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError):
        yield Refused(name, "the ZIP entry is damaged or of an unknown kind")
        return
    if start in _ZIP_STARTS:
        yield Refused(name, "a ZIP archive inside a ZIP archive is not opened")
        return
    yield Source(name, info.file_size, mtime_ns, opened)


def _refusal(info: zipfile.ZipInfo) -> str:
    if leaves(info.orig_filename) or leaves(info.filename):
        return "the name points outside of the archive"
    if info.flag_bits & 0x1:
        return "the entry is encrypted"
    if info.external_attr >> 28 == 0xA:
        return "the entry is a symbolic link"
    return ""


def leaves(name: str) -> bool:
    """Whether a name is absolute, climbs up, or hides something: `../x`, `/x`, `C:\\x`, NUL."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in name


def _check_directory(path: Path, limits: MediaLimits) -> None:
    """Compare what the end of the archive announces with the limit before the directory is read into memory."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - (1 << 16) - 22 - 20))
        tail = stream.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + 22 > len(tail):
            raise CannotUnderstand("the ZIP archive is damaged")
        entries, directory = struct.unpack_from("<HI", tail, at + 10)
        locator = at - 20
        if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
            (where,) = struct.unpack_from("<Q", tail, locator + 8)
            stream.seek(min(where, size))
            record = stream.read(56)
            if len(record) == 56:
                entries, directory = struct.unpack_from("<QQ", record, 32)
    # An entry takes 46 bytes and its name; names of real archives are short.
    if entries > limits.zip_entries or directory > limits.zip_entries * 512:
        raise LimitExceeded(f"the ZIP archive has more than {limits.zip_entries} entries")


# -- DICOMDIR -------------------------------------------------------------------------------------


def _is_directory(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return open_part10(stream).claim.sop_class == MEDIA_STORAGE_DIRECTORY
    except (OSError, VesaliusError):
        return False


def _dicomdir(path: Path, limits: MediaLimits) -> Iterator[Source | Refused]:
    """The files that the directory records name, each once, in the order of the records (PS3.3 F.3).

    The records are read as the list that they are in the file; the offsets that link them to a tree are not
    followed, so a loop in them does no harm.
    """
    try:
        if path.stat().st_size > limits.dicomdir_bytes:
            raise LimitExceeded("the DICOMDIR is too large")
        with path.open("rb") as stream:
            opened = open_part10(stream)
            values = decode(opened.body + stream.read(), opened.claim.transfer_syntax)
    except VesaliusError as error:
        yield Refused(str(path), error.message)
        return
    except OSError as error:
        yield Refused(str(path), _why(error))
        return
    root = path.parent.resolve()
    seen: set[str] = set()
    for record in values.get(DIRECTORY_RECORD_SEQUENCE, ()):
        if isinstance(record, str):
            continue
        file_id = "/".join(_components(record))
        if file_id and file_id not in seen:
            seen.add(file_id)
            yield from _referenced(root, file_id, limits)


def _components(record: Values) -> list[str]:
    return [value.strip() for value in record.get(REFERENCED_FILE_ID, ()) if isinstance(value, str)]


def _referenced(root: Path, file_id: str, limits: MediaLimits) -> Iterator[Source | Refused]:
    name = f"{root / 'DICOMDIR'}:{file_id}"
    if leaves(file_id):
        yield Refused(name, "the directory record points outside of the medium")
        return
    path = _ignoring_case(root, file_id)
    if path is None:
        yield Refused(name, "the file that the directory record names is missing")
        return
    if not path.resolve().is_relative_to(root):
        yield Refused(name, "a symbolic link leads outside of the medium")
        return
    yield from _file(path, limits, named=False)


def _ignoring_case(root: Path, file_id: str) -> Path | None:
    """Media are upper case by PS3.10 8.2; copies of them often are not."""
    path = root / file_id
    if path.is_file():
        return path
    path = root / file_id.lower()
    return path if path.is_file() else None
