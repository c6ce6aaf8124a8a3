"""The schedule for programs and for the scripts of the pages (our own interface, below `/api/ris`).

    GET    /api/ris/schedule                 steps of some days: ?day=&days=&station=
    GET    /api/ris/slots                    when a step of so many minutes could begin: ?station=&day=&minutes=
    GET    /api/ris/patients                 patients by the beginning of a name or an ID: ?q=&born=
    POST   /api/ris/steps                    plan a procedure that waits for a time
    GET    /api/ris/steps/{step}             one step
    POST   /api/ris/steps/{step}/move        another time or station
    POST   /api/ris/steps/{step}/advance     what happens to it: arrive, miss, cancel, ...
    POST   /api/ris/blocks                   nobody is planned there then
    DELETE /api/ris/blocks/{block}           that time is free again

What is refused because of a time is 409 with a `code`: `taken`, `closed` (`force` and a reason help), `changed` (the
step is not where it was seen).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.errors import BadRecord
from vesalius.model.orders import Appointment, ScheduledStep
from vesalius.model.steps import StepState, StepVerb
from vesalius.ports.ris import Ris, RisView, RisWork, WorklistRow, WorklistWanted
from vesalius.ris import schedule as planning
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.json_body import json_body
from vesalius.web.negotiation import number, single
from vesalius.web.pages import ris_words
from vesalius.web.pages.schedule import booking
from vesalius.web.pages.schedule.api_types import LONGEST_REASON, MOST_DAYS, OPERATIONS
from vesalius.web.pages.schedule.steps import row_of
from vesalius.web.render_parameters import parameters_of

__all__ = ["OPERATIONS", "routes"]

_BODY = 16 << 10
_MOST_PATIENTS = 20
_MOST = (1 << 62) - 1
_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Reason = Annotated[str, msgspec.Meta(max_length=LONGEST_REASON)]
_Number = int | float  # 15.0 is an integer, too (JSON Schema)


class _Seen(msgspec.Struct):
    station: _Text
    start: _Text


class _Move(msgspec.Struct):
    station: _Text = ""
    start: _Text = ""
    minutes: _Number = 0
    force: bool = False
    reason: _Reason = ""
    seen: _Seen | None = None


class _Plan(msgspec.Struct):
    procedure: _Number
    station: _Text
    start: _Text
    minutes: _Number = 0
    force: bool = False
    reason: _Reason = ""


class _Advance(msgspec.Struct):
    verb: StepVerb
    reason: _Reason = ""


class _Block(msgspec.Struct):
    station: _Text
    begin: _Text
    end: _Text
    note: _Reason


B = TypeVar("B", bound=msgspec.Struct)


async def body_of(ctx: WebContext, request: Request, kind: type[B]) -> B:
    """The JSON body of a request. Raises `Problem` (400, 413, 415)."""
    made = await json_body(request, ctx, kind, _BODY)
    for name in made.__struct_fields__:
        value = getattr(made, name)
        if type(value) is str:  # and no verb, which is a word of a list
            setattr(made, name, clean(value))
    return made


def clean(text: str) -> str:
    """A text without NUL, which PostgreSQL keeps in no text."""
    return text.replace("\0", "")


def whole(value: float, name: str, least: int, most: int) -> int:
    """A whole number of a body. Raises `Problem` (400)."""
    if value != value or not least <= value <= most or int(value) != value:
        raise Problem(400, f"{name} is a whole number from {least} to {most}")
    return int(value)


def ref_of(request: Request, name: str) -> int:
    """The number in an address. Raises `Problem` (404)."""
    text = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem(404, "the address holds no number")
    return int(text)


def day_of(text: str) -> datetime:
    """A day, `YYYYMMDD` or `YYYY-MM-DD`. Raises `Problem` (400)."""
    try:
        if not text.isascii() or len(text) not in (8, 10):
            raise ValueError
        found = datetime.strptime(text, "%Y%m%d" if len(text) == 8 else "%Y-%m-%d")
        if found.year not in ris_words.YEARS:
            raise ValueError
        return found
    except ValueError:
        raise Problem(400, "a day is written YYYYMMDD or YYYY-MM-DD") from None


def described(row: WorklistRow, images: bool) -> dict[str, Any]:
    """A step in JSON."""
    step, patient, order = row.step, row.patient, row.order
    return {
        "step": step.ref,
        "number": step.number,
        "state": step.state,
        "station": step.stations[0] if step.stations else "",
        "start": step.start,
        "minutes": step.minutes,
        "modality": step.modality,
        "description": step.description,
        "order": order.ref,
        "accession": order.accession,
        "priority": order.priority,
        "procedure": row.procedure.ref,
        "study": row.procedure.study_uid,
        "images": images,
        "patient": {
            "ref": patient.ref,
            "id": patient.identifier.value,
            "issuer": patient.identifier.issuer,
            "name": patient.name,
            "birth_date": patient.birth_date,
            "sex": patient.sex,
        },
    }


def _one(view: RisView, ref: int) -> dict[str, Any]:
    row = row_of(view, ref)
    return described(row, row.procedure.study_uid in view.studies((row.procedure.study_uid,)))


def _place(wanted: _Move | _Plan) -> booking.Place:
    minutes = whole(wanted.minutes, "minutes", 0, planning.LONGEST_MINUTES)
    return booking.Place(wanted.station, wanted.start, minutes, wanted.force)


def routes(ctx: WebContext) -> list[BaseRoute]:
    """Everything above; nothing where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, ctx.ris)


def _routes(ctx: WebContext, ris: Ris) -> list[BaseRoute]:
    async def listed(request: Request) -> Response:
        parameters = parameters_of(request)
        text = single(parameters, "day")
        first = ris_words.now(ctx) if text is None else day_of(text)
        count = number(parameters, "days")
        if count is not None and not 1 <= count <= MOST_DAYS:
            raise Problem(400, f"days is 1 to {MOST_DAYS}")
        station = clean(single(parameters, "station") or "")
        last = first + timedelta(days=(count or 1) - 1)

        def look(view: RisView) -> dict[str, Any]:
            rows = view.worklist(
                WorklistWanted(
                    tuple(StepState), f"{first:%Y%m%d}000000", f"{last:%Y%m%d}235959", (station,) if station else ()
                ),
            )
            here = view.studies(row.procedure.study_uid for row in rows)
            steps = [described(row, row.procedure.study_uid in here) for row in rows]
            return {"steps": steps, "last": view.last_event()}

        return momentary(await ctx.call(ris.look, look))

    async def slots(request: Request) -> Response:
        parameters = parameters_of(request)
        station, text = clean(single(parameters, "station") or ""), single(parameters, "day") or ""
        day = day_of(text)
        minutes = number(parameters, "minutes")
        if minutes is not None and not 1 <= minutes <= planning.LONGEST_MINUTES:
            raise Problem(400, f"minutes is 1 to {planning.LONGEST_MINUTES}")
        if not station:
            raise Problem(400, "station is missing")
        found = await ctx.call(
            ris.look, lambda view: planning.slots(view, station, f"{day:%Y%m%d}", minutes or 15)
        )  # fmt: skip
        return momentary({"slots": found})

    async def patients(request: Request) -> Response:
        parameters = parameters_of(request)
        text, born = clean(single(parameters, "q") or ""), single(parameters, "born") or ""
        if len(text) > 64:
            raise Problem(400, "q has at most 64 characters")
        birth_date = f"{day_of(born):%Y%m%d}" if born else ""
        if not text.strip() and not birth_date:
            return momentary({"patients": []})
        found = await ctx.call(
            ris.look, lambda view: view.patients(text=text, birth_date=birth_date, limit=_MOST_PATIENTS)
        )
        told = [
            {"ref": one.ref, "id": one.identifier.value, "issuer": one.identifier.issuer, "name": one.name,
             "birth_date": one.birth_date, "sex": one.sex}
            for one in found
        ]  # fmt: skip
        return momentary({"patients": told})

    async def plan(request: Request) -> Response:
        wanted = await body_of(ctx, request, _Plan)
        place = _place(wanted)
        procedure, by = whole(wanted.procedure, "procedure", 1, _MOST), ris_words.by(ctx, wanted.reason)

        def work(unit: RisWork) -> dict[str, Any]:
            return _one(unit, booking.plan(unit, by, procedure, place, ctx.ris_rules).ref)

        try:
            return momentary(await ctx.call(ris.change, work), 201)
        except booking.Refused as error:
            return error.response()

    async def step(request: Request) -> Response:
        ref = ref_of(request, "step")
        return momentary(await ctx.call(ris.look, lambda view: _one(view, ref)))

    async def move(request: Request) -> Response:
        ref, wanted = ref_of(request, "step"), await body_of(ctx, request, _Move)
        place = _place(wanted)
        seen = (wanted.seen.station, wanted.seen.start) if wanted.seen is not None else None
        by = ris_words.by(ctx, wanted.reason)

        def work(unit: RisWork) -> dict[str, Any]:
            before, _ = booking.move(unit, by, ref, place, ctx.ris_rules, seen)
            stood = before.stations[0] if before.stations else ""
            return _one(unit, ref) | {"from": {"station": stood, "start": before.start, "minutes": before.minutes}}

        try:
            return momentary(await ctx.call(ris.change, work))
        except booking.Refused as error:
            return error.response()

    async def advance(request: Request) -> Response:
        ref, wanted = ref_of(request, "step"), await body_of(ctx, request, _Advance)
        by = ris_words.by(ctx, wanted.reason)

        def work(unit: RisWork) -> dict[str, Any]:
            before = unit.get(ScheduledStep, ref)
            if wanted.verb in ris_words.WITH_REASON and not wanted.reason.strip():
                raise BadRecord(f"{wanted.verb} needs a reason")
            planning.advance(unit, by, ref, wanted.verb)
            return _one(unit, ref) | {"before": before.state}

        return momentary(await ctx.call(ris.change, work))

    async def block(request: Request) -> Response:
        wanted = await body_of(ctx, request, _Block)
        for text in (wanted.begin, wanted.end):
            ris_words.moment(text)
        by = ris_words.by(ctx, wanted.note)
        made = await ctx.call(
            ris.change,
            lambda unit: planning.block(unit, by, wanted.station, wanted.begin, wanted.end, wanted.note),
        )
        return momentary(_block(made), 201)

    async def free(request: Request) -> Response:
        ref = ref_of(request, "block")
        await ctx.call(ris.change, lambda unit: planning.free(unit, ris_words.by(ctx), ref))
        return Response(None, 204)

    return [
        Route("/ris/schedule", listed, methods=["GET"]),
        Route("/ris/slots", slots, methods=["GET"]),
        Route("/ris/patients", patients, methods=["GET"]),
        Route("/ris/steps", plan, methods=["POST"]),
        Route("/ris/steps/{step}", step, methods=["GET"]),
        Route("/ris/steps/{step}/move", move, methods=["POST"]),
        Route("/ris/steps/{step}/advance", advance, methods=["POST"]),
        Route("/ris/blocks", block, methods=["POST"]),
        Route("/ris/blocks/{block}", free, methods=["DELETE"]),
    ]


def _block(held: Appointment) -> dict[str, Any]:
    return {"block": held.ref, "station": held.station, "begin": held.begin, "end": held.end, "note": held.note}
