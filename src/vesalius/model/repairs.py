"""A data set with other values than those received: the repair of images on their way out.

Theory. What was received is never changed. On the way out the elements that a repair names get their new value, every
other byte stays where it is, and an item of the Original Attributes Sequence (0400,0561) says what was there before,
who changed it, when and why (PS3.3 C.12.1.1.9). Only what stands before the pixels is touched, so an instance of any
size costs its header.

The new values are written in the character set of the data set where it can hold them. Where it cannot (a name in
kanji for an image that a scanner wrote in Latin-1) the whole header is written in UTF-8, every text with it
(PS3.3 C.12.1.1.2): the words stay the same, and the receiver can read all of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vesalius.model import charset
from vesalius.model.datasets import charsets_of, decode_items, encode, inflate
from vesalius.model.element_places import top_level
from vesalius.model.element_values import decode_value
from vesalius.model.encodings import SHORT, UNDEFINED, Mode, mode_of
from vesalius.model.entities import Values
from vesalius.model.errors import BadRecord, UnableToProcess
from vesalius.standard.dictionary import describe, keyword_of, vr_of
from vesalius.standard.transfer_syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, lookup

SPECIFIC_CHARACTER_SET = 0x00080005
ACCESSION_NUMBER = 0x00080050
REFERRING_PHYSICIAN = 0x00080090
STUDY_DESCRIPTION = 0x00081030
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
ISSUER_OF_PATIENT_ID = 0x00100021
BIRTH_DATE = 0x00100030
SEX = 0x00100040
ORIGINAL_ATTRIBUTES = 0x04000561
_MODIFIED_ATTRIBUTES, _WHEN, _SYSTEM, _SOURCE, _REASON = 0x04000550, 0x04000562, 0x04000563, 0x04000564, 0x04000565

# What a repair may name: attributes of the patient and the study that say whose images these are.
REPAIRABLE = frozenset(
    (
        ACCESSION_NUMBER,
        REFERRING_PHYSICIAN,
        STUDY_DESCRIPTION,
        PATIENT_NAME,
        PATIENT_ID,
        ISSUER_OF_PATIENT_ID,
        BIRTH_DATE,
        SEX,
        0x00100032,  # Patient's Birth Time
        0x00200010,  # Study ID
        0x00380010,  # Admission ID
    )
)
_LONGEST = {"SH": 16, "LO": 64, "CS": 16, "DA": 8, "TM": 14, "PN": 194}
_TEXT = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_UTF8 = ("ISO_IR 192",)
_SYNTAX = {Mode.IMPLICIT_LE: IMPLICIT_LE, Mode.EXPLICIT_LE: EXPLICIT_LE, Mode.EXPLICIT_BE: EXPLICIT_BE}


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute and the value that goes out, with what the Original Attributes Sequence says of it."""

    tag: int
    value: str
    at: str = ""  # UTC, ISO 8601
    system: str = ""
    reason: str = "CORRECT"  # COERCE | CORRECT (PS3.3 C.12.1.1.9)


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    vr: str
    start: int
    value: int
    after: int
    sized: bool  # with a defined length


def check(tag: int, value: str) -> str:
    """The value as it may go out. Raises `BadRecord` for an attribute that no repair may name, or no value of it."""
    if tag not in REPAIRABLE:
        raise BadRecord(f"{describe(tag)} is not an attribute that a repair may change", offending=(tag,))
    value = value.strip()
    longest = _LONGEST[vr_of(tag) or "LO"]
    if len(value) > longest or "\\" in value or any(ord(char) < 32 for char in value):
        raise BadRecord(f"this is no value of {keyword_of(tag)}: at most {longest} characters", offending=(tag,))
    if not value and tag == PATIENT_ID:
        raise BadRecord("a repair cannot leave images without a Patient ID", offending=(tag,))
    return value


def repaired(data: bytes, transfer_syntax: str, changes: Sequence[Change]) -> bytes:
    """A data set, or the part of one before the value of its pixels, with its changes.

    Raises `CannotUnderstand` for a data set whose elements cannot be followed.
    """
    syntax = lookup(transfer_syntax)
    if syntax.deflated:
        stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        made = _repaired(inflate(data), Mode.EXPLICIT_LE, changes)
        made = stream.compress(made) + stream.flush()
        return made + b"\0" * (len(made) % 2)
    return _repaired(data, mode_of(syntax.explicit, syntax.little_endian), changes)


def _repaired(data: bytes, mode: Mode, changes: Sequence[Change]) -> bytes:
    elements = _elements(data, mode)
    charsets = _charsets(data, elements.get(SPECIFIC_CHARACTER_SET))
    wanted = {change.tag: change for change in changes}
    if not all(_fits(change, charsets) for change in changes):
        data = _in_utf8(data, mode, elements, charsets)
        elements, charsets = _elements(data, mode), _UTF8
    before = {tag: _value(data, elements[tag], mode, charsets) for tag in wanted if tag in elements}
    real = [change for change in changes if before.get(change.tag, ("",)) != (change.value,)]
    if not real:
        return data
    edits = {
        change.tag: _encoded({change.tag: (change.value,) if change.value else ()}, mode, charsets) for change in real
    }
    items = tuple(_original(group, before) for group in _by_decision(real))
    edits[ORIGINAL_ATTRIBUTES] = _with_items(data, elements.get(ORIGINAL_ATTRIBUTES), items, mode, charsets)
    return _spliced(data, elements, edits)


def _elements(data: bytes, mode: Mode) -> dict[int, _Element]:
    found: dict[int, _Element] = {}

    def read(at: int, count: int) -> bytes:
        return data[at : at + count]

    little = "big" if mode is Mode.EXPLICIT_BE else "little"
    for tag, vr, start, value, after in top_level(read, len(data), mode):
        long = value - start == 12 or mode is Mode.IMPLICIT_LE
        sized = not long or int.from_bytes(data[value - 4 : value], little) != UNDEFINED  # type: ignore[arg-type]
        found[tag] = _Element(tag, vr, start, value, after, sized)
    return found


def _charsets(data: bytes, element: _Element | None) -> tuple[str, ...]:
    if element is None:
        return ()
    return charsets_of(decode_value("CS", data[element.value : element.after], True, ()))


def _fits(change: Change, charsets: tuple[str, ...]) -> bool:
    return change.value.isascii() or charset.fits(change.value, charsets, vr_of(change.tag) or "LO")


def _value(data: bytes, element: _Element, mode: Mode, charsets: tuple[str, ...]) -> tuple[str, ...]:
    vr = vr_of(element.tag) or "LO"
    values = decode_value(vr, data[element.value : element.after], mode is not Mode.EXPLICIT_BE, charsets)
    return tuple(value.strip(" \0") for value in values) or ("",)


def _encoded(values: Values, mode: Mode, charsets: tuple[str, ...]) -> bytes:
    """Elements without the one that names their character set."""
    syntax = _SYNTAX[mode]
    return encode(values, syntax, charsets)[len(encode({}, syntax, charsets)) :]


def _by_decision(changes: Sequence[Change]) -> list[list[Change]]:
    groups: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.at, change.system, change.reason), []).append(change)
    return [groups[key] for key in sorted(groups)]


def _original(changes: Sequence[Change], before: Mapping[int, tuple[str, ...]]) -> Values:
    """PS3.3 table C.12-1: the values as they were, also where they were empty or not there."""
    first = changes[0]
    modified: Values = {change.tag: tuple(value for value in before.get(change.tag, ()) if value) for change in changes}
    moment = "".join(char for char in first.at[:19] if char.isdigit())
    return {
        _MODIFIED_ATTRIBUTES: (modified,),
        _WHEN: (f"{moment}+0000",) if moment else (),
        _SYSTEM: (first.system,),
        _SOURCE: (),
        _REASON: (first.reason,),
    }


def _with_items(
    data: bytes, element: _Element | None, items: tuple[Values, ...], mode: Mode, charsets: tuple[str, ...]
) -> bytes:
    """The Original Attributes Sequence with further items; the bytes of those that were there stay."""
    made = _encoded({ORIGINAL_ATTRIBUTES: items}, mode, charsets)
    if element is None or element.vr == "UN":
        return made
    head = len(made) - _value_length(made, mode)
    old = data[element.value : element.after if element.sized else element.after - 8]
    value = old + made[head:]
    length = len(value).to_bytes(4, "big" if mode is Mode.EXPLICIT_BE else "little")
    return made[: head - 4] + length + value


def _value_length(made: bytes, mode: Mode) -> int:
    at = 4 if mode is Mode.IMPLICIT_LE else 8
    return int.from_bytes(made[at : at + 4], "big" if mode is Mode.EXPLICIT_BE else "little")


def _spliced(data: bytes, elements: Mapping[int, _Element], edits: Mapping[int, bytes]) -> bytes:
    """The data set with some elements exchanged and some put in where their tags belong.

    The length of a group that changes would be wrong, and nobody needs it (PS3.5 7.2): it goes.
    """
    lengths = {tag & 0xFFFF0000 for tag in edits} & set(elements)
    edits = {**edits, **dict.fromkeys(lengths, b"")}
    out: list[bytes] = []
    at = 0
    waiting = sorted(tag for tag in edits if tag not in elements)
    for tag, element in elements.items():
        while waiting and waiting[0] < tag:
            out += (data[at : element.start], edits[waiting.pop(0)])
            at = element.start
        if tag in edits:
            out += (data[at : element.start], edits[tag])
            at = element.after
    end = max((element.after for element in elements.values()), default=0)
    out.append(data[at:end])
    out += [edits[tag] for tag in waiting]
    out.append(data[end:])
    return b"".join(out)


def _in_utf8(data: bytes, mode: Mode, elements: Mapping[int, _Element], charsets: tuple[str, ...]) -> bytes:
    """The same words in UTF-8: every text of the top level, and sequences that hold anything but ASCII."""
    edits = {SPECIFIC_CHARACTER_SET: encode({}, _SYNTAX[mode], _UTF8)}
    for tag, element in elements.items():
        raw = data[element.value : element.after]
        if tag == SPECIFIC_CHARACTER_SET or (raw.isascii() and b"\x1b" not in raw):
            continue
        try:
            if element.vr in _TEXT:
                edits[tag] = _text_in_utf8(data, element, mode, charsets)
            elif element.vr == "SQ":
                inside = raw if element.sized else raw[:-8]
                edits[tag] = _encoded({tag: _without_charsets(decode_items(inside, mode, charsets))}, mode, _UTF8)
        except UnableToProcess:
            continue  # what cannot be written again stays as it was sent
    return _spliced(data, elements, edits)


def _text_in_utf8(data: bytes, element: _Element, mode: Mode, charsets: tuple[str, ...]) -> bytes:
    """Text under its own tag and VR, private ones too."""
    raw = charset.decode(data[element.value : element.after], charsets, element.vr).encode()
    raw += b" " * (len(raw) % 2)
    order = "big" if mode is Mode.EXPLICIT_BE else "little"
    head = data[element.start : element.start + 4]
    if mode is Mode.IMPLICIT_LE:
        return head + len(raw).to_bytes(4, "little") + raw
    code = element.vr.encode()
    if code in SHORT:
        if len(raw) > 0xFFFE:
            raise UnableToProcess("the text is too long in UTF-8", offending=(element.tag,))
        return head + code + len(raw).to_bytes(2, order) + raw  # type: ignore[arg-type]
    return head + code + b"\0\0" + len(raw).to_bytes(4, order) + raw  # type: ignore[arg-type]


def _without_charsets(items: tuple[Values, ...]) -> tuple[Values, ...]:
    """Items that were in a character set of their own are in that of the data set now."""
    made = []
    for item in items:
        kept: Values = {}
        for tag, values in item.items():
            if tag != SPECIFIC_CHARACTER_SET:
                inner = tuple(value for value in values if isinstance(value, dict))
                kept[tag] = _without_charsets(inner) if inner else values
        made.append(kept)
    return tuple(made)
