"""`/api/volumes/{series}/slice.png`: one plane through a volume as a picture, and where each pixel of it lies.

The volume is kept as a mapped file (`volume_store.py`), so a picture is a reformat of one plane, its window and a PNG:
milliseconds. Where the pixels lie and what was shown how stands in the header field `Vesalius-Picture` as JSON, so that
a page can link cross-hairs in mm without asking again.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.model.rendering import Window
from vesalius.web.answers import REVALIDATE, not_modified
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.openapi_types import Operation, Value
from vesalius.web.render_parameters import parameters_of, render_parameters
from vesalius.web.volume_parameters import (
    CHOICES,
    ERRORS,
    INTERPOLATIONS,
    SERIES,
    Parameters,
    millimetres,
    one_of,
    wanted_of,
)
from vesalius.web.volume_planes import PLANE, checked, plane_of
from vesalius.web.volume_store import ClientLeft, Wanted, stay
from vesalius.web.volumes import LEFT, tag_of

if TYPE_CHECKING:
    from vesalius.imaging.space import Volume

PNG = "image/png"
PROJECTIONS = ("mean", "mip", "minip")
MOST_SLAB = 500.0  # mm
MOST_WINDOWS = 1000


class Windows:
    """The windows that volumes are shown in where a request does not say one: worked out once."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Wanted, str], Window] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, wanted: Wanted, version: str, volume: Volume) -> Window:
        """The usual window of a volume. Blocks."""
        from vesalius.imaging.fusion import usual_window

        with self._lock:
            found = self._known.get((wanted, version))
        if found is None:
            found = usual_window(volume)
            with self._lock:
                self._known[wanted, version] = found
                while len(self._known) > MOST_WINDOWS:
                    self._known.popitem(last=False)
        return found


def picture(volume: Volume, parameters: Parameters, window: Window) -> tuple[bytes, dict[str, object]]:
    """The PNG and what it shows. Blocks. Raises `Problem` (400), `NoVolume`."""
    from vesalius.imaging.fusion import grey, png
    from vesalius.imaging.reformat import Projection, Slab, reformat
    from vesalius.imaging.resampling import is_label
    from vesalius.imaging.turned import turned

    thickness = millimetres(parameters, "slab") or 0.0
    if not 0 <= thickness <= MOST_SLAB:
        raise Problem(400, f"slab is a thickness from 0 to {MOST_SLAB:g} mm")
    way = one_of(parameters, "interpolation", INTERPOLATIONS)
    grid = plane_of(parameters, volume.grid)
    slab = Slab(thickness, Projection(one_of(parameters, "projection", PROJECTIONS)))
    plane = reformat(turned(volume, grid), grid, slab, "nearest" if is_label(volume) else way)
    told = {
        "affine_lps_mm": plane.affine.tolist(),
        "shape": plane.grid.shape[1:],
        "unit": plane.unit,
        "unit_label": plane.unit_label,
        "frame_of_reference": plane.frame_of_reference,
        "window": [window.center, window.width, window.function.value],
    }
    return png(grey(plane, window)), told


def routes(ctx: WebContext) -> list[Route]:
    """`/slice.png`."""
    store, windows = ctx.volumes, Windows()

    async def shown(request: Request) -> Response:
        parameters = parameters_of(request)
        wanted = wanted_of(request, parameters)
        asked = render_parameters({"window": parameters.get("window", [])}).window
        checked(parameters)
        version = await ctx.call(store.version_of, wanted)
        tag = tag_of(version, wanted, "slice", repr(sorted(parameters.items())))
        known = not_modified(request, tag)
        if known is not None:
            return known
        try:
            volume = await store.fetch(ctx, request, wanted, version)

            def make() -> tuple[bytes, dict[str, object]]:
                return picture(volume, parameters, asked or windows.of(wanted, version, volume))

            body, told = await stay(request, ctx.heavy_task(make))
        except ClientLeft:
            return Response(None, LEFT)
        return Response(body, 200, {**REVALIDATE, "ETag": tag, "Vesalius-Picture": json.dumps(told)}, PNG)

    return [Route("/volumes/{series}/slice.png", shown, methods=["GET"])]


_WINDOW = {
    "type": "string",
    "pattern": r"^-?[0-9]{1,6}(\.[0-9]{1,3})?,[1-9][0-9]{0,5}(\.[0-9]{1,3})?(,(linear|linear-exact|sigmoid))?$",
}
OPERATIONS = (
    Operation(
        "get", "/volumes/{series}/slice.png", "A plane through a volume as a picture",
        parameters=(
            SERIES,
            *PLANE,
            Value("window", "center,width[,function] in the unit of the volume", _WINDOW),
            Value("slab", "thickness in mm", {"type": "number", "minimum": 0, "maximum": MOST_SLAB}),
            Value("projection", "of a slab", {"type": "string", "enum": list(PROJECTIONS)}),
            Value("interpolation", "between voxels", {"type": "string", "enum": list(INTERPOLATIONS)}),
            *CHOICES,
        ),
        responses={200: None, **ERRORS},
        media_type=PNG,
    ),
)  # fmt: skip
