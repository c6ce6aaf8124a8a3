"""`vesalius simulate`: a hospital that is not there, as load, as demonstration, for teaching, and as a proof."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.settings import Settings
    from vesalius.hl7.config import Destination
    from vesalius.simulate.lines import Partners
    from vesalius.simulate.plan import Day
    from vesalius.simulate.report import Report

app = typer.Typer(no_args_is_help=True, help="A hospital that is not there: scanners, orders, people, faults.")

ADDRESS = "[AET@]HOST:PORT"


def hospital(
    day: Annotated[int, typer.Option(min=1, help="Which day: each has other patients, orders and mishaps.")] = 1,
    modalities: Annotated[str, typer.Option(metavar="LIST", help="Of CT, MR, US, CR.")] = "CT,MR,US",
    procedures: Annotated[int, typer.Option(min=1, max=20_000, help="How many are planned.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and day is the same day again.")] = 1,
    speed: Annotated[
        float, typer.Option(min=0, help="So many times as fast as the clock; 0: as fast as the work gets done.")
    ] = 0.0,
    date: Annotated[str, typer.Option(metavar="YYYYMMDD", help="Its date (default: today).", show_default=False)] = "",
    faults: Annotated[bool, typer.Option("--faults/--no-faults", help="Faults and outages, or a good day.")] = True,
    merges: Annotated[bool, typer.Option("--merges/--no-merges", help="Whether patients are merged (ADT^A40).")] = True,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar=ADDRESS, help="Who takes the images (default: `vesalius serve` here).", show_default=False
        ),
    ] = None,
    worklist: Annotated[
        str | None,
        typer.Option(
            metavar=ADDRESS, help="Who has the worklist and takes MPPS (default: the archive).", show_default=False
        ),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(metavar=ADDRESS, help="Who is asked for commitment (default: the archive).", show_default=False),
    ] = None,
    hl7: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Who takes HL7 (default: `vesalius serve` here).", show_default=False),
    ] = None,
    aet: Annotated[
        str | None,
        typer.Option(metavar="AET", help="AE title of partners whose address names none.", show_default=False),
    ] = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="First make peers, stations and a catalogue in the archive in --data.")
    ] = False,
    own: Annotated[
        bool, typer.Option("--own", help="Start a server of its own in --folder for the day, and stop it afterwards.")
    ] = False,
    tidy: Annotated[
        bool, typer.Option("--tidy", help="Let the desk of the archive in --data reconcile at the end of the day.")
    ] = False,
    slices: Annotated[int, typer.Option(min=1, max=2000, help="Images of a CT or MR series.")] = 6,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Rows and columns of an image.")] = 32,
    listen: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for the results of commitment; 0: a free one.")
    ] = 0,
    listen_host: Annotated[str, typer.Option(help="Address of that port.")] = "127.0.0.1",
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for the last results.")] = 300.0,
    folder: Annotated[
        Path | None, typer.Option(help="The disks of the scanners (default ./hospital).", show_default=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say everything that happens.")] = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Play a whole day: admissions, orders and appointments by HL7, scanners that work through their worklists with
    MPPS, images and storage commitment, emergencies that are named later, merges, cancellations, patients who do not
    come, faults at the scanners, and half an hour's downtime of every partner. Then ask what became of it.

    The report is asked for over DICOM: each acknowledged image there once and pixel by pixel, each performed step in
    its state, each patient who they are or on a list, nothing more than there should be. With --data it sees the lists
    of our own archive, too.

    Without addresses it works with `vesalius serve` on this machine, which has to listen for HL7 and to take merges
    (docs/how-to/simulate-a-hospital-day.md); --own starts one by itself.

    Examples:

      vesalius simulate hospital --own

      vesalius simulate hospital --setup --procedures 200 --seed 7 --speed 600

      vesalius simulate hospital --archive PACS@10.1.2.3:104 --worklist RIS@10.1.2.4:104 --hl7 10.1.2.4:2575 --no-merges

    Ends with 0 when all is as it should be, 1 if anything is not, 3 if a partner cannot be reached.
    """  # fmt: skip
    from vesalius.app import logs
    from vesalius.cli import exit_codes, output, simulate_own
    from vesalius.model.errors import SettingsError

    logs.configure("error", "text")
    disks = folder or Path("hospital")
    mine = disks / f"day-{seed}-{day}"
    if mine.exists():
        raise SettingsError(
            f"day {day} of seed {seed} was played with {mine} before, and its orders are known",
            hint="take another --day or --seed, or another --folder",
        )
    planned = _planned(day, procedures, modalities, seed, date, faults=faults, merges=merges)
    with ExitStack() as stack:
        if own:
            data, config = stack.enter_context(simulate_own.running(disks))
            setup, tidy = True, True
        settings = options.settings(data, config)
        partners, his = _partners(settings, archive, worklist, commit, hl7, aet)
        whole = _Whole(planned, partners, his, settings, data, config, setup=setup, tidy=tidy)
        report = whole.run(
            mine, speed=speed, listen=(listen_host, listen), patience=patience,
            device=(size, slices), verbose=verbose, json=json,
        )  # fmt: skip
    if json:
        print(output.json_line(row_of(planned, report)))
    else:
        show(planned, report)
    raise typer.Exit(exit_codes.OK if report.good else exit_codes.FAILED)


def _planned(day: int, procedures: int, modalities: str, seed: int, date: str, *, faults: bool, merges: bool) -> Day:
    from datetime import datetime

    from vesalius.simulate.phantom import KINDS
    from vesalius.simulate.plan import make_day

    wanted = [one.strip().upper() for one in modalities.split(",") if one.strip()]
    unknown = [one for one in wanted if one not in KINDS]
    if unknown or not wanted:
        raise typer.BadParameter(f"a list of {', '.join(KINDS)}", param_hint="--modalities")
    try:
        on = datetime.strptime(date, "%Y%m%d").date() if date else datetime.now().date()
    except ValueError:
        raise typer.BadParameter(f"{date!r} is not YYYYMMDD", param_hint="--date") from None
    return make_day(day, procedures, list(dict.fromkeys(wanted)), seed, on, faults=faults, merges=merges)


def _partners(
    settings: Settings,
    archive: str | None,
    worklist: str | None,
    commit: str | None,
    hl7: str | None,
    aet: str | None,
) -> tuple[Partners, Destination]:
    from vesalius.cli.addresses import host_and_port
    from vesalius.cli.modality import partners_of
    from vesalius.hl7.config import Destination

    host, port = host_and_port(hl7 or f"{settings.hl7.host}:{settings.hl7.port}", "--hl7")
    partners = partners_of(settings, worklist=worklist, archive=archive, commit=commit, aet=aet, apart=True)
    return partners, Destination(name="hl7", host=host, port=port)


class _Whole:
    """The day with its setup before and its report after."""

    def __init__(
        self, day: Day, partners: Partners, his: Destination, settings: Settings, data: Path | None,
        config: Path | None, *, setup: bool, tidy: bool,
    ) -> None:  # fmt: skip
        self.day = day
        self.partners = partners
        self.his = his
        self.settings = settings
        self.data, self.config = data, config
        self.setup, self.tidy = setup, tidy

    def run(
        self, disks: Path, *, speed: float, listen: tuple[str, int], patience: float, device: tuple[int, int],
        verbose: bool, json: bool,
    ) -> Report:  # fmt: skip
        from vesalius.cli import network, output
        from vesalius.simulate.clock import JumpingClock, PacedClock
        from vesalius.simulate.habits import Habits, Told
        from vesalius.simulate.hospital import Equipment, Hospital, starts_at
        from vesalius.simulate.plan import EXAM_MINUTES

        def told(one: Told) -> None:
            if verbose:
                row = {"station": one.station, "event": one.what, "exam": one.exam, **one.detail}
                print(output.json_line(row), flush=True) if json else output.note(" ".join(map(str, row.values())))

        async def act() -> Report:
            from vesalius.simulate.hospital import greeted, reachable

            await reachable(self.his)
            clock = PacedClock(starts_at(self.day), speed) if speed else JumpingClock(starts_at(self.day))
            with output.progress("Playing the day", sum(case.is_done for case in self.day.cases)) as advance:
                playing = Hospital(
                    self.day, Equipment(self.partners, self.his, disks, size=device[0], slices=device[1]), clock,
                    habits=Habits(minutes=EXAM_MINUTES), told=told, progress=advance,
                )  # fmt: skip
                port = await playing.listener.start(*listen)
                try:
                    if self.setup:
                        self._set_up(port)
                    await greeted(self.partners, self.day.stations[0][0])
                    played = await playing.play(patience)
                    return await self._report(played)
                finally:
                    await playing.listener.stop()

        return network.run(act())

    def _set_up(self, port: int) -> None:
        from vesalius.cli import simulate_setup

        simulate_setup.department(self.day.stations, self.day.procedures, port, data=self.data, config=self.config)

    async def _report(self, played: object) -> Report:
        from vesalius.simulate.hospital import Played
        from vesalius.simulate.report import Verification, listed_in_time

        if not isinstance(played, Played):
            raise TypeError("not a day that was played")
        if not (self.setup or self.tidy or self.data):
            return await Verification(self.day, played, self.partners).run()
        from vesalius.app.own_house import OwnHouse

        with options.archive(self.data, self.config, must_exist=False) as opened:
            house = OwnHouse(opened, self.day.prefix)
            await listed_in_time(self.day, played, house, 60)
            if self.tidy:
                house.tidy()
            return await Verification(self.day, played, self.partners, house).run()


def row_of(day: Day, report: Report) -> dict[str, object]:
    """The report as one object."""
    return {
        "day": day.number, "seed": day.seed, "date": day.on.isoformat(), "stations": [aet for aet, _ in day.stations],
        "good": report.good, **report.figures, "lists": dict(report.lists), "wrong": report.troubles,
        "remarks": report.remarks,
    }  # fmt: skip


def show(day: Day, report: Report) -> None:
    """The report for people."""
    from vesalius.cli import output

    print(f"Day {day.number} of seed {day.seed}, {day.on.isoformat()}, {len(day.stations)} stations")
    output.facts(report.figures, json=False)
    for name, count in sorted(report.lists.items()):
        print(f"for a person: {count} x {name}")
    for text in report.remarks:
        print(f"remark: {text}")
    for text in report.troubles:
        print(f"WRONG: {output.plain(text)}")
    print("All is as it should be." if report.good else f"{len(report.troubles)} things are wrong.")


app.command("hospital", help=options.help_of(hospital))(hospital)
