"""A softcopy presentation state (PS3.3 A.33, C.10, C.11): how somebody wants an image to be seen.

Read from its data set into plain values. What this archive does not draw (overlays, blending, compound graphics) is
left out, and what a state does not say stays as the image says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from vesalius.imaging.description import (
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
ANNOTATIONS, TEXTS, GRAPHICS = 0x00700001, 0x00700008, 0x00700009
UNITS, BOX_UNITS, ANCHOR_UNITS, TEXT = 0x00700005, 0x00700003, 0x00700004, 0x00700006
BOX_FROM, BOX_TO, ANCHOR = 0x00700010, 0x00700011, 0x00700014
POINTS, KIND, FILLED = 0x00700022, 0x00700023, 0x00700024
SHUTTER_SHAPE, LEFT, RIGHT, UPPER, LOWER = 0x00181600, 0x00181602, 0x00181604, 0x00181606, 0x00181608
CENTRE, RADIUS, VERTICES = 0x00181610, 0x00181612, 0x00181620


# Grayscale, color and pseudo-color: those whose whole effect is on single images.
PRESENTATION_STATES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 3))


def is_presentation_state(sop_class: str) -> bool:
    """Whether instances of a SOP class say how images are to be shown."""
    return sop_class in PRESENTATION_STATES


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graphic or a text. Points are (column, row) of the image from 0, or fractions of what is displayed."""

    kind: str  # POINT, POLYLINE, INTERPOLATED, CIRCLE, ELLIPSE, TEXT
    points: tuple[tuple[float, float], ...]
    displayed: bool = False  # points are fractions of the displayed area
    filled: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Shutter:
    """What lies outside is not shown (PS3.3 C.7.6.11). Columns and rows from 0."""

    rectangle: tuple[float, float, float, float] | None = None  # left, top, right, bottom
    circle: tuple[float, float, float] | None = None  # column, row, radius
    polygon: tuple[tuple[float, float], ...] = ()


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
    shutter: Shutter | None = None
    drawings: tuple[Drawing, ...] = field(default=())


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
        shutter=shutter_of(header),
        drawings=tuple(
            drawing
            for item in items_of(header, ANNOTATIONS)
            if _applies(item, instance, index)
            for drawing in _drawings(item)
        ),
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
    return Shutter(rectangle, circle, polygon) if rectangle or circle or polygon else None


def references_of(header: Header) -> dict[str, tuple[int, ...]]:
    """The images a presentation state is about: SOP Instance UID -> frames from 0, () for all of them."""
    found: dict[str, tuple[int, ...]] = {}
    for series in items_of(header, REFERENCED_SERIES):
        for image in cast("tuple[Values, ...]", series.get(REFERENCED_IMAGES, ())):
            uid = next(iter(strings(image, REFERENCED_INSTANCE)), "")
            frames = tuple(int(value) - 1 for value in numbers(image, REFERENCED_FRAMES) if value >= 1)
            if uid:
                found[uid] = frames
    return found


def _plain(header: Header, tag: int) -> float | None:
    return number({tag: header.values(tag)}, tag)


def _first(item: Mapping[int, object], tag: int) -> Values:
    items = cast("tuple[Values, ...]", item.get(tag, ()))
    return items[0] if items and isinstance(items[0], dict) else {}


def _applies(item: Mapping[int, object], instance: str, index: int) -> bool:
    """Whether an item is about this frame: it names no images (all of them), the image, or the image and the frame."""
    images = cast("tuple[Values, ...]", item.get(REFERENCED_IMAGES, ()))
    if not images:
        return True
    for image in images:
        if isinstance(image, dict) and instance in strings(image, REFERENCED_INSTANCE):
            frames = numbers(image, REFERENCED_FRAMES)
            return not frames or index + 1 in frames
    return False


def _for(items: tuple[Values, ...], instance: str, index: int) -> Values:
    return next((item for item in items if _applies(item, instance, index)), {})


def _area(item: Mapping[int, object]) -> tuple[float, float, float, float] | None:
    corners = numbers(item, TOP_LEFT) + numbers(item, BOTTOM_RIGHT)
    if len(corners) != 4 or any(abs(value) > 1 << 20 for value in corners):
        return None
    left, right = sorted(corners[::2])
    top, bottom = sorted(corners[1::2])
    return left - 1, top - 1, right, bottom


def _drawings(item: Values) -> list[Drawing]:
    found: list[Drawing] = []
    for graphic in cast("tuple[Values, ...]", item.get(GRAPHICS, ())):
        displayed = "DISPLAY" in strings(graphic, UNITS)
        points = _points(numbers(graphic, POINTS), displayed)
        kind = next(iter(strings(graphic, KIND)), "")
        if points and kind:
            found.append(Drawing(kind, points, displayed, "Y" in strings(graphic, FILLED)))
    for text in cast("tuple[Values, ...]", item.get(TEXTS, ())):
        words = "\n".join(strings(text, TEXT))
        displayed = "DISPLAY" in strings(text, BOX_UNITS)
        points = _points(numbers(text, BOX_FROM), displayed)
        if not points:
            displayed = "DISPLAY" in strings(text, ANCHOR_UNITS)
            points = _points(numbers(text, ANCHOR), displayed)
        if words and points:
            found.append(Drawing("TEXT", points, displayed, text=words))
    return found


def _points(values: tuple[float, ...], displayed: bool) -> tuple[tuple[float, float], ...]:
    shift = 0.0 if displayed else 0.5  # the centre of the first pixel is (1, 1) (PS3.3 C.10.5.1.2)
    return tuple((column - shift, row - shift) for column, row in zip(values[::2], values[1::2], strict=False))
