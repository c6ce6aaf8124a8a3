"""The list "to reconcile" for scripts.

GET  /api/reconcile?state=open&limit=          studies that wait, or what became of them; newest first
GET  /api/reconcile/{item}                     one, with what the images say and the proposals
POST /api/reconcile/{item}/repair              {"order": REF} or {"patient": REF}: the images belong there
POST /api/reconcile/{item}/accept              right as it is
POST /api/reconcile/{item}/undo                take back what was decided
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.model.orders import Item, Trouble
from vesalius.ports.ris import Ris, RisView, RisWork
from vesalius.ris import reconcile as verbs
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import JSON, number, single
from vesalius.web.openapi_types import JSON_ERROR, Operation, Value
from vesalius.web.pages import ris_words
from vesalius.web.pages.reconcile.cases import STATES, Candidate, Case, case, cases, proposed
from vesalius.web.pages.schedule.api import body_of, ref_of, whole
from vesalius.web.render_parameters import parameters_of

MOST = 500
_LONGEST = 200
_Reason = Annotated[str, msgspec.Meta(max_length=_LONGEST)]
_MOST_REF = (1 << 53) - 1  # up to here JSON has whole numbers, whatever writes it


class _Repair(msgspec.Struct):
    order: float | None = None  # 15.0 is 15 in JSON
    procedure: float | None = None
    patient: float | None = None
    reason: _Reason = ""


class _Why(msgspec.Struct):
    reason: _Reason = ""


def told(found: Case) -> dict[str, Any]:
    """An item in JSON, with what its images say."""
    item, facts = found.item, found.facts
    received = None
    if facts is not None:
        received = {
            "name": facts.name, "id": facts.identifier.value, "issuer": facts.identifier.issuer,
            "birth_date": facts.birth_date, "sex": facts.sex, "accession": facts.accession, "date": facts.date,
            "description": facts.description, "modalities": list(facts.modalities), "instances": facts.instances,
        }  # fmt: skip
    return {
        "item": item.ref, "study": item.study, "trouble": item.trouble, "state": item.state, "order": item.order,
        "opened_at": item.opened_at, "closed_at": item.closed_at, "closed_by": item.closed_by, "why": item.why,
        "received": received,
    }  # fmt: skip


def _proposal(one: Candidate) -> dict[str, Any]:
    return {
        "score": one.score,
        "why": [f"{reason.points:+d} {reason.words}" for reason in one.why],
        "order": one.order.ref if one.order else 0,
        "procedure": one.procedure.ref if one.procedure else 0,
        "patient": one.patient.ref,
        "accession": one.order.accession if one.order else "",
        "changes": {line.key: line.proposed for line in one.lines if line.change in ("differs", "filled")},
    }


def routes(ctx: WebContext) -> list[Route]:
    """Nothing where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, ctx.ris)


def _routes(ctx: WebContext, ris: Ris) -> list[Route]:
    rules = ctx.ris_rules

    async def listed(request: Request) -> Response:
        parameters = parameters_of(request)
        state = single(parameters, "state")
        if state not in (None, "all", *STATES):
            raise Problem(400, "there is no such state", f"One of {', '.join(STATES)}, all.")
        limit = number(parameters, "limit")
        if limit is not None and not 1 <= limit <= MOST:
            raise Problem(400, f"limit is 1 to {MOST}")
        wanted = "" if state == "all" else state or "open"
        found = await ctx.call(ris.look, lambda view: cases(view, wanted, limit or 100))
        return momentary({"items": [told(one) for one in found]})

    async def one(request: Request) -> Response:
        ref = ref_of(request, "item")

        def look(view: RisView) -> dict[str, Any]:
            found = case(view, ref)
            return {**told(found), "proposals": [_proposal(each) for each in proposed(view, found, rules)]}

        return momentary(await ctx.call(ris.look, look))

    async def repair(request: Request) -> Response:
        ref, wanted = ref_of(request, "item"), await body_of(ctx, request, _Repair)
        if (wanted.order is None) == (wanted.patient is None):
            raise Problem(400, "the body names an order or a patient")
        by = ris_words.by(ctx, wanted.reason)
        order, patient, procedure = (
            0 if value is None else whole(value, name, 1, _MOST_REF)
            for name, value in (
                ("order", wanted.order),
                ("patient", wanted.patient),
                ("procedure", wanted.procedure),
            )
        )

        def work(unit: RisWork) -> Item:
            if order:
                return verbs.repair(unit, by, ref, order, rules, procedure=procedure)
            return verbs.repair_patient(unit, by, ref, patient, rules)

        return await _done(work, ref)

    async def accept(request: Request) -> Response:
        ref, wanted = ref_of(request, "item"), await body_of(ctx, request, _Why)
        return await _done(lambda unit: verbs.accept(unit, ris_words.by(ctx, wanted.reason), ref), ref)

    async def undo(request: Request) -> Response:
        ref, wanted = ref_of(request, "item"), await body_of(ctx, request, _Why)
        return await _done(lambda unit: verbs.undo(unit, ris_words.by(ctx, wanted.reason), ref, rules), ref)

    async def _done(work: Any, ref: int) -> Response:
        await ctx.call(ris.change, work)
        return momentary(told(await ctx.call(ris.look, lambda view: case(view, ref))))

    return [
        Route("/reconcile", listed, methods=["GET"]),
        Route("/reconcile/{item}", one, methods=["GET"]),
        Route("/reconcile/{item}/repair", repair, methods=["POST"]),
        Route("/reconcile/{item}/accept", accept, methods=["POST"]),
        Route("/reconcile/{item}/undo", undo, methods=["POST"]),
    ]


_REF_SCHEMA = {"type": "integer", "minimum": 1, "maximum": _MOST_REF}
_REASON_SCHEMA = {"type": "string", "maxLength": _LONGEST}
_ITEM = {
    "type": "object",
    "required": [
        "item",
        "study",
        "trouble",
        "state",
        "order",
        "opened_at",
        "closed_at",
        "closed_by",
        "why",
        "received",
    ],
    "properties": {
        **{name: {"type": "string"} for name in ("study", "opened_at", "closed_at", "closed_by", "why")},
        **{name: {"type": "integer"} for name in ("item", "order")},
        "trouble": {"type": "string", "enum": [each.value for each in Trouble]},
        "state": {"type": "string", "enum": list(STATES)},
        "received": {"type": ["object", "null"]},
        "proposals": {"type": "array", "items": {"type": "object", "required": ["score", "why", "order", "patient"]}},
    },
}
_OF_ITEM = (Value("item", "number of its row", {"type": "string", "pattern": "^[0-9]{1,18}$"}, "path", True),)
_WRONG = {400: JSON_ERROR, 404: JSON_ERROR, 409: JSON_ERROR, 413: JSON_ERROR, 415: JSON_ERROR}
_WHY = {JSON: {"type": "object", "properties": {"reason": _REASON_SCHEMA}}}

OPERATIONS = (
    Operation(
        "get", "/reconcile", "Studies that fit no order, or the wrong one",
        parameters=(
            Value("state", "open where it is left out", {"type": "string", "enum": ["all", *STATES]}),
            Value("limit", "at most so many; 100", {"type": "integer", "minimum": 1, "maximum": MOST}),
        ),
        responses={200: {"type": "object", "required": ["items"], "properties": {
            "items": {"type": "array", "items": _ITEM}}}, 400: JSON_ERROR},
    ),
    Operation("get", "/reconcile/{item}", "One of them, with proposals", parameters=_OF_ITEM,
              responses={200: _ITEM, 404: JSON_ERROR}),
    Operation(
        "post", "/reconcile/{item}/repair", "The images belong to this order, or to this patient", parameters=_OF_ITEM,
        request={JSON: {"oneOf": [
            {"type": "object", "required": ["order"], "not": {"required": ["patient"]},
             "properties": {"order": _REF_SCHEMA, "procedure": _REF_SCHEMA, "reason": _REASON_SCHEMA}},
            {"type": "object", "required": ["patient"], "not": {"required": ["order"]},
             "properties": {"patient": _REF_SCHEMA, "procedure": _REF_SCHEMA, "reason": _REASON_SCHEMA}},
        ]}},
        responses={200: _ITEM, **_WRONG},
    ),
    Operation("post", "/reconcile/{item}/accept", "Right as it is", parameters=_OF_ITEM, request=_WHY,
              responses={200: _ITEM, **_WRONG}),
    Operation("post", "/reconcile/{item}/undo", "Take back what was decided", parameters=_OF_ITEM, request=_WHY,
              responses={200: _ITEM, **_WRONG}),
)  # fmt: skip
