"""Downtime of each partner: nothing is lost, nothing is done twice, and what waited is made up for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.scheduled_workflow.conftest import Site, admit, order
from tests.support.commitments import until
from tests.support.department import TODAY, department, machine
from tests.support.server import Server, running_server, start_server

from vesalius.model.orders import Identifier
from vesalius.simulate.exams import load
from vesalius.simulate.items import typed

pytestmark = pytest.mark.timeout(600)  # servers are stopped and started


def test_the_archive_is_down_and_the_scanner_keeps_its_images_until_it_is_back(tmp_path: Path) -> None:
    with running_server(tmp_path / "ris") as ris, department(ris) as desk:
        desk.setup(("DOWN1", "CT"))
        archive = start_server(tmp_path / "archive" / "data")
        scanner = machine(archive, tmp_path, "DOWN1")
        scanner.worklist = ris
        _, _, step = desk.plan("DOWN-1", "DOWN1", f"{TODAY}1000")
        scanner.on["acquired"] = archive.stop
        try:
            shift = scanner.run(patience=1)
        finally:
            archive.stop()
        assert shift.left == 1 and len(scanner.files()) == 4
        assert "partner-away" in scanner.heard()
        assert desk.step(step.ref).state == "COMPLETED", "the RIS was there, and knows"
        again = start_server(tmp_path / "archive" / "data")
        try:
            scanner.server = again
            shift = scanner.run()
            assert (shift.left, scanner.files()) == (0, [])
            (exam,) = load(scanner.disk)
            assert images_of(again, exam.study) == 4
        finally:
            again.stop()


def test_the_ris_is_down_and_hears_of_the_examination_when_it_is_back(tmp_path: Path) -> None:
    with running_server(tmp_path / "archive") as archive:
        ris = start_server(tmp_path / "ris" / "data")
        try:
            with department(ris) as desk:
                desk.setup(("DOWN2", "CT"))
                _, procedure, step = desk.plan("DOWN-2", "DOWN2", f"{TODAY}1000")
            scanner = machine(archive, tmp_path, "DOWN2")
            scanner.worklist = ris
            scanner.on["begun"] = ris.stop  # the worklist was asked, MPPS was not told yet
            shift = scanner.run(patience=1)
        finally:
            ris.stop()
        assert "stored" in scanner.heard() and images_of(archive, procedure.study_uid) == 4, "images do not wait"
        assert shift.left == 1
        with running_server(tmp_path / "ris") as again, department(again) as desk:
            assert desk.step(step.ref).state == "SCHEDULED"
            scanner.worklist = again
            shift = scanner.run()
            assert (shift.left, shift.empty, scanner.files()) == (0, True, [])
            assert desk.step(step.ref).state == "COMPLETED"
            assert [one.state for one in desk.performed(procedure.study_uid)] == ["COMPLETED"]


def test_an_hl7_partner_is_down_and_is_told_everything_once_and_in_order(site: Site) -> None:
    scanner = site.scanner("DOWN3")
    site.says(admit("DOWN-3", "Sample^Nils"))
    site.epr.stop()
    site.says(order("DOWN-3", "Sample^Nils", "PD-3", station="DOWN3"))
    (exam,) = scanner.run().done
    assert site.desk.order(placer=Identifier("PD-3")).state == "COMPLETED"
    assert site.told("PD-3") == []
    site.epr.start()
    until(lambda: {"ORM", "ORU"} <= {one.type for one in site.told("PD-3") if one.value("ORC", 5) == "CM"})
    states = [one.value("ORC", 5) for one in site.told("PD-3") if one.type == "ORM"]
    assert states[-2:] == ["IP", "CM"] and len(states) == len(set(states))
    numbers = [one.control_id for one in site.told("PD-3")]
    assert len(numbers) == len(set(numbers))
    assert exam.deleted


def test_the_his_is_down_and_an_emergency_is_done_without_it(site: Site) -> None:
    """Nothing is ordered and nobody is registered: the images are kept, and on the list when the HIS is back."""
    scanner = site.scanner("DOWN4")
    (exam,) = scanner.run(unplanned=typed("DOWN-4", "Unknown^Female")).done
    assert exam.deleted
    site.says(admit("DOWN-4", "Unknown^Female", ""))
    until(lambda: site.desk.items(exam.study))
    assert site.desk.items(exam.study)[0].trouble == "no-order"


def images_of(server: Server, study: str) -> int:
    with department(server) as desk:
        return desk.images(study)
