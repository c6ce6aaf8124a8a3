"""`vesalius notes`: what quality control found, and which instances conflict."""

from __future__ import annotations

from typing import Annotated

import typer

from vesalius.cli import options


def notes(
    study: Annotated[str | None, typer.Option(metavar="UID", help="Only of this study.", show_default=False)] = None,
    limit: options.Limit = 1000,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List quality control findings: kept as sent, never repaired in silence.

    A finding is a value that its VR forbids, a tag out of order, a VR that is not the dictionary's ... or a conflict:
    two instances with one UID and different content, both kept.

    Examples:

      vesalius notes

      vesalius notes --study 1.2.3.4 --json
    """
    from vesalius.cli import output

    with options.archive(data, config) as archive:
        rows = archive.index.notes(study, limit)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    output.listing(rows, columns, json=json, empty="No findings.")
