"""`vesalius modality`: a scanner that is not there, for trying out worklists, archives and oneself."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.settings import Settings
    from vesalius.simulate.habits import Told
    from vesalius.simulate.lines import Partners


NOBODY = "none"  # for --mpps and --commit


class Makes(Enum):
    """The kinds of device."""

    CT = "CT"
    MR = "MR"
    US = "US"
    CR = "CR"


class Fault(Enum):
    """What may go wrong: the keys of `simulate.faults.FAULTS`, which a test compares."""

    WRONG_PATIENT = "wrong-patient"
    LOST_IMAGES = "lost-images"
    NO_COMMIT = "no-commit"
    POWER_CUT = "power-cut"
    POWER_CUT_STORED = "power-cut-stored"
    POWER_CUT_ASKED = "power-cut-asked"
    DUPLICATE_SEND = "duplicate-send"
    LATE_MPPS = "late-mpps"
    DISCONTINUED = "discontinued"
    WRONG_CHARSET = "wrong-charset"
    APPEND = "append"


def modality(
    station: Annotated[
        str, typer.Option("--station", metavar="AET", help="AE title of the device, as its worklist knows it.")
    ] = "CT1",
    worklist: Annotated[
        str | None,
        typer.Option(
            metavar="[AET@]HOST:PORT",
            help="Who has the worklist and takes MPPS (default: the archive).",
            show_default=False,
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="[AET@]HOST:PORT",
            help="Who takes the images (default: `vesalius serve` on this machine, as its settings say).",
            show_default=False,
        ),
    ] = None,
    mpps: Annotated[
        str | None,
        typer.Option(
            metavar="[AET@]HOST:PORT", help="Who takes MPPS (default: the worklist); none: nobody.", show_default=False
        ),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="[AET@]HOST:PORT",
            help="Who is asked for commitment (default: the archive); none: nobody.",
            show_default=False,
        ),
    ] = None,
    aet: Annotated[
        str | None,
        typer.Option(metavar="AET", help="AE title of partners whose address names none.", show_default=False),
    ] = None,
    makes: Annotated[Makes, typer.Option("--modality", help="What it makes.")] = Makes.CT,
    slices: Annotated[int, typer.Option(min=1, max=2000, help="Images of a CT or MR series.")] = 8,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Rows and columns of an image.")] = 64,
    fault: Annotated[Fault | None, typer.Option(help="What goes wrong.", show_default=False)] = None,
    unscheduled: Annotated[
        str, typer.Option(metavar="PATIENT_ID", help="Examine this patient without asking the worklist.")
    ] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="... and their name, as it was typed.")] = "Typed^In",
    once: Annotated[bool, typer.Option("--once", help="One examination, then end (the default).")] = False,
    count: Annotated[
        int | None, typer.Option(min=1, help="So many examinations, then end.", show_default=False)
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(min=0.1, help="Never end: look at the worklist every so many seconds.", show_default=False),
    ] = None,
    date: Annotated[str, typer.Option(metavar="YYYYMMDD", help="Only what is planned for this day.")] = "",
    listen: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for the results of commitment; 0: a free one.")
    ] = 0,
    listen_host: Annotated[str, typer.Option(help="Address of that port.")] = "127.0.0.1",
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for the last results.")] = 120.0,
    folder: Annotated[
        Path | None,
        typer.Option(help="The scanner's disk (default ./modality/AET).", show_default=False),
    ] = None,
    setup: Annotated[
        bool,
        typer.Option("--setup", help="First make it a peer and a station of the archive in --data."),
    ] = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Behave as a scanner: ask the worklist, say what is being done (MPPS), make a small true series of a phantom with
    the patient and order of the worklist item, store it, have it committed, and delete it only after the guarantee.

    Without addresses it works with `vesalius serve` on this machine. Its disk outlives it: after a power cut, a
    restart or a partner's downtime it carries on where it was. With --fault something goes wrong, as it does.

    Results of commitment come to a port of its own, if the archive knows it as a peer (--setup, or `vesalius peers
    add`), else on the association of the request.

    Examples:

      vesalius modality --station CT1 --setup

      vesalius modality --station MR1 --modality MR --fault wrong-patient --json

      vesalius modality --station CT1 --archive PACS@10.1.2.3:104 --worklist RIS@10.1.2.4:104 --interval 30

      vesalius modality --station CT1 --unscheduled 4711 --name 'Doe^Jane'

    Ends with 0 when everything that was done is settled, 1 if something was refused or is still open, 3 if a partner
    could not be reached, 4 if the worklist was empty.
    """  # fmt: skip
    from vesalius.app import logs
    from vesalius.cli import exit_codes, output, simulate_setup
    from vesalius.simulate import items
    from vesalius.simulate import modality as run
    from vesalius.simulate.habits import Habits, PowerCut
    from vesalius.simulate.phantom import Device

    if sum((once, count is not None, interval is not None)) > 1:
        raise typer.BadParameter("one of --once, --count, --interval", param_hint="--once")
    settings = options.settings(data, config)
    logs.configure("error", "text")
    partners = partners_of(settings, worklist=worklist, archive=archive, mpps=mpps, commit=commit, aet=aet)
    device = Device(station, makes.value, size=size, slices=slices)
    orders = run.Orders(
        count=None if interval is not None else count or 1,
        interval=interval or 10.0,
        fault=fault.value if fault else "",
        day=date,
        unplanned=items.typed(unscheduled, name) if unscheduled else None,
        patience=patience,
    )

    habits = Habits(performed=mpps != NOBODY, commit=commit != NOBODY)

    def ready(port: int) -> None:
        if setup:
            simulate_setup.station(station, makes.value, port, data=data, config=config)

    def told(one: Told) -> None:
        row = {"station": one.station, "event": one.what, "exam": one.exam, **one.detail}
        print(output.json_line(row), flush=True) if json else output.note(_line(row))

    async def act() -> run.Shift:
        return await run.work(
            device, folder or Path("modality") / station, partners, orders,
            listen=(listen_host, listen), ready=ready, told=told, habits=habits,
        )  # fmt: skip

    from vesalius.cli import network

    try:
        shift = network.run(act())
    except PowerCut:
        _die()
        raise
    if not json:
        output.note(_summary(shift))
    if shift.left or any(exam.refused or any(image.reason for image in exam.images) for exam in shift.done):
        raise typer.Exit(exit_codes.FAILED)
    if shift.empty and not shift.done:
        raise typer.Exit(exit_codes.NOT_FOUND)


def partners_of(
    settings: Settings,
    *,
    worklist: str | None,
    archive: str | None,
    mpps: str | None = None,
    commit: str | None = None,
    aet: str | None = None,
    apart: bool = False,
) -> Partners:
    """The lines to the partners that the options name; a partner that is not named is the one before it.

    `apart`: worklist and archive have lines of their own also at one address.
    """
    from vesalius.app.limits import dimse_settings
    from vesalius.app.tls import client_tls
    from vesalius.cli.addresses import peer_at
    from vesalius.simulate.lines import Line, Partners

    lines: dict[str, Line] = {}

    def line(text: str, option: str) -> Line:
        if text not in lines or apart:
            peer = peer_at(text, option, name=option.strip("-"), aet=aet or settings.server.ae_title)
            lines[text] = Line(peer, dimse_settings(settings), client_tls(settings) if peer.tls else None)
        return lines[text]

    images = archive or f"{settings.server.ae_title}@127.0.0.1:{settings.server.dimse_port}"
    plan = worklist or images
    return Partners(
        worklist=line(plan, "--worklist"),
        performed=line(plan if mpps in (None, NOBODY) else mpps, "--mpps"),
        archive=line(images, "--archive"),
        commitment=line(images if commit in (None, NOBODY) else commit, "--commit"),
    )


def _die() -> None:
    """As the power goes: no handler runs, nothing is flushed."""
    import os
    import signal
    import sys

    sys.stderr.write("The power is gone. Start it again with the same --folder.\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def _line(row: dict[str, Any]) -> str:
    rest = ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("station", "event", "exam"))
    return f"{row['station']:<8} {row['exam']:<15} {row['event']:<20} {rest}".rstrip()


def _summary(shift: Any) -> str:
    images = sum(len(exam.images) for exam in shift.done)
    text = f"{len(shift.done)} examinations, {images} images."
    if shift.empty:
        text += " The worklist is empty."
    return text + (f" {shift.left} examinations still have something open." if shift.left else "")
