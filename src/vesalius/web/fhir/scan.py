"""A page of nouns of the workflow: narrowed in the database by columns, then by whatever only the noun itself says.

Theory. Conditions on columns go into the question; tests on the rest run over what comes, in chunks. So that one
request costs no more than one request may, a page ends after `MOST_SCANNED` rows, with fewer answers than asked for and
a link to go on: a page is never the end of a search because it is short, only because it has no `next` (FHIR R4
http.html 3.1.0.12). The cursor is the number of the last row that was looked at, so pages are stable while rows come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from vesalius.model.orders import Noun
from vesalius.ports.ris import Match, RisView, Term
from vesalius.web.fhir import times
from vesalius.web.fhir.parameters import CURSOR, Asked, Given
from vesalius.web.fhir.problems import bad_parameter
from vesalius.web.fhir.resources import number_of

N = TypeVar("N", bound=Noun)
R = TypeVar("R")

CHUNK = 500
MOST_SCANNED = 20_000


@dataclass(slots=True)
class Filter(Generic[N, R]):
    """What a search asks for, of records that are loaded around nouns."""

    where: list[tuple[Term, ...]] = field(default_factory=list)
    first: list[Callable[[N], bool]] = field(default_factory=list)  # what the noun says without what is around it
    tests: list[Callable[[R], bool]] = field(default_factory=list)
    changed: tuple[str, str] = ("", "")

    @property
    def is_narrowed(self) -> bool:
        """Whether the database answers all of it."""
        return not self.first and not self.tests

    def any_of(self, column: str, values: Sequence[str | int]) -> None:
        """The column holds one of these."""
        self.where.append((Term(column, Match.IN, tuple(dict.fromkeys(values))),))

    def nothing(self) -> None:
        """No noun is meant."""
        self.where.append(())

    def between(self, column: str, given: Given, write: Callable[[datetime], str]) -> bool:
        """The column holds a date that is meant; `write` writes one as the column does.

        False where the column alone cannot say it: the caller adds a test.
        """
        tests = given.dates()
        bounds = tests[0].bounds
        if len(tests) != 1 or bounds is None:
            return False
        begin, end = bounds
        self.where.append((Term(column, Match.FROM, ("0",)),))  # what has no date is none
        if begin is not None:
            self.where.append((Term(column, Match.FROM, (write(begin),)),))
        if end is not None:
            self.where.append((Term(column, Match.BELOW, (write(end),)),))
        return True

    def common(self, given: Given) -> bool:
        """`_id` and `_lastUpdated`; False for another parameter."""
        if given.name == "_id":
            self.any_of("id", [number for value in given.strings() if (number := number_of(value))])
            return True
        if given.name == "_lastUpdated":
            dates = given.dates()
            bounds = dates[0].bounds
            if len(dates) != 1 or bounds is None:
                raise bad_parameter(given.name, "takes one date here, and not the prefix ne")
            begin, end = self.changed
            if bounds[0] is not None:
                begin = max(begin, times.utc(bounds[0]))
            if bounds[1] is not None:
                end = min(end or "9", times.utc(bounds[1]))
            self.changed = (begin, end)
            return True
        return False


@dataclass(frozen=True, slots=True)
class Scanned(Generic[R]):
    """What was found."""

    records: list[R]
    total: int | None
    cursor: str


def scan(
    view: RisView,
    kind: type[N],
    wanted: Filter[N, R],
    load: Callable[[RisView, Sequence[N]], Sequence[R]],
    ref_of: Callable[[R], int],
    asked: Asked,
) -> Scanned[R]:
    """One page; only its total where that is asked for. Blocks. Raises `FhirProblem` (400)."""
    after = number_of(asked.cursor) if asked.cursor else 0
    if asked.cursor and not after:
        raise bad_parameter(CURSOR, "is not one that this server gave")
    if asked.counts_only:
        return Scanned([], _counted(view, kind, wanted, load), "")
    chunk = asked.count + 1 if wanted.is_narrowed else CHUNK
    found: list[R] = []
    seen, ended = 0, False
    while len(found) <= asked.count and not ended and seen < MOST_SCANNED:
        nouns = view.page(kind, wanted.where, after=after, limit=chunk, changed=wanted.changed)
        ended = len(nouns) < chunk
        seen += len(nouns)
        if nouns:
            after = nouns[-1].ref
        found += _passing(view, wanted, load, nouns)
    cursor = ""
    if len(found) > asked.count:
        found = found[: asked.count]
        cursor = str(ref_of(found[-1]))
    elif not ended:
        cursor = str(after)
    total: int | None = None
    if not asked.cursor and not cursor:
        total = len(found)
    elif asked.total or wanted.is_narrowed:
        total = _counted(view, kind, wanted, load)
    return Scanned(found, total, cursor)


def _passing(
    view: RisView, wanted: Filter[N, R], load: Callable[[RisView, Sequence[N]], Sequence[R]], nouns: Sequence[N]
) -> list[R]:
    left = [noun for noun in nouns if all(test(noun) for test in wanted.first)]
    return [record for record in load(view, left) if all(test(record) for test in wanted.tests)]


def _counted(
    view: RisView, kind: type[N], wanted: Filter[N, R], load: Callable[[RisView, Sequence[N]], Sequence[R]]
) -> int:
    if wanted.is_narrowed:
        return view.count(kind, wanted.where, changed=wanted.changed)
    after = total = 0
    while nouns := view.page(kind, wanted.where, after=after, limit=CHUNK, changed=wanted.changed):
        total += len(_passing(view, wanted, load, nouns))
        after = nouns[-1].ref
    return total
