"""One scheduled step: the patient, what was ordered and why, how it is done, what may happen next, and what did."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.model.errors import BadRecord, NoSuchRecord
from vesalius.model.orders import Link, Order, Patient, Procedure, RequestedProcedure, ScheduledStep, Visit
from vesalius.model.orders import Station as Machine
from vesalius.model.steps import STEP_GRID, StepVerb, can
from vesalius.ports.ris import Ris, RisView, RisWork, WorklistRow
from vesalius.ris import catalogue
from vesalius.ris import schedule as planning
from vesalius.web.body import Body
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import ris_words
from vesalius.web.pages.ris_words import Person
from vesalius.web.pages.shell import Shell

FORM = 64 << 10
_HISTORY = 40


@dataclass(frozen=True, slots=True)
class Happened:
    """An event in words: `kind` is a key of the catalogue."""

    kind: str
    at: str
    who: str
    why: str
    state: str  # after a change of state
    start: str  # after a move
    station: str


@dataclass(frozen=True, slots=True)
class Details:
    """A step with everything around it."""

    row: WorklistRow
    person: Person
    catalogue: Procedure | None
    station: Machine | None
    end: str
    study: str  # with images; empty: there are none
    history: tuple[Happened, ...]
    verbs: tuple[StepVerb, ...]
    by_hand: tuple[StepVerb, ...]
    movable: bool

    @property
    def state_class(self) -> str:
        """See `ris_words.state_class`."""
        return ris_words.state_class(self.row.step.state)


def row_of(view: RisView, ref: int) -> WorklistRow:
    """A step with everything above it. Raises `NoSuchRecord`."""
    step = view.get(ScheduledStep, ref)
    order = view.get(Order, step.order)
    visit = None
    if order.visit:
        try:
            visit = view.get(Visit, order.visit)
        except NoSuchRecord:
            visit = None
    return WorklistRow(
        step, view.get(RequestedProcedure, step.procedure), order, view.get(Patient, step.patient), visit
    )


def study_of(view: RisView, procedure: RequestedProcedure) -> str:
    """The study of a procedure that has images: under its own UID, or tied to its order; empty where there is none."""
    links = view.find(Link, order_ref=procedure.order)
    uids = [procedure.study_uid, *(link.study for link in links if link.procedure in (0, procedure.ref))]
    here = view.studies(uids)
    return next((uid for uid in uids if uid in here), "")


def details(view: RisView, ref: int) -> Details:
    """Everything that is told of a step. Raises `NoSuchRecord`."""
    row = row_of(view, ref)
    code = row.procedure.code
    aet = row.step.stations[0] if row.step.stations else ""
    return Details(
        row,
        ris_words.person_of(row.patient, row.order.accession),
        catalogue.procedure_by_code(view, code.value, code.scheme) if code is not None else None,
        view.first(Machine, aet=aet) if aet else None,
        ris_words.end_of(row.step.start, row.step.minutes),
        study_of(view, row.procedure),
        tuple(
            Happened(
                event.kind, event.at, event.who, event.why, event.detail.get("to", ""), event.detail.get("start", ""),
                event.detail.get("station", ""),
            )
            for event in view.history(order=row.order.ref)[-_HISTORY:]
            if event.step in (0, ref)
        ),
        ris_words.verbs(row.step.state),
        ris_words.verbs_by_hand(row.step.state),
        can(STEP_GRID, row.step.state, StepVerb.MOVE),
    )  # fmt: skip


async def form_of(ctx: WebContext, request: Request) -> dict[str, str]:
    """The fields of a form that was sent without a script, the last of each name. Raises `Problem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "a form is sent as application/x-www-form-urlencoded")
    data = await Body(request, limit=FORM, idle=ctx.view.upload_idle).whole()
    try:
        fields = parse_qs(data.decode("ascii"), keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise Problem(400, "the form cannot be read") from None
    return {name: values[-1].replace("\0", "").strip() for name, values in fields.items()}


def local_path(text: str) -> str:
    """Where to go back to: a page of ours, or the schedule."""
    return text if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() else "/schedule"


def routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    """The page, the part that the schedule opens beside itself, and what its buttons do."""

    def number(request: Request) -> int:
        text = request.path_params["step"]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Problem(404, "there is no such step")
        return int(text)

    async def page(request: Request) -> Response:
        ref = number(request)
        found = await ctx.call(ris.look, lambda view: details(view, ref))
        return shell.render(request, "schedule-step.html", room="schedule", found=found)

    async def part(request: Request) -> Response:
        ref = number(request)
        found = await ctx.call(ris.look, lambda view: details(view, ref))
        return shell.render(request, "schedule-step-part.html", room="schedule", found=found)

    async def advance(request: Request) -> Response:
        ref, form = number(request), await form_of(ctx, request)
        try:
            verb = StepVerb(form.get("verb", ""))
        except ValueError:
            raise Problem(400, "the form names no verb") from None
        reason = form.get("reason", "")[:200]
        if verb in ris_words.WITH_REASON and not reason:
            raise BadRecord(f"{verb} needs a reason")

        def work(unit: RisWork) -> None:
            planning.advance(unit, ris_words.by(ctx, reason), ref, verb)

        await ctx.call(ris.change, work)
        back = local_path(form.get("back", f"/schedule/steps/{ref}"))
        return RedirectResponse(shell.prefix(request) + back, 303)

    return [
        Route("/schedule/steps/{step}", shell.page(page), methods=["GET"]),
        Route("/schedule/steps/{step}", shell.page(advance), methods=["POST"]),
        Route("/parts/schedule/steps/{step}", shell.page(part), methods=["GET"]),
    ]
