"""`vesalius import`: take what lies in files, folders, ZIP archives and on DICOMDIR media."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.archive.import_ import ImportReport


def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files, folders, ZIP archives, DICOMDIR.", show_default=False),
    ],
    again: Annotated[bool, typer.Option("--again", help="Read files again that an earlier run took.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Take data sets without file meta information, too (their syntax is guessed).")
    ] = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Import DICOM files into the archive, also while the service runs.

    Whatever was imported is durable. An import that was broken off goes on where it stopped: run it again.
    Files that are not DICOM are left out; what is refused is listed with the reason, and the others go on.

    Examples:

      vesalius import /media/cdrom

      vesalius import study.zip more/*.dcm --json

    Ends with 0 if nothing was refused, 1 if something was.
    """
    from vesalius.cli import exit_codes

    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"there is no {path}", param_hint="PATH")
    with options.archive(data, config, must_exist=False) as archive:
        report = run_import(archive, paths, again=again, raw=raw)
    show(report, json=json)
    failed = report.refused or report.stopped
    raise typer.Exit(exit_codes.FAILED if failed else exit_codes.OK)


def run_import(archive: Archive, paths: list[Path], *, again: bool = False, raw: bool = False) -> ImportReport:
    """Import with a progress bar."""
    from vesalius.app.limits import media_limits
    from vesalius.archive.import_ import Importer, ImportOptions
    from vesalius.cli import output

    ledger = Path(archive.settings.data) / "run" / "imported"
    options_ = ImportOptions(raw_data_sets=raw, again=again, media=media_limits(archive.settings))
    importer = Importer(archive.ingest, ledger=ledger, options=options_)
    with output.progress("importing", sum(map(_count, paths))) as advance:
        shown = 0

        def progress(report: ImportReport, _name: str) -> None:
            nonlocal shown
            advance(report.files - shown)
            shown = report.files

        return importer.run(paths, progress)


def show(report: ImportReport, *, json: bool) -> None:
    """What was taken, known already, refused and why."""
    from vesalius.cli import output

    if json:
        output.facts(as_row(report), json=True)
        return
    output.note(
        f"{report.taken:,} taken ({output.size(report.bytes)}), {report.known:,} known already, "
        f"{report.conflicts:,} conflicts kept, {report.resumed:,} from an earlier run, "
        f"{len(report.refused):,} refused, {len(report.skipped):,} not DICOM."
    )
    output.listing(
        [{"refused": name, "reason": why} for name, why in report.refused], ["refused", "reason"], json=False
    )
    if report.stopped:
        output.note(f"Stopped: {report.stopped}. Run it again when that is put right; it goes on from here.")


def as_row(report: ImportReport) -> dict[str, Any]:
    """The report as one JSON object."""
    return {
        "taken": report.taken,
        "known": report.known,
        "conflicts": report.conflicts,
        "resumed": report.resumed,
        "bytes": report.bytes,
        "refused": [{"file": name, "reason": why} for name, why in report.refused],
        "skipped": [{"file": name, "reason": why} for name, why in report.skipped],
        "stopped": report.stopped,
    }


def _count(path: Path) -> int:
    """Files under a path, for the progress bar alone."""
    import os

    if not path.is_dir():
        return 1
    return sum(len(files) for _, _, files in os.walk(path))
