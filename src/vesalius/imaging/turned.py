"""The same voxels counted along other axes: a volume as the plane or grid sees it that is laid through it.

Nothing moves and nothing is copied: the values are a view whose axes are in another order, and the columns of the
affine follow. Where a coronal or sagittal plane runs along the axes of a volume, it becomes a slice of such a view, and
what works axis by axis works for it as for an axial one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vesalius.imaging.space import Grid, Volume


def turned(volume: Volume, like: Grid) -> Volume:
    """`volume` with its axes in the order in which `like` counts, as near as they run; a view of the same values."""
    own = volume.grid
    cosines = np.abs(own.directions.T @ like.directions)  # of own axis, axis of `like`
    order = [int(axis) for axis in cosines.argmax(axis=0)]
    if sorted(order) != [0, 1, 2] or order == [0, 1, 2]:
        return volume
    affine = own.affine.copy()
    affine[:3, :3] = own.affine[:3, order]
    # Axis a of (i, j, k) is axis 2 - a of an array.
    axes = tuple(2 - order[axis] for axis in (2, 1, 0))
    values = volume.values.transpose(axes)
    slices, rows, columns = values.shape
    padding = None if volume.padding is None else volume.padding.transpose(axes)
    return replace(volume, values=values, grid=Grid((slices, rows, columns), affine), padding=padding)
