"""Distances, angles, areas and regions: against figures that are known beforehand, on grids of every kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.unit.imaging.test_registration import rigid
from tests.unit.imaging.test_resampling import grid, rotation, volume

from vesalius.imaging.measure import angle_degrees, area_mm2, distance_mm
from vesalius.imaging.rois import Contour, Sphere, region_of, statistics, statistics_of_mask, volume_of_mask_mm3
from vesalius.imaging.space import NoVolume
from vesalius.imaging.transforms import Affine

TURN = rotation((20, -35, 50))


def turned(points: Any) -> Any:
    return np.asarray(points, float) @ TURN.T + (5, -6, 7)


def test_a_distance_is_in_millimetres_of_the_patient() -> None:
    assert distance_mm(turned([[0, 0, 0], [3, 4, 0]])) == pytest.approx(5)
    assert distance_mm(turned([[0, 0, 0], [3, 4, 0], [3, 4, 12]])) == pytest.approx(17)


def test_an_angle_is_that_at_the_middle_point_and_cobb_between_two_lines() -> None:
    assert angle_degrees(turned([[1, 0, 0], [0, 0, 0], [0, 2, 0]])) == pytest.approx(90)
    assert angle_degrees(turned([[1, 0, 0], [0, 0, 0], [-1, 1e-7, 0]])) == pytest.approx(180, abs=1e-4)
    lines = [[0, 0, 0], [10, 0, 0], [0, 5, 0], [-10, 5 - 10 * math.tan(math.radians(25)), 0]]
    assert angle_degrees(turned(lines)) == pytest.approx(25)


def test_the_area_of_a_contour_does_not_depend_on_how_it_lies() -> None:
    star = [[0, 0, 0], [4, 0, 0], [4, 3, 0], [2, 1, 0], [0, 3, 0]]
    assert area_mm2(turned(star)) == pytest.approx(8)
    assert area_mm2(turned(star[::-1])) == pytest.approx(8)
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.stack((10 * np.cos(angles), 10 * np.sin(angles), 0 * angles), axis=1)
    assert area_mm2(turned(circle)) == pytest.approx(100 * np.pi, rel=1e-4)


@pytest.mark.parametrize(
    ("measure", "points"),
    [
        (distance_mm, [[0, 0, 0]]),
        (distance_mm, [[0, 0], [1, 1]]),
        (distance_mm, [[0, 0, float("nan")], [1, 1, 1]]),
        (angle_degrees, [[0, 0, 0], [0, 0, 0], [1, 1, 1]]),
        (angle_degrees, [[0, 0, 0]] * 5),
        (area_mm2, [[0, 0, 0], [1, 1, 1], [2, 2, 2]]),
        (area_mm2, [[0, 0, 0], [10, 0, 0], [10, 10, 9], [0, 10, 0]]),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(measure: Any, points: Any) -> None:
    with pytest.raises(NoVolume):
        measure(points)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, 20, 30)])
def test_the_figures_of_a_sphere_are_those_of_its_voxels(degrees: tuple[float, float, float]) -> None:
    moving = volume(grid((20, 30, 30), (1, 1, 2), (-10, -12, -15), degrees), unit="[hnsf'U]", unit_label="HU")
    middle = tuple(float(each) for each in moving.grid.to_patient([15.2, 14.1, 9.7]))
    k, j, i = np.meshgrid(*(np.arange(n) for n in moving.grid.shape), indexing="ij")
    points = moving.grid.to_patient(np.stack((i, j, k), -1))
    inside = np.linalg.norm(points - middle, axis=-1) <= 7.5
    values = moving.values[inside].astype(float)
    found = statistics(moving, Sphere(middle, 7.5), percentiles=(10, 50))
    assert found.voxels == inside.sum()
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.percentiles == ((10, pytest.approx(np.percentile(values, 10))), (50, pytest.approx(np.median(values))))
    assert (found.unit, found.label) == ("[hnsf'U]", "HU")
    assert found.volume_mm3 == pytest.approx(inside.sum() * 2)
    assert found.volume_mm3 == pytest.approx(4 / 3 * np.pi * 7.5**3, rel=0.05)


def test_a_contour_takes_the_slice_that_it_lies_in_however_it_was_drawn() -> None:
    values = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None, None], (5, 20, 20)).copy()
    moving = volume(grid((5, 20, 20), (1, 1, 3)), values)
    square = [(4.5, 4.5, 6.4), (9.5, 4.5, 6.4), (9.5, 9.5, 6.4), (4.5, 9.5, 6.4)]
    for points in (square, square[::-1]):
        found = statistics(moving, Contour(tuple(points)))
        assert (found.voxels, found.mean, found.area_mm2) == (25, 2.0, 25.0)
    between = [(x, y, 7.5) for x, y, _ in square]
    assert {statistics(moving, Contour(tuple(points))).voxels for points in (between, between[::-1])} == {25}
    assert len({statistics(moving, Contour(tuple(points))).mean for points in (between, between[::-1])}) == 1


def test_a_concave_contour_leaves_out_what_is_outside() -> None:
    moving = volume(grid((1, 20, 20)))
    u_shape = [(1.5, 1.5, 0), (12.5, 1.5, 0), (12.5, 12.5, 0), (8.5, 12.5, 0), (8.5, 5.5, 0), (5.5, 5.5, 0),
               (5.5, 12.5, 0), (1.5, 12.5, 0)]  # fmt: skip
    found = statistics(moving, Contour(tuple((float(x), float(y), float(z)) for x, y, z in u_shape)))
    assert found.voxels == 11 * 11 - 3 * 7
    assert found.area_mm2 == pytest.approx(100)


def test_padding_does_not_count() -> None:
    values = np.full((4, 10, 10), 7, np.float32)
    padding = np.zeros(values.shape, np.bool_)
    padding[:, :, :5] = True
    values[padding] = -2000
    found = statistics(volume(grid((4, 10, 10)), values, padding=padding), Sphere((4.5, 4.5, 1.5), 3))
    assert (found.mean, found.sd, found.minimum) == (7.0, 0.0, 7.0)


def test_a_region_of_another_frame_is_found_through_the_registration() -> None:
    moving = volume(grid((12, 20, 20), (1, 1, 1.5)))
    matrix = Affine(rigid((5, 6, 7), (1, 2, 3)))
    here = (9.0, 9.0, 8.0)
    there = matrix.apply(here)
    direct = statistics(moving, Sphere(here, 5.05))
    assert statistics(moving, Sphere(tuple(there), 5.05), transform=matrix) == direct


def test_a_region_beside_the_volume_has_no_figures_and_says_so() -> None:
    found = statistics(volume(grid((3, 3, 3))), Sphere((100, 0, 0), 2))
    assert (found.voxels, found.mean, found.volume_mm3) == (0, None, 0)
    assert [each.code for each in found.notes] == ["no-voxels"]


def test_a_segmentation_marks_voxels_of_another_grid_and_has_a_volume_of_its_own() -> None:
    moving = volume(grid((6, 12, 12)))
    marks = np.zeros((6, 6, 6), np.uint8)
    marks[1:3, 2:4, 2:5] = 1
    mask = volume(grid((6, 6, 6), (2, 2, 1), (0.5, 0.5, 0)), marks, modality="SEG")
    found = statistics_of_mask(moving, mask)
    expected = moving.values[1:3, 4:8, 4:10].astype(float)
    assert (found.voxels, found.mean) == (48, pytest.approx(expected.mean()))
    assert volume_of_mask_mm3(mask) == 12 * 4
    half = volume(mask.grid, marks.astype(np.float32) / 2)
    assert volume_of_mask_mm3(half) == 24


def test_regions_are_read_from_json_and_nonsense_is_refused() -> None:
    assert region_of({"type": "sphere", "centre": [1, 2, 3], "radius_mm": 4}) == Sphere((1, 2, 3), 4)
    assert region_of({"type": "polygon", "points": [[0, 0, 0], [1, 0, 0], [0, 1, 0]]}).area_mm2 == 0.5
    for told in (None, {}, {"type": "cube"}, {"type": "sphere", "centre": [1, 2], "radius_mm": 4},
                 {"type": "sphere", "centre": [1, 2, 3], "radius_mm": "x"}, {"type": "polygon", "points": "no"},
                 {"type": "sphere", "centre": [1, 2, 3], "radius_mm": -1}, {"type": "sphere"}):  # fmt: skip
        with pytest.raises(NoVolume):
            region_of(told)
