"""Tiles of slides (PS3.3 C.8.12.4, C.7.6.17.3): which frames of two images lie at the same place on the glass.

Theory. A tile lies on a slide, not in a patient, and no registration leads there. But images of one slide that are cut
into the same tiles lie over each other tile by tile: one frame of reference, one total pixel matrix from the same
origin in the same direction, tiles of one size, all of them there (TILED_FULL) in one focal plane. Then the order of
the frames is that of C.7.6.17.3: all tiles of one optical path, then those of the next. Anything less is no such pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vesalius.imaging.description import (
    COLUMNS,
    OPTICAL_PATHS,
    PIXEL_MEASURES,
    ROWS,
    SPACING,
    ImageHeader,
    items_of,
    strings,
)
from vesalius.model.elements import Header

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
FRAME_OF_REFERENCE, FRAMES, ORGANIZATION, PATH_ID = 0x00200052, 0x00280008, 0x00209311, 0x00480106
TOTAL_COLUMNS, TOTAL_ROWS, ORIGIN, DIRECTION, FOCAL_PLANES = 0x00480006, 0x00480007, 0x00480008, 0x00480102, 0x00480303
X_OFFSET, Y_OFFSET = 0x0040072A, 0x0040073A


@dataclass(frozen=True, slots=True)
class Tiles:
    """How an image of a slide is cut."""

    place: tuple[tuple[str, ...], ...]  # equal: the same tiles of the same slide
    count: int  # of one optical path
    paths: tuple[str, ...]  # Optical Path Identifiers, in the order of the frames

    def frames(self, path: str) -> range:
        """The frames (from 0) of an optical path, "" for all; empty where there is no such path."""
        if not path:
            return range(self.count * len(self.paths))
        if path not in self.paths:
            return range(0)
        first = self.paths.index(path) * self.count
        return range(first, first + self.count)


def tiles_of(image: ImageHeader) -> Tiles | None:
    """The tiles of an image; None where it does not say where each lies without a word for each."""
    header = image.header
    frame, organization = header.text(FRAME_OF_REFERENCE), header.text(ORGANIZATION)
    planes, total = header.text(FOCAL_PLANES) or "1", header.text(FRAMES) or ""
    paths = tuple(next(iter(strings(item, PATH_ID)), "") for item in items_of(header, OPTICAL_PATHS)) or ("",)
    if not frame or organization != "TILED_FULL" or planes != "1" or not total.isdecimal() or len(total) > 9:
        return None
    count, rest = divmod(int(total), len(paths))
    origin = next(iter(items_of(header, ORIGIN)), {})
    place = (
        (frame,),
        _values(header, ROWS, COLUMNS, TOTAL_ROWS, TOTAL_COLUMNS, DIRECTION),
        _texts(origin, X_OFFSET, Y_OFFSET),
        _texts(image.shared(PIXEL_MEASURES), SPACING),
    )
    if rest or count < 1 or not all(place) or len(set(paths)) < len(paths):
        return None
    return Tiles(place, count, paths)


def _values(header: Header, *tags: int) -> tuple[str, ...]:
    return tuple(value for tag in tags for value in (*header.values(tag), ";"))


def _texts(item: Mapping[int, object], *tags: int) -> tuple[str, ...]:
    return tuple(value for tag in tags for value in strings(item, tag))
