"""Headers of stored instances as DICOM JSON: what WADO-RS metadata and the tags view of a page are made of.

Theory. The index knows where the pixels of each instance begin, so what precedes them is one positioned read of a
pack, and what follows them (rarely anything) a second. `model/dicom_json.JsonWriter` turns the bytes into text as
they are; one writer serves a whole series and remembers what its instances have in common. A header of any size
passes through a bounded buffer. The digest is not compared, since that would read the pixels: `archive/verify` does
it in its own time.

An instance whose nested values cannot be read, though its structure could at receipt, must not hide the others of its
series: it is answered by what the index keeps of it, and logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import structlog

from vesalius.archive.coerce import Coerce
from vesalius.model.datasets import inflate
from vesalius.model.dicom_json import JsonWriter, from_values
from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotUnderstand, DamagedInstance, LimitExceeded
from vesalius.model.repairs import repaired
from vesalius.ports.blobs import BlobStore
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, lookup

log = structlog.get_logger()

FIRST_READ = 1 << 20  # bytes of a header that are read at once
LARGEST_ELEMENT = 256 << 20  # one that has to be looked into and is longer cannot be shown

BulkRoot = Callable[[StoredInstance], str]


class Headers:
    """Reads from packs. Everything blocks; use one for each request, from one thread at a time."""

    def __init__(self, blobs: BlobStore, coerce: Coerce | None = None) -> None:
        self._blobs = blobs
        self._coerce = coerce
        self._writers: dict[str, JsonWriter] = {}

    def json(self, instances: Iterable[StoredInstance], bulk_root: BulkRoot) -> Iterator[bytes]:
        """One DICOM JSON object for each instance. `bulk_root` is where its bulk data are found.

        Raises `DamagedInstance` where no copy of the bytes can be read.
        """
        for instance in instances:
            try:
                yield self._one(instance, bulk_root(instance))
            except (CannotUnderstand, LimitExceeded) as error:
                log.warning("header-unreadable", sop_instance=instance.sop_instance, error=error.message)
                yield minimal(instance)

    def _one(self, instance: StoredInstance, bulk_root: str) -> bytes:
        syntax = lookup(instance.transfer_syntax)
        encoding = EXPLICIT_LE if syntax.deflated else instance.transfer_syntax
        writer = self._writers.get(encoding)
        if writer is None:
            writer = self._writers[encoding] = JsonWriter(encoding)
        changes = self._coerce.changes(instance) if self._coerce is not None else []
        writer.begin(bulk_root)
        if syntax.deflated:
            data = inflate(self._blobs.read_verified(instance.member))
            for start, end in _parts(instance, len(data)):
                part = data[start:end]
                writer.feed(repaired(part, encoding, changes) if changes and start == 0 else part)
            return writer.finish()
        parts = _parts(instance, instance.member.dataset_length)
        if changes:
            start, end = parts.pop(0)
            writer.feed(repaired(self._blobs.read(instance.member, start, end - start), encoding, changes))
        for start, end in parts:
            self._feed(writer, instance, start, end)
        return writer.finish()

    def _feed(self, writer: JsonWriter, instance: StoredInstance, start: int, end: int) -> None:
        size = FIRST_READ
        while start < end:
            wanted = min(size, end - start)
            data = self._blobs.read(instance.member, start, wanted)
            if len(data) < wanted:
                raise DamagedInstance("a pack is shorter than the index says")
            done = writer.feed(data, last=start + wanted == end)
            if done == 0:
                if size >= LARGEST_ELEMENT:
                    raise LimitExceeded("an element is too large to be shown")
                size *= 4
            else:
                start, size = start + done, FIRST_READ


def _parts(instance: StoredInstance, length: int) -> list[tuple[int, int]]:
    """The ranges of a data set without the value of its pixels."""
    pixels = instance.pixels
    if pixels is None:
        return [(0, length)]
    after = pixels.offset + pixels.length + (8 if pixels.encapsulated else 0)
    return [(0, pixels.offset), (after, length)] if after < length else [(0, pixels.offset)]


def minimal(instance: StoredInstance) -> bytes:
    """What the index says of an instance, for one whose header cannot be read."""
    return from_values(
        {
            0x00080005: ("ISO_IR 192",),
            0x00080016: (instance.sop_class,),
            0x00080018: (instance.sop_instance,),
            0x00100020: (instance.patient_id,) if instance.patient_id else (),
            0x0020000D: (instance.study,),
            0x0020000E: (instance.series,),
        }
    )
