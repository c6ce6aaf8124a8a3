"""From the images of a series to volumes: planned from their headers, filled slice by slice.

Theory. `parts` reads headers alone and says which volumes a series holds, with grid, unit and notes: a `VolumePlan`
each. Pixels are read when a plan is filled, each frame once, by as many threads as there are processors (decoding and
NumPy let go of the interpreter), straight into the array that is the result: what a volume needs beside its own values
is a few slices and, where there is padding, a mask. `planes` gives the slices one by one for those who write a file
and never need the whole.

What the numbers mean is `values.py`'s business, where slices lie `slices.py`'s and `sorting.py`'s. What is uneven is
refused unless `irregular="resample"` is asked for; a tilted stack is straightened unless `tilt="keep"` is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vesalius.imaging.fill import VolumePlan
from vesalius.imaging.layout import Layout, layout_of
from vesalius.imaging.meanings import Meanings
from vesalius.imaging.pixels import stored_frame
from vesalius.imaging.resampling import Abandoned
from vesalius.imaging.segments import segment_layouts
from vesalius.imaging.slices import Refusal, Slice, slices_of
from vesalius.imaging.sorting import Stack, stacks_of
from vesalius.imaging.sources import SeriesSource, SliceHeader
from vesalius.imaging.space import Finding, NoVolume, Volume
from vesalius.imaging.values import Wish

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Abandoned", "VolumePlan", "chosen", "facts", "parts", "volume"]

Irregular = Literal["refuse", "resample"]
Tilt = Literal["correct", "keep"]


def parts(
    source: SeriesSource,
    wish: Wish = Wish.NATURAL,
    *,
    irregular: Irregular = "refuse",
    tilt: Tilt = "correct",
    mappings: Sequence[Dataset] = (),
    only: Callable[[SliceHeader, Slice], bool] | None = None,
) -> tuple[VolumePlan, ...]:
    """The volumes of a series, localizers last, without a pixel being read (but to compare duplicates). Blocks.

    `only`: which of its slices count. Raises `NoVolume` with the reason, `NoValue` where the wish cannot be met,
    `DamagedInstance`.
    """
    headers = tuple(source.headers())
    slices, refused = slices_of(headers)
    if only is not None:
        slices = [one for one in slices if only(headers[one.index], one)]
    if not slices:
        raise NoVolume(f"the series is no volume: {_reasons(refused)}", hint="Its images can be looked at one by one.")
    notes = (Finding("frames-left-out", f"left out: {_reasons(refused)}"),) if refused else ()
    layouts: list[Layout]
    if any(one.segment is not None for one in slices):
        layouts = segment_layouts(slices, headers)
    else:

        def same(a: Slice, b: Slice) -> bool:
            return bool(np.array_equal(stored_frame(source, headers, a), stored_frame(source, headers, b)))

        layouts, odd = _layouts(stacks_of(slices, same), irregular, tilt)
        notes = (*notes, *odd)
    return tuple(_plan(source, headers, layout, wish, mappings, notes) for layout in layouts)


def _layouts(stacks: Sequence[Stack], irregular: Irregular, tilt: Tilt) -> tuple[list[Layout], list[Finding]]:
    """The grids of all stacks that have one; what is wrong with others is told. Raises `NoVolume` where none has."""
    found: list[Layout] = []
    errors: list[NoVolume] = []
    odd: list[Finding] = []
    for stack in stacks:
        try:
            found.append(layout_of(stack, irregular=irregular, tilt=tilt))
        except NoVolume as error:
            errors.append(error)
            odd.append(
                Finding("part-refused", f"{stack.label or 'a part of the series'} is no volume: {error.message}")
            )
    if not found:
        raise errors[0]
    return found, odd


def _plan(
    source: SeriesSource,
    headers: tuple[SliceHeader, ...],
    layout: Layout,
    wish: Wish,
    mappings: Sequence[Dataset],
    notes: tuple[Finding, ...],
) -> VolumePlan:
    meanings = Meanings.of(headers, [one for one in layout.slices if one is not None], wish, mappings)
    return VolumePlan(source, headers, layout, meanings, (*layout.notes, *meanings.notes, *notes))


def _reasons(refused: Sequence[Refusal]) -> str:
    """Why frames lie nowhere, each reason once."""
    counts: dict[str, int] = {}
    for each in refused:
        counts[each.reason] = counts.get(each.reason, 0) + each.frames
    if not counts:
        return "it has no images"
    return "; ".join(f"{reason} ({count} frame{'s' if count > 1 else ''})" for reason, count in counts.items())


def volume(
    source: SeriesSource,
    wish: Wish = Wish.NATURAL,
    *,
    part: int | None = None,
    irregular: Irregular = "refuse",
    tilt: Tilt = "correct",
    mappings: Sequence[Dataset] = (),
    out: npt.NDArray[Any] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Volume:
    """One volume of a series, the only one unless `part` (from 0) says which. Blocks.

    Raises as `parts`, `NoVolume` where there are several and none is named, `Abandoned` once `cancelled` says so.
    """
    found = parts(source, wish, irregular=irregular, tilt=tilt, mappings=mappings)
    return chosen(found, part).load(out=out, cancelled=cancelled)


def chosen(found: Sequence[VolumePlan], part: int | None) -> VolumePlan:
    """The plan that is meant. Raises `NoVolume`."""
    if part is not None:
        if not 0 <= part < len(found):
            raise NoVolume(f"there is no part {part}: the series has {len(found)}, counted from 0")
        return found[part]
    images = [plan for plan in found if not plan.localizer] or list(found)
    if len(images) == 1:
        return images[0]
    listed = "; ".join(f"{number}: {plan.label}" for number, plan in enumerate(found[:12]))
    more = f"; and {len(found) - 12} more" if len(found) > 12 else ""
    raise NoVolume(f"the series holds {len(images)} volumes", hint=f"Say which part: {listed}{more}.")


def facts(plan: VolumePlan) -> dict[str, Any]:
    """What is known of a volume without its pixels, as JSON takes it. Lengths in mm, places in LPS mm."""
    return {
        "label": plan.label,
        "localizer": plan.localizer,
        "segment": plan.segment[2] if plan.segment is not None else None,
        "modality": plan.modality,
        "unit": plan.unit,
        "unit_label": plan.unit_label,
        "shape": list(plan.grid.shape),
        "spacing_mm": plan.grid.spacing.tolist(),
        "affine_lps_mm": plan.grid.affine.tolist(),
        "frame_of_reference": plan.frame_of_reference,
        "dtype": plan.dtype.name,
        "bytes": plan.nbytes,
        "notes": [{"code": note.code, "message": note.message} for note in plan.notes],
    }
