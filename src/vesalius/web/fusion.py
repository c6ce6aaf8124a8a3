"""Two series in one space: their fused picture, their values at a point, and a registration where they share none.

    GET  /api/volumes/fusion.png   a plane of the fixed series in grey, the moving one in colour over it
    GET  /api/volumes/values       what both hold at one point of the fixed series' space
    POST /api/registrations        {"fixed": UID, "moving": UID}: compute one, and keep it as a Spatial Registration

Theory. Both volumes are kept as mapped files (`volume_store.py`); a picture reformats one plane of each. Whether they
share space is said by `spaces.py`, never guessed: what has no way is answered 422 with the reason, and a registration
is only ever made when somebody asks for it. What was computed comes through the archive's own door, like any instance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.rendering import Window
from vesalius.web.answers import REVALIDATE, momentary, not_modified
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.json_body import json_body
from vesalius.web.negotiation import JSON, number, single
from vesalius.web.openapi_types import JSON_ERROR, PART_NUMBER, UID_TEXT, WHO_TEXT, Operation, Value
from vesalius.web.render_parameters import number_of, parameters_of, render_parameters
from vesalius.web.volume_parameters import ERRORS, INTERPOLATIONS, WISHES, Parameters, millimetres, one_of
from vesalius.web.volume_planes import PLANE, checked, plane_of
from vesalius.web.volume_slices import MOST_SLAB, PNG, PROJECTIONS, Windows
from vesalius.web.volume_store import ClientLeft, Wanted, stay
from vesalius.web.volumes import LEFT, tag_of

if TYPE_CHECKING:
    from vesalius.imaging.new_instance import Made
    from vesalius.imaging.reference_frames import Link
    from vesalius.imaging.registration import Registered
    from vesalius.imaging.space import Volume

COLOUR_MAPS = ("hot-iron", "pet", "hot-metal-blue", "pet-20-step", "spring", "summer", "fall", "winter", "grey")
BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Pair:
    """The two volumes of a request."""

    fixed: Wanted
    moving: Wanted


def pair_of(parameters: Parameters) -> Pair:
    """`fixed` and `moving`, each with its `_unit` and `_part`. Raises `Problem` (400)."""
    found = []
    for name in ("fixed", "moving"):
        uid = single(parameters, name)
        if uid is None or not is_tolerable_uid(uid):
            raise Problem(400, f"{name} is the Series Instance UID of a series")
        wish = one_of(parameters, f"{name}_unit", WISHES)
        found.append(Wanted(uid, wish, number(parameters, f"{name}_part")))
    return Pair(*found)


class Fusion:
    """The handlers."""

    def __init__(self, ctx: WebContext) -> None:
        self._ctx = ctx
        self._windows = Windows()

    async def _both(self, request: Request, pair: Pair) -> tuple[Volume, Volume, str]:
        """Both volumes and the version of all that they follow from. Raises `ClientLeft` and what volumes raise."""
        store = self._ctx.volumes
        fixed = await store.fetch(self._ctx, request, pair.fixed)
        moving = await store.fetch(self._ctx, request, pair.moving)
        return fixed, moving, await self._ctx.call(self._version, pair)

    def _version(self, pair: Pair) -> str:
        store, spaces = self._ctx.volumes, self._ctx.spaces
        key = spaces.key((pair.fixed.series, pair.moving.series))
        return f"{store.version(pair.fixed.series)} {store.version(pair.moving.series)} {key}"

    def _link(self, fixed: Volume, moving: Volume) -> Link:
        from vesalius.imaging.reference_frames import Place

        return self._ctx.spaces.link(Place.of(fixed), Place.of(moving))

    async def picture(self, request: Request) -> Response:
        """`/volumes/fusion.png`."""
        parameters = parameters_of(request)
        pair = pair_of(parameters)
        shown = one_of(parameters, "show", ("both", "fixed", "moving"))
        windows = [
            render_parameters({"window": parameters.get(f"{name}_window", [])}).window for name in ("fixed", "moving")
        ]
        opacity = number_of(single(parameters, "opacity") or "0.5", "opacity")
        if not 0 <= opacity <= 1:
            raise Problem(400, "opacity is from 0 to 1")
        one_of(parameters, "colormap", COLOUR_MAPS)
        checked(parameters)
        version = await self._ctx.call(self._version, pair)
        tag = tag_of(version, pair.fixed, "fusion", repr(sorted(parameters.items())))
        known = not_modified(request, tag)
        if known is not None:
            return known
        try:
            fixed, moving, version = await self._both(request, pair)

            def make() -> tuple[bytes, dict[str, Any]]:
                chosen = [
                    asked or self._windows.of(wanted, version, volume)
                    for asked, wanted, volume in zip(windows, (pair.fixed, pair.moving), (fixed, moving), strict=True)
                ]
                return self._drawn(fixed, moving, parameters, chosen, opacity, shown)

            body, told = await stay(request, self._ctx.heavy_task(make))
        except ClientLeft:
            return Response(None, LEFT)
        return Response(body, 200, {**REVALIDATE, "ETag": tag, "Vesalius-Picture": json.dumps(told)}, PNG)

    def _drawn(
        self, fixed: Volume, moving: Volume, parameters: Parameters, windows: list[Window], opacity: float, shown: str
    ) -> tuple[bytes, dict[str, Any]]:
        from vesalius.imaging.fusion import coloured, fused, grey, png
        from vesalius.imaging.reformat import Projection, Slab, reformat
        from vesalius.imaging.resampling import is_label

        thickness = millimetres(parameters, "slab") or 0.0
        if not 0 <= thickness <= MOST_SLAB:
            raise Problem(400, f"slab is a thickness from 0 to {MOST_SLAB:g} mm")
        link = self._link(fixed, moving)
        name, way = one_of(parameters, "colormap", COLOUR_MAPS), one_of(parameters, "interpolation", INTERPOLATIONS)
        grid = plane_of(parameters, fixed.grid)
        slab = Slab(thickness, Projection(one_of(parameters, "projection", PROJECTIONS)))
        below = reformat(fixed, grid, slab, "nearest" if is_label(fixed) else way)
        above = reformat(
            moving, grid, slab, "nearest" if is_label(moving) else way,
            transform=link.transform, frame_of_reference=fixed.frame_of_reference,
        )  # fmt: skip
        if shown == "fixed":
            picture = grey(below, windows[0])
        elif shown == "moving":
            picture = coloured(above, windows[1], name)
            picture[~above.finite[0]] = 0
        else:
            picture = fused(below, above, windows[0], windows[1], name, opacity)
        told = {
            "affine_lps_mm": grid.affine.tolist(),
            "shape": grid.shape[1:],
            "frame_of_reference": fixed.frame_of_reference,
            "link": link.kind,
            "registrations": [edge.instance for edge in link.path],
            "fixed": _shown(fixed, windows[0]),
            "moving": _shown(moving, windows[1]),
            "notes": [each.message for each in link.notes],
        }
        return png(picture), told

    async def values(self, request: Request) -> Response:
        """`/volumes/values`."""
        parameters = parameters_of(request)
        pair = pair_of(parameters)
        at = (single(parameters, "at") or "").split(",")
        if len(at) != 3:
            raise Problem(400, "at is x,y,z in mm (LPS) of the fixed series")
        point = [number_of(text, "at") for text in at]
        way = one_of(parameters, "interpolation", ("nearest", "linear"))
        try:
            fixed, moving, _ = await self._both(request, pair)
        except ClientLeft:
            return Response(None, LEFT)

        def look() -> dict[str, Any]:
            link = self._link(fixed, moving)
            there = [float(each) for each in link.transform.apply(point)]
            return {
                "position_mm": point,
                "link": link.kind,
                "fixed": _value(fixed, point, way),
                "moving": {**_value(moving, there, way), "position_mm": there},
            }

        told = await self._ctx.heavy(look)
        return momentary(told)

    async def register(self, request: Request) -> Response:
        """`/registrations`."""
        wanted = await json_body(request, self._ctx, _Registration, BODY)
        pair = Pair(Wanted(wanted.fixed), Wanted(wanted.moving))
        for uid in (wanted.fixed, wanted.moving):
            if not is_tolerable_uid(uid):
                raise Problem(400, "fixed and moving are Series Instance UIDs")
        try:
            fixed, moving, _ = await self._both(request, pair)
            gone = [False]

            def compute() -> Registered:
                from vesalius.imaging.reference_frames import NoCommonSpace
                from vesalius.imaging.registration import register

                if fixed.frame_of_reference and fixed.frame_of_reference == moving.frame_of_reference:
                    raise Problem(409, "the two series have one frame of reference: there is nothing to be registered")
                if not fixed.frame_of_reference or not moving.frame_of_reference:
                    raise NoCommonSpace("a registration needs the Frame of Reference UID of both series")
                return register(fixed, moving, cancelled=lambda: gone[0])

            try:
                found = await stay(request, self._ctx.heavy_task(compute))
            except ClientLeft:
                gone[0] = True
                raise
        except ClientLeft:
            return Response(None, LEFT)
        return await self._ctx.call(self._kept, pair, found, wanted.who)

    def _kept(self, pair: Pair, found: Registered, who: str) -> Response:
        from vesalius.imaging.new_instance import keep
        from vesalius.imaging.registration_object import spatial_registration

        fixed, moving = (
            [header.dataset for header in self._ctx.volumes.source(each.series).headers()]
            for each in (pair.fixed, pair.moving)
        )
        made = made_by(self._ctx, who, "Registration")
        ds = spatial_registration(fixed, moving, found, made)
        keep(ds, self._ctx.ingest, "registration", self._ctx.view.ae_title)
        told = {
            "instance": made.instance,
            "series": made.series,
            "study": str(ds.StudyInstanceUID),
            "how": found.how,
            "residual_mm": found.residual_mm,
            "information": found.information,
            "information_before": found.before,
            "fixed_to_moving": found.transform.matrix.tolist(),
        }
        return Response(msgspec.json.encode(told), 201, {}, JSON)


class _Registration(msgspec.Struct):
    fixed: str
    moving: str
    who: str = ""


def made_by(ctx: WebContext, who: str, description: str) -> Made:
    """Who makes an instance now. Raises `Problem` (400) for a name that is none."""
    from vesalius.imaging.new_instance import Made

    if len(who) > 64 or any(ord(each) < 32 or each == "\\" for each in who):
        raise Problem(400, "who is a person's name of at most 64 characters")
    at = datetime.fromisoformat(ctx.clock.utc()).replace(tzinfo=None)
    return Made(who or "Vesalius", at, ctx.view.version, description)


def _shown(volume: Volume, window: Window) -> dict[str, Any]:
    return {
        "unit": volume.unit,
        "unit_label": volume.label,
        "window": [window.center, window.width, window.function.value],
        "notes": [each.message for each in volume.notes],
    }


def _value(volume: Volume, point: list[float], way: str) -> dict[str, Any]:
    from vesalius.imaging.resampling import is_label, values_at

    (found,) = values_at(volume, [point], "nearest" if is_label(volume) else way)
    index = volume.grid.to_index([point])[0]
    return {
        "value": float(found) if found == found else None,
        "unit": volume.unit,
        "unit_label": volume.label,
        "index": [float(each) for each in index],
    }


def routes(ctx: WebContext) -> list[BaseRoute]:
    """Everything about two series at once."""
    fusion = Fusion(ctx)
    return [
        Route("/volumes/fusion.png", fusion.picture, methods=["GET"]),
        Route("/volumes/values", fusion.values, methods=["GET"]),
        Route("/registrations", fusion.register, methods=["POST"]),
    ]


_WINDOW: Mapping[str, Any] = {
    "type": "string",
    "pattern": r"^-?[0-9]{1,6}(\.[0-9]{1,3})?,[1-9][0-9]{0,5}(\.[0-9]{1,3})?(,(linear|linear-exact|sigmoid))?$",
}
PAIR = tuple(
    each
    for name in ("fixed", "moving")
    for each in (
        Value(name, f"Series Instance UID of the {name} series", UID_TEXT, "query", True),
        Value(f"{name}_unit", "of its values", {"type": "string", "enum": list(WISHES)}),
        Value(f"{name}_part", "which volume of several", PART_NUMBER),
    )
)
OPERATIONS = (
    Operation(
        "get", "/volumes/fusion.png", "A plane of two series in one picture",
        parameters=(
            *PAIR,
            *PLANE,
            Value("fixed_window", "center,width[,function] in its unit", _WINDOW),
            Value("moving_window", "center,width[,function] in its unit", _WINDOW),
            Value("opacity", "of the moving series", {"type": "number", "minimum": 0, "maximum": 1}),
            Value("colormap", "of the moving series", {"type": "string", "enum": list(COLOUR_MAPS)}),
            Value("show", "both, or one alone", {"type": "string", "enum": ["both", "fixed", "moving"]}),
            Value("slab", "thickness in mm", {"type": "number", "minimum": 0, "maximum": MOST_SLAB}),
            Value("projection", "of a slab", {"type": "string", "enum": list(PROJECTIONS)}),
            Value("interpolation", "between voxels", {"type": "string", "enum": list(INTERPOLATIONS)}),
        ),
        responses={200: None, **ERRORS}, media_type=PNG,
    ),
    Operation(
        "get", "/volumes/values", "What two series hold at a point",
        parameters=(
            *PAIR,
            Value("at", "x,y,z in mm (LPS) of the fixed series",
                  {"type": "string", "pattern": r"^(-?[0-9]{1,5}(\.[0-9]{1,6})?,){2}-?[0-9]{1,5}(\.[0-9]{1,6})?$"},
                  "query", True),
            Value("interpolation", "between voxels", {"type": "string", "enum": ["nearest", "linear"]}),
        ),
        responses={200: {"type": "object", "required": ["fixed", "moving", "link"]}, **ERRORS},
    ),
    Operation(
        "post", "/registrations", "Compute where a series lies in the space of another, and keep it",
        request={JSON: {"type": "object", "required": ["fixed", "moving"],
                        "properties": {"fixed": UID_TEXT, "moving": UID_TEXT, "who": WHO_TEXT}}},
        responses={201: {"type": "object", "required": ["instance", "residual_mm"]}, 409: JSON_ERROR, 415: JSON_ERROR,
                   **ERRORS},
    ),
)  # fmt: skip
