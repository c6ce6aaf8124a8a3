"""Planes and slabs: laid as radiologists look at them, exact along the volume, equal to SciPy elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from tests.unit.imaging.test_resampling import grid, volume

from vesalius.imaging.fusion import COLOUR_MAPS, colour_map, fused, png, usual_window, window_between
from vesalius.imaging.reformat import Plane, Projection, Slab, main_plane, oblique, reformat
from vesalius.imaging.space import Grid, NoVolume, Volume


@pytest.fixture
def body() -> Volume:
    return volume(grid((12, 20, 24), (1, 1, 2.5), (-12, -8, 100)))


def test_an_axial_plane_of_an_axial_series_is_its_slice(body: Volume) -> None:
    found = reformat(body, main_plane(body.grid, "axial", 110.0))
    assert np.array_equal(found.values[0], body.values[4])
    assert found.grid.to_patient([0, 0, 0]).tolist() == [-12, -8, 110]


def test_a_coronal_plane_has_the_head_above_and_the_right_on_the_left(body: Volume) -> None:
    plane = main_plane(body.grid, "coronal", -3.0)
    found = reformat(body, plane)
    first, right, down = (plane.to_patient(each) for each in ([0, 0, 0], [1, 0, 0], [0, 1, 0]))
    assert (right - first).tolist() == [1, 0, 0]
    assert (down - first).tolist() == [0, 0, -1]
    # Rows on the volume's own slices carry its values, the first row being the top of the head.
    for row in range(plane.shape[1]):
        z = plane.to_patient([0, row, 0])[2]
        k = (z - 100) / 2.5
        if k == round(k) and 0 <= k < 12:
            assert np.array_equal(found.values[0, row], body.values[int(k), 5])
    assert plane.to_patient([0, 0, 0])[2] > 127


def test_a_sagittal_plane_looks_from_front_to_back(body: Volume) -> None:
    plane = main_plane(body.grid, "sagittal", 2.0)
    first, right, down = (plane.to_patient(each) for each in ([0, 0, 0], [1, 0, 0], [0, 1, 0]))
    assert (right - first).tolist() == [0, 1, 0]
    assert (down - first).tolist() == [0, 0, -1]
    assert first[0] == 2.0


def test_pixels_are_square_where_the_voxels_are_not() -> None:
    wide = volume(grid((5, 10, 20), (0.5, 1.25, 3)))
    plane = main_plane(wide.grid, "axial")
    assert plane.spacing[:2].tolist() == [0.5, 0.5]
    assert reformat(wide, plane).values.shape == (1, 25, 20)


@pytest.mark.parametrize("plane", list(Plane))
def test_a_plane_beside_the_volume_is_refused_with_the_range(body: Volume, plane: Plane) -> None:
    with pytest.raises(NoVolume) as raised:
        main_plane(body.grid, plane, 400.0)
    assert "reaches from" in raised.value.hint


def test_an_oblique_plane_equals_scipy(body: Volume) -> None:
    plane = oblique(body.grid, (0, 2, 112), (1, 0.5, 0.2), (-0.2, 0.3, 1), 0.8)
    found = reformat(body, plane)
    assert plane.is_orthogonal()
    j, i = np.meshgrid(np.arange(plane.shape[1]), np.arange(plane.shape[2]), indexing="ij")
    index = body.grid.to_index(plane.to_patient(np.stack((i, j, 0 * i), -1)))
    expected = ndimage.map_coordinates(body.values, np.moveaxis(index[..., ::-1], -1, 0), order=1, mode="nearest")
    here = found.finite[0]
    assert here.sum() > 200
    assert np.abs(found.values[0] - expected)[here].max() < 1e-3


@pytest.mark.parametrize(("projection", "reduce"), [("mip", np.max), ("minip", np.min), ("mean", np.mean)])
def test_a_slab_shows_highest_lowest_or_mean_of_its_slices(body: Volume, projection: str, reduce: Any) -> None:
    plane = main_plane(body.grid, "axial", 112.5)
    found = reformat(body, plane, Slab(7.5, Projection(projection)))
    assert np.allclose(found.values[0], reduce(body.values[4:7].astype(float), axis=0), atol=1e-4)


def test_a_slab_through_all_of_it_counts_only_what_is_there(body: Volume) -> None:
    plane = main_plane(body.grid, "axial", 115.0)
    found = reformat(body, plane, Slab(500.0, Projection.MIP))
    assert np.array_equal(found.values[0], body.values.max(axis=0))
    mean = reformat(body, plane, Slab(500.0, Projection.MEAN))
    assert np.allclose(mean.values[0], body.values.astype(float).mean(axis=0), atol=1e-3)


def test_opacity_blends_colour_over_grey_and_nothing_shows_the_fixed_one_alone() -> None:
    on = Grid((1, 1, 3), np.eye(4))
    fixed = volume(on, np.array([[[0, 50, 100]]], np.float32))
    hot = volume(on, np.array([[[10, 10, 10]]], np.float32), padding=np.array([[[False, False, True]]]))
    window = window_between(0, 100)
    picture = fused(fixed, hot, window, window_between(0, 10), "hot-iron", 0.25)
    white = colour_map("hot-iron")[255].astype(float)
    assert picture[0, 0].tolist() == np.rint(white * 0.25).astype(int).tolist()
    assert picture[0, 1].tolist() == np.rint(128 + (white - 128) * 0.25).astype(int).tolist()
    assert picture[0, 2].tolist() == [255, 255, 255]
    assert fused(fixed, hot, window, window, "pet", 0.0)[0, :, 0].tolist() == [0, 128, 255]


def test_colour_maps_are_those_of_the_standard() -> None:
    # First, middle and last colour of PS3.6 B.1.
    ends = {
        "grey": ([0, 0, 0], [255, 255, 255]),
        "hot-iron": ([0, 0, 0], [255, 255, 255]),
        "pet": ([0, 0, 0], [255, 255, 255]),
        "hot-metal-blue": ([0, 0, 0], [255, 255, 255]),
        "spring": ([255, 0, 255], [255, 255, 0]),
        "winter": ([0, 0, 255], [127, 255, 128]),
    }
    for name, (first, last) in ends.items():
        found = colour_map(name)
        assert np.abs(found[0].astype(int) - first).max() <= 1, name
        assert np.abs(found[255].astype(int) - last).max() <= 1, name
    assert all(colour_map(name).shape == (256, 3) for name in COLOUR_MAPS)
    assert len({tuple(colour) for colour in colour_map("pet-20-step").tolist()}) == 20
    with pytest.raises(NoVolume, match="colour map"):
        colour_map("rainbow")


def test_usual_windows_know_hu_and_suv() -> None:
    on = grid((4, 4, 4))
    assert usual_window(volume(on, unit="[hnsf'U]")).center == 40
    assert usual_window(volume(on, unit="g/ml{SUVbw}")).width == 7
    flat = usual_window(volume(on, np.zeros(on.shape, np.float32)))
    assert flat.width > 0


def test_a_picture_is_a_png() -> None:
    assert png(np.zeros((3, 4, 3), np.uint8))[:8] == b"\x89PNG\r\n\x1a\n"
