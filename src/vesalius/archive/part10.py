"""DICOM files (PS3.10 section 7) from the outside: where the data set begins and what it claims to be.

Theory. A file is a preamble of 128 bytes that may hold anything (an executable, an image of another format), the
letters DICM, the file meta information in Explicit VR Little Endian, and the data set. Of these the archive keeps the
data set alone and writes its own preamble of zeros and its own meta information, so nothing hidden in a preamble
ever comes out again. Files without a preamble but with meta information are read as well. What has neither is a raw
data set: it is read only on demand, for its transfer syntax must be guessed from its first bytes.

The claim is taken from the data set (SOP Class and Instance UID stand near its beginning) and, where they are not
found there, from the meta information: what a file says about itself outside its data set is often stale, and
not what is kept.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Protocol

from vesalius.model.entities import Claim
from vesalius.model.errors import CannotUnderstand
from vesalius.standard.transfer_syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, lookup

PREAMBLE = 128
MAGIC = b"DICM"
HEAD = 64 << 10  # bytes read before anything is decided
LARGEST_META = 1 << 20

MEDIA_STORAGE_SOP_CLASS = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE = 0x00020003
TRANSFER_SYNTAX = 0x00020010
SOP_CLASS = 0x00080016
SOP_INSTANCE = 0x00080018

_META_VRS = (b"UL", b"OB", b"UI")
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})


class Readable(Protocol):
    """As much of a binary file as is needed here."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """The beginning of a file: what it claims, and the first bytes of its data set, already read."""

    claim: Claim
    body: bytes


@dataclass(frozen=True, slots=True)
class Pushed:
    """The same of a file that is pushed: its data set as far as it has come, not copied where one piece was enough."""

    claim: Claim
    body: memoryview


class NotDicom(CannotUnderstand):
    """Neither DICM nor file meta information: no DICOM file, or a raw data set that was not asked for."""


class CutShort(CannotUnderstand):
    """The file meta information does not end within what is there."""


def open_part10(stream: Readable, *, raw_data_sets: bool = False) -> Opened:
    """Read as much as tells what the file is; the rest of the data set is still in `stream`.

    Raises `NotDicom`, `CannotUnderstand` (meta information cut short, without transfer syntax, ...).
    """
    head = read_exactly(stream, HEAD)
    while True:
        try:
            claim, at = _look_at(head, raw_data_sets)
        except CutShort:
            more = read_exactly(stream, HEAD) if len(head) < LARGEST_META else b""
            if not more:
                raise
            head += more
        else:
            return Opened(claim, head[at:])


class PushedFile:
    """A file whose bytes are pushed as they arrive, for bodies that cannot be read from.

    Feed it until it answers; what comes after that is data set and goes elsewhere.
    """

    def __init__(self) -> None:
        self._held = b""
        self._enough = HEAD

    def feed(self, data: bytes | bytearray | memoryview) -> Pushed | None:
        """The next bytes; None: more are needed. Raises as `open_part10`."""
        if self._held or len(data) < self._enough:
            self._held += data
            if len(self._held) < self._enough:
                return None
            data = self._held
        try:
            return self._open(data)
        except CutShort:
            if self._enough >= LARGEST_META:
                raise
            self._held = bytes(data)
            self._enough = len(data) * 2
            return None

    def finish(self) -> Pushed:
        """There are no more bytes. Raises as `open_part10`."""
        return self._open(self._held)

    def _open(self, data: bytes | bytearray | memoryview) -> Pushed:
        view = memoryview(data)
        claim, at = _look_at(bytes(view[: self._enough]), raw_data_sets=False)
        return Pushed(claim, view[at:])


def _look_at(head: bytes, raw_data_sets: bool) -> tuple[Claim, int]:
    """What a file claims that begins so, and where its data set begins. Raises as `open_part10`, and `CutShort`."""
    start = _start_of_meta(head)
    meta: dict[int, str] = {}
    if start is None:
        if not raw_data_sets or len(head) < 8:
            raise NotDicom("not a DICOM file: neither DICM nor file meta information")
        at, transfer_syntax = 0, _guess(head)
    else:
        meta, at, whole = _meta(head, start)
        if not whole:
            raise CutShort("the file meta information is cut short or longer than any real one")
        transfer_syntax = meta.get(TRANSFER_SYNTAX, "")
        if not transfer_syntax:
            if not raw_data_sets:
                raise CannotUnderstand(
                    "the file meta information names no transfer syntax", hint="import it as a raw data set if you must"
                )
            transfer_syntax = _guess(head[at:])
    found = _peek(head, at, transfer_syntax)
    sop_class = found.get(SOP_CLASS) or meta.get(MEDIA_STORAGE_SOP_CLASS, "")
    sop_instance = found.get(SOP_INSTANCE) or meta.get(MEDIA_STORAGE_SOP_INSTANCE, "")
    return Claim(sop_class, sop_instance, transfer_syntax), at


def read_exactly(stream: Readable, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the stream."""
    data = stream.read(size)
    while data and len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data


def _start_of_meta(head: bytes) -> int | None:
    if head[PREAMBLE : PREAMBLE + 4] == MAGIC:
        return PREAMBLE + 4
    if head[:4] == MAGIC:
        return 4
    # No preamble: an element of group 0002 with its VR is hardly anything else.
    return 0 if head[:2] == b"\x02\x00" and head[3:4] == b"\x00" and head[4:6] in _META_VRS else None


def _guess(body: bytes) -> str:
    """The transfer syntax of a raw data set from its first element. Raises `NotDicom`."""
    if len(body) >= 8:
        explicit = body[4:6].isalpha() and body[4:6].isupper()
        if explicit:
            return EXPLICIT_LE if body[1] == 0 else EXPLICIT_BE
        group, _, length = struct.unpack_from("<HHI", body)
        if 0x0004 <= group <= 0x0020 and length <= len(body):
            return IMPLICIT_LE
    raise NotDicom("not a DICOM file, nor a data set that begins in a known way")


def _meta(data: bytes, at: int) -> tuple[dict[int, str], int, bool]:
    """UIDs of the meta information, where it ends, and whether it ends within `data`.

    Its group length is not relied on: it is often wrong or missing.
    """
    found: dict[int, str] = {}
    while True:
        if at + 12 > len(data):
            return found, at, at == len(data)
        group, number = struct.unpack_from("<HH", data, at)
        if group != 2:
            return found, at, True
        vr = data[at + 4 : at + 6]
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", data, at + 8)
            value = at + 12
        else:
            (length,) = struct.unpack_from("<H", data, at + 6)
            value = at + 8
        if value + length > len(data):
            return found, at, False
        if vr == b"UI":
            found[group << 16 | number] = data[value : value + length].decode("ascii", "replace").strip(" \0")
        at = value + length


def _peek(body: bytes, at: int, transfer_syntax: str) -> dict[int, str]:
    """SOP Class and Instance UID near the beginning of a data set, at `at`; nothing where they are not plain to see."""
    syntax = lookup(transfer_syntax)
    if syntax.deflated:
        try:
            body, at = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body[at:], HEAD), 0
        except zlib.error:
            return {}
    order = "<" if syntax.little_endian else ">"
    found: dict[int, str] = {}
    while at + 12 <= len(body):
        group, number = struct.unpack_from(order + "HH", body, at)
        tag = group << 16 | number
        if tag > SOP_INSTANCE:
            break
        if not syntax.explicit:
            (length,) = struct.unpack_from("<I", body, at + 4)
            value = at + 8
        elif body[at + 4 : at + 6] in _LONG:
            (length,) = struct.unpack_from(order + "I", body, at + 8)
            value = at + 12
        else:
            (length,) = struct.unpack_from(order + "H", body, at + 6)
            value = at + 8
        if value + length > len(body):
            break
        if tag in (SOP_CLASS, SOP_INSTANCE):
            found[tag] = body[value : value + length].decode("ascii", "replace").strip(" \0")
        at = value + length
    return found
