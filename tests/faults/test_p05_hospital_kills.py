"""P5: SIGKILL of everything, three times in a hospital's day with all its traffic: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from pathlib import Path

import pytest

from tests.acceptance.scheduled_workflow.conftest import CONFIG
from tests.support.dcmtk import free_port
from tests.support.department import department
from tests.support.mllp import destination
from tests.support.server import Server, start_server
from vesalius.app.own_house import OwnHouse
from vesalius.cli import simulate_setup
from vesalius.dimse.services import DimseSettings
from vesalius.hl7.config import Destination
from vesalius.model.entities import Peer
from vesalius.simulate.clock import JumpingClock
from vesalius.simulate.habits import Habits
from vesalius.simulate.hospital import Equipment, Hospital, Played, starts_at
from vesalius.simulate.lines import Line, Partners
from vesalius.simulate.messages import APPLICATION
from vesalius.simulate.plan import EXAM_MINUTES, make_day
from vesalius.simulate.report import Report, Verification, listed_in_time

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS_AT = (4, 11, 19)  # examinations begun


class Mains:
    """The server's power switch."""

    def __init__(self, data: Path, config: str) -> None:
        self.data, self.config = data, config
        self.port = free_port()
        self.begun = self.kills = 0
        self.threads: list[threading.Thread] = []
        self.server = self._start()

    def _start(self) -> Server:
        # The last of two --dimse-port counts: partners find it where it was.
        return start_server(self.data, "--dimse-port", str(self.port), config=self.config, workers=2)

    def count(self, _: int) -> None:
        """One more examination; off and on again when it is time."""
        self.begun += 1
        if self.begun in KILLS_AT:
            self.threads.append(threading.Thread(target=self._cycle))
            self.threads[-1].start()

    def _cycle(self) -> None:
        self.server.kill()
        self.kills += 1
        self.server = self._start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(120)


@pytest.mark.parametrize("seed", [21, 22])
def test_a_day_with_kill_9_of_everything_ends_as_it_should(tmp_path: Path, seed: int) -> None:
    hl7 = free_port()
    with destination() as epr:
        config = CONFIG.format(port=hl7, told=epr.port).replace('"HIS"', f'"{APPLICATION}"')
        mains = Mains(tmp_path / "data", config)
        try:
            played, report = asyncio.run(_play(mains, hl7, tmp_path / "disks", seed))
        finally:
            mains.join()
            mains.server.stop()
    assert mains.kills == len(KILLS_AT)
    assert report.troubles == []
    assert played.left == 0
    assert report.figures["messages"] == report.figures["messages_accepted"]
    assert report.figures["images_fetched"] == report.figures["stored"]
    assert epr.received, "the record system was told"


async def _play(mains: Mains, hl7: int, disks: Path, seed: int) -> tuple[Played, Report]:
    day = make_day(1, 30, ["CT", "MR", "US"], seed, date(2026, 11, 24))
    settings = DimseSettings(connect=10, response=60)
    archive, plan = (Line(Peer(name, "127.0.0.1", mains.port, "VESALIUS"), settings) for name in ("archive", "ris"))
    equipment = Equipment(
        Partners(plan, plan, archive, archive), Destination(name="hl7", host="127.0.0.1", port=hl7), disks
    )
    hospital = Hospital(
        day, equipment, JumpingClock(starts_at(day)), progress=mains.count,
        habits=Habits(minutes=EXAM_MINUTES, patience=10.0),
    )  # fmt: skip
    port = await hospital.listener.start("127.0.0.1", 0)
    simulate_setup.department(day.stations, day.procedures, port, data=mains.data, config=None)
    try:
        played = await hospital.play(120)
        await asyncio.to_thread(mains.join)
        with department(mains.server) as desk:
            house = OwnHouse(desk.archive, day.prefix)
            await listed_in_time(day, played, house, 60)
            house.tidy()
            return played, await Verification(day, played, equipment.partners, house).run()
    finally:
        await hospital.listener.stop()
