"""`vesalius modality` against a real `vesalius serve`: right, with each fault, and through a power cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.commitments import until
from tests.support.department import TODAY, Department, department, machine
from tests.support.server import Server, running_server, vesalius

from vesalius.cli.modality import Fault, Makes
from vesalius.simulate.faults import FAULTS
from vesalius.simulate.habits import PowerCut
from vesalius.simulate.phantom import KINDS


def test_the_command_offers_every_fault_and_every_kind_of_device() -> None:
    assert {one.value for one in Fault} == set(FAULTS)
    assert {one.value for one in Makes} == set(KINDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("modality")) as running:
        yield running


@pytest.fixture(scope="module")
def desk(server: Server) -> Iterator[Department]:
    with department(server) as made:
        made.setup(("SIM1", "CT"), ("SIM2", "MR"), ("MR9", "MR"))
        yield made


def command(server: Server, disk: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """`vesalius modality`: its exit code and what it said."""
    done = vesalius(
        "modality", "--json", "--slices", "4", "--size", "32", "--folder", disk, "--archive",
        f"VESALIUS@127.0.0.1:{server.dimse_port}", "--patience", "60", *words, data=server.data, check=False,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_command_goes_from_worklist_to_guarantee_and_only_then_deletes(
    server: Server, desk: Department, tmp_path: Path
) -> None:
    _, procedure, step = desk.plan("M-1", "MR9", f"{TODAY}1000", modality="MR")
    code, said = command(server, tmp_path, "--station", "MR9", "--modality", "MR", "--setup")
    assert code == 0, said
    assert [one["event"] for one in said] == [
        "begun", "mpps", "acquired", "stored", "mpps", "commitment-asked", "commitment", "deleted",
    ]  # fmt: skip
    assert "Roe" not in str(said)
    assert list(tmp_path.rglob("*.dcm")) == []
    assert desk.step(step.ref).state == "COMPLETED"
    assert desk.images(procedure.study_uid) == 4
    (done,) = desk.performed(procedure.study_uid)
    assert (done.state, done.station, done.expected) == ("COMPLETED", "MR9", 4)


def test_the_power_fails_in_the_middle_and_the_command_carries_on(
    server: Server, desk: Department, tmp_path: Path
) -> None:
    _, procedure, step = desk.plan("M-2", "SIM1", f"{TODAY}1000")
    code, said = command(server, tmp_path, "--station", "SIM1", "--fault", "power-cut")
    assert code == -9 and [one["event"] for one in said] == ["begun", "mpps", "acquired"]
    assert len(list(tmp_path.rglob("*.dcm"))) == 4, "its disk outlives it"
    assert desk.step(step.ref).state == "STARTED"
    code, said = command(server, tmp_path, "--station", "SIM1")
    assert code == 4, "nothing new is on the worklist"
    assert [one["event"] for one in said][-1] == "deleted" and list(tmp_path.rglob("*.dcm")) == []
    assert desk.step(step.ref).state == "COMPLETED"
    assert desk.images(procedure.study_uid) == 4


def test_an_unscheduled_patient_needs_neither_worklist_nor_setup(server: Server, tmp_path: Path) -> None:
    """Nobody knows this device: the result comes on the association of the request."""
    code, said = command(server, tmp_path, "--station", "STRANGER", "--unscheduled", "EM-1", "--name", "Unknown^Male")
    assert code == 0 and [one["event"] for one in said][-2:] == ["commitment", "deleted"]


def test_nobody_there_is_exit_code_3(tmp_path: Path) -> None:
    done = vesalius("modality", "--archive", "PACS@127.0.0.1:1", "--folder", tmp_path / "disk", check=False)
    assert done.returncode == 3 and "Traceback" not in done.stderr


def test_an_empty_worklist_is_exit_code_4_and_a_lost_image_1(server: Server, desk: Department, tmp_path: Path) -> None:
    _, procedure, _ = desk.plan("M-3", "SIM2", f"{TODAY}1000", modality="MR")
    code, said = command(server, tmp_path, "--station", "SIM2", "--modality", "MR", "--fault", "lost-images", "--setup")
    (result,) = [one for one in said if one["event"] == "commitment"]
    assert (code, result["committed"], result["failed"]) == (1, 3, 1)
    assert desk.images(procedure.study_uid) == 3
    assert command(server, tmp_path, "--station", "SIM2", "--modality", "MR")[0] == 4


# -- the faults, by the same scanner in this process


@dataclass
class Outcome:
    """What a fault must come to."""

    state: str
    images: int
    kept: int = 0  # files that stay on the scanner's disk
    performed: int = 1


WANTED = {
    "no-commit": Outcome("COMPLETED", 4, kept=4),
    "duplicate-send": Outcome("COMPLETED", 4),
    "late-mpps": Outcome("COMPLETED", 4),
    "discontinued": Outcome("DISCONTINUED", 2),
    "append": Outcome("COMPLETED", 8, performed=2),
    "wrong-charset": Outcome("COMPLETED", 4),
}


@pytest.mark.parametrize("fault", WANTED)
def test_a_fault_ends_as_it_should(server: Server, desk: Department, tmp_path: Path, fault: str) -> None:
    aet = f"F{list(WANTED).index(fault)}"
    desk.setup((aet, "CT"))
    _, procedure, step = desk.plan(f"F-{fault}", aet, f"{TODAY}1000", name="Müller^Käthe")
    scanner = machine(server, tmp_path, aet)
    shift = scanner.run(fault)
    wanted = WANTED[fault]
    assert shift.left == 0
    assert desk.step(step.ref).state == wanted.state
    assert {one.state for one in desk.performed(procedure.study_uid)} == {wanted.state}
    assert len(desk.performed(procedure.study_uid)) == wanted.performed
    assert desk.images(procedure.study_uid) == wanted.images
    assert len(scanner.files()) == wanted.kept


@pytest.mark.parametrize("fault", ["power-cut-stored", "power-cut-asked"])
def test_a_power_cut_at_any_stage_is_carried_on_with(
    server: Server, desk: Department, tmp_path: Path, fault: str
) -> None:
    aet = f"P-{fault[10:]}"
    desk.setup((aet, "CT"))
    _, procedure, step = desk.plan(f"P-{fault}", aet, f"{TODAY}1000")
    scanner = machine(server, tmp_path, aet)
    with pytest.raises(PowerCut):
        scanner.run(fault)
    assert len(scanner.files()) == 4
    shift = scanner.run()
    assert (shift.left, shift.empty, scanner.files()) == (0, True, [])
    assert desk.step(step.ref).state == "COMPLETED"
    assert desk.images(procedure.study_uid) == 4


def test_a_mistyped_patient_is_on_the_list_to_reconcile(server: Server, desk: Department, tmp_path: Path) -> None:
    desk.setup(("TYPO", "CT"))
    _, procedure, step = desk.plan("M-560", "TYPO", f"{TODAY}1000")
    machine(server, tmp_path, "TYPO").run("wrong-patient")
    assert desk.step(step.ref).state == "COMPLETED"
    until(lambda: desk.items(procedure.study_uid))
    assert desk.items(procedure.study_uid)[0].trouble == "wrong-patient"
