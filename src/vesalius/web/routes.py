"""The HTTP port: the one place where addresses are put together.

`/health` answers as long as the process does (liveness). `/ready` answers 200 only if an instance sent now would
be stored: index, volume and workers are asked, and 503 names what is missing. `/metrics` is the Prometheus text
form. None of them says anything about a patient.

Every module of this edge has `routes(ctx)`; those of DICOMweb hang under `view.dicom_web`, those of our own
interface under `view.api`, FHIR under `view.fhir`, pages and viewer at the root. What is true of every request and
answer is `door.py`; errors are told in one form, those of FHIR in FHIR's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from types import ModuleType

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from vesalius.model.errors import VesaliusError
from vesalius.web import (
    bulkdata,
    bulkdata_all,
    capabilities,
    changes,
    delete,
    deletions,
    errors,
    frames,
    fusion,
    metadata,
    openapi,
    qido,
    rendered,
    ris_changes,
    rois,
    stow,
    thumbnail,
    uploads,
    ups,
    ups_events,
    volume_slices,
    volumes,
    wado,
    wado_uri,
    workstation,
)
from vesalius.web.context import WebContext
from vesalius.web.direct_frames import DirectFrames
from vesalius.web.door import Door
from vesalius.web.fhir import edge as fhir
from vesalius.web.pages import Pages, sends
from vesalius.web.pages.commitments import api as commitments_api
from vesalius.web.pages.hl7_log import api as hl7_api
from vesalius.web.pages.reconcile import api as reconcile_api
from vesalius.web.pages.schedule import api as schedule_api
from vesalius.web.pages.tracking import api as tracking_api
from vesalius.web.site import Facts, Place, Site

__all__ = ["Facts", "Place", "Site", "create_app"]

# Modules with `routes(ctx)`. Where two could match, the first does.
DICOM_WEB: tuple[ModuleType, ...] = (
    qido,
    metadata,
    frames,
    rendered,
    thumbnail,
    wado,
    stow,
    bulkdata,
    bulkdata_all,
    wado_uri,
    delete,
    ups,
    ups_events,
    capabilities,
)
API: tuple[ModuleType, ...] = (
    uploads,
    changes,
    ris_changes,
    schedule_api,
    tracking_api,
    hl7_api,
    reconcile_api,
    commitments_api,
    deletions,
    sends,
    fusion,
    rois,
    volumes,
    volume_slices,
    openapi,
)
ROOT: tuple[ModuleType, ...] = (workstation, wado_uri)


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
    """What watches over the service."""

    def metrics(_request: Request) -> Response:
        return Response(site.metrics(), media_type="text/plain; version=0.0.4")

    return [
        Route("/health", _health, methods=["GET"]),
        Route("/ready", _ready(site), methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


def _of(modules: Iterable[ModuleType], ctx: WebContext) -> list[BaseRoute]:
    return [route for module in modules for route in module.routes(ctx)]


def create_app(ctx: WebContext) -> Starlette:
    """The ASGI application."""
    view = ctx.view
    pages = Pages(ctx)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        pages.start()
        yield

    routes: list[BaseRoute] = [
        # First what is asked for most: an address is compared with one route after the other.
        Mount(view.dicom_web, app=Router(_of(DICOM_WEB, ctx), redirect_slashes=False)),
        Mount(view.api, app=Router(_of(API, ctx), redirect_slashes=False)),
        Mount(view.fhir, app=Router(fhir.routes(ctx), redirect_slashes=False)),
        *_of(ROOT, ctx),
        *_service(ctx.site),
        *pages.routes(),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            errors.Problem: errors.on_problem,
            VesaliusError: errors.on_archive_error,
            404: errors.on_http_exception,
            405: errors.on_http_exception,
            Exception: errors.on_fault,
        },
    )
    app.router.redirect_slashes = False
    app.add_middleware(DirectFrames, ctx=ctx)
    app.add_middleware(
        Door, routes=routes, hosts=view.hosts, public_url=view.public_url, forms={view.fhir: fhir.refusal}
    )
    return app
