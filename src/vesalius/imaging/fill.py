"""Filling the array of a volume: every frame read once, by all processors, within bounded memory.

Theory. Where a slice of the grid is a slice of the series, a thread reads it, masks its bits and writes its
quantities straight into the result; only so many are on their way at once that what they hold is a few slices.
Where slices are moved or interpolated, they are made one after the other from those beside them, and the same way
serves who wants the slices as a stream (`planes`).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.imaging.description import Description
from vesalius.imaging.layout import Layout
from vesalius.imaging.meanings import Meanings
from vesalius.imaging.pixels import cell_form, stored_frame, stored_type
from vesalius.imaging.resampling import Abandoned
from vesalius.imaging.slices import Slice, whole
from vesalius.imaging.sources import SeriesSource, SliceHeader
from vesalius.imaging.space import Finding, Grid, Mask, Values, Volume
from vesalius.imaging.tilt import straightened
from vesalius.imaging.values import Census, Meaning

FRACTIONAL_MAXIMUM, SEGMENTATION_TYPE = 0x0062000E, 0x00620001

Plane = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredForm:
    """A volume as stored values with one line for all of them: quantity = stored x slope + intercept."""

    kind: np.dtype[Any]
    slope: float
    intercept: float


@dataclass(frozen=True, slots=True, eq=False)
class VolumePlan:
    """A volume that is known but for its pixels."""

    source: SeriesSource
    headers: tuple[SliceHeader, ...]
    layout: Layout
    meanings: Meanings
    notes: tuple[Finding, ...]

    @property
    def grid(self) -> Grid:
        """Where its voxels will lie."""
        return self.layout.grid

    @property
    def label(self) -> str:
        """What tells it from its siblings in the series; "" where it has none."""
        return self.layout.label

    @property
    def segment(self) -> tuple[str, str, int] | None:
        """SOP class, SOP instance and Segment Number (0062,0004) where it is one segment of a segmentation."""
        header = self.headers[self.layout.first.index]
        number = self.layout.segment
        return None if number is None else (header.sop_class, header.sop_instance, number)

    @property
    def localizer(self) -> bool:
        """Whether it only plans others."""
        return self.layout.localizer

    @property
    def unit(self) -> str:
        """UCUM."""
        return "1" if self.meanings.modality == "SEG" else self.meanings.unit

    @property
    def unit_label(self) -> str:
        """For people."""
        return self.meanings.label

    @property
    def modality(self) -> str:
        """CT, MR, PT, ..."""
        return self.meanings.modality

    @property
    def frame_of_reference(self) -> str | None:
        """Frame of Reference UID."""
        return self.layout.first.frame_of_reference

    @property
    def resampled(self) -> bool:
        """Whether values are interpolated to fit the grid."""
        return self.layout.frame is not None or self.layout.places is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values: float32, double where single would lose digits, integers for labels and stored values."""
        header = self.headers[self.layout.first.index]
        form = cell_form(header)
        if self._fraction is not None:
            return np.dtype(np.float32)
        if self.meanings[self.layout.first].raw and not self.resampled:
            return stored_type(form)
        wide = form.allocated == 64 if form.floating else form.stored > 24
        return np.dtype(np.float64 if wide and not self.resampled else np.float32)

    @property
    def nbytes(self) -> int:
        """Of the values."""
        return int(np.prod(self.grid.shape)) * self.dtype.itemsize

    @property
    def _fraction(self) -> float | None:
        """What a fractional segmentation is divided by."""
        header = self.headers[self.layout.first.index].header
        if header.text(SEGMENTATION_TYPE) != "FRACTIONAL":
            return None
        return float(whole(header.values(FRACTIONAL_MAXIMUM)) or 1)

    def stored_form(self) -> StoredForm | None:
        """The volume as stored values with one slope and intercept for all; None where there is no such form."""
        present = [one for one in self.layout.slices if one is not None]
        if self.resampled or self._fraction is not None or len(present) < len(self.layout.slices):
            return None
        lines = {
            (m.slope, m.intercept, m.lut is None and m.table is None) for m in map(self.meanings.__getitem__, present)
        }
        kinds = {stored_type(cell_form(self.headers[one.index])) for one in present}
        if len(lines) != 1 or len(kinds) != 1:
            return None
        ((slope, intercept, line),) = lines
        return StoredForm(kinds.pop(), slope, intercept) if line else None

    # -- values

    def stored_planes(self, cancelled: Callable[[], bool] | None = None) -> Iterator[Plane]:
        """The stored values of each slice in order. Only where there is a `stored_form`. Blocks."""
        slices = [one for one in self.layout.slices if one is not None]
        forms = self._forms()
        work = [partial(stored_frame, self.source, self.headers, one, forms[one.index]) for one in slices]
        yield from _in_order(work, cancelled)

    def planes(self, cancelled: Callable[[], bool] | None = None) -> Iterator[tuple[Plane, Mask | None]]:
        """Each slice of the grid with its padding, in order; a few are in memory. Blocks. Raises as `load`."""
        forms, kind = self._forms(), self.dtype
        work = [partial(self._plane, one, forms, kind) for one in self.layout.slices]
        slices = _in_order(work, cancelled)
        if self.layout.frame is not None:
            slices = self._straight(slices)
        if self.layout.places is not None:
            slices = _between(slices, self.layout.places)
        yield from slices

    def load(self, out: Values | None = None, cancelled: Callable[[], bool] | None = None) -> Volume:
        """The volume, filled; into `out` where it is given (shape and type as the plan says). Blocks.

        Raises `CannotTranscode`, `DamagedInstance`, `Abandoned`.
        """
        values = np.empty(self.grid.shape, self.dtype) if out is None else out
        padding = _Padding(self.grid.shape)
        census = Census()
        if self.resampled:
            for place, (plane, nothing) in enumerate(self.planes(cancelled)):
                values[place] = plane
                padding.put(place, nothing)
        else:
            forms = self._forms()
            work = [
                partial(self._fill, values[place], place, one, forms, padding, census)
                for place, one in enumerate(self.layout.slices)
            ]
            deque(_in_order(work, cancelled), maxlen=0)
        notes = (*self.notes, *census.findings(self.modality))
        return self.around(values, padding.mask, notes)

    def around(self, values: Values, padding: Mask | None, notes: tuple[Finding, ...] | None = None) -> Volume:
        """The volume with values that are there already."""
        return Volume(
            values=values,
            grid=self.grid,
            unit=self.unit,
            unit_label=self.unit_label,
            frame_of_reference=self.frame_of_reference,
            modality=self.modality,
            series=self.source.series,
            study=self.source.study,
            padding=padding,
            notes=self.notes if notes is None else notes,
        )

    def _forms(self) -> dict[int, Description]:
        return {one.index: cell_form(self.headers[one.index]) for one in self.layout.slices if one is not None}

    def _fill(
        self,
        target: Plane,
        place: int,
        one: Slice | None,
        forms: dict[int, Description],
        padding: _Padding,
        census: Census,
    ) -> None:
        if one is None:
            target[...] = 0
            return
        stored = stored_frame(self.source, self.headers, one, forms[one.index])
        meaning = self.meanings[one]
        nothing = meaning.nothing(stored)
        self._quantities(stored, meaning, target)
        padding.put(place, nothing)
        if self.modality == "CT":
            with padding.lock:
                census.see(stored, meaning, nothing)

    def _plane(
        self, one: Slice | None, forms: dict[int, Description], kind: np.dtype[Any]
    ) -> tuple[Plane, Mask | None]:
        rows, columns = self.layout.first.rows, self.layout.first.columns
        target = np.zeros((rows, columns), kind)
        if one is None:
            return target, None
        stored = stored_frame(self.source, self.headers, one, forms[one.index])
        self._quantities(stored, self.meanings[one], target)
        return target, self.meanings[one].nothing(stored)

    def _quantities(self, stored: Plane, meaning: Meaning, target: Plane) -> None:
        fraction = self._fraction if meaning.raw else None
        if fraction is not None:
            np.divide(stored, fraction, out=target, casting="unsafe")
        elif meaning.raw:
            target[...] = stored
        elif target.dtype == np.float64 and meaning.lut is None and meaning.table is None:
            np.multiply(stored, meaning.slope, out=target)
            target += meaning.intercept
        else:
            meaning.of(stored, target)

    def _straight(self, slices: Iterator[tuple[Plane, Mask | None]]) -> Iterator[tuple[Plane, Mask | None]]:
        frame, shifts = self.layout.frame, self.layout.shifts
        if frame is None or shifts is None:
            yield from slices
            return
        fill = -1024.0 if self.unit == "[hnsf'U]" else 0.0
        for (plane, nothing), shift in zip(slices, shifts.pixels, strict=True):
            moved, empty = straightened(plane.astype(np.float32, copy=False), shift, frame, fill)
            if nothing is not None:
                # A pixel to which padding contributed is padding.
                partly, _ = straightened(nothing.astype(np.float32), shift, frame, 0.0)
                empty |= partly > 0
            yield moved, empty if empty.any() else None


class _Padding:
    """The mask of padding, made when the first is met."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self.lock = threading.Lock()
        self.mask: Mask | None = None

    def put(self, place: int, nothing: Mask | None) -> None:
        if nothing is None:
            return
        with self.lock:
            if self.mask is None:
                self.mask = np.zeros(self._shape, np.bool_)
        self.mask[place] = nothing


def _between(
    slices: Iterator[tuple[Plane, Mask | None]], places: npt.NDArray[np.float64]
) -> Iterator[tuple[Plane, Mask | None]]:
    """Slices at fractional places among those that are there: linear between the two beside it."""
    held: list[tuple[Plane, Mask | None]] = []
    first = 0  # the place of held[0]
    for place in places:
        low = int(np.floor(place))
        high = min(low + 1, int(np.ceil(place)))
        while first + len(held) <= high:
            held.append(next(slices))
        while first < low:
            held.pop(0)
            first += 1
        part = float(place - low)
        (before, no_before), (after, no_after) = held[0], held[high - first]
        if part == 0:
            yield before, no_before
            continue
        mixed = np.asarray(before * np.float32(1 - part) + after * np.float32(part), np.float32)
        nothing = no_before if no_after is None else no_after if no_before is None else no_before | no_after
        yield mixed, nothing


def _in_order(work: Sequence[Callable[[], Any]], cancelled: Callable[[], bool] | None) -> Iterator[Any]:
    """Results in order, made by all processors, a few ahead of who takes them. Raises `Abandoned`."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(workers, "volume")
    try:
        for task in work:
            if cancelled is not None and cancelled():
                raise Abandoned
            waiting.append(pool.submit(task))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            if cancelled is not None and cancelled():
                raise Abandoned
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
