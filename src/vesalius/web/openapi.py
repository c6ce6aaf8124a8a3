"""The OpenAPI document of what is not PS3.18: our own interface, and what watches over the service.

Each module describes its operations beside its handlers (`OPERATIONS`); what other modules of `api` serve and do not
describe themselves is described here. A test holds the document against the routes, and schemathesis holds the
server against the document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.web import changes, deletions, fusion, ris_changes, rois, volume_slices, volumes
from vesalius.web.answers import answer
from vesalius.web.context import WebContext
from vesalius.web.openapi_types import JSON_ERROR, Operation, Schema, Value
from vesalius.web.pages import sends
from vesalius.web.pages.commitments import api as commitments_api
from vesalius.web.pages.hl7_log import api as hl7_api
from vesalius.web.pages.reconcile import api as reconcile_api
from vesalius.web.pages.schedule import api as schedule_api
from vesalius.web.pages.tracking import api as tracking_api

_HEALTH: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string"}, "problems": {"type": "array", "items": {"type": "string"}}},
}
_UPLOAD = Value("upload", "id of the upload", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "path", True)
_DIGEST: Schema = {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"}
_OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": 10**17}

_WORKFLOW = (
    *ris_changes.OPERATIONS,
    *schedule_api.OPERATIONS,
    *tracking_api.OPERATIONS,
    *reconcile_api.OPERATIONS,
)
SERVICE = (
    Operation("get", "/health", "Whether the process lives", responses={200: _HEALTH}, root=True),
    Operation(
        "get", "/ready", "Whether an instance sent now would be stored", responses={200: _HEALTH, 503: _HEALTH},
        root=True,
    ),
    Operation("get", "/metrics", "Counters", responses={200: None}, media_type="text/plain", root=True),
    Operation("get", "/openapi.json", "This document", responses={200: {"type": "object"}}),
)  # fmt: skip


def uploads(size: int) -> tuple[Operation, ...]:
    """The operations of `uploads.py`; `size` is the largest upload, bytes."""
    length = {**_OFFSET, "minimum": 1, "maximum": size}
    state = {"type": "object", "required": ["id", "state", "offset"]}
    return (
        Operation(
            "post", "/uploads", "Announce an upload",
            parameters=(
                Value("Upload-Length", "bytes that will come", length, "header", True),
                Value("Upload-Name", "name of the file, percent-encoded", {"type": "string"}, "header"),
                Value("Upload-Sha256", "its digest", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "header"),
            ),
            responses={201: None, 400: JSON_ERROR, 413: JSON_ERROR, 503: JSON_ERROR, 507: JSON_ERROR},
        ),
        Operation(
            "patch", "/uploads/{upload}", "Send the next piece",
            parameters=(
                _UPLOAD,
                Value("Upload-Offset", "where the piece begins", _OFFSET, "header", True),
                Value("Content-Digest", "sha-256 of the piece (RFC 9530)", _DIGEST, "header"),
            ),
            request={"application/octet-stream": {"type": "string", "format": "binary"}},
            responses={
                204: None, 400: JSON_ERROR, 404: JSON_ERROR, 408: JSON_ERROR, 409: JSON_ERROR, 413: JSON_ERROR,
                415: JSON_ERROR, 503: JSON_ERROR,
            },
        ),
        Operation(
            "get", "/uploads/{upload}", "How far it is, and what became of it", parameters=(_UPLOAD,),
            responses={200: state, 404: JSON_ERROR, 400: JSON_ERROR},
        ),
        Operation(
            "head", "/uploads/{upload}", "How far it is", parameters=(_UPLOAD,), responses={200: None, 404: None},
        ),
        Operation(
            "delete", "/uploads/{upload}", "Forget it", parameters=(_UPLOAD,),
            responses={204: None, 400: JSON_ERROR, 404: JSON_ERROR, 409: JSON_ERROR},
        ),
    )  # fmt: skip


def document(operations: Iterable[Operation], ctx: WebContext) -> dict[str, Any]:
    """OpenAPI 3.1 of some operations."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        path = one.path if one.root else ctx.view.api + one.path
        paths.setdefault(path, {})[one.method] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vesalius",
            "version": ctx.view.version or "0",
            "description": "What is not DICOMweb. DICOMweb tells of itself: OPTIONS " + ctx.view.dicom_web + "/",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
    }


def _operation(one: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "summary": one.text,
        "operationId": f"{one.method}{one.path.replace('/', '-').replace('{', '').replace('}', '')}",
        "responses": {str(status): _response(status, schema, one) for status, schema in one.responses.items()},
    }
    if one.parameters:
        made["parameters"] = [
            {
                "name": value.name,
                "in": value.place,
                "description": value.text,
                "required": value.required or value.place == "path",
                "schema": value.schema,
            }
            for value in one.parameters
        ]
    if one.request:
        content = {media: {"schema": schema} for media, schema in one.request.items()}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _response(status: int, schema: Schema | None, one: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {"description": "Done" if status < 400 else "Refused: see the detail and the hint"}
    if schema is not None:
        made["content"] = {"application/json": {"schema": schema}}
    elif status < 300 and one.media_type != "application/json":
        made["content"] = {one.media_type: {"schema": {"type": "string"}}}
    return made


def operations(ctx: WebContext) -> tuple[Operation, ...]:
    """Everything that is described."""
    spool = ctx.view.uploads
    return (
        *SERVICE,
        *changes.OPERATIONS,
        *(_WORKFLOW if ctx.ris is not None else ()),
        *(hl7_api.OPERATIONS if ctx.hl7 is not None else ()),
        *(commitments_api.OPERATIONS if ctx.commit is not None else ()),
        *deletions.OPERATIONS,
        *fusion.OPERATIONS,
        *rois.OPERATIONS,
        *volumes.OPERATIONS,
        *volume_slices.OPERATIONS,
        sends.LISTED,
        *(sends.OPERATIONS if ctx.caller is not None else ()),
        *(uploads(spool.size) if spool is not None else ()),
    )


def routes(ctx: WebContext) -> list[Route]:
    """`/openapi.json`."""
    body = msgspec.json.encode(document(operations(ctx), ctx))

    async def give(request: Request) -> Response:
        return answer(request, body, "application/json")

    return [Route("/openapi.json", give, methods=["GET"])]
