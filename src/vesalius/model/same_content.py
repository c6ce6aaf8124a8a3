"""Whether two encodings of a data set say the same: the same elements with the same values, written differently.

Theory. Senders that read a file and send it again often do not send the bytes that they read: they write
sequences with other lengths, leave out group lengths and trailing padding, or use another native transfer syntax
(implicit for explicit, little for big endian). Nothing of the content has changed, so the archive may answer that
it has the instance already (service-answers D15). Whether that is so is decided here, pair by pair:

- group lengths (gggg,0000) and Data Set Trailing Padding (FFFC,FFFC) are not content (PS3.5 7.2, 7.9);
- the order of elements is not content, nor whether sequences and items have lengths or delimiters;
- values are equal if their bytes are, those of big endian turned round by the width of their VR, and up to the
  padding that makes a length even;
- two stated VRs must be equal, unless one is UN; an implicit encoding states none.

In doubt the answer is no: two compressed forms, a compressed and a native one, a value that cannot be read. Then both
are kept. Memory is that of the two data sets; the number of elements looked at is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vesalius.model.datasets import inflate
from vesalius.model.encodings import (
    ITEM,
    ITEM_END,
    LONG,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Mode,
    implicit_vr,
    item_mode,
    mode_of,
)
from vesalius.model.errors import CannotUnderstand, LimitExceeded
from vesalius.standard.transfer_syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, lookup

MOST_ELEMENTS = 200_000  # of both data sets together; they take about a second
_DEPTH = 64
# Forms of the same: any other transfer syntax says something of its own about the pixels.
_NATIVE = frozenset({IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED_LE})
_TRAILING_PADDING = 0xFFFCFFFC
_TEXT = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_WIDTHS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4,
           "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}  # fmt: skip

_TAG = {True: struct.Struct("<HH").unpack_from, False: struct.Struct(">HH").unpack_from}
_LONG_LENGTH = {True: struct.Struct("<I").unpack_from, False: struct.Struct(">I").unpack_from}
_SHORT_LENGTH = {True: struct.Struct("<H").unpack_from, False: struct.Struct(">H").unpack_from}


def same_content(one: bytes, one_syntax: str, other: bytes, other_syntax: str, *, largest: int = 64 << 20) -> bool:
    """Whether two data sets hold the same elements with the same values; False where that cannot be said.

    `largest` bounds what a deflated data set may inflate to, bytes. Never raises.
    """
    if one_syntax != other_syntax and not {one_syntax, other_syntax} <= _NATIVE:
        return False
    try:
        budget = _Budget(MOST_ELEMENTS)
        return _same_sets(_read(one, one_syntax, largest, budget), _read(other, other_syntax, largest, budget), budget)
    except (CannotUnderstand, LimitExceeded, struct.error):
        return False


class _Budget:
    """How many more elements may be looked at."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise LimitExceeded("too many elements to compare")


@dataclass(slots=True)
class _Element:
    """One element: its value's place, or its items, or (encapsulated pixels) its fragments."""

    data: bytes
    mode: Mode
    vr: str  # empty where the encoding states none
    start: int
    stop: int
    items: list[dict[int, _Element]] | None = None
    fragments: list[tuple[int, int]] | None = None


def _read(data: bytes, syntax: str, largest: int, budget: _Budget) -> dict[int, _Element]:
    meaning = lookup(syntax)
    if meaning.deflated:
        data = inflate(data, largest)
    elements, _ = _elements(data, 0, len(data), mode_of(meaning.explicit, meaning.little_endian), False, _DEPTH, budget)
    return elements


def _elements(
    data: bytes, pos: int, end: int, mode: Mode, delimited: bool, depth: int, budget: _Budget
) -> tuple[dict[int, _Element], int]:
    little = mode is not Mode.EXPLICIT_BE
    implicit = mode in (Mode.IMPLICIT_LE, Mode.UN_LE)
    found: dict[int, _Element] = {}
    while pos < end:
        budget.spend()
        group, number = _TAG[little](data, pos)
        tag = group << 16 | number
        if tag == ITEM_END and delimited:
            return found, pos + 8
        vr = ""
        if implicit or group == 0xFFFE:
            length = _LONG_LENGTH[little](data, pos + 4)[0]
            pos += 8
        else:
            code = data[pos + 4 : pos + 6]
            if code in SHORT:
                vr, length = SHORT[code], _SHORT_LENGTH[little](data, pos + 6)[0]
                pos += 8
            elif code in LONG:
                vr, length = LONG[code], _LONG_LENGTH[little](data, pos + 8)[0]
                pos += 12
            else:
                raise CannotUnderstand("an element without a known VR")
        if group == 0xFFFE or tag in found:
            raise CannotUnderstand("a delimiter or an element twice")
        element = _Element(data, mode, vr, pos, pos + length)
        kind = vr or implicit_vr(tag)
        if length == UNDEFINED:
            element.stop = end
            if kind in ("OB", "OW"):
                element.fragments, pos = _fragments(data, pos, end)
            else:
                element.items, pos = _items(element, depth, budget, delimited=True)
        else:
            if element.stop > end:
                raise CannotUnderstand("an element that is longer than its data set")
            if kind == "SQ":
                element.items, _ = _items(element, depth, budget, delimited=False)
            pos = element.stop
        if number and tag != _TRAILING_PADDING:
            found[tag] = element
    if delimited or pos != end:
        raise CannotUnderstand("an item without its end")
    return found, pos


def _items(element: _Element, depth: int, budget: _Budget, *, delimited: bool) -> tuple[list[dict[int, _Element]], int]:
    """The items of a sequence, whether it says that it is one or not, and the position after it."""
    if depth <= 0:
        raise CannotUnderstand("sequences are nested too deep")
    data, pos, end = element.data, element.start, element.stop
    mode = Mode.UN_LE if element.vr == "UN" else element.mode
    little = mode is not Mode.EXPLICIT_BE
    items: list[dict[int, _Element]] = []
    while pos < end:
        budget.spend()
        group, number = _TAG[little](data, pos)
        length = _LONG_LENGTH[little](data, pos + 4)[0]
        tag = group << 16 | number
        pos += 8
        if tag == SEQUENCE_END and delimited:
            return items, pos
        if tag != ITEM:
            raise CannotUnderstand("something else than an item")
        stop = end if length == UNDEFINED else pos + length
        if stop > end:
            raise CannotUnderstand("an item that is longer than its sequence")
        inner = item_mode(mode, data[pos : pos + 6]) if stop - pos >= 6 else mode
        item, pos = _elements(data, pos, stop, inner, length == UNDEFINED, depth - 1, budget)
        items.append(item)
    if delimited:
        raise CannotUnderstand("a sequence without its end")
    return items, pos


def _fragments(data: bytes, pos: int, end: int) -> tuple[list[tuple[int, int]], int]:
    """The fragments of encapsulated pixels, always little endian (PS3.5 A.4), and the position after them."""
    found: list[tuple[int, int]] = []
    while pos < end:
        group, number = _TAG[True](data, pos)
        length = _LONG_LENGTH[True](data, pos + 4)[0]
        tag = group << 16 | number
        pos += 8
        if tag == SEQUENCE_END:
            return found, pos
        if tag != ITEM or pos + length > end:
            break
        found.append((pos, pos + length))
        pos += length
    raise CannotUnderstand("fragments without their end")


def _same_sets(one: dict[int, _Element], other: dict[int, _Element], budget: _Budget) -> bool:
    if one.keys() != other.keys():
        return False
    return all(_same(element, other[tag], tag, budget) for tag, element in one.items())


def _same(one: _Element, other: _Element, tag: int, budget: _Budget) -> bool:
    stated = {one.vr, other.vr} - {"", "UN"}
    if len(stated) > 1:
        return False
    if one.fragments is not None or other.fragments is not None:
        return _same_fragments(one, other)
    if one.items is not None or other.items is not None:
        # A private sequence in an implicit encoding does not say that it is one: the other side does.
        ours, theirs = _items_of(one, budget), _items_of(other, budget)
        return len(ours) == len(theirs) and all(
            _same_sets(mine, yours, budget) for mine, yours in zip(ours, theirs, strict=True)
        )
    vr = next(iter(stated), "") or implicit_vr(tag)
    return _same_values(_value(one), _value(other), vr)


def _items_of(element: _Element, budget: _Budget) -> list[dict[int, _Element]]:
    if element.items is None:
        return _items(element, _DEPTH, budget, delimited=False)[0]
    return element.items


def _same_fragments(one: _Element, other: _Element) -> bool:
    if one.fragments is None or other.fragments is None or len(one.fragments) != len(other.fragments):
        return False
    return all(
        one.data[start:stop] == other.data[begin:end]
        for (start, stop), (begin, end) in zip(one.fragments, other.fragments, strict=True)
    )


def _value(element: _Element) -> bytes:
    """The bytes of a value in little endian."""
    raw = element.data[element.start : element.stop]
    width = _WIDTHS.get(element.vr, 1) if element.mode is Mode.EXPLICIT_BE else 1
    if width == 1:
        return raw
    if len(raw) % width:
        raise CannotUnderstand("a number that is not whole")
    turned = bytearray(len(raw))
    for place in range(width):
        turned[place::width] = raw[width - 1 - place :: width]
    return bytes(turned)


def _same_values(one: bytes, other: bytes, vr: str) -> bool:
    if one == other:
        return True
    if vr in _TEXT:
        return one.rstrip(b" \0") == other.rstrip(b" \0")
    if vr not in ("OB", "UN") or abs(len(one) - len(other)) != 1:
        return False
    # One byte more, to make an odd length even (PS3.5 6.2); nobody knows whether UN was text.
    shorter, longer = sorted((one, other), key=len)
    pads = b"\0" if vr == "OB" else b"\0 "
    return len(shorter) % 2 == 1 and longer[:-1] == shorter and longer[-1] in pads
