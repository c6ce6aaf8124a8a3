"""`vesalius export`: studies as plain DICOM files with a DICOMDIR."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli import options


def export(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write to; made if need be.", show_default=False)
    ],
    study: Annotated[
        list[str], typer.Option("--study", metavar="UID", help="Study; may be repeated.", show_default=False)
    ],
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Write studies as plain DICOM files and a DICOMDIR: a medium that any DICOM reader understands.

    Every data set leaves byte for byte as it was received, after its digest was compared.

    Examples:

      vesalius export --study 1.2.3.4 ./for-the-patient

      vesalius export --study 1.2.3.4 --study 1.2.3.5 /media/usb/exchange

    Ends with 0 if all was written, 4 if a study is not known, 5 if an instance is damaged (it is left out).
    """
    from vesalius.archive.export import Exporter, ExportReport
    from vesalius.cli import exit_codes, output
    from vesalius.model.entities import Level

    with options.archive(data, config) as archive:
        total = sum(1 for _ in archive.index.select(Level.STUDY, studies=tuple(study)))
        with output.progress("exporting", total) as advance:
            shown = 0

            def progress(report: ExportReport) -> None:
                nonlocal shown
                advance(report.files - shown)
                shown = report.files

            report = Exporter(archive.index, archive.blobs, archive.retrieve.coerce).export(study, folder, progress)
    if json:
        output.facts(
            {
                "files": report.files,
                "bytes": report.bytes,
                "studies": report.studies,
                "damaged": [{"instance": uid, "reason": why} for uid, why in report.damaged],
            },
            json=True,
        )
    else:
        output.note(f"{report.files:,} files ({output.size(report.bytes)}) of {report.studies:,} studies in {folder}.")
        rows = [{"instance": uid, "reason": why} for uid, why in report.damaged]
        output.listing(rows, ["instance", "reason"], json=False)
    raise typer.Exit(exit_codes.DAMAGED if report.damaged else exit_codes.OK)
