"""Pictures of another size: the mean of what a pixel covers when it gets smaller, linear between pixels when larger."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vesalius.model.rendering import Fit

Octets = npt.NDArray[np.uint8]
MOST_PRODUCTS = 1 << 28  # of one matrix by another


def fitted_size(rows: int, columns: int, aspect: float, fit: Fit | None) -> tuple[int, int]:
    """Rows and columns of the result: pixels square, as large as `fit` allows, never less than one."""
    height, width = float(rows), float(columns)
    if not 0.98 <= aspect <= 1.02:
        # Only ever enlarge the short side: no detail is lost.
        height, width = (height * aspect, width) if aspect > 1 else (height, width / aspect)
    if fit is not None and (fit.width or fit.height):
        ratio = min((fit.width or 1 << 30) / width, (fit.height or 1 << 30) / height)
        if ratio < 1 or fit.enlarge:
            height, width = height * ratio, width * ratio
    return max(1, round(height)), max(1, round(width))


def resized(picture: Octets, rows: int, columns: int) -> Octets:
    """The picture with so many rows and columns; one or three values a pixel."""
    if picture.shape[:2] == (rows, columns):
        return picture
    values = picture.astype(np.float32)
    # The direction that shrinks most goes first: less work for the other.
    axes = (0, 1) if rows * picture.shape[1] <= columns * picture.shape[0] else (1, 0)
    for axis in axes:
        values = _along(values, (rows, columns)[axis], axis)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _along(values: npt.NDArray[np.float32], size: int, axis: int) -> npt.NDArray[np.float32]:
    old = values.shape[axis]
    if size == old:
        return values
    if size > old:
        return _between(values, (np.arange(size) + 0.5) * old / size - 0.5, axis)
    step = old // size
    if step > 1 and old % size == 0:
        shape = (*values.shape[:axis], size, step, *values.shape[axis + 1 :])
        mean: npt.NDArray[np.float32] = values.reshape(shape).mean(axis + 1, dtype=np.float32)
        return mean
    if values.size * size <= MOST_PRODUCTS:
        return _weighted(values, _shares(old, size), axis)
    # The mean over a stretch that ends inside pixels is the difference of the integral at its ends.
    integral = np.concatenate(
        (np.zeros_like(np.take(values, [0], axis), np.float64), np.cumsum(values, axis, dtype=np.float64)), axis
    )
    edges = np.arange(size + 1) * (old / size)
    at_edges = _between(integral, edges, axis)
    result: npt.NDArray[np.float32] = (np.diff(at_edges, axis=axis) / (old / size)).astype(np.float32)
    return result


@lru_cache(maxsize=16)
def _shares(old: int, size: int) -> npt.NDArray[np.float32]:
    """How much of each new pixel is covered by each old one: (size, old), every row sums up to 1."""
    edges = np.arange(size + 1) * (old / size)
    starts = np.arange(old)
    covered = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    shares: npt.NDArray[np.float32] = (np.clip(covered, 0, 1) * (size / old)).astype(np.float32)
    return shares


def _weighted(values: npt.NDArray[np.float32], shares: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """The means as one product of matrices: four times as quick as the integral, but its work grows with the square."""
    if axis == 0:
        product = shares @ values.reshape(values.shape[0], -1)
        return product.reshape(shares.shape[0], *values.shape[1:])
    if values.ndim == 2:
        return values @ shares.T
    return np.ascontiguousarray(np.moveaxis(np.tensordot(values, shares, (1, 1)), -1, 1))


def _between(values: npt.NDArray[np.floating], places: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float32]:
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = (places - low).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    lower = np.take(values, low, axis)
    result: npt.NDArray[np.float32] = lower + (np.take(values, high, axis) - lower) * weight
    return result if values.dtype == np.float64 else result.astype(np.float32)
