"""Small data sets, whole in memory: identifiers of queries, answers, items of sequences.

`decode` turns bytes into `Values` and `encode` turns them back; VRs come from the stream or the dictionary,
text follows the Specific Character Set in force (an item may override it, PS3.5 6.1.2.5). Structure that cannot
be read raises `CannotUnderstand` with the offending tag; values never raise. For large data sets, of which only
the header matters, see `model/elements.py`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import cast

from vesalius.model import charset
from vesalius.model.element_values import decode_value, encode_value
from vesalius.model.encodings import (
    ITEM,
    ITEM_END,
    LONG,
    PIXEL_REPRESENTATION,
    SEQUENCE_END,
    SHORT,
    SHORT_VRS,
    UNDEFINED,
    US_OR_SS,
    Mode,
    explicit_short,
    implicit_le,
    implicit_vr,
    item_mode,
    mode_of,
)
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand, LimitExceeded, UnableToProcess
from vesalius.model.reading import all_texts
from vesalius.standard.dictionary import describe, vr_of
from vesalius.standard.transfer_syntaxes import lookup

SPECIFIC_CHARACTER_SET = 0x00080005
DEPTH = 64
INFLATED_LIMIT = 64 << 20

_HEAD_LE = struct.Struct("<6sH")
_HEAD_BE = struct.Struct(">6sH")
_IMPLICIT = struct.Struct("<4sI")
_ITEM_LE = struct.Struct("<HHI")
_ITEM_BE = struct.Struct(">HHI")
_LENGTH_LE = struct.Struct("<I")
_LENGTH_BE = struct.Struct(">I")
_KNOWN_LE = explicit_short(True)
_KNOWN_IMPLICIT = implicit_le()
_SHORT_SET = frozenset(SHORT_VRS)


def decode(data: bytes, transfer_syntax: str, *, depth: int = DEPTH) -> Values:
    """A whole data set as `Values`. Raises `CannotUnderstand`, and `LimitExceeded` for a deflate bomb."""
    syntax = lookup(transfer_syntax)
    if syntax.deflated:
        data = inflate(data)
    values, _ = _decode(data, 0, len(data), mode_of(syntax.explicit, syntax.little_endian), (), depth, False)
    return values


def inflate(data: bytes, limit: int = INFLATED_LIMIT) -> bytes:
    """The data set of a deflated transfer syntax (PS3.5 A.5). Raises `CannotUnderstand`, `LimitExceeded`."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(data, limit)
    except zlib.error as error:
        raise CannotUnderstand("the deflated data set is corrupt") from error
    if not stream.eof:
        if len(inflated) >= limit:
            raise LimitExceeded("the deflated data set is too large", hint="raise the limit for inflated data sets")
        raise CannotUnderstand("the deflated data set is truncated")
    return inflated


def decode_items(
    raw: bytes, mode: Mode, charsets: tuple[str, ...] = charset.DEFAULT, depth: int = DEPTH
) -> tuple[Values, ...]:
    """The items of a sequence's value (without its delimiter). Raises `CannotUnderstand`."""
    items, _ = _decode_sequence(raw, 0, len(raw), mode, charsets, depth, False, 0)
    return items


def charsets_of(values: Sequence[str]) -> tuple[str, ...]:
    """Terms of (0008,0005) in the form `model/charset.py` takes: () for none or an empty one."""
    return tuple(values) if any(values) else ()


def _decode(
    data: bytes, pos: int, end: int, mode: Mode, charsets: tuple[str, ...], depth: int, delimited: bool
) -> tuple[Values, int]:
    """Elements up to `end`, or up to the item delimiter if `delimited`: the values and the next position."""
    values: Values = {}
    little = mode is not Mode.EXPLICIT_BE
    implicit = mode is Mode.IMPLICIT_LE or mode is Mode.UN_LE
    head = _IMPLICIT if implicit else _HEAD_LE if little else _HEAD_BE
    known = _KNOWN_IMPLICIT if implicit else _KNOWN_LE if little else explicit_short(False)
    unpack, find = head.unpack_from, known.get
    inner = mode
    while pos < end:
        if pos + 8 > end:
            raise CannotUnderstand("the data set ends within an element")
        key, length = unpack(data, pos)
        entry = find(key)
        pos += 8
        if entry is not None:
            tag, vr = entry
        else:
            group, element = (_ITEM_LE if little else _ITEM_BE).unpack_from(data, pos - 8)[:2]
            tag = group << 16 | element
            if group == 0xFFFE:
                if tag == ITEM_END and delimited:
                    return values, pos
                raise CannotUnderstand(f"stray {describe(tag)}", offending=(tag,))
            if implicit:
                vr = implicit_vr(tag)
            else:
                vr, length, pos = _explicit_head(data, pos, end, tag, key[4:], length, little)
        if vr == "SQ" or length == UNDEFINED:
            if vr not in ("SQ", "UN"):
                raise CannotUnderstand(f"undefined length of {describe(tag)}", offending=(tag,))
            inner = Mode.UN_LE if vr == "UN" else mode
            stop = end if length == UNDEFINED else pos + length
            if stop > end:
                raise CannotUnderstand(f"{describe(tag)} is longer than its data set", offending=(tag,))
            values[tag], pos = _decode_sequence(data, pos, stop, inner, charsets, depth, length == UNDEFINED, tag)
            continue
        stop = pos + length
        if stop > end:
            raise CannotUnderstand(f"{describe(tag)} is longer than its data set", offending=(tag,))
        if vr == "US" and implicit and tag in US_OR_SS and values.get(PIXEL_REPRESENTATION) == ("1",):
            vr = "SS"
        if vr == "UN":
            values[tag] = _decode_unknown(tag, data[pos:stop], charsets)
        else:
            values[tag] = decoded = decode_value(vr, data[pos:stop], little, charsets)
            if tag == SPECIFIC_CHARACTER_SET:
                charsets = charsets_of(decoded)
        pos = stop
    if delimited:
        raise CannotUnderstand("an item has no delimiter", offending=(ITEM_END,))
    return values, pos


def _explicit_head(
    data: bytes, pos: int, end: int, tag: int, code: bytes, length: int, little: bool
) -> tuple[str, int, int]:
    """VR, length and value position of an explicit element that the quick table does not hold."""
    short = SHORT.get(code)
    if short is not None:
        return short, length, pos
    vr = LONG.get(code)
    if vr is None:
        if not (code.isalpha() and code.isupper()):
            raise CannotUnderstand(f"{describe(tag)} has no value representation", offending=(tag,))
        vr = "UN"
    if pos + 4 > end:
        raise CannotUnderstand(f"the data set ends within {describe(tag)}", offending=(tag,))
    return vr, (_LENGTH_LE if little else _LENGTH_BE).unpack_from(data, pos)[0], pos + 4


def _decode_unknown(tag: int, raw: bytes, charsets: tuple[str, ...]) -> tuple[str, ...] | tuple[Values, ...]:
    """Values of UN: as the dictionary's VR where it knows the tag, implicit little endian (PS3.5 6.2.2)."""
    vr = implicit_vr(tag)
    if vr == "SQ":
        return decode_items(raw, Mode.UN_LE, charsets)
    return decode_value(vr, raw, True, charsets)


def _decode_sequence(
    data: bytes, pos: int, end: int, mode: Mode, charsets: tuple[str, ...], depth: int, delimited: bool, tag: int
) -> tuple[tuple[Values, ...], int]:
    """Items up to `end`, or up to the sequence delimiter if `delimited`."""
    if depth <= 0:
        raise CannotUnderstand("sequences are nested too deep", offending=(tag,))
    items: list[Values] = []
    unpack = (_ITEM_BE if mode is Mode.EXPLICIT_BE else _ITEM_LE).unpack_from
    while pos < end:
        if pos + 8 > end:
            raise CannotUnderstand(f"{describe(tag)} ends within an item", offending=(tag,))
        group, element, length = unpack(data, pos)
        found = group << 16 | element
        pos += 8
        if found == SEQUENCE_END and delimited:
            return tuple(items), pos
        if found != ITEM:
            raise CannotUnderstand(f"{describe(tag)} holds {describe(found)} in place of an item", offending=(tag,))
        stop = end if length == UNDEFINED else pos + length
        if stop > end:
            raise CannotUnderstand(f"an item of {describe(tag)} is longer than it", offending=(tag,))
        inner = item_mode(mode, data[pos : pos + 6]) if stop - pos >= 6 else mode
        item, pos = _decode(data, pos, stop, inner, charsets, depth - 1, length == UNDEFINED)
        items.append(item)
    if delimited:
        raise CannotUnderstand(f"{describe(tag)} has no delimiter", offending=(tag,))
    return tuple(items), pos


def encode(values: Values, transfer_syntax: str, charsets: tuple[str, ...] = charset.DEFAULT) -> bytes:
    """A whole data set as bytes, tags ascending, (0008,0005) as `charsets` says and absent for the default.

    VRs come from the dictionary, UN (Base64) for what it does not know; sequences and items have defined lengths.
    Raises `UnableToProcess` with the offending tag for a value that its VR or the repertoire cannot hold.
    """
    syntax = lookup(transfer_syntax)
    mode = mode_of(syntax.explicit, syntax.little_endian)
    if any(charsets):
        values = {**values, SPECIFIC_CHARACTER_SET: charsets}
    elif SPECIFIC_CHARACTER_SET in values:
        values = {tag: value for tag, value in values.items() if tag != SPECIFIC_CHARACTER_SET}
    data = _encode(values, mode, charsets)
    if syntax.deflated:
        stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = stream.compress(data) + stream.flush()
        data += b"\0" * (len(data) % 2)
    return data


def encode_reply(values: Values, transfer_syntax: str, requested: Sequence[str] = ()) -> bytes:
    """A data set for one who asked in `requested` character sets: in those where they hold it, else in UTF-8."""
    return encode(values, transfer_syntax, charset.choose_reply(list(all_texts(values)), requested))


def _encode(values: Values, mode: Mode, charsets: tuple[str, ...]) -> bytes:
    little = mode is not Mode.EXPLICIT_BE
    implicit = mode is Mode.IMPLICIT_LE
    head = (_ITEM_LE if little else _ITEM_BE).pack
    out: list[bytes] = []
    for tag in sorted(values):
        value = values[tag]
        vr = _encoding_vr(tag, value)
        try:
            if vr == "SQ":
                raw = _encode_items(cast("tuple[Values, ...]", value), mode, charsets)
            else:
                raw = encode_value(vr, cast("tuple[str, ...]", value), little, charsets)
        except (ValueError, AttributeError, TypeError) as error:
            raise UnableToProcess(f"a value of {describe(tag)} cannot be encoded as {vr}", offending=(tag,)) from error
        if implicit:
            out.append(head(tag >> 16, tag & 0xFFFF, len(raw)))
        elif vr in _SHORT_SET and len(raw) < 0x10000:
            code = len(raw) << 16 if little else len(raw)
            code |= int.from_bytes(vr.encode(), "little") if little else int.from_bytes(vr.encode(), "big") << 16
            out.append(head(tag >> 16, tag & 0xFFFF, code))
        else:
            # A value too long for a 16-bit length goes out as UN (PS3.5 6.2.2, note on UN).
            name = b"UN" if vr in _SHORT_SET else vr.encode()
            code = int.from_bytes(name + b"\0\0", "little" if little else "big")
            out.append(head(tag >> 16, tag & 0xFFFF, code))
            out.append((_LENGTH_LE if little else _LENGTH_BE).pack(len(raw)))
        out.append(raw)
    return b"".join(out)


def _encode_items(items: tuple[Values, ...], mode: Mode, charsets: tuple[str, ...]) -> bytes:
    pack = (_ITEM_BE if mode is Mode.EXPLICIT_BE else _ITEM_LE).pack
    out: list[bytes] = []
    for item in items:
        own = charsets
        terms = cast("tuple[str, ...]", item.get(SPECIFIC_CHARACTER_SET, ()))
        if any(terms):
            own = charsets_of(terms)
        raw = _encode(item, mode, own)
        out += (pack(ITEM >> 16, ITEM & 0xFFFF, len(raw)), raw)
    return b"".join(out)


def _encoding_vr(tag: int, value: Sequence[object]) -> str:
    """The VR to write: the dictionary's, the fitting one where it allows several, SQ for unknown items."""
    vr = vr_of(tag)
    if vr is None or vr == "NONE":
        return "SQ" if value and isinstance(value[0], dict) else "UN"
    if " or " in vr:
        if vr == "US or SS":
            return "SS" if any(str(text).startswith("-") for text in value) else "US"
        return "OW"
    return vr
