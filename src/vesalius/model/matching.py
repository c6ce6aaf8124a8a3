"""Whether values match a question: the rules of PS3.4 C.2.2.2 in plain Python, one value at a time.

This is the oracle. `backends/query_sql.py` says the same in SQL and was written apart from it; a property test
holds them against each other on random data and random questions. It also does the matching of the in-memory index and
looks again at the few conditions that SQL can only narrow down.

Wildcards are matched without backtracking over more than one `*` at a time: a pattern is cut at its `*`, the
pieces are found one after the other, leftmost first. The time is at most length of pattern times length of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vesalius.model import datetimes
from vesalius.model.attributes import BY_TAG, DATE_TIME_PAIRS, ColumnKind
from vesalius.model.coercion import decimal_of, decimal_text, integer_of
from vesalius.model.entities import Level, Values
from vesalius.model.names import Groups, fold_groups, fold_name
from vesalius.model.phonetics import sounds
from vesalius.model.query import (
    AllOf,
    Condition,
    DateTimeRange,
    IsEmpty,
    ItemMatches,
    OneOf,
    Query,
    Range,
    SoundsLike,
    Wildcard,
)

__all__ = ["deepest", "fold_name", "holds", "matches", "sounds", "value_matches", "wildcard_match"]

_TIMEZONE_OFFSET = 0x00080201
_DATE_OF = {time: date for date, time in DATE_TIME_PAIRS.items()}


def matches(values: Values, query: Query) -> bool:
    """Whether an entity with these values (its own and those of the levels above) satisfies every condition.

    With conditions below the level of the question the entity is one of `deepest(query)`, and what it proves is that
    the one above it, of the level of the question, is an answer.
    """
    return all(holds(tag, condition, values, query.timezone) for tag, condition in query.conditions)


def deepest(query: Query) -> Level:
    """The level of the entities on which every condition can be seen: that of the question, or one below it."""
    return max([query.level, *(BY_TAG[tag].level for tag, _ in query.conditions)])


def holds(tag: int, condition: Condition, values: Values, timezone: str = "") -> bool:
    """Whether one condition holds. `timezone` is that of the question, `&ZZXX` or empty."""
    own = values.get(tag, ())
    if isinstance(condition, ItemMatches):
        return any(_item_matches(item, condition) for item in own if not isinstance(item, str))
    texts = [text for text in own if isinstance(text, str) and text != ""]
    if isinstance(condition, IsEmpty):
        return not texts
    if isinstance(condition, DateTimeRange):
        return _in_span(condition, values, timezone)
    row = BY_TAG[tag]
    if row.kind is ColumnKind.NAME:
        names = texts if row.multi else ["\\".join(texts)] if texts else []
        return any(_name_matches(name, condition) for name in names)
    if isinstance(condition, Range):
        return bool(texts) and _in_range(tag, row.kind, "\\".join(texts), condition, values, timezone)
    if row.kind is ColumnKind.INTEGER:
        texts = [str(number) for number in map(integer_of, texts) if number is not None]
    elif row.kind is ColumnKind.DECIMAL:
        texts = [decimal_text(number) for number in map(decimal_of, texts) if number is not None]
    elif not row.multi and texts:
        texts = ["\\".join(texts)]
    if isinstance(condition, AllOf):
        return set(condition.values) <= set(texts)
    return any(_text_matches(text, condition) for text in texts)


def value_matches(texts: Iterable[str], kind: ColumnKind, condition: Condition) -> bool:
    """Whether the values of one attribute satisfy a condition, for what is not in the table of attributes."""
    present = [text for text in texts if text]
    if isinstance(condition, IsEmpty):
        return not present
    if kind is ColumnKind.NAME:
        return any(_name_matches(name, condition) for name in present)
    if isinstance(condition, Range):
        norm = datetimes.normalize_date if kind is ColumnKind.DATE else datetimes.normalize_time
        return any(_between(norm(text), condition) for text in present)
    return any(_text_matches(text, condition) for text in present)


def wildcard_match(pattern: str, text: str) -> bool:
    """Whether the whole text matches a pattern of `*` and `?`; in at most len(pattern) * len(text) steps."""
    if "*" not in pattern:
        return len(pattern) == len(text) and _piece_at(pattern, text, 0)
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last):
        return False
    end = len(text) - len(last)
    if not _piece_at(first, text, 0) or not _piece_at(last, text, end):
        return False
    at = len(first)
    for piece in middle:
        found = _find_piece(piece, text, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end


def _piece_at(piece: str, text: str, at: int) -> bool:
    if "?" not in piece:
        return text.startswith(piece, at)
    if at + len(piece) > len(text):
        return False
    return all(want in ("?", text[at + place]) for place, want in enumerate(piece))


def _find_piece(piece: str, text: str, start: int, end: int) -> int:
    if "?" not in piece:
        return text.find(piece, start, end)
    return next((at for at in range(start, end - len(piece) + 1) if _piece_at(piece, text, at)), -1)


def _text_matches(text: str, condition: Condition) -> bool:
    if isinstance(condition, OneOf):
        return text in condition.values
    if isinstance(condition, Wildcard):
        return any(wildcard_match(pattern, text) for pattern in condition.patterns)
    return False


def _name_matches(name: str, condition: Condition) -> bool:
    if isinstance(condition, SoundsLike):
        return set(condition.codes) <= set(sounds(name))
    groups = fold_groups(name)
    if isinstance(condition, OneOf):
        return _any_group(groups, condition.values, str.__eq__)
    if isinstance(condition, Wildcard):
        return _any_group(groups, condition.patterns, lambda group, pattern: wildcard_match(pattern, group))
    return False


def _any_group(groups: Groups, wanted: Iterable[str], same: Callable[[str, str], bool]) -> bool:
    """PS3.4 C.2.2.2.1.1: without `=` any group may match, with it the group in the same place."""
    for want in wanted:
        if "=" in want:
            if all(not part or same(group, part) for group, part in zip(groups, want.split("=", 2), strict=False)):
                return True
        elif any(group and same(group, want) for group in groups):
            return True
    return False


def answered_items(tag: int, items: Iterable[Values], query: Query) -> tuple[Values, ...]:
    """Of a sequence: the items that match, with the keys that were asked for and no others (PS3.4 C.2.2.2.6)."""
    condition = next((one for key, one in query.conditions if key == tag), None)
    if isinstance(condition, ItemMatches):
        items = [item for item in items if _item_matches(item, condition)]
    asked = dict(query.item_returns).get(tag)
    if asked is None:
        return tuple(items)
    inner = {key: keys for (outer, key), keys in query.inner_returns if outer == tag}
    return tuple({key: _cut(item.get(key, ()), inner.get(key)) for key in asked} for item in items)


def _cut(
    value: tuple[str, ...] | tuple[Values, ...], asked: frozenset[int] | None
) -> tuple[str, ...] | tuple[Values, ...]:
    if asked is None:
        return value
    return tuple({key: item.get(key, ()) for key in asked} for item in value if not isinstance(item, str))


def _item_matches(item: Values, condition: ItemMatches) -> bool:
    for key, inner in condition.conditions:
        if isinstance(inner, ItemMatches):
            below = (one for one in item.get(key, ()) if not isinstance(one, str))
            if not any(_item_matches(one, inner) for one in below):
                return False
            continue
        texts = [text for text in item.get(key, ()) if isinstance(text, str) and text != ""]
        if isinstance(inner, IsEmpty):
            if texts:
                return False
        elif not any(_text_matches(text, inner) for text in texts):
            return False
    return True


def _in_range(tag: int, kind: ColumnKind, text: str, wanted: Range, values: Values, timezone: str) -> bool:
    if kind is ColumnKind.DATETIME:
        return _between(datetimes.normalize_datetime(text, _offset_of(values)), wanted)
    if kind is ColumnKind.DATE:
        moved = _moved(tag, DATE_TIME_PAIRS.get(tag), values, timezone)
        return _between(moved[:8] if moved else datetimes.normalize_date(text), wanted)
    moved = _moved(_DATE_OF.get(tag), tag, values, timezone)
    return _between(moved[8:] if moved else datetimes.normalize_time(text), wanted)


def _in_span(wanted: DateTimeRange, values: Values, timezone: str) -> bool:
    moved = _moved(wanted.date_tag, wanted.time_tag, values, timezone)
    if moved is not None:
        return _between(moved, wanted)
    date = datetimes.normalize_date(_text_of(values, wanted.date_tag))
    if date is None:
        return False
    time = datetimes.normalize_time(_text_of(values, wanted.time_tag))
    return _between(date + (time or "000000.000000"), wanted)


def _moved(date_tag: int | None, time_tag: int | None, values: Values, timezone: str) -> str | None:
    """Date and time of the entity in the zone of the question, where both zones are known."""
    if not timezone or date_tag is None or time_tag is None:
        return None
    instant = datetimes.instant_utc(
        datetimes.normalize_date(_text_of(values, date_tag)),
        datetimes.normalize_time(_text_of(values, time_tag)),
        _offset_of(values),
    )
    return None if instant is None else datetimes.shift(instant, datetimes.parse_offset(timezone) or 0)


def _offset_of(values: Values) -> int | None:
    return datetimes.parse_offset(_text_of(values, _TIMEZONE_OFFSET))


def _text_of(values: Values, tag: int) -> str:
    return "\\".join(text for text in values.get(tag, ()) if isinstance(text, str))


def _between(value: str | None, wanted: Range | DateTimeRange) -> bool:
    if value is None:
        return False
    return (wanted.low is None or value >= wanted.low) and (wanted.high is None or value <= wanted.high)
