"""The header of an instance, and what two headers differ in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.headers import Headers
from vesalius.model.entities import Level, StoredInstance
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.standard.sop_classes import SOP_CLASSES
from vesalius.standard.transfer_syntaxes import lookup
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import dump
from vesalius.web.pages.shell import Shell
from vesalius.web.pages.studies import study_of

MOST_LISTED = 2000  # instances in the choice of another one


def header_of(ctx: WebContext, instance: StoredInstance) -> list[dump.Element]:
    """The rows of a header. Blocks."""
    (body,) = Headers(ctx.blobs, ctx.retrieve.coerce).json([instance], lambda _: "")
    return dump.flatten(msgspec.json.decode(body))


def instances_of(ctx: WebContext, study: str, series: str) -> Sequence[StoredInstance]:
    """The instances of a series in order. Blocks. Raises `Problem`."""
    if not (is_tolerable_uid(study) and is_tolerable_uid(series)):
        raise Problem(400, "the address holds no UID")
    found = list(ctx.index.select(Level.SERIES, studies=(study,), series=(series,)))
    if not found:
        raise Problem(404, "there is no such series", "It may not have arrived yet, or it was deleted.")
    return found


def _one(ctx: WebContext, uid: str) -> StoredInstance:
    if not is_tolerable_uid(uid):
        raise Problem(400, "the address holds no UID")
    for found in ctx.index.select(Level.IMAGE, instances=(uid,)):
        return found
    raise Problem(404, "there is no such instance")


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`.../tags` and `.../compare`."""

    async def series(request: Request) -> Response:
        study, of = request.path_params["study"], request.path_params["series"]
        found = await ctx.call(instances_of, ctx, study, of)
        root = shell.prefix(request)
        return RedirectResponse(f"{root}/studies/{study}/series/{of}/instances/{found[0].sop_instance}/tags", 303)

    async def tags(request: Request) -> Response:
        study, of = request.path_params["study"], request.path_params["series"]
        found = await ctx.call(instances_of, ctx, study, of)
        at = _place(found, request.path_params["instance"])
        rows = await ctx.call(header_of, ctx, found[at])
        patient = await ctx.call(study_of, ctx, study)
        sop = SOP_CLASSES.get(found[at].sop_class)
        return shell.render(
            request, "tags.html", room="studies", study=patient, series=of, instance=found[at], rows=rows, at=at,
            instances=found[:MOST_LISTED], sop_class=sop.name if sop else found[at].sop_class,
            syntax=lookup(found[at].transfer_syntax).name,
            count=len(found), before=found[at - 1] if at else None,
            after=found[at + 1] if at + 1 < len(found) else None,
        )  # fmt: skip

    async def compare(request: Request) -> Response:
        study, of = request.path_params["study"], request.path_params["series"]
        found = await ctx.call(instances_of, ctx, study, of)
        left = found[_place(found, request.path_params["instance"])]
        right = await ctx.call(_one, ctx, request.query_params.get("with", "").strip())
        ours, theirs = await ctx.call(header_of, ctx, left), await ctx.call(header_of, ctx, right)
        rows = dump.compare(ours, theirs)
        every = request.query_params.get("all") == "1"
        patients = [await ctx.call(study_of, ctx, each.study) for each in (left, right)]
        return shell.render(
            request, "compare.html", room="studies", left=left, right=right, patients=patients, every=every,
            same=(patients[0].id, patients[0].issuer) == (patients[1].id, patients[1].issuer),
            rows=rows if every else [row for row in rows if row.differs],
            differing=sum(row.differs for row in rows), total=len(rows),
        )  # fmt: skip

    base = "/studies/{study}/series/{series}"
    return [
        Route(f"{base}/tags", shell.page(series), methods=["GET"], name="series-tags"),
        Route(f"{base}/instances/{{instance}}/tags", shell.page(tags), methods=["GET"], name="tags"),
        Route(f"{base}/instances/{{instance}}/compare", shell.page(compare), methods=["GET"], name="compare"),
    ]


def _place(found: Sequence[StoredInstance], uid: str) -> int:
    for at, instance in enumerate(found):
        if instance.sop_instance == uid:
            return at
    raise Problem(404, "there is no such instance in this series")
