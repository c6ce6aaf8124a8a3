"""What `vesalius send` sends: instances of the own archive, and files, each read piece by piece on its way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from vesalius.model.entities import Member, StoredInstance
from vesalius.model.errors import VesaliusError

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.archive.media import Source
    from vesalius.archive.retrieve import Payload

PIECE = 1 << 20  # of a file that is read while it is sent


class Item(Protocol):
    """An instance to send, wherever it is."""

    @property
    def instance(self) -> StoredInstance:
        """What it is; where it lies matters only to `payload`."""
        ...

    def payload(self, accepted: Sequence[str]) -> Payload:
        """Its data set in a transfer syntax that the peer takes."""
        ...


@dataclass(frozen=True, slots=True)
class ArchiveItem:
    """An instance of the own archive."""

    archive: Archive
    instance: StoredInstance

    def payload(self, accepted: Sequence[str]) -> Payload:
        """See `Item`."""
        return self.archive.retrieve.payload(self.instance, accepted)


@dataclass(frozen=True, slots=True)
class FileItem:
    """A DICOM file on disk or in a ZIP archive."""

    archive: Archive
    instance: StoredInstance
    source: Source

    def payload(self, accepted: Sequence[str]) -> Payload:
        """See `Item`. Read piece by piece on its way out, unless its pixels must be turned."""
        from vesalius.archive.retrieve import Payload
        from vesalius.model.errors import CannotTranscode

        stored = self.instance.transfer_syntax
        wanted = self.archive.transcoder.choose(stored, accepted)
        if wanted is None:
            raise CannotTranscode(f"the file is in {stored}, which cannot be turned into any that the peer accepts")
        length, chunks = self._read()
        if wanted == stored:
            return Payload(stored, length, chunks)
        if length > self.archive.settings.limits.transcode_size:
            raise CannotTranscode("the file is too large to be turned into a transfer syntax that the peer accepts")
        data = self.archive.transcoder.transcode(b"".join(chunks), stored, wanted)
        return Payload(wanted, len(data), iter((data,)))

    def _read(self) -> tuple[int, Iterator[bytes]]:
        """How long the data set is (of a ZIP entry: as it claims), and its bytes in pieces."""
        from vesalius.archive.part10 import open_part10

        stream = self.source.open()
        try:
            counted = _Counted(stream)
            body = open_part10(counted).body
        except BaseException:
            stream.close()
            raise

        def pieces() -> Iterator[bytes]:
            with stream:
                yield body
                while piece := stream.read(PIECE):
                    yield piece

        return self.source.size - (counted.count - len(body)), pieces()


class _Counted:
    """A stream that knows how much was read of it: the entry of a ZIP archive does not."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        data = self._stream.read(size)
        self.count += len(data)
        return data


def file_items(archive: Archive, paths: Iterable[Path]) -> tuple[list[FileItem], list[tuple[str, str]]]:
    """Every DICOM file under the paths, and (name, reason) of what is none."""
    from vesalius.app.limits import media_limits
    from vesalius.archive.media import Refused, sources
    from vesalius.archive.part10 import NotDicom, open_part10
    from vesalius.standard.sop_classes import MEDIA_STORAGE_DIRECTORY

    items: list[FileItem] = []
    refused: list[tuple[str, str]] = []
    nowhere = Member("", 0, 0, 0, 0, 0, "")
    for source in sources(list(paths), media_limits(archive.settings)):
        if isinstance(source, Refused):
            refused.append((source.name, source.reason))
            continue
        try:
            with source.open() as stream:
                claim = open_part10(stream).claim
        except NotDicom as error:
            if source.named:
                refused.append((source.name, error.message))
            continue
        except VesaliusError as error:
            refused.append((source.name, error.message))
            continue
        if claim.sop_class != MEDIA_STORAGE_DIRECTORY:
            instance = StoredInstance("", "", "", claim.sop_class, claim.sop_instance, claim.transfer_syntax, nowhere)
            items.append(FileItem(archive, instance, source))
    return items, refused
