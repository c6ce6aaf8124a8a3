"""The arrivals desk: who is expected today, who is here, who is late, who did not come.

Theory. The list is that of one day in order of time and is told with what a clerk asks a person at the desk: name and
birth date. Two patients of one day with the same family name carry a warning, because that is how the wrong one is sent
in. Each key does one thing and can be taken back: an arrival by `leave`, a missed appointment by `arrive`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.names import fold_name
from vesalius.model.orders import Station
from vesalius.model.steps import STEP_DONE, StepState, StepVerb
from vesalius.ports.ris import Ris, RisView, WorklistWanted
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import ris_words
from vesalius.web.pages.schedule import days
from vesalius.web.pages.schedule.api import day_of
from vesalius.web.pages.schedule.days import Card
from vesalius.web.pages.shell import Shell

_STATES = tuple(state for state in StepState if state is not StepState.CANCELLED)
LATE = 1  # minutes after the appointment from which a patient is late
MOST = 2000


@dataclass(frozen=True, slots=True)
class Expected:
    """A step with how it stands with the patient."""

    card: Card
    late: int  # minutes
    namesake: bool  # another patient of this day has the family name
    verbs: tuple[StepVerb, ...]

    @property
    def over(self) -> bool:
        """Whether nothing is to be done at the desk any more."""
        return self.card.step.state in STEP_DONE

    @property
    def found_by(self) -> str:
        """What the search looks in, folded."""
        card = self.card
        name = fold_name(card.patient.name).replace("^", " ").replace("=", " ")
        return f"{name} {card.patient.identifier.value} {card.order.accession} {card.patient.birth_date}".casefold()


@dataclass(frozen=True, slots=True)
class Desk:
    """The list, as of event `last`."""

    rows: tuple[Expected, ...]
    counts: tuple[tuple[str, int], ...]  # key of the catalogue, how many
    stations: dict[str, str]  # AE title -> room or name
    last: int

    @property
    def over(self) -> int:
        """How many of the rows are over."""
        return sum(row.over for row in self.rows)


def desk(view: RisView, day: datetime, now: datetime, text: str = "") -> Desk:
    """Who is expected on a day. Blocks."""
    found = view.worklist(WorklistWanted(_STATES, f"{day:%Y%m%d}000000", f"{day:%Y%m%d}235959"), limit=MOST)
    here = view.studies(row.procedure.study_uid for row in found)
    namesakes = ris_words.shared_names((row.patient.ref, row.patient.name) for row in found)
    rows = [_expected(days.card_of(row, row.procedure.study_uid in here), now, namesakes) for row in found]
    states = Counter(row.card.step.state for row in rows)
    counts = (
        ("arrivals.expected", states[StepState.SCHEDULED]),
        ("arrivals.late", sum(1 for row in rows if row.late)),
        ("arrivals.here", states[StepState.ARRIVED] + states[StepState.READY]),
        ("arrivals.in", states[StepState.STARTED]),
        ("arrivals.done", states[StepState.COMPLETED] + states[StepState.DISCONTINUED]),
        ("arrivals.missed", states[StepState.NO_SHOW]),
    )
    words = [fold_name(word).casefold() for word in text.replace(",", " ").split()]
    shown = tuple(row for row in rows if all(word in row.found_by for word in words))
    places = {one.aet: one.room or one.name or one.aet for one in view.find(Station)}
    return Desk(shown, counts, places, view.last_event())


def _expected(card: Card, now: datetime, namesakes: set[int]) -> Expected:
    late = 0
    if card.step.state is StepState.SCHEDULED and card.step.start:
        minutes = int((now - ris_words.moment(card.step.start)).total_seconds() // 60)
        late = minutes if minutes >= LATE else 0
    return Expected(card, late, card.patient.ref in namesakes, ris_words.verbs(card.step.state))


def routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    """`/arrivals` and its part."""

    async def _arrivals(request: Request, template: str) -> Response:
        now = ris_words.now(ctx)
        try:
            day = day_of(request.query_params.get("day", ""))
        except Problem:
            day = now.replace(hour=0, minute=0, second=0)
        text = request.query_params.get("q", "")[:64]
        found = await ctx.call(ris.look, lambda view: desk(view, day, now, text))
        return shell.render(
            request, template, room="schedule", desk=found, day=day, today=now.strftime("%Y%m%d"), sought=text
        )

    async def arrivals(request: Request) -> Response:
        return await _arrivals(request, "arrivals.html")

    async def part(request: Request) -> Response:
        return await _arrivals(request, "arrivals-list.html")

    return [
        Route("/arrivals", shell.page(arrivals), methods=["GET"], name="arrivals"),
        Route("/parts/arrivals", shell.page(part), methods=["GET"]),
    ]
