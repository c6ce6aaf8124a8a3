"""The HL7 log: what came and what goes out, what became of it, what it says; and what is to be done again.

Theory. A message is shown to who may see patients, laid out by segment and field, beside its acknowledgement; nothing
of it goes into a log. Doing again is the log's own verb: a refused message is processed anew, a sent or held one is
sent again behind what waits. Whatever runs takes it up within seconds; a message that was accepted is never
processed twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.model.errors import WrongState
from vesalius.ports.hl7 import Channel, Incoming, InState, Outgoing, OutState
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.hl7_desk import Hl7Desk
from vesalius.web.pages import flow
from vesalius.web.pages.hl7_log.message import lay_out
from vesalius.web.pages.schedule.api import ref_of
from vesalius.web.pages.shell import Shell

PAGE = 50
IN, OUT = "in", "out"
S = TypeVar("S", InState, OutState)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be listed."""

    way: str
    state: str = ""
    partner: str = ""
    text: str = ""  # the beginning of a control id
    before: int = 0

    def address(self, **changes: object) -> dict[str, object]:
        """The query of an address that lists this, with changes."""
        known = {"way": self.way, "state": self.state, "partner": self.partner, "text": self.text,
                 "before": self.before or ""}  # fmt: skip
        return known | changes


@dataclass(frozen=True, slots=True)
class Line:
    """A row of either log. `look` says how its state is to be drawn: good, bad, warn, going."""

    way: str
    id: int
    at: str
    partner: str
    type: str
    control_id: str
    state: str
    look: str
    code: str
    error: str
    attempts: int
    done_at: str
    address: str = ""
    application: str = ""
    facility: str = ""
    again: bool = False  # whether it can be done again


@dataclass(frozen=True, slots=True)
class Queue:
    """A destination and its queue; `known`: it is in the settings."""

    name: str
    waiting: int
    held: int
    oldest: str
    failures: int
    not_before: str
    known: bool


_IN_LOOK = {InState.RECEIVED: "going", InState.ACCEPTED: "going", InState.DONE: "good", InState.REFUSED: "bad"}
_OUT_LOOK = {OutState.WAITING: "going", OutState.SENT: "good", OutState.HELD: "bad", OutState.REPLAYED: ""}


def line_in(row: Incoming) -> Line:
    """A message that came."""
    return Line(
        IN, row.id, row.at, row.source, row.type, row.control_id, row.state.value, _IN_LOOK[row.state], row.code,
        row.error, row.attempts, row.done_at, row.address, row.application, row.facility,
        row.state in (InState.REFUSED, InState.ACCEPTED),
    )  # fmt: skip


def line_out(row: Outgoing) -> Line:
    """A message that goes out."""
    look = "warn" if row.state is OutState.WAITING and row.error else _OUT_LOOK[row.state]
    return Line(
        OUT, row.id, row.at, row.destination, row.type, row.control_id, row.state.value, look, row.code, row.error,
        row.attempts, row.sent_at, again=row.state is not OutState.WAITING,
    )  # fmt: skip


def _states(kind: type[S], state: str) -> list[S] | None:
    """The states that are asked for; None: there is no such state among these."""
    found = [one for one in kind if state in ("", one.value)]
    return found or None


def lines(desk: Hl7Desk, asked: Asked, limit: int) -> list[Line]:
    """Rows of a log, newest first. Blocks."""
    if asked.way == IN:
        inside = _states(InState, asked.state)
        rows = desk.log.incoming(
            states=inside or (), source=asked.partner, text=asked.text, before=asked.before, limit=limit
        )
        return [line_in(row) for row in rows] if inside else []
    outside = _states(OutState, asked.state)
    found = desk.log.outgoing(
        states=outside or (), destination=asked.partner, text=asked.text, before=asked.before, limit=limit
    )
    return [line_out(row) for row in found] if outside else []


def queues(desk: Hl7Desk) -> list[Queue]:
    """How the destinations stand: those of the settings, and those that still have messages. Blocks."""
    channels: dict[str, Channel] = {one.destination: one for one in desk.log.channels()}
    names = sorted({*desk.destinations, *channels})
    empty = Channel("", 0, 0, "", "", 0)
    found = []
    for name in names:
        one = channels.get(name, empty)
        due = one.not_before if one.failures else ""
        found.append(Queue(name, one.waiting, one.held, one.oldest, one.failures, due, name in desk.destinations))
    return found


def named(request: Request) -> tuple[str, int]:
    """The way and the number that an address names. Raises `Problem` (404)."""
    way = request.path_params["way"]
    if way not in (IN, OUT):
        raise Problem(404, "there is no such message")
    return way, ref_of(request, "message")


def one_of(desk: Hl7Desk, way: str, number: int) -> tuple[Line, str, str]:
    """A message with its text and that of its acknowledgement. Blocks. Raises `Problem` (404)."""
    if way == IN:
        inside = desk.log.one_in(number)
        if inside is not None:
            return line_in(inside), desk.readable(inside.message), desk.readable(inside.ack)
    else:
        outside = desk.log.one_out(number)
        if outside is not None:
            return line_out(outside), desk.readable(outside.message), desk.readable(outside.ack)
    raise Problem(404, "there is no such message")


def again(ctx: WebContext, desk: Hl7Desk, way: str, number: int) -> None:
    """Have it processed or sent again. Blocks. Raises `Problem` (404), `WrongState`."""
    one_of(desk, way, number)
    done = desk.log.replay_in(number, ctx.clock.utc()) if way == IN else desk.log.replay_out(number)
    if not done:
        raise WrongState("it is done or waits already, or its control id stands for another message")


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/hl7` and below; nothing where HL7 is not spoken."""
    return [] if ctx.hl7 is None else _routes(ctx, shell, ctx.hl7)


def _asked(request: Request) -> Asked:
    query = request.query_params
    before = query.get("before", "")
    return Asked(
        OUT if query.get("way") == OUT else IN, query.get("state", "")[:16], query.get("partner", "")[:64],
        query.get("text", "").strip()[:64], int(before) if before.isascii() and before.isdigit() and len(before) < 19
        else 0,
    )  # fmt: skip


def _routes(ctx: WebContext, shell: Shell, desk: Hl7Desk) -> list[BaseRoute]:
    async def _log(request: Request, template: str) -> Response:
        asked = _asked(request)
        rows = await ctx.call(lines, desk, asked, PAGE + 1)
        standing = await ctx.call(queues, desk)
        tabs = await ctx.call(flow.tabs, ctx) if template == "hl7_log.html" else ()
        known = desk.sources if asked.way == IN else desk.destinations
        partners = sorted({*known, *(row.partner for row in rows)} - {""})
        states = [one.value for one in (InState if asked.way == IN else OutState)]
        return shell.render(
            request, template, room="flow", tabs=tabs, tab="hl7", asked=asked, rows=rows[:PAGE], more=len(rows) > PAGE,
            queues=standing, partners=partners, states=states,
        )  # fmt: skip

    async def page(request: Request) -> Response:
        return await _log(request, "hl7_log.html")

    async def part(request: Request) -> Response:
        return await _log(request, "hl7_log-list.html")

    async def message(request: Request) -> Response:
        line, text, ack = await ctx.call(one_of, desk, *named(request))
        tabs = await ctx.call(flow.tabs, ctx)
        return shell.render(
            request, "hl7_log-message.html", room="flow", tabs=tabs, tab="hl7", line=line,
            parts=(("message", lay_out(text)), ("ack", lay_out(ack))),
        )  # fmt: skip

    async def replay(request: Request) -> Response:
        way, number = named(request)
        await ctx.call(again, ctx, desk, way, number)
        # What is sent again is another row of the log, in front of it.
        back = f"/hl7/in/{number}" if way == IN else "/hl7?way=out"
        return RedirectResponse(shell.prefix(request) + back, 303)

    return [
        Route("/hl7", shell.page(page), methods=["GET"], name="hl7"),
        Route("/parts/hl7", shell.page(part), methods=["GET"]),
        Route("/hl7/{way}/{message}", shell.page(message), methods=["GET"]),
        Route("/hl7/{way}/{message}/replay", shell.page(replay), methods=["POST"]),
    ]
