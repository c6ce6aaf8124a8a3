"""Segmentations (PS3.3 C.8.20): each segment is a volume of its own on the grid that all of them share.

Theory. A frame holds one segment in one plane; planes in which a segment is empty are usually left out. So the grid is
that of all planes of all segments together, at the smallest step between two (or Spacing Between Slices, which says
it even where planes are missing), and where nothing was kept there is nothing: 0. Fractional values are fractions of
Maximum Fractional Value. A label map (one frame a plane, the value names the segment) is read as any other image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vesalius.imaging.description import items_of, strings
from vesalius.imaging.layout import Layout
from vesalius.imaging.slices import Slice, normal_of, whole
from vesalius.imaging.sorting import SAME_PLACE, projections
from vesalius.imaging.sources import SliceHeader
from vesalius.imaging.space import Grid, NoVolume

SEGMENTS, SEGMENT_NUMBER, SEGMENT_LABEL = 0x00620002, 0x00620004, 0x00620005
MOST_PLANES = 100_000


def segment_layouts(slices: Sequence[Slice], headers: Sequence[SliceHeader]) -> list[Layout]:
    """The volume of each segment. Raises `NoVolume`."""
    ordered = sorted((one for one in slices if one.segment is not None), key=lambda one: one.key)
    instances = sorted({one.index for one in ordered})
    found: list[Layout] = []
    for index in instances:
        own = [one for one in ordered if one.index == index]
        labels = _labels(headers[index])
        grid, places = _grid(own)
        for segment in sorted({one.segment or 0 for one in own}):
            planes: list[Slice | None] = [None] * grid.shape[0]
            for one, place in zip(own, places, strict=True):
                if one.segment != segment:
                    continue
                if planes[place] is not None:
                    raise NoVolume(f"segment {segment} has two frames in one plane")
                planes[place] = one
            name = labels.get(segment, "")
            label = f"segment {segment}" + (f" {name}" if name else "")
            if len(instances) > 1:
                label = f"instance {instances.index(index) + 1}, {label}"
            found.append(Layout(grid, tuple(planes), label, segment=segment))
    return found


def _labels(header: SliceHeader) -> dict[int, str]:
    return {
        whole(strings(item, SEGMENT_NUMBER)): next(iter(strings(item, SEGMENT_LABEL)), "")
        for item in items_of(header.header, SEGMENTS)
    }


def _grid(slices: Sequence[Slice]) -> tuple[Grid, list[int]]:
    """The grid of all planes, and the place of each slice in it."""
    first = slices[0]
    for one in slices:
        if max(abs(a - b) for a, b in zip(one.along_row + one.along_column,
                                          first.along_row + first.along_column, strict=True)) > 1e-3:  # fmt: skip
            raise NoVolume("the frames of the segmentation do not share a direction")
    along = projections(slices)
    lowest, span = float(along.min()), float(np.ptp(along))
    step = _step(slices, np.unique(np.round(along, 4)))
    exact = (along - lowest) / step
    places = np.rint(exact).astype(int)
    if np.abs(exact - places).max() * step > max(0.05 * step, SAME_PLACE) or span / step > MOST_PLANES:
        raise NoVolume("the planes of the segmentation are not evenly spaced")
    origin = np.array(slices[int(np.argmin(along))].position)
    axes = np.array((first.along_row, first.along_column, normal_of(first))).T
    offsets = (np.array([one.position for one in slices]) - origin) @ axes[:, :2]
    if np.abs(offsets).max() > 0.5 * min(first.between_rows, first.between_columns):
        raise NoVolume("the frames of the segmentation do not lie behind each other")
    spacing = np.array((first.between_columns, first.between_rows, step))
    return Grid.of((int(places.max()) + 1, first.rows, first.columns), axes, spacing, origin), [int(p) for p in places]


def _step(slices: Sequence[Slice], along: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    told = slices[0].step
    if len(along) < 2:
        return told or slices[0].thickness or min(slices[0].between_rows, slices[0].between_columns)
    steps = np.diff(along)
    smallest = float(steps[steps > SAME_PLACE].min()) if (steps > SAME_PLACE).any() else 0.0
    if not smallest:
        return told or slices[0].thickness or 1.0
    # What is told is finer where planes are missing, and wrong often enough to be checked.
    if told and abs(smallest / told - round(smallest / told)) <= 0.02 and smallest / told >= 0.98:
        return smallest / round(smallest / told)
    whole_span = float(along[-1] - along[0])
    return whole_span / max(1, round(whole_span / smallest))
