"""A volume on the grid of another series, in the shape of a `VolumePlan`: exported, kept and shown like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vesalius.imaging.reference_frames import Link
from vesalius.imaging.resampling import Interpolation, is_label, resample
from vesalius.imaging.space import Finding, Grid, Mask, Values, Volume

if TYPE_CHECKING:
    from vesalius.imaging.sources import SeriesSource
    from vesalius.imaging.volumes import VolumePlan

    Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class OntoPlan:
    """How the volume of `moving` comes onto the grid of `fixed`."""

    moving: VolumePlan
    fixed: VolumePlan
    link: Link
    interpolation: Interpolation
    fill: Callable[[Cancelled | None], Volume]  # the moving volume itself

    def __getattr__(self, name: str) -> Any:
        """Unit, label, modality and the like are those of the moving volume."""
        return getattr(self.moving, name)

    @property
    def grid(self) -> Grid:
        """The fixed one's."""
        return self.fixed.grid

    @property
    def frame_of_reference(self) -> str | None:
        """The fixed one's."""
        return self.fixed.frame_of_reference

    @property
    def source(self) -> SeriesSource:
        """The moving series."""
        return self.moving.source

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Of the moving volume, and how it came here."""
        told = "" if self.link.kind == "SAME" else f" by a registration ({self.link.kind.lower()})"
        note = Finding("resampled-onto", f"{self.interpolation.value} onto the grid of another series{told}")
        return (*self.moving.notes, *self.link.notes, note)

    @property
    def resampled(self) -> bool:
        """True."""
        return True

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        nearest = self.interpolation is Interpolation.NEAREST
        return self.moving.dtype if nearest else np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Of the values."""
        return int(np.prod(self.grid.shape)) * self.dtype.itemsize

    def stored_form(self) -> None:
        """None: nothing is stored in this form."""

    def load(self, out: Values | None = None, cancelled: Cancelled | None = None) -> Volume:
        """The volume. Blocks. Raises as `VolumePlan.load`, `NoVolume`."""
        moving = self.fill(cancelled)
        way = Interpolation.NEAREST if is_label(moving) else self.interpolation
        found = resample(moving, self._target(), way, transform=self.link.transform, cancelled=cancelled)
        found = replace(found, frame_of_reference=self.frame_of_reference, notes=(*found.notes, *self.notes))
        if out is None:
            return found
        out[...] = found.values
        return replace(found, values=out)

    def planes(self, cancelled: Cancelled | None = None) -> Iterator[tuple[Values, Mask | None]]:
        """Each slice with its padding."""
        whole = self.load(None, cancelled)
        for at in range(self.grid.shape[0]):
            yield whole.values[at], None if whole.padding is None else whole.padding[at]

    def _target(self) -> Grid:
        return self.fixed.grid
