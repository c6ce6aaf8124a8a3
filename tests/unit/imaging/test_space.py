"""Grids: from voxels to the patient and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.imaging.space import Grid, NoVolume, Volume

angles = st.floats(-math.pi, math.pi)
lengths = st.floats(0.05, 20.0)
places = st.floats(-1000.0, 1000.0)
shears = st.floats(-0.8, 0.8)


def rotation(a: float, b: float, c: float) -> np.ndarray:
    rx = np.array(((1, 0, 0), (0, math.cos(a), -math.sin(a)), (0, math.sin(a), math.cos(a))))
    ry = np.array(((math.cos(b), 0, math.sin(b)), (0, 1, 0), (-math.sin(b), 0, math.cos(b))))
    rz = np.array(((math.cos(c), -math.sin(c), 0), (math.sin(c), math.cos(c), 0), (0, 0, 1)))
    return rx @ ry @ rz


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    axes = rotation(draw(angles), draw(angles), draw(angles))
    axes[:, 2] += axes[:, 1] * draw(shears)  # a tilted gantry
    if draw(st.booleans()):
        axes[:, draw(st.integers(0, 2))] *= -1  # left-handed
    affine = np.eye(4)
    affine[:3, :3] = axes * (draw(lengths), draw(lengths), draw(lengths))
    affine[:3, 3] = (draw(places), draw(places), draw(places))
    return Grid((draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 9))), affine)


@given(grids(), st.lists(st.tuples(*[st.floats(-600, 600)] * 3), min_size=1, max_size=8))
def test_from_voxel_to_patient_and_back_is_the_identity(grid: Grid, points: list[tuple[float, float, float]]) -> None:
    indices = np.array(points)
    assert np.allclose(grid.to_index(grid.to_patient(indices)), indices, atol=1e-7)
    assert np.allclose(grid.to_patient(grid.to_index(indices)), indices, atol=1e-7)


@given(grids())
def test_the_inverse_is_the_inverse(grid: Grid) -> None:
    assert np.allclose(grid.inverse @ grid.affine, np.eye(4), atol=1e-7)


@given(grids())
def test_spacing_times_directions_is_the_affine(grid: Grid) -> None:
    assert np.allclose(grid.directions * grid.spacing, grid.affine[:3, :3])
    assert np.allclose(np.linalg.norm(grid.directions, axis=0), 1)


@given(grids())
def test_the_bounds_hold_every_voxel_and_half_of_one_more(grid: Grid) -> None:
    low, high = grid.bounds()
    assert (grid.corners() >= low - 1e-9).all() and (grid.corners() <= high + 1e-9).all()
    assert ((high - low) >= np.ptp(grid.corners(), axis=0) - 1e-9).all()


def test_a_point_in_the_first_voxel_is_at_the_origin_and_counts_column_row_slice() -> None:
    grid = Grid.of((5, 4, 3), np.eye(3), np.array((2.0, 3.0, 4.0)), np.array((-10.0, 20.0, 30.0)))
    assert grid.to_patient((0, 0, 0)).tolist() == [-10, 20, 30]
    assert grid.to_patient((2, 3, 4)).tolist() == [-6, 29, 46]
    assert grid.size == (3, 4, 5) and grid.voxel_mm3 == pytest.approx(24)


def test_grids_are_one_where_all_corners_are() -> None:
    grid = Grid.of((5, 4, 3), np.eye(3), np.array((2.0, 3.0, 4.0)), np.zeros(3))
    near = Grid.of((5, 4, 3), np.eye(3), np.array((2.0, 3.0, 4.0001)), np.zeros(3))
    far = Grid.of((5, 4, 3), np.eye(3), np.array((2.0, 3.0, 4.01)), np.zeros(3))
    assert grid.same_as(near) and not grid.same_as(far) and grid.same_as(far, 0.05)
    assert not grid.same_as(Grid(grid.shape[::-1], grid.affine))


@pytest.mark.parametrize(
    "affine",
    [np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag((1, 1, 0, 1)), np.diag((1, 1, 1, 2)), np.eye(3)],
    ids=["zero", "nan", "flat", "projective", "3x3"],
)  # fmt: skip
def test_what_is_no_grid_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(NoVolume):
        Grid((1, 1, 1), affine)


def test_a_grid_cannot_be_changed() -> None:
    source = np.eye(4)
    grid = Grid((2, 2, 2), source)
    source[0, 3] = 99
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1


def test_values_that_do_not_fit_their_grid_are_refused() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(NoVolume):
        Volume(np.zeros((2, 2, 3)), grid, "1")
    with pytest.raises(NoVolume):
        Volume(np.zeros((2, 2, 2)), grid, "1", padding=np.zeros((2, 2), bool))


def test_ras_is_lps_with_x_and_y_turned_round() -> None:
    grid = Grid.of((2, 2, 2), np.eye(3), np.ones(3), np.array((1.0, 2.0, 3.0)))
    assert Volume(np.zeros((2, 2, 2)), grid, "1").affine_ras[:3, 3].tolist() == [-1, -2, 3]
