"""The real files as data sets: transfer syntax and bytes, by the smallest reader possible and none of the product's."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.data import real_files, shared_data

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
DEFLATED_LE = "1.2.840.10008.1.2.1.99"
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


@dataclass(frozen=True)
class Item:
    """A data set of the corpus."""

    name: str  # path below the shared data
    transfer_syntax: str
    dataset: bytes
    sop_class: str  # as the data set itself says; empty if it does not
    sop_instance: str
    study: str


def split_file(file: bytes) -> tuple[dict[int, bytes], bytes]:
    """File meta elements (there may be none, and no preamble either) and the data set."""
    position = 132 if file[128:132] == b"DICM" else 0
    meta: dict[int, bytes] = {}
    while file[position : position + 2] == b"\x02\x00":
        number, vr, length = struct.unpack_from("<H2sH", file, position + 2)
        start = position + 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", file, position + 8)
            start += 4
        meta[0x00020000 | number] = file[start : start + length]
        position = start + length
    return meta, file[position:]


def guess_syntax(dataset: bytes) -> str:
    """Of the native three, for files without file meta information."""
    if dataset[4:6].isalpha() and dataset[4:6].isupper():
        return EXPLICIT_LE if dataset[0] else EXPLICIT_BE
    return IMPLICIT_LE


def uid_in(dataset: bytes, transfer_syntax: str, tag: int) -> str:
    """The value of a UID of the top level in front of any sequence; empty if it is not there."""
    if transfer_syntax == DEFLATED_LE:
        dataset = zlib.decompressobj(-15).decompress(dataset)
    big = transfer_syntax == EXPLICIT_BE
    order = ">" if big else "<"
    at = 0
    while at + 8 <= len(dataset):
        group, number = struct.unpack_from(order + "HH", dataset, at)
        found = group << 16 | number
        if found > tag:
            return ""
        start = at + 8
        if transfer_syntax == IMPLICIT_LE:
            (length,) = struct.unpack_from("<I", dataset, at + 4)
        elif dataset[at + 4 : at + 6] in _LONG:
            (length,) = struct.unpack_from(order + "I", dataset, at + 8)
            start += 4
        else:
            (length,) = struct.unpack_from(order + "H", dataset, at + 6)
        if found == tag:
            return dataset[start : start + length].decode("latin-1").strip("\0 ")
        at = _end_of_undefined(dataset, start, order) if length == 0xFFFFFFFF else start + length
    return ""


def _end_of_undefined(dataset: bytes, start: int, order: str) -> int:
    """Behind the sequence delimitation of a sequence of undefined length: good enough for what precedes the UIDs."""
    end = dataset.find(struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0), start)
    return len(dataset) if end < 0 else end + 8


def item_of(name: str, file: bytes) -> Item:
    """A file of the corpus."""
    meta, dataset = split_file(file)
    syntax = meta.get(0x00020010, b"").decode("latin-1").strip("\0 ") or guess_syntax(dataset)
    try:
        sop_class, sop_instance = (uid_in(dataset, syntax, tag) for tag in (0x00080016, 0x00080018))
        study = uid_in(dataset, syntax, 0x0020000D)
    except (struct.error, zlib.error):
        sop_class = sop_instance = study = ""
    return Item(name, syntax, dataset, sop_class, sop_instance, study)


def items() -> Iterator[Item]:
    """Every data set of the corpus, those in archives included, in the order of their names."""
    folder = shared_data()
    if folder is None:
        return
    for real in real_files():
        raw = real.path.read_bytes()
        yield item_of(_name(real.path, folder), lzma.decompress(raw) if real.path.suffix == ".xz" else raw)
    for path in sorted(folder.rglob("*.tar.xz")):
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(path.read_bytes()))) as archive:
            for member in archive.getmembers():
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:
                    yield item_of(f"{_name(path, folder)}!{member.name}", stream.read())


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def with_other_instance(item: Item, number: int) -> Item:
    """The same data set under another SOP Instance UID of the same length: the other bytes stay where they are.

    For files of one instance in several encodings, all of which are to be current in one archive.
    """
    old = item.sop_instance.encode()
    if item.transfer_syntax == DEFLATED_LE:
        raise ValueError("a deflated data set cannot be changed in place")
    at = item.dataset.find(old)
    digits = f"{number:03d}".encode()
    new = old[: -len(digits)] + digits
    if b"." in old[-len(digits) :] or new == old:
        new = old[:-2] + f"{number + 10:02d}".encode()[-2:]
    dataset = item.dataset[:at] + new + item.dataset[at + len(old) :]
    return replace(item, dataset=dataset, sop_instance=new.decode())
