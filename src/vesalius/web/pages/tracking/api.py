"""The tracking board for scripts.

GET /api/tracking?day=YYYYMMDD&modality=&department=&names=initials    every step of a day and how far it has come
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.ports.ris import Ris
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import single
from vesalius.web.openapi_types import JSON_ERROR, Operation, Value
from vesalius.web.pages import ris_words, tracking
from vesalius.web.pages.schedule.api import day_of
from vesalius.web.pages.schedule.api_types import DAY
from vesalius.web.pages.tracking.board import PHASES, Alert, Row, Wanted
from vesalius.web.render_parameters import parameters_of


def told(row: Row) -> dict[str, Any]:
    """A row in JSON."""
    return {
        "step": row.step,
        "order": row.order,
        "start": row.start,
        "patient": {"name": row.name, "id": row.patient_id},
        "procedure": row.procedure,
        "modality": row.modality,
        "station": row.station,
        "department": row.department,
        "priority": row.priority,
        "phase": row.phase,
        "since": row.since,
        "alerts": sorted(row.alerts),
        "images": {"expected": row.expected, "arrived": row.arrived, "committed": row.committed},
        "study": row.study,
        "accession": row.accession,
    }


def routes(ctx: WebContext) -> list[Route]:
    """Nothing where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, ctx.ris)


def _routes(ctx: WebContext, ris: Ris) -> list[Route]:
    async def listed(request: Request) -> Response:
        parameters = parameters_of(request)
        day = single(parameters, "day")
        names = single(parameters, "names")
        if names not in (None, "initials"):
            raise Problem(400, "names is initials, or left out")
        wanted = Wanted(
            ris_words.now(ctx) if day is None else day_of(day),
            single(parameters, "modality") or "",
            single(parameters, "department") or "",
            names is not None,
        )
        found = await ctx.call(tracking.read, ctx, ris, wanted)
        body = {
            "rows": [told(row) for row in found.rows],
            "counts": {phase.value: count for phase, count in found.counts},
            "off": found.off,
            "last": found.last,
        }
        return momentary(body)

    return [Route("/tracking", listed, methods=["GET"], name="api-tracking")]


_ROW = {
    "type": "object",
    "required": ["step", "order", "start", "patient", "phase", "alerts", "images", "study", "accession"],
    "properties": {
        **{name: {"type": "integer"} for name in ("step", "order")},
        **{name: {"type": "string"} for name in ("start", "procedure", "modality", "station", "department", "priority",
                                                 "since", "study", "accession")},
        "phase": {"type": "string", "enum": [phase.value for phase in PHASES]},
        "alerts": {"type": "array", "items": {"type": "string", "enum": [alert.value for alert in Alert]}},
        "patient": {"type": "object", "required": ["name", "id"]},
        "images": {"type": "object", "required": ["expected", "arrived", "committed"]},
    },
}  # fmt: skip

OPERATIONS = (
    Operation(
        "get", "/tracking", "Every step of a day and how far it has come",
        parameters=(
            Value("day", "YYYYMMDD; today where it is left out", DAY),
            Value("modality", "only this one", {"type": "string", "maxLength": 16}),
            Value("department", "only this one", {"type": "string", "maxLength": 64}),
            Value("names", "initials in place of names, and no IDs", {"type": "string", "enum": ["initials"]}),
        ),
        responses={
            200: {
                "type": "object",
                "required": ["rows", "counts", "off", "last"],
                "properties": {
                    "rows": {"type": "array", "items": _ROW},
                    "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "off": {"type": "integer"},
                    "last": {"type": "integer"},
                },
            },
            400: JSON_ERROR,
        },
    ),
)  # fmt: skip
