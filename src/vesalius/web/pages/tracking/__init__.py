"""The tracking board: every step of a day and how far it has come, moving by itself, also on a wall.

Theory. The board is made whole by the server (`board.py`) as of the number of the last event; the script follows the
workflow's feed from there, and asks for the same part again when anything happens, so the picture is never put together
twice. `?names=initials` is for walls that everybody passes: the server then leaves out names, IDs and birth dates, so
they are not in the page at all. `?wall=1` draws it large and without the frame.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.ports.ris import Ris
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import flow, ris_words
from vesalius.web.pages.schedule.api import day_of
from vesalius.web.pages.shell import Shell
from vesalius.web.pages.tracking.board import Board, Wanted, board_of


def wanted_of(ctx: WebContext, request: Request) -> Wanted:
    """What the address asks for; a day that is none is today."""
    asked, today = request.query_params, ris_words.now(ctx).replace(hour=0, minute=0, second=0)
    try:
        day = day_of(asked.get("day", ""))
    except Problem:
        day = today
    return Wanted(
        day,
        asked.get("modality", "")[:16],
        asked.get("department", "")[:64],
        asked.get("names") == "initials",
        day == today,
    )


def read(ctx: WebContext, ris: Ris, wanted: Wanted) -> Board:
    """The board as it is now. Blocks."""
    promised = ctx.commit.kept.promised_of if ctx.commit is not None else lambda studies: {}
    return ris.look(lambda view: board_of(view, wanted, ris_words.now(ctx), promised))


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/tracking` and its part; nothing where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, shell, ctx.ris)


def _routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    async def _tracking(request: Request, template: str) -> Response:
        wanted = wanted_of(ctx, request)
        found = await ctx.call(read, ctx, ris, wanted)
        tabs = await ctx.call(flow.tabs, ctx) if template == "tracking.html" else ()
        now = ris_words.now(ctx)
        return shell.render(
            request, template, room="flow", tabs=tabs, tab="tracking", board=found, wanted=wanted,
            wall=request.query_params.get("wall") == "1", today=now.strftime("%Y%m%d"), clock=now.strftime("%H:%M"),
        )  # fmt: skip

    async def page(request: Request) -> Response:
        return await _tracking(request, "tracking.html")

    async def part(request: Request) -> Response:
        return await _tracking(request, "tracking-board.html")

    return [
        Route("/tracking", shell.page(page), methods=["GET"], name="tracking"),
        Route("/parts/tracking", shell.page(part), methods=["GET"]),
    ]
