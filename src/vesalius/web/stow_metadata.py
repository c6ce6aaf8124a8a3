"""STOW-RS of metadata and bulk data (PS3.18 10.5.2, 8.6.1.2): instances that come in pieces and are put together here.

Theory. The metadata come first and are small: DICOM JSON, or the Native DICOM Model in XML, one or more instances.
Values that they name by a BulkDataURI follow as parts of their own, each under its Content-Location, in any order
and size, so they wait in an unnamed file that dies with the request. Then each instance is encoded (Explicit VR
Little Endian, text in UTF-8; `model/dicom_json_read`), its bulk data read back into their places on the way into
`archive.ingest`. An address that no part has is a failure: nothing is ever fetched from anywhere (T11, H12).

Pixel Data that come as `image/jpeg`, `video/mp4` and the like stay compressed: each part becomes a fragment of
encapsulated Pixel Data, one part a frame where several have one address, under the transfer syntax that the part
names, or its media type's default (PS3.18 table 8.7.3-2).

All metadata are read before anything is stored: what breaks their grammar is 400 and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import unquote

from vesalius.archive.part10 import SOP_CLASS, SOP_INSTANCE
from vesalius.model import dicom_json_read, dicom_xml_read
from vesalius.model.dicom_json_read import ENCAPSULATED, Attributes, BulkReference, Segment
from vesalius.model.encodings import PIXEL_TAGS
from vesalius.model.entities import Claim, Provenance
from vesalius.model.errors import CannotUnderstand, LimitExceeded, VesaliusError
from vesalius.standard import transfer_syntaxes as ts
from vesalius.web.body import CLOSE, Body
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import DICOM_JSON, DICOM_XML, JSON, OCTETS, parse_content_type
from vesalius.web.stow_parts import MOST_UNDER_WAY, Storing, check_claim
from vesalius.web.stow_results import Outcome
from vesalius.wire.multipart import MultipartError, MultipartLimitError, MultipartParser, PartBegins, PartData

_CHUNK = 1 << 20
_IN_MEMORY = 8 << 20  # bulk data up to here never see the disk
_XML = "application/xml"
_AVAILABLE_TRANSFER_SYNTAX = "00083002"
_META_TRANSFER_SYNTAX = "00020010"
_ITEM = struct.Struct("<HHI")
_LARGEST_FRAGMENT = 0xFFFFFFFE

# PS3.18 table 8.7.3-2: what a compressed media type means where no transfer syntax is named.
DEFAULT_SYNTAX: Mapping[str, str] = {
    "image/jpeg": ts.JPEG_LOSSLESS_SV1,
    "image/jls": ts.JPEG_LS_LOSSLESS,
    "image/jp2": ts.JPEG_2000_LOSSLESS,
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": ts.HTJ2K_LOSSLESS,
    "image/jxl": ts.JPEG_XL_LOSSLESS,
    "image/dicom-rle": ts.RLE_LOSSLESS,
    "image/x-dicom-rle": ts.RLE_LOSSLESS,
    "video/mpeg2": "1.2.840.10008.1.2.4.100",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}


class MissingBulkData(CannotUnderstand):
    """A BulkDataURI that no part of the request has."""


@dataclass(frozen=True, slots=True)
class _Bulk:
    """One part of bulk data: where it waits, and in which transfer syntax it is."""

    offset: int
    length: int
    syntax: str


@dataclass(slots=True)
class _Received:
    """The whole request, taken apart."""

    spool: IO[bytes]
    metadata: list[bytes] = field(default_factory=list)
    bulk: dict[str, list[_Bulk]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Planned:
    """One instance, ready to be written, or why it cannot be."""

    claim: Claim
    segments: tuple[Segment, ...] = ()
    error: VesaliusError | None = None


async def store_metadata(
    ctx: WebContext, body: Body, parser: MultipartParser, kind: str, provenance: Provenance, study: str
) -> list[Outcome]:
    """Everything after the Content-Type: `kind` is `application/dicom+json` or `application/dicom+xml`."""
    folder = ctx.view.uploads.folder if ctx.view.uploads is not None else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    storing = Storing(provenance, ctx.ingest)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder) if folder is not None else None) as spool:
        received = _Received(spool)
        await _receive(body, parser, kind, received, ctx.view.body_bytes)
        for planned in await ctx.call(_plan, received, kind):
            await _store(ctx, received, planned, storing, provenance, study)
        return await storing.done()


# -- taking the request apart ---------------------------------------------------------------------


async def _receive(body: Body, parser: MultipartParser, kind: str, received: _Received, most: int) -> None:
    """Read the body to its end. Raises `Problem`."""
    part = _Part(received, kind, most)
    try:
        while data := await body.read():
            for event in parser.feed(data):
                if isinstance(event, PartData):
                    part.write(event.data)
                elif isinstance(event, PartBegins):
                    part.begin(event.headers)
                else:
                    part.end()
        parser.finish()
    except MultipartError as error:
        raise Problem(413 if isinstance(error, MultipartLimitError) else 400, str(error), headers=CLOSE) from None
    except OSError as error:
        raise Problem(503, f"bulk data cannot wait here: {error.strerror}", headers=CLOSE) from None


class _Part:
    """The part that is being read, and where it goes."""

    def __init__(self, received: _Received, kind: str, most: int) -> None:
        self._received = received
        self._kinds = (kind, JSON if kind == DICOM_JSON else _XML)
        self._most = most
        self._metadata: list[bytes] | None = None
        self._size = 0  # of all metadata
        self._location = ""
        self._syntax = ""
        self._begin = 0

    def begin(self, headers: Mapping[str, str]) -> None:
        media = parse_content_type(headers.get("content-type", self._kinds[0] if not self._received.metadata else ""))
        location = headers.get("content-location", "")
        if media.essence in self._kinds and not location:
            self._metadata = []
            return
        if not self._received.metadata:
            raise Problem(415, "the first part must be metadata of the type that was announced", headers=CLOSE)
        if media.essence != OCTETS and media.essence not in DEFAULT_SYNTAX:
            raise Problem(415, "a part is of a media type that is no bulk data of DICOM", headers=CLOSE)
        if not location:
            raise Problem(400, "a part with bulk data has no Content-Location", headers=CLOSE)
        self._metadata = None
        self._location = location
        self._syntax = media.transfer_syntax or DEFAULT_SYNTAX.get(media.essence, "")
        self._begin = self._received.spool.tell()

    def write(self, data: bytes | memoryview) -> None:
        if self._metadata is None:
            self._received.spool.write(data)
            return
        self._size += len(data)
        if self._size > self._most:
            raise Problem(413, f"the metadata are larger than the {self._most} bytes taken here", headers=CLOSE)
        self._metadata.append(bytes(data))

    def end(self) -> None:
        if self._metadata is not None:
            self._received.metadata.append(b"".join(self._metadata))
            return
        end = self._received.spool.tell()
        bulk = _Bulk(self._begin, end - self._begin, self._syntax)
        self._received.bulk.setdefault(_address(self._location), []).append(bulk)


def _address(uri: str) -> str:
    """A Content-Location or BulkDataURI in the one form in which they are compared."""
    return unquote(uri.strip())


# -- planning -------------------------------------------------------------------------------------


def _plan(received: _Received, kind: str) -> list[_Planned]:
    """Every instance, encoded but for its bulk data. Raises `Problem` (400): then nothing is stored."""
    try:
        datasets: list[Attributes] = []
        for text in received.metadata:
            if kind == DICOM_XML:
                datasets.append(dicom_xml_read.parse(text))
            else:
                datasets += dicom_json_read.parse(text)
        return [_plan_one(attributes, received) for attributes in datasets]
    except LimitExceeded as error:
        raise Problem(413, error.message, error.hint) from None
    except CannotUnderstand as error:
        raise Problem(400, error.message, error.hint) from None


def _plan_one(attributes: Attributes, received: _Received) -> _Planned:
    syntax = _text(attributes, _AVAILABLE_TRANSFER_SYNTAX) or _text(attributes, _META_TRANSFER_SYNTAX)
    kept = {key: value for key, value in attributes.items() if key.upper() != _AVAILABLE_TRANSFER_SYNTAX}
    plan = _Resolver(received.bulk, syntax)
    claim = Claim(_text(kept, f"{SOP_CLASS:08X}"), _text(kept, f"{SOP_INSTANCE:08X}"), ts.EXPLICIT_LE)
    try:
        segments = tuple(dicom_json_read.encode(kept, plan.length))
    except MissingBulkData as error:
        return _Planned(claim, error=error)
    return _Planned(Claim(claim.sop_class, claim.sop_instance, plan.syntax), segments)


def _text(attributes: Attributes, key: str) -> str:
    element = attributes.get(key)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str) else ""


class _Resolver:
    """Says how long each bulk value is, and learns on the way which transfer syntax the instance has."""

    def __init__(self, bulk: Mapping[str, list[_Bulk]], announced: str) -> None:
        self._bulk = bulk
        self._announced = announced
        self.syntax = ts.EXPLICIT_LE

    def length(self, uri: str, tag: int, _vr: str) -> int:
        parts = self._bulk.get(_address(uri))
        if parts is None:
            raise MissingBulkData("the metadata name bulk data that no part of the request holds", offending=(tag,))
        syntax = parts[0].syntax
        if not syntax and tag in PIXEL_TAGS and ts.lookup(self._announced).encapsulated and self._announced:
            syntax = self._announced
        if not syntax or not ts.lookup(syntax).encapsulated:
            if syntax not in ("", ts.EXPLICIT_LE, ts.IMPLICIT_LE):
                raise CannotUnderstand("bulk data without compression must be little endian", offending=(tag,))
            size = sum(part.length for part in parts)
            return size + (size & 1)
        if tag not in PIXEL_TAGS or any(part.length > _LARGEST_FRAGMENT for part in parts):
            raise CannotUnderstand("only Pixel Data of less than 4 GiB a frame can be compressed", offending=(tag,))
        self.syntax = syntax
        return ENCAPSULATED


# -- putting together -----------------------------------------------------------------------------


async def _store(
    ctx: WebContext, received: _Received, planned: _Planned, storing: Storing, provenance: Provenance, study: str
) -> None:
    claim = planned.claim
    try:
        if planned.error is not None:
            raise planned.error
        check_claim(claim)
        reception = ctx.ingest.receive(claim, provenance, study=study)
    except VesaliusError as error:
        storing.fail(error, claim)
        return
    try:
        for segment in planned.segments:
            pieces = _bulk_pieces(received, segment) if isinstance(segment, BulkReference) else (segment,)
            for piece in pieces:
                reception.write(piece)
                if len(piece) >= _CHUNK:
                    await asyncio.sleep(0)  # others have a turn
    except BaseException:
        reception.abort()
        raise
    storing.add(claim, reception.finish())
    if storing.full:
        await storing.settle(MOST_UNDER_WAY // 2)


def _bulk_pieces(received: _Received, reference: BulkReference) -> Iterator[bytes]:
    parts = received.bulk[_address(reference.uri)]
    if reference.length == ENCAPSULATED:
        yield _ITEM.pack(0xFFFE, 0xE000, 0)  # the Basic Offset Table may be empty (PS3.5 A.4)
        for part in parts:
            yield _ITEM.pack(0xFFFE, 0xE000, part.length + (part.length & 1))
            yield from _read(received.spool, part)
            if part.length & 1:
                yield b"\0"
        yield _ITEM.pack(0xFFFE, 0xE0DD, 0)
        return
    size = 0
    for part in parts:
        size += part.length
        yield from _read(received.spool, part)
    if size & 1:
        yield b"\0"


def _read(spool: IO[bytes], part: _Bulk) -> Iterator[bytes]:
    at, end = part.offset, part.offset + part.length
    while at < end:
        spool.seek(at)
        data = spool.read(min(_CHUNK, end - at))
        if not data:
            raise OSError("the spool ended too early")
        yield data
        at += len(data)
