"""A question to the archive, whatever edge it came through: C-FIND, QIDO-RS, the command line.

The edge decodes an identifier to `Values` and calls `model/query_parser.parse`; the index answers it
(`ports/index.py`). Matching kinds: PS3.4 C.2.2.2.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from vesalius.model.entities import Level, Values


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """How much matching one question may ask for; more is A700 (bad-input D20). Every figure is a setting."""

    wildcards: int = 100  # `*` (runs count once) and `?` in one question
    patterns: int = 1000  # values of one key of which at least one has a wildcard
    pattern_characters: int = 20_000  # of one key, in all


class Root(enum.Enum):
    """Information models of PS3.4 C.3."""

    PATIENT = "patient"
    STUDY = "study"
    PATIENT_STUDY_ONLY = "patient-study-only"


@dataclass(frozen=True, slots=True)
class Options:
    """What extended negotiation (PS3.4 C.5.1.1) or the request granted."""

    relational: bool = False
    combined_datetime: bool = False
    fuzzy_names: bool = False
    timezone_adjustment: bool = False
    empty_value_matching: bool = False
    multiple_value_matching: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Single value or list of UID matching: any of these, exactly (names and LO by the VR's rules)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Multiple value matching: each of these is one of the entity's values (PS3.4 C.2.2.2.8)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`*` any run of characters, `?` any one character (PS3.4 C.2.2.2.4); one of several patterns."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive; an open end is None. Normalized so that plain string comparison is right."""

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """A date range and a time range read as one span of time (combined date-time matching)."""

    date_tag: int
    time_tag: int
    low: str | None  # "YYYYMMDDHHMMSS.FFFFFF"
    high: str | None


@dataclass(frozen=True, slots=True)
class IsEmpty:
    """Empty value matching (PS3.4 C.2.2.2.7)."""


@dataclass(frozen=True, slots=True)
class SoundsLike:
    """Fuzzy semantic matching of person names: each word's phonetic code must occur (PS3.4 C.2.2.2.1.1)."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ItemMatches:
    """Sequence matching: one item of the sequence matches all of these (PS3.4 C.2.2.2.6)."""

    conditions: tuple[tuple[int, Condition], ...]


Condition: TypeAlias = OneOf | AllOf | Wildcard | Range | DateTimeRange | IsEmpty | SoundsLike | ItemMatches


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed question. `conditions` and `returns` name only attributes that the index keeps.

    Conditions may lie below `level` (relational queries, PS3.4 C.4.1.2.2.1): an entity is an answer where one path
    down from it satisfies all of them, a study where one series of it holds every condition on series and, with
    conditions on instances, an instance in that same series holds those. `returns` never go below `level`.
    """

    root: Root
    level: Level
    conditions: tuple[tuple[int, Condition], ...]  # (tag, condition), all must hold; below `level` on one path
    returns: frozenset[int]  # tags to answer, universal keys included
    unsupported: tuple[int, ...] = ()  # keys neither matched nor returned: FF01
    options: Options = Options()
    charset: tuple[str, ...] = ()  # Specific Character Set of the request
    timezone: str = ""  # Timezone Offset From UTC of the request
    limit: int | None = None
    offset: int = 0
    # (sequence, keys asked for in its items); a sequence not named here is answered whole.
    item_returns: tuple[tuple[int, frozenset[int]], ...] = ()
    # The same for sequences inside: ((sequence, sequence in its items), keys asked for there).
    inner_returns: tuple[tuple[tuple[int, int], frozenset[int]], ...] = ()
    newest_first: bool = False  # the order of arrival backwards, for a page that shows what came last


@dataclass(frozen=True, slots=True)
class Match:
    """One answer: the values of the returned attributes at the query's level and above."""

    values: Values
