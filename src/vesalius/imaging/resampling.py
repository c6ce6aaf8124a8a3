"""A volume on another grid: the values that one series has at the voxels of another.

Theory. For every voxel centre of the target grid the point in the patient is taken, by way of a transform where the
two series are of different frames, to an index of the moving volume, and the values around it are combined: the
nearest (labels: nothing else), linear, cubic B-spline, or a windowed sinc (Lanczos, radius 5). A point counts as inside
up to the outer faces of the outermost voxels, half a voxel beyond their centres, where the outermost value holds;
beyond that there is no value, and the result says so in its padding mask. Padding of the moving volume is never mixed
into a value: the weights of what is a value are what counts, and with less than half of them there is none.

Two ways lead to the same result. Where the axes of both grids are parallel (a PET and the CT of the same table) the
interpolation is separable: each axis is its own small gather and blend, in NumPy on all processors, and the axis that
shrinks most goes first. Everything else is done by SimpleITK in index space, where a sheared grid (gantry tilt) is a
matrix like any other, slab by slab, so that memory stays bounded and a caller that has left is noticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.imaging.simpleitk import simpleitk
from vesalius.imaging.space import Finding, Floats, Grid, Mask, Volume
from vesalius.imaging.transforms import IDENTITY, Transform
from vesalius.model.errors import NoVolume

Array = npt.NDArray[Any]
Cancelled = Callable[[], bool]

SLAB_BYTES = 96 << 20  # of the moving volume that one call of SimpleITK is given
PARALLEL = 1e-6  # index steps across: a shear below this moves no voxel of a 2,000 slice volume by 0.01 of its size
ON_GRID = 1e-7  # of an index: nearer than this a place is the voxel's own
_MARGIN = {"nearest": 1, "linear": 2, "bspline": 24, "lanczos": 7}  # voxels around a slab that its values depend on


class Interpolation(StrEnum):
    """How values between voxels are found."""

    NEAREST = "nearest"
    LINEAR = "linear"
    BSPLINE = "bspline"  # cubic
    LANCZOS = "lanczos"  # sinc windowed by sinc, radius 5


class Abandoned(Exception):
    """Nobody waits for the result any more."""


def resample(
    moving: Volume,
    onto: Grid | Volume,
    interpolation: Interpolation | str = Interpolation.LINEAR,
    *,
    transform: Transform = IDENTITY,
    cancelled: Cancelled | None = None,
) -> Volume:
    """`moving` on the grid of `onto`; `transform` takes points of the target to points of `moving` (see `link`).

    Without a transform both must have one frame of reference, unless `onto` is a bare grid. Raises `NoVolume`.
    """
    way = Interpolation(interpolation)
    grid = onto.grid if isinstance(onto, Volume) else onto
    frame = onto.frame_of_reference if isinstance(onto, Volume) else moving.frame_of_reference
    if transform is IDENTITY and frame != moving.frame_of_reference:
        raise NoVolume("the two volumes have different frames of reference", hint="Give the transform between them.")
    if is_label(moving) and way is not Interpolation.NEAREST:
        raise NoVolume("labels are resampled by the nearest value only: anything else makes labels that nobody drew")
    if transform is IDENTITY and grid.same_as(moving.grid, 1e-9):
        return replace(moving, values=np.array(moving.values), grid=grid)
    kind = moving.values.dtype if way is Interpolation.NEAREST else np.dtype(np.float32)
    out, nothing = np.empty(grid.shape, kind), np.zeros(grid.shape, np.bool_)
    axes = None if transform is not IDENTITY else parallel_axes(grid, moving.grid)
    if axes is not None and way in (Interpolation.NEAREST, Interpolation.LINEAR) and moving.padding is None:
        _separable(moving.values, axes, way, out, nothing, cancelled)
    else:
        for slab in _slabs(grid, moving, transform, way):
            if cancelled is not None and cancelled():
                raise Abandoned
            _by_simpleitk(moving, grid, slab, transform, way, out, nothing)
    fill = background(moving)
    if nothing.any():
        out[nothing] = fill
    notes = moving.notes
    if nothing.all():
        notes = (*notes, Finding("no-overlap", "the two series share a space but no part of it"))
    return replace(
        moving, values=out, grid=grid, frame_of_reference=frame, padding=nothing if nothing.any() else None, notes=notes
    )


def is_label(volume: Volume) -> bool:
    """Whether values are names of things, not amounts."""
    kind = volume.values.dtype
    return kind.kind == "b" or (kind.kind in "iu" and (volume.modality == "SEG" or kind.itemsize == 1))


def background(volume: Volume) -> float:
    """What stands where there is no value: air for HU, else nothing."""
    return -1024.0 if volume.unit == "[hnsf'U]" else 0.0


# -- parallel grids -----------------------------------------------------------------------------------


def parallel_axes(grid: Grid, moving: Grid) -> tuple[Floats, Floats, Floats] | None:
    """The fractional indices in `moving` of each column, row and slice of `grid`; None where the axes are not parallel.

    Axis by axis (i, j, k of the target), in the order of the target; the moving axes must run the same way round.
    """
    step = np.linalg.solve(moving.affine[:3, :3], grid.affine[:3, :3])
    # What an axis adds across, over its whole length.
    across = np.abs(step - np.diag(np.diag(step))) * (np.array(grid.size) - 1)
    if across.max() > PARALLEL * max(moving.size):
        return None
    origin = moving.to_index(grid.origin_mm)
    i, j, k = (_on_grid(origin[axis] + step[axis, axis] * np.arange(grid.size[axis])) for axis in range(3))
    return i, j, k


def _on_grid(places: Floats) -> Floats:
    nearest = np.rint(places)
    return np.where(np.abs(places - nearest) < ON_GRID, nearest, places)


def _inside(places: Floats, size: int) -> Mask:
    return np.asarray((places >= -0.5 - ON_GRID) & (places <= size - 0.5 + ON_GRID))


def _separable(
    values: Array,
    axes: tuple[Floats, Floats, Floats],
    way: Interpolation,
    out: Array,
    nothing: Mask,
    cancelled: Cancelled | None,
) -> None:
    """Axis by axis, on all processors; each thread has slices of the result of its own."""
    places = axes[::-1]  # k, j, i as the arrays have them
    for axis, each in enumerate(places):
        outside = ~_inside(each, values.shape[axis])
        if outside.any():
            nothing[(slice(None),) * axis + (outside,)] = True
    picks = [_picks(each, size, way) for each, size in zip(places, values.shape, strict=True)]
    # j and i first by how much they shrink, k last: then a slab of the result needs the slices around it alone.
    order = sorted((1, 2), key=lambda axis: len(places[axis]) / values.shape[axis])
    count = len(places[0])
    threads = min(os.cpu_count() or 1, count)
    chunk = max(1, min(16, -(-count // threads)))

    def fill(start: int) -> None:
        if cancelled is not None and cancelled():
            raise Abandoned
        stop = min(start + chunk, count)
        low, high, weight = (each[start:stop] for each in picks[0])
        needed, inverse = np.unique(np.concatenate((low, high)), return_inverse=True)
        planes = [_plane(values[k], picks, order, way) for k in needed]
        for at in range(stop - start):
            below, above = planes[inverse[at]], planes[inverse[at + stop - start]]
            _blend(below, above, weight[at], out[start + at])

    if threads == 1 or out.size < 1 << 16:
        for start in range(0, count, chunk):
            fill(start)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(fill, start) for start in range(0, count, chunk)]:
            done.result()


def _picks(places: Floats, size: int, way: Interpolation) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Array]:
    """For each place the voxels below and above it, and the part of the upper one."""
    held = np.clip(places, 0, size - 1)
    if way is Interpolation.NEAREST:
        # Half way between two the upper one is taken, as ITK does.
        nearest = np.minimum(np.floor(held + 0.5).astype(np.intp), size - 1)
        return nearest, nearest, np.zeros(len(places), np.float32)
    low = np.floor(held).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (held - low).astype(np.float32)


def _plane(plane: Array, picks: list[Any], order: list[int], way: Interpolation) -> Array:
    found = plane
    for axis in order:
        low, high, weight = picks[axis]
        along = axis - 1
        lower = found.take(low, axis=along)
        if way is Interpolation.LINEAR and weight.any():
            shape = (-1, 1) if along == 0 else (1, -1)
            upper = found.take(high, axis=along)
            lower = lower.astype(np.float32, copy=False)
            part = np.subtract(upper, lower, dtype=np.float32)
            part *= weight.reshape(shape)
            part += lower
            lower = part
        found = lower
    return found


def _blend(below: Array, above: Array, weight: Any, out: Array) -> None:
    if weight == 0 or below is above:
        out[...] = below
        return
    np.subtract(above, below, out=out, dtype=np.float32)
    out *= weight
    out += below


# -- everything else ------------------------------------------------------------------------------------


def _slabs(grid: Grid, moving: Volume, transform: Transform, way: Interpolation) -> Iterator[slice]:
    """Runs of slices of the target such that what they need of the moving volume is bounded."""
    slices = grid.shape[0]
    if (
        moving.values.nbytes <= SLAB_BYTES
        and transform.matrix is not None
        and grid.shape[1] * grid.shape[2] * slices < 1 << 26
    ):
        yield slice(0, slices)
        return
    start = 0
    while start < slices:
        stop = slices
        while stop - start > 1:
            box = _box(grid, slice(start, stop), moving.grid, transform, way)
            size = 0 if box is None else int(np.prod([each.stop - each.start for each in box]))
            field = 0 if transform.matrix is not None else (stop - start) * grid.shape[1] * grid.shape[2] * 12
            if size * 4 + field <= SLAB_BYTES:
                break
            stop = start + (stop - start + 1) // 2
        yield slice(start, stop)
        start = stop


def _box(grid: Grid, slab: slice, moving: Grid, transform: Transform, way: Interpolation) -> tuple[slice, ...] | None:
    """The part of the moving array (k, j, i) that a slab of the target needs; None: none of it."""
    columns, rows, _ = grid.size
    if transform.matrix is not None:
        ends = np.array(np.meshgrid([0, columns - 1], [0, rows - 1], [slab.start, slab.stop - 1], indexing="ij"))
    else:
        steps = (np.linspace(0, columns - 1, 9), np.linspace(0, rows - 1, 9), np.linspace(slab.start, slab.stop - 1, 5))
        ends = np.array(np.meshgrid(*steps, indexing="ij"))
    index = moving.to_index(transform.apply(grid.to_patient(ends.reshape(3, -1).T)))
    # Between the points that were tried a deformation may reach further.
    margin = _MARGIN[way.value] + (0 if transform.matrix is not None else 8)
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + margin + 1, moving.size)
    if (low >= high).any():
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return k, j, i


def _by_simpleitk(
    moving: Volume, grid: Grid, slab: slice, transform: Transform, way: Interpolation, out: Array, nothing: Mask
) -> None:
    box = _box(grid, slab, moving.grid, transform, way)
    if box is None:
        nothing[slab] = True
        return
    sitk = simpleitk()
    kind = {
        Interpolation.NEAREST: sitk.sitkNearestNeighbor,
        Interpolation.LINEAR: sitk.sitkLinear,
        Interpolation.BSPLINE: sitk.sitkBSpline,
        Interpolation.LANCZOS: sitk.sitkLanczosWindowedSinc,
    }[way]
    values = np.ascontiguousarray(moving.values[box])
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    elif way is not Interpolation.NEAREST:
        values = values.astype(np.float32, copy=False)
    hole = None if moving.padding is None else moving.padding[box]
    if hole is not None and not hole.any():
        hole = None
    if hole is not None and way is not Interpolation.NEAREST:
        values = np.where(hole, np.float32(0), values)
    offset = np.array([box[2].start, box[1].start, box[0].start], np.float64)
    place = _Places(sitk, grid, slab, moving.grid, transform, offset)
    # Two passes where there are holes or edges: the values, and the part of them that is there at all.
    here = np.ones(values.shape, np.float32) if hole is None else (~hole).astype(np.float32)
    rows = slice(slab.start, slab.stop)
    if way is Interpolation.NEAREST:
        out[rows] = (
            place.sampled(values, kind).view(out.dtype) if out.dtype == np.bool_ else place.sampled(values, kind)
        )
        nothing[rows] = place.sampled(here, sitk.sitkNearestNeighbor) < 0.5
        return
    found = place.sampled(values, kind)
    weight = place.sampled(here, sitk.sitkLinear)
    nothing[rows] = weight < 0.5
    if hole is not None:
        if way is Interpolation.LINEAR:
            part = weight > 0
            np.divide(found, weight, out=found, where=part & (weight < 1))
        else:
            nothing[rows] |= weight < 1 - 1e-6  # a kernel that reaches into a hole gives no value
    out[rows] = found


class _Places:
    """Where the voxels of a slab lie in a part of the moving array; all in index space."""

    def __init__(self, sitk: Any, grid: Grid, slab: slice, moving: Grid, transform: Transform, offset: Floats) -> None:
        self._sitk = sitk
        self._size = (*grid.size[:2], slab.stop - slab.start)
        begin = np.eye(4)
        begin[2, 3] = slab.start
        matrix = transform.matrix
        if matrix is not None:
            whole = moving.inverse @ matrix @ grid.affine @ begin
            whole[:3, 3] -= offset
            self._map = sitk.AffineTransform(3)
            self._map.SetMatrix(whole[:3, :3].ravel().tolist())
            self._map.SetTranslation(whole[:3, 3].tolist())
            return
        k, j, i = np.meshgrid(np.arange(slab.start, slab.stop), *(np.arange(n) for n in grid.shape[1:]), indexing="ij")
        points = np.stack((i, j, k), axis=-1)
        index = moving.to_index(transform.apply(grid.to_patient(points))) - offset
        field = sitk.GetImageFromArray(index - points + (0, 0, slab.start), isVector=True)
        self._map = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))

    def sampled(self, values: Array, kind: int) -> Array:
        """The values at these places; 0 outside."""
        sitk = self._sitk
        image = sitk.GetImageFromArray(values)
        made = sitk.Resample(
            image, self._size, self._map, kind, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1), 0.0,
            image.GetPixelID(),
        )  # fmt: skip
        found: Array = sitk.GetArrayFromImage(made)
        return found


# -- single points ----------------------------------------------------------------------------------------


def values_at(
    volume: Volume, points_lps: npt.ArrayLike, interpolation: Interpolation | str = Interpolation.NEAREST
) -> Floats:
    """The values (n) at points (n, 3) in LPS mm of the volume's own space; NaN where there is none."""
    points = np.asarray(points_lps, np.float64).reshape(-1, 3)
    index = _on_grid(volume.grid.to_index(points))
    size = np.array(volume.grid.size)
    inside = ((index >= -0.5) & (index <= size - 0.5)).all(axis=1)
    held = np.clip(index, 0, size - 1)
    found = np.full(len(points), np.nan)
    if Interpolation(interpolation) is Interpolation.NEAREST:
        i, j, k = np.minimum(np.floor(held + 0.5).astype(np.intp), size - 1).T
        found[inside] = volume.values[k, j, i][inside]
        if volume.padding is not None:
            found[volume.padding[k, j, i]] = np.nan
        return found
    low = np.floor(held).astype(np.intp)
    part, total, weights = held - low, np.zeros(len(points)), np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        step = np.array(corner)
        weight = np.where(step, part, 1 - part).prod(axis=1)
        i, j, k = np.minimum(low + step, size - 1).T
        if volume.padding is not None:
            weight = np.where(volume.padding[k, j, i], 0, weight)
        total += weight * volume.values[k, j, i]
        weights += weight
    good = inside & (weights >= 0.5)
    found[good] = total[good] / weights[good]
    return found
