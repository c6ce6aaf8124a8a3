"""Values of single elements: bytes to strings and back (PS3.5 6.2).

Every VR has one form as strings, so that the verbs and the edges never see bytes: text is decoded and freed of
padding, numbers of binary VRs are decimal, AT is eight hexadecimal digits, other binary values are one Base64
string. Decoding never fails: nonsense stays visible as it was sent.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence

from vesalius.model import charset

# Text with several values and insignificant leading and trailing spaces (PS3.5 table 6.2-1).
_LISTED = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"})
# Text with one value whose leading spaces count.
_SINGLE_TEXT = frozenset({"LT", "ST", "UT", "UR"})
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_SIZE = {"H": 2, "h": 2, "I": 4, "i": 4, "f": 4, "Q": 8, "q": 8, "d": 8}


def decode_value(
    vr: str, raw: bytes, little_endian: bool = True, charsets: Sequence[str] = charset.DEFAULT
) -> tuple[str, ...]:
    """The values of an element as strings; () for an empty one."""
    if not raw:
        return ()
    if vr in _LISTED:
        if raw.isascii() and b"\x1b" not in raw:
            text = raw.decode("ascii").strip(" \0")
        else:
            text = charset.decode(raw, charsets, vr).strip(" \0")
        if "\\" in text:
            return tuple([part.strip(" \0") for part in text.split("\\")])
        return (text,) if text else ()
    if vr in _NUMBERS:
        return _decode_numbers(_NUMBERS[vr], raw, little_endian)
    if vr in _SINGLE_TEXT:
        text = charset.decode(raw, charsets, vr).rstrip(" \0")
        return (text,) if text else ()
    if vr == "UC":
        text = charset.decode(raw, charsets, vr).rstrip(" \0")
        return tuple(text.split("\\")) if text else ()
    if vr == "AT":
        count = len(raw) // 4
        halves = struct.unpack_from(f"{'<' if little_endian else '>'}{count * 2}H", raw)
        return tuple(f"{halves[i]:04X}{halves[i + 1]:04X}" for i in range(0, count * 2, 2))
    return (base64.b64encode(raw).decode("ascii"),)


def _decode_numbers(code: str, raw: bytes, little_endian: bool) -> tuple[str, ...]:
    count = len(raw) // _SIZE[code]
    numbers = struct.unpack_from(f"{'<' if little_endian else '>'}{count}{code}", raw)
    if code == "f":
        return tuple([_short_float(number) for number in numbers])
    return tuple([str(number) for number in numbers])


def _short_float(number: float) -> str:
    """The shortest decimal that is the same 32-bit float again."""
    if not math.isfinite(number):
        return str(number)
    for digits in (6, 7, 8):
        text = f"{number:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == number:
            return text
    return f"{number:.9g}"


def encode_value(
    vr: str, values: Sequence[str], little_endian: bool = True, charsets: Sequence[str] = charset.DEFAULT
) -> bytes:
    """Bytes of an element's values, padded to even length.

    Raises `ValueError` (of which `UnicodeEncodeError` is one) if a value is no value of the VR.
    """
    if not values:
        return b""
    if vr in _NUMBERS:
        return _encode_numbers(_NUMBERS[vr], values, little_endian)
    if vr == "AT":
        order = "<HH" if little_endian else ">HH"
        return b"".join(struct.pack(order, int(text[:4], 16), int(text[4:8], 16)) for text in values)
    if vr in _BINARY:
        try:
            raw = base64.b64decode(values[0], validate=True)
        except binascii.Error as error:
            raise ValueError("not Base64") from error
        return raw if len(raw) % 2 == 0 else raw + b"\0"
    text = values[0] if len(values) == 1 else "\\".join(values)
    raw = text.encode("ascii") if text.isascii() else charset.encode(text, charsets, vr)
    if len(raw) % 2:
        raw += b"\0" if vr == "UI" else b" "
    return raw


def _encode_numbers(code: str, values: Sequence[str], little_endian: bool) -> bytes:
    order = "<" if little_endian else ">"
    try:
        if code in "fd":
            return struct.pack(f"{order}{len(values)}{code}", *map(float, values))
        return struct.pack(f"{order}{len(values)}{code}", *map(int, values))
    except (struct.error, OverflowError) as error:
        raise ValueError("out of the range of its VR") from error
