"""Encoded elements by hand, right or wrong as a test needs them."""

from __future__ import annotations

import lzma
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def explicit(tag: int, vr: str, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """One element in explicit VR; `length` lies about the value."""
    size = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in LONG or len(vr) != 2 or vr == "ZZ":
        return head + b"\0\0" + struct.pack(f"{order}I", size) + value
    return head + struct.pack(f"{order}H", size) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    """One element in implicit VR little endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """An item; of undefined length it gets its delimiter."""
    head = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(value) if length is None else length)
    return head + value + (delimiter(ITEM_END, order) if length == UNDEFINED else b"")


def delimiter(tag: int = SEQUENCE_END, order: str = "<") -> bytes:
    """A delimiter with its zero length."""
    return struct.pack(f"{order}HHI", tag >> 16, tag & 0xFFFF, 0)


def undefined(tag: int, vr: str, *items: bytes, order: str = "<") -> bytes:
    """A sequence of undefined length with its delimiter, explicit."""
    return explicit(tag, vr, b"".join(items), UNDEFINED, order) + delimiter(SEQUENCE_END, order)


def pixels(*fragments: bytes, table: bytes = b"", vr: str = "OB", end: bool = True) -> bytes:
    """Encapsulated Pixel Data."""
    body = item(table) + b"".join(item(fragment) for fragment in fragments)
    return explicit(0x7FE00010, vr, body, UNDEFINED) + (delimiter() if end else b"")


def split_part10(data: bytes) -> tuple[str, bytes]:
    """(transfer syntax, data set) of a file with file meta information, preamble or not; ("", data) without."""
    pos = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    while data[pos : pos + 2] == b"\x02\0":
        vr = data[pos + 4 : pos + 6]
        if vr in (b"OB", b"UN", b"UT"):
            length, head = int.from_bytes(data[pos + 8 : pos + 12], "little"), 12
        elif vr.isalpha():
            length, head = int.from_bytes(data[pos + 6 : pos + 8], "little"), 8
        else:
            length, head = int.from_bytes(data[pos + 4 : pos + 8], "little"), 8
        if data[pos : pos + 4] == b"\x02\0\x10\0":
            syntax = data[pos + head : pos + head + length].strip(b"\0 ").decode()
        pos += head + length
    return syntax, data[pos:]


def dicom_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every DICOM file below a folder, those inside .tar.xz and .xz included."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(folder))
        if name.endswith(".tar.xz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    stream = archive.extractfile(member) if member.isfile() else None
                    if stream is not None:
                        yield from _if_dicom(f"{name}!{member.name}", stream.read())
        elif name.endswith(".xz"):
            yield from _if_dicom(name, lzma.decompress(path.read_bytes()))
        else:
            yield from _if_dicom(name, path.read_bytes())


def _if_dicom(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[128:132] == b"DICM" or data[:2] in (b"\x02\0", b"\x08\0"):
        yield name, data
