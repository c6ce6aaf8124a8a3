"""The query string of a search as the identifier that C-FIND would have sent (PS3.18 8.3.4, 10.6.1).

Matching is by attribute: a keyword, a tag of eight hexadecimal digits, or a path of them through sequences
(`00400275.00400009`). The identifier goes through `model/query_parser`, the very same as that of C-FIND, so both
mean the same by the same key. What is not the name of an attribute is 400. An attribute that the index does not keep is
left to the headers of the instances (`qido_headers`) where instances are searched for; else it is neither matched nor
answered, and a warning says so. A parameter stands once, but for `includefield` and lists of UIDs, which add up
(bad-input H18, H20).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vesalius.model.attributes import ATTRIBUTES, BY_TAG, SEQUENCES, ColumnKind
from vesalius.model.dicom_json import single_vr
from vesalius.model.entities import Level, Values
from vesalius.model.query import Options, Query, QueryLimits, Root
from vesalius.model.query_parser import LIMITS, parse
from vesalius.standard.dictionary import describe, tag_of
from vesalius.web.errors import Problem
from vesalius.web.negotiation import flag, number
from vesalius.web.qido_headers import MOST_READ, NOTHING_BEYOND, Beyond

MOST_PARAMETERS = 500  # in one query string, included fields counted
DEPTH = 8  # sequences in one path; a longer one is 400

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
# Text that may hold several values, split as C-FIND splits it (PS3.5 6.4).
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})

# What is no key in a search (PS3.18 8.3.4).
RESERVED = frozenset(
    {"accept", "charset", "fuzzymatching", "emptyvaluematching", "multiplevaluematching", "includefield", "limit"}
    | {"offset"}
)

SPECIFIC_CHARACTER_SET = 0x00080005
RETRIEVE_URL = 0x00081190
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE = 0x00080201
STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
REQUEST_ATTRIBUTES = 0x00400275

# Table 10.6.3-3 to -5: what is answered without being asked for.
STUDY_RESPONSE = (
    *(0x00080020, 0x00080030, 0x00080050, 0x00080061, 0x00080090, TIMEZONE, 0x00100010, 0x00100020, 0x00100030),
    *(0x00100040, STUDY, 0x00200010, 0x00201206, 0x00201208),
)
SERIES_RESPONSE = (
    *(0x00080060, TIMEZONE, 0x0008103E, SERIES, 0x00200011, 0x00201209, 0x00400244, 0x00400245, REQUEST_ATTRIBUTES),
)
INSTANCE_RESPONSE = (0x00080016, INSTANCE, TIMEZONE, 0x00200013, 0x00280010, 0x00280011, 0x00280100, 0x00280008)
_REQUEST_ITEM = (0x00400009, 0x00401001)
# Answered where there is a value, left out where there is none.
CONDITIONAL = frozenset({TIMEZONE, 0x00280010, 0x00280011, 0x00280100, 0x00280008, 0x00400244, 0x00400245,
                         REQUEST_ATTRIBUTES})  # fmt: skip

# Answered by every search, kept by no row: asking for them is no question to the index.
_ANSWERED = frozenset({SPECIFIC_CHARACTER_SET, INSTANCE_AVAILABILITY, RETRIEVE_URL, 0x00080052, 0x00080054})


@dataclass(frozen=True, slots=True)
class Target:
    """What is searched: the level of the answers, and the studies or series that the path names."""

    level: Level
    study: str | None = None
    series: str | None = None

    @property
    def defaults(self) -> tuple[int, ...]:
        """What is answered unasked: of the level, and of the levels above that the path does not name."""
        found: tuple[int, ...] = ()
        if self.study is None:
            found += STUDY_RESPONSE
        if self.level >= Level.SERIES and self.series is None:
            found += SERIES_RESPONSE
        if self.level is Level.IMAGE:
            found += INSTANCE_RESPONSE
        return found


@dataclass(frozen=True, slots=True)
class Search:
    """A search, understood."""

    query: Query
    optional: frozenset[int]  # answered only where there is a value
    warnings: tuple[str, ...] = ()
    nothing: bool = False  # the path and a parameter name different studies or series
    beyond: Beyond = NOTHING_BEYOND  # what the index does not keep


@dataclass(slots=True)
class Keys:
    """The identifier as it grows."""

    values: Values = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)  # tags named by the request
    ignored: list[int] = field(default_factory=list)
    beyond: dict[tuple[int, ...], str] = field(default_factory=dict)  # values of what the index does not keep
    fields: list[tuple[int, ...]] = field(default_factory=list)  # the same, to be answered alone

    def match(self, path: Sequence[int], text: str) -> None:
        """A matching key; an empty text is universal matching (the attribute is answered)."""
        level, tag = self.values, path[0]
        for step in path[:-1]:
            found = level.get(step, ())
            item: Values = found[0] if found and isinstance(found[0], dict) else {}
            level[step] = (item,)
            level = item
        last = path[-1]
        parts = _split(last, text)
        if level.get(last):
            if single_vr(last) != "UI":
                raise Problem(400, f"{describe(last)} is given more than once")
            parts = (*level[last], *parts)
        if len(path) == 1 and single_vr(last) == "SQ" and text:
            raise Problem(400, f"{describe(last)} is a sequence: match an attribute inside it")
        level[last] = parts if single_vr(last) != "SQ" else level.get(last, ())
        self.asked.add(tag)

    def include(self, path: Sequence[int]) -> None:
        """A field to answer, which is a key that matches everything unless it matches already."""
        level = self.values
        for step in path[:-1]:
            found = level.get(step, ())
            item: Values = found[0] if found and isinstance(found[0], dict) else {}
            level[step] = (item,)
            level = item
        level.setdefault(path[-1], ())
        self.asked.add(path[0])


def divided(parameters: Iterable[tuple[str, str]]) -> tuple[list[tuple[tuple[int, ...], str]], dict[str, list[str]]]:
    """The keys of a query string, in their order, and the values of what is no key. Raises `Problem` (400)."""
    pairs = list(parameters)
    if len(pairs) > MOST_PARAMETERS:
        raise Problem(400, f"more than {MOST_PARAMETERS} query parameters")
    keys: list[tuple[tuple[int, ...], str]] = []
    reserved: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in RESERVED:
            reserved.setdefault(name, []).append(text)
        else:
            keys.append((attribute_path(name), text))
    return keys, reserved


def included(reserved: Mapping[str, Sequence[str]]) -> tuple[bool, list[tuple[int, ...]]]:
    """Whether all fields are asked for, and those that are by name. Raises `Problem` (400)."""
    names = [name.strip() for text in reserved.get("includefield", ()) for name in text.split(",") if name.strip()]
    if len(names) > MOST_PARAMETERS:
        raise Problem(400, f"more than {MOST_PARAMETERS} included fields")
    fields = [attribute_path(name) for name in names if name.lower() != "all"]
    return len(fields) < len(names), fields


def options(reserved: dict[str, list[str]], *, relational: bool = False) -> Options:
    """How to match (PS3.18 8.3.4.3 to 8.3.4.6). Raises `Problem` (400)."""
    return Options(
        relational=relational,
        fuzzy_names=flag(reserved, "fuzzymatching"),
        empty_value_matching=flag(reserved, "emptyvaluematching"),
        multiple_value_matching=flag(reserved, "multiplevaluematching"),
    )


def understand(
    target: Target, parameters: Iterable[tuple[str, str]], most: int, limits: QueryLimits = LIMITS
) -> Search:
    """Read a query string. `most` is the largest number of answers given at once.

    Raises `Problem` (400), and what `query_parser.parse` raises for values that cannot be read.
    """
    matched, reserved = divided(parameters)
    keys = Keys()
    for path, text in matched:
        if path[0] not in _ANSWERED and _is_kept(path, target.level):
            keys.match(path, text)
        elif target.level is Level.IMAGE and _is_in_headers(path):
            if path in keys.beyond:
                raise Problem(400, f"{describe(path[-1])} is given more than once")
            keys.beyond[path] = text
        else:
            keys.ignored.append(path[0])
    named_above = _name_path(keys, target)
    everything, fields = included(reserved)
    if everything:
        _include_all(keys, target.level)
    for path in fields:
        if path[0] not in _ANSWERED and _is_kept(path, target.level):
            keys.include(path)
        elif target.level is Level.IMAGE and _is_in_headers(path):
            keys.fields.append(path)
    beyond = Beyond(tuple(keys.beyond.items()), tuple(keys.fields))
    beyond.check()
    if beyond:
        most = min(most, MOST_READ)
    asked = frozenset(keys.asked)
    for tag in target.defaults:
        if tag == REQUEST_ATTRIBUTES and tag not in asked:
            for inner in _REQUEST_ITEM:
                keys.include((tag, inner))
        elif tag not in keys.values:
            keys.values[tag] = ()
    limit, offset = number(reserved, "limit"), number(reserved, "offset") or 0
    query = parse(
        keys.values,
        Root.STUDY,
        target.level,
        options(reserved, relational=True),
        limit=most if limit is None else min(limit, most),
        offset=offset,
        limits=limits,
    )
    warnings: tuple[str, ...] = ()
    if keys.ignored:
        names = ", ".join(describe(tag) for tag in dict.fromkeys(keys.ignored))
        warnings = (f"These attributes are not searched by and were ignored: {names}",)
    return Search(query, CONDITIONAL - asked, warnings, nothing=not named_above, beyond=beyond)


def _name_path(keys: Keys, target: Target) -> bool:
    """Add the study and series of the path. False where a parameter names another one than the path."""
    for tag, uid in ((STUDY, target.study), (SERIES, target.series)):
        if uid is None:
            continue
        given = keys.values.get(tag, ())
        if given and uid not in given:
            return False
        keys.values[tag] = (uid,)
    return True


def _include_all(keys: Keys, level: Level) -> None:
    for row in ATTRIBUTES:
        if row.level <= level and row.tag not in _ANSWERED:
            keys.values.setdefault(row.tag, ())
            keys.asked.add(row.tag)


def attribute_path(name: str) -> tuple[int, ...]:
    """The tags that a name leads through: sequences, then the attribute. Raises `Problem` (400)."""
    steps = name.split(".")
    if len(steps) > DEPTH:
        raise Problem(400, f"an attribute path is deeper than {DEPTH} sequences")
    path = tuple(_attribute(step) for step in steps)
    for step in path[:-1]:
        if single_vr(step) not in ("SQ", "UN"):
            raise Problem(400, f"{describe(step)} is no sequence")
    return path


def _attribute(step: str) -> int:
    """The tag that a step of a path names."""
    if _TAG.fullmatch(step):
        return int(step, 16)
    tag = tag_of(step) if _KEYWORD.fullmatch(step) else None
    if tag is None:
        raise Problem(
            400,
            "a query parameter is neither an attribute nor one of this service",
            "Name an attribute by its keyword or its tag, sequences by a path of them: 00400275.00400009=...",
        )
    return tag


def _is_kept(path: Sequence[int], level: Level) -> bool:
    """Whether the index keeps an attribute at a level or above it (private ones it does not)."""
    row = BY_TAG.get(path[0])
    if row is None or row.level > level:
        return False
    if len(path) == 1:
        return True
    return row.kind is ColumnKind.SEQUENCE and path[1] in SEQUENCES[path[0]] and len(path) == 2


def _is_in_headers(path: Sequence[int]) -> bool:
    """Whether an attribute can be read from headers: not what is answered anyway, nor what only the index knows."""
    return path[0] not in _ANSWERED and not (len(path) == 1 and path[0] in BY_TAG) and path[0] >> 16 > 0x0002


def _split(tag: int, text: str) -> tuple[str, ...]:
    """The values of a key: backslashes part them, in UIDs commas do too (PS3.18 8.3.4.1)."""
    vr = single_vr(tag)
    if vr == "UI":
        return tuple(part.strip() for part in re.split(r"[,\\]", text) if part.strip())
    if vr in _ONE_VALUE:
        return (text,) if text else ()
    return tuple(part.strip(" \0") for part in text.split("\\")) if text.strip(" \0") else ()
