"""What an element is and how it becomes JSON, by the bytes that begin it: the look-up of `dicom_json.JsonWriter`."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from vesalius.model.encodings import LONG, PIXEL_TAGS, SHORT, Mode, implicit_vr
from vesalius.model.errors import CannotUnderstand
from vesalius.model.json_values import FORMATTERS, Formatter
from vesalius.standard.dictionary import describe

BULK_BYTES = 1024  # a binary value longer than this is named by its address
BULK_NUMBERS = 16 << 10  # bytes of an array of numbers
BULK_TEXT = 1 << 20  # bytes of text

UNKNOWN_SQ = "UN SQ"  # UN that the dictionary calls a sequence
BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
REMEMBERED = 20_000  # entries; a hostile series must not fill the memory

_NUMBERS = frozenset(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))


class Entry(NamedTuple):
    """What an element is, by the bytes that begin it."""

    tag: int
    vr: str
    prefix: bytes  # `"00100020":{"vr":"LO"`
    head: int  # bytes before the value; 8, or 12 with a 32-bit length
    most: int  # bytes; a longer value is bulk
    format: Formatter | None  # None: not a plain value


def tag_of_key(key: bytes, little: bool) -> int:
    """The tag in the first four bytes of an element."""
    group, element = struct.unpack_from("<HH" if little else ">HH", key)
    return int(group << 16 | element)


def entry_of(mode: Mode, key: bytes, tag: int) -> Entry:
    """The entry of an element by the bytes that begin it. Raises `CannotUnderstand` for a stray delimiter."""
    if tag >> 16 == 0xFFFE:
        raise CannotUnderstand(f"stray {describe(tag)}", offending=(tag,))
    if mode is Mode.IMPLICIT_LE or mode is Mode.UN_LE:
        return _entry(tag, implicit_vr(tag), 8)
    code = key[4:6]
    vr = SHORT.get(code)
    if vr is not None:
        return _entry(tag, vr, 8)
    vr = LONG.get(code)
    if vr is None:
        if not (code.isalpha() and code.isupper()):
            raise CannotUnderstand(f"{describe(tag)} has no value representation", offending=(tag,))
        vr = "UN"
    return _entry(tag, vr, 12)


@lru_cache(REMEMBERED)
def _entry(tag: int, vr: str, head: int) -> Entry:
    form = FORMATTERS.get(vr)
    if vr == "UN":
        # What is in UN is implicit little endian, and the dictionary may know its VR (PS3.5 6.2.2).
        known = implicit_vr(tag)
        if known in FORMATTERS:
            vr, inner = known, FORMATTERS[known]
            form = lambda raw, _little, charsets: inner(raw, True, charsets)  # noqa: E731
        elif known == "SQ":
            vr, form = UNKNOWN_SQ, None
    if tag in PIXEL_TAGS or tag & 0xFFFF == 0:
        form = None
    most = BULK_TEXT
    if vr in BINARY:
        most = BULK_BYTES
    elif vr in _NUMBERS:
        most = BULK_NUMBERS
    shown = "SQ" if vr == UNKNOWN_SQ else vr
    return Entry(tag, vr, b'"%08X":{"vr":"%s"' % (tag, shown.encode()), head, most, form)
