"""A softcopy presentation state (PS3.3 A.33, C.10, C.11): how somebody wants an image to be seen.

Read from its data set into plain values. What this archive does not draw is left out (compound graphics, which always
come with plain ones that say the same: C.10.13; line patterns), and what a state does not say stays as the image
says it. Overlay planes are in `overlays.py`, graphics and text in `graphics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from vesalius.imaging.description import (
    ICC_PROFILE,
    VOI_LUTS,
    Lut,
    items_of,
    lut_of_item,
    number,
    numbers,
    palette_of,
    strings,
    window_of,
)
from vesalius.imaging.graphics import Colour, Drawing, Graphics, applies, graphics_of
from vesalius.model.elements import Header
from vesalius.model.entities import Values
from vesalius.model.rendering import Window

REFERENCED_SERIES, REFERENCED_IMAGES, REFERENCED_INSTANCE, REFERENCED_FRAMES = (
    0x00081115,
    0x00081140,
    0x00081155,
    0x00081160,
)
VOI_ITEMS, MODALITY_LUTS, PRESENTATION_LUTS, PRESENTATION_SHAPE = 0x00283110, 0x00283000, 0x20500010, 0x20500020
SLOPE, INTERCEPT = 0x00281053, 0x00281052
FLIP, ROTATION = 0x00700041, 0x00700042
AREAS, TOP_LEFT, BOTTOM_RIGHT = 0x0070005A, 0x00700052, 0x00700053
SIZE_MODE, AREA_SPACING, AREA_ASPECT, MAGNIFICATION = 0x00700100, 0x00700101, 0x00700102, 0x00700103
SHUTTER_SHAPE, LEFT, RIGHT, UPPER, LOWER = 0x00181600, 0x00181602, 0x00181604, 0x00181606, 0x00181608
CENTRE, RADIUS, VERTICES = 0x00181610, 0x00181612, 0x00181620
SHUTTER_VALUE, SHUTTER_GROUP, SHUTTER_COLOUR = 0x00181622, 0x00181623, 0x00181624
SOP_CLASS, ADVANCED_BLENDING = 0x00080016, "1.2.840.10008.5.1.4.1.1.11.8"
LARGEST_MAGNIFICATION = 64.0
BLACK = Colour(grey=0)

# Grayscale, color, pseudo-color, blending (`blending.py`) and advanced blending (`advanced_blending.py`). Not drawn:
# XA/XRF, planar and volume MPR, volume rendering, variable modality LUT.
PRESENTATION_STATES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 3, 4, 8))
# These name the study of each set of images (C.11.14, C.11.33); others are about their own study alone (C.11.11).
BLENDING_STATES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (4, 8))
ALL_PRESENTATION_STATES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in range(1, 13))


def is_presentation_state(sop_class: str) -> bool:
    """Whether instances of a SOP class say how images are to be shown, in a way that is drawn here."""
    return sop_class in PRESENTATION_STATES


def is_advanced(header: Header) -> bool:
    """Whether a presentation state blends in steps: an advanced blending state (A.33.7)."""
    return header.text(SOP_CLASS) == ADVANCED_BLENDING


def is_undrawn_state(sop_class: str) -> bool:
    """Whether they say so in a way that is not."""
    return sop_class in ALL_PRESENTATION_STATES - PRESENTATION_STATES


@dataclass(frozen=True, slots=True)
class Shutter:
    """What lies outside is not shown (PS3.3 C.7.6.11). Columns and rows from 0."""

    rectangle: tuple[float, float, float, float] | None = None  # left, top, right, bottom
    circle: tuple[float, float, float] | None = None  # column, row, radius
    polygon: tuple[tuple[float, float], ...] = ()
    group: int | None = None  # of the overlay plane whose points hide what lies under them (C.7.6.15)
    colour: Colour = BLACK  # of what is not shown


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a presentation state says of one frame of one image."""

    slope: float | None = None
    intercept: float | None = None
    modality_lut: Lut | None = None
    window: Window | None = None
    voi_lut: Lut | None = None
    presentation_lut: Lut | None = None
    inverse: bool | None = None  # None: as the image says
    palette: tuple[Lut, Lut, Lut] | None = None
    rotation: int = 0  # degrees, clockwise
    flip: bool = False  # left and right, after the rotation
    area: tuple[float, float, float, float] | None = None  # left, top, right, bottom in pixels, from 0
    magnification: float | None = None  # pixels of the picture for one of the image, where the state says so
    aspect: float | None = None  # height of a pixel, its width being 1; None: as the image says
    shutter: Shutter | None = None
    icc: bytes | None = None  # the profile of its colours
    graphics: Graphics = field(default_factory=Graphics)

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """Graphics and texts, the lowest layer first."""
        return self.graphics.drawings


def presentation_of(header: Header, instance: str, index: int) -> Presentation:
    """What the presentation state says of frame `index` (from 0) of an instance."""
    shape = header.text(PRESENTATION_SHAPE)
    voi = _for(items_of(header, VOI_ITEMS), instance, index)
    modality_lut = lut_of_item(next(iter(items_of(header, MODALITY_LUTS)), {}), signed=False)
    area = _for(items_of(header, AREAS), instance, index)
    return Presentation(
        slope=_plain(header, SLOPE),
        intercept=_plain(header, INTERCEPT),
        modality_lut=modality_lut,
        window=window_of(voi),
        voi_lut=lut_of_item(_first(voi, VOI_LUTS), signed=True),
        presentation_lut=lut_of_item(next(iter(items_of(header, PRESENTATION_LUTS)), {}), signed=False),
        inverse=shape == "INVERSE" if shape else None,
        palette=palette_of(header),
        rotation=int(_plain(header, ROTATION) or 0) % 360,
        flip=header.text(FLIP) == "Y",
        area=_area(area),
        magnification=_magnification(area),
        aspect=_aspect(area),
        shutter=shutter_of(header),
        icc=header.raw(ICC_PROFILE) or None,
        graphics=graphics_of(header, instance, index),
    )


def shutter_of(header: Header) -> Shutter | None:
    """The display shutter of an image or a presentation state."""
    shapes = header.values(SHUTTER_SHAPE)
    values = {tag: header.values(tag) for tag in (LEFT, RIGHT, UPPER, LOWER, CENTRE, RADIUS, VERTICES) if tag in header}
    rectangle = circle = None
    polygon: tuple[tuple[float, float], ...] = ()
    edges = [number(values, tag) for tag in (LEFT, UPPER, RIGHT, LOWER)]
    if "RECTANGULAR" in shapes and all(edge is not None for edge in edges):
        left, top, right, bottom = cast("list[float]", edges)
        rectangle = (left, top, right - 1, bottom - 1)
    centre, radius = numbers(values, CENTRE), number(values, RADIUS)
    if "CIRCULAR" in shapes and len(centre) == 2 and radius:
        circle = (centre[1] - 1, centre[0] - 1, radius)
    vertices = numbers(values, VERTICES)
    if "POLYGONAL" in shapes and len(vertices) >= 6:
        polygon = tuple((column - 1, row - 1) for row, column in zip(vertices[::2], vertices[1::2], strict=False))
    group = None
    if "BITMAP" in shapes:
        group = int(number({SHUTTER_GROUP: header.values(SHUTTER_GROUP)}, SHUTTER_GROUP) or 0) or None
    if not (rectangle or circle or polygon or group):
        return None
    lab = numbers({SHUTTER_COLOUR: header.values(SHUTTER_COLOUR)}, SHUTTER_COLOUR)
    return Shutter(rectangle, circle, polygon, group, Colour(lab, int(_plain(header, SHUTTER_VALUE) or 0)))


def references_of(header: Header) -> dict[str, tuple[int, ...]]:
    """The images a presentation state is about: SOP Instance UID -> frames from 0, () for all of them."""
    return images_in(items_of(header, REFERENCED_SERIES))


def images_in(items: Iterable[Values]) -> dict[str, tuple[int, ...]]:
    """The same of the items of Referenced Series Sequence."""
    found: dict[str, tuple[int, ...]] = {}
    for series in items:
        for image in cast("tuple[Values, ...]", series.get(REFERENCED_IMAGES, ())):
            uid, frames = image_in(image)
            if uid:
                found[uid] = frames
    return found


def image_in(item: Mapping[int, object]) -> tuple[str, tuple[int, ...]]:
    """SOP Instance UID ("" where there is none) and frames from 0 (() for all) of an item that references an image."""
    frames = tuple(int(value) - 1 for value in numbers(item, REFERENCED_FRAMES) if value >= 1)
    return next(iter(strings(item, REFERENCED_INSTANCE)), ""), frames


def _plain(header: Header, tag: int) -> float | None:
    return number({tag: header.values(tag)}, tag)


def _first(item: Mapping[int, object], tag: int) -> Values:
    items = cast("tuple[Values, ...]", item.get(tag, ()))
    return items[0] if items and isinstance(items[0], dict) else {}


def _for(items: tuple[Values, ...], instance: str, index: int) -> Values:
    return next((item for item in items if applies(item, instance, index)), {})


def _area(item: Mapping[int, object]) -> tuple[float, float, float, float] | None:
    corners = numbers(item, TOP_LEFT) + numbers(item, BOTTOM_RIGHT)
    if len(corners) != 4 or any(abs(value) > 1 << 20 for value in corners):
        return None
    left, right = sorted(corners[::2])
    top, bottom = sorted(corners[1::2])
    return left - 1, top - 1, right, bottom


def _magnification(item: Mapping[int, object]) -> float | None:
    """How much larger than the image the picture is to be (C.10.4), where that is stated."""
    ratio = number(item, MAGNIFICATION)
    if "MAGNIFY" not in strings(item, SIZE_MODE) or ratio is None or ratio <= 0:
        return None
    return min(ratio, LARGEST_MAGNIFICATION)


def _aspect(item: Mapping[int, object]) -> float | None:
    for tag in (AREA_SPACING, AREA_ASPECT):
        pair = numbers(item, tag)
        if len(pair) == 2 and pair[0] > 0 and pair[1] > 0 and 0.1 <= pair[0] / pair[1] <= 10:
            return pair[0] / pair[1]
    return None
