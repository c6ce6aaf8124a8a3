"""A message laid out for people: segments, fields with their names, repetitions and components, decoded.

What cannot be cut into segments is shown as it came. The names are the standard's own (`standard/hl7_fields.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vesalius.standard.hl7_fields import name_of, title_of
from vesalius.wire.hl7_message import BadMessage, Segment, lines_of, parse, piece

MOST_SEGMENTS = 300
LONGEST = 4000  # characters of a value, and of a line as it came


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its name ("" where it has none), and each repetition in components."""

    number: int
    name: str
    values: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One segment."""

    name: str
    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """A message: its segments, its lines as they came, and how many of them are left out."""

    parts: tuple[Part, ...]
    lines: tuple[str, ...]
    left: int


def lay_out(text: str) -> Laid:
    """A message for the page."""
    lines = lines_of(text)
    shown = tuple(line[:LONGEST] for line in lines[:MOST_SEGMENTS])
    try:
        segments = parse(text).segments
    except BadMessage:
        return Laid((), shown, len(lines) - len(shown))
    parts = tuple(_part(segment) for segment in segments[:MOST_SEGMENTS])
    return Laid(parts, shown, len(segments) - len(parts))


def _part(segment: Segment) -> Part:
    return Part(segment.name, title_of(segment.name), tuple(_fields(segment)))


def _fields(segment: Segment) -> Iterable[Field]:
    for number in range(1, len(segment.raw) + 1):
        if segment.has(number):
            yield Field(number, name_of(segment.name, number), _values(segment, number))


def _values(segment: Segment, number: int) -> tuple[tuple[str, ...], ...]:
    marks = segment.delimiters
    if segment.name == "MSH" and number <= 2:
        return ((segment.field(number),),)
    try:
        repetitions = segment.repetitions(number)
    except BadMessage:
        return ((segment.field(number)[:LONGEST],),)
    found = []
    for text in repetitions:
        count = text.count(marks.component) + 1
        components = (_component(text, each, marks.subcomponent, segment) for each in range(1, count + 1))
        found.append(tuple(each[:LONGEST] for each in components))
    return tuple(found)


def _component(text: str, number: int, mark: str, segment: Segment) -> str:
    marks = segment.delimiters
    whole = text.split(marks.component)[number - 1]
    count = whole.count(mark) + 1 if mark else 1
    return " & ".join(piece(text, number, each, marks) for each in range(1, count + 1))
