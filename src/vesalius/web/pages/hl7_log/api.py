"""The HL7 log for scripts.

GET  /api/hl7/messages?way=in|out&state=&partner=&text=&before=&limit=   newest first
GET  /api/hl7/messages/{way}/{message}                                   one, with its text and its acknowledgement
POST /api/hl7/messages/{way}/{message}/replay                            have it processed or sent again
GET  /api/hl7/queues                                                     how the destinations stand
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.ports.hl7 import InState, OutState
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.hl7_desk import Hl7Desk
from vesalius.web.negotiation import number, single
from vesalius.web.openapi_types import JSON_ERROR, Operation, Value
from vesalius.web.pages.hl7_log import IN, OUT, Asked, Line, again, lines, named, one_of, queues
from vesalius.web.render_parameters import parameters_of

MOST = 500
_STATES = sorted({*(one.value for one in InState), *(one.value for one in OutState)})


def told(line: Line) -> dict[str, Any]:
    """A row in JSON, without the message."""
    return {
        "way": line.way, "id": line.id, "at": line.at, "partner": line.partner, "type": line.type,
        "control_id": line.control_id, "state": line.state, "code": line.code, "error": line.error,
        "attempts": line.attempts, "done_at": line.done_at,
    }  # fmt: skip


def routes(ctx: WebContext) -> list[Route]:
    """Nothing where HL7 is not spoken."""
    return [] if ctx.hl7 is None else _routes(ctx, ctx.hl7)


def _routes(ctx: WebContext, desk: Hl7Desk) -> list[Route]:
    async def listed(request: Request) -> Response:
        parameters = parameters_of(request)
        way, state = single(parameters, "way"), single(parameters, "state")
        if way not in (None, IN, OUT):
            raise Problem(400, "way is in or out")
        if state is not None and state not in _STATES:
            raise Problem(400, "there is no such state", f"One of {', '.join(_STATES)}.")
        limit = number(parameters, "limit")
        if limit is not None and not 1 <= limit <= MOST:
            raise Problem(400, f"limit is 1 to {MOST}")
        asked = Asked(
            way or IN, state or "", single(parameters, "partner") or "", single(parameters, "text") or "",
            number(parameters, "before") or 0,
        )  # fmt: skip
        found = await ctx.call(lines, desk, asked, limit or 100)
        return momentary({"messages": [told(line) for line in found]})

    async def one(request: Request) -> Response:
        line, text, ack = await ctx.call(one_of, desk, *named(request))
        return momentary({**told(line), "message": text, "acknowledgement": ack})

    async def replay(request: Request) -> Response:
        way, message = named(request)
        await ctx.call(again, ctx, desk, way, message)
        line, _, _ = await ctx.call(one_of, desk, way, message)
        return momentary(told(line))

    async def standing(_request: Request) -> Response:
        found = await ctx.call(queues, desk)
        return momentary({"queues": [
            {"destination": each.name, "waiting": each.waiting, "held": each.held, "oldest": each.oldest,
             "failures": each.failures, "not_before": each.not_before}
            for each in found
        ]})  # fmt: skip

    return [
        Route("/hl7/messages", listed, methods=["GET"]),
        Route("/hl7/messages/{way}/{message}", one, methods=["GET"]),
        Route("/hl7/messages/{way}/{message}/replay", replay, methods=["POST"]),
        Route("/hl7/queues", standing, methods=["GET"]),
    ]


_MESSAGE = {
    "type": "object",
    "required": ["way", "id", "at", "partner", "type", "control_id", "state", "code", "error", "attempts", "done_at"],
    "properties": {
        **{name: {"type": "string"} for name in ("at", "partner", "type", "control_id", "code", "error", "done_at",
                                                 "message", "acknowledgement")},
        **{name: {"type": "integer"} for name in ("id", "attempts")},
        "way": {"type": "string", "enum": [IN, OUT]},
        "state": {"type": "string", "enum": _STATES},
    },
}  # fmt: skip
_OF_MESSAGE = (
    Value("way", "in: it came; out: it goes out", {"type": "string", "enum": [IN, OUT]}, "path", True),
    Value("message", "number of its row", {"type": "string", "pattern": "^[0-9]{1,18}$"}, "path", True),
)
_QUEUE = {
    "type": "object",
    "required": ["destination", "waiting", "held", "oldest", "failures", "not_before"],
}

OPERATIONS = (
    Operation(
        "get", "/hl7/messages", "HL7 messages that came or go out, newest first, without their text",
        parameters=(
            Value("way", "in where it is left out", {"type": "string", "enum": [IN, OUT]}),
            Value("state", "only in this state", {"type": "string", "enum": _STATES}),
            Value("partner", "only of this source, or to this destination", {"type": "string"}),
            Value("text", "the beginning of the control id", {"type": "string"}),
            Value("before", "older than this row", {"type": "integer", "minimum": 0, "maximum": 10**17}),
            Value("limit", "at most so many; 100", {"type": "integer", "minimum": 1, "maximum": MOST}),
        ),
        responses={200: {"type": "object", "required": ["messages"], "properties": {
            "messages": {"type": "array", "items": _MESSAGE}}}, 400: JSON_ERROR},
    ),
    Operation("get", "/hl7/messages/{way}/{message}", "A message with its text and its acknowledgement",
              parameters=_OF_MESSAGE, responses={200: _MESSAGE, 404: JSON_ERROR}),
    Operation("post", "/hl7/messages/{way}/{message}/replay", "Have it processed or sent again",
              parameters=_OF_MESSAGE, responses={200: _MESSAGE, 404: JSON_ERROR, 409: JSON_ERROR}),
    Operation("get", "/hl7/queues", "How the destinations stand",
              responses={200: {"type": "object", "required": ["queues"], "properties": {
                  "queues": {"type": "array", "items": _QUEUE}}}}),
)  # fmt: skip
