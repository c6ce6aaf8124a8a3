"""Deleting by HTTP (our extension beside PS3.18, which has no such transaction).

    DELETE /dicom-web/studies/{study}[/series/{series}[/instances/{instance}]]   ?reason=, or the header Deletion-Reason

Theory. `archive/delete.py` does it; here are only words. The answer names the deletion, so that a page can offer to
take it back at once (`deletions.py`). Until the bytes are destroyed the addresses answer 410, then 404. A page of
another origin cannot delete: DELETE needs a permission that is never given.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.delete import LONGEST_TEXT, CommittedWithoutReason
from vesalius.web.context import WebContext
from vesalius.web.deletions import described, verbs
from vesalius.web.errors import Problem
from vesalius.web.negotiation import JSON, single
from vesalius.web.render_parameters import parameters_of
from vesalius.web.resources import LEVELS, target_of


def routes(ctx: WebContext) -> list[BaseRoute]:
    """`DELETE` of a study, a series, an instance."""
    delete = verbs(ctx)

    async def remove(request: Request) -> Response:
        target = target_of(request)
        parameters = parameters_of(request)
        reason = single(parameters, "reason")
        if reason is None:
            reason = unquote(request.headers.get("deletion-reason", ""))
        if len(reason) > LONGEST_TEXT:
            raise Problem(400, f"a reason has at most {LONGEST_TEXT} characters")
        keys = (target.study, target.series or "", target.instance or "")
        promised = await ctx.call(delete.promised, *keys)
        try:
            made = await ctx.call(
                delete.delete,
                *keys,
                reason=reason,
                who="",
                address=request.client.host if request.client is not None else "",
            )
        except CommittedWithoutReason as error:
            raise Problem(409, error.message, error.hint) from None
        body = described(made, delete.ends(made)) | {"committed": promised}
        headers = {"Warning": f'299 Vesalius "storage commitment had been given for {promised} instances"'}
        return Response(msgspec.json.encode(body), 200, headers if promised else {}, JSON)

    return [Route(path, remove, methods=["DELETE"], name=f"delete-{level.name.lower()}") for path, level in LEVELS]
