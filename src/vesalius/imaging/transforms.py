"""Maps from points to points of space: matrices, deformations, and chains of both. Points are LPS mm, shape (..., 3).

Theory. A transform takes points of one frame of reference to the same anatomy in another. A matrix is its own kind:
it has an exact inverse, and chains of matrices are one matrix. A deformation is that of PS3.3 C.20.3: a point is moved
by the pre-deformation matrix, then by the vector that a grid has at the point, then by the post-deformation matrix;
beyond its grid there is no vector. Its inverse is found step by step (fixed point), good to a thousandth of a
millimetre where the deformation folds nothing, and an error where it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vesalius.imaging.space import Floats, Grid
from vesalius.model.errors import NoVolume

INVERSE_MM = 1e-3  # an inverse is good when going there and back ends this near
MOST_STEPS = 100


class Transform(Protocol):
    """A map of points."""

    def apply(self, points: npt.ArrayLike) -> Floats:
        """Where points (..., 3) in LPS mm come to lie."""
        ...

    def inverse(self) -> Transform:
        """The map back."""
        ...

    @property
    def matrix(self) -> Floats | None:
        """The whole map as a 4 x 4 matrix; None where it is none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A 4 x 4 matrix."""

    matrix: Floats

    def apply(self, points: npt.ArrayLike) -> Floats:
        """See `Transform`."""
        return np.asarray(np.asarray(points, np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def inverse(self) -> Affine:
        """See `Transform`."""
        return Affine(np.asarray(np.linalg.inv(self.matrix), np.float64))

    @property
    def kind(self) -> str:
        """RIGID, RIGID_SCALE or AFFINE (PS3.3 C.20.2.1.2)."""
        turn = self.matrix[:3, :3]
        scales = np.linalg.norm(turn, axis=0)
        pure = turn / scales
        if np.abs(pure.T @ pure - np.eye(3)).max() > 1e-4 or np.linalg.det(pure) < 0:
            return "AFFINE"
        return "RIGID" if np.abs(scales - 1).max() < 1e-4 else "RIGID_SCALE"


IDENTITY = Affine(np.eye(4))


@dataclass(frozen=True, slots=True, eq=False)
class Deformation:
    """Registered to source: post(pre(p) + vector at p) (PS3.3 C.20.3.1.3)."""

    grid: Grid
    vectors: npt.NDArray[np.float32]  # [k, j, i, 3], mm
    pre: Affine = IDENTITY
    post: Affine = IDENTITY

    @property
    def matrix(self) -> Floats | None:
        """None."""
        return None

    def apply(self, points: npt.ArrayLike) -> Floats:
        """See `Transform`."""
        flat = np.asarray(points, np.float64).reshape(-1, 3)
        moved = self.pre.apply(flat) + self._vectors_at(flat)
        return self.post.apply(moved).reshape(np.shape(points))

    def _vectors_at(self, points: Floats) -> Floats:
        """Linear between the vectors of the grid; nothing beyond the outermost of them."""
        size = np.array(self.grid.size)
        index = self.grid.to_index(points)
        inside = ((index >= -1e-6) & (index <= size - 1 + 1e-6)).all(axis=1)
        found = np.zeros_like(points)
        at = np.clip(index[inside], 0, size - 1)
        low = np.minimum(at.astype(np.int64), np.maximum(size - 2, 0))
        part = at - low
        for corner in np.ndindex(2, 2, 2):
            step = np.array(corner)
            weight = np.where(step, part, 1 - part).prod(axis=1)
            i, j, k = np.minimum(low + step, size - 1).T
            found[inside] += self.vectors[k, j, i] * weight[:, None]
        return found

    def inverse(self) -> Transform:
        """See `Transform`."""
        return _Inverse(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Inverse:
    """The inverse of a deformation, found for each point. Raises `NoVolume` where there is none."""

    of: Deformation

    @property
    def matrix(self) -> Floats | None:
        return None

    def apply(self, points: npt.ArrayLike) -> Floats:
        shape = np.shape(points)
        target = self.of.post.inverse().apply(np.asarray(points, np.float64).reshape(-1, 3))
        back = self.of.pre.inverse()
        found = back.apply(target)
        for _ in range(MOST_STEPS):
            step = back.apply(target - self.of._vectors_at(found)) - found
            found = found + step
            if step.size == 0 or np.abs(step).max() < INVERSE_MM:
                return found.reshape(shape)
        raise NoVolume("the deformation folds space, so that it cannot be turned around", hint="Swap fixed and moving.")

    def inverse(self) -> Transform:
        return self.of


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One transform after the other, the first first."""

    parts: tuple[Transform, ...]

    def apply(self, points: npt.ArrayLike) -> Floats:
        """See `Transform`."""
        found = np.asarray(points, np.float64)
        for part in self.parts:
            found = part.apply(found)
        return found

    def inverse(self) -> Transform:
        """See `Transform`."""
        return chain(*(part.inverse() for part in reversed(self.parts)))

    @property
    def matrix(self) -> Floats | None:
        """See `Transform`."""
        return None


def chain(*parts: Transform) -> Transform:
    """One transform after the other; one matrix where all are matrices."""
    whole = np.eye(4)
    for part in parts:
        if part.matrix is None:
            return Chain(parts) if len(parts) > 1 else part
        whole = part.matrix @ whole
    return Affine(whole)
