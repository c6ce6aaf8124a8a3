"""Where voxels lie and what a volume is: the one type that everything quantitative works on.

Theory. A grid is a box of voxels in the patient. Its affine takes an index (i, j, k) = (column, row, slice), counted
from the centre of the first voxel, to a point (x, y, z) of the patient-based coordinate system in mm: x to the left, y
to the back, z to the head of the patient (LPS; PS3.3 C.7.6.2.1.1). Arrays are `values[k, j, i]` in C order, so that a
slice is contiguous as it came from its instance; an affine always takes (i, j, k). The columns of the affine need not
be perpendicular: a sheared grid (gantry tilt) is a grid, too.

Whether two grids lie in one space at all is not for the numbers to say: only the Frame of Reference UID does
(PS3.3 C.7.4.1), which a `Volume` carries beside its grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.model.errors import NoVolume

__all__ = ["Finding", "Floats", "Grid", "NoVolume", "Volume"]

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

SAME_MM = 1e-3  # two grids whose corners are nearer than this are one


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person who trusts the figures should know: what was odd, and what was done about it."""

    code: str  # a short name for programs: "tilt-corrected", "slices-missing", "values-saturated" ...
    message: str  # a sentence for people, without patient data


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A box of voxels: `shape` = (slices, rows, columns), `affine` from (i, j, k, 1) to LPS mm, voxel centres."""

    shape: tuple[int, int, int]
    affine: Floats

    def __post_init__(self) -> None:
        affine = np.array(self.affine, np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not (affine[3] == (0, 0, 0, 1)).all():
            raise NoVolume("the affine of a grid is a 4 x 4 matrix of finite numbers whose last row is 0 0 0 1")
        if min(self.shape) < 1:
            raise NoVolume("a grid has at least one voxel")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not (lengths > 0).all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
            raise NoVolume("the axes of the grid are not three directions of space")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def of(cls, shape: tuple[int, int, int], directions: Floats, spacing_mm: Floats, origin_mm: Floats) -> Grid:
        """From three unit vectors (columns of `directions`, along i, j, k), spacing (i, j, k) and the first centre."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(directions, np.float64) * np.asarray(spacing_mm, np.float64)
        affine[:3, 3] = origin_mm
        return cls(shape, affine)

    @property
    def inverse(self) -> Floats:
        """The affine from LPS mm to index (i, j, k)."""
        return np.asarray(np.linalg.inv(self.affine), np.float64)

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along i, j, k: `shape` the other way round."""
        slices, rows, columns = self.shape
        return columns, rows, slices

    @property
    def origin_mm(self) -> Floats:
        """The centre of the first voxel, LPS mm."""
        return self.affine[:3, 3].copy()

    @property
    def spacing(self) -> Floats:
        """mm from one voxel centre to the next along i, j, k; always positive."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def directions(self) -> Floats:
        """Unit vectors along i, j, k as the columns of a 3 x 3 matrix."""
        return np.asarray(self.affine[:3, :3] / self.spacing)

    @property
    def voxel_mm3(self) -> float:
        """The volume of a voxel in mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def is_orthogonal(self, tolerance: float = 1e-4) -> bool:
        """Whether the three axes are perpendicular; `tolerance` is the largest cosine between two of them."""
        cosines = self.directions.T @ self.directions - np.eye(3)
        return bool(np.abs(cosines).max() <= tolerance)

    def to_patient(self, points_ijk: npt.ArrayLike) -> Floats:
        """Points (..., 3) of indices (i, j, k) as LPS mm."""
        points = np.asarray(points_ijk, np.float64)
        return np.asarray(points @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, points_lps: npt.ArrayLike) -> Floats:
        """Points (..., 3) in LPS mm as (fractional) indices (i, j, k)."""
        # Solving beats multiplying with an inverse where axes are of very different lengths.
        points = np.asarray(points_lps, np.float64) - self.affine[:3, 3]
        flat = np.linalg.solve(self.affine[:3, :3], points.reshape(-1, 3).T).T
        return np.asarray(flat.reshape(points.shape))

    def corners(self) -> Floats:
        """The centres of the eight outermost voxels, LPS mm (8, 3)."""
        last = np.array(self.size, np.float64) - 1
        return self.to_patient(np.array(np.meshgrid(*([0, end] for end in last), indexing="ij")).reshape(3, -1).T)

    def bounds(self) -> tuple[Floats, Floats]:
        """The box in LPS mm that holds every voxel to its outer faces: lowest and highest corner."""
        low, high = np.full(3, -0.5), np.array(self.size, np.float64) - 0.5
        faces = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
        points = self.to_patient(faces)
        return points.min(axis=0), points.max(axis=0)

    def same_as(self, other: Grid, tolerance_mm: float = SAME_MM) -> bool:
        """Whether every voxel lies where the other's voxel of the same index lies."""
        return self.shape == other.shape and bool(np.abs(self.corners() - other.corners()).max() <= tolerance_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Values with their meaning and their place."""

    values: Values  # [k, j, i], C order; float32 for HU, SUV and other quantities, integers for labels and raw values
    grid: Grid
    unit: str  # UCUM: "[hnsf'U]", "g/ml{SUVbw}", "Bq/ml", "Gy", "1"
    unit_label: str = ""  # for people: "HU", "SUVbw"
    frame_of_reference: str | None = None
    modality: str = ""
    series: str = ""  # Series Instance UID
    study: str = ""  # Study Instance UID
    padding: Mask | None = None  # True where there is no value; None: everywhere is one
    notes: tuple[Finding, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.values.shape != self.grid.shape:
            raise NoVolume(f"values of shape {self.values.shape} do not fit a grid of shape {self.grid.shape}")
        if self.padding is not None and self.padding.shape != self.grid.shape:
            raise NoVolume("the padding mask does not fit the grid")

    @property
    def affine(self) -> Floats:
        """The grid's affine: (i, j, k, 1) to LPS mm."""
        return self.grid.affine

    @property
    def affine_ras(self) -> Floats:
        """The same to RAS mm, as NIfTI and NiBabel have it: x to the right and y to the front."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.grid.affine

    @property
    def label(self) -> str:
        """The unit as people read it."""
        return self.unit_label or self.unit

    @property
    def finite(self) -> Mask:
        """True where there is a value."""
        return np.ones(self.grid.shape, np.bool_) if self.padding is None else ~self.padding
