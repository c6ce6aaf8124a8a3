"""The form of a pack: a POSIX tar (pax) archive whose members are DICOM files.

Theory. One member is, in order:

    512   ustar header of type "x": a constant
    1536  pax records: one extended attribute, `user.vesalius`, holding the label as JSON, then a comment
          that carries a CRC-32 and fills the rest with spaces
    512   ustar header of the file `<Study>/<Series>/<SOP Instance>.dcm`
    n     the DICOM file (PS3.10 7.1): 128 zero bytes, "DICM", file meta information, the data set as received
    0-511 zero bytes up to the next multiple of 512

The first three always take `HEADER` bytes, so that they can be written last, over their reserved place, when the
length and the digest of a streamed data set are known. Until then the place holds zeros, which to every reader of
tar is the end of the archive: what is half stored cannot be seen.

The label is a `SCHILY.xattr.` record because GNU tar, bsdtar and Python know that keyword and stay silent (GNU tar
warns of every record with a keyword of its own); with `tar --xattrs` it even comes out as an extended attribute
of the extracted file. It names its own pack and offset: bytes that merely look like a member, inside a data set or
left over from somewhere, are never taken for one, since nobody outside can know a pack's name.

Checks: the two ustar checksums, the CRC-32 over the label, preamble and file meta information, and the SHA-256
over the data set. So every byte of a member but its padding is covered.
"""

from __future__ import annotations

import calendar
import functools
import re
import time
import zlib
from dataclasses import dataclass

import msgspec

from vesalius.model.entities import Member, Provenance
from vesalius.model.errors import LimitExceeded
from vesalius.ports.blobs import FoundMember, MemberLabel

BLOCK = 512
RECORDS = 1536
HEADER = BLOCK + RECORDS + BLOCK
# Two zero blocks end a tar archive.
END_OF_ARCHIVE = 2 * BLOCK
# Writes end at a page, filled with zeros, so that the kernel never has to read one first.
PAGE = 4096
# Enough to parse a header with its label, preamble and file meta information in one read.
HEADER_READ = 4096
# 128 zero bytes and "DICM" (PS3.10 7.1).
PREFIX_LEAST = 132

_XATTR = b" SCHILY.xattr.user.vesalius="
# A ustar size field holds 11 octal digits.
_USTAR_LARGEST = 0o77777777777
_MAGIC = b"ustar\x0000"
_TEXT_LIMIT = 48


class Label(msgspec.Struct, frozen=True):
    """The JSON in the pax header: all that the index cannot read from the data set itself."""

    version: int
    pack: str
    header_offset: int
    file_length: int
    dataset_length: int
    sha256: str
    sop_class: str
    sop_instance: str
    study: str
    series: str
    transfer_syntax: str
    how: str
    calling_aet: str = ""
    called_aet: str = ""
    address: str = ""
    association: str = ""
    received_at: str = ""
    stored_ns: int = 0
    xxh3: str = ""


class _AnyLabel(Label, frozen=True):
    """As it is read: an instance's says nothing of its kind, for there are millions of them."""

    kind: str = "instance"


class _TombstoneLabel(Label, frozen=True):
    kind: str = "tombstone"


_encode_json = msgspec.json.Encoder().encode
_decode_label = msgspec.json.Decoder(_AnyLabel).decode


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer knows when the last byte of a data set is in place."""

    pack: str
    header_offset: int
    prefix: bytes  # preamble and file meta information
    dataset_length: int
    sha256: str
    stored_ns: int
    xxh3: str = ""

    @property
    def member(self) -> Member:
        """Where the bytes lie, as the index keeps it."""
        offset = self.header_offset + HEADER
        return Member(
            pack=self.pack,
            header_offset=self.header_offset,
            offset=offset,
            length=len(self.prefix) + self.dataset_length,
            dataset_offset=offset + len(self.prefix),
            dataset_length=self.dataset_length,
            sha256=self.sha256,
            xxh3=self.xxh3,
        )


def padded(length: int) -> int:
    """`length` rounded up to whole tar blocks."""
    return (length + 511) & ~511


# -- writing a header ---------------------------------------------------------------------------


def _ustar(name: bytes, prefix: bytes, size: int, mtime: int, kind: bytes) -> bytes:
    """One ustar block (POSIX.1-2017, pax, "ustar Interchange Format"). All of it is ASCII."""
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            b"0000644\x000000000\x000000000\x00",
            b"%011o\0%011o\0" % (size, mtime),
            b"        ",  # the checksum counts as spaces
            kind,
            bytes(100),
            _MAGIC,
            bytes(64),
            b"0000000\x000000000\x00",
            prefix.ljust(155, b"\0"),
            bytes(12),
        )
    )
    # Adler-32's low half is one more than the sum of the bytes, which for 512 bytes of ASCII cannot wrap.
    return b"%b%06o\0 %b" % (block[:148], (zlib.adler32(block) & 0xFFFF) - 1, block[156:])


_PAX_BLOCK = _ustar(b"PaxHeaders/vesalius", b"", RECORDS, 0, b"x")


def _record(body: bytes) -> bytes:
    """A pax record: its own length in decimal, counted in, then `body` (which begins with a space)."""
    length = len(body) + 1
    digits = len(str(length + len(str(length))))
    return b"%d%b\n" % (length + digits, body)


_ODD = re.compile(r"[^0-9A-Za-z.-]")


def _component(uid: str) -> bytes:
    """A UID as part of a path; whatever is no UID is made harmless (its true form stands in the label)."""
    if len(uid) <= 64 and uid.isascii() and uid.replace(".", "").isdigit() and uid[0] != ".":
        return uid.encode()
    return (_ODD.sub("_", uid[:64]).lstrip(".") or "_").encode()


@functools.lru_cache(maxsize=16)
def _seconds(second: str) -> int:
    """Seconds since 1970 of an ISO time; remembered, for `strptime` is slow and a second has many instances."""
    try:
        return max(0, calendar.timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0


def _clean(text: str) -> str:
    """Text that JSON can carry: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _label_json(written: Written, label: MemberLabel, limit: int | None, kind: type[Label] = Label) -> bytes:
    source = label.provenance
    texts = (source.how, source.calling_aet, source.called_aet, source.address, source.association)
    if limit is not None:
        texts = tuple(_clean(text)[:limit] for text in texts)  # type: ignore[assignment]
    return _encode_json(
        kind(
            1,
            written.pack,
            written.header_offset,
            len(written.prefix) + written.dataset_length,
            written.dataset_length,
            written.sha256,
            label.sop_class,
            label.sop_instance,
            label.study,
            label.series,
            label.transfer_syntax,
            *texts,
            source.received_at,
            written.stored_ns,
            written.xxh3,
        )
    )


def encode_header(written: Written, label: MemberLabel) -> bytes:
    """The `HEADER` bytes before a DICOM file. Raises `LimitExceeded` for UIDs of absurd length."""
    size = len(written.prefix) + written.dataset_length
    # Pax puts a size that ustar cannot hold into a record, which then rules.
    large = _record(b" size=%d" % size) if size > _USTAR_LARGEST else b""
    room = RECORDS - len(large) - 64  # the least a comment takes, with its CRC
    try:
        record = _record(_XATTR + _label_json(written, label, None))
    except UnicodeEncodeError:
        record = b" " * RECORDS
    if len(record) > room:
        # Only free text can be that long: who sent it, and from where. UIDs have 64 characters at most.
        record = _record(_XATTR + _label_json(written, label, _TEXT_LIMIT))
        if len(record) > room:
            raise LimitExceeded("the identifiers of the instance are too long for a pack's header")
    name = _component(label.sop_instance) + b".dcm"
    path = _component(label.study) + b"/" + _component(label.series)
    block = _ustar(name, path, 0 if large else size, _seconds(label.provenance.received_at[:19]), b"0")
    return _header(large + record, written.prefix, block)


def _header(records: bytes, prefix: bytes, block: bytes) -> bytes:
    crc = zlib.crc32(prefix, zlib.crc32(records))
    left = RECORDS - len(records)
    comment = b"%d comment=crc32 %08x" % (left, crc)
    return b"".join((_PAX_BLOCK, records, comment.ljust(left - 1), b"\n", block))


def encode_tombstone_header(written: Written, label: MemberLabel) -> bytes:
    """The `HEADER` bytes before a tombstone, which has no preamble and no file meta information."""
    record = _record(_XATTR + _label_json(written, label, _TEXT_LIMIT, _TombstoneLabel))
    if len(record) > RECORDS - 64:
        raise LimitExceeded("the identifiers of the deletion are too long for a pack's header")
    name = b"%b-%d.json" % (_component(label.provenance.association), written.header_offset)
    mtime = _seconds(label.provenance.received_at[:19])
    return _header(record, written.prefix, _ustar(name, b"vesalius-tombstones", written.dataset_length, mtime, b"0"))


_FILLER = b"vesalius-damaged/"


def fillers(start: int, end: int) -> list[tuple[int, bytes]]:
    """Blocks (place, bytes) that turn what lies between two members into files that tar steps over.

    A damaged header would hide everything behind it from a reader of tar.
    """
    blocks = []
    while start < end:
        size = min(end - start - BLOCK, _USTAR_LARGEST & -BLOCK)
        blocks.append((start, _ustar(_FILLER + b"%d" % start, b"", size, 0, b"0")))
        start += BLOCK + size
    return blocks


def filler_end(data: bytes, at: int) -> int | None:
    """Where the filler that begins `data` ends; None if it is none."""
    if data[: len(_FILLER)] != _FILLER or data[257:265] != _MAGIC or not _checksum_holds(data[:BLOCK]):
        return None
    return at + BLOCK + int(data[124:135], 8)


# -- reading a header ---------------------------------------------------------------------------


def _checksum_holds(block: bytes) -> bool:
    return block[148:156] == b"%06o\0 " % (sum(block[:148]) + 256 + sum(block[156:]))


def parse_header(data: bytes, pack: str, at: int) -> FoundMember | None:
    """The member whose header begins `data`, `at` bytes from the start of the pack `pack`.

    `data` must reach over the file meta information (`HEADER_READ` bytes do). None for anything that is not
    the whole and right header of a member of this pack in this place.
    """
    if len(data) < HEADER + PREFIX_LEAST or data[:BLOCK] != _PAX_BLOCK:
        return None
    records = data[BLOCK : BLOCK + RECORDS]
    label, comment_at = None, -1
    position = 0
    while position < RECORDS:
        space = records.find(b" ", position, position + 8)
        if space < 0 or not records[position:space].isdigit():
            return None
        end = position + int(records[position:space])
        if end <= space or end > RECORDS or records[end - 1] != 0x0A:
            return None
        if records.startswith(_XATTR, space):
            try:
                label = _decode_label(records[space + len(_XATTR) : end - 1])
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
        elif records.startswith(b" comment=crc32 ", space):
            comment_at = position
            crc = records[space + 15 : space + 23]
        position = end
    if label is None or comment_at < 0 or label.pack != pack or label.header_offset != at:
        return None
    prefix_length = label.file_length - label.dataset_length
    is_instance = label.kind == "instance"
    least = PREFIX_LEAST if is_instance else 0
    if not least <= prefix_length <= len(data) - HEADER or label.dataset_length < 0:
        return None
    checked = zlib.crc32(data[HEADER : HEADER + prefix_length], zlib.crc32(records[:comment_at]))
    if crc != b"%08x" % checked or not _checksum_holds(data[BLOCK + RECORDS : HEADER]):
        return None
    offset = at + HEADER
    return FoundMember(
        Member(
            pack=pack,
            header_offset=at,
            offset=offset,
            length=label.file_length,
            dataset_offset=offset + prefix_length,
            dataset_length=label.dataset_length,
            sha256=label.sha256,
            xxh3=label.xxh3,
        ),
        MemberLabel(
            study=label.study,
            series=label.series,
            sop_instance=label.sop_instance,
            sop_class=label.sop_class,
            transfer_syntax=label.transfer_syntax,
            provenance=Provenance(
                how=label.how,
                calling_aet=label.calling_aet,
                called_aet=label.called_aet,
                address=label.address,
                association=label.association,
                received_at=label.received_at,
            ),
        ),
        label.stored_ns,
        is_instance,
    )
