"""Volumes of others, compared with ours: the same voxels at the same places, in whatever order they are kept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from vesalius.imaging.space import Volume

Array = npt.NDArray[Any]
AFFINE_MM = 1e-4


@dataclass(frozen=True)
class Nifti:
    """One 3-D volume: `values[i, j, k]` and its affine to RAS mm."""

    name: str
    values: Array
    affine: Array


def read(path: Path) -> list[Nifti]:
    """The volumes of a file: one, or as many as the fourth dimension holds."""
    image = nibabel.load(path)
    values = np.asarray(image.dataobj)
    if values.ndim == 3:
        return [Nifti(path.name, values, image.affine)]
    return [Nifti(f"{path.name}/{n}", values[..., n], image.affine) for n in range(values.shape[3])]


def need_dcm2niix() -> str:
    """The program, or the test is skipped."""
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not installed (Debian package dcm2niix)")
    return program


def dcm2niix(files: Sequence[Path], folder: Path) -> list[Nifti]:
    """What dcm2niix makes of files, nothing cropped, turned or left out."""
    program = need_dcm2niix()
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, file in enumerate(files):
        (source / f"{number:05}.dcm").symlink_to(file.resolve())
    command = [program, "-z", "n", "-b", "n", "-x", "n", "-i", "n", "-p", "n", "-f", "%s_%p_%e", "-o", target, source]
    subprocess.run([str(part) for part in command], capture_output=True, check=False, timeout=120)
    return [volume for path in sorted(target.glob("*.nii")) for volume in read(path)]


def same_place(ours: Volume, theirs: Nifti, affine: Array | None = None) -> Array | None:
    """The whole-number matrix that takes our index to theirs, if the grids are one but for order; None if not."""
    ras = np.diag((-1.0, -1.0, 1.0, 1.0)) @ (ours.affine if affine is None else affine)
    turned = np.rint(np.linalg.inv(theirs.affine) @ ras)
    axes = np.abs(turned[:3, :3])
    if sorted(axes.sum(axis=0)) != [1, 1, 1] or sorted(axes.sum(axis=1)) != [1, 1, 1]:
        return None
    if np.abs(theirs.affine @ turned - ras).max() > AFFINE_MM:
        return None
    size = axes @ np.array(ours.grid.size)
    return turned if tuple(size.astype(int)) == theirs.values.shape else None


def other_steps(ours: Volume, positions: Sequence[tuple[float, float, float]], told: float | None) -> list[Array]:
    """Affines of those who take the step from two slices alone, at either end, or from what the header says of it.

    Positions are rounded, so these differ from the step over the whole stack, which is what we take.
    """
    found = [ours.affine]
    places = np.array(positions)
    steps = [(places[1] - places[0], 0), (places[-1] - places[-2], -1)] if len(places) > 1 else []
    if told:
        normal = ours.affine[:3, 2] / np.linalg.norm(ours.affine[:3, 2])
        steps += [(normal * told, 0), (normal * told, -1)]
    for step, end in steps:
        affine = ours.affine.copy()
        affine[:3, 2] = step
        affine[:3, 3] = places[0] if end == 0 else places[-1] - step * (len(places) - 1)
        found.append(affine)
    return found


def in_our_order(theirs: Nifti, turned: Array) -> Array:
    """Their values as `values[k, j, i]` of our grid."""
    axes = [int(np.flatnonzero(turned[:3, axis])[0]) for axis in range(3)]  # their axis for each of ours
    values = theirs.values.transpose(axes)
    for axis in range(3):
        if turned[axes[axis], axis] < 0:
            values = np.flip(values, axis)
    return values.transpose(2, 1, 0)
