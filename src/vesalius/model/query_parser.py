"""From the identifier of a question to a `Query`: which keys match how, which are only answered, which are unknown.

PS3.4 C.2.2.2 names the matching kinds; the kind follows from the VR and from the value that was sent. What a
question may hold at which level is C.4.1.2.1 (hierarchical) and C.4.1.2.2 (relational): without relational
queries the unique key of every level above must be there, one value each, else the identifier does not fit
the model (A900). A relational question may hold keys of any level: those below the level asked for are matched, all
of them on one entity and what lies in it (see `Query`), but never answered. A key that is not in the table of
attributes, or that lies below the level and asks for no match or came in a hierarchical question, is neither matched
nor answered, and the edge says so (FF01). A value that cannot be read (a reversed range, a day that does
not exist, a UID that is none) is refused with its tag (C000), since an empty answer would look like the truth
(bad-input D18).

More lenient than the standard, on purpose: attributes of the levels above are matched and answered in hierarchical
questions too, and several values in one key mean any of them, negotiated or not.
"""

from __future__ import annotations

import re

from vesalius.model import datetimes
from vesalius.model.attributes import BY_TAG, DATE_TIME_PAIRS, SEQUENCES, UNIQUE_KEYS, Attribute, ColumnKind
from vesalius.model.attributes_table import NESTED_VR
from vesalius.model.coercion import decimal_of, decimal_text, integer_of
from vesalius.model.entities import Level, Values
from vesalius.model.errors import IdentifierMismatch, LimitExceeded, UnableToProcess
from vesalius.model.names import fold_name, name_patterns
from vesalius.model.phonetics import sounds
from vesalius.model.query import (
    AllOf,
    Condition,
    DateTimeRange,
    IsEmpty,
    ItemMatches,
    OneOf,
    Options,
    Query,
    QueryLimits,
    Range,
    Root,
    SoundsLike,
    Wildcard,
)

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
TIMEZONE_OFFSET = 0x00080201
# Read or answered by the edges, never keys of the index (C.4.1.1.3).
_NOT_KEYS = frozenset((SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, 0x00080054, 0x00080056))

LEVELS: dict[Root, tuple[Level, ...]] = {
    Root.PATIENT: (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE),
    Root.STUDY: (Level.STUDY, Level.SERIES, Level.IMAGE),
    Root.PATIENT_STUDY_ONLY: (Level.PATIENT, Level.STUDY),
}

# Of these several values in a key mean all of them, where that was negotiated (C.2.2.2.8); else any of them.
_MULTIPLE_VRS = frozenset(("AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"))
_WILDCARD_VRS = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_STARS = re.compile(r"\*+")

NO_OPTIONS = Options()
LIMITS = QueryLimits()


def parse(
    values: Values,
    root: Root,
    level: Level | None = None,
    options: Options = NO_OPTIONS,
    *,
    limit: int | None = None,
    offset: int = 0,
    limits: QueryLimits = LIMITS,
) -> Query:
    """Understand an identifier. `level` None: taken from Query/Retrieve Level (0008,0052).

    Raises `IdentifierMismatch` (A900), `UnableToProcess` (C000), `LimitExceeded` (A700).
    """
    level = _level(values, root, level)
    if not options.relational:
        _check_unique_keys(values, root, level)
    timezone = _timezone(values)
    conditions: dict[int, Condition] = {}
    returns = set(unique_keys(root, level))
    unsupported: list[int] = []
    item_returns: list[tuple[int, frozenset[int]]] = []
    inner_returns: list[tuple[tuple[int, int], frozenset[int]]] = []
    lowest = LEVELS[root][-1] if options.relational else level
    for tag, value in values.items():
        if tag in _NOT_KEYS or tag & 0xFFFF == 0:
            continue
        row = BY_TAG.get(tag)
        below = row is not None and row.level > level
        if row is None or row.level > lowest or (below and tag == TIMEZONE_OFFSET):
            unsupported.append(tag)
            continue
        if not below:
            returns.add(tag)
        if tag == TIMEZONE_OFFSET:
            continue
        condition: Condition | None
        if row.kind is ColumnKind.SEQUENCE:
            asked = _item_keys(tag, value, unsupported)
            if asked and not below:
                item_returns.append((tag, asked))
                inner_returns += _inner_keys(tag, value, unsupported)
            condition = _sequence_condition(tag, value, options, limits)
        else:
            condition = condition_of(tag, row.vr, row.kind, _texts(tag, value), options, timezone, limits)
        if condition is not None:
            conditions[tag] = condition
        elif below:
            unsupported.append(tag)
    _pair_dates(conditions, options)
    _check_ranges(conditions)
    _check_wildcards(conditions, limits)
    return Query(
        root=root,
        level=level,
        conditions=tuple(conditions.items()),
        returns=frozenset(returns),
        unsupported=tuple(unsupported),
        options=options,
        charset=_texts(SPECIFIC_CHARACTER_SET, values.get(SPECIFIC_CHARACTER_SET, ())),
        timezone=timezone,
        limit=limit,
        offset=offset,
        item_returns=tuple(item_returns),
        inner_returns=tuple(inner_returns),
    )


def unique_keys(root: Root, level: Level) -> tuple[int, ...]:
    """The unique keys from the root of the model down to `level` (PS3.4 C.6.1.1, C.6.2.1)."""
    return tuple(UNIQUE_KEYS[at] for at in LEVELS[root] if at <= level)


def _level(values: Values, root: Root, level: Level | None) -> Level:
    if level is None:
        named = _texts(QUERY_RETRIEVE_LEVEL, values.get(QUERY_RETRIEVE_LEVEL, ()))
        name = named[0].strip() if len(named) == 1 else ""
        if name not in Level.__members__:
            raise IdentifierMismatch(
                "Query/Retrieve Level is missing or unknown",
                hint="send PATIENT, STUDY, SERIES or IMAGE in (0008,0052)",
                offending=(QUERY_RETRIEVE_LEVEL,),
            )
        level = Level[name]
    if level not in LEVELS[root]:
        raise IdentifierMismatch(
            f"Level {level.name} is not one of the {root.value} root model", offending=(QUERY_RETRIEVE_LEVEL,)
        )
    return level


def _check_unique_keys(values: Values, root: Root, level: Level) -> None:
    for tag in unique_keys(root, level)[:-1]:
        sent = _texts(tag, values.get(tag, ()))
        if len(sent) != 1 or not sent[0].strip() or any(char in sent[0] for char in "*?"):
            raise IdentifierMismatch(
                f"{BY_TAG[tag].keyword} must hold one value in a hierarchical query at level {level.name}",
                hint="send the unique keys of the levels above, or negotiate relational queries",
                offending=(tag,),
            )


def _timezone(values: Values) -> str:
    sent = _texts(TIMEZONE_OFFSET, values.get(TIMEZONE_OFFSET, ()))
    text = sent[0].strip() if sent else ""
    if text and (len(sent) != 1 or datetimes.parse_offset(text) is None):
        raise _bad(TIMEZONE_OFFSET, "is no offset of the form &ZZXX")
    return text


def _texts(tag: int, value: tuple[str, ...] | tuple[Values, ...]) -> tuple[str, ...]:
    texts = []
    for part in value:
        if not isinstance(part, str):
            raise UnableToProcess(f"{_name(tag)} holds items where it should hold text", offending=(tag,))
        texts.append(part)
    return tuple(texts)


def condition_of(
    tag: int,
    vr: str,
    kind: ColumnKind,
    values: tuple[str, ...],
    options: Options,
    timezone: str,
    limits: QueryLimits,
) -> Condition | None:
    """How a key matches; None where it matches everything (C.2.2.2.3)."""
    values = tuple(part for part in (text.strip(" \0").replace("\0", "\ufffd") for text in values) if part)
    if not values or (len(values) == 1 and not values[0].strip("*")):
        return None
    if options.empty_value_matching and values == ('""',):
        return IsEmpty()
    if kind is ColumnKind.NAME:
        return _name_condition(values, options, limits)
    if kind in (ColumnKind.DATE, ColumnKind.TIME, ColumnKind.DATETIME):
        if len(values) > 1:
            raise _bad(tag, "holds more than one value or range")
        return _range(tag, kind, values[0], timezone)
    if vr == "UI":
        for uid in values:
            if len(uid) > 64 or not _UID.fullmatch(uid):
                raise _bad(tag, "holds a value that is no UID")
        return OneOf(_without_repeats(values))
    if kind is ColumnKind.INTEGER:
        return OneOf(_without_repeats(tuple(_number(tag, text) for text in values)))
    if kind is ColumnKind.DECIMAL:
        return OneOf(_without_repeats(tuple(_decimal(tag, text) for text in values)))
    if vr in _WILDCARD_VRS and any("*" in text or "?" in text for text in values):
        return Wildcard(_without_repeats(tuple(_STARS.sub("*", text) for text in values)))
    if options.multiple_value_matching and kind is ColumnKind.MULTI and len(values) > 1 and vr in _MULTIPLE_VRS:
        return AllOf(_without_repeats(values))
    return OneOf(_without_repeats(values))


def _name_condition(values: tuple[str, ...], options: Options, limits: QueryLimits) -> Condition | None:
    if any("*" in text or "?" in text for text in values):
        if sum(map(len, values)) > limits.pattern_characters:
            raise LimitExceeded("Name patterns are too long", hint="ask with fewer or shorter patterns")
        patterns = (pattern for text in values for pattern in name_patterns(_STARS.sub("*", text)))
        return Wildcard(_without_repeats(tuple(patterns)))
    if options.fuzzy_names and len(values) == 1:
        codes = sounds(values[0])
        if codes:
            return SoundsLike(codes)
    folded = _without_repeats(tuple(name for name in (fold_name(text) for text in values) if name))
    return OneOf(folded) if folded else None


def _range(tag: int, kind: ColumnKind, text: str, timezone: str) -> Range:
    if kind is ColumnKind.DATETIME:
        instants = datetimes.datetime_range(text, datetimes.parse_offset(timezone))
        if instants is None:
            raise _bad(tag, "is no date-time and no range of them")
        return Range(*instants)
    ends = datetimes.split_range(text) if "-" in text else (text, text)
    if ends is None or ends == ("", ""):
        raise _bad(tag, "is no range")
    low, high = (_end(tag, kind, end, which) for which, end in enumerate(ends))
    return Range(low, high)


def _end(tag: int, kind: ColumnKind, text: str, which: int) -> str | None:
    if not text:
        return None
    if kind is ColumnKind.DATE:
        day = datetimes.normalize_date(text)
        if day is None:
            raise _bad(tag, "holds what is no date")
        return day
    span = datetimes.time_span(text)
    if span is None:
        raise _bad(tag, "holds what is no time of day")
    return span[which]


def _pair_dates(conditions: dict[int, Condition], options: Options) -> None:
    """Combined date-time matching (C.2.2.2.5.3): a range of days and one of times are one span of time."""
    if not options.combined_datetime:
        return
    for date_tag, time_tag in DATE_TIME_PAIRS.items():
        days, times = conditions.get(date_tag), conditions.get(time_tag)
        if not isinstance(days, Range) or not isinstance(times, Range):
            continue
        low = None if days.low is None else days.low + (times.low or "000000.000000")
        high = None if days.high is None else days.high + (times.high or "235959.999999")
        del conditions[time_tag]
        conditions[date_tag] = DateTimeRange(date_tag, time_tag, low, high)


def _check_ranges(conditions: dict[int, Condition]) -> None:
    for tag, condition in conditions.items():
        if isinstance(condition, Range | DateTimeRange) and condition.low is not None and condition.high is not None:
            if condition.low > condition.high:
                raise _bad(tag, "is a range that ends before it begins")
        elif isinstance(condition, ItemMatches):
            _check_ranges(dict(condition.conditions))


def _check_wildcards(conditions: dict[int, Condition], limits: QueryLimits) -> None:
    found = sum(_wildcards(condition, limits) for condition in conditions.values())
    if found > limits.wildcards:
        raise LimitExceeded(
            f"{found} wildcards in one query; {limits.wildcards} are allowed", hint="ask with fewer wildcards"
        )


def _wildcards(condition: Condition, limits: QueryLimits) -> int:
    if isinstance(condition, ItemMatches):
        return sum(_wildcards(inner, limits) for _, inner in condition.conditions)
    if not isinstance(condition, Wildcard):
        return 0
    if len(condition.patterns) > limits.patterns or sum(map(len, condition.patterns)) > limits.pattern_characters:
        raise LimitExceeded("Too many or too long patterns in one key", hint="ask with fewer or shorter patterns")
    return sum(pattern.count("*") + pattern.count("?") for pattern in condition.patterns)


def _items(tag: int, value: tuple[str, ...] | tuple[Values, ...]) -> Values:
    """The one item of a sequence key; empty where there is none (C.2.2.2.6)."""
    items = [part for part in value if not isinstance(part, str)]
    if len(items) > 1 or len(items) != len(value):
        raise _bad(tag, "must hold exactly one item")
    return items[0] if items else {}


def _item_keys(tag: int, value: tuple[str, ...] | tuple[Values, ...], unsupported: list[int]) -> frozenset[int]:
    asked = [key for key in _items(tag, value) if key & 0xFFFF]
    unsupported.extend(key for key in asked if key not in SEQUENCES[tag])
    return frozenset(key for key in asked if key in SEQUENCES[tag])


def _inner_keys(
    tag: int, value: tuple[str, ...] | tuple[Values, ...], unsupported: list[int]
) -> list[tuple[tuple[int, int], frozenset[int]]]:
    """What is asked for in the items of sequences inside the items of a sequence."""
    found = []
    for key, sent in _items(tag, value).items():
        if key in SEQUENCES[tag] and key in SEQUENCES:
            asked = _item_keys(key, sent, unsupported)
            if asked:
                found.append(((tag, key), asked))
    return found


def _sequence_condition(
    tag: int, value: tuple[str, ...] | tuple[Values, ...], options: Options, limits: QueryLimits
) -> ItemMatches | None:
    """One item that matches every key inside, those of sequences inside it too (C.2.2.2.6)."""
    inside: list[tuple[int, Condition]] = []
    for key, sent in _items(tag, value).items():
        if key not in SEQUENCES[tag]:
            continue
        vr = NESTED_VR.get(key, "SQ")
        if vr == "SQ":
            below = _sequence_condition(key, sent, options, limits) if key in SEQUENCES else None
            if below is not None:
                inside.append((key, below))
            continue
        condition = condition_of(key, vr, ColumnKind.TEXT, _texts(key, sent), options, "", limits)
        if condition is not None:
            inside.append((key, condition))
    return ItemMatches(tuple(inside)) if inside else None


def _number(tag: int, text: str) -> str:
    number = integer_of(text)
    if number is None:
        raise _bad(tag, "holds what is no whole number")
    return str(number)


def _decimal(tag: int, text: str) -> str:
    number = decimal_of(text)
    if number is None:
        raise _bad(tag, "holds what is no number")
    return decimal_text(number)


def _without_repeats(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _name(tag: int) -> str:
    row: Attribute | None = BY_TAG.get(tag)
    return row.keyword if row else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _bad(tag: int, what: str) -> UnableToProcess:
    return UnableToProcess(f"{_name(tag)} {what}", offending=(tag,))
