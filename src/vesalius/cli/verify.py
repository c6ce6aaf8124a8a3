"""`vesalius verify`: are all bytes still what they were?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vesalius.cli import options


def verify(
    pace: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Bytes a second, such as 200MiB; 0: as fast as the disk (default 50MiB).",
            show_default=False,
        ),
    ] = None,
    repair: Annotated[bool, typer.Option(help="Rewrite what is bad from a copy that is good.")] = True,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Re-read every instance in every place and compare it with the digest that it was received with.

    What is bad in one place and good in another is repaired. What is good nowhere is reported, marked and never served.
    It may run while the service runs; the pace leaves the disk to those who wait for images.

    Examples:

      vesalius verify

      vesalius verify --pace 0 --no-repair --json

    Ends with 0 if all is well now, 5 if something is damaged and could not be repaired.
    """  # fmt: skip
    from vesalius.archive.verify import VerifyReport
    from vesalius.archive.verify import verify as check
    from vesalius.cli import exit_codes, output

    with options.archive(data, config, verify__pace=pace) as archive:
        total = archive.index.totals()
        with output.progress("verifying", total.instances + total.conflicts) as advance:
            shown = 0

            def progress(report: VerifyReport) -> None:
                nonlocal shown
                advance(report.members - shown)
                shown = report.members

            report = check(
                archive.blobs,
                archive.index,
                clock=archive.clock,
                pace=archive.settings.verify.pace,
                progress=progress,
                repair=repair,
            )
    findings = [asdict(one) for one in report.findings]
    if json:
        output.facts(
            {
                "instances": report.members,
                "copies": report.copies,
                "bytes": report.bytes,
                "seconds": round(report.seconds, 3),
                "repaired": report.repaired,
                "damaged": report.damaged,
                "findings": findings,
            },
            json=True,
        )
    else:
        output.note(
            f"{report.members:,} instances in {report.copies:,} copies, {output.size(report.bytes)} read in "
            f"{report.seconds:.1f} s: {report.repaired} repaired, {report.damaged} damaged."
        )
        rows = [one | {"place": one["place"] or "primary"} for one in findings]
        output.listing(rows, ["sop_instance", "study", "pack", "offset", "place", "repaired"], json=False)
    raise typer.Exit(exit_codes.DAMAGED if report.damaged else exit_codes.OK)
