"""Export to a folder that is a medium: plain DICOM files and a DICOMDIR (PS3.10 section 8, PS3.3 annex F).

Theory. Data sets leave byte for byte as they were received, but for what a repair says (`archive/coerce.py`), each
after its digest has been compared, under a preamble of zeros and file meta information of ours. File names follow ISO
9660 level 1 (eight characters, upper case), as media require; they are numbers and never text from a data set. The
DICOMDIR is written last, so an export that was broken off has none and is no medium. Transfer syntaxes stay as they
are: it is an export, not a profile of PS3.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from vesalius.archive.coerce import Coerce
from vesalius.archive.dicomdir import Entry, directory, entry
from vesalius.archive.retrieve import CHUNK, WHOLE_READ
from vesalius.model.elements import HeaderReader
from vesalius.model.entities import Claim, Level, StoredInstance
from vesalius.model.errors import DamagedInstance, NoSuchInstance, OutOfResources, SettingsError, VesaliusError
from vesalius.model.file_meta import file_prefix
from vesalius.model.identifiers import new_uid
from vesalius.ports.blobs import BlobStore
from vesalius.ports.index import Index

log = structlog.get_logger()

FILE_SET_ID = "VESALIUS"
# Files of one folder; more would slow down media and their readers.
MOST_IN_FOLDER = 1000


@dataclass(slots=True)
class ExportReport:
    """What was written. `damaged`: SOP Instance UID and reason of what could not be."""

    files: int = 0
    bytes: int = 0  # of data sets
    studies: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)


Progress = Callable[[ExportReport], None]


class Exporter:
    """Writes studies as media. Stateless; blocks."""

    def __init__(self, index: Index, blobs: BlobStore, coerce: Coerce | None = None) -> None:
        self._index = index
        self._blobs = blobs
        self._coerce = coerce or Coerce(None, blobs)

    def export(self, studies: Sequence[str], folder: Path, progress: Progress | None = None) -> ExportReport:
        """Every current instance of the studies into `folder`, which is made or must be empty.

        A damaged instance is left out and reported. Raises `NoSuchInstance` when nothing is kept of the studies,
        `SettingsError` for an unfit folder, `OutOfResources` when it is full.
        """
        _prepare(folder)
        report = ExportReport()
        entries: list[Entry] = []
        names = Names()
        try:
            for study in studies:
                before = report.files + len(report.damaged)
                for instance in self._index.select(Level.STUDY, studies=(study,)):
                    self._one(instance, folder, names, entries, report)
                    if progress is not None:
                        progress(report)
                if report.files + len(report.damaged) == before:
                    raise NoSuchInstance(f"no study {study} is kept")
                report.studies += 1
            (folder / "DICOMDIR").write_bytes(directory(entries, FILE_SET_ID, new_uid()))
        except OSError as error:
            raise OutOfResources(f"cannot write to the export folder: {error.strerror}") from error
        log.info("export-ended", studies=report.studies, files=report.files, damaged=len(report.damaged))
        return report

    def _one(
        self, instance: StoredInstance, folder: Path, names: Names, entries: list[Entry], report: ExportReport
    ) -> None:
        file_id = names.name(instance)
        claim = Claim(instance.sop_class, instance.sop_instance, instance.transfer_syntax)
        path = folder.joinpath(*file_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        reader = HeaderReader(instance.transfer_syntax)
        try:
            with path.open("xb") as file:
                file.write(file_prefix(claim))
                for chunk in self._chunks(instance):
                    file.write(chunk)
                    reader.feed(chunk)
            entries.append(entry(file_id, claim, reader.finish()))
        except DamagedInstance as error:
            path.unlink(missing_ok=True)
            report.damaged.append((instance.sop_instance, error.message))
            return
        except VesaliusError as error:
            # Kept and whole, but not readable enough for a directory record: the file stays, without a record.
            log.warning("export-without-record", sop_instance=instance.sop_instance, error=error.message)
        report.files += 1
        report.bytes += instance.member.dataset_length

    def _chunks(self, instance: StoredInstance) -> Iterator[bytes]:
        member = instance.member
        if member.dataset_length > WHOLE_READ:
            coerced = self._coerce.streamed(instance)
            yield from coerced[1] if coerced is not None else self._blobs.stream_verified(member, CHUNK)
        else:
            yield self._coerce.whole(instance, self._blobs.read_verified(member), instance.transfer_syntax)


class Names:
    """File IDs: a folder per study, below it one per series (or several), files by number."""

    def __init__(self) -> None:
        self._studies: dict[str, int] = {}
        self._series: dict[tuple[str, str], int] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._folders = 0

    def name(self, instance: StoredInstance) -> tuple[str, str, str]:
        """The file ID of the next file; call it once for each."""
        study = self._studies.setdefault(instance.study, len(self._studies))
        key = instance.study, instance.series
        count = self._counts.get(key, 0)
        if count % MOST_IN_FOLDER == 0:
            self._series[key] = self._folders
            self._folders += 1
        self._counts[key] = count + 1
        return f"ST{study:06d}", f"SE{self._series[key]:06d}", f"IM{count:06d}"


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SettingsError(f"the folder {folder} is not empty", hint="export into a new or an empty folder")
    except OSError as error:
        raise SettingsError(f"cannot use the folder {folder}: {error.strerror}") from error
