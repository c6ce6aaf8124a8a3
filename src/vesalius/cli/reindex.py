"""`vesalius reindex`: the index from the packs alone."""

from __future__ import annotations

from dataclasses import asdict

import typer

from vesalius.cli import options


def reindex(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """Forget the index and make it again from the packs: after a lost database, or a new Vesalius that indexes more.

    Peers stay. The service must not run meanwhile. An embedded database whose file is damaged is set aside first, with
    whatever peers can still be read from it taken over.

    Example:

      vesalius reindex

    Ends with 0 if every instance was indexed, 1 if some could not be, 5 if some are damaged.
    """
    from pathlib import Path

    from vesalius.app.datadir import service_lock
    from vesalius.app.limits import header_limits
    from vesalius.app.wiring import index_file
    from vesalius.archive.reindex import ReindexReport
    from vesalius.archive.reindex import reindex as again
    from vesalius.backends.database_damage import is_damaged, peers_in, set_aside, take_over
    from vesalius.cli import exit_codes, output

    wanted = options.settings(data, config)
    with service_lock(Path(wanted.data)):
        file = index_file(wanted)
        aside = set_aside(file) if file is not None and is_damaged(file) else None
        with options.archive(data, config, must_exist=False) as archive:
            if aside is not None:
                peers = peers_in(aside)
                for peer in peers:
                    archive.index.save_peer(peer)
                rows = take_over(aside, archive.database)
                output.note(
                    f"The database was damaged and lies in {aside} now; {len(peers)} peers and {rows:,} rows of what "
                    "no pack can tell (jobs, commitments, orders, messages) were taken over."
                )
            total = sum(pack.size for pack in archive.blobs.packs())
            with output.progress("reindexing", total, unit="bytes") as advance:
                shown = 0

                def progress(report: ReindexReport) -> None:
                    nonlocal shown
                    advance(report.bytes - shown)
                    shown = report.bytes

                limits = header_limits(archive.settings)
                report = again(archive.blobs, archive.index, progress=progress, limits=limits)
    untold = [asdict(one) for one in report.untold]
    if json:
        output.facts(asdict(report) | {"seconds": round(report.seconds, 3)}, json=True)
    else:
        rate = report.members / report.seconds if report.seconds else 0
        output.note(
            f"{report.stored:,} instances from {report.packs:,} packs in {report.seconds:.1f} s ({rate:,.0f}/s), "
            f"{report.conflicts} conflicts, {len(untold)} that could not be indexed."
        )
        output.listing(untold, ["pack", "offset", "sop_instance", "reason"], json=False)
    if any(one.reason == "damaged" for one in report.untold):
        raise typer.Exit(exit_codes.DAMAGED)
    raise typer.Exit(exit_codes.FAILED if untold else exit_codes.OK)
