"""Data sets to volumes in tests: written as files, read through the public door."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

import vesalius
from tests.support import phantom
from vesalius.app.library import Series
from vesalius.imaging.space import Volume


@contextmanager
def series_of(datasets: Sequence[Dataset], transfer_syntax: str = "1.2.840.10008.1.2.1") -> Iterator[Series]:
    """The one series that data sets make."""
    with tempfile.TemporaryDirectory() as folder:
        phantom.write(Path(folder), datasets, transfer_syntax)
        with vesalius.open(folder) as library:
            (uid,) = library.series_uids()
            yield library.series(uid)


def load(datasets: Sequence[Dataset], transfer_syntax: str = "1.2.840.10008.1.2.1", **how: Any) -> Volume:
    """Their volume."""
    with series_of(datasets, transfer_syntax) as series:
        return series.volume(**how)


def load_all(datasets: Sequence[Dataset], **how: Any) -> list[Volume]:
    """All their volumes."""
    with series_of(datasets) as series:
        return [plan.load() for plan in series.parts(**how)]


def codes(volume: Volume) -> set[str]:
    """The codes of what was odd."""
    return {note.code for note in volume.notes}
