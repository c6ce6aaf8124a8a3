"""Stacks whose slices do not lie straight behind each other: gantry tilt, and how it is put right.

Theory. A CT with a tilted gantry moves the patient along the table while its slices stand oblique: each slice lies
shifted within its plane against the one before, and the grid is sheared. It may stay so (`Grid` allows it) or be
straightened: the new grid has the same planes and the same pixel size, and every slice moves within its plane by its
own distance, linearly interpolated between its pixels. No value ever mixes with that of another slice, so the only
error is that of linear interpolation within a plane; where a shift is a whole number of pixels there is none. The
field of view grows so that nothing is cut off, and what no slice covers is marked as padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesalius.imaging.slices import Slice, normal_of

Floats = npt.NDArray[np.float64]

NOISE_MM = 1e-3  # of a shift; positions are written with few digits
NOTICED = 0.1  # of a pixel


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """How far each slice lies off the straight line behind the first, within its plane."""

    mm: Floats  # (slices, 2) along i and j
    pixels: Floats  # the same in pixels
    linear: bool  # each slice by the same more than the one before it

    @property
    def straight(self) -> bool:
        """Whether it is noise."""
        return bool(np.abs(self.mm).max() <= NOISE_MM)

    @property
    def noticed(self) -> bool:
        """Whether it is so much that a grid that ignores it would be wrong to look at."""
        return bool(np.abs(self.pixels).max() > NOTICED)

    @property
    def degrees(self) -> float:
        """The angle of the tilt, by the last slice."""
        return float(self._angle)

    _angle: float = 0.0


def shifts_of(slices: tuple[Slice, ...]) -> Shifts:
    """The shifts of slices in order."""
    first = slices[0]
    axes = np.array((first.along_row, first.along_column, normal_of(first)))
    away = np.array([one.position for one in slices], np.float64) - np.array(first.position)
    along = away @ axes.T
    mm = along[:, :2].copy()
    pixels = mm / (first.between_columns, first.between_rows)
    linear = True
    if len(slices) > 2 and along[-1, 2]:
        expected = mm[-1] * (along[:, 2] / along[-1, 2])[:, None]
        linear = bool(np.abs(mm - expected).max() <= max(0.02, 0.05 * min(first.between_columns, first.between_rows)))
    angle = float(np.degrees(np.arctan2(np.linalg.norm(mm[-1]), abs(along[-1, 2])))) if along[-1, 2] else 0.0
    return Shifts(mm, pixels, linear, angle)


@dataclass(frozen=True, slots=True)
class Frame:
    """The straightened picture: how much larger than a slice, and where its first pixel lies."""

    left: int  # pixels added before the first column of the first slice (may be negative)
    above: int
    columns: int
    rows: int

    @classmethod
    def around(cls, shifts: Shifts, rows: int, columns: int) -> Frame:
        """So large that every shifted slice fits."""
        snapped = snap(shifts.pixels)
        low, high = np.floor(snapped.min(axis=0)).astype(int), np.ceil(snapped.max(axis=0)).astype(int)
        return cls(-int(low[0]), -int(low[1]), columns + int(high[0] - low[0]), rows + int(high[1] - low[1]))


def snap(pixels: Floats) -> Floats:
    """Shifts that are whole pixels but for noise, as such."""
    near = np.rint(pixels)
    return np.where(np.abs(pixels - near) < 1e-3, near, pixels)


def straightened(
    plane: npt.NDArray[np.float32], shift: Floats, frame: Frame, fill: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """One slice moved by `shift` pixels (i, j) into the larger picture, and where no pixel of it lies."""
    right, down = (float(value) for value in snap(shift))
    column, row = int(np.floor(right)), int(np.floor(down))
    moved = _between(_between(plane, right - column, 1), down - row, 0)
    out = np.full((frame.rows, frame.columns), fill, np.float32)
    empty = np.ones(out.shape, np.bool_)
    # A picture between pixels n and n + 1 has its first value at n + 1.
    top = frame.above + row + (1 if down > row else 0)
    left = frame.left + column + (1 if right > column else 0)
    place = np.s_[top : top + moved.shape[0], left : left + moved.shape[1]]
    out[place] = moved
    empty[place] = False
    return out, empty


def _between(plane: npt.NDArray[np.float32], part: float, axis: int) -> npt.NDArray[np.float32]:
    """The values at the points `part` of a pixel before each pixel but the first: linear, exact at 0."""
    if part == 0:
        return plane
    before = plane[:-1] if axis == 0 else plane[:, :-1]
    after = plane[1:] if axis == 0 else plane[:, 1:]
    return np.asarray(after * np.float32(1 - part) + before * np.float32(part), np.float32)
