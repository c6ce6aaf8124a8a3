"""Large uploads that may break off and go on: a durable spool, and from there the door of import.

Theory. A browser loses its connection, a laptop is closed; nobody wants to begin ten gigabytes anew. So an upload is
announced (size, name, perhaps its digest), then sent in pieces of any size, each of which names the offset it begins
at. A piece counts when it is synced and its end written down: what was counted once is never asked for again,
whoever crashes. A piece that came with a digest counts only if it has it. When the last byte is there the whole is
compared with the announced digest and goes through `archive.import_`: one DICOM file, or a ZIP of them.

Any number of processes share the spool. A folder for each upload, its name a random number that nobody can guess and
that no text of the sender has part in (T5); a lock in it, held while a piece is written or the whole imported, that
falls when its holder dies. What nobody has asked after for a day is removed.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from vesalius.archive.import_ import Importer, ImportOptions, ImportReport
from vesalius.archive.ingest import Ingest
from vesalius.archive.media import MediaLimits
from vesalius.model.entities import Provenance
from vesalius.model.errors import (
    CannotUnderstand,
    DataSetMismatch,
    LimitExceeded,
    NoSuchInstance,
    OutOfResources,
    VesaliusError,
)

log = structlog.get_logger()

_ID = re.compile(r"[0-9a-f]{32}")
_CHUNK = 1 << 20
# Reasons of a report that are kept; the rest is counted.
MOST_REASONS = 100
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where uploads wait, and how much of them. Sizes in bytes, times in seconds."""

    folder: Path
    size: int = 64 << 30  # of one upload
    quota: int = 128 << 30  # of all unfinished ones, as announced
    expiry: float = 86400.0  # without news for this long one is forgotten
    media: MediaLimits = field(default_factory=MediaLimits)  # of a ZIP
    count: int = 1000  # uploads known at once
    reserve: int = 256 << 20  # free space that an upload must leave


class UploadState(enum.Enum):
    """How far an upload is."""

    RECEIVING = "receiving"
    RECEIVED = "received"  # whole, not yet imported
    DONE = "done"
    FAILED = "failed"  # whole, and nothing of it could be taken


class Upload(msgspec.Struct, kw_only=True):
    """What is known of one upload; kept as JSON beside its bytes."""

    id: str
    name: str  # as the sender calls it: for the report, never a path
    size: int
    sha256: str = ""  # of the whole, as announced; empty: unknown
    offset: int = 0  # bytes that are durable
    state: UploadState = UploadState.RECEIVING
    address: str = ""
    touched: float = 0.0  # seconds since 1970
    taken: int = 0
    known: int = 0
    conflicts: int = 0
    refused: int = 0
    skipped: int = 0
    reasons: list[tuple[str, str]] = []
    stopped: str = ""  # why the import has to be tried again


class UnknownUpload(NoSuchInstance):
    """There is no upload of this id, or there is none any more."""


class UploadBusy(VesaliusError):
    """Another request writes to this upload, or it is being imported."""


class WrongOffset(DataSetMismatch):
    """A piece does not begin where the last one ended; `offset` is where that is."""

    def __init__(self, offset: int) -> None:
        super().__init__("the piece does not begin where the last one ended", hint=f"go on at byte {offset}")
        self.offset = offset


class DigestDiffers(CannotUnderstand):
    """A piece, or the whole, is not what its sender said it was."""


_decode = msgspec.json.Decoder(Upload).decode


class UploadSpool:
    """The uploads of one folder. Blocks; thread-safe, and safe beside other processes."""

    def __init__(self, settings: SpoolSettings) -> None:
        self._settings = settings
        self._folder = settings.folder

    def create(self, name: str, size: int, *, sha256: str = "", address: str = "") -> Upload:
        """Announce an upload. Raises `LimitExceeded`, `OutOfResources`, `CannotUnderstand`."""
        settings = self._settings
        if not 0 < size <= settings.size:
            raise LimitExceeded(f"an upload has between 1 and {settings.size} bytes")
        if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise CannotUnderstand("the digest is no SHA-256 in hexadecimal")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        with self._lock(self._folder / "lock", wait=True):
            uploads = list(self._all())
            waiting = sum(one.size for one in uploads if one.state in (UploadState.RECEIVING, UploadState.RECEIVED))
            if len(uploads) >= settings.count or waiting + size > settings.quota:
                raise OutOfResources("too many uploads are unfinished", hint="finish or remove one, or wait")
            found = os.statvfs(self._folder)
            if found.f_bavail * found.f_frsize < size + settings.reserve:
                raise OutOfResources("there is not enough room for an upload of this size", hint="free or add space")
            upload = Upload(
                id=secrets.token_hex(16), name=name[:_LONGEST_NAME], size=size, sha256=sha256, address=address
            )
            (self._folder / upload.id).mkdir(mode=0o750)
            (self._folder / upload.id / "data").touch(mode=0o640)
            self._save(upload)
            _sync_folder(self._folder)
        return upload

    def get(self, upload: str) -> Upload:
        """What is known of one. Raises `UnknownUpload`."""
        if not _ID.fullmatch(upload):
            raise UnknownUpload("there is no such upload")
        try:
            return _decode((self._folder / upload / "upload.json").read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            raise UnknownUpload("there is no such upload", hint="announce it anew") from None

    def append(self, upload: str, offset: int) -> Piece:
        """Begin a piece. Raises `UnknownUpload`, `UploadBusy`, `WrongOffset`."""
        self.get(upload)
        held = self._hold(self._folder / upload / "lock")
        try:
            found = self.get(upload)
            if found.state is not UploadState.RECEIVING or offset != found.offset:
                raise WrongOffset(found.offset)
            return Piece(self, found, held)
        except BaseException:
            os.close(held)
            raise

    def take(self, upload: str, ingest: Ingest) -> Upload:
        """Compare and import one that is whole; harmless for any other. Raises `UnknownUpload`, `UploadBusy`."""
        self.get(upload)
        with self._lock(self._folder / upload / "lock"):
            found = self.get(upload)
            if found.state is not UploadState.RECEIVED:
                return found
            data = self._folder / upload / "data"
            if found.sha256 and _sha256(data) != found.sha256:
                found.state, found.refused = UploadState.FAILED, 1
                found.reasons = [(found.name, "the bytes are not those that were announced: their digest differs")]
            else:
                provenance = Provenance(how="upload", address=found.address, association=f"upload-{upload[:12]}")
                options = ImportOptions(media=self._settings.media)
                report = Importer(ingest, provenance=provenance, options=options).run([data])
                self._told(found, report, str(data))
            if found.state is not UploadState.RECEIVED:
                with contextlib.suppress(OSError):
                    data.unlink()
            self._save(found)
            log.info("upload-taken", upload=upload, state=found.state.value, taken=found.taken, refused=found.refused)
            return found

    def remove(self, upload: str) -> None:
        """Forget one and its bytes. Raises `UnknownUpload`, `UploadBusy`."""
        self.get(upload)
        with self._lock(self._folder / upload / "lock"):
            shutil.rmtree(self._folder / upload, ignore_errors=True)

    def known(self) -> list[Upload]:
        """All of them, the newest news first."""
        return sorted(self._all(), key=lambda upload: -upload.touched)

    def whole(self) -> list[str]:
        """Uploads that are received and not imported: after a crash, somebody has to."""
        return [upload.id for upload in self._all() if upload.state is UploadState.RECEIVED]

    def expire(self, now: float) -> int:
        """Remove what had no news for too long; `now` in seconds since 1970. How many."""
        removed = 0
        for upload in list(self._all()):
            if upload.touched + self._settings.expiry < now:
                with contextlib.suppress(VesaliusError):
                    self.remove(upload.id)
                    removed += 1
        for folder in self._unreadable():
            with contextlib.suppress(OSError):
                if folder.stat().st_mtime + self._settings.expiry < now:
                    shutil.rmtree(folder, ignore_errors=True)
        return removed

    # -- inside ------------------------------------------------------------------------------------

    def data_path(self, upload: Upload) -> Path:
        """Where the bytes lie."""
        return self._folder / upload.id / "data"

    def _told(self, upload: Upload, report: ImportReport, path: str) -> None:
        upload.taken, upload.known, upload.conflicts = report.taken, report.known, report.conflicts
        upload.refused, upload.skipped = len(report.refused), len(report.skipped)
        named = (*report.refused, *report.skipped)
        upload.reasons = [(upload.name + name.removeprefix(path), reason) for name, reason in named[:MOST_REASONS]]
        upload.stopped = report.stopped
        if report.stopped:
            return  # no room: to be tried again
        upload.state = UploadState.DONE if report.taken or report.known or report.conflicts else UploadState.FAILED

    def _all(self) -> Iterator[Upload]:
        try:
            names = sorted(os.listdir(self._folder))  # noqa: PTH208  names are enough
        except OSError:
            return
        for name in names:
            if _ID.fullmatch(name):
                with contextlib.suppress(UnknownUpload):
                    yield self.get(name)

    def _unreadable(self) -> Iterator[Path]:
        """Folders of uploads that nothing is known of: a crash came while they were announced."""
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(self._folder)):  # noqa: PTH208
                if _ID.fullmatch(name):
                    try:
                        self.get(name)
                    except UnknownUpload:
                        yield self._folder / name

    def save(self, upload: Upload) -> None:
        """Write down what is known, durably."""
        self._save(upload)

    def _save(self, upload: Upload) -> None:
        upload.touched = time.time()
        folder = self._folder / upload.id
        temporary = folder / "upload.new"
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(upload))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / "upload.json")
        _sync_folder(folder)

    @staticmethod
    def _hold(path: Path, *, wait: bool = False) -> int:
        try:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError:
            raise UnknownUpload("there is no such upload") from None
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            os.close(held)
            raise UploadBusy(
                "another request writes to this upload, or it is being imported", hint="ask for its state, then go on"
            ) from None
        return held

    @contextlib.contextmanager
    def _lock(self, path: Path, *, wait: bool = False) -> Iterator[None]:
        held = self._hold(path, wait=wait)
        try:
            yield
        finally:
            os.close(held)


class Piece:
    """One piece on its way in. Ends with `commit` or `abort`; one caller at a time."""

    def __init__(self, spool: UploadSpool, upload: Upload, held: int) -> None:
        self.upload = upload
        self._spool = spool
        self._held = held
        self._at = upload.offset
        self._digest = hashlib.sha256()
        self._fd = os.open(spool.data_path(upload), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        # What an earlier piece left behind the durable end is not counted on.
        os.ftruncate(self._fd, self._at)

    def write(self, data: bytes) -> None:
        """The next bytes; only to the page cache. Raises `LimitExceeded`, `OutOfResources`."""
        if self._at + len(data) > self.upload.size:
            raise LimitExceeded("more bytes come than were announced")
        try:
            view = memoryview(data)
            while view:
                done = os.pwrite(self._fd, view, self._at)
                self._at += done
                view = view[done:]
        except OSError as error:
            raise OutOfResources(f"the spool cannot take more: {error.strerror}", hint="free space") from error
        self._digest.update(data)

    def commit(self, sha256: bytes | None = None) -> Upload:
        """Count the piece: sync it and write down its end. Blocks. Raises `DigestDiffers`, `OutOfResources`."""
        try:
            if sha256 is not None and self._digest.digest() != sha256:
                raise DigestDiffers("the piece does not have the digest it came with", hint="send it again")
            try:
                os.fdatasync(self._fd)
                self.upload.offset = self._at
                if self._at == self.upload.size:
                    self.upload.state = UploadState.RECEIVED
                self._spool.save(self.upload)
            except OSError as error:
                raise OutOfResources(f"the spool cannot be synced: {error.strerror}") from error
            return self.upload
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go; what was not committed does not count. Harmless when ended already."""
        for fd in (self._fd, self._held):
            if fd >= 0:
                os.close(fd)
        self._fd = self._held = -1


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
