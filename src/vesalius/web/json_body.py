"""JSON bodies of requests as structs of a known form: read with a limit, refused with what is wrong."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from vesalius.web.body import Body
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import JSON, parse_content_type

S = TypeVar("S", bound=msgspec.Struct)


async def json_body(request: Request, ctx: WebContext, kind: type[S], limit: int) -> S:
    """The body as a struct; `limit` in bytes. Raises `Problem` (400, 413, 415)."""
    if parse_content_type(request.headers.get("content-type", "")).essence != JSON:
        raise Problem(415, "the body must be JSON")
    data = await Body(request, limit=limit, idle=ctx.view.upload_idle).whole()
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON"
        raise Problem(400, f"the body is not what it must be: {said}", "See /api/openapi.json.") from None
