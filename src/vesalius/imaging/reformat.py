"""Planes through a volume: axial, coronal, sagittal, oblique, thin or as a slab (MIP, MinIP, mean).

Theory. A plane is a grid of one slice in the patient, so that a reformatted picture is a resampling like any other and
its every pixel has a place in mm. The three main planes are laid as radiologists look at them (PS3.3 C.7.6.1.1.1): the
patient's right on the left of the picture, front above in axial pictures, head above in the others. Pixels are square;
where the plane runs along the volume's own axes, the lines of the grid are the volume's own and values are not
interpolated along them. A slab is a stack of such planes, as thick as asked for, of which every pixel shows the
highest, the lowest or the mean value; where there is no value in part of the stack, what is there counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from vesalius.imaging.resampling import Cancelled, Interpolation, background, resample
from vesalius.imaging.slices import Slice, normal_of
from vesalius.imaging.space import Floats, Grid, Volume
from vesalius.imaging.transforms import IDENTITY, Transform
from vesalius.model.errors import NoVolume

MOST_PIXELS = 4096  # along one side of a picture
MOST_PLANES = 4096  # of a slab
AT_ONCE = 16  # planes of a slab in memory


class Plane(StrEnum):
    """The main planes of the body."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


class Projection(StrEnum):
    """What a slab shows of the values in its depth."""

    MIP = "mip"
    MINIP = "minip"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Slab:
    """How thick a plane is, and what it shows."""

    thickness_mm: float = 0.0
    projection: Projection = Projection.MEAN


THIN = Slab()
# To the right and downwards in the picture, LPS; the normal is what `position_mm` counts along.
DIRECTIONS: dict[Plane, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    Plane.AXIAL: ((1, 0, 0), (0, 1, 0)),
    Plane.CORONAL: ((1, 0, 0), (0, 0, -1)),
    Plane.SAGITTAL: ((0, 1, 0), (0, 0, -1)),
}
NORMAL_AXIS = {Plane.AXIAL: 2, Plane.CORONAL: 1, Plane.SAGITTAL: 0}


def main_plane(of: Grid, plane: Plane | str, position_mm: float | None = None, spacing_mm: float | None = None) -> Grid:
    """The grid of a main plane through a volume; `position_mm`: LPS z, y or x of it, by default the middle.

    Raises `NoVolume` where the plane does not meet the volume.
    """
    wanted = Plane(plane)
    axis = NORMAL_AXIS[wanted]
    low, high = of.bounds()
    if position_mm is None:
        position_mm = _middle(of, axis)
    if not low[axis] <= position_mm <= high[axis]:
        raise NoVolume(
            f"the {wanted.value} plane at {position_mm:g} mm does not meet the volume",
            hint=f"The volume reaches from {low[axis]:.1f} to {high[axis]:.1f} mm.",
        )
    centre = (low + high) / 2
    centre[axis] = position_mm
    right, down = (np.array(each, np.float64) for each in DIRECTIONS[wanted])
    return oblique(of, centre, right, down, spacing_mm)


def oblique(
    of: Grid, centre_mm: npt.ArrayLike, right: npt.ArrayLike, down: npt.ArrayLike, spacing_mm: float | None = None
) -> Grid:
    """The grid of any plane: through a point, with the directions to the right and downwards (made perpendicular)."""
    centre = np.asarray(centre_mm, np.float64)
    across, downwards = np.asarray(right, np.float64), np.asarray(down, np.float64)
    if np.linalg.norm(across) < 1e-9 or np.linalg.norm(np.cross(across, downwards)) < 1e-9:
        raise NoVolume("the two directions of a plane are not two directions")
    across = across / np.linalg.norm(across)
    downwards = downwards - across * (across @ downwards)
    downwards /= np.linalg.norm(downwards)
    normal = np.cross(across, downwards)
    step = spacing_mm or min(_along(of, across), _along(of, downwards))
    corners = _faces(of) - centre
    origin = centre.copy()
    counts = []
    for direction in (across, downwards):
        reach = corners @ direction
        start, count = _line(of, centre, direction, float(reach.min()), float(reach.max()), step)
        origin += direction * start
        counts.append(count)
    depth = _along(of, normal)
    directions = np.stack((across, downwards, normal), axis=1)
    return Grid.of((1, counts[1], counts[0]), directions, np.array([step, step, depth]), origin)


def grid_of(one: Slice) -> Grid:
    """The pixels of a frame as a grid of one slice."""
    directions = np.array((one.along_row, one.along_column, normal_of(one))).T
    spacing = np.array((one.between_columns, one.between_rows, one.thickness or one.step or 1.0))
    return Grid.of((1, one.rows, one.columns), directions, spacing, np.array(one.position))


def reformat(
    volume: Volume,
    plane: Grid,
    slab: Slab = THIN,
    interpolation: Interpolation | str = Interpolation.LINEAR,
    *,
    transform: Transform = IDENTITY,
    frame_of_reference: str | None = None,
    cancelled: Cancelled | None = None,
) -> Volume:
    """The volume on a plane, as a volume of one slice. `transform`: points of the plane to points of the volume.

    `frame_of_reference`: of the plane, where a transform leads from it. Raises `NoVolume`.
    """
    step = float(np.linalg.norm(plane.affine[:3, 2]))
    # Every plane that lies within half the thickness of the middle one: an odd number, so that the middle one counts.
    count = 2 * int(slab.thickness_mm / (2 * step) + 1e-6) + 1 if slab.thickness_mm > 0 else 1
    if count > MOST_PLANES:
        raise NoVolume("the slab is too thick")
    if count == 1:
        found = resample(volume, plane, interpolation, transform=transform, cancelled=cancelled)
        return replace(found, frame_of_reference=frame_of_reference or found.frame_of_reference)
    best: npt.NDArray[np.float64] | None = None
    seen = np.zeros(plane.shape[1:], np.int64)
    for start in range(0, count, AT_ONCE):
        affine = plane.affine.copy()
        affine[:3, 3] += affine[:3, 2] * (start - (count - 1) / 2)
        stack = Grid((min(AT_ONCE, count - start), *plane.shape[1:]), affine)
        part = resample(volume, stack, interpolation, transform=transform, cancelled=cancelled)
        best = _joined(best, part, slab.projection)
        seen += part.finite.sum(axis=0)
    if best is None:
        raise NoVolume("the slab is empty")
    nothing = seen == 0
    if slab.projection is Projection.MEAN:
        best = best / np.maximum(seen, 1)
    values = np.where(nothing, background(volume), best)[None].astype(np.float32)
    return replace(
        volume,
        values=values,
        grid=plane,
        padding=nothing[None] if nothing.any() else None,
        frame_of_reference=frame_of_reference or volume.frame_of_reference,
    )


def _joined(best: npt.NDArray[np.float64] | None, part: Volume, projection: Projection) -> npt.NDArray[np.float64]:
    values, here = part.values.astype(np.float64), part.finite
    join: np.ufunc
    if projection is Projection.MEAN:
        join, neutral = np.add, 0.0
    else:
        join, neutral = (np.maximum, -np.inf) if projection is Projection.MIP else (np.minimum, np.inf)
    found = np.asarray(join.reduce(np.where(here, values, neutral), axis=0), np.float64)
    return found if best is None else np.asarray(join(best, found), np.float64)


def _middle(of: Grid, axis: int) -> float:
    """The middle of the volume along an axis of the patient, on a voxel's centre where one runs that way."""
    low, high = of.bounds()
    middle = float(low[axis] + high[axis]) / 2
    direction = np.zeros(3)
    direction[axis] = 1.0
    own = _parallel(of, direction)
    if own is None:
        return middle
    step = of.affine[axis, own]
    return float(of.origin_mm[axis] + step * round((middle - of.origin_mm[axis]) / step))


def _line(of: Grid, centre: Floats, direction: Floats, low: float, high: float, step: float) -> tuple[float, int]:
    """Where the first pixel lies along a direction (from the centre, mm), and how many there are."""
    own = _parallel(of, direction)
    if own is not None and abs(float(of.spacing[own]) - step) < 1e-6:
        # On the volume's own lines.
        phase = float((of.origin_mm - centre) @ direction)
        first = phase + np.ceil((low - phase) / step - 1e-6) * step
        count = int(np.floor((high - first) / step + 1e-6)) + 1
    else:
        count = max(1, int(np.ceil((high - low) / step - 1e-6)))
        first = (low + high) / 2 - (count - 1) / 2 * step
    if count > MOST_PIXELS:
        raise NoVolume("the picture would be too large", hint="Ask for larger pixels (spacing).")
    return float(first), count


def _parallel(of: Grid, direction: Floats) -> int | None:
    """The axis of the volume that runs along a direction; None where none does."""
    cosines = np.abs(of.directions.T @ direction)
    best = int(cosines.argmax())
    return best if cosines[best] > 1 - 1e-9 else None


def _along(of: Grid, direction: Floats) -> float:
    """mm from voxel to voxel along a direction."""
    own = _parallel(of, direction)
    if own is not None:
        return float(of.spacing[own])
    return float(1 / np.linalg.norm(of.inverse[:3, :3] @ direction))


def _faces(of: Grid) -> Floats:
    """The eight outer corners of the box of voxels, LPS mm."""
    low, high = np.full(3, -0.5), np.array(of.size, np.float64) - 0.5
    return of.to_patient(np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T)
