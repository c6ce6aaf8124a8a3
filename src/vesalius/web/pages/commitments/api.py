"""The log of storage commitment for scripts.

GET  /api/commitments?role=scp|scu&state=&peer=&before=&limit=    newest first
GET  /api/commitments/{commitment}                                one, with what became of each instance
POST /api/commitments/{commitment}/again                          ask, or tell, once more
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.commit import Commit
from vesalius.model.commitments import REASONS, Commitment, CommitmentState, Role
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import number, single
from vesalius.web.openapi_types import JSON_ERROR, Operation, Value
from vesalius.web.pages.commitments import again
from vesalius.web.pages.schedule.api import ref_of
from vesalius.web.render_parameters import parameters_of

MOST = 500
_ROLES = [role.value for role in Role]
_STATES = [state.value for state in CommitmentState]


def told(one: Commitment) -> dict[str, Any]:
    """A request in JSON."""
    return {
        "id": one.id, "role": one.role.value, "transaction": one.transaction_uid, "peer": one.peer, "aet": one.aet,
        "state": one.state.value, "instances": one.instances, "failed": one.failed, "attempts": one.reports,
        "study": one.study, "at": one.at, "checked_at": one.checked_at, "done_at": one.done_at, "remark": one.remark,
    }  # fmt: skip


def routes(ctx: WebContext) -> list[Route]:
    """Nothing where there is none."""
    return [] if ctx.commit is None else _routes(ctx, ctx.commit)


def _routes(ctx: WebContext, commit: Commit) -> list[Route]:
    async def listed(request: Request) -> Response:
        parameters = parameters_of(request)
        role, state = single(parameters, "role"), single(parameters, "state")
        if role is not None and role not in _ROLES:
            raise Problem(400, f"role is one of {', '.join(_ROLES)}")
        if state is not None and state not in _STATES:
            raise Problem(400, f"state is one of {', '.join(_STATES)}")
        limit = number(parameters, "limit")
        if limit is not None and not 1 <= limit <= MOST:
            raise Problem(400, f"limit is 1 to {MOST}")
        found = await ctx.call(
            commit.kept.list,
            role=Role(role) if role else None,
            state=CommitmentState(state) if state else None,
            peer=single(parameters, "peer") or "",
            before=number(parameters, "before") or 0,
            limit=limit or 100,
        )
        return momentary({"commitments": [told(one) for one in found]})

    def _whole(ref: int) -> dict[str, Any]:
        one = commit.kept.get(ref)
        if one is None:
            raise Problem(404, "there is no such request")
        named = [
            {"class": each.sop_class, "instance": each.sop_instance, "reason": each.reason,
             "meaning": "" if each.reason is None else REASONS.get(each.reason, f"{each.reason:04X}")}
            for each in commit.kept.instances(ref)
        ]  # fmt: skip
        return {**told(one), "named": named}

    async def one(request: Request) -> Response:
        return momentary(await ctx.call(_whole, ref_of(request, "commitment")))

    async def once_more(request: Request) -> Response:
        made = await ctx.call(again, ctx, commit, ref_of(request, "commitment"))
        return momentary(await ctx.call(_whole, made))

    return [
        Route("/commitments", listed, methods=["GET"]),
        Route("/commitments/{commitment}", one, methods=["GET"]),
        Route("/commitments/{commitment}/again", once_more, methods=["POST"]),
    ]


_COMMITMENT = {
    "type": "object",
    "required": ["id", "role", "transaction", "peer", "aet", "state", "instances", "failed", "attempts", "at"],
    "properties": {
        **{name: {"type": "integer"} for name in ("id", "instances", "failed", "attempts")},
        **{name: {"type": "string"} for name in ("transaction", "peer", "aet", "study", "at", "checked_at", "done_at",
                                                 "remark")},
        "role": {"type": "string", "enum": _ROLES},
        "state": {"type": "string", "enum": _STATES},
        "named": {"type": "array", "items": {
            "type": "object", "required": ["class", "instance", "reason", "meaning"],
            "properties": {"reason": {"type": ["integer", "null"]}}}},
    },
}  # fmt: skip
_OF_ONE = (Value("commitment", "number of its row", {"type": "string", "pattern": "^[0-9]{1,18}$"}, "path", True),)

OPERATIONS = (
    Operation(
        "get", "/commitments", "Requests for storage commitment, newest first",
        parameters=(
            Value("role", "scp: asked of this archive; scu: by it", {"type": "string", "enum": _ROLES}),
            Value("state", "only in this state", {"type": "string", "enum": _STATES}),
            Value("peer", "only of this peer", {"type": "string"}),
            Value("before", "older than this row", {"type": "integer", "minimum": 0, "maximum": 10**17}),
            Value("limit", "at most so many; 100", {"type": "integer", "minimum": 1, "maximum": MOST}),
        ),
        responses={200: {"type": "object", "required": ["commitments"], "properties": {
            "commitments": {"type": "array", "items": _COMMITMENT}}}, 400: JSON_ERROR},
    ),
    Operation("get", "/commitments/{commitment}", "A request with what became of each instance", parameters=_OF_ONE,
              responses={200: _COMMITMENT, 404: JSON_ERROR}),
    Operation("post", "/commitments/{commitment}/again", "Ask, or tell the result, once more", parameters=_OF_ONE,
              responses={200: _COMMITMENT, 404: JSON_ERROR, 409: JSON_ERROR}),
)  # fmt: skip
