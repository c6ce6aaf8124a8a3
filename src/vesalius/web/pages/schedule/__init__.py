"""The schedule: days and weeks of stations, what stands in them, and what waits for a time; orders; the arrivals desk.

Theory. A page is made whole by the server and works as links and forms; the scripts add the hand (dragging, keys) and
follow the workflow's feed from the event that the page was made with, so that nothing is missed between the two. What
changed is then asked for as the same part of the page again: the picture is never put together twice.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.ports.ris import Ris
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import ris_words
from vesalius.web.pages.schedule import arrivals, days, order_entry, steps
from vesalius.web.pages.schedule.api import day_of
from vesalius.web.pages.schedule.days import Wanted
from vesalius.web.pages.shell import Shell


def wanted_of(ctx: WebContext, request: Request) -> Wanted:
    """What the address asks for; a day that is none is today."""
    asked = request.query_params
    try:
        day = day_of(asked.get("day", ""))
    except Problem:
        day = ris_words.now(ctx).replace(hour=0, minute=0, second=0)
    return Wanted(
        day,
        asked.get("view") == "week",
        asked.get("station", "")[:16],
        asked.get("modality", "")[:16],
        asked.get("department", "")[:64],
    )


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """All pages of the room; none where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, shell, ctx.ris)


def _routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    async def schedule(request: Request) -> Response:
        return await _schedule(request, "schedule.html")

    async def part(request: Request) -> Response:
        return await _schedule(request, "schedule-board.html")

    async def _schedule(request: Request, template: str) -> Response:
        wanted, now = wanted_of(ctx, request), ris_words.now(ctx)
        found = await ctx.call(ris.look, lambda view: days.board(view, wanted, now))
        return shell.render(
            request, template, room="schedule", wanted=wanted, board=found, today=now.strftime("%Y%m%d"),
            now=ris_words.stamp(now),
        )  # fmt: skip

    return [
        Route("/schedule", shell.page(schedule), methods=["GET"], name="schedule"),
        Route("/parts/schedule", shell.page(part), methods=["GET"]),
        *steps.routes(ctx, shell, ris),
        *order_entry.routes(ctx, shell, ris),
        *arrivals.routes(ctx, shell, ris),
    ]
