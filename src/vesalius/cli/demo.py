"""`vesalius demo`: something to look at."""

from __future__ import annotations

from typing import Annotated

import typer

from vesalius.cli import options


def demo(
    generated: Annotated[
        bool, typer.Option("--generated", help="Make small studies by code even where real ones are at hand.")
    ] = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Load demo studies: real ones if the shared data lie beside the source, else small ones made by code; and a day
    of a small department with its stations, orders and schedule.

    May run while the service runs; to do it twice is harmless.

    Example:

      vesalius demo && vesalius find
    """  # fmt: skip
    import tempfile
    from pathlib import Path

    from vesalius.app.demo import real_studies, write_studies
    from vesalius.cli import exit_codes, import_, output

    folders = [] if generated else real_studies()
    with options.archive(data, config, must_exist=False) as archive, tempfile.TemporaryDirectory() as made:
        if not folders:
            write_studies(Path(made))
            folders = [Path(made)]
        output.note("Loading " + ("real studies." if folders[0] != Path(made) else "studies made by code."))
        report = import_.run_import(archive, folders)
        from vesalius.app import demo_ris

        planned = demo_ris.load(archive)
    import_.show(report, json=json)
    if not json:
        output.note(f"{planned} steps are planned at CT1, MR1, US1 and DX1: see the schedule of the web pages.")
        output.note("Now try: vesalius find, vesalius stats, vesalius ris schedule list")
    raise typer.Exit(exit_codes.OK if report.taken or report.known or report.resumed else exit_codes.FAILED)
