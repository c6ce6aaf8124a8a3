"""HL7 v2 messages (chapter 2): text to segments, fields, repetitions, components, subcomponents, and back.

Theory. Parsing cuts a message into segments and fields and leaves it at that: most fields of most messages are never
looked at. What is asked for is cut further when it is asked for, and decoded last, so that nothing in a value can be
structure. The delimiters are those of the message's own MSH.

Lenient reading (bad-input row L6): segments may end with CR, as they should, with LF, CR LF or several of them; spaces
after the last field are dropped. Where the first segment ends with CR, a bare LF inside a segment is text and ends
nothing: otherwise a line break in a comment could become a segment. Text ends segments only as its first line says.

Strict writing: CR alone, every value escaped (`hl7_escapes`).

What cannot be read is `BadMessage` with a condition of table 0357 and its place; values never stand in it. The limits
hold before anything is cut that a sender could make large (bad-input row L12).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from vesalius.standard.hl7_tables import Condition
from vesalius.wire.hl7_escapes import STANDARD, Delimiters, decode, encode

NULL = '""'  # the value "delete what you have" (chapter 2.5.3.1); an empty field says nothing

_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{2}")
_CONTROL = re.compile(r"[\x0b\x1c]")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """How much one message may ask for."""

    segments: int = 2000
    fields: int = 500  # of a segment
    repetitions: int = 500  # of a field
    field_chars: int = 1 << 20


LIMITS = MessageLimits()


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a message: what ERR-2 (ERL) says. Numbers begin with 1; 0 is "not told"."""

    segment: str
    occurrence: int = 1
    field: int = 0
    repetition: int = 0
    component: int = 0

    def __str__(self) -> str:
        text = self.segment + (f"({self.occurrence})" if self.occurrence > 1 else "")
        text += f"-{self.field}" if self.field else ""
        return text + (f".{self.component}" if self.component else "")


class BadMessage(Exception):
    """A message that cannot be taken: why (table 0357), where, and a word on it without any value."""

    def __init__(self, condition: Condition, place: Place | None, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.place = place
        self.text = text


class Segment:
    """One segment: its name and its fields as they were written."""

    __slots__ = ("delimiters", "limits", "name", "occurrence", "raw")

    def __init__(
        self,
        name: str,
        raw: Sequence[str],
        delimiters: Delimiters = STANDARD,
        occurrence: int = 1,
        limits: MessageLimits = LIMITS,
    ) -> None:
        """`raw`: the fields from number 1 on (of MSH from MSH-1, the field separator itself)."""
        self.name = name
        self.raw = tuple(raw)
        self.delimiters = delimiters
        self.occurrence = occurrence
        self.limits = limits

    def field(self, number: int) -> str:
        """A field as it was written, escapes and all; empty where there is none."""
        return self.raw[number - 1] if 0 < number <= len(self.raw) else ""

    def repetitions(self, number: int) -> list[str]:
        """The repetitions of a field as they were written; none for an empty field."""
        text = self.field(number)
        if not text:
            return []
        if self.name == "MSH" and number <= 2:
            return [text]
        if text.count(self.delimiters.repetition) >= self.limits.repetitions:
            raise BadMessage(
                Condition.DATA_TYPE,
                Place(self.name, self.occurrence, number),
                f"more than {self.limits.repetitions} repetitions",
            )
        return text.split(self.delimiters.repetition)

    def value(self, field: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """The text at a place, decoded; empty where there is nothing."""
        found = self.repetitions(field)
        if len(found) < repetition:
            return ""
        if self.name == "MSH" and field <= 2:
            return found[0] if component == subcomponent == 1 else ""
        return piece(found[repetition - 1], component, subcomponent, self.delimiters)

    def has(self, field: int) -> bool:
        """Whether anything stands in a field."""
        return bool(self.field(field).strip())

    def place(self, field: int = 0, component: int = 0, repetition: int = 0) -> Place:
        """Where that is, for an error."""
        return Place(self.name, self.occurrence, field, repetition, component)


def piece(text: str, component: int, subcomponent: int, delimiters: Delimiters) -> str:
    """One subcomponent of one repetition, decoded. A component without subcomponents is its own first one."""
    components = text.split(delimiters.component)
    if len(components) < component:
        return ""
    found = components[component - 1]
    if delimiters.subcomponent:
        parts = found.split(delimiters.subcomponent)
        if len(parts) < subcomponent:
            return ""
        found = parts[subcomponent - 1]
    elif subcomponent > 1:
        return ""
    return decode(found, delimiters)


class Message:
    """A whole message."""

    def __init__(self, segments: Sequence[Segment], delimiters: Delimiters = STANDARD) -> None:
        self.segments = tuple(segments)
        self.delimiters = delimiters

    @cached_property
    def msh(self) -> Segment:
        """The header."""
        return self.segments[0]

    @cached_property
    def type(self) -> str:
        """MSH-9.1."""
        return self.msh.value(9, 1).strip()

    @cached_property
    def event(self) -> str:
        """MSH-9.2."""
        return self.msh.value(9, 2).strip()

    @cached_property
    def control_id(self) -> str:
        """MSH-10."""
        return self.msh.value(10).strip()

    def all(self, name: str) -> list[Segment]:
        """Every segment of a name, in order."""
        return [segment for segment in self.segments if segment.name == name]

    def first(self, name: str) -> Segment | None:
        """The first segment of a name."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def value(self, name: str, field: int, component: int = 1, subcomponent: int = 1) -> str:
        """The text at a place of the first segment of a name."""
        segment = self.first(name)
        return segment.value(field, component, subcomponent) if segment is not None else ""

    def groups(self, first: str) -> Iterator[list[Segment]]:
        """The segments from each one called `first` to the next: how orders follow each other in a message."""
        group: list[Segment] = []
        for segment in self.segments:
            if segment.name == first:
                if group:
                    yield group
                group = [segment]
            elif group:
                group.append(segment)
        if group:
            yield group

    def text(self) -> str:
        """The message as it is written: every segment ends with CR."""
        return "".join(_line(segment) for segment in self.segments)


def _line(segment: Segment) -> str:
    separator = segment.delimiters.field
    fields = segment.raw
    if segment.name == "MSH":  # MSH-1 is the separator itself
        fields = fields[1:]
    return separator.join((segment.name, *fields)).rstrip(separator) + "\r"


def delimiters_of(head: str) -> Delimiters:
    """MSH-1 and MSH-2. Raises `BadMessage` where a message does not begin with them (bad-input row L2)."""
    if not head.startswith("MSH") or len(head) < 8:
        raise BadMessage(Condition.SEGMENT_SEQUENCE, Place("MSH"), "the message does not begin with an MSH segment")
    field = head[3]
    encoding, _, _ = head[4:10].partition(field)
    if field.isalnum() or field.isspace() or not 2 <= len(encoding) <= 5:
        raise BadMessage(Condition.DATA_TYPE, Place("MSH", field=2), "MSH-1 and MSH-2 are no delimiters")
    characters = field + encoding
    if len(set(characters)) != len(characters) or any(
        c.isalnum() or c.isspace() or not c.isprintable() or ord(c) > 126 for c in characters
    ):
        raise BadMessage(Condition.DATA_TYPE, Place("MSH", field=2), "MSH-1 and MSH-2 are no different delimiters")
    component, repetition, escape, sub, truncation = tuple((encoding + "\0\0\0")[:5])
    return Delimiters(field, component, repetition, escape.strip("\0"), sub.strip("\0"), truncation.strip("\0"))


def lines_of(text: str) -> list[str]:
    """The segments as text. See the theory above for what ends one."""
    end = re.search(r"\r\n?|\n", text)
    if end is not None and end[0] == "\n":
        found = re.split(r"[\r\n]+", text)
    else:
        found = [line.lstrip("\n") for line in text.split("\r")]
    return [line.rstrip(" ") for line in found if line.strip()]


def parse(text: str, limits: MessageLimits = LIMITS) -> Message:
    """A message from its text. Raises `BadMessage`."""
    text = text.removeprefix(_BOM).lstrip("\r\n ")
    delimiters = delimiters_of(text)
    lines = lines_of(text)
    if len(lines) > limits.segments:
        raise BadMessage(Condition.DATA_TYPE, None, f"more than {limits.segments} segments")
    seen: dict[str, int] = {}
    segments = []
    for number, line in enumerate(lines):
        segments.append(_segment(line, number, delimiters, seen, limits))
    return Message(segments, delimiters)


def _segment(line: str, number: int, delimiters: Delimiters, seen: dict[str, int], limits: MessageLimits) -> Segment:
    name, rest = line[:3], line[3:]
    if not _SEGMENT_ID.fullmatch(name) or (rest and rest[0] != delimiters.field) or (name == "MSH" and number):
        raise BadMessage(Condition.SEGMENT_SEQUENCE, None, f"line {number + 1} does not begin like a segment")
    occurrence = seen[name] = seen.get(name, 0) + 1
    if line.count(delimiters.field) > limits.fields:
        raise BadMessage(Condition.DATA_TYPE, Place(name, occurrence), f"more than {limits.fields} fields")
    fields = rest[1:].split(delimiters.field) if rest else []
    if name == "MSH":
        fields = [delimiters.field, *fields]
    crowded = line.count(delimiters.repetition) >= limits.repetitions
    if crowded or len(line) > limits.field_chars:
        _check_fields(Segment(name, fields, delimiters, occurrence, limits))
    if _CONTROL.search(line):
        raise BadMessage(Condition.DATA_TYPE, Place(name, occurrence), "VT or FS, which frame messages, inside one")
    return Segment(name, fields, delimiters, occurrence, limits)


def _check_fields(segment: Segment) -> None:
    limits = segment.limits
    for number, field in enumerate(segment.raw, 1):
        if len(field) > limits.field_chars:
            raise BadMessage(
                Condition.DATA_TYPE, segment.place(number), f"a field of more than {limits.field_chars} characters"
            )
        segment.repetitions(number)


Field = str | Sequence["str | Sequence[str]"]


def build(name: str, fields: dict[int, Field], delimiters: Delimiters = STANDARD) -> Segment:
    """A segment from values: text, or a sequence of components that are text or sequences of subcomponents.

    Everything is escaped. MSH-1 and MSH-2 are set here. For repetitions see `repeated`.
    """
    raw = [""] * max(fields, default=0)
    for number, value in fields.items():
        raw[number - 1] = value.raw if isinstance(value, Raw) else _field(value, delimiters)
    if name == "MSH":
        raw[:2] = [delimiters.field, delimiters.msh2]
    return Segment(name, raw, delimiters)


class Raw(str):
    """A field that is written already: `repeated`, or what another message said under the same delimiters."""

    __slots__ = ()

    @property
    def raw(self) -> str:
        """The text as it stands in the segment."""
        return str(self)


def repeated(values: Iterable[Field], delimiters: Delimiters = STANDARD) -> Raw:
    """The repetitions of one field."""
    return Raw(delimiters.repetition.join(_field(value, delimiters) for value in values))


def _field(value: Field, delimiters: Delimiters) -> str:
    if isinstance(value, str):
        return encode(value, delimiters)
    parts = [
        encode(part, delimiters)
        if isinstance(part, str)
        else delimiters.subcomponent.join(encode(sub, delimiters) for sub in part).rstrip(delimiters.subcomponent)
        for part in value
    ]
    return delimiters.component.join(parts).rstrip(delimiters.component)
