"""Deletions: what was deleted, by whom and why, and taking it back (our own interface, below `/api`).

    GET    /api/deletions      what was deleted, newest first: ?study=, ?state=, ?limit=
    POST   /api/undelete       {"deletion": ID, "reason": ...}

Deleting itself is in `delete.py`. A page of another origin cannot take anything back: a JSON body needs a permission
that is never given.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.delete import LONGEST_TEXT, CannotUndelete, Delete
from vesalius.model.entities import Deletion, Level
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.json_body import json_body
from vesalius.web.negotiation import JSON, number, single
from vesalius.web.openapi_types import JSON_ERROR, Operation, Schema, Value
from vesalius.web.render_parameters import parameters_of

MOST_LISTED = 1000
_BODY = 64 << 10
_STATES = ("deleted", "restored", "purged")


class _Undelete(msgspec.Struct):
    deletion: str
    reason: str = ""


def verbs(ctx: WebContext) -> Delete:
    """The verbs over the context's archive."""
    return Delete(ctx.index, ctx.blobs, ctx.ingest, ctx.clock, window=ctx.view.undelete_window, promised=ctx.promised)


def described(deletion: Deletion, until: str) -> dict[str, Any]:
    """A deletion in JSON."""
    return {
        "deletion": deletion.id,
        "state": deletion.state,
        "level": "INSTANCE" if deletion.level is Level.IMAGE else deletion.level.name,
        "study": deletion.study,
        "series": deletion.series,
        "instance": deletion.sop_instance,
        "at": deletion.at,
        "until": until,  # it can be taken back
        "who": deletion.who,
        "address": deletion.address,
        "reason": deletion.reason,
        "instances": deletion.instances,
        "bytes": deletion.bytes,
    }


def routes(ctx: WebContext) -> list[BaseRoute]:
    """`/deletions` and `/undelete`."""
    delete = verbs(ctx)

    async def listed(request: Request) -> Response:
        parameters = parameters_of(request)
        state = single(parameters, "state") or ""
        if state and state not in _STATES:
            raise Problem(400, f"state is one of {', '.join(_STATES)}")
        limit = number(parameters, "limit")
        found = await ctx.call(
            ctx.index.deletions,
            study=single(parameters, "study") or "",
            state=state,
            limit=MOST_LISTED if limit is None else min(limit, MOST_LISTED),
        )
        body = {"deletions": [described(one, delete.ends(one)) for one in found]}
        return momentary(body)

    async def undelete(request: Request) -> Response:
        wanted = await json_body(request, ctx, _Undelete, _BODY)
        if len(wanted.reason) > LONGEST_TEXT:
            raise Problem(400, f"a reason has at most {LONGEST_TEXT} characters")
        try:
            made = await ctx.call(
                delete.undelete,
                wanted.deletion,
                who="",
                reason=wanted.reason,
                address=request.client.host if request.client is not None else "",
            )
        except CannotUndelete as error:
            raise Problem(409, error.message, error.hint) from None
        return Response(msgspec.json.encode(described(made, delete.ends(made))), 200, {}, JSON)

    return [
        Route("/deletions", listed, methods=["GET"], name="deletions"),
        Route("/undelete", undelete, methods=["POST"], name="undelete"),
    ]


_DELETION: Schema = {
    "type": "object",
    "required": ["deletion", "state", "level", "study", "at", "until", "instances", "bytes"],
}
OPERATIONS = (
    Operation(
        "get", "/deletions", "What was deleted, newest first",
        parameters=(
            Value("study", "of this study", {"type": "string"}),
            Value("state", "in this state", {"type": "string", "enum": list(_STATES)}),
            Value("limit", "most to answer", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),
        ),
        responses={
            200: {"type": "object", "required": ["deletions"],
                  "properties": {"deletions": {"type": "array", "items": _DELETION}}},
            400: JSON_ERROR,
        },
    ),
    Operation(
        "post", "/undelete", "Take a deletion back",
        request={JSON: {
            "type": "object", "required": ["deletion"],
            "properties": {"deletion": {"type": "string"}, "reason": {"type": "string", "maxLength": LONGEST_TEXT}},
        }},
        responses={200: _DELETION, 400: JSON_ERROR, 404: JSON_ERROR, 409: JSON_ERROR, 413: JSON_ERROR,
                   415: JSON_ERROR, 500: JSON_ERROR, 503: JSON_ERROR},
    ),
)  # fmt: skip
