"""Import from files, folders, ZIP archives and DICOMDIR media, through the same door as every other instance.

Theory. Files are read one after the other and streamed into `Ingest`; several are under way at once, so that one
sync and one transaction serve many (`archive/seal.py`). What became of each stands in the report, by kind; a file that
is refused never stops the others, but an archive without room does, for it would refuse them all.

Resuming. What is durable is remembered in a ledger in the archive's run folder, by path, size and time of change;
a second run leaves it out unread. The ledger is a convenience: where it is lost, the second run finds every
instance known and writes nothing either.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

from vesalius.archive.ingest import Ingest
from vesalius.archive.media import MediaLimits, Refused, Source, sources
from vesalius.archive.part10 import SOP_CLASS, SOP_INSTANCE, NotDicom, Opened, open_part10
from vesalius.model.entities import Provenance, Receipt, Verdict
from vesalius.model.errors import DataSetMismatch, LimitExceeded, OutOfResources, VesaliusError
from vesalius.standard.sop_classes import MEDIA_STORAGE_DIRECTORY

log = structlog.get_logger()

CHUNK = 1 << 20
MOST_UNDER_WAY = 32
MOST_BYTES_UNDER_WAY = 256 << 20
_KEY = 16  # bytes of a digest in the ledger


@dataclass(slots=True)
class ImportReport:
    """What became of every file. Names are as the caller would type them; reasons hold no patient data."""

    taken: int = 0
    known: int = 0
    conflicts: int = 0
    resumed: int = 0  # left out: an earlier run made them durable
    bytes: int = 0  # of data sets, taken and known
    refused: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    stopped: str = ""  # why the run ended before its end, if it did

    @property
    def files(self) -> int:
        """Files looked at so far."""
        return self.taken + self.known + self.conflicts + self.resumed + len(self.refused) + len(self.skipped)


Progress = Callable[[ImportReport, str], None]  # the report so far and the name of the file just settled


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import."""

    raw_data_sets: bool = False  # read data sets without file meta information, guessing their syntax
    again: bool = False  # do not leave out what the ledger names
    media: MediaLimits = field(default_factory=MediaLimits)


class _Ledger:
    """Keys of the files that are durable: an append-only file of digests. Losing it costs time, nothing else."""

    def __init__(self, path: Path | None, *, ignore: bool) -> None:
        self._known: set[bytes] = set()
        self._file: BinaryIO | None = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not ignore:
            data = path.read_bytes()
            self._known = {data[at : at + _KEY] for at in range(0, len(data) - _KEY + 1, _KEY)}
            if len(data) % _KEY:
                path.write_bytes(data[: len(data) // _KEY * _KEY])
        self._file = path.open("ab")

    @staticmethod
    def key(source: Source) -> bytes:
        """Digest of path, size and time of change."""
        path = source.name if "!" in source.name else str(Path(source.name).absolute())
        text = f"{path}\0{source.size}\0{source.mtime_ns}"
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_KEY).digest()

    def knows(self, source: Source) -> bool:
        return self.key(source) in self._known

    def add(self, source: Source) -> None:
        if self._file is not None:
            self._file.write(self.key(source))
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(slots=True)
class _UnderWay:
    source: Source
    future: Future[Receipt]
    length: int


class Importer:
    """One run of import at a time. `ledger` None: nothing is remembered."""

    def __init__(
        self,
        ingest: Ingest,
        *,
        ledger: Path | None = None,
        options: ImportOptions | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        """`provenance`: who brings it and how, where it is not a plain import."""
        self._ingest = ingest
        self._provenance = provenance
        self._ledger_path = ledger
        self._options = options or ImportOptions()

    def run(self, paths: Sequence[Path], progress: Progress | None = None) -> ImportReport:
        """Import everything under the paths. Blocks; nothing is raised for a file, the report tells."""
        report = ImportReport()
        ledger = _Ledger(self._ledger_path, ignore=self._options.again)
        provenance = self._provenance or Provenance(how="import", association=f"import-{uuid.uuid4().hex[:12]}")
        run = _Run(self._ingest, self._options, ledger, report, progress or (lambda _report, _name: None), provenance)
        try:
            for source in sources(paths, self._options.media):
                run.take(source)
                if report.stopped:
                    break
        finally:
            run.settle_all()
            ledger.close()
        log.info(
            "import-ended",
            taken=report.taken,
            known=report.known,
            conflicts=report.conflicts,
            resumed=report.resumed,
            refused=len(report.refused),
            skipped=len(report.skipped),
        )
        return report


class _Run:
    def __init__(
        self,
        ingest: Ingest,
        options: ImportOptions,
        ledger: _Ledger,
        report: ImportReport,
        progress: Progress,
        provenance: Provenance,
    ) -> None:
        self._ingest = ingest
        self._options = options
        self._ledger = ledger
        self._report = report
        self._progress = progress
        self._provenance = provenance
        self._under_way: deque[_UnderWay] = deque()
        self._bytes = 0

    def take(self, source: Source | Refused) -> None:
        """Start one file, and settle those that are done."""
        if isinstance(source, Refused):
            self._refuse(source.name, source.reason)
        elif self._ledger.knows(source):
            self._report.resumed += 1
            self._progress(self._report, source.name)
        else:
            try:
                self._start(source)
            except NotDicom as error:
                if source.named:
                    self._refuse(source.name, error.message)
                else:
                    self._skip(source.name, error.message)
            except VesaliusError as error:
                self._refuse_because(source.name, error)
            except OSError as error:
                self._refuse(source.name, f"cannot be read: {error.strerror or type(error).__name__}")
        while self._under_way and (
            self._under_way[0].future.done()
            or len(self._under_way) >= MOST_UNDER_WAY
            or self._bytes >= MOST_BYTES_UNDER_WAY
        ):
            self._settle()

    def settle_all(self) -> None:
        """Wait for everything that is under way."""
        while self._under_way:
            self._settle()

    def _start(self, source: Source) -> None:
        with source.open() as stream:
            opened = open_part10(stream, raw_data_sets=self._options.raw_data_sets)
            if opened.claim.sop_class == MEDIA_STORAGE_DIRECTORY:
                self._skip(source.name, "a directory of a medium, not an instance")
                return
            missing = [
                tag
                for tag, uid in ((SOP_CLASS, opened.claim.sop_class), (SOP_INSTANCE, opened.claim.sop_instance))
                if not uid
            ]
            if missing:
                raise DataSetMismatch("the data set has no SOP Class or SOP Instance UID", offending=missing)
            self._stream(source, opened, stream)

    def _stream(self, source: Source, opened: Opened, stream: BinaryIO) -> None:
        reception = self._ingest.receive(opened.claim, self._provenance)
        try:
            data = opened.body
            while data and reception.error is None:
                reception.write(data)
                data = stream.read(CHUNK)
        except BaseException:
            reception.abort()
            raise
        self._under_way.append(_UnderWay(source, reception.finish(), reception.length))
        self._bytes += reception.length

    def _settle(self) -> None:
        item = self._under_way.popleft()
        self._bytes -= item.length
        report = self._report
        try:
            receipt = item.future.result()
        except VesaliusError as error:
            self._refuse_because(item.source.name, error)
            return
        if receipt.verdict is Verdict.STORED:
            report.taken += 1
        elif receipt.verdict is Verdict.DUPLICATE:
            report.known += 1
        else:
            report.conflicts += 1
        report.bytes += item.length
        self._ledger.add(item.source)
        self._progress(report, item.source.name)

    def _refuse_because(self, name: str, error: VesaliusError) -> None:
        if isinstance(error, OutOfResources) and not isinstance(error, LimitExceeded):
            self._report.stopped = error.message
        self._refuse(name, error.message)

    def _refuse(self, name: str, reason: str) -> None:
        self._report.refused.append((name, reason))
        self._progress(self._report, name)

    def _skip(self, name: str, reason: str) -> None:
        self._report.skipped.append((name, reason))
        self._progress(self._report, name)
