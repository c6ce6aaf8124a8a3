"""The query string of a search for workitems, and its answers (PS3.18 11.9): as of QIDO-RS, over any attribute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vesalius.model import workitems as w
from vesalius.model.entities import Values
from vesalius.model.query import QueryLimits
from vesalius.model.workitem_query import WorkitemQuery, parse, shown
from vesalius.ports.workitems import Workitems
from vesalius.ris import workitems
from vesalius.web.negotiation import number
from vesalius.web.qido_parameters import Keys, divided, included, options

MOST_COUNTED = 1000  # results beyond those that are answered

# Answered unasked (PS3.4 Table CC.2.5-3, return keys of type 1 and 2).
RESPONSE = (
    w.SOP_CLASS_UID, w.SOP_INSTANCE_UID, *w.TYPE_1, w.MODIFIED, w.WORKLIST_LABEL, w.PARAMETERS, w.STATION_NAMES,
    w.STATION_CLASSES, w.STATION_PLACES, w.HUMAN_PERFORMERS, w.WORKITEM_CODES, w.INPUT, w.PATIENT_NAME, w.PATIENT_ID,
    0x00100021, 0x00100030, 0x00100040, 0x00380010, w.REFERENCED_REQUESTS, w.STUDY_INSTANCE_UID, w.PROGRESS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search, understood. `values` is the question as C-FIND would have put it."""

    query: WorkitemQuery
    values: Values
    everything: bool = False
    limit: int = 0
    offset: int = 0


def understand(parameters: Iterable[tuple[str, str]], most: int, limits: QueryLimits) -> Wanted:
    """Read a query string. Raises `Problem` (400), and what `workitem_query.parse` raises."""
    matched, reserved = divided(parameters)
    keys = Keys()
    for path, text in matched:
        keys.match(path, text)
    asked = dict(keys.values)
    everything, fields = included(reserved)
    for path in fields:
        keys.include(path)
    for tag in RESPONSE:
        keys.values.setdefault(tag, ())
    limit, offset = number(reserved, "limit"), number(reserved, "offset") or 0
    query = parse(keys.values, options(reserved), limits)
    return Wanted(query, asked, everything, most if limit is None else min(limit, most), offset)


def found(kept: Workitems, wanted: Wanted) -> tuple[list[Values], int]:
    """The answers, and how many follow them, counted no further than `MOST_COUNTED`. Blocks."""
    answers: list[Values] = []
    at = more = 0
    for page in workitems.matching(kept, wanted.query):
        for item in page:
            at += 1
            if at <= wanted.offset:
                continue
            if len(answers) < wanted.limit:
                answers.append(shown(item) if wanted.everything else wanted.query.answer(item))
            else:
                more += 1
                if more >= MOST_COUNTED:
                    return answers, more
    return answers, more if wanted.limit else 0
