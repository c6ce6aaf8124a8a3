"""The modality worklist: which scheduled steps match a question, and what is answered of them (PS3.4 annex K).

Theory. `model/worklist.py` understands the question and builds the answer; the store narrows down by the best index;
every key that narrows nothing down is looked at here, on the answer itself, so that what matches is what is seen.
Steps come in pages, in order of their start, so a long worklist neither fills memory nor holds a cursor open.

Who asks decides what there is to see. A station sees its own steps and those of its department (`Scope`); the called or
calling AE title never names a file or a list, it only finds the station (threat T22: DCMTK #52868). A caller that is no
station sees nothing, unless the house opened its worklist.
"""

from __future__ import annotations

from collections.abc import Iterator

from vesalius.model.entities import Values
from vesalius.model.orders import Station
from vesalius.model.query import Options, QueryLimits
from vesalius.model.query_parser import LIMITS, NO_OPTIONS
from vesalius.model.worklist import WorklistQuery, item_of, parse
from vesalius.ports.ris import Ris, RisView, WorklistRow, WorklistWanted
from vesalius.ris.rules import RisRules, Scope

PAGE = 200


class Worklist:
    """Answers questions. Stateless; blocks, use it from any thread."""

    def __init__(self, ris: Ris, rules: RisRules) -> None:
        self._ris = ris
        self._rules = rules

    def understand(self, values: Values, options: Options = NO_OPTIONS, limits: QueryLimits = LIMITS) -> WorklistQuery:
        """The question. Raises `IdentifierMismatch` (A900), `UnableToProcess` (C000), `LimitExceeded` (A700)."""
        return parse(values, options, limits)

    def find(self, query: WorklistQuery, caller: str) -> Iterator[Values]:
        """The answers for a calling AE title, in order of their start; abandon it to cancel."""
        for page in self.pages(query, caller):
            yield from page

    def pages(self, query: WorklistQuery, caller: str) -> Iterator[list[Values]]:
        """The answers as they are read, an empty list where a page of steps held none: time to look for a cancel."""
        after = ("", 0)
        wanted = _wanted(query, self._rules, self._scope(caller))
        while True:
            page = self._ris.look(lambda view: view.worklist(wanted, limit=PAGE, after=after))  # noqa: B023 - now
            yield [answer for answer in (answer_of(query, row) for row in page) if answer is not None]
            if len(page) < PAGE:
                return
            after = (page[-1].step.start, page[-1].step.ref)

    def _scope(self, caller: str) -> tuple[str, ...] | None:
        if self._rules.worklist_scope is Scope.ALL:
            return None
        return self._ris.look(lambda view: stations_seen(view, caller, self._rules))


def stations_seen(view: RisView, caller: str, rules: RisRules) -> tuple[str, ...] | None:
    """The stations whose steps a caller sees; None: all."""
    station = view.first(Station, aet=caller)
    if station is None or not station.active:
        return None if rules.worklist_open else ()
    if "*" in station.sees:
        return None
    if rules.worklist_scope is Scope.STATION:
        return (station.aet,)
    departments = {station.department, *station.sees} - {""}
    found = {one.aet for department in departments for one in view.find(Station, department=department)}
    return tuple(sorted(found | {station.aet}))


def answer_of(query: WorklistQuery, row: WorklistRow) -> Values | None:
    """What is answered of a step; None where it does not match."""
    item = item_of(row.step, row.procedure, row.order, row.patient, row.visit)
    return query.answer(item)


def _wanted(query: WorklistQuery, rules: RisRules, scope: tuple[str, ...] | None) -> WorklistWanted:
    narrow = query.narrow
    return WorklistWanted(
        states=rules.worklist_states,
        begin=narrow.begin,
        end=narrow.end,
        stations=narrow.stations,
        scope=scope,
        modality=narrow.modality,
        patient_id=narrow.patient_id,
        accession=narrow.accession,
        procedure=narrow.procedure,
        step=narrow.step,
        study=narrow.study,
        names=narrow.names,
    )
