"""The search of the top bar, wherever one is: takes anything, answers while one types.

Studies are asked as the list of them asks (`listing.py`). A room that knows more (patients without images, orders) adds
a finder to `FINDERS`; its answers stand above the studies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.web.context import WebContext
from vesalius.web.pages.hits import Hit
from vesalius.web.pages.listing import Listing, Studies, asked_from
from vesalius.web.pages.schedule import finder
from vesalius.web.pages.shell import Shell

HITS = 8  # studies below the field
MOST = 5  # answers of each finder


# Each gets what was typed; blocks, and answers at once or not at all.
FINDERS: tuple[Callable[[WebContext, str], Sequence[Hit]], ...] = (finder.find,)


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/parts/search`."""
    studies = Studies(ctx.search, ctx.view.query)

    async def search(request: Request) -> Response:
        asked = asked_from({"q": request.query_params.get("q", "")})
        hits = [hit for finder in FINDERS for hit in (await ctx.call(finder, ctx, asked.q))[:MOST]] if asked.q else []
        found = await ctx.call(studies.find, asked) if asked.q else Listing((), more=False, count=0)
        return shell.render(request, "search-part.html", room="", q=asked.q, hits=hits, rows=found.rows[:HITS],
                            more=len(found.rows) > HITS)  # fmt: skip

    return [Route("/parts/search", shell.page(search), methods=["GET"])]
