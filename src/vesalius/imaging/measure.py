"""Lengths, angles and areas between points in the patient: LPS mm, so that pixel spacing cannot be forgotten."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vesalius.imaging.space import Floats
from vesalius.model.errors import NoVolume

FLAT_MM = 0.5  # a contour's points may lie this far off its plane


def points_of(points: npt.ArrayLike, least: int) -> Floats:
    """Points (n, 3) of finite numbers, at least so many. Raises `NoVolume`."""
    try:
        found = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        found = np.empty((0, 0))
    if found.ndim != 2 or found.shape[1:] != (3,) or not np.isfinite(found).all():
        raise NoVolume("points are lists of x, y and z in mm")
    if len(found) < least:
        raise NoVolume(f"at least {least} points are needed")
    return found


def distance_mm(points: npt.ArrayLike) -> float:
    """The length of the way through all points."""
    found = points_of(points, 2)
    return float(np.linalg.norm(np.diff(found, axis=0), axis=1).sum())


def angle_degrees(points: npt.ArrayLike) -> float:
    """The angle at the middle one of three points, 0 to 180; of four points, between the two lines (Cobb), 0 to 90."""
    found = points_of(points, 3)
    if len(found) > 4:
        raise NoVolume("an angle has three points, or four for two lines")
    if len(found) == 3:
        first, second = found[0] - found[1], found[2] - found[1]
    else:
        first, second = found[1] - found[0], found[3] - found[2]
    if not first.any() or not second.any():
        raise NoVolume("two points of the angle are one")
    # By both sine and cosine: exact for small angles, too.
    angle = math.degrees(math.atan2(float(np.linalg.norm(np.cross(first, second))), float(first @ second)))
    return min(angle, 180 - angle) if len(found) == 4 else angle


def normal_of(points: npt.ArrayLike) -> Floats:
    """The unit normal of a flat closed contour. Raises `NoVolume` where it is not flat or has no area."""
    found = points_of(points, 3)
    vector = _area_vector(found)
    length = float(np.linalg.norm(vector))
    if length < 1e-9:
        raise NoVolume("the contour has no area")
    normal = np.asarray(vector / length)
    if np.abs((found - found.mean(axis=0)) @ normal).max() > FLAT_MM:
        raise NoVolume("the points of the contour do not lie in one plane")
    return normal


def area_mm2(points: npt.ArrayLike) -> float:
    """The area within a flat closed contour (the last point need not repeat the first)."""
    found = points_of(points, 3)
    normal_of(found)
    return float(np.linalg.norm(_area_vector(found)))


def _area_vector(points: Floats) -> Floats:
    """Newell: half the sum of the cross products around the contour."""
    centred = points - points.mean(axis=0)
    return np.asarray(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0) / 2)


def inside_contour(points: Floats, contour: Floats, normal: Floats) -> npt.NDArray[np.bool_]:
    """Which points (n, 3) project into a flat contour: an odd number of its edges on one side of them."""
    across = np.cross(normal, (1.0, 0, 0) if abs(normal[0]) < 0.9 else (0, 1.0, 0))
    across /= np.linalg.norm(across)
    up = np.cross(normal, across)
    origin = contour.mean(axis=0)
    x, y = (points - origin) @ across, (points - origin) @ up
    corners_x, corners_y = (contour - origin) @ across, (contour - origin) @ up
    found = np.zeros(len(points), np.bool_)
    for at in range(len(contour)):
        ax, ay, bx, by = corners_x[at - 1], corners_y[at - 1], corners_x[at], corners_y[at]
        if ay == by:
            continue
        crosses = (ay > y) != (by > y)
        found ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return found
