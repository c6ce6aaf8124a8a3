"""The report of a day finds what is wrong: each kind of loss is named, and one is enough to fail the day."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from tests.support.dcmtk import free_port
from tests.support.department import Department, department, machine, partners
from tests.support.server import running_server

from vesalius.app.own_house import OwnHouse
from vesalius.cli import simulate_setup
from vesalius.hl7.config import Destination
from vesalius.simulate.clock import JumpingClock
from vesalius.simulate.exams import Exam, Image
from vesalius.simulate.hospital import Equipment, Hospital, Played, starts_at
from vesalius.simulate.items import typed
from vesalius.simulate.plan import Day, Kind, make_day
from vesalius.simulate.report import Report, Verification, listed_in_time

HL7 = "[hl7]\nlisten = true\nport = {port}\n"


@dataclass
class Past:
    """A day that was played."""

    day: Day
    played: Played
    desk: Department

    def report(self, day: Day | None = None) -> Report:
        house = OwnHouse(self.desk.archive, self.day.prefix)
        return asyncio.run(Verification(day or self.day, self.played, partners(self.desk.server), house).run())

    def exam(self, number: int = 0) -> tuple[int, Exam]:
        """An ordinary examination with its case."""
        plain = [case.number for case in self.day.cases if case.kind is Kind.SCHEDULED]
        return plain[number], self.played.exams[plain[number]][0]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder: Path = tmp_path_factory.mktemp("report")
    port = free_port()
    day = make_day(1, 8, ["US", "CR"], 41, date(2026, 11, 24), faults=False, merges=False)
    with running_server(folder, config=HL7.format(port=port)) as server, department(server) as desk:

        async def play() -> Played:
            equipment = Equipment(
                partners(server), Destination(name="hl7", host="127.0.0.1", port=port), folder / "disks"
            )
            hospital = Hospital(day, equipment, JumpingClock(starts_at(day)))
            told = await hospital.listener.start("127.0.0.1", 0)
            simulate_setup.department(day.stations, day.procedures, told, data=server.data, config=None)
            try:
                return await hospital.play(60)
            finally:
                await hospital.listener.stop()

        played = asyncio.run(play())
        past = Past(day, played, desk)
        asyncio.run(listed_in_time(day, played, OwnHouse(desk.archive, day.prefix), 60))
        yield past


def test_a_right_day_is_right(past: Past) -> None:
    report = past.report()
    assert report.troubles == [] and report.good
    assert report.figures["done"] + report.figures["never_to_be_done"] == 8
    assert report.lists["did not come"] == 1 and report.lists["no order"] == 1


def test_an_acknowledged_image_that_is_gone_is_missed(past: Past) -> None:
    number, exam = past.exam()
    ghost = Image(exam.images[0].sop_class, "1.2.826.0.1.999", exam.images[0].series, stored=True, reason=0)
    exam.images.append(ghost)
    try:
        found = past.report().troubles
    finally:
        exam.images.remove(ghost)
    assert any(f"case {number} " in one and "acknowledged images are not there" in one for one in found)
    assert any("images came back" in one for one in found)


def test_other_pixels_are_seen(past: Past) -> None:
    _, exam = past.exam()
    right, exam.images[0].digest = exam.images[0].digest, "0" * 64
    try:
        (found,) = past.report().troubles
    finally:
        exam.images[0].digest = right
    assert "other pixels" in found


def test_a_patient_who_is_somebody_else_is_seen_unless_on_a_list(past: Past) -> None:
    number, _ = past.exam()
    cases = tuple(
        dataclasses.replace(case, truth=dataclasses.replace(case.truth, id="S41D1-other"))
        if case.number == number
        else case
        for case in past.day.cases
    )
    (found,) = past.report(dataclasses.replace(past.day, cases=cases)).troubles
    assert "another patient" in found


def test_a_step_that_is_in_another_state_and_images_that_were_not_committed_are_seen(past: Past) -> None:
    _, exam = past.exam(1)
    exam.outcome, image = "DISCONTINUED", exam.images[0]
    image.reason = 0x0110
    try:
        found = past.report().troubles
    finally:
        exam.outcome, image.reason = "COMPLETED", 0
    assert any("COMPLETED, not DISCONTINUED" in one for one in found)
    assert any("not committed to: 0110" in one for one in found)
    assert any("without a guarantee" in one for one in found)


def test_a_study_that_nobody_made_and_a_step_that_nobody_did_are_seen(past: Past, tmp_path: Path) -> None:
    number, _ = past.exam(1)
    past.desk.setup(("ORPHAN", "US"))
    scanner = machine(past.desk.server, tmp_path, "ORPHAN", "US")
    (orphan,) = scanner.run(unplanned=typed(f"{past.day.prefix}orphan", "Nobody^At All")).done
    forgotten = past.played.exams.pop(number)
    try:
        found = past.report().troubles
    finally:
        past.played.exams[number] = forgotten
    assert any("orphan" in one and orphan.study in one for one in found)
    assert any(f"case {number} " in one and "never done" in one for one in found)
