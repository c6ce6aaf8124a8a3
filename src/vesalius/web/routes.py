"""The HTTP port: is it alive, is it ready, how is it doing, and one page that says what runs here.

`/health` answers as long as the process does (liveness). `/ready` answers 200 only if an instance sent now would
be stored: index, volume and workers are asked, and 503 names what is missing. `/metrics` is the Prometheus text
form. None of them says anything about a patient. There is nothing to upload and nothing to change here: every
other method is answered 405. Pages load nothing from elsewhere and run no script (T15).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vesalius.web.page import STYLE, page

_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
                                 b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A further place of the packs, and how far it is behind."""

    name: str
    lag_bytes: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows."""

    version: str
    ae_title: str
    listeners: tuple[str, ...]  # "VESALIUS@127.0.0.1:11112", with " (TLS)" where it is
    store_commands: tuple[str, ...]
    workers: tuple[int, int]  # ready, wanted
    index: str  # "SQLite" | "PostgreSQL"
    patients: int
    studies: int
    series: int
    instances: int
    bytes: int
    free_bytes: int
    modalities: tuple[tuple[str, int], ...]
    conflicts: int
    notes: int
    places: tuple[Place, ...]
    problems: tuple[str, ...]
    up_seconds: int


class Site(Protocol):
    """What the pages need; every method may block and is called in a thread."""

    def problems(self) -> list[str]:
        """Why an instance sent now would not be stored; empty: it would be."""
        ...

    def metrics(self) -> bytes:
        """The Prometheus text form."""
        ...

    def facts(self) -> Facts:
        """What the page shows."""
        ...


class _Headers:
    """Adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "alive"})


def _ready(site: Site) -> Callable[[Request], Response]:
    def ready(_request: Request) -> Response:
        problems = site.problems()
        body = {"status": "not ready" if problems else "ready", "problems": problems}
        headers = {"Retry-After": "2"} if problems else {}
        return Response(msgspec.json.encode(body), 503 if problems else 200, headers, "application/json")

    return ready


def create_app(site: Site) -> Starlette:
    """The ASGI application."""

    def metrics(_request: Request) -> Response:
        return Response(site.metrics(), media_type="text/plain; version=0.0.4")

    def home(_request: Request) -> Response:
        return Response(page(site.facts()), media_type="text/html")

    async def style(_request: Request) -> Response:
        return Response(STYLE, media_type="text/css")

    app = Starlette(
        routes=[
            Route("/", home, methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
            Route("/ready", _ready(site), methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route("/page.css", style, methods=["GET"]),
        ]
    )
    app.add_middleware(_Headers)
    return app
