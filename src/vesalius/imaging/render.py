"""One frame as a picture: what a workstation would show, as 8 bit grey or RGB (PS3.4 N.2).

Theory. The order of the standard's pipeline: the cells of the frame become stored values (bits outside Bits Stored
masked, sign extended), Modality LUT, VOI LUT (the request's window, else the presentation state's, else the image's,
else the whole range that occurs), Presentation LUT or inversion; colour is turned into RGB. Then geometry: shutter,
overlay planes, the part that is displayed, rotation and flip, square pixels, size. Last, what is written on top.
Padding is no image and always black.

Grey images go through one table: every value between the lowest and the highest that occurs is transformed once, and
the pixels only look it up; a floating point image goes through the same functions pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vesalius.imaging.blending import blended
from vesalius.imaging.colour import Rgb, rgb_of_lab
from vesalius.imaging.description import Description
from vesalius.imaging.graphics import Colour
from vesalius.imaging.lookup import (
    Numbers,
    Octets,
    coloured,
    entries_to_octets,
    exact,
    fitted,
    look_up,
    modality,
    ranged,
    reach,
    rgb_of_partial_ybr,
    rgb_of_ybr,
    to_octets,
    voi_table,
    windowed,
)
from vesalius.imaging.presentation import Presentation, Shutter
from vesalius.imaging.resample import fitted_size, resized
from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import Region, RenderRequest, Window

# A wider range of values than this is not tabulated: 32 bit images are transformed pixel by pixel.
TABLE = 1 << 17
# Colour spaces that were retired before anybody could show their images alike (PS3.3 C.7.6.3.1.2).
RETIRED = ("HSV", "ARGB", "CMYK")
LARGEST_MAGNIFIED = 1 << 24  # pixels of a picture that a presentation state enlarges

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Paint:
    """Points of an image that have a colour of their own."""

    points: Mask  # as large as the image
    colour: Rgb = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and how to get there from the image: for drawing on it."""

    pixels: Octets  # rows, columns[, 3]
    corner: tuple[float, float]  # column and row of the image at the left top of what is displayed
    extent: tuple[float, float]  # columns and rows of the image that are displayed
    turns: int  # quarter turns clockwise
    flip: bool

    def place(self, column: float, row: float) -> tuple[float, float]:
        """Where a point of the image is in the picture (x, y)."""
        across = (column - self.corner[0]) / self.extent[0]
        down = (row - self.corner[1]) / self.extent[1]
        for _ in range(self.turns):
            across, down = 1 - down, across
        if self.flip:
            across = 1 - across
        return across * self.pixels.shape[1], down * self.pixels.shape[0]

    def scale(self) -> float:
        """Pixels of the picture for one of the image, across."""
        return float(self.pixels.shape[1]) / (self.extent[1] if self.turns % 2 else self.extent[0])


def stored_values(cells: bytes, description: Description) -> Numbers:
    """The cells of one frame as (rows, columns) or (rows, columns, samples) of stored values.

    Raises `CannotTranscode` where the description cannot be true.
    """
    rows, columns, samples = description.rows, description.columns, description.samples
    count = rows * columns * samples
    allocated, stored, high = description.allocated, description.stored, description.high_bit
    if description.floating:
        floats = np.frombuffer(cells, f"<f{allocated // 8}", count)
        return floats.reshape(rows, columns)
    if allocated == 1:
        bits = np.unpackbits(np.frombuffer(cells, np.uint8), bitorder="little", count=count)
        return bits.reshape(rows, columns)
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise CannotTranscode("Bits Allocated, Bits Stored and High Bit contradict each other")
    if description.photometric.startswith("YBR_FULL_422") and len(cells) * 8 < count * allocated:
        values: Numbers = _full_chrominance(cells, description)
    else:
        values = np.frombuffer(cells, f"<u{allocated // 8}", count)
        if samples > 1 and description.planar == 1:
            values = np.moveaxis(values.reshape(samples, rows, columns), 0, 2)
        elif samples > 1:
            values = values.reshape(rows, columns, samples)
        else:
            values = values.reshape(rows, columns)
    return _masked(values, allocated, stored, high, description.signed)


def _masked(values: Numbers, allocated: int, stored: int, high: int, signed: bool) -> Numbers:
    """Only the stored bits of every cell, the sign extended."""
    kind = f"<{'i' if signed else 'u'}{allocated // 8}"
    if stored == allocated:
        return values.view(kind)
    if signed:
        up = allocated - 1 - high
        return (values << up).view(kind) >> (allocated - stored)
    down = high + 1 - stored
    return (values >> down) & ((1 << stored) - 1)


def _full_chrominance(cells: bytes, description: Description) -> Numbers:
    """Native YBR_FULL_422: two luminances share their chrominances (PS3.3 C.7.6.3.1.2)."""
    rows, columns = description.rows, description.columns
    if description.allocated != 8 or columns % 2:
        raise CannotTranscode("YBR_FULL_422 needs 8 bits and an even number of columns")
    pairs = np.frombuffer(cells, np.uint8, rows * columns * 2).reshape(rows, columns // 2, 4)
    full = np.empty((rows, columns, 3), np.uint8)
    full[:, 0::2, 0], full[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    full[..., 1] = np.repeat(pairs[..., 2], 2, axis=1)
    full[..., 2] = np.repeat(pairs[..., 3], 2, axis=1)
    return full


def grey(
    values: Numbers, description: Description, window: Window | None = None, state: Presentation | None = None
) -> Octets:
    """Stored values of a monochrome image as 8 bit grey."""
    state = state or Presentation()
    described = replace(
        description,
        slope=description.slope if state.slope is None else state.slope,
        intercept=description.intercept if state.intercept is None else state.intercept,
        modality_lut=state.modality_lut or (description.modality_lut if state.slope is None else None),
    )
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        return _transformed(values, values, described, window, state)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if high - low >= TABLE:
        return _without_padding(_transformed(values, values, described, window, state), values, description)
    occurring = np.arange(low, high + 1)
    table = _without_padding(_transformed(occurring, values, described, window, state), occurring, description)
    if values.dtype.itemsize <= 2:
        # By the bits of the cell, whatever they mean: a table of 64 KiB is quicker than a shift of every pixel.
        whole = np.zeros(1 << 8 * values.dtype.itemsize, np.uint8)
        whole[occurring & (len(whole) - 1)] = table
        return np.take(whole, values.view(f"<u{values.dtype.itemsize}"))
    return np.take(table, values.astype(np.int64) - low)


def _without_padding(shown: Octets, values: Numbers, description: Description) -> Octets:
    """Black where a value says that there is no image (PS3.3 C.7.5.1.1.2)."""
    if description.padding is not None:
        low, high = description.padding
        shown[(values >= low) & (values <= high)] = 0
    return shown


def _transformed(
    values: Numbers, all_values: Numbers, description: Description, window: Window | None, state: Presentation
) -> Octets:
    """The grayscale pipeline on some values of an image of which all are known."""
    units = modality(values, description.slope, description.intercept, description.modality_lut)
    if window is None:
        window = state.window
    if window is None and state.voi_lut is not None:
        shown = voi_table(units, fitted(state.voi_lut, *reach(description)))
    elif window is None and description.voi_lut is not None:
        shown = voi_table(units, fitted(description.voi_lut, *reach(description)))
    elif (chosen := window or description.window) is not None:
        shown = windowed(units, exact(chosen) if description.floating and window is None else chosen)
    else:
        shown = ranged(units, *whole_range(all_values, description))
    if state.presentation_lut is not None:
        lut = state.presentation_lut
        entries = np.rint(shown * ((len(lut.entries) - 1) / 255.0)) + lut.first
        return entries_to_octets(look_up(entries, lut), lut.bits)
    inverse = description.photometric == "MONOCHROME1" if state.inverse is None else state.inverse
    inverse = inverse and state.palette is None  # a pseudo-colour state says what the lowest value looks like
    octets = to_octets(shown)
    return 255 - octets if inverse else octets


def whole_range(values: Numbers, description: Description) -> tuple[float, float]:
    """The lowest and the highest unit of an image without a window, padding left out."""
    kept = values
    if description.padding is not None:
        low, high = description.padding
        inside = (values < low) | (values > high)
        kept = values[inside] if inside.any() else values
    if description.full is not None:
        return 0.0, float(description.full)
    plain = description.modality_lut is None and description.slope == 1 and description.intercept == 0
    if plain and not description.floating and not description.signed and description.stored <= 8:
        return 0.0, float((1 << description.stored) - 1)
    ends = np.array([kept.min(), kept.max()]) if kept.size else np.array([0, 0])
    units = modality(ends, description.slope, description.intercept, description.modality_lut)
    return float(units.min()), float(units.max())


def colour(values: Numbers, description: Description) -> Octets:
    """Stored values of a colour image as RGB."""
    if description.stored > 8:
        values = values >> (description.stored - 8)
    if description.photometric in RETIRED:
        raise CannotTranscode(f"pixels in the retired colour space {description.photometric} cannot be shown")
    octets = values[..., :3].astype(np.uint8)
    if description.photometric.startswith("YBR_PARTIAL"):
        return rgb_of_partial_ybr(octets)
    if description.photometric.startswith("YBR_FULL"):
        return rgb_of_ybr(octets)
    return octets


def shown(cells: bytes, description: Description, request: RenderRequest, state: Presentation | None = None) -> Octets:
    """The frame at its own size, in grey or RGB. Raises `CannotTranscode`."""
    values = stored_values(cells, description)
    palette = (state.palette if state is not None else None) or description.palette
    if description.samples >= 3:
        return colour(values, description)
    if description.photometric == "PALETTE COLOR":
        if palette is None:
            raise CannotTranscode("the palette of a palette image is missing or malformed")
        return coloured(values, palette)
    pixels = grey(values, description, request.window, state)
    if state is None and palette is not None and description.supplemental:
        first = palette[0].first
        mapped = (values >= first) & (values < first + len(palette[0].entries))
        if mapped.any():
            pixels = np.repeat(pixels[..., None], 3, axis=-1)
            pixels[mapped] = coloured(values[mapped], palette)
        return pixels
    if state is not None and state.palette is not None:
        return coloured(pixels.astype(np.uint16) * (len(state.palette[0].entries) - 1) // 255, state.palette)
    return pixels


def render(
    cells: bytes,
    description: Description,
    request: RenderRequest,
    state: Presentation | None = None,
    shutter: Shutter | None = None,
    *,
    planes: Sequence[Paint] = (),
    curtain: Mask | None = None,
    above: tuple[Octets, float] | None = None,
    instead: Octets | None = None,
) -> Picture:
    """The whole way but for what is drawn on top. Raises `CannotTranscode`.

    `planes` are painted over the image, the last on top; `curtain` says what a bitmap shutter hides; `above` is an RGBA
    picture that is blended over the image, and its opacity; `instead` is one that takes the place of the image.
    """
    pixels = shown(cells, description, request, state) if instead is None else instead
    if above is not None:
        pixels = blended(pixels, *above)
    if shutter is not None:
        hidden = ~_open(shutter, *pixels.shape[:2])
        pixels = painted(pixels, Paint(hidden if curtain is None else hidden | curtain, rgb_of(shutter.colour)))
    for paint in planes:
        pixels = painted(pixels, paint)
    rows, columns = pixels.shape[:2]
    left, top, width, height, mirrored, upside_down = _part(request.region, rows, columns)
    if request.region is None and state is not None and state.area is not None:
        left, top, right, bottom = state.area
        width, height = right - left, bottom - top
    pixels, (left, top) = _cropped(pixels, left, top, width, height)
    extent = float(pixels.shape[1]), float(pixels.shape[0])
    turns = (state.rotation // 90) % 4 if state is not None else 0
    flip = (state.flip if state is not None else False) != mirrored
    if upside_down:
        turns, flip = (turns + 2) % 4, not flip
    pixels = np.rot90(pixels, -turns) if turns else pixels
    pixels = pixels[:, ::-1] if flip else pixels
    aspect = description.aspect if state is None or state.aspect is None else state.aspect
    aspect = aspect if turns % 2 == 0 else 1 / aspect
    size = _magnified(*fitted_size(pixels.shape[0], pixels.shape[1], aspect, request.fit), request, state)
    pixels = np.ascontiguousarray(resized(np.ascontiguousarray(pixels), *size))
    if request.exact_size and (pixels.shape[0] % 2 or pixels.shape[1] % 2):
        pad = [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)][: pixels.ndim]
        pixels = np.pad(pixels, pad)
    return Picture(pixels, (left, top), extent, turns, flip)


def _magnified(rows: int, columns: int, request: RenderRequest, state: Presentation | None) -> tuple[int, int]:
    """The size that a presentation state asks for; a viewport of the request is stronger."""
    ratio = state.magnification if state is not None and request.fit is None else None
    if ratio is None or rows * columns * ratio**2 > LARGEST_MAGNIFIED:
        return rows, columns
    return max(1, round(rows * ratio)), max(1, round(columns * ratio))


def rgb_of(colour: Colour, default: Rgb = (255, 255, 255)) -> Rgb:
    """What a data set says about a colour, as RGB."""
    if (found := rgb_of_lab(colour.lab)) is not None:
        return found
    if colour.grey is None:
        return default
    level = round(min(max(colour.grey, 0), 0xFFFF) * 255 / 0xFFFF)
    return level, level, level


def painted(pixels: Octets, paint: Paint) -> Octets:
    """A picture with some points in another colour; grey stays grey where the colour is one."""
    if not paint.points.any():
        return pixels
    red, green, blue = paint.colour
    if pixels.ndim == 2 and red == green == blue:
        pixels = pixels.copy()
        pixels[paint.points] = red
        return pixels
    pixels = np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels.copy()
    pixels[paint.points] = paint.colour
    return pixels


def _part(region: Region | None, rows: int, columns: int) -> tuple[float, float, float, float, bool, bool]:
    """Left, top, width, height in pixels, and whether it is to be mirrored or upside down."""
    if region is None:
        return 0.0, 0.0, float(columns), float(rows), False, False
    across, down = (columns, rows) if region.fractions else (1, 1)
    left, top = region.left * across, region.top * down
    width = columns - left if region.width is None else region.width * across
    height = rows - top if region.height is None else region.height * down
    mirrored, upside_down = width < 0, height < 0
    width, height = abs(width), abs(height)
    return left, top, width, height, mirrored, upside_down


def _cropped(
    pixels: Octets, left: float, top: float, width: float, height: float
) -> tuple[Octets, tuple[float, float]]:
    """Whole pixels that the part covers, black where it reaches beyond the image. Raises `CannotTranscode`."""
    rows, columns = pixels.shape[:2]
    x0, y0 = int(np.floor(left)), int(np.floor(top))
    x1, y1 = max(int(np.ceil(left + width)), x0 + 1), max(int(np.ceil(top + height)), y0 + 1)
    if (x0, y0, x1, y1) == (0, 0, columns, rows):
        return pixels, (0.0, 0.0)
    if x1 <= 0 or y1 <= 0 or x0 >= columns or y0 >= rows:
        raise CannotTranscode("the region lies outside the image")
    if (x1 - x0) > 4 * columns + 4096 or (y1 - y0) > 4 * rows + 4096:
        raise CannotTranscode("the region is far larger than the image")
    inside = pixels[max(y0, 0) : min(y1, rows), max(x0, 0) : min(x1, columns)]
    if x0 < 0 or y0 < 0 or x1 > columns or y1 > rows:
        pad = [(max(-y0, 0), max(y1 - rows, 0)), (max(-x0, 0), max(x1 - columns, 0)), (0, 0)]
        inside = np.pad(inside, pad[: pixels.ndim])
    return inside, (float(x0), float(y0))


def _open(shutter: Shutter, rows: int, columns: int) -> Mask:
    """What a shutter lets through."""
    row, column = np.ogrid[:rows, :columns]
    open_: Mask = np.ones((rows, columns), np.bool_)
    if shutter.rectangle is not None:
        left, top, right, bottom = shutter.rectangle
        open_ &= (column >= left) & (column <= right) & (row >= top) & (row <= bottom)
    if shutter.circle is not None:
        x, y, radius = shutter.circle
        open_ &= (column - x) ** 2 + (row - y) ** 2 <= radius**2
    if shutter.polygon:
        open_ &= _inside(shutter.polygon, rows, columns)
    return open_


def _inside(polygon: tuple[tuple[float, float], ...], rows: int, columns: int) -> Mask:
    """Which pixels lie inside a polygon (even-odd)."""
    row, column = np.mgrid[:rows, :columns]
    inside = np.zeros((rows, columns), np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if y0 == y1:
            continue
        crosses = (row < y0) != (row < y1)
        inside ^= crosses & (column < (x1 - x0) * (row - y0) / (y1 - y0) + x0)
    return inside
