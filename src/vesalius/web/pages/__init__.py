"""The pages of the rooms, rendered here and moved by a little script of our own."""

from __future__ import annotations

from types import ModuleType

from starlette.routing import BaseRoute

from vesalius.web.context import WebContext
from vesalius.web.pages import (
    commitments,
    fusion,
    hl7_log,
    patient,
    reconcile,
    ris_patient,
    schedule,
    search,
    studies,
    system,
    tags,
    tracking,
)
from vesalius.web.pages.history import History
from vesalius.web.pages.shell import Shell, asset_routes

# Modules with `routes(ctx, shell)`. Where two could match, the first does.
PAGES: tuple[ModuleType, ...] = (
    search,
    studies,
    patient,
    fusion,
    tags,
    schedule,
    tracking,
    hl7_log,
    reconcile,
    commitments,
    ris_patient,
)


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
            *(route for page in PAGES for route in page.routes(ctx, shell)),
            *system.routes(ctx, shell, self._history),
        ]
