"""`/api/volumes/{series}`: what volumes a series holds, and each as NIfTI or OME-Zarr.

Theory. The description needs headers alone. NIfTI is made while it is sent, slice by slice, from the plan of the
volume, so it costs no room and begins at once; OME-Zarr asks for chunks in any order, so the volume is made first and
kept (`volume_store.py`). Every answer carries an entity tag made of the version of the series and of what was asked
for: what has not changed is 304 without a volume being looked at. A client that leaves ends the work for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.web.answers import REVALIDATE, answer, entity_tag, not_modified
from vesalius.web.context import WebContext
from vesalius.web.openapi_types import Operation, Schema, Value
from vesalius.web.render_parameters import parameters_of
from vesalius.web.streaming import Streamed
from vesalius.web.volume_parameters import CHOICES, ERRORS, INTERPOLATION, SERIES, wanted_of
from vesalius.web.volume_store import ClientLeft, Wanted, stay

if TYPE_CHECKING:
    from vesalius.imaging.volumes import VolumePlan

JSON, GZIP, OCTETS = "application/json", "application/gzip", "application/octet-stream"
LEFT = 499  # nobody reads it


def described(number: int, plan: VolumePlan) -> dict[str, Any]:
    """What is known of a volume without its pixels."""
    from vesalius.imaging.volumes import facts

    low, high = plan.grid.bounds()
    return {
        "part": number,
        **facts(plan),
        "bounds_lps_mm": [low.tolist(), high.tolist()],
        "resampled": plan.resampled,
    }


def description(plans: tuple[VolumePlan, ...]) -> dict[str, Any]:
    """All volumes of a series."""
    source = plans[0].source
    parts = [described(number, plan) for number, plan in enumerate(plans)]
    return {"series": source.series, "study": source.study, "parts": parts}


def tag_of(version: str, wanted: Wanted, *more: str) -> str:
    """The entity tag of whatever follows from a volume."""
    return entity_tag("1", version, repr(wanted), *more)


def routes(ctx: WebContext) -> list[Route]:
    """Everything about whole volumes."""
    store = ctx.volumes

    async def told(request: Request) -> Response:
        wanted = wanted_of(request, parameters_of(request))
        version = await ctx.call(store.version_of, wanted)
        tag = tag_of(version, wanted)
        known = not_modified(request, tag)
        if known is not None:
            return known
        plans = await ctx.heavy(store.described, wanted)
        return answer(request, msgspec.json.encode(description(plans)), JSON, tag=tag)

    async def nifti(request: Request) -> Response:
        from vesalius.imaging.nifti_export import gzipped, pieces

        wanted = wanted_of(request, parameters_of(request))
        version = await ctx.call(store.version_of, wanted)
        tag = tag_of(version, wanted, "nifti")
        known = not_modified(request, tag)
        if known is not None:
            return known

        def begin() -> tuple[bytes, Iterator[bytes]]:
            # The first piece is made before the status is said: what is wrong with the volume shows here.
            parts = gzipped(pieces(store.plan(wanted)))
            return next(parts), parts

        first, rest = await ctx.heavy(begin)
        name = f"{wanted.series}{'' if wanted.part is None else f'-{wanted.part}'}.nii.gz"
        headers = {**REVALIDATE, "ETag": tag, "Content-Disposition": f'attachment; filename="{name}"'}
        return Streamed(ctx, _joined(first, rest), GZIP, headers=headers, heavy=True)

    async def zarr(request: Request) -> Response:
        from vesalius.imaging.ome_zarr import Pyramid

        wanted = wanted_of(request, parameters_of(request))
        version = await ctx.call(store.version_of, wanted)
        name = request.url.path.rpartition("/volume.zarr/")[2]
        tag = tag_of(version, wanted, "zarr", name)
        known = not_modified(request, tag)
        if known is not None:
            return known
        try:
            volume = await store.fetch(ctx, request, wanted)
            body = await stay(request, ctx.heavy_task(Pyramid(volume).get, name))
        except ClientLeft:
            return Response(None, LEFT)
        kind = JSON if name.endswith(".json") else OCTETS
        return Response(body, 200, {**REVALIDATE, "ETag": tag}, kind)

    return [
        Route("/volumes/{series}", told, methods=["GET"]),
        Route("/volumes/{series}/volume.nii.gz", nifti, methods=["GET"]),
        *(Route("/volumes/{series}/volume.zarr" + path, zarr, methods=["GET"]) for path in ZARR),
    ]


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from rest
    finally:
        close = getattr(rest, "close", None)
        if close is not None:
            close()


def _place(name: str) -> Value:
    return Value(name, "from 0", {"type": "integer", "minimum": 0, "maximum": 99_999}, "path", True)


_OBJECT = {"type": "object"}
ZARR: dict[str, tuple[str, tuple[str, ...], str, Schema | None]] = {
    "/zarr.json": ("A volume as OME-Zarr 0.5: the group", (), JSON, _OBJECT),
    "/{level}/zarr.json": ("A level of it", ("level",), JSON, _OBJECT),
    "/{level}/c/{k}/{j}/{i}": ("A chunk of a level", ("level", "k", "j", "i"), OCTETS, None),
}
_DESCRIBED = {"type": "object", "required": ["series", "study", "parts"],
              "properties": {"parts": {"type": "array", "items": {"type": "object"}}}}  # fmt: skip
OPERATIONS = (
    Operation("get", "/volumes/{series}", "The volumes of a series: grid, unit, what is odd",
              parameters=(SERIES, *CHOICES, INTERPOLATION), responses={200: _DESCRIBED, **ERRORS}),
    Operation("get", "/volumes/{series}/volume.nii.gz", "A volume as NIfTI-1",
              parameters=(SERIES, *CHOICES, INTERPOLATION), responses={200: None, **ERRORS}, media_type=GZIP),
    *(
        Operation("get", "/volumes/{series}/volume.zarr" + path, text, media_type=kind,
                  parameters=(SERIES, *(_place(name) for name in names), *CHOICES, INTERPOLATION),
                  responses={200: schema, **ERRORS})
        for path, (text, names, kind, schema) in ZARR.items()
    ),
)  # fmt: skip
