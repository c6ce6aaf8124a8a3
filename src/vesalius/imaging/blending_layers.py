"""What the inputs of an advanced blending state look like, and the steps that make one picture of them (PS3.4 N.2.6).

Theory. An input becomes a layer: RGB, and whether a pixel is there at all. Grey values go through the modality
transformation, then thresholds, in its units; what none of them lets through is padding, as is padding of the image.
Window and palette are those of the state, else of the image; without a palette grey is R = G = B. Colours are taken as
they are. Steps mix layers and results in fractions and are rounded once, at the end. FOREGROUND: where both are there,
first x opacity + second x (1 - opacity), else the one that is. EQUAL: the mean of those that are there. A pixel where
nothing is there is black.

Where an input is the frame that the picture is of, its layer is made of the frame's own cells; other inputs are sampled
where the archive is (`web/blending_inputs.py`) and come as layers, in bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vesalius.imaging.advanced_blending import Advanced, Comparison, Input, Mode, Threshold
from vesalius.imaging.blending import items_in
from vesalius.imaging.description import MODALITY_LUTS, VOI_LUTS, Description, Lut, lut_of_item, number, window_of
from vesalius.imaging.graphics import applies
from vesalius.imaging.lookup import (
    Floats,
    Numbers,
    Octets,
    coloured,
    exact,
    fitted,
    modality,
    ranged,
    reach,
    to_octets,
    voi_table,
    windowed,
)
from vesalius.imaging.presentation import INTERCEPT, SLOPE, VOI_ITEMS
from vesalius.imaging.render import shown, stored_values, whole_range
from vesalius.imaging.space import Volume
from vesalius.model.coercion import decimal_of
from vesalius.model.elements import Header
from vesalius.model.entities import Values
from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import RenderRequest, Window

FLOAT_PADDING = ((0x00280122, 0x00280124), (0x00280123, 0x00280125))  # and the other end of their range
DOSE_GRID_SCALING = 0x3004000E
MOST_CELLS = 1 << 25  # pixels of all layers and results of one picture

Mask = npt.NDArray[np.bool_]
Shade = Callable[[Floats], Floats]  # units to 0..255


@dataclass(frozen=True, slots=True)
class Own:
    """What the images of an input say of themselves, where the state says nothing."""

    colour: bool = False
    window: Window | None = None  # where all have the same, as the table
    voi_lut: Lut | None = None
    inverse: bool = False  # MONOCHROME1
    plain: bool = False  # stored values are units, whatever a Real World Value Mapping says


def affordable(advanced: Advanced, rows: int, columns: int) -> None:
    """Raises `CannotTranscode` where a picture of this size would be too much work for one request."""
    most = MOST_CELLS // (len(advanced.inputs) + len(advanced.steps))
    if rows * columns > most:
        raise CannotTranscode(
            f"images of more than {most >> 20} million pixels are not blended with so many inputs and steps"
        )


def is_colour(description: Description, one: Input) -> bool:
    """Whether the pixels of an image have colours already: of their own, or by a palette of the image alone."""
    if description.samples >= 3 or description.photometric == "PALETTE COLOR":
        return True
    return one.palette is None and description.supplemental and description.palette is not None


def check_colour(one: Input) -> None:
    """Raises `CannotTranscode` where a state says of colours what can be said of grey values only (N.2.6)."""
    if one.thresholds or one.palette is not None:
        raise CannotTranscode(f"input {one.number} is in colours, and thresholds and palettes are for grey values")


def own_modality(one: Input) -> tuple[float, float] | None:
    """Slope and intercept that the state says of an input; None: as its images say."""
    slope = number(one.item, SLOPE)
    return None if slope is None else (slope, number(one.item, INTERCEPT) or 0.0)


# -- layers


def layer_of_frame(
    cells: bytes, description: Description, header: Header, one: Input, instance: str, index: int
) -> Octets:
    """The frame that the picture is of, as an input: (rows, columns, 4), alpha 0 where it is padding.

    Raises `CannotTranscode`.
    """
    if is_colour(description, one):
        check_colour(one)
        pixels = shown(cells, description, RenderRequest())
        return layered(pixels, np.ones(pixels.shape[:2], np.bool_))
    values = stored_values(cells, description)
    nothing = _padding(values, description, header)
    if values.dtype.kind == "f":
        values = np.where(nothing, values.dtype.type(0), values)
    said, table = own_modality(one), lut_of_item(_first(one.item, MODALITY_LUTS), signed=False)
    if said is not None or table is not None:
        slope, intercept = said or (1.0, 0.0)
        description = replace(description, slope=slope, intercept=intercept, modality_lut=table)
    elif (scaling := decimal_of(header.text(DOSE_GRID_SCALING) or "")) and description.slope == 1:
        description = replace(description, slope=scaling)  # Gy, as the volumes of doses hold it
    units = modality(values, description.slope, description.intercept, description.modality_lut)
    voi = next((each for each in items_in(one.item, VOI_ITEMS) if applies(each, instance, index)), {})
    shade = _said(voi, reach(description)) or _of_image(values, nothing, description)
    return _painted(units, ~nothing, one, shade, inverse=description.photometric == "MONOCHROME1")


def layer_of_plane(plane: Volume, one: Input, own: Own, usual: Callable[[], Window]) -> Octets:
    """An input sampled where the pixels of the picture lie. `usual`: a window where nothing says one.

    Raises `CannotTranscode`.
    """
    if own.colour:
        packed = plane.values[0].astype(np.uint32)
        return layered(np.stack([packed & 255, packed >> 8 & 255, packed >> 16 & 255], axis=-1), plane.finite[0])
    units = plane.values[0].astype(np.float64)
    there = plane.finite[0] & np.isfinite(units)
    units = np.where(there, units, 0.0)
    items = items_in(one.item, VOI_ITEMS)
    if len(items) > 1 or any(not applies(item, uid, 0) for item in items for uid in one.images):
        raise CannotTranscode("its images have windows of their own, each another")
    voi = items[0] if items else {}
    reached = float(units.min()), float(units.max())
    shade = _said(voi, reached)
    if shade is None and own.voi_lut is not None:
        shade = _by_table(own.voi_lut, reached)
    shade = shade or _through(own.window or usual())
    return _painted(units, there, one, shade, inverse=own.inverse)


def layered(pixels: Numbers, there: Mask) -> Octets:
    """Grey or RGB, with alpha."""
    rgb = np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels
    return np.dstack((rgb.astype(np.uint8), np.where(there, np.uint8(255), np.uint8(0))))


def let_through(units: Floats, thresholds: tuple[Threshold, ...]) -> Mask:
    """Where a value is shown: by any threshold, or where there are none (C.11.33.1.2.1)."""
    found: Mask = np.full(units.shape, not thresholds, np.bool_)
    for each in thresholds:
        found |= _COMPARE[each.comparison](units, each.low, each.high)
    return found


_COMPARE: dict[Comparison, Callable[[Floats, float, float], Mask]] = {
    Comparison.RANGE_INCL: lambda units, low, high: (units >= low) & (units <= high),
    Comparison.RANGE_EXCL: lambda units, low, high: (units < low) | (units > high),
    Comparison.GREATER_OR_EQUAL: lambda units, low, _: units >= low,
    Comparison.LESS_OR_EQUAL: lambda units, low, _: units <= low,
    Comparison.GREATER_THAN: lambda units, low, _: units > low,
    Comparison.LESS_THAN: lambda units, low, _: units < low,
}


def _painted(units: Floats, there: Mask, one: Input, shade: Shade, *, inverse: bool) -> Octets:
    seen = there & let_through(units, one.thresholds)
    grey = shade(units)
    if one.palette is None:
        octets = to_octets(grey)
        return layered(255 - octets if inverse else octets, seen)
    # The whole range of the window is that of the palette (N.2.4.2).
    places = np.rint(grey * ((len(one.palette[0].entries) - 1) / 255.0)) + one.palette[0].first
    return layered(coloured(places, one.palette), seen)


def _said(voi: Values, range_: tuple[float, float]) -> Shade | None:
    """The VOI transformation that a state says; None where it says none."""
    window, table = window_of(voi), lut_of_item(_first(voi, VOI_LUTS), signed=True)
    if window is not None:
        return _through(window)
    return _by_table(table, range_) if table is not None else None


def _through(window: Window) -> Shade:
    return lambda units: windowed(units, window)


def _by_table(table: Lut, range_: tuple[float, float]) -> Shade:
    found = fitted(table, *range_)
    return lambda units: voi_table(units, found)


def _of_image(values: Numbers, nothing: Mask, description: Description) -> Shade:
    """The VOI transformation that an image says, else all of its range."""
    if (table := description.voi_lut) is not None:
        return _by_table(table, reach(description))
    if (window := description.window) is not None:
        return _through(exact(window) if description.floating else window)
    kept = values if nothing.all() else values[~nothing]
    lowest, highest = whole_range(kept, replace(description, padding=None))
    return lambda units: ranged(units, lowest, highest)


def _padding(values: Numbers, description: Description, header: Header) -> Mask:
    """True where a stored value is no image (PS3.3 C.7.5.1.1.2)."""
    if values.dtype.kind != "f":
        if description.padding is None:
            return np.zeros(values.shape, np.bool_)
        low, high = description.padding
        return (values >= low) & (values <= high)
    nothing: Mask = ~np.isfinite(values)
    for tag, limit in FLOAT_PADDING:
        first, last = (decimal_of(header.text(each) or "") for each in (tag, limit))
        if first is not None:
            ends = sorted((first, first if last is None else last))
            nothing |= (values >= ends[0]) & (values <= ends[1])
    return nothing


def _first(item: Values, tag: int) -> Values:
    return next(iter(items_in(item, tag)), {})


# -- layers as bytes


def packed(layers: Mapping[int, Octets]) -> bytes:
    """Layers by the numbers of their inputs, for the process that draws."""
    numbers = sorted(layers)
    head = struct.pack(f"<{1 + len(numbers)}H", len(numbers), *numbers)
    return head + b"".join(layers[each].tobytes() for each in numbers)


def unpacked(data: bytes, rows: int, columns: int) -> dict[int, Octets]:
    """The same the other way round. Raises `CannotTranscode` where it does not fit the picture."""
    size = rows * columns * 4
    count = struct.unpack_from("<H", data)[0] if len(data) >= 2 else -1
    if count < 0 or len(data) != 2 + count * (2 + size):
        raise CannotTranscode("the inputs of an advanced blending presentation state are missing")
    numbers = struct.unpack_from(f"<{count}H", data, 2)
    starts = range(2 + 2 * count, len(data), size) if size else ()
    return {
        each: np.frombuffer(data, np.uint8, size, start).reshape(rows, columns, 4)
        for each, start in zip(numbers, starts, strict=True)
    }


# -- steps


def composed(advanced: Advanced, layers: Mapping[int, Octets]) -> Octets:
    """The picture: RGB, or grey where the state says so. Raises `CannotTranscode`."""
    results: dict[int, tuple[npt.NDArray[np.float32], Mask]] = {}

    def get(key: int) -> tuple[npt.NDArray[np.float32], Mask]:
        if key in results:
            return results[key]
        layer = layers[key]
        return layer[..., :3].astype(np.float32), layer[..., 3] > 0

    for step in advanced.steps:
        if step.mode is Mode.FOREGROUND:
            (first, here), (second, there) = (get(each) for each in step.inputs)
            share = np.where(here & there, np.float32(step.opacity), here.astype(np.float32))[..., None]
            mixed, seen = first * share + second * (1 - share), here | there
        else:
            sums: npt.NDArray[np.float32] | None = None
            count: npt.NDArray[np.float32] | None = None
            for each in step.inputs:
                values, here = get(each)
                part = np.where(here[..., None], values, np.float32(0))
                sums = part if sums is None else sums + part
                count = here.astype(np.float32) if count is None else count + here
            if sums is None or count is None:
                raise CannotTranscode("a step blends nothing")
            mixed, seen = sums / np.maximum(count, 1)[..., None], count > 0
        mixed[~seen] = 0
        if step.result is not None:
            results[step.result] = mixed, seen
    picture = np.asarray(np.rint(mixed), np.uint8)
    if not advanced.grey:
        return picture
    if (np.ptp(picture, axis=-1) > 0).any():
        raise CannotTranscode("Pixel Presentation is MONOCHROME, but what is blended has colours")
    return np.ascontiguousarray(picture[..., 0])


def picture_of_layers(
    advanced: Advanced, cells: bytes, description: Description, header: Header, instance: str, index: int, above: bytes
) -> Octets:
    """The picture of a frame: its own layers, and those that were sampled. Raises `CannotTranscode`."""
    affordable(advanced, description.rows, description.columns)
    layers = unpacked(above, description.rows, description.columns)
    for key, one in advanced.inputs.items():
        if key not in layers:
            layers[key] = layer_of_frame(cells, description, header, one, instance, index)
    return composed(advanced, layers)
