"""Where the slices of a stack come to lie in the grid of a volume.

Theory. An even, straight stack is a grid as it is. One that is not becomes one here, and everything that is done to
the values for it is written down: slices moved within their plane (`tilt.py`), slices interpolated between two others
where the spacing is uneven. Neither happens in silence: each leaves a note, and an uneven stack is refused unless the
caller said that it may be resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesalius.imaging.slices import Slice, normal_of
from vesalius.imaging.sorting import SAME_PLACE, Spacing, Stack, projections, spacing_of
from vesalius.imaging.space import Finding, Grid, NoVolume
from vesalius.imaging.tilt import Frame, Shifts, shifts_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A grid and what fills it."""

    grid: Grid
    slices: tuple[Slice | None, ...]  # in order along the normal; None: nothing was kept for this place, it is 0
    label: str
    notes: tuple[Finding, ...] = ()
    localizer: bool = False
    shifts: Shifts | None = None  # slices are moved within their planes
    frame: Frame | None = None  # into this larger picture
    places: Floats | None = None  # for each slice of the grid its place among `slices`: 2.25 is a quarter after 2
    segment: int | None = None  # Segment Number (0062,0004) of the one segment that it is

    @property
    def first(self) -> Slice:
        """A slice that stands for all."""
        return next(one for one in self.slices if one is not None)


def layout_of(stack: Stack, *, irregular: str = "refuse", tilt: str = "correct") -> Layout:
    """The grid of a stack. Raises `NoVolume` with the reason why there is none."""
    slices, spacing = stack.slices, spacing_of(stack)
    shifts = shifts_of(slices)
    notes = [*stack.notes, *spacing.notes]
    places: Floats | None = None
    count = len(slices)
    if not spacing.even:
        if irregular != "resample":
            raise NoVolume(
                f"the slices are not evenly spaced: {spacing.reason}",
                hint="Ask for irregular=resample to have the slices between interpolated.",
            )
        places = _places(slices, spacing)
        count = len(places)
        notes.append(Finding("slices-resampled", f"{spacing.reason}; resampled to one every {spacing.step:.3f} mm"))
    first = slices[0]
    axes = np.array((first.along_row, first.along_column, normal_of(first))).T
    between = np.array((first.between_columns, first.between_rows, spacing.step))
    if not shifts.noticed or len(slices) == 1:
        affine = _affine(axes * between, first.position)
        if not shifts.straight and shifts.linear and places is None:
            affine[:3, 2] = (np.array(slices[-1].position) - np.array(first.position)) / (len(slices) - 1)
        grid = Grid((count, first.rows, first.columns), affine)
        return Layout(grid, slices, stack.label, tuple(notes), stack.localizer, places=places)
    if tilt == "keep":
        if not shifts.linear or places is not None:
            raise NoVolume("the slices do not lie behind each other in one direction, so they cannot stay as they are")
        affine = _affine(axes * between, first.position)
        affine[:3, 2] = (np.array(slices[-1].position) - np.array(first.position)) / (len(slices) - 1)
        notes.append(Finding("tilted", f"the slices are tilted by {shifts.degrees:.2f} degrees: the grid is sheared"))
        return Layout(
            Grid((count, first.rows, first.columns), affine), slices, stack.label, tuple(notes), stack.localizer
        )
    frame = Frame.around(shifts, first.rows, first.columns)
    if frame.rows > 4 * first.rows + 64 or frame.columns > 4 * first.columns + 64:
        raise NoVolume("the slices do not lie behind each other: they share a direction and little else")
    corner = np.array(first.position) - axes[:, 0] * between[0] * frame.left - axes[:, 1] * between[1] * frame.above
    grid = Grid((count, frame.rows, frame.columns), _affine(axes * between, corner))
    what = f"tilted by {shifts.degrees:.2f} degrees" if shifts.linear else "shifted within their planes"
    notes.append(Finding("tilt-corrected", f"the slices are {what}: each was moved into place within its plane"))
    return Layout(grid, slices, stack.label, tuple(notes), stack.localizer, shifts, frame, places)


def _affine(columns: Floats, origin: npt.ArrayLike) -> Floats:
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = origin
    return affine


def _places(slices: tuple[Slice, ...], spacing: Spacing) -> Floats:
    """Even places from the first slice on, as far as there are slices, counted in slices."""
    along = projections(slices)
    count = int(np.floor((along[-1] - along[0]) / spacing.step + SAME_PLACE)) + 1
    wanted = along[0] + spacing.step * np.arange(count)
    places = np.interp(wanted, along, np.arange(len(along), dtype=np.float64))
    near = np.rint(places)
    return np.asarray(np.where(np.abs(places - near) < 1e-3, near, places), np.float64)
