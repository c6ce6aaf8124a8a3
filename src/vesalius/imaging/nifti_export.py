"""A volume as NIfTI-1, a slice at a time: what neuroimaging and most research tools read.

Theory. NIfTI keeps voxels with the column index running fastest, as our arrays do, and an affine to RAS mm, so a file
is a header and the slices one after the other; no more than a few are ever in memory. Where one slope and intercept
hold for all slices and single precision can hold both, the stored values go out as they are with that line in the
header; else the quantities as floating point. The header is NiBabel's. Compression is gzip at its quickest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from vesalius.imaging.fill import StoredForm, VolumePlan
from vesalius.imaging.space import Grid
from vesalius.model.errors import NoVolume

# What NIfTI-1 knows of the types that volumes have.
_KINDS = frozenset(np.dtype(name) for name in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))
_LONGEST = 32767  # voxels along an axis

Cancelled = Callable[[], bool]


def header(grid: Grid, kind: np.dtype[Any], text: str, slope: float = 1.0, intercept: float = 0.0) -> bytes:
    """The 352 bytes before the voxels. Raises `NoVolume` where NiBabel is missing or the grid is too long."""
    try:
        import nibabel
    except ImportError as error:
        raise NoVolume("NiBabel is not installed: volumes cannot be written as NIfTI",
                       hint="pip install 'vesalius[imaging]'") from error  # fmt: skip
    if max(grid.shape) > _LONGEST or kind not in _KINDS:
        raise NoVolume("the volume is too large or of a type that NIfTI-1 does not know")
    made: Any = cast("Any", nibabel).Nifti1Header(endianness="<")
    made.set_data_dtype(kind)
    made.set_data_shape(grid.size)
    made.set_slope_inter(slope, intercept)
    made.set_xyzt_units("mm")
    affine = np.diag((-1.0, -1.0, 1.0, 1.0)) @ grid.affine
    made.set_sform(affine, code="scanner")
    if grid.is_orthogonal():
        made.set_qform(affine, code="scanner")
    else:  # a quaternion cannot say that a grid is sheared
        made.set_qform(None, code="unknown")
        made["pixdim"][1:4] = grid.spacing
    made["descrip"] = text.encode("ascii", "replace")[:79]
    made["vox_offset"] = 352
    return bytes(made.binaryblock) + b"\0\0\0\0"


def exact_form(plan: VolumePlan) -> StoredForm | None:
    """The stored form, where it says the same as the quantities themselves."""
    form = plan.stored_form()
    if form is None or form.kind not in _KINDS or form.slope == 0:
        return None
    return form if all(float(np.float32(value)) == value for value in (form.slope, form.intercept)) else None


def pieces(plan: VolumePlan, cancelled: Cancelled | None = None) -> Iterator[bytes]:
    """The file of a plan, uncompressed, its pixels read on the way. Blocks. Raises as `VolumePlan.load`."""
    form = exact_form(plan)
    text = f"Vesalius; {plan.unit}"
    if form is not None:
        yield header(plan.grid, form.kind, text, form.slope, form.intercept)
        for stored in plan.stored_planes(cancelled):
            yield _bytes(stored, form.kind)
        return
    yield header(plan.grid, plan.dtype, text)
    for plane, _ in plan.planes(cancelled):
        yield _bytes(plane, plan.dtype)


def gzipped(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same compressed as it comes; equal input gives equal output."""
    machine = zlib.compressobj(1, zlib.DEFLATED, 31)
    for part in parts:
        packed = machine.compress(part)
        if packed:
            yield packed
    yield machine.flush()


def _bytes(plane: npt.NDArray[Any], kind: np.dtype[Any]) -> bytes:
    return np.ascontiguousarray(plane, kind.newbyteorder("<")).tobytes()
