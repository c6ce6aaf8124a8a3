"""Where the images of a series come from: what `volumes.py` reads, whatever keeps them.

Theory. A volume needs two things of every instance: what its data set says before the pixels, and the cells of its
frames. Both are told by `archive/frames.py`, for packs as for plain files: a file is a place that can be read at an
offset, too, once the walker has said where its pixels lie. So there is one source, `StoredSource`, over instances
wherever they are; a remote archive is fetched into files first. Headers are parsed once; the quick form (`header`) is
what geometry reads, the pydicom `dataset` is made only where somebody asks for it.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from vesalius.archive.frames import Frames, FrameSet
from vesalius.archive.part10 import open_part10
from vesalius.model.elements import Header, HeaderLimits, HeaderReader, read_header
from vesalius.model.entities import Member, StoredInstance
from vesalius.model.errors import DamagedInstance, NoSuchInstance, VesaliusError
from vesalius.ports.blobs import BlobStore
from vesalius.ports.pixels import Transcoder
from vesalius.standard.sop_classes import MEDIA_STORAGE_DIRECTORY
from vesalius.standard.transfer_syntaxes import lookup

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STUDY, SERIES, PATIENT_ID = 0x0020000D, 0x0020000E, 0x00100020

# The functional groups of ten thousand frames are tens of megabytes; the headers of Siemens a hundred kilobytes.
LIMITS = HeaderLimits(kept_bytes=512 << 20, value_bytes=4 << 20, sequence_bytes=256 << 20)


class SliceHeader:
    """What one instance says before its pixels. Cheap until it is looked into."""

    __slots__ = (
        "_dataset",
        "_encoded",
        "_header",
        "digest",
        "floating",
        "sop_class",
        "sop_instance",
        "transfer_syntax",
    )

    def __init__(
        self,
        encoded: bytes,
        transfer_syntax: str,
        sop_class: str,
        sop_instance: str,
        digest: str,
        *,
        floating: int = 0,
    ) -> None:
        self._encoded = encoded
        self._header: Header | None = None
        self._dataset: Dataset | None = None
        self.transfer_syntax = transfer_syntax  # of the header; never a deflated one
        self.sop_class = sop_class
        self.sop_instance = sop_instance
        self.digest = digest  # of the whole data set, sha256
        self.floating = floating  # bits of a cell of Float or Double Float Pixel Data; 0: integers

    @property
    def header(self) -> Header:
        """The elements as the walker of the archive reads them. Raises `CannotUnderstand`, `LimitExceeded`."""
        if self._header is None:
            self._header = read_header(self._encoded, self.transfer_syntax, LIMITS)
        return self._header

    @property
    def dataset(self) -> Dataset:
        """The same as a pydicom data set, without pixels."""
        if self._dataset is None:
            from pydicom.filereader import read_dataset

            syntax = lookup(self.transfer_syntax)
            self._dataset = read_dataset(BytesIO(self._encoded), not syntax.explicit, syntax.little_endian)
        return self._dataset


class SeriesSource(Protocol):
    """The images of one series."""

    @property
    def study(self) -> str:
        """Study Instance UID."""
        ...

    @property
    def series(self) -> str:
        """Series Instance UID."""
        ...

    @property
    def digest(self) -> str:
        """Names the content: two sources with one digest hold the same bytes."""
        ...

    def headers(self) -> Sequence[SliceHeader]:
        """Of every instance with pixels, in any order. Blocks. Raises `DamagedInstance`."""
        ...

    def cells(self, header: SliceHeader, frame: int) -> bytes:
        """Frame `frame` (from 0) as native cells, little endian, decoded where need be. Blocks; thread-safe.

        Raises `CannotTranscode`, `DamagedInstance`, `NoSuchInstance`.
        """
        ...

    def compressed(self, header: SliceHeader) -> bool:
        """Whether the cells of this instance have to be decoded."""
        ...


class StoredSource:
    """A series of instances whose bytes can be read in place: those of an archive, or files."""

    def __init__(self, instances: Sequence[StoredInstance], frames: Frames) -> None:
        """Raises `NoSuchInstance` where there are none."""
        if not instances:
            raise NoSuchInstance("the series is not known, or has no instances")
        self._instances = {instance.sop_instance: instance for instance in instances}
        self._frames = frames
        self._open: dict[str, FrameSet] = {}
        self._headers: tuple[SliceHeader, ...] | None = None
        self._lock = threading.Lock()
        self.study = instances[0].study
        self.series = instances[0].series
        self.digest = digest_of(instances)

    def headers(self) -> Sequence[SliceHeader]:
        """See `SeriesSource`."""
        if self._headers is None:
            self._headers = tuple(self._header(each) for each in self._instances.values() if each.pixels is not None)
        return self._headers

    def _header(self, instance: StoredInstance) -> SliceHeader:
        frames = self._frame_set(instance)
        first = frames.source(0)
        return SliceHeader(
            first.header(),
            frames.transfer_syntax,
            instance.sop_class,
            instance.sop_instance,
            instance.member.sha256,
            floating=first.floating,
        )

    def _frame_set(self, instance: StoredInstance) -> FrameSet:
        with self._lock:
            found = self._open.get(instance.sop_instance)
        if found is None:
            found = self._frames.open(instance)
            with self._lock:
                self._open[instance.sop_instance] = found
        return found

    def cells(self, header: SliceHeader, frame: int) -> bytes:
        """See `SeriesSource`."""
        return self._frame_set(self._instances[header.sop_instance]).native(frame)

    def compressed(self, header: SliceHeader) -> bool:
        """See `SeriesSource`."""
        return self._frame_set(self._instances[header.sop_instance]).encapsulated


def digest_of(instances: Iterable[StoredInstance]) -> str:
    """One name for the bytes of all instances, in whatever order they come."""
    parts = sorted(f"{each.sop_instance} {each.member.sha256}" for each in instances)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


# -- plain files


class _FileBytes:
    """Plain files read as `archive/frames.py` reads packs: a member's pack is the path of its file."""

    def read(self, member: Member, offset: int, length: int) -> bytes:
        with Path(member.pack).open("rb") as stream:
            stream.seek(member.dataset_offset + offset)
            data = stream.read(length)
        if len(data) < length:
            raise DamagedInstance("a file is shorter than it was when it was first read")
        return data

    def read_verified(self, member: Member) -> bytes:
        return self.read(member, 0, member.dataset_length)

    def read_at_once(self, _member: Member, _offset: int, _length: int) -> bytes | None:
        return None


def stored_file(path: Path) -> StoredInstance:
    """One DICOM file as an instance that can be read in place. Raises `CannotUnderstand`, `OSError`."""
    with path.open("rb") as stream:
        size = path.stat().st_size
        opened = open_part10(stream, raw_data_sets=False)
        begin = stream.tell() - len(opened.body)
        syntax = opened.claim.transfer_syntax
        reader = HeaderReader(syntax, LIMITS)
        if lookup(syntax).deflated:
            stream.seek(begin)
            header = reader.read(stream.read())
        else:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as whole, memoryview(whole) as view:
                part = view[begin:]
                try:
                    header = _walked(reader, part)
                finally:
                    part.release()
    found = path.stat()
    digest = hashlib.sha256(f"{path.resolve()} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()
    return StoredInstance(
        patient_id=header.text(PATIENT_ID) or "",
        study=header.text(STUDY) or "",
        series=header.text(SERIES) or "",
        sop_class=opened.claim.sop_class,
        sop_instance=opened.claim.sop_instance,
        transfer_syntax=syntax,
        member=Member(str(path), 0, 0, size, begin, size - begin, digest),
        pixels=header.pixels,
    )


def _walked(reader: HeaderReader, view: memoryview) -> Header:
    """The header by the walker, which passes over native pixels without touching them."""
    for at in range(0, len(view), 1 << 20):
        reader.feed(view[at : at + (1 << 20)])
    return reader.finish()


def files_of(paths: Iterable[Path]) -> Iterator[StoredInstance]:
    """Every DICOM file with a series under files and folders; what is none is passed over."""
    for path in paths:
        members = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for member in members:
            with suppress(VesaliusError, OSError, ValueError):
                found = stored_file(member)
                if found.sop_class != MEDIA_STORAGE_DIRECTORY and found.series:
                    yield found


def file_sources(paths: Iterable[Path], transcoder: Transcoder) -> dict[str, StoredSource]:
    """Series Instance UID -> its source, of all DICOM files under files and folders."""
    series: dict[str, dict[str, StoredInstance]] = {}
    for instance in files_of(paths):
        series.setdefault(instance.series, {}).setdefault(instance.sop_instance, instance)
    frames = Frames(cast("BlobStore", _FileBytes()), transcoder)
    return {uid: StoredSource(list(found.values()), frames) for uid, found in series.items()}
