"""From the cells of a frame to its stored values, one slice at a time (PS3.5 8.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.imaging.description import ALLOCATED, HIGH_BIT, PHOTOMETRIC, SIGNED, STORED, Description
from vesalius.imaging.render import stored_values
from vesalius.imaging.slices import COLUMNS, ROWS, Slice, whole
from vesalius.imaging.sources import SeriesSource, SliceHeader
from vesalius.model.errors import CannotTranscode

Stored = npt.NDArray[Any]


def cell_form(header: SliceHeader) -> Description:
    """How the cells of an instance are to be read."""
    find = header.header.values
    allocated = header.floating or whole(find(ALLOCATED), 16)
    stored = whole(find(STORED), allocated)
    return Description(
        rows=whole(find(ROWS)),
        columns=whole(find(COLUMNS)),
        allocated=allocated,
        stored=stored,
        high_bit=whole(find(HIGH_BIT), stored - 1),
        signed=whole(find(SIGNED)) == 1,
        floating=header.floating > 0,
        photometric=next(iter(find(PHOTOMETRIC)), ""),
    )


def stored_frame(
    source: SeriesSource, headers: Sequence[SliceHeader], one: Slice, form: Description | None = None
) -> Stored:
    """The stored values of a slice: bits that are not stored masked, the sign extended, its tile cut out. Blocks.

    Raises `CannotTranscode`, `DamagedInstance`.
    """
    header = headers[one.index]
    form = form or cell_form(header)
    cells = source.cells(header, one.frame)
    needed = (form.rows * form.columns * form.allocated + 7) // 8
    if len(cells) < needed:
        raise CannotTranscode("a frame is shorter than its attributes say")
    values = stored_values(cells, form)
    if one.tile is not None:
        row, column = one.tile
        values = values[row : row + one.rows, column : column + one.columns]
    return values


def stored_type(form: Description) -> np.dtype[Any]:
    """The type of stored values in memory."""
    if form.floating:
        return np.dtype(f"f{form.allocated // 8}")
    if form.allocated == 1:
        return np.dtype(np.uint8)
    return np.dtype(f"{'i' if form.signed else 'u'}{form.allocated // 8}")
