"""A study as a ZIP archive that is a DICOM medium: plain files and a DICOMDIR (PS3.10 8, PS3.18 table 8.7.3-2).

Written as it streams: every file after its digest has been compared, uncompressed (pixels hardly shrink, and a
download must not wait for a compressor), sizes behind the data, ZIP64 where need be. The DICOMDIR comes last, made of
the headers that went by. What could not be delivered is named in MISSING.TXT: an archive has no status code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator

from vesalius.archive.dicomdir import Entry, directory, entry
from vesalius.archive.export import FILE_SET_ID, Names
from vesalius.archive.retrieve import Payload
from vesalius.model.elements import HeaderReader
from vesalius.model.entities import Claim, StoredInstance
from vesalius.model.errors import CannotTranscode, DamagedInstance, VesaliusError
from vesalius.model.file_meta import file_prefix
from vesalius.model.identifiers import new_uid

MISSING = "MISSING.TXT"
_DATE = (1980, 1, 1, 0, 0, 0)  # of every file: when something was downloaded is nobody's business


class _Drain:
    """A file that only remembers what was written since it was last emptied."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered elsewhere."""

    def taken(self) -> bytes:
        held, self._held = self._held, []
        return b"".join(held)


def zipped(
    instances: Iterable[StoredInstance],
    payload: Callable[[StoredInstance], Payload],
    left_out: Iterable[tuple[StoredInstance, str]] = (),
) -> Iterator[bytes]:
    """The archive, piece by piece; `left_out`: what is known not to come, and why. Blocks."""
    drain = _Drain()
    entries: list[Entry] = []
    missing = [f"{instance.sop_instance}  {reason}" for instance, reason in left_out]
    names = Names()
    with zipfile.ZipFile(drain, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for instance in instances:
            try:
                sent = payload(instance)
                chunks = iter(sent.chunks)
                first = next(chunks, b"")
            except (CannotTranscode, DamagedInstance) as error:
                missing.append(f"{instance.sop_instance}  {error.message}")
                continue
            file_id = names.name(instance)
            claim = Claim(instance.sop_class, instance.sop_instance, sent.transfer_syntax)
            reader = HeaderReader(sent.transfer_syntax)
            readable = True
            with archive.open(_info("/".join(file_id)), "w", force_zip64=sent.length >= 1 << 31) as file:
                file.write(file_prefix(claim))
                for chunk in _chain(first, chunks):
                    file.write(chunk)
                    readable = readable and _fed(reader, chunk)
                    yield drain.taken()
            try:
                if readable:
                    entries.append(entry(file_id, claim, reader.finish()))
            except VesaliusError:
                continue  # kept and whole, but not readable enough for a record
        if entries:
            archive.writestr(_info("DICOMDIR"), directory(entries, FILE_SET_ID, new_uid()))
        if missing:
            archive.writestr(_info(MISSING), "\r\n".join(["Could not be delivered:", *missing, ""]))
    yield drain.taken()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _fed(reader: HeaderReader, chunk: bytes) -> bool:
    try:
        reader.feed(chunk)
    except VesaliusError:
        return False
    return True


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o640 << 16
    return info
