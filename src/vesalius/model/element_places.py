"""Where one value lies in an encoded data set: by tag and item, without reading what stands in between.

Theory. A walk over the headers of elements: a value of defined length is jumped over, one of undefined length is
walked through. Bytes come from a function, as few as the walk needs, so the data set may be gigabytes in a pack.
Structure that cannot be followed raises `CannotUnderstand`, nesting beyond `DEPTH` too; nothing is trusted to be
inside the data set before it has been compared with its end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vesalius.model.encodings import (
    ITEM,
    ITEM_END,
    LONG,
    PIXEL_TAGS,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Mode,
    implicit_vr,
    item_mode,
)
from vesalius.model.errors import CannotUnderstand
from vesalius.standard.dictionary import describe

DEPTH = 64
WINDOW = 64 << 10  # bytes that are read at once

Read = Callable[[int, int], bytes]

_HEADS = {True: struct.Struct("<HHI"), False: struct.Struct(">HHI")}
_LENGTHS = {True: struct.Struct("<I"), False: struct.Struct(">I")}
_TAGS = {True: struct.Struct("<HH"), False: struct.Struct(">HH")}

# Bytes of one number of a VR, for who has to change their order (PS3.5 7.3).
WORDS = dict.fromkeys(("US", "SS", "OW", "AT"), 2)
WORDS |= dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4)
WORDS |= dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8)


@dataclass(frozen=True, slots=True)
class Place:
    """A value: from `offset` on, `length` bytes; for fragments each of `pieces` (offset, length)."""

    vr: str
    offset: int
    length: int
    little_endian: bool = True
    pieces: tuple[tuple[int, int], ...] = ()

    @property
    def word(self) -> int:
        """Bytes of one number where their order has to be changed; 1: nothing to do."""
        return 1 if self.little_endian else WORDS.get(self.vr, 1)


def find_value(read: Read, length: int, mode: Mode, steps: tuple[int, ...]) -> Place | None:
    """The value at (tag, item, tag, ..., tag), items from 1, in a data set of `length` bytes; None: it is not there.

    `read(offset, length)` gives bytes. Raises `CannotUnderstand`, and what `read` raises.
    """
    return _Walk(read, length).find(0, length, mode, steps, DEPTH)


def top_level(read: Read, length: int, mode: Mode) -> Iterator[tuple[int, str, int, int, int]]:
    """Tag, VR, and where each top-level element begins, its value begins and the next one does; up to the pixels.

    Raises `CannotUnderstand`, and what `read` raises.
    """
    return _Walk(read, length).elements(mode)


class _Walk:
    def __init__(self, read: Read, length: int) -> None:
        self._read = read
        self._length = length
        self._at = 0
        self._window = b""

    def elements(self, mode: Mode) -> Iterator[tuple[int, str, int, int, int]]:
        """The elements of the top level, in their order; the one of the pixels is not looked at."""
        at = 0
        while at < self._length:
            tag, vr, length, value = self._header(at, self._length, mode)
            if tag in PIXEL_TAGS:
                return
            after = self._after(tag, vr, length, value, self._length, mode, DEPTH)
            yield tag, vr, at, value, after
            at = after

    def find(self, at: int, end: int, mode: Mode, steps: tuple[int, ...], depth: int) -> Place | None:
        """The value below elements from `at` on; up to `end`, or to an item delimiter."""
        while at < end:
            tag, vr, length, at = self._header(at, end, mode)
            if tag == ITEM_END:
                return None
            if tag == steps[0]:
                if len(steps) == 1:
                    return self._place(tag, vr, length, at, end, mode)
                return self._into(tag, vr, length, at, end, mode, steps[1:], depth)
            at = self._after(tag, vr, length, at, end, mode, depth)
        return None

    def _into(
        self, tag: int, vr: str, length: int, at: int, end: int, mode: Mode, steps: tuple[int, ...], depth: int
    ) -> Place | None:
        """Item `steps[0]` of the sequence whose value begins at `at`."""
        if vr not in ("SQ", "UN") or depth <= 0:
            return None
        inner = Mode.UN_LE if vr == "UN" else mode
        stop = end if length == UNDEFINED else at + length
        number = 0
        while at < stop:
            found, size, at = self._item(at, stop, inner)
            if found != ITEM:
                return None
            number += 1
            own = self._mode_of_item(at, stop, inner)
            if number == steps[0]:
                return self.find(at, stop if size == UNDEFINED else at + size, own, steps[1:], depth - 1)
            at = self._after_elements(at, stop, own, depth) if size == UNDEFINED else at + size
        return None

    def _place(self, tag: int, vr: str, length: int, at: int, end: int, mode: Mode) -> Place:
        little = mode is not Mode.EXPLICIT_BE
        if length != UNDEFINED:
            return Place(vr, at, length, little)
        if vr in ("SQ", "UN"):
            after = self._after_items(at, end, Mode.UN_LE if vr == "UN" else mode, DEPTH)
            return Place(vr, at, after - 8 - at, little)
        pieces: list[tuple[int, int]] = []
        start = at
        while at < end:
            found, size, at = self._item(at, end, mode)
            if found == SEQUENCE_END:
                # The first item is the Basic Offset Table, no part of the value.
                return Place(vr, start, at - 8 - start, True, tuple(pieces[1:]))
            if found != ITEM or size == UNDEFINED:
                break
            pieces.append((at, size))
            at += size
        raise CannotUnderstand(f"the fragments of {describe(tag)} have no end", offending=(tag,))

    def _after(self, tag: int, vr: str, length: int, at: int, end: int, mode: Mode, depth: int) -> int:
        """What follows the value that begins at `at`."""
        if length != UNDEFINED:
            if at + length > end:
                raise CannotUnderstand(f"{describe(tag)} is longer than its data set", offending=(tag,))
            return at + length
        if vr in ("SQ", "UN"):
            return self._after_items(at, end, Mode.UN_LE if vr == "UN" else mode, depth - 1)
        return self._after_items(at, end, mode, 0)

    def _after_items(self, at: int, end: int, mode: Mode, depth: int) -> int:
        if depth < 0:
            raise CannotUnderstand("sequences are nested too deep")
        while at < end:
            found, size, at = self._item(at, end, mode)
            if found == SEQUENCE_END:
                return at
            if found != ITEM:
                raise CannotUnderstand("something other than an item stands in a sequence", offending=(found,))
            if size == UNDEFINED:
                at = self._after_elements(at, end, self._mode_of_item(at, end, mode), depth)
            else:
                at += size
        raise CannotUnderstand("a sequence has no end")

    def _after_elements(self, at: int, end: int, mode: Mode, depth: int) -> int:
        """What follows the delimiter of an item of undefined length whose elements begin at `at`."""
        while at < end:
            tag, vr, length, at = self._header(at, end, mode)
            if tag == ITEM_END:
                return at
            at = self._after(tag, vr, length, at, end, mode, depth)
        raise CannotUnderstand("an item has no end")

    def _mode_of_item(self, at: int, end: int, mode: Mode) -> Mode:
        return item_mode(mode, self._bytes(at, 6)) if at + 6 <= end else mode

    def _item(self, at: int, end: int, mode: Mode) -> tuple[int, int, int]:
        """Tag and length of an item or delimiter, and what follows."""
        if at + 8 > end:
            raise CannotUnderstand("a sequence ends within an item")
        group, element, length = _HEADS[mode is not Mode.EXPLICIT_BE].unpack(self._bytes(at, 8))
        tag = group << 16 | element
        if tag == ITEM and length != UNDEFINED and at + 8 + length > end:
            raise CannotUnderstand("an item is longer than its sequence")
        return tag, length, at + 8

    def _header(self, at: int, end: int, mode: Mode) -> tuple[int, str, int, int]:
        """Tag, VR, length and place of the value of the element at `at`."""
        if at + 8 > end:
            raise CannotUnderstand("the data set ends within an element")
        little = mode is not Mode.EXPLICIT_BE
        head = self._bytes(at, 8)
        group, element = _TAGS[little].unpack_from(head)
        tag = group << 16 | element
        if group == 0xFFFE or mode is Mode.IMPLICIT_LE or mode is Mode.UN_LE:
            vr = "" if group == 0xFFFE else implicit_vr(tag)
            (length,) = _LENGTHS[little].unpack_from(head, 4)
            # What the dictionary does not know and has no length is a sequence (PS3.5 7.5.1).
            return tag, "SQ" if vr == "UN" and length == UNDEFINED else vr, length, at + 8
        code = head[4:6]
        if code in SHORT:
            return tag, SHORT[code], int.from_bytes(head[6:8], "little" if little else "big"), at + 8
        if at + 12 > end:
            raise CannotUnderstand(f"the data set ends within {describe(tag)}", offending=(tag,))
        if not (code.isalpha() and code.isupper()):
            raise CannotUnderstand(f"{describe(tag)} has no value representation", offending=(tag,))
        (length,) = _LENGTHS[little].unpack(self._bytes(at + 8, 4))
        return tag, LONG.get(code, "UN"), length, at + 12

    def _bytes(self, at: int, count: int) -> bytes:
        start = at - self._at
        if start < 0 or start + count > len(self._window):
            self._at, start = at, 0
            self._window = self._read(at, min(WINDOW, self._length - at))
        found = self._window[start : start + count]
        if len(found) < count:
            raise CannotUnderstand("the data set is shorter than was said")
        return found
