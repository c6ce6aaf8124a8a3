"""From rows to answers: which columns a question needs, and what they say in the words of DICOM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vesalius.backends import schema
from vesalius.backends.database import Row
from vesalius.model.attributes import BY_TAG, DATE_TIME_PAIRS, UNIQUE_KEYS, Attribute, ColumnKind, Role, columns
from vesalius.model.attributes_extract import items_from_json
from vesalius.model.coercion import decimal_text
from vesalius.model.entities import Level, Values
from vesalius.model.matching import answered_items, holds
from vesalius.model.query import DateTimeRange, Match, OneOf, Query

Answer: TypeAlias = "tuple[str, ...] | tuple[Values, ...]"
Reader: TypeAlias = Callable[[Any], Answer]

_TIMEZONE_OFFSET = 0x00080201
_SENT = frozenset(column.name for level in Level for column in columns(level) if column.role is Role.SENT)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to select and how to read it."""

    columns: str  # of the SELECT
    top: Level  # the highest level of which a column is read
    _readers: tuple[tuple[int, Reader], ...]  # (tag, reader) of each column in order
    _answered: int  # the first so many columns belong to the answer
    _sent: tuple[tuple[int, int], ...]  # (tag, column) of numbers as they were written, where that is kept
    _query: Query
    _again: frozenset[int]  # tags of conditions that SQL could only narrow down
    _lists: dict[int, frozenset[str]]  # long lists among them, as sets

    def answers(self, rows: Iterable[Row]) -> list[Match]:
        """The answers in some rows, without those that SQL let through and the oracle does not."""
        readers = self._readers[: self._answered]
        made = []
        for row in rows:
            if self._again and not self._holds(row):
                continue
            values: Values = {}
            for (tag, read), cell in zip(readers, row, strict=False):
                values[tag] = () if cell is None or cell == "" else read(cell)
            for tag, column in self._sent:
                if row[column] is not None:
                    values[tag] = (row[column],)
            made.append(Match(values))
        return made

    def _holds(self, row: Sequence[Any]) -> bool:
        values: Values = {
            tag: () if cell is None or cell == "" else read(cell)
            for (tag, read), cell in zip(self._readers, row, strict=False)
        }
        for tag, condition in self._query.conditions:
            if tag in self._lists:
                if not any(value in self._lists[tag] for value in values[tag]):
                    return False
            elif tag in self._again and not holds(tag, condition, values, self._query.timezone):
                return False
        return True


def plan_answers(query: Query, again: Sequence[int]) -> Plan:
    """The plan for a question; `again` names the conditions to look at again."""
    answered = [tag for tag in sorted(query.returns | {UNIQUE_KEYS[query.level]}) if BY_TAG[tag].level <= query.level]
    needed = [tag for tag in _needed(query, again) if tag not in answered]
    rows = [BY_TAG[tag] for tag in (*answered, *needed)]
    written = [row for row in rows[: len(answered)] if row.column + Role.SENT.value in _SENT]
    names = [(row, row.column) for row in rows] + [(row, row.column + Role.SENT.value) for row in written]
    return Plan(
        columns=", ".join(f"{schema.TABLE_OF[row.level].name}.{name}" for row, name in names),
        top=min(row.level for row in rows),
        _readers=tuple((row.tag, _reader(row, query if row.tag in answered else None)) for row in rows),
        _answered=len(answered),
        _sent=tuple((row.tag, len(rows) + at) for at, row in enumerate(written)),
        _query=query,
        _again=frozenset(again),
        _lists={
            tag: frozenset(condition.values)
            for tag, condition in query.conditions
            if tag in again and isinstance(condition, OneOf) and BY_TAG[tag].kind is not ColumnKind.NAME
        },
    )


def _needed(query: Query, again: Sequence[int]) -> Iterable[int]:
    date_of = {time: date for date, time in DATE_TIME_PAIRS.items()}
    conditions = dict(query.conditions)
    for tag in again:
        yield tag
        condition = conditions[tag]
        if isinstance(condition, DateTimeRange):
            yield condition.time_tag
        if query.timezone and BY_TAG[tag].level >= Level.STUDY:
            yield _TIMEZONE_OFFSET
            if tag in date_of:
                yield date_of[tag]


def _reader(row: Attribute, query: Query | None) -> Reader:
    """How a cell becomes values; with `query`, items of a sequence become what it wants answered of them."""
    if row.kind is ColumnKind.SEQUENCE:
        return items_from_json if query is None else lambda cell: answered_items(row.tag, items_from_json(cell), query)
    if row.kind is ColumnKind.INTEGER:
        return lambda cell: (str(cell),)
    if row.kind is ColumnKind.DECIMAL:
        return lambda cell: (decimal_text(cell),)
    if row.multi:
        return lambda cell: tuple(cell.split("\\"))
    return lambda cell: (cell,)
