"""Where a command about volumes reads its series: the own archive, a folder of files, another server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.library import Library

From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="PLACE", show_default=False,
        help="Read from a folder of DICOM files or a DICOMweb address (http...) instead of the own archive.",
    ),
]  # fmt: skip


@contextmanager
def library(place: str | None, data: Path | None, config: Path | None) -> Iterator[Library]:
    """Where the series are: the own archive, a folder, another server."""
    from vesalius.app.library import library_of, open_library

    if place is not None:
        with open_library(place) as opened:
            yield opened
        return
    with options.archive(data, config) as archive:
        yield library_of(archive)
