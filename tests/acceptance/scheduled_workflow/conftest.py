"""A hospital for a test: its information system, the department, its scanners, and a reader who asks for images."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.dcmtk import free_port
from tests.support.department import TODAY, Department, Machine, department, machine
from tests.support.mllp import Destination, Mllp, destination
from tests.support.server import Server, running_server

from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import Peer
from vesalius.simulate.fetch import Archive, Found
from vesalius.simulate.lines import Line
from vesalius.wire.hl7_message import Message

CONFIG = """
[hl7]
listen = true
port = {port}
retry_first = 0.2
retry_longest = 1.0

[[hl7.sources]]
name = "HIS"
application = "HIS"
merges = true

[[hl7.destinations]]
name = "EPR"
host = "127.0.0.1"
port = {told}
sends = ["orders", "images"]
"""
_numbers = itertools.count(1)


@dataclass
class Site:
    """Everybody who takes part."""

    server: Server
    desk: Department
    his: Mllp
    epr: Destination  # is told of orders and images
    disks: Path

    def scanner(self, aet: str, kind: str = "CT") -> Machine:
        """A scanner that the department knows from now on."""
        self.desk.setup((aet, kind))
        return machine(self.server, self.disks, aet, kind)

    def says(self, text: str) -> None:
        """The HIS sends a message, and it is taken."""
        answer = self.his.ask(text)
        assert answer.value("MSA", 1) == "AA", answer.text()

    def studies(self, **keys: str) -> list[Found]:
        """What a workstation finds, with every instance."""
        line = Line(Peer("archive", "127.0.0.1", self.server.dimse_port, "VESALIUS"), DimseSettings())
        archive = Archive(line, "READER")

        async def ask() -> list[Found]:
            found = await archive.studies(**keys)
            for one in found:
                await archive.fill(one)
            return found

        return asyncio.run(ask())

    def told(self, placer: str) -> list[Message]:
        """What the EPR was told of an order."""
        return [one for one in list(self.epr.received) if one.value("ORC", 2) == placer]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hospital")
    port = free_port()
    with destination() as epr:
        config = CONFIG.format(port=port, told=epr.port)
        with running_server(folder, config=config) as server, department(server) as desk, Mllp(port) as his:
            yield Site(server, desk, his, epr, folder / "disks")


# -- what a HIS says


def _head(kind: str) -> str:
    return f"MSH|^~\\&|HIS|HOSPITAL|VESALIUS||20261124080000||{kind}|IHE{next(_numbers):06}|P|2.5.1||||||UNICODE UTF-8"


def person(patient: str, name: str, birth_date: str = "", sex: str = "F") -> str:
    return f"PID|1||{patient}^^^^MR||{name}||{birth_date}|{sex}"


def admit(patient: str, name: str, birth_date: str = "19700101", *, event: str = "A04") -> str:
    """RAD-1 and RAD-12: registered, or updated (A08)."""
    return "\r".join(
        (_head(f"ADT^{event}^ADT_A01"), f"EVN|{event}|20261124080000", person(patient, name, birth_date), "PV1|1|E|ER")
    )


def merge(kept: str, name: str, gone: str) -> str:
    """RAD-12: one patient after all."""
    return "\r".join((_head("ADT^A40^ADT_A39"), "EVN|A40|20261124080000", person(kept, name), f"MRG|{gone}^^^^MR"))


def order(
    patient: str, name: str, placer: str, *, control: str = "NW", station: str = "CT1", start: str = f"{TODAY}1000",
    modality: str = "CT", priority: str = "R",
) -> str:  # fmt: skip
    """RAD-4 as OMI^O23: placed (NW), changed (XO), cancelled (CA)."""
    return "\r".join(
        (
            _head("OMI^O23^OMI_O23"),
            person(patient, name),
            "PV1|1|O|RAD",
            f"ORC|{control}|{placer}||||||||||^House^Rita^^^Dr.",
            f"TQ1|1|||||10^min|{start}||{priority}",
            f"OBR|1|{placer}||SIM{modality}^{modality} of a phantom^99SIM",
            f"IPC||||{modality}||||{station}".replace("IPC||||", "IPC|||||"),
        )
    )
