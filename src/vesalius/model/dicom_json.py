"""DICOM JSON (PS3.18 annex F) from encoded data sets, without a data set ever being built.

Theory. Metadata of a series are asked for whole and at once, and its instances differ in a few of some hundred
elements. `JsonWriter` walks the encoded bytes as the header walker does and looks every element up, tag,
length and value together, in a memory of fragments that it has written before: most of an instance is a slice, a
dictionary hit and an append. What is not there is formatted by `json_values` and remembered.

What a reader may fetch apart is named, not held (F.2.6): Pixel Data always, binary values of more than `BULK_BYTES`,
arrays of numbers and text when they are very long. The address is `bulk_root` + `model/bulk_paths`. Group lengths
are left out (F.2.2), Specific Character Set says UTF-8, which the text is. A tag that occurs twice
keeps its last value. Structure that cannot be read raises `CannotUnderstand`.

A writer is given the bytes in pieces: it stops before the first element that is not all there and says where, so
that a header of any size passes through a bounded buffer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import cast

from vesalius.model.bulk_paths import bulk_path
from vesalius.model.datasets import charsets_of
from vesalius.model.dicom_json_entries import BINARY, BULK_BYTES, REMEMBERED, UNKNOWN_SQ, Entry, entry_of, tag_of_key
from vesalius.model.element_values import decode_value
from vesalius.model.encodings import (
    ITEM,
    ITEM_END,
    PIXEL_REPRESENTATION,
    PIXEL_TAGS,
    SEQUENCE_END,
    UNDEFINED,
    US_OR_SS,
    Mode,
    implicit_vr,
    item_mode,
    mode_of,
)
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand
from vesalius.model.json_values import FORMATTERS, from_strings, quote
from vesalius.standard.dictionary import describe, vr_of
from vesalius.standard.transfer_syntaxes import lookup

DEPTH = 64

# The memory of fragments: values longer than this are seldom the same, and a hostile series must not fill it.
_REMEMBERED_BYTES = 2048

_CHARSET = 0x00080005
_UTF_8 = b'"00080005":{"vr":"CS","Value":["ISO_IR 192"]}'

_SHORT_HEAD = {True: struct.Struct("<6sH"), False: struct.Struct(">6sH")}
_IMPLICIT = struct.Struct("<4sI")
_ITEM_HEAD = {True: struct.Struct("<HHI"), False: struct.Struct(">HHI")}
_LENGTH = {True: struct.Struct("<I"), False: struct.Struct(">I")}


class _Short(Exception):
    """The element that was begun is not all there."""


class JsonWriter:
    """Writes data sets of one transfer syntax. Not thread-safe; keep it while the data sets are alike."""

    def __init__(self, transfer_syntax: str) -> None:
        syntax = lookup(transfer_syntax)
        self._mode = mode_of(syntax.explicit, syntax.little_endian)
        self._entries: dict[Mode, dict[bytes, Entry]] = {mode: {} for mode in Mode}
        self._memories: dict[tuple[Mode, tuple[str, ...]], dict[bytes, bytes]] = {}
        self._remembered = 0
        self._root = ""
        self._bulks = 0  # how many addresses were written
        self._charsets: tuple[str, ...] = ()
        self._signed = False
        self._parts: list[bytes] = []
        self._last = -1
        self._ordered = True

    def begin(self, bulk_root: str) -> None:
        """A new data set, whose bulk data is found under `bulk_root` (".../instances/<uid>/bulkdata")."""
        self._root = bulk_root
        self._charsets, self._signed = (), False
        self._parts, self._last, self._ordered = [], -1, True

    def feed(self, data: bytes, *, last: bool = True) -> int:
        """Write the elements in `data`, which begins with one; gives how many bytes of it are done with.

        With `last` all of it must be whole. Pixel Data ends it: the value is not looked at, and what follows it
        is fed apart. Raises `CannotUnderstand`.
        """
        parts, pos = self._level(data, 0, len(data), self._mode, self._charsets, DEPTH, False, (), not last)
        self._parts += parts
        return pos

    def finish(self) -> bytes:
        """The JSON object."""
        parts = self._parts
        if not self._ordered:
            parts = [part for _, part in sorted({part[:10]: part for part in parts}.items())]
        self._parts = []
        return b"{" + b",".join(parts) + b"}"

    # -- the walk

    def _memory(self, mode: Mode, charsets: tuple[str, ...]) -> dict[bytes, bytes]:
        if self._remembered > REMEMBERED or len(self._memories) > 64:
            self._memories, self._remembered = {}, 0
        return self._memories.setdefault((mode, charsets), {})

    def _level(
        self,
        data: bytes,
        pos: int,
        end: int,
        mode: Mode,
        charsets: tuple[str, ...],
        depth: int,
        delimited: bool,
        path: tuple[int, ...],
        partial: bool = False,
    ) -> tuple[list[bytes], int]:
        """The fragments of the elements up to `end`, or to the item delimiter if `delimited`, and what follows."""
        little = mode is not Mode.EXPLICIT_BE
        implicit = mode is Mode.IMPLICIT_LE or mode is Mode.UN_LE
        unpack = (_IMPLICIT if implicit else _SHORT_HEAD[little]).unpack_from
        entries = self._entries[mode]
        memory = self._memory(mode, charsets)
        parts: list[bytes] = []
        ordered, last = True, -1
        if not path:
            last = self._last
        try:
            while pos < end:
                if pos + 8 > end:
                    raise _Short
                key, length = unpack(data, pos)
                entry = entries.get(key)
                if entry is None:
                    tag = tag_of_key(key, little)
                    if tag == ITEM_END and delimited:
                        return self._in_order(parts, ordered), pos + 8
                    entry = entry_of(mode, key, tag)
                    if len(entries) < REMEMBERED:
                        entries[key] = entry
                tag, vr, prefix, head, most, form = entry
                start = pos + head
                if head == 12:
                    if start > end:
                        raise _Short
                    length = _LENGTH[little].unpack_from(data, pos + 8)[0]
                if tag <= last:
                    ordered = False
                last = tag
                if form is not None and length <= most and tag != _CHARSET:
                    stop = start + length
                    if stop > end:
                        raise _Short
                    chunk = data[pos:stop]
                    part = memory.get(chunk)
                    if part is None:
                        if vr == "US" and implicit and tag in US_OR_SS and self._signed:
                            parts.append(prefix[:-3] + b'SS"' + FORMATTERS["SS"](data[start:stop], True, ()))
                            pos = stop
                            continue
                        part = prefix + form(data[start:stop], little, charsets)
                        if len(chunk) <= _REMEMBERED_BYTES and self._remembered <= REMEMBERED:
                            memory[chunk] = part
                            self._remembered += 1
                        if tag == PIXEL_REPRESENTATION:
                            self._signed = data[start:stop] == b"\x01\0" and implicit
                    elif tag == PIXEL_REPRESENTATION:
                        self._signed = data[start:stop] == b"\x01\0" and implicit
                    parts.append(part)
                    pos = stop
                    continue
                if tag & 0xFFFF == 0:  # a group length
                    pos = start + length
                    if pos > end:
                        raise _Short
                    continue
                if tag == _CHARSET:
                    stop = start + length
                    if stop > end:
                        raise _Short
                    charsets = charsets_of(decode_value("CS", data[start:stop]))
                    if not path:
                        self._charsets = charsets
                    memory = self._memory(mode, charsets)
                    parts.append(_UTF_8)
                    pos = stop
                    continue
                if not path and tag in PIXEL_TAGS:
                    parts.append(prefix + (self._bulk((tag,)) if length else b"}"))
                    pos = start
                    break
                part, pos = self._special(data, start, end, entry, length, mode, charsets, depth, path, memory, pos)
                parts.append(part)
            else:
                if delimited:
                    raise _Short
        except _Short:
            if not partial:
                raise CannotUnderstand("the data set ends within an element") from None
        if not path:
            self._last, self._ordered = last, self._ordered and ordered
            return parts, pos
        return self._in_order(parts, ordered), pos

    @staticmethod
    def _in_order(parts: list[bytes], ordered: bool) -> list[bytes]:
        return parts if ordered else [part for _, part in sorted({part[:10]: part for part in parts}.items())]

    def _special(
        self,
        data: bytes,
        start: int,
        end: int,
        entry: Entry,
        length: int,
        mode: Mode,
        charsets: tuple[str, ...],
        depth: int,
        path: tuple[int, ...],
        memory: dict[bytes, bytes],
        begin: int,
    ) -> tuple[bytes, int]:
        """An element that is a sequence, or bulk, or of undefined length: its fragment and what follows it."""
        tag, vr, prefix = entry.tag, entry.vr, entry.prefix
        delimited = length == UNDEFINED
        if vr == "SQ" or vr == UNKNOWN_SQ or (delimited and vr == "UN"):
            stop = end if delimited else start + length
            if stop > end:
                raise _Short
            small = not delimited and length <= _REMEMBERED_BYTES
            if small and (known := memory.get(data[begin:stop])) is not None:
                return known, stop
            bulks = self._bulks
            inner = mode if vr == "SQ" else Mode.UN_LE
            try:
                items, after = self._items(data, start, stop, inner, charsets, depth, delimited, (*path, tag))
            except (CannotUnderstand, _Short):
                if delimited or vr == "SQ":
                    raise
                return self._unknown(data[start:stop], (*path, tag)), stop
            part = prefix[:-3] + b'SQ"' + (b',"Value":[' + b",".join(items) + b"]}" if items else b"}")
            if small and self._bulks == bulks and self._remembered <= REMEMBERED:
                memory[data[begin:stop]] = part
                self._remembered += 1
            return part, after
        if delimited:
            if vr not in BINARY:
                raise CannotUnderstand(f"undefined length of {describe(tag)}", offending=(tag,))
            return prefix + self._bulk((*path, tag)), _after_fragments(data, start, end, mode, tag)
        stop = start + length
        if stop > end:
            raise _Short
        return prefix + self._bulk((*path, tag)), stop

    def _items(
        self,
        data: bytes,
        pos: int,
        end: int,
        mode: Mode,
        charsets: tuple[str, ...],
        depth: int,
        delimited: bool,
        path: tuple[int, ...],
    ) -> tuple[list[bytes], int]:
        if depth <= 0:
            raise CannotUnderstand("sequences are nested too deep", offending=path[:1])
        items: list[bytes] = []
        unpack = _ITEM_HEAD[mode is not Mode.EXPLICIT_BE].unpack_from
        while pos < end:
            if pos + 8 > end:
                raise _Short
            group, element, length = unpack(data, pos)
            found = group << 16 | element
            pos += 8
            if found == SEQUENCE_END and delimited:
                return items, pos
            if found != ITEM:
                raise CannotUnderstand(
                    f"{describe(path[-1])} holds no item where one should stand", offending=path[-1:]
                )
            stop = end if length == UNDEFINED else pos + length
            if stop > end:
                raise _Short
            inner = item_mode(mode, data[pos : pos + 6]) if stop - pos >= 6 else mode
            steps = (*path, len(items) + 1)
            signed = self._signed
            parts, pos = self._level(data, pos, stop, inner, charsets, depth - 1, length == UNDEFINED, steps)
            self._signed = signed
            items.append(b"{" + b",".join(parts) + b"}")
        if delimited:
            raise _Short
        return items, pos

    def _unknown(self, raw: bytes, steps: tuple[int, ...]) -> bytes:
        """A value in UN that the dictionary calls a sequence and that is none."""
        known = self._bulk(steps) if len(raw) > BULK_BYTES else FORMATTERS["UN"](raw, True, ())
        return b'"%08X":{"vr":"UN"' % steps[-1] + known

    def _bulk(self, steps: tuple[int, ...]) -> bytes:
        self._bulks += 1
        return b',"BulkDataURI":' + quote(f"{self._root}/{bulk_path(steps)}") + b"}"


def _after_fragments(data: bytes, pos: int, end: int, mode: Mode, tag: int) -> int:
    """Where encapsulated pixel data inside a sequence (an icon) ends."""
    unpack = _ITEM_HEAD[mode is not Mode.EXPLICIT_BE].unpack_from
    while True:
        if pos + 8 > end:
            raise _Short
        group, element, length = unpack(data, pos)
        pos += 8
        found = group << 16 | element
        if found == SEQUENCE_END:
            return pos
        if found != ITEM or length == UNDEFINED:
            raise CannotUnderstand(f"{describe(tag)} holds no fragments", offending=(tag,))
        pos += length


def from_dataset(data: bytes, transfer_syntax: str, bulk_root: str = "") -> bytes:
    """A whole data set in memory as one JSON object. Raises `CannotUnderstand`."""
    from vesalius.model.datasets import inflate
    from vesalius.model.elements import read_header

    if lookup(transfer_syntax).deflated:
        data, transfer_syntax = inflate(data), "1.2.840.10008.1.2.1"
    pixels = read_header(data, transfer_syntax).pixels
    writer = JsonWriter(transfer_syntax)
    writer.begin(bulk_root)
    if pixels is None:
        writer.feed(data)
    else:
        writer.feed(data[: pixels.offset])
        after = pixels.offset + pixels.length + (8 if pixels.encapsulated else 0)
        writer.feed(data[after:])
    return writer.finish()


def from_values(values: Values) -> bytes:
    """A small data set, decoded already (an answer to a search), as one JSON object."""
    return b"{" + b",".join([_element(tag, values[tag]) for tag in sorted(values)]) + b"}"


def _element(tag: int, value: tuple[str, ...] | tuple[Values, ...]) -> bytes:
    vr = single_vr(tag)
    prefix = b'"%08X":{"vr":"%s"' % (tag, vr.encode())
    if vr == "SQ":
        items = [from_values(item) for item in cast("Sequence[Values]", value)]
        return prefix + (b',"Value":[' + b",".join(items) + b"]}" if items else b"}")
    return prefix + from_strings(vr, cast("Sequence[str]", value))


def single_vr(tag: int) -> str:
    """The one VR to write a tag with, where no data set says it."""
    vr = vr_of(tag)
    return implicit_vr(tag) if vr is None or " or " in vr or vr == "NONE" else vr
