"""Values of single elements as DICOM JSON (PS3.18 F.2): from their bytes, and from their strings.

Each function gives what follows `"vr":"XX"` inside the element's object, brace included, so that an element is its
prefix and one of these. Text is UTF-8 whatever it was sent in. A number of IS or DS keeps its digits; what is no
number stays a string (F.2.2 allows both), so nothing that was sent gets lost or repaired. An empty value between
others is null (F.2.5). Infinities and NaN, which JSON has no numbers for, are strings.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from vesalius.model import charset
from vesalius.model.element_values import decode_value

Formatter: TypeAlias = Callable[[bytes, bool, Sequence[str]], bytes]

EMPTY = b"}"
_OPEN, _CLOSE = b',"Value":[', b"]}"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_LARGEST_EXACT = 1 << 53  # beyond it JavaScript's numbers are not whole any more

# What JSON calls a number, and what people write instead.
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,24})(?:\.[0-9]{1,24})?(?:[eE][+-]?0{0,8}[0-9]{1,2})?")
_LOOSE_NUMBER = re.compile(r"([+-]?)([0-9]{0,24})(?:\.([0-9]{0,24}))?([eE][+-]?0{0,8}[0-9]{1,2})?")

_encode = msgspec.json.Encoder().encode


def quote(text: str) -> bytes:
    """A JSON string."""
    try:
        return _encode(text)
    except UnicodeEncodeError:  # a lone surrogate, which no UTF-8 can hold
        return _encode(text.encode("utf-8", "replace").decode())


def number(text: str) -> bytes | None:
    """Decimal text as a JSON number with its digits kept; None for what is no number."""
    if _JSON_NUMBER.fullmatch(text):
        return text.encode()
    match = _LOOSE_NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None
    whole = match[2].lstrip("0") or "0"
    fraction = f".{match[3]}" if match[3] else ""
    return f"{'-' if match[1] == '-' else ''}{whole}{fraction}{match[4] or ''}".encode()


def person_name(text: str) -> bytes:
    """One person name as the object of its component groups; null for an empty one."""
    if "=" not in text:
        return b'{"Alphabetic":' + quote(text) + b"}" if text else b"null"
    groups = zip(_GROUPS, text.split("=", 2), strict=False)
    parts = [b'"%s":%s' % (name.encode(), quote(group)) for name, part in groups if (group := part.strip(" \0"))]
    return b"{" + b",".join(parts) + b"}" if parts else b"null"


def _one_text(text: str) -> bytes:
    return quote(text) if text else b"null"


def _one_number(text: str) -> bytes:
    return (number(text) or quote(text)) if text else b"null"


def _one_float(text: str) -> bytes:
    value = float(text)
    return text.encode() if math.isfinite(value) else quote(_special(value))


def _one_whole(text: str) -> bytes:
    return text.encode() if -_LARGEST_EXACT < int(text) < _LARGEST_EXACT else quote(text)


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"


_ONE: dict[str, Callable[[str], bytes]] = {
    "PN": person_name,
    **dict.fromkeys(("IS", "DS"), _one_number),
    **dict.fromkeys(("FL", "FD"), _one_float),
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), _one_whole),
}
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def from_strings(vr: str, values: Sequence[str]) -> bytes:
    """What follows the VR for values in the form of `element_values.decode_value`."""
    if not values:
        return EMPTY
    if vr in _BINARY:
        return b',"InlineBinary":"' + values[0].encode() + b'"}'
    one = _ONE.get(vr, _one_text)
    return _OPEN + b",".join([one(value) for value in values]) + _CLOSE


def _from_text(raw: bytes, one: Callable[[str], bytes], charsets: Sequence[str], vr: str) -> bytes:
    if raw.isascii() and b"\x1b" not in raw:
        text = raw.decode("ascii").strip(" \0")
    else:
        text = charset.decode(raw, charsets, vr).strip(" \0")
    if not text:
        return EMPTY
    if "\\" in text:
        return _OPEN + b",".join([one(part.strip(" \0")) for part in text.split("\\")]) + _CLOSE
    return _OPEN + one(text) + _CLOSE


def _listed(vr: str) -> Formatter:
    one = _ONE.get(vr, _one_text)
    sets = vr in charset.TEXT_VRS

    def write(raw: bytes, _little: bool, charsets: Sequence[str]) -> bytes:
        return _from_text(raw, one, charsets if sets else (), vr)

    return write


def _decoded(vr: str) -> Formatter:
    def write(raw: bytes, little: bool, charsets: Sequence[str]) -> bytes:
        return from_strings(vr, decode_value(vr, raw, little, charsets if vr in charset.TEXT_VRS else ()))

    return write


def _unsigned_short(raw: bytes, little: bool, _charsets: Sequence[str]) -> bytes:
    if len(raw) == 2:
        return b',"Value":[%d]}' % int.from_bytes(raw, "little" if little else "big")
    count = len(raw) // 2
    numbers = struct.unpack_from(f"{'<' if little else '>'}{count}H", raw)
    return _OPEN + ",".join(map(str, numbers)).encode() + _CLOSE if numbers else EMPTY


# Bytes of words in the order of the data set; big endian words are turned, as everything here is little endian.
_WORDS = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}


def little_endian(vr: str, raw: bytes) -> bytes:
    """Big endian words of a binary VR as little endian: bulk data and InlineBinary are (PS3.18 F.2.7)."""
    code = _WORDS.get(vr)
    if code is None or len(raw) % struct.calcsize(f"={code}"):
        return raw
    count = len(raw) // struct.calcsize(f"={code}")
    return struct.pack(f"<{count}{code}", *struct.unpack(f">{count}{code}", raw))


def _binary(vr: str) -> Formatter:
    def write(raw: bytes, little: bool, _charsets: Sequence[str]) -> bytes:
        if not raw:
            return EMPTY
        return b',"InlineBinary":"' + base64.b64encode(raw if little else little_endian(vr, raw)) + b'"}'

    return write


FORMATTERS: dict[str, Formatter] = {
    **{vr: _listed(vr) for vr in ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI")},
    **{vr: _decoded(vr) for vr in ("AT", "FD", "FL", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "UR", "UT", "UV")},
    **{vr: _binary(vr) for vr in _BINARY},
    "US": _unsigned_short,
}
