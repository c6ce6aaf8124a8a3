"""The search of the top bar, wherever one is: takes anything, answers while one types.

Studies are asked as the list of them asks (`listing.py`). A room that knows more (patients without images, orders) adds
a finder to `FINDERS`; its answers stand above the studies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.web.context import WebContext
from vesalius.web.pages.listing import Listing, Studies, asked_from
from vesalius.web.pages.shell import Shell

HITS = 8  # studies below the field
MOST = 5  # answers of each finder


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that is no study."""

    kind: str  # key of the catalogue: what it is
    title: str  # a name, as it is to be shown
    facts: tuple[str, ...]  # what tells it from others of the same name: ID, birth date, accession number
    path: str  # its page, from the root of the service


# Each gets what was typed; blocks, and answers at once or not at all.
FINDERS: tuple[Callable[[WebContext, str], Sequence[Hit]], ...] = ()


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
