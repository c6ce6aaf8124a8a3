"""One picture as a whole: image, overlays, what a presentation state says, what is written on it, colours.

Theory. With a presentation state, its shutter, its overlays and those of the image that it activates are shown; without
one, the image's own shutter and all its overlays (PS3.4 N.2, PS3.3 C.11.7). Everything else that the state does
not say is as the image says.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vesalius.imaging.advanced_blending import advanced_of
from vesalius.imaging.blending import as_underlying, blending_of
from vesalius.imaging.blending_layers import picture_of_layers
from vesalius.imaging.colour import converted
from vesalius.imaging.description import Description, ImageHeader
from vesalius.imaging.draw import draw, loss_lines, patient_lines, technique_lines
from vesalius.imaging.lookup import Octets
from vesalius.imaging.overlays import Plane, activated, planes_of
from vesalius.imaging.presentation import Presentation, Shutter, presentation_of, shutter_of
from vesalius.imaging.render import Mask, Paint, render, rgb_of
from vesalius.model.elements import Header
from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import RenderRequest

SOP_INSTANCE = 0x00080018


def picture_of(
    cells: bytes,
    image: ImageHeader,
    description: Description,
    index: int,
    request: RenderRequest,
    state: Header | None,
    above: bytes = b"",
) -> tuple[Octets, bytes | None]:
    """Frame `index` (from 0) as grey or RGB, and the ICC profile to go with it. Raises `CannotTranscode`.

    `above`: what a blending state lays over it, four bytes (RGBA) for each of its pixels; of an advanced one all inputs
    that are not the frame itself (`blending_layers.packed`).
    """
    header = image.header
    instance = header.text(SOP_INSTANCE) or ""
    said = presentation_of(state, instance, index) if state is not None else None
    over = instead = None
    if state is not None and said is not None and (advanced := advanced_of(state)) is not None:
        if request.window is not None:
            raise CannotTranscode("a window cannot be chosen where a presentation state blends images with their own")
        said = replace(said, shutter=None)
        instead = picture_of_layers(advanced, cells, description, header, instance, index, above)
    elif state is not None and said is not None and (blending := blending_of(state)) is not None:
        said = as_underlying(said, blending, instance, index)
        if len(above) != description.rows * description.columns * 4:
            raise CannotTranscode("what a blending presentation state lays over the image is missing")
        laid = np.frombuffer(above, np.uint8).reshape(description.rows, description.columns, 4)
        over = laid, blending.opacity
    planes = planes_of(header, index, cells, description)
    shutter = said.shutter if said is not None else shutter_of(header)
    size = description.rows, description.columns
    paints, curtain = _paints(planes, state, said, shutter, index, size)
    made = render(
        cells, description, request, said, shutter, planes=paints, curtain=curtain, above=over, instead=instead
    )
    pixels, profile = converted(
        made.pixels, (said.icc if said is not None else None) or description.icc, request.profile
    )
    below = []
    if request.technique:
        below = technique_lines(header, index) + loss_lines(header, request, made.scale())
    drawn = draw(
        replace(made, pixels=pixels),
        patient_lines(header) if request.patient else [],
        below,
        said.drawings if said is not None else (),
    )
    return drawn, profile


def _paints(
    planes: list[Plane],
    state: Header | None,
    said: Presentation | None,
    shutter: Shutter | None,
    index: int,
    size: tuple[int, int],
) -> tuple[list[Paint], Mask | None]:
    """The planes that are shown, the lowest layer first, and the one that is a shutter."""
    if state is None or said is None:
        curtain = _curtain(planes, shutter, size)
        return [Paint(each.over(*size)) for each in planes if not _is(each, shutter)], curtain
    layers = activated(state)
    # A plane of the state takes the place of the image's of the same group (PS3.4 N.2).
    own = planes_of(state, index)
    planes = own + [each for each in planes if each.group not in {mine.group for mine in own}]
    curtain = _curtain(planes, shutter, size)
    found = []
    for plane in planes:
        if plane.group in layers and not _is(plane, shutter):
            layer = said.graphics.layer(layers[plane.group])
            found.append((layer.order, Paint(plane.over(*size), rgb_of(layer.colour))))
    found.sort(key=lambda pair: pair[0])
    return [paint for _, paint in found], curtain


def _is(plane: Plane, shutter: Shutter | None) -> bool:
    return shutter is not None and plane.group == shutter.group


def _curtain(planes: list[Plane], shutter: Shutter | None, size: tuple[int, int]) -> Mask | None:
    return next((plane.over(*size) for plane in planes if _is(plane, shutter)), None)
