"""A volume counted along other axes, and pictures written quickly: the same voxels, the same pixels."""

from __future__ import annotations

from io import BytesIO
from itertools import permutations

import numpy as np
import pytest
from PIL import Image
from tests.support import phantom
from tests.support.volumes import load

from vesalius.imaging.png import encode
from vesalius.imaging.reformat import main_plane, reformat
from vesalius.imaging.space import Grid
from vesalius.imaging.turned import turned


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_turned_volume_has_the_same_values_at_the_same_places(order: tuple[int, ...], sign: int) -> None:
    volume = load(phantom.ct(phantom.oblique()))
    affine = volume.affine.copy()
    affine[:3, :3] = sign * volume.affine[:3, list(order)]
    found = turned(volume, Grid((3, 3, 3), affine))
    assert np.shares_memory(found.values, volume.values)
    for i, j, k in ((0, 0, 0), (3, 5, 7), (63, 47, 11)):
        point = volume.grid.to_patient((i, j, k))
        a, b, c = np.rint(found.grid.to_index(point)).astype(int)
        assert np.allclose(found.grid.to_patient((a, b, c)), point)
        assert found.values[c, b, a] == volume.values[k, j, i]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_plane_of_a_turned_volume_is_the_plane_of_the_volume(plane: str) -> None:
    volume = load(phantom.ct())
    grid = main_plane(volume.grid, plane, 3.3)
    straight, quick = reformat(volume, grid), reformat(turned(volume, grid), grid)
    assert np.abs(straight.values - quick.values).max() < 1e-2
    assert (straight.padding is None) == (quick.padding is None)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 50, 3), (1, 9, 3), (300, 2)])
def test_a_picture_is_read_back_as_it_was(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert np.array_equal(np.asarray(Image.open(BytesIO(encode(picture)))).reshape(shape), picture)
