"""A data set as a tree of encoded values, to be written again in another transfer syntax.

Theory. Changing the transfer syntax changes how elements are framed, not what they hold. So values stay the
bytes that they were: only their headers are written anew, and the numbers of binary VRs are swapped when the
byte order changes (PS3.5 7.3). Text is never decoded, a nonsense value survives as it is, private and unknown
elements are kept, sequences keep their form (defined or undefined length), and nothing is added.

What an implicit data set does not say comes from the dictionary; where the dictionary offers a choice, the
elements that decide it are read (PS3.5 A.1, A.2): Pixel Representation for US or SS, Bits Allocated for OB or OW.
Private elements without a sequence become UN, whose bytes are little endian and mean the same in every syntax
(PS3.5 6.2.2).
Group lengths (gggg,0000) are retired and would be wrong afterwards; they are left out (PS3.5 7.2).
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field

from vesalius.model.errors import CannotTranscode
from vesalius.standard.dictionary import vr_of

PIXEL_DATA = 0x7FE00010
PIXEL_REPRESENTATION = 0x00280103
BITS_ALLOCATED = 0x00280100
WAVEFORM_BITS_ALLOCATED = 0x54001004
LUT_DESCRIPTOR = 0x00283002

ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
DEEPEST = 64

# Explicit VRs with a 16 bit length field; every other VR has 32 bits (PS3.5 7.1.2).
SHORT = frozenset(
    {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS"}
    | {"LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"}
)
# How many bytes of a value form one number (PS3.5 7.3).
WORD = dict.fromkeys(("US", "SS", "OW", "AT"), 2)
WORD |= dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4)
WORD |= dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8)
ARRAY_CODE = {2: "H", 4: "I", 8: "Q"}


@dataclass(slots=True)
class Item:
    """One item of a sequence."""

    elements: list[Element]
    undefined: bool = False


@dataclass(slots=True)
class Element:
    """One element. Exactly one of `items` (a sequence), `fragments` (encapsulated) and `value` speaks."""

    tag: int
    vr: str
    value: bytes | memoryview = b""
    items: list[Item] | None = None
    fragments: list[memoryview] | None = None  # the first is the Basic Offset Table
    undefined: bool = False


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are framed."""

    explicit: bool
    little: bool


IMPLICIT = Encoding(explicit=False, little=True)
EXPLICIT = Encoding(explicit=True, little=True)
BIG = Encoding(explicit=True, little=False)


@dataclass(slots=True)
class _Scope:
    """The values that decide an ambiguous VR; an item inherits those of the data set around it."""

    outer: _Scope | None = None
    values: dict[int, int] = field(default_factory=dict)

    def get(self, tag: int, default: int) -> int:
        if tag in self.values:
            return self.values[tag]
        return self.outer.get(tag, default) if self.outer is not None else default


class Reader:
    """Parses one encoded data set into elements. Raises `CannotTranscode` for what it cannot follow."""

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        self._data = memoryview(data)
        self._encoding = encoding

    def read(self) -> list[Element]:
        """Every element of the data set, in order."""
        elements, _ = self._elements(0, len(self._data), self._encoding, _Scope(), 0, closed_by_delimiter=False)
        return elements

    def _elements(
        self, at: int, end: int, encoding: Encoding, scope: _Scope, depth: int, *, closed_by_delimiter: bool
    ) -> tuple[list[Element], int]:
        if depth > DEEPEST:
            raise CannotTranscode("sequences are nested too deeply")
        data = self._data
        elements: list[Element] = []
        while at < end:
            tag, vr, length, at = self._header(at, end, encoding, scope)
            if tag == ITEM_END and closed_by_delimiter:
                return elements, at
            if tag >> 16 == 0xFFFE:
                raise CannotTranscode("a delimiter stands where an element should", offending=(tag,))
            if length == UNDEFINED:
                element, at = self._undefined(tag, vr, at, end, encoding, scope, depth)
            elif at + length > end:
                raise CannotTranscode("an element reaches past the end of its data set", offending=(tag,))
            elif vr == "SQ":
                items, _ = self._items(tag, at, at + length, encoding, scope, depth)
                element, at = Element(tag, vr, items=items), at + length
            else:
                element, at = Element(tag, vr, value=data[at : at + length]), at + length
                _remember(scope, element, encoding)
            elements.append(element)
        if closed_by_delimiter:
            raise CannotTranscode("an item has no end")
        return elements, at

    def _header(self, at: int, end: int, encoding: Encoding, scope: _Scope) -> tuple[int, str, int, int]:
        data, order = self._data, "<" if encoding.little else ">"
        if at + 8 > end:
            raise CannotTranscode("the data set is cut short")
        group, number = struct.unpack_from(order + "HH", data, at)
        tag = group << 16 | number
        if not encoding.explicit or group == 0xFFFE:
            (length,) = struct.unpack_from(order + "I", data, at + 4)
            vr = "" if group == 0xFFFE else _vr_without_word(tag, length, scope)
            return tag, vr, length, at + 8
        code = bytes(data[at + 4 : at + 6])
        if not (code.isalpha() and code.isupper() and code.isascii()):
            raise CannotTranscode("an element has no value representation", offending=(tag,))
        vr = code.decode("ascii")
        if vr in SHORT:
            (length,) = struct.unpack_from(order + "H", data, at + 6)
            return tag, vr, length, at + 8
        if at + 12 > end:
            raise CannotTranscode("the data set is cut short")
        (length,) = struct.unpack_from(order + "I", data, at + 8)
        return tag, vr, length, at + 12

    def _undefined(
        self, tag: int, vr: str, at: int, end: int, encoding: Encoding, scope: _Scope, depth: int
    ) -> tuple[Element, int]:
        if vr == "SQ":
            items, after = self._items(tag, at, end, encoding, scope, depth, closed_by_delimiter=True)
            return Element(tag, vr, items=items, undefined=True), after
        if vr == "UN":
            # A sequence in implicit little endian, whatever is around it (PS3.5 6.2.2): kept as one run of bytes.
            _, after = self._items(tag, at, end, IMPLICIT, scope, depth, closed_by_delimiter=True)
            return Element(tag, vr, value=self._data[at:after], undefined=True), after
        if vr in ("OB", "OW"):
            return self._encapsulated(tag, vr, at, end, encoding)
        raise CannotTranscode(f"undefined length is not allowed for {vr}", offending=(tag,))

    def _items(
        self,
        tag: int,
        at: int,
        end: int,
        encoding: Encoding,
        scope: _Scope,
        depth: int,
        *,
        closed_by_delimiter: bool = False,
    ) -> tuple[list[Item], int]:
        items: list[Item] = []
        while at < end:
            mark, _, length, at = self._header(at, end, encoding, scope)
            if mark == SEQUENCE_END and closed_by_delimiter:
                return items, at
            if mark != ITEM:
                raise CannotTranscode("something other than an item stands in a sequence", offending=(tag,))
            inner = _Scope(scope)
            if length == UNDEFINED:
                elements, at = self._elements(at, end, encoding, inner, depth + 1, closed_by_delimiter=True)
                items.append(Item(elements, undefined=True))
            elif at + length > end:
                raise CannotTranscode("an item reaches past the end of its sequence", offending=(tag,))
            else:
                elements, at = self._elements(at, at + length, encoding, inner, depth + 1, closed_by_delimiter=False)
                items.append(Item(elements))
        if closed_by_delimiter:
            raise CannotTranscode("a sequence has no end", offending=(tag,))
        return items, at

    def _encapsulated(self, tag: int, vr: str, at: int, end: int, encoding: Encoding) -> tuple[Element, int]:
        fragments: list[memoryview] = []
        while at < end:
            mark, _, length, at = self._header(at, end, encoding, _Scope())
            if mark == SEQUENCE_END:
                return Element(tag, vr, fragments=fragments, undefined=True), at
            if mark != ITEM or at + length > end:
                raise CannotTranscode("a fragment of pixel data is malformed", offending=(tag,))
            fragments.append(self._data[at : at + length])
            at += length
        raise CannotTranscode("encapsulated pixel data has no end", offending=(tag,))


def _remember(scope: _Scope, element: Element, encoding: Encoding) -> None:
    if element.tag in (PIXEL_REPRESENTATION, BITS_ALLOCATED, WAVEFORM_BITS_ALLOCATED, LUT_DESCRIPTOR):
        number = number_of(element, little=encoding.little)
        if number is not None:
            scope.values[element.tag] = number


def _vr_without_word(tag: int, length: int, scope: _Scope) -> str:
    """The VR of an element of an implicit data set."""
    if tag >> 16 & 1:
        if length == UNDEFINED:
            return "SQ"
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UL" if tag & 0xFFFF == 0 else "UN"
    if tag & 0xFFFF == 0:
        return "UL"
    vr = (vr_of(tag) or "UN").replace(" or ", "/")
    if length == UNDEFINED and vr not in ("OB", "OW", "OB/OW"):
        return "SQ"
    if "/" not in vr:
        return vr
    choices = vr.split("/")
    if "OB" in choices:
        bits = WAVEFORM_BITS_ALLOCATED if tag >> 16 == 0x5400 else BITS_ALLOCATED
        return "OW" if scope.get(bits, 16) > 8 else "OB"
    if "OW" in choices:  # the data of a lookup table
        return "OW" if scope.get(LUT_DESCRIPTOR, 0) != 1 or "US" not in choices else "US"
    return "SS" if scope.get(PIXEL_REPRESENTATION, 0) == 1 else "US"


def number_of(element: Element, *, little: bool = True) -> int | None:
    """The first number of a US element; None where there is none."""
    if element.vr not in ("US", "UN", "SS") or len(element.value) < 2:
        return None
    return int.from_bytes(element.value[:2], "little" if little else "big")


def write(elements: list[Element], source: Encoding, target: Encoding) -> bytes:
    """The data set in the target encoding."""
    out: list[bytes | memoryview] = []
    if source.little != target.little:
        _swap_pixels(elements, source)
    _write_elements(elements, source, target, out)
    return b"".join(out)


def _swap_pixels(elements: list[Element], source: Encoding) -> None:
    """Native pixel cells are swapped whole, whatever their VR says (as every known writer does).

    What `_write_elements` will swap because of the VR is swapped beforehand, so that it cancels out.
    """
    bits = next((number_of(each, little=source.little) for each in elements if each.tag == BITS_ALLOCATED), None)
    for element in elements:
        if element.tag == PIXEL_DATA and element.fragments is None and bits in (16, 32, 64):
            value = _swapped(element.value, bits // 8)
            element.value = _swapped(value, WORD[element.vr]) if element.vr in WORD else value


def _write_elements(elements: list[Element], source: Encoding, target: Encoding, out: list[bytes | memoryview]) -> None:
    for element in elements:
        if element.tag & 0xFFFF == 0:
            continue
        if element.items is not None:
            _write_sequence(element, source, target, out)
        elif element.fragments is not None:
            out.append(_head(element.tag, element.vr, UNDEFINED, target))
            for fragment in element.fragments:
                out.append(_mark(ITEM, len(fragment), target))
                out.append(fragment)
            out.append(_mark(SEQUENCE_END, 0, target))
        elif element.undefined:
            out.append(_head(element.tag, "UN", UNDEFINED, target))
            out.append(element.value)
        else:
            value = element.value
            if source.little != target.little and element.vr in WORD:
                value = _swapped(value, WORD[element.vr])
            vr = element.vr
            if target.explicit and vr in SHORT and len(value) > 0xFFFF:
                vr = "UN"  # the only way to say so long a value (PS3.5 6.2.2 note)
            out.append(_head(element.tag, vr, len(value), target))
            out.append(value)


def _write_sequence(element: Element, source: Encoding, target: Encoding, out: list[bytes | memoryview]) -> None:
    body: list[bytes | memoryview] = []
    for item in element.items or ():
        content: list[bytes | memoryview] = []
        _write_elements(item.elements, source, target, content)
        size = UNDEFINED if item.undefined else sum(map(len, content))
        body.append(_mark(ITEM, size, target))
        body.extend(content)
        if item.undefined:
            body.append(_mark(ITEM_END, 0, target))
    size = UNDEFINED if element.undefined else sum(map(len, body))
    out.append(_head(element.tag, "SQ", size, target))
    out.extend(body)
    if element.undefined:
        out.append(_mark(SEQUENCE_END, 0, target))


def _head(tag: int, vr: str, length: int, target: Encoding) -> bytes:
    order = "<" if target.little else ">"
    if not target.explicit:
        return struct.pack(order + "HHI", tag >> 16, tag & 0xFFFF, length)
    code = vr.encode("ascii")
    if vr in SHORT:
        return struct.pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, code, length)
    return struct.pack(order + "HH2sHI", tag >> 16, tag & 0xFFFF, code, 0, length)


def _mark(tag: int, length: int, target: Encoding) -> bytes:
    return struct.pack(("<" if target.little else ">") + "HHI", tag >> 16, tag & 0xFFFF, length)


def _swapped(value: bytes | memoryview, word: int) -> bytes:
    whole = len(value) // word * word
    numbers = array(ARRAY_CODE[word], bytes(value[:whole]))
    numbers.byteswap()
    return numbers.tobytes() + bytes(value[whole:])
