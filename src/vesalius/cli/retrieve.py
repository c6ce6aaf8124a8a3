"""`vesalius retrieve`: fetch from a peer into this archive, by C-GET or C-MOVE."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from vesalius.cli import options


class Method(enum.StrEnum):
    """How to fetch."""

    GET = "get"
    MOVE = "move"


def retrieve(
    peer: options.PeerName,
    study: Annotated[list[str] | None, typer.Option(metavar="UID", help="Study.", show_default=False)] = None,
    series: Annotated[
        list[str] | None, typer.Option(metavar="UID", help="Series of that study.", show_default=False)
    ] = None,
    instance: Annotated[
        list[str] | None, typer.Option(metavar="UID", help="Instances of that series.", show_default=False)
    ] = None,
    patient: Annotated[
        str | None, typer.Option(metavar="ID", help="All studies of a patient.", show_default=False)
    ] = None,
    method: Annotated[
        Method, typer.Option(help="get: over the association that asks; move: the peer calls the running service.")
    ] = Method.GET,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Fetch a study, some series, some instances or a whole patient from a peer.

    C-GET brings everything over the association that asks: no firewall is in its way, and the service need not run.
    For C-MOVE the service must run, the peer must know its AE title and address, and it needs the right to store here.

    Examples:

      vesalius retrieve --peer PACS2 --study 1.2.3.4

      vesalius retrieve --peer PACS2 --study 1.2.3.4 --series 1.2.3.4.5 --series 1.2.3.4.6

      vesalius retrieve --peer PACS2 --study 1.2.3.4 --method move

    Ends with 0 if all came, 1 if some did not, 3 if the peer refused, 4 if nothing matched.
    """
    from pathlib import Path

    from vesalius.cli import exit_codes, network, output
    from vesalius.model.entities import Level
    from vesalius.standard.statuses import StatusKind, describe, kind_of

    keys = {
        at: tuple(values)
        for at, values in (
            (Level.PATIENT, (patient,) if patient else ()),
            (Level.STUDY, study or ()),
            (Level.SERIES, series or ()),
            (Level.IMAGE, instance or ()),
        )
        if values
    }
    if not keys:
        raise typer.BadParameter("say what: --study UID, or --patient ID", param_hint="--study")
    level = max(keys)
    for at in range(Level.STUDY, level):
        if len(keys.get(Level(at), ())) != 1:
            raise typer.BadParameter(f"a {level.name.lower()} is named under one --{Level(at).name.lower()}")
    with options.archive(data, config, must_exist=False) as archive:
        target = options.peer_named(peer, archive.peers())
        by_move = method is Method.MOVE
        if by_move and not (archive_run := Path(archive.settings.data) / "run" / "serve.json").exists():
            output.note(f"No service seems to run on {archive_run.parents[1]}: a C-MOVE needs it to receive.")
        if by_move and "store" not in target.rights:
            output.note(f"{peer} has no right to store here: vesalius peers add {peer} ... --allow store")
        with output.moving_progress(f"from {peer}") as moved:
            report = network.retrieve(archive, target, keys, level, by_move=by_move, progress=moved)
    arrived = report.completed + report.warnings
    if json:
        output.facts(
            {
                "peer": peer,
                "status": f"{report.status:04X}",
                "completed": report.completed,
                "warnings": report.warnings,
                "failed": report.failed,
                "comment": report.comment,
            },
            json=True,
        )
    else:
        comment = f" {output.plain(report.comment)}" if report.comment else ""
        output.note(f"{arrived} came, {report.failed} failed: {describe(report.status)}.{comment}")
    if report.failed and arrived:
        raise typer.Exit(exit_codes.FAILED)
    if kind_of(report.status) is not StatusKind.SUCCESS:
        raise typer.Exit(exit_codes.PEER)
    raise typer.Exit(exit_codes.OK if arrived else exit_codes.NOT_FOUND)
