"""Vesalius: an open system for medical images.

The floors, from the ground up: `standard`, `model` and `wire`, `ports`, `archive`,
the edges `dimse`, `web` and `backends`, then `app` and `cli`. Imports point down only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vesalius.app.library import Library

__version__ = "0.1.0"


def open(place: str | Path, *, config: Path | None = None) -> Library:  # noqa: A001  (`vesalius.open` reads well)
    """Series and volumes of an archive's data folder, of DICOM files, or of a DICOMweb service.

    >>> with vesalius.open("./data") as library:
    ...     volume = library.series("1.2.3").volume()
    """
    from vesalius.app.library import open_library

    return open_library(place, config=config)
