"""Resampling: equal to SciPy's own way of doing it, the identity where nothing moves, no value where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vesalius.imaging import resampling
from vesalius.imaging.resampling import Interpolation, resample, values_at
from vesalius.imaging.space import Grid, NoVolume, Volume
from vesalius.imaging.transforms import Affine, Deformation

RANDOM = np.random.default_rng(1543)


def rotation(degrees: tuple[float, float, float]) -> Any:
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


def grid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] = (1, 1, 1),
    origin: tuple[float, float, float] = (0, 0, 0),
    degrees: tuple[float, float, float] = (0, 0, 0),
) -> Grid:
    return Grid.of(shape, rotation(degrees), np.array(spacing, float), np.array(origin, float))


def volume(on: Grid, values: Any = None, **changed: Any) -> Volume:
    if values is None:
        values = RANDOM.normal(100, 50, on.shape).astype(np.float32)
    return Volume(
        **{"values": values, "grid": on, "unit": "1", "frame_of_reference": "1.2", "modality": "CT", **changed}
    )


def by_scipy(moving: Volume, onto: Grid, order: int, matrix: Any = None) -> tuple[Any, Any]:
    """Values and where they are, the way SciPy has it: index by index, in double precision."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in onto.shape), indexing="ij")
    points = np.stack((i, j, k, np.ones_like(i)), axis=-1) @ onto.affine.T
    if matrix is not None:
        points = points @ matrix.T
    index = (points @ np.linalg.inv(moving.affine).T)[..., :3]
    size = np.array(moving.grid.size)
    inside = ((index >= -0.5) & (index <= size - 0.5)).all(axis=-1)
    mode = "mirror" if order == 3 else "nearest"
    found = ndimage.map_coordinates(
        moving.values.astype(np.float64), np.moveaxis(index[..., ::-1], -1, 0), order=order, mode=mode
    )
    return found, inside


CT_LIKE = grid((9, 40, 44), (0.98, 0.98, 3.27), (-21, -20, 3))
PET_LIKE = grid((11, 12, 13), (4.7, 4.7, 3.27), (-28, -25, 1.2))
OBLIQUE = grid((12, 14, 16), (1.5, 1.5, 3), degrees=(12, -7, 30))
STRAIGHT = grid((12, 14, 16), (1.5, 1.5, 3))
FLIPPED = Grid((12, 14, 16), np.array([[-1, 0, 0, 15.0], [0, -1, 0, 13], [0, 0, -1, 11], [0, 0, 0, 1]]))
CASES = {
    "CT onto PET": (CT_LIKE, PET_LIKE),
    "PET onto CT": (PET_LIKE, grid((9, 40, 44), (0.98, 0.98, 2.5), (-21, -20, 3))),
    "oblique": (OBLIQUE, grid((10, 11, 12), (1.2, 2.0, 2.5), (-3, 2, 4))),
    "both oblique alike": (
        grid((8, 20, 22), (1, 1, 2), degrees=(12, -7, 30)),
        grid((7, 9, 8), (2.1, 2.3, 1.7), tuple(rotation((12, -7, 30)) @ (1.3, 0.4, 0.9)), (12, -7, 30)),
    ),
    "one slice at an angle": (STRAIGHT, grid((1, 15, 15), (1, 1, 1), (2, 3, 30), (40, 10, 0))),
    "flipped axes": (grid((12, 14, 16)), FLIPPED),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", ["nearest", "linear"])
def test_nearest_and_linear_equal_scipy(case: str, way: str) -> None:
    on, onto = CASES[case]
    moving = volume(on)
    found = resample(moving, onto, way)
    expected, inside = by_scipy(moving, onto, 0 if way == "nearest" else 1)
    assert found.values.dtype == np.float32
    assert np.array_equal(found.finite, inside)
    if way == "linear":
        # Single precision of values around 100: 1e-4 is far below what anybody measures.
        assert np.abs(found.values - expected)[inside].max() < 1e-3
    else:
        # Half way between two voxels either is the nearest.
        same = found.values == expected.astype(np.float32)
        assert same[inside].mean() > 0.97


@pytest.mark.parametrize("case", ["CT onto PET", "oblique", "one slice at an angle"])
def test_cubic_b_spline_equals_scipy_inside(case: str) -> None:
    on, onto = CASES[case]
    moving = volume(on)
    found = resample(moving, onto, "bspline")
    expected, inside = by_scipy(moving, onto, 3)
    k, j, i = np.meshgrid(*(np.arange(n) for n in onto.shape), indexing="ij")
    index = moving.grid.to_index(onto.to_patient(np.stack((i, j, k), -1)))
    inner = inside & ((index >= 0) & (index <= np.array(on.size) - 1)).all(axis=-1)
    assert inner.sum() > 50
    assert np.abs(found.values - expected)[inner].max() < 2e-2


def test_windowed_sinc_is_the_sum_of_its_kernel() -> None:
    on = grid((16, 18, 20))
    moving = volume(on)
    point = np.array([9.3, 8.75, 7.6])
    onto = grid((1, 1, 1), origin=tuple(point))
    found = resample(moving, onto, "lanczos")
    total = 0.0
    base = np.floor(point).astype(int)
    for step in np.ndindex(10, 10, 10):
        at = base - 4 + np.array(step)
        distance = point - at
        weight = np.prod(np.sinc(distance) * np.sinc(distance / 5))
        total += weight * moving.values[at[2], at[1], at[0]]
    assert found.values[0, 0, 0] == pytest.approx(total, abs=2e-3)


@pytest.mark.parametrize("way", list(Interpolation))
@given(
    degrees=st.tuples(*(st.floats(-180, 180),) * 3),
    spacing=st.tuples(*(st.floats(0.3, 6),) * 3),
    origin=st.tuples(*(st.floats(-500, 500),) * 3),
)
@settings(max_examples=12, deadline=None)
def test_resampling_onto_itself_is_the_identity(way: Interpolation, degrees: Any, spacing: Any, origin: Any) -> None:
    moving = volume(grid((5, 6, 7), spacing, origin, degrees))
    same = Grid(moving.grid.shape, moving.grid.affine.copy())
    found = resample(moving, same, way)
    assert np.array_equal(found.values, moving.values)
    assert found.padding is None


def test_every_other_voxel_is_taken_as_it_is() -> None:
    moving = volume(grid((9, 9, 9), (0.7, 0.7, 1.1), (3, 4, 5)))
    onto = grid((5, 5, 5), (1.4, 1.4, 2.2), (3, 4, 5))
    assert np.array_equal(resample(moving, onto).values, moving.values[::2, ::2, ::2])


def test_labels_are_never_mixed() -> None:
    labels = volume(grid((6, 6, 6)), RANDOM.integers(0, 5, (6, 6, 6)).astype(np.uint8), modality="SEG")
    onto = grid((9, 9, 9), (0.6, 0.6, 0.6), (0.13, 0.21, 0.34), (5, 0, 0))
    with pytest.raises(NoVolume, match="labels"):
        resample(labels, onto, "linear")
    found = resample(labels, onto, "nearest")
    assert found.values.dtype == np.uint8
    assert set(np.unique(found.values)) <= set(range(5))
    assert np.array_equal(found.values[found.finite], by_scipy(labels, onto, 0)[0][found.finite])


def test_another_frame_of_reference_is_refused() -> None:
    fixed, moving = volume(grid((4, 4, 4))), volume(grid((4, 4, 4)), frame_of_reference="1.3")
    with pytest.raises(NoVolume, match="frames of reference"):
        resample(moving, fixed)
    assert resample(moving, fixed, transform=Affine(np.eye(4))).frame_of_reference == "1.2"


@pytest.mark.parametrize("degrees", [(0, 0, 0), (3, 2, 1)])
def test_padding_is_never_mixed_into_a_value(degrees: tuple[float, float, float]) -> None:
    on = grid((8, 10, 10))
    values = np.full(on.shape, 40, np.float32)
    padding = np.zeros(on.shape, np.bool_)
    padding[:, :, :5] = True
    values[padding] = -2000
    moving = volume(on, values, padding=padding, unit="[hnsf'U]")
    found = resample(moving, grid((6, 12, 12), (0.6, 0.6, 1), (2, 2, 1), degrees))
    assert found.padding is not None
    assert 0 < found.padding.sum() < found.padding.size
    assert np.abs(found.values[found.finite] - 40).max() < 1e-3
    assert (found.values[found.padding] == -1024).all()


def test_without_overlap_there_is_no_value_and_a_note_says_so() -> None:
    found = resample(volume(grid((4, 4, 4))), grid((4, 4, 4), origin=(100, 0, 0)))
    assert found.padding is not None
    assert found.padding.all()
    assert [each.code for each in found.notes] == ["no-overlap"]


def test_a_rigid_transform_moves_points_of_the_target_to_the_moving_volume() -> None:
    moving, onto = volume(grid((14, 16, 18), (1, 1, 1.5))), grid((6, 7, 8), (1.5, 1.5, 1.5))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((4, 9, -14)), (3.2, 4.1, 2.7)
    found = resample(moving, onto, transform=Affine(matrix))
    expected, inside = by_scipy(moving, onto, 1, matrix)
    assert inside.any()
    assert np.array_equal(found.finite, inside)
    assert np.abs(found.values - expected)[inside].max() < 1e-3


def test_a_sheared_grid_is_resampled_exactly() -> None:
    affine = np.eye(4)
    affine[1, 2], affine[2, 2] = 1.2, 3.0  # a tilted gantry: each slice 1.2 mm further back
    moving = volume(Grid((8, 12, 12), affine))
    onto = grid((10, 9, 9), (1.1, 1.1, 2), (1, 4, 1))
    found = resample(moving, onto)
    expected, inside = by_scipy(moving, onto, 1)
    assert np.array_equal(found.finite, inside)
    assert np.abs(found.values - expected)[inside].max() < 1e-3


def test_a_deformation_moves_every_voxel_by_its_own_vector() -> None:
    moving, onto = volume(grid((12, 12, 12))), grid((8, 8, 8), origin=(2, 2, 2))
    field = grid((4, 4, 4), (4, 4, 4))
    vectors = np.zeros((4, 4, 4, 3), np.float32)
    vectors[..., 0] = np.arange(4)[None, None, :] * 0.3  # x is stretched
    found = resample(moving, onto, transform=Deformation(field, vectors))
    k, j, i = np.meshgrid(*(np.arange(8),) * 3, indexing="ij")
    stretched = (i + 2) * (1 + 0.3 / 4)
    expected = ndimage.map_coordinates(moving.values, np.stack((k + 2, j + 2, stretched)), order=1)
    inside = stretched <= 11
    assert np.abs(found.values - expected)[inside].max() < 2e-3


@pytest.mark.parametrize("way", ["nearest", "linear", "bspline", "lanczos"])
def test_slab_by_slab_is_the_same_as_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moving, onto = volume(grid((40, 16, 16), degrees=(3, 5, 7))), grid((30, 12, 12), (1.1, 1.2, 1.2), (2, 1, 2))
    whole = resample(moving, onto, way)
    monkeypatch.setattr(resampling, "SLAB_BYTES", 16 * 16 * 4 * 4)
    pieces = resample(moving, onto, way)
    assert np.array_equal(whole.finite, pieces.finite)
    assert np.abs(whole.values - pieces.values)[whole.finite].max() < 1e-3


def test_who_has_left_is_noticed() -> None:
    moving, onto = volume(grid((40, 16, 16), degrees=(3, 5, 7))), grid((30, 12, 12))
    with pytest.raises(resampling.Abandoned):
        resample(moving, onto, cancelled=lambda: True)
    with pytest.raises(resampling.Abandoned):
        resample(volume(grid((40, 16, 16))), grid((30, 12, 12), (1.1, 1, 1)), cancelled=lambda: True)


def test_values_at_points_are_those_of_scipy_and_none_outside() -> None:
    moving = volume(grid((8, 9, 10), (1, 1.5, 2), (5, 6, 7), (10, 20, 30)))
    index = RANDOM.uniform(-1, 10, (200, 3))
    found = values_at(moving, moving.grid.to_patient(index), "linear")
    inside = ((index >= -0.5) & (index <= np.array(moving.grid.size) - 0.5)).all(axis=1)
    expected = ndimage.map_coordinates(moving.values.astype(float), index[:, ::-1].T, order=1, mode="nearest")
    assert np.array_equal(np.isfinite(found), inside)
    assert np.abs(found - expected)[inside].max() < 1e-4
    exact = values_at(moving, moving.grid.to_patient([[3, 4, 5]]))
    assert exact[0] == moving.values[5, 4, 3]
