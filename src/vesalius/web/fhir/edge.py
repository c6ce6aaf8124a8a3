"""The addresses of the FHIR edge, all below `view.fhir` (FHIR R4 http.html).

    GET  /fhir/metadata              CapabilityStatement
    GET  /fhir/{type}?...            search; POST /fhir/{type}/_search with the same as a form
    GET  /fhir/{type}/{id}           read; ETag, If-None-Match
    POST /fhir/ServiceRequest        an order; If-None-Exist, Prefer: return=...

JSON alone (`_format` and Accept say so with 406), FHIR 4.0. Whatever is wrong is an OperationOutcome, what the door in
front of all services refuses (`web/door.py`) too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from vesalius.model.orders import By
from vesalius.ports.ris import Ris
from vesalius.web.answers import answer
from vesalius.web.body import CLOSE, Body
from vesalius.web.context import WebContext
from vesalius.web.fhir import (
    bundle,
    capability,
    create,
    endpoints,
    order_input,
    patients,
    service_requests,
    steps,
    studies,
)
from vesalius.web.fhir.parameters import MOST_PARAMETERS, Asked, understand
from vesalius.web.fhir.problems import FHIR_JSON, FhirProblem, Json, fhir_response, outcome, told
from vesalius.web.fhir.resources import Reader, Resource
from vesalius.web.negotiation import choose, parse_content_type, parse_media_types

Handler: TypeAlias = "Callable[[Request], Awaitable[Response]]"

TABLE: Mapping[str, Resource] = {
    one.type: one
    for one in (
        patients.RESOURCE, service_requests.RESOURCE, steps.APPOINTMENTS, studies.RESOURCE, endpoints.RESOURCE,
        steps.TASKS,
    )
}  # fmt: skip

MOST_BODY = 1 << 20  # bytes of a resource or a form
WHO = "fhir"
_JSON_TYPES = (FHIR_JSON, "application/json", "text/json")
_FORMATS = {"json": FHIR_JSON, "application/fhir json": FHIR_JSON, **{name: name for name in _JSON_TYPES}}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def routes(ctx: WebContext) -> list[BaseRoute]:
    """Everything below `/fhir`; nothing where there is no workflow."""
    if ctx.ris is None:
        return []
    edge = Edge(ctx, ctx.ris)
    made: list[tuple[str, str, Handler]] = [("/metadata", "GET", edge.metadata)]
    for kind, resource in TABLE.items():
        made.append((f"/{kind}", "GET", edge.search(resource)))
        if resource.creates:
            made.append((f"/{kind}", "POST", edge.create))
        made.append((f"/{kind}/_search", "POST", edge.search(resource)))
        made.append((f"/{kind}/{{id}}", "GET", edge.read(resource)))
    found: list[BaseRoute] = [Route(path, _guarded(handler), methods=[method]) for path, method, handler in made]
    paths = dict.fromkeys(path for path, _, _ in made)
    found += [Route(path, _Refuse(405, "this is not done with this address")) for path in paths]
    found.append(Route("/{path:path}", _Refuse(404, "there is no such address", "See metadata for what is served.")))
    return found


def refusal(status: int, detail: str, hint: str, headers: Mapping[str, str]) -> Response:
    """What the door in front of all services refuses (`web/door.py`), told here as everything that is wrong is."""
    return told(FhirProblem(status, detail, hint, headers=headers), "")


class _Refuse:
    """What answers with whatever method; the door says which methods there are."""

    def __init__(self, status: int, text: str, hint: str = "") -> None:
        self._problem = FhirProblem(status, text, hint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await told(self._problem, scope["method"])(scope, receive, send)


def _guarded(handler: Handler) -> Handler:
    """With every error told in FHIR's form."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return told(error, request.method)

    return guarded


class Edge:
    """The handlers."""

    def __init__(self, ctx: WebContext, ris: Ris) -> None:
        self._ctx = ctx
        self._ris = ris

    def _reader(self, request: Request) -> Reader:
        base = self._ctx.base_url(request) + self._ctx.view.fhir
        return Reader(self._ctx, self._ris, base, self._ctx.dicom_web_url(request))

    async def metadata(self, request: Request) -> Response:
        """CapabilityStatement."""
        form = _form(request)
        made = capability.statement(TABLE.values(), self._reader(request).base, self._ctx.view.version)
        return _given(request, made, form)

    def read(self, resource: Resource) -> Handler:
        """One resource."""

        async def handle(request: Request) -> Response:
            form, reader, name = _form(request), self._reader(request), request.path_params["id"]
            if not _ID.fullmatch(name):
                raise FhirProblem(404, "this is no id: letters, digits, - and . alone")
            return _given(request, await self._ctx.call(resource.read, reader, name), form)

        return handle

    def search(self, resource: Resource) -> Handler:
        """A search, by GET or by POST of a form."""

        async def handle(request: Request) -> Response:
            form, reader = _form(request), self._reader(request)
            pairs = request.query_params.multi_items()
            if request.method == "POST":
                pairs = [*pairs, *_form_pairs(await self._body(request, ("application/x-www-form-urlencoded",)))]
            strict = _preferred(request).get("handling") == "strict"
            asked = understand(pairs, resource.parameters, resource.includes, strict=strict)

            def work() -> Json:
                return bundle.searchset(reader, resource, TABLE, asked, resource.search(reader, asked))

            return _given(request, await self._ctx.call(work), form)

        return handle

    async def create(self, request: Request) -> Response:
        """An order."""
        form, reader = _form(request), self._reader(request)
        sent = order_input.wish(order_input.parse(await self._body(request, _JSON_TYPES)))
        condition = _condition(request)

        def work() -> tuple[bool, Json]:
            by = By(WHO, self._ctx.clock.utc(), "ordered by FHIR")
            made = self._ris.change(lambda unit: create.create(unit, by, sent, condition, reader.rules, reader.base))
            return made.is_new, service_requests.read(reader, str(made.ref))

        is_new, order = await self._ctx.call(work)
        status = 201 if is_new else 200
        headers = {"Location": f"{reader.base}/ServiceRequest/{order['id']}"}
        wanted = _preferred(request).get("return", "representation")
        if wanted == "minimal":
            return Response(None, status, headers)
        if wanted == "operationoutcome":
            text = "the order is placed" if is_new else "the order is there already"
            return fhir_response(outcome("information", "informational", text), status, headers)
        return Response(msgspec.json.encode(order), status, headers, form)

    async def _body(self, request: Request, types: tuple[str, ...]) -> bytes:
        sent = parse_content_type(request.headers.get("content-type", ""))
        if sent.essence not in types:
            raise FhirProblem(415, f"bodies are {' or '.join(types)} here", headers=CLOSE)
        if sent.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
            raise FhirProblem(415, "bodies are in UTF-8", headers=CLOSE)
        view = self._ctx.view
        return await Body(request, limit=min(MOST_BODY, view.body_bytes), idle=view.upload_idle).whole()


def _form(request: Request) -> str:
    """The media type of the answer. Raises `Problem` (406)."""
    wanted = request.query_params.get("_format")
    if wanted is not None:
        if wanted.strip().lower() not in _FORMATS:
            raise FhirProblem(406, "answers are JSON alone", "Leave _format out, or say json.")
        return _FORMATS[wanted.strip().lower()]
    ranges = parse_media_types(", ".join(request.headers.getlist("accept"))) or parse_media_types("*/*")
    if any(one.get("fhirversion", "4.0") != "4.0" for one in ranges):
        raise FhirProblem(406, "FHIR 4.0 alone is spoken here", "Accept: application/fhir+json; fhirVersion=4.0")
    return choose(ranges, _JSON_TYPES)


def _given(request: Request, made: Json, form: str) -> Response:
    body = msgspec.json.encode(made)
    if request.query_params.get("_pretty") == "true":
        body = msgspec.json.format(body, indent=2)
    return answer(request, body, form)


def _preferred(request: Request) -> dict[str, str]:
    """The preferences that are given (RFC 7240), in lower case."""
    found: dict[str, str] = {}
    for part in re.split("[,;]", ",".join(request.headers.getlist("prefer"))):
        name, _, value = part.partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return found


def _form_pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="strict")
    except ValueError:
        raise FhirProblem(400, "the body is no form in UTF-8, or has too many fields") from None


def _condition(request: Request) -> Asked | None:
    """`If-None-Exist`, whose search may hold nothing that is not understood (http.html 3.1.0.8.1)."""
    text: Any = request.headers.get("if-none-exist")
    if text is None:
        return None
    resource = service_requests.RESOURCE
    pairs = _form_pairs(text.strip().lstrip("?").encode("latin-1"))
    asked = understand(pairs, resource.parameters, (), strict=True)
    if not asked.given:
        raise FhirProblem(400, "If-None-Exist holds no search parameter")
    return asked
