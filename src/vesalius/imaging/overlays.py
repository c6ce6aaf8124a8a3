"""Overlay planes (PS3.3 C.9.2): graphics and regions of interest as bit maps, of an image or of a presentation state.

Theory. An image may carry up to sixteen planes (groups 6000 to 601E), each with an origin of its own that may lie
outside the image. Their bits stand in Overlay Data, or, as old images have it (retired), in bits of the pixel cells
that hold no sample. Without a presentation state all planes of an image are shown: a mark that somebody put
there must not get lost. A state shows those that it activates, in the layer that it names (C.11.7), and may bring its
own. One plane may be a shutter (C.7.6.15): it hides what lies under its points and is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesalius.imaging.description import Description
from vesalius.model.coercion import integer_of
from vesalius.model.elements import Header
from vesalius.model.encodings import Mode

Mask = npt.NDArray[np.bool_]

GROUPS = tuple(range(0x6000, 0x6020, 2))
ROWS, COLUMNS, FRAMES, ORIGIN, FRAME_ORIGIN = 0x0010, 0x0011, 0x0015, 0x0050, 0x0051
BIT_POSITION, LAYER, DATA = 0x0102, 0x1001, 0x3000
LARGEST = 1 << 28  # points of a plane


@dataclass(frozen=True, slots=True)
class Plane:
    """One overlay plane of one frame."""

    group: int
    points: Mask
    top: int  # row of the image that its first row lies on, from 0; may be negative
    left: int

    def over(self, rows: int, columns: int) -> Mask:
        """Its points on an image of a size; what lies outside is cut off."""
        if (self.top, self.left) == (0, 0) and self.points.shape == (rows, columns):
            return self.points
        found = np.zeros((rows, columns), np.bool_)
        height, width = self.points.shape
        from_row, from_column = max(self.top, 0), max(self.left, 0)
        to_row, to_column = min(self.top + height, rows), min(self.left + width, columns)
        if from_row < to_row and from_column < to_column:
            found[from_row:to_row, from_column:to_column] = self.points[
                from_row - self.top : to_row - self.top, from_column - self.left : to_column - self.left
            ]
        return found


def groups_of(header: Header) -> Iterator[int]:
    """The groups of the planes that a data set has."""
    for group in GROUPS:
        if group << 16 | ROWS in header or group << 16 | BIT_POSITION in header:
            yield group


def activated(state: Header) -> dict[int, str]:
    """The planes that a presentation state shows: group -> graphic layer."""
    found = {}
    for group in GROUPS:
        layer = state.text(group << 16 | LAYER)
        if layer:
            found[group] = layer
    return found


def planes_of(header: Header, index: int, cells: bytes = b"", description: Description | None = None) -> list[Plane]:
    """The planes of frame `index` (from 0). With cells and description also those in unused bits of the pixels."""
    found = (_plane(header, group, index, cells, description) for group in groups_of(header))
    return [plane for plane in found if plane is not None]


def _plane(header: Header, group: int, index: int, cells: bytes, description: Description | None) -> Plane | None:
    origin = [integer_of(text) for text in header.values(group << 16 | ORIGIN)]
    top, left = (1 if each is None else each for each in origin) if len(origin) == 2 else (1, 1)
    raw = header.raw(group << 16 | DATA)
    if raw:
        points = _stored(header, group, index, raw)
    elif description is not None:
        points = _embedded(_number(header, group, BIT_POSITION, 0), cells, description)
    else:
        points = None
    return Plane(group, points, top - 1, left - 1) if points is not None else None


def _stored(header: Header, group: int, index: int, raw: bytes) -> Mask | None:
    """Points of Overlay Data: one bit each, frames without a gap between them (PS3.5 8.1.2)."""
    rows, columns = _number(header, group, ROWS, 0), _number(header, group, COLUMNS, 0)
    count = rows * columns
    if not 0 < count <= LARGEST:
        return None
    frames = _number(header, group, FRAMES, 0)
    # One that counts no frames is about every frame of the image.
    frame = index - (_number(header, group, FRAME_ORIGIN, 1) - 1) if frames > 0 else 0
    if frames and not 0 <= frame < frames:
        return None
    if header.mode is Mode.EXPLICIT_BE and header.vr(group << 16 | DATA) == "OW":
        raw = np.frombuffer(raw[: len(raw) & ~1], ">u2").astype("<u2").tobytes()
    first = frame * count
    if first + count > len(raw) * 8:
        return None
    octets = np.frombuffer(raw, np.uint8, (first + count + 7) // 8 - first // 8, first // 8)
    bits = np.unpackbits(octets, bitorder="little")[first % 8 : first % 8 + count]
    return bits.reshape(rows, columns).view(np.bool_)


def _embedded(position: int, cells: bytes, description: Description) -> Mask | None:
    """Points of a bit of the cells that holds no sample (retired)."""
    rows, columns, allocated = description.rows, description.columns, description.allocated
    lowest = description.high_bit + 1 - description.stored
    if description.samples != 1 or description.floating or allocated not in (8, 16, 32):
        return None
    if not 0 <= position < allocated or lowest <= position <= description.high_bit:
        return None
    if len(cells) * 8 < rows * columns * allocated:
        return None
    values = np.frombuffer(cells, f"<u{allocated // 8}", rows * columns).reshape(rows, columns)
    return (values >> position & 1).astype(np.bool_)


def _number(header: Header, group: int, element: int, default: int) -> int:
    value = integer_of(header.text(group << 16 | element) or "")
    return default if value is None else value
