"""DICOM JSON (PS3.18 annex F) to encoded data sets: what clients send as metadata, read strictly.

Theory. Reading has two halves. `parse` turns text into attributes, `{"00100020": {"vr": "LO", "Value": ["4711"]}}`, and
refuses what JSON forbids or leaves open: a key twice, NaN, nesting without end. `encode` turns attributes into
a data set in Explicit VR Little Endian with text in UTF-8, and checks each element against the dictionary and
its VR; `dicom_xml_read` gives the same attributes, so XML comes the same way. Nothing is guessed: a VR that is not
the element's, a number in a text, text that is no number, Base64 that is none are `CannotUnderstand` with the tag.

Bulk data is not in the metadata but named by an address. It may be gigabytes, so a data set comes out as a list of
segments: bytes, and `BulkReference`s that the caller replaces while it streams. The caller says how long each is
(`BulkLength`), as the lengths of the sequences around it follow from that.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from vesalius.model.charset import UTF_8
from vesalius.model.element_values import encode_value
from vesalius.model.encodings import LONG_VRS, PIXEL_TAGS, SHORT_VRS, UNDEFINED
from vesalius.model.errors import CannotUnderstand
from vesalius.standard.dictionary import describe, vrs_of

Attributes: TypeAlias = "dict[str, dict[str, Any]]"
DEPTH = 64
ENCAPSULATED = -1  # as a length: Pixel Data whose fragments the caller writes, with their delimiter

_SPECIFIC_CHARACTER_SET = 0x00080005
_VRS = frozenset((*SHORT_VRS, *LONG_VRS))
_LONG = frozenset(LONG_VRS)
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_WHOLE = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_FORMS = ("Value", "InlineBinary", "BulkDataURI")
_HEAD = struct.Struct("<HH2sH")
_LONG_HEAD = struct.Struct("<HH2sHI")
_ITEM_HEAD = struct.Struct("<HHI")


@dataclass(frozen=True, slots=True)
class BulkReference:
    """A value that is found elsewhere. `length` is what the caller said, to be written in full."""

    uri: str
    tag: int
    vr: str
    length: int  # bytes, even; ENCAPSULATED for Pixel Data in fragments


Segment: TypeAlias = bytes | BulkReference
BulkLength: TypeAlias = Callable[[str, int, str], int]  # (uri, tag, VR) -> bytes, even, or ENCAPSULATED


def parse(data: bytes) -> list[Attributes]:
    """The data sets of a JSON text, which is an object or an array of them. Raises `CannotUnderstand`."""
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=_object, parse_float=NumberText, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        reason = error.args[0] if isinstance(error, _BadText) else "the text is no JSON"
        raise CannotUnderstand(f"DICOM JSON: {reason}") from None
    datasets = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in datasets):
        raise CannotUnderstand("DICOM JSON: a data set must be an object")
    return datasets


class NumberText(str):
    """A number with a fraction or an exponent, as it was written: DS keeps its digits."""

    __slots__ = ()


class _BadText(ValueError):
    """What JSON allows and DICOM JSON does not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _BadText("a key stands twice in one object")
    return made


def _constant(_name: str) -> NoReturn:
    raise _BadText("NaN and Infinity are no JSON numbers")


def refuse_bulk(_uri: str, tag: int, _vr: str) -> int:
    """A `BulkLength` where there is no bulk data."""
    raise CannotUnderstand(f"{describe(tag)} refers to bulk data that is not there", offending=(tag,))


def to_dataset(attributes: Attributes) -> bytes:
    """Attributes without bulk data as a data set in Explicit VR Little Endian. Raises `CannotUnderstand`."""
    return b"".join(segment for segment in encode(attributes) if isinstance(segment, bytes))


def encode(attributes: Attributes, bulk: BulkLength = refuse_bulk, depth: int = DEPTH) -> list[Segment]:
    """Attributes as a data set in Explicit VR Little Endian, UTF-8. Raises `CannotUnderstand` with the tag."""
    found = {_tag(key): value for key, value in attributes.items()}
    if len(found) != len(attributes):
        raise CannotUnderstand("DICOM JSON: a tag stands twice in one data set")
    if any(_has_text(value) for value in found.values()):
        found[_SPECIFIC_CHARACTER_SET] = {"vr": "CS", "Value": list(UTF_8)}
    out: list[Segment] = []
    for tag in sorted(found):
        if tag & 0xFFFF and tag >> 16 != 2:  # neither group lengths nor file meta information
            out += _element(tag, found[tag], bulk, depth)
    return _joined(out)


def _tag(key: str) -> int:
    if len(key) != 8 or not all(char in "0123456789ABCDEFabcdef" for char in key):
        raise CannotUnderstand("DICOM JSON: a key is no tag of eight hexadecimal digits")
    tag = int(key, 16)
    if tag >> 16 == 0xFFFE:
        raise CannotUnderstand("DICOM JSON: a delimiter stands where an element should", offending=(tag,))
    return tag


def _element(tag: int, element: Any, bulk: BulkLength, depth: int) -> list[Segment]:
    if not isinstance(element, dict):
        raise _bad(tag, "is no object")
    vr = element.get("vr")
    if vr not in _VRS:
        raise _bad(tag, "has no VR of DICOM")
    allowed = vrs_of(tag)
    if allowed and vr not in allowed and vr != "UN":
        raise _bad(tag, f"has VR {vr}, which the dictionary does not allow")
    forms = [form for form in _FORMS if form in element]
    if len(forms) > 1:
        raise _bad(tag, "has more than one kind of value")
    if not forms or element[forms[0]] is None:
        return [_head(tag, vr, 0)]
    given = element[forms[0]]
    if forms[0] == "BulkDataURI":
        return _bulk(tag, vr, given, bulk)
    if forms[0] == "InlineBinary":
        return _inline(tag, vr, given)
    if not isinstance(given, list):
        raise _bad(tag, "has a Value that is no array")
    if vr == "SQ":
        return _sequence(tag, given, bulk, depth)
    if vr in _BINARY:
        raise _bad(tag, f"has a Value, which {vr} cannot have")
    raw = _value(tag, vr, given)
    return [_head(tag, vr, len(raw)), raw]


def _bulk(tag: int, vr: str, uri: Any, bulk: BulkLength) -> list[Segment]:
    if not isinstance(uri, str) or vr == "SQ":
        raise _bad(tag, "has a BulkDataURI that is no address")
    length = bulk(uri, tag, vr)
    if length == ENCAPSULATED:
        if tag not in PIXEL_TAGS:
            raise _bad(tag, "cannot have fragments")
        return [_head(tag, "OB", UNDEFINED), BulkReference(uri, tag, "OB", ENCAPSULATED)]
    return [_head(tag, vr, length), BulkReference(uri, tag, vr, length)]


def _inline(tag: int, vr: str, given: Any) -> list[Segment]:
    if not isinstance(given, str) or vr not in _BINARY:
        raise _bad(tag, f"has InlineBinary, which {vr} cannot have")
    try:
        raw = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise _bad(tag, "has InlineBinary that is no Base64") from None
    raw += b"\0" * (len(raw) % 2)
    return [_head(tag, vr, len(raw)), raw]


def _sequence(tag: int, items: Sequence[Any], bulk: BulkLength, depth: int) -> list[Segment]:
    if depth <= 0:
        raise _bad(tag, "is nested too deep")
    out: list[Segment] = []
    for item in items:
        if item is None:
            item = {}
        if not isinstance(item, dict):
            raise _bad(tag, "has an item that is no object")
        inside = {_tag(key): value for key, value in item.items()}
        segments: list[Segment] = []
        for inner in sorted(inside):
            if inner & 0xFFFF and inner != _SPECIFIC_CHARACTER_SET:
                segments += _element(inner, inside[inner], bulk, depth - 1)
        out += [_ITEM_HEAD.pack(0xFFFE, 0xE000, _length(segments)), *segments]
    return [_head(tag, "SQ", _length(out)), *out]


def _value(tag: int, vr: str, values: Sequence[Any]) -> bytes:
    texts = [_text(tag, vr, value) for value in values]
    try:
        return encode_value(vr, texts, True, UTF_8)
    except (ValueError, IndexError, AttributeError):
        raise _bad(tag, f"has a value that is none of {vr}") from None


def _text(tag: int, vr: str, value: Any) -> str:
    """One value as the text that `encode_value` takes."""
    if value is None:
        return ""
    if vr == "PN":
        return _name(tag, value)
    if isinstance(value, NumberText) or (isinstance(value, int) and not isinstance(value, bool)):
        return _number(tag, vr, value)
    if not isinstance(value, str):
        raise _bad(tag, f"has a value that is none of {vr}")
    if "\\" in value and vr not in ("LT", "ST", "UT", "UR"):
        raise _bad(tag, "has a backslash in a value")
    return value


def _number(tag: int, vr: str, value: NumberText | int) -> str:
    if vr in ("FL", "FD"):
        return str(value)
    if vr == "DS":
        text = str(value)
        if len(text) > 16 and not math.isfinite(float(text)):
            raise _bad(tag, "has a number that DS cannot hold")
        return text if len(text) <= 16 else _short_decimal(float(text))
    if vr != "IS" and vr not in _WHOLE:
        raise _bad(tag, f"has a number, which {vr} is not")
    if isinstance(value, int):
        return str(value)
    number = float(value)
    if not number.is_integer() or abs(number) > 1 << 53:
        raise _bad(tag, "has a fraction where whole numbers stand")
    return str(int(number))


def _short_decimal(value: float) -> str:
    """A number in at most the 16 characters of DS (PS3.5 6.2)."""
    texts = (f"{value:.{digits}g}" for digits in range(16, 6, -1))
    return next((text for text in texts if len(text) <= 16), f"{value:.6g}")


def _name(tag: int, value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or not set(value) <= set(_GROUPS):
        raise _bad(tag, "has a value that is no person name")
    groups = [value.get(group) or "" for group in _GROUPS]
    if any(not isinstance(group, str) or "=" in group or "\\" in group for group in groups):
        raise _bad(tag, "has a component group that is no text")
    return "=".join(groups).rstrip("=")


def _has_text(element: Any) -> bool:
    """Whether an element, or one inside it, has text that is not ASCII."""
    if not isinstance(element, dict):
        return False
    for value in element.get("Value") or () if isinstance(element.get("Value"), list) else ():
        if isinstance(value, str) and not value.isascii():
            return True
        if isinstance(value, dict):
            for inner in value.values():
                if (isinstance(inner, str) and not inner.isascii()) or _has_text(inner):
                    return True
    return False


def _head(tag: int, vr: str, length: int) -> bytes:
    if vr in _LONG:
        return _LONG_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    if length > 0xFFFF:
        return _LONG_HEAD.pack(tag >> 16, tag & 0xFFFF, b"UN", 0, length)
    return _HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), length)


def _length(segments: Iterable[Segment]) -> int:
    return sum(len(segment) if isinstance(segment, bytes) else segment.length for segment in segments)


def _joined(segments: Iterable[Segment]) -> list[Segment]:
    """The same with neighbouring bytes in one piece."""
    out: list[Segment] = []
    pending: list[bytes] = []
    for segment in segments:
        if isinstance(segment, bytes):
            pending.append(segment)
            continue
        if pending:
            out.append(b"".join(pending))
            pending = []
        out.append(segment)
    if pending:
        out.append(b"".join(pending))
    return out


def _bad(tag: int, what: str) -> CannotUnderstand:
    return CannotUnderstand(f"{describe(tag)} {what}", offending=(tag,))
