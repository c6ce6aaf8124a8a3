"""The pages: studies, patient, tags, comparison and system, rendered here and moved by a little script of our own."""

from __future__ import annotations

from starlette.routing import BaseRoute

from vesalius.web.context import WebContext
from vesalius.web.pages import patient, studies, system, tags
from vesalius.web.pages.history import History
from vesalius.web.pages.shell import Shell, asset_routes


class Pages:
    """All pages of one service."""

    def __init__(self, ctx: WebContext) -> None:
        self._ctx = ctx
        self._shell = Shell(ctx)
        self._history = History(ctx)

    def start(self) -> None:
        """The service has begun: remember its figures from now on. Call on the event loop."""
        self._history.start()

    def routes(self) -> list[BaseRoute]:
        """Their addresses, at the root."""
        ctx, shell = self._ctx, self._shell
        return [
            *asset_routes(shell),
            *studies.routes(ctx, shell),
            *patient.routes(ctx, shell),
            *tags.routes(ctx, shell),
            *system.routes(ctx, shell, self._history),
        ]
