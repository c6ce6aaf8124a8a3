"""Graphics and text of a presentation state (PS3.3 C.10.5, C.10.7): what is drawn, where, in which layer and colour.

Layers are drawn in their order, the lowest first. A colour is that of the object's own style, else the one that
its layer recommends; where neither says anything it is ours. Colours stay as they are written (CIELab or grey): only
who draws turns them into RGB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from vesalius.imaging.description import items_of, number, numbers, strings
from vesalius.model.elements import Header
from vesalius.model.entities import Values

REFERENCED_IMAGES, REFERENCED_INSTANCE, REFERENCED_FRAMES = 0x00081140, 0x00081155, 0x00081160
ANNOTATIONS, TEXTS, GRAPHICS, LAYERS = 0x00700001, 0x00700008, 0x00700009, 0x00700060
LAYER, LAYER_ORDER, LAYER_GREY, LAYER_LAB = 0x00700002, 0x00700062, 0x00700066, 0x00700401
UNITS, BOX_UNITS, ANCHOR_UNITS, TEXT = 0x00700005, 0x00700003, 0x00700004, 0x00700006
BOX_FROM, BOX_TO, ANCHOR, ANCHOR_VISIBLE, JUSTIFIED = 0x00700010, 0x00700011, 0x00700014, 0x00700015, 0x00700012
POINTS, KIND, FILLED = 0x00700022, 0x00700023, 0x00700024
TEXT_STYLES, LINE_STYLES, FILL_STYLES = 0x00700231, 0x00700232, 0x00700233
TEXT_LAB, PATTERN_LAB, THICKNESS = 0x00700241, 0x00700251, 0x00700253
MOST = 10_000  # objects that are read


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour as a data set says it: 16 bit CIELab, else a grey of 16 bits; () and None: not said."""

    lab: tuple[float, ...] = ()
    grey: int | None = None

    def __bool__(self) -> bool:
        return bool(self.lab) or self.grey is not None


UNSAID = Colour()


@dataclass(frozen=True, slots=True)
class Layer:
    """A graphic layer (C.10.7)."""

    order: int = 0
    colour: Colour = UNSAID


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graphic or a text. Points are (column, row) of the image from 0, or fractions of what is displayed."""

    kind: str  # POINT, POLYLINE, INTERPOLATED, CIRCLE, ELLIPSE, TEXT
    points: tuple[tuple[float, float], ...]
    displayed: bool = False  # points are fractions of the displayed area
    filled: bool = False
    text: str = ""
    colour: Colour = UNSAID
    fill: Colour = UNSAID
    thickness: float = 1.0
    justified: str = "LEFT"  # of a text of which two corners are given: LEFT, CENTER, RIGHT
    anchor: tuple[float, float] | None = None  # what a text points at
    anchor_displayed: bool = False


@dataclass(frozen=True, slots=True)
class Graphics:
    """Everything that a state draws on one frame, the lowest layer first, and its layers by name."""

    drawings: tuple[Drawing, ...] = ()
    layers: tuple[tuple[str, Layer], ...] = ()

    def layer(self, name: str) -> Layer:
        """The layer of a name; a plain one where the state does not describe it."""
        return next((layer for each, layer in self.layers if each == name), Layer())


def graphics_of(header: Header, instance: str, index: int) -> Graphics:
    """What a presentation state draws on frame `index` (from 0) of an instance."""
    layers = {
        name: Layer(int(number(item, LAYER_ORDER) or 0), _colour(item, LAYER_LAB, LAYER_GREY))
        for item in items_of(header, LAYERS)
        if (name := next(iter(strings(item, LAYER)), ""))
    }
    found: list[tuple[int, Drawing]] = []
    for item in items_of(header, ANNOTATIONS):
        if applies(item, instance, index):
            layer = layers.get(next(iter(strings(item, LAYER)), ""), Layer())
            found += [(layer.order, drawing) for drawing in _drawings(item, layer.colour)]
    found.sort(key=lambda pair: pair[0])
    return Graphics(tuple(drawing for _, drawing in found[:MOST]), tuple(layers.items()))


def applies(item: Mapping[int, object], instance: str, index: int) -> bool:
    """Whether an item is about this frame: it names no images (all of them), the image, or the image and the frame."""
    images = cast("tuple[Values, ...]", item.get(REFERENCED_IMAGES, ()))
    if not images:
        return True
    for image in images:
        if isinstance(image, dict) and instance in strings(image, REFERENCED_INSTANCE):
            frames = numbers(image, REFERENCED_FRAMES)
            return not frames or index + 1 in frames
    return False


def _drawings(item: Values, colour: Colour) -> list[Drawing]:
    found: list[Drawing] = []
    for graphic in _items(item, GRAPHICS):
        displayed = "DISPLAY" in strings(graphic, UNITS)
        points = _points(numbers(graphic, POINTS), displayed)
        kind = next(iter(strings(graphic, KIND)), "")
        line, fill = _first(graphic, LINE_STYLES), _first(graphic, FILL_STYLES)
        if points and kind:
            found.append(
                Drawing(
                    kind, points, displayed, "Y" in strings(graphic, FILLED),
                    colour=_colour(line, PATTERN_LAB) or colour,
                    fill=_colour(fill, PATTERN_LAB) or _colour(line, PATTERN_LAB) or colour,
                    thickness=number(line, THICKNESS) or 1.0,
                )
            )  # fmt: skip
    for text in _items(item, TEXTS):
        words = "\n".join(strings(text, TEXT))
        displayed = "DISPLAY" in strings(text, BOX_UNITS)
        points = _points(numbers(text, BOX_FROM) + numbers(text, BOX_TO), displayed)
        anchor_displayed = "DISPLAY" in strings(text, ANCHOR_UNITS)
        anchor = _points(numbers(text, ANCHOR), anchor_displayed)
        if not points:
            points, displayed, anchor = anchor, anchor_displayed, ()
        if words and points:
            found.append(
                Drawing(
                    "TEXT", points, displayed, text=words,
                    colour=_colour(_first(text, TEXT_STYLES), TEXT_LAB) or colour,
                    justified=next(iter(strings(text, JUSTIFIED)), "LEFT"),
                    anchor=anchor[0] if anchor and "Y" in strings(text, ANCHOR_VISIBLE) else None,
                    anchor_displayed=anchor_displayed,
                )
            )  # fmt: skip
    return found


def _colour(item: Mapping[int, object], lab: int, grey: int | None = None) -> Colour:
    values = numbers(item, lab)
    level = number(item, grey) if grey is not None else None
    return Colour(values if len(values) == 3 else (), int(level) if level is not None else None)


def _items(item: Mapping[int, object], tag: int) -> tuple[Values, ...]:
    return tuple(each for each in cast("tuple[object, ...]", item.get(tag, ())) if isinstance(each, dict))


def _first(item: Mapping[int, object], tag: int) -> Values:
    return next(iter(_items(item, tag)), {})


def _points(values: tuple[float, ...], displayed: bool) -> tuple[tuple[float, float], ...]:
    shift = 0.0 if displayed else 0.5  # the centre of the first pixel is (1, 1) (PS3.3 C.10.5.1.2)
    return tuple((column - shift, row - shift) for column, row in zip(values[::2], values[1::2], strict=False))
