"""The HTTP port: the one place where addresses are put together.

`/health` answers as long as the process does (liveness). `/ready` answers 200 only if an instance sent now would
be stored: index, volume and workers are asked, and 503 names what is missing. `/metrics` is the Prometheus text
form. None of them says anything about a patient.

Every module of this edge has `routes(ctx)`; those of DICOMweb hang under `view.dicom_web`, those of our own
interface under `view.api`, pages and viewer at the root. What is true of every answer is added here: the headers
that forbid scripts of others, framing and sniffing (T15; a page that needs more sets its own policy), 405 with every
method that the address has, errors in one form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vesalius.model.errors import VesaliusError
from vesalius.web import (
    bulkdata,
    capabilities,
    changes,
    errors,
    frames,
    metadata,
    openapi,
    qido,
    rendered,
    stow,
    thumbnail,
    uploads,
    wado,
    wado_uri,
    workstation,
)
from vesalius.web.context import WebContext
from vesalius.web.page import STYLE, page
from vesalius.web.site import Facts, Place, Site

__all__ = ["Facts", "Place", "Site", "create_app"]

# Modules with `routes(ctx)`. Where two could match, the first does.
DICOM_WEB: tuple[ModuleType, ...] = (
    frames,
    wado,
    bulkdata,
    rendered,
    thumbnail,
    wado_uri,
    qido,
    metadata,
    stow,
    capabilities,
)
API: tuple[ModuleType, ...] = (uploads, changes, openapi)
ROOT: tuple[ModuleType, ...] = (workstation, wado_uri)

_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
                                 b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class _Headers:
    """Adds the headers that every answer carries, unless the handler has set its own, and completes `Allow`."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = dict(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if message["status"] == 405:
                    allowed = ", ".join(sorted(_methods(self._routes, asked)))
                    headers = [pair for pair in headers if pair[0].lower() != b"allow"]
                    headers.append((b"allow", allowed.encode()))
                there = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(pair for pair in _HEADERS if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, with_headers)


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    """Every method that the address of a request has, whichever route serves it."""
    found: set[str] = set()
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Mount):
            found |= _methods(route.routes, {**scope, **child})
        elif isinstance(route, Route) and route.methods:
            found |= route.methods
    return found


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "alive"})


def _ready(site: Site) -> Callable[[Request], Response]:
    def ready(_request: Request) -> Response:
        problems = site.problems()
        body = {"status": "not ready" if problems else "ready", "problems": problems}
        headers = {"Retry-After": "2"} if problems else {}
        return Response(msgspec.json.encode(body), 503 if problems else 200, headers, "application/json")

    return ready


def _service(site: Site) -> list[BaseRoute]:
    """What watches over the service, and the page that says what runs here."""

    def metrics(_request: Request) -> Response:
        return Response(site.metrics(), media_type="text/plain; version=0.0.4")

    def home(_request: Request) -> Response:
        return Response(page(site.facts()), media_type="text/html")

    async def style(_request: Request) -> Response:
        return Response(STYLE, media_type="text/css")

    return [
        Route("/health", _health, methods=["GET"]),
        Route("/ready", _ready(site), methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/", home, methods=["GET"]),
        Route("/page.css", style, methods=["GET"]),
    ]


def _of(modules: Iterable[ModuleType], ctx: WebContext) -> list[BaseRoute]:
    return [route for module in modules for route in module.routes(ctx)]


def create_app(ctx: WebContext) -> Starlette:
    """The ASGI application."""
    view = ctx.view
    routes: list[BaseRoute] = [
        *_of(ROOT, ctx),
        *_service(ctx.site),
        Mount(view.dicom_web, app=Router(_of(DICOM_WEB, ctx), redirect_slashes=False)),
        Mount(view.api, app=Router(_of(API, ctx), redirect_slashes=False)),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            errors.Problem: errors.on_problem,
            VesaliusError: errors.on_archive_error,
            404: errors.on_http_exception,
            405: errors.on_http_exception,
            Exception: errors.on_fault,
        },
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Headers, routes=routes)
    return app
