"""A department around a running server: what its desk does, and scanners that work in this process.

The desk uses the verbs of the workflow on the same data directory as the service, as `vesalius ris` does; the scanners
are the simulated ones over real sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.server import Server
from vesalius.app.settings_load import load
from vesalius.app.wiring import Archive, build
from vesalius.cli import simulate_setup
from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import Level, Peer
from vesalius.model.orders import (
    By,
    Code,
    Identifier,
    Item,
    Order,
    Patient,
    PerformedStep,
    RequestedProcedure,
    ScheduledStep,
)
from vesalius.ris import orders, patients, reconcile, schedule
from vesalius.simulate import modality
from vesalius.simulate.habits import Habits, Told
from vesalius.simulate.lines import Line, Partners
from vesalius.simulate.phantom import Device

TODAY = "20261124"


@dataclass
class Department:
    """The desk."""

    server: Server
    archive: Archive

    def by(self, why: str = "") -> By:
        return By("desk", self.archive.clock.utc(), why)

    def setup(self, *stations: tuple[str, str]) -> None:
        """Stations and one procedure for each modality: SIMCT, SIMMR, ..."""
        kinds = {modality for _, modality in stations}
        catalog = [(f"SIM{one}", f"{one} of a phantom", one, 10) for one in sorted(kinds)]
        simulate_setup.department(stations, catalog, 1, data=self.server.data, config=None)

    def plan(
        self, patient: str, station: str, start: str, *, modality: str = "CT", name: str = "Roe^Rita"
    ) -> tuple[Order, RequestedProcedure, ScheduledStep]:
        """A patient, an order and a step."""
        rules = self.archive.ris_rules

        def work(unit: Any) -> tuple[Order, RequestedProcedure, ScheduledStep]:
            person = patients.add_or_update(unit, self.by(), Patient(Identifier(patient), name, "19700101", "F"), rules)
            code = Code(f"SIM{modality}", "99SIM", f"{modality} of a phantom")
            wanted = RequestedProcedure(0, 0, code=code, description=code.meaning)
            order, made = orders.place(unit, self.by(), Order(person.ref), [wanted], rules)
            step = schedule.schedule(unit, self.by(), made[0].ref, station, start, rules)
            return order, made[0], step

        return self.archive.ris.change(work)

    def step(self, ref: int) -> ScheduledStep:
        return self.archive.ris.look(lambda view: view.get(ScheduledStep, ref))

    def steps(self) -> list[ScheduledStep]:
        return self.archive.ris.look(lambda view: view.find(ScheduledStep))

    def order(self, **numbers: Any) -> Order:
        found = self.archive.ris.look(lambda view: orders.by_number(view, **numbers))
        assert found is not None, numbers
        return found

    def performed(self, study: str) -> list[PerformedStep]:
        return self.archive.ris.look(lambda view: view.find(PerformedStep, study_uid=study))

    def items(self, study: str = "") -> list[Item]:
        found = self.archive.ris.look(reconcile.items)
        return [one for one in found if study in ("", one.study)]

    def events(self, kind: str) -> list[Any]:
        return [one for one in self.archive.ris.look(lambda view: view.events(0, limit=10_000)) if one.kind == kind]

    def images(self, study: str) -> int:
        """How many instances of a study the index knows."""
        return sum(1 for _ in self.archive.index.select(Level.IMAGE, studies=(study,)))


@contextmanager
def department(server: Server) -> Iterator[Department]:
    archive = build(load({"data": str(server.data)}))
    try:
        yield Department(server, archive)
    finally:
        archive.close()


@dataclass
class Machine:
    """A simulated scanner that works in this process."""

    server: Server
    device: Device
    disk: Path
    said: list[Told] = field(default_factory=list)
    worklist: Server | None = None  # another machine than the archive
    on: dict[str, Callable[[], object]] = field(default_factory=dict)  # what happens when it says so, once

    def _told(self, one: Told) -> None:
        self.said.append(one)
        then = self.on.pop(one.what, None)
        if then is not None:
            then()

    def run(self, fault: str = "", *, setup: bool = True, **orders: Any) -> modality.Shift:
        """One shift: by default one examination of what is planned."""
        self.said.clear()

        def ready(port: int) -> None:
            if setup:
                simulate_setup.station(self.device.aet, self.device.modality, port, data=self.server.data, config=None)

        return asyncio.run(
            modality.work(
                self.device,
                self.disk,
                partners(self.server, worklist=self.worklist),
                modality.Orders(fault=fault, **orders),
                ready=ready,
                told=self._told, habits=Habits(linger=5.0, patience=10.0),
            )
        )  # fmt: skip

    def heard(self) -> list[str]:
        return [one.what for one in self.said]

    def files(self) -> list[Path]:
        return sorted(self.disk.rglob("*.dcm"))


def machine(server: Server, folder: Path, aet: str, kind: str = "CT", slices: int = 4) -> Machine:
    return Machine(server, Device(aet, kind, size=32, slices=slices), folder / aet)


def partners(server: Server, *, worklist: Server | None = None) -> Partners:
    """Lines to a server; `worklist` may be another one."""
    archive = Line(Peer("archive", "127.0.0.1", server.dimse_port, "VESALIUS"), DimseSettings(connect=10))
    plan = archive
    if worklist is not None:
        plan = Line(Peer("worklist", "127.0.0.1", worklist.dimse_port, "VESALIUS"), DimseSettings(connect=10))
    return Partners(plan, plan, archive, archive)
