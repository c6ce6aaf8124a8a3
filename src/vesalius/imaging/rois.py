"""Regions of interest and what the values in them are: mean, spread, extremes, percentiles, volume.

Theory. A region is a shape in the patient (LPS mm): a sphere, a flat contour, or what a segmentation marks. A voxel
belongs to it if its centre does; a contour takes the voxels of the slice that it lies in (within half a voxel along its
normal). Nothing is interpolated: the figures are those of voxels that were measured, in the unit of the volume, and
padding does not count. The spread is that of a sample (n - 1). Percentiles lie between values linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vesalius.imaging.measure import area_mm2, inside_contour, normal_of, points_of
from vesalius.imaging.resampling import resample
from vesalius.imaging.space import Finding, Floats, Grid, Volume
from vesalius.imaging.transforms import IDENTITY, Transform
from vesalius.model.errors import NoVolume

PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
MOST_VOXELS = 1 << 28  # of the box around a region

Box = tuple[slice, slice, slice]


class Region(Protocol):
    """A shape in the patient."""

    def box(self, grid: Grid) -> tuple[Floats, Floats]:
        """Lowest and highest corner of what holds the shape, LPS mm."""
        ...

    def holds(self, points: Floats, grid: Grid) -> npt.NDArray[np.bool_]:
        """Which of the voxel centres (n, 3) belong to it."""
        ...

    @property
    def area_mm2(self) -> float | None:
        """Of a flat one."""
        ...


@dataclass(frozen=True, slots=True)
class Sphere:
    """All points within a radius."""

    centre: tuple[float, float, float]
    radius_mm: float

    def __post_init__(self) -> None:
        points_of([self.centre], 1)
        if not 0 < self.radius_mm < 1e4:
            raise NoVolume("the radius of a sphere is above 0 and below 10 m")

    def box(self, _grid: Grid) -> tuple[Floats, Floats]:
        """See `Region`."""
        centre = np.array(self.centre)
        return centre - self.radius_mm, centre + self.radius_mm

    def holds(self, points: Floats, _grid: Grid) -> npt.NDArray[np.bool_]:
        """See `Region`."""
        away = points - np.array(self.centre)
        return np.asarray(np.einsum("ij,ij->i", away, away) <= self.radius_mm**2)

    @property
    def area_mm2(self) -> float | None:
        """None."""
        return None


@dataclass(frozen=True, slots=True)
class Contour:
    """A flat polygon; in the third direction it is as thick as the voxels are there."""

    points: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        normal_of(self.points)

    def _half_mm(self, grid: Grid) -> float:
        normal = normal_of(self.points)
        return float(np.abs(grid.affine[:3, :3].T @ normal).max()) / 2

    def box(self, grid: Grid) -> tuple[Floats, Floats]:
        """See `Region`."""
        found, half = np.array(self.points), self._half_mm(grid)
        return found.min(axis=0) - half, found.max(axis=0) + half

    def holds(self, points: Floats, grid: Grid) -> npt.NDArray[np.bool_]:
        """See `Region`."""
        contour, normal = np.array(self.points), normal_of(self.points)
        # The direction of a normal depends on how it was drawn: which of two equally near slices is taken must not.
        if normal[int(np.abs(normal).argmax())] < 0:
            normal = -normal
        away, half = (points - contour.mean(axis=0)) @ normal, self._half_mm(grid)
        near = (away > -half - 1e-6) & (away <= half - 1e-6)
        found = np.zeros(len(points), np.bool_)
        found[near] = inside_contour(points[near], contour, normal)
        return found

    @property
    def area_mm2(self) -> float | None:
        """Within the polygon."""
        return area_mm2(self.points)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of the values in a region; None where there are too few voxels."""

    voxels: int
    unit: str  # UCUM
    label: str  # of the unit, for people
    volume_mm3: float  # of the voxels that count
    mean: float | None
    sd: float | None  # of a sample (n - 1)
    minimum: float | None
    maximum: float | None
    percentiles: tuple[tuple[float, float], ...] = ()  # which, and its value
    area_mm2: float | None = None
    notes: tuple[Finding, ...] = ()


def statistics(
    volume: Volume, region: Region, *, transform: Transform = IDENTITY, percentiles: Sequence[float] = PERCENTILES
) -> Statistics:
    """The values within a region. `transform`: points of the volume to points of the region's space."""
    box = _box(volume.grid, region, transform)
    if box is None:
        return _figures(volume, np.empty(0), percentiles, region.area_mm2)
    k, j, i = box
    counts = [each.stop - each.start for each in (k, j, i)]
    if np.prod(counts, dtype=np.int64) > MOST_VOXELS:
        raise NoVolume("the region holds too many voxels")
    taken = []
    for at in range(k.start, k.stop):
        rows, columns = np.meshgrid(np.arange(j.start, j.stop), np.arange(i.start, i.stop), indexing="ij")
        index = np.stack((columns.ravel(), rows.ravel(), np.full(rows.size, at)), axis=1)
        inside = region.holds(transform.apply(volume.grid.to_patient(index)), volume.grid).reshape(rows.shape)
        if volume.padding is not None:
            inside &= ~volume.padding[at, j, i]
        taken.append(np.asarray(volume.values[at, j, i][inside], np.float64))
    return _figures(volume, np.concatenate(taken), percentiles, region.area_mm2)


def statistics_of_mask(
    volume: Volume, mask: Volume, *, transform: Transform = IDENTITY, percentiles: Sequence[float] = PERCENTILES
) -> Statistics:
    """The values where a segmentation marks something. `transform`: points of the volume to points of the mask."""
    marked = resample(mask, volume, "nearest", transform=transform)
    inside = (marked.values > 0) & marked.finite & volume.finite
    return _figures(volume, np.asarray(volume.values[inside], np.float64), percentiles, None)


def volume_of_mask_mm3(mask: Volume) -> float:
    """What a segmentation marks, on its own grid; a fraction counts as such."""
    values = mask.values if mask.padding is None else np.where(mask.padding, 0, mask.values)
    marked = (
        np.count_nonzero(values) if values.dtype.kind in "biu" else float(np.clip(values, 0, 1).sum(dtype=np.float64))
    )
    return float(marked) * mask.grid.voxel_mm3


def region_of(told: Any) -> Region:
    """A region from its JSON form: `{"type": "sphere", "centre": [x, y, z], "radius_mm": r}` or
    `{"type": "polygon", "points": [[x, y, z], ...]}`. Raises `NoVolume` in words.
    """
    kind = told.get("type") if isinstance(told, dict) else None
    if kind == "sphere":
        centre, radius = told.get("centre", told.get("center")), told.get("radius_mm")
        (point,) = points_of([centre], 1)
        if not isinstance(radius, int | float) or isinstance(radius, bool):
            raise NoVolume("radius_mm of a sphere is a number")
        return Sphere((float(point[0]), float(point[1]), float(point[2])), float(radius))
    if kind == "polygon":
        points = points_of(told.get("points"), 3)
        return Contour(tuple((float(x), float(y), float(z)) for x, y, z in points))
    raise NoVolume("a region is a sphere, a polygon or a segment", hint='{"type": "sphere", "centre": ..., ...}')


def _box(grid: Grid, region: Region, transform: Transform) -> Box | None:
    """The voxels that may belong to a region (k, j, i)."""
    low, high = region.box(grid)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
    if transform is not IDENTITY:
        # Between its corners a deformed box may bulge: the reach is widened by what it is deformed.
        corners = transform.inverse().apply(corners)
    index = grid.to_index(corners)
    margin = 0 if transform.matrix is not None else 8
    first = np.maximum(np.floor(index.min(axis=0)).astype(int) - margin, 0)
    last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1 + margin, grid.size)
    if (first >= last).any():
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return k, j, i


def _figures(volume: Volume, values: Floats, percentiles: Sequence[float], area: float | None) -> Statistics:
    count = len(values)
    if any(not 0 <= each <= 100 for each in percentiles):
        raise NoVolume("a percentile is a number from 0 to 100")
    told = (
        dict(zip(percentiles, np.percentile(values, list(percentiles)), strict=True)) if count and percentiles else {}
    )
    notes = volume.notes
    if not count:
        notes = (*notes, Finding("no-voxels", "no voxel's centre lies in the region"))
    return Statistics(
        voxels=count,
        unit=volume.unit,
        label=volume.label,
        volume_mm3=count * volume.grid.voxel_mm3,
        mean=float(values.mean()) if count else None,
        sd=float(values.std(ddof=1)) if count > 1 else None,
        minimum=float(values.min()) if count else None,
        maximum=float(values.max()) if count else None,
        percentiles=tuple((float(which), float(value)) for which, value in told.items()),
        area_mm2=area,
        notes=notes,
    )
