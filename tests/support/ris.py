"""A small hospital for tests: stations, a catalogue, patients and orders, over any store of the workflow."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

from vesalius.model.entities import Values
from vesalius.model.orders import (
    By,
    Code,
    Identifier,
    Order,
    Patient,
    Procedure,
    RequestedProcedure,
    ScheduledStep,
    Station,
)
from vesalius.ports.ris import Ris
from vesalius.ris import catalogue, orders, patients, performed_steps, schedule
from vesalius.ris.rules import RisRules

NOW = "2026-11-24T09:00:00.000000Z"
TODAY = "20261124"
RULES = RisRules(default_issuer="HOSP")
_numbers = itertools.count(1)


def by(who: str = "tester", why: str = "", at: str = NOW) -> By:
    return By(who, at, why)


@dataclass
class Hospital:
    """What the tests do all the time, each in one transaction."""

    ris: Ris
    rules: RisRules = RULES

    def stations(self) -> None:
        def work(unit: Any) -> None:
            for aet, modality, department in (("CT1", "CT", "RAD"), ("MR1", "MR", "RAD"), ("US1", "US", "GYN")):
                catalogue.save_station(unit, by(), Station(aet, f"{aet} room", modality, department))
            catalogue.save_procedure(
                unit, by(), Procedure(Code("CTHEAD", "99V", "CT of the head"), "CT head", "CT", 20)
            )

        self.ris.change(work)

    def patient(self, value: str = "", name: str = "Doe^Jane", **fields: Any) -> Patient:
        value = value or f"P{next(_numbers)}"
        made = Patient(Identifier(value), name, **({"birth_date": "19700101", "sex": "F"} | fields))
        return self.ris.change(lambda unit: patients.add(unit, by(), made, self.rules))

    def order(self, patient: Patient, description: str = "CT head", **fields: Any) -> tuple[Order, RequestedProcedure]:
        procedure = RequestedProcedure(0, 0, description=description, code=Code("CTHEAD", "99V", description))
        order, made = self.ris.change(
            lambda unit: orders.place(unit, by(), Order(patient.ref, **fields), [procedure], self.rules)
        )
        return order, made[0]

    def step(
        self, procedure: RequestedProcedure, station: str = "CT1", start: str = TODAY + "1000", **fields: Any
    ) -> ScheduledStep:
        return self.ris.change(
            lambda unit: schedule.schedule(unit, by(), procedure.ref, station, start, self.rules, **fields)
        )

    def planned(self, value: str = "", **fields: Any) -> tuple[Patient, Order, RequestedProcedure, ScheduledStep]:
        """One patient with one order that is planned."""
        patient = self.patient(value, **fields)
        order, procedure = self.order(patient)
        minute = next(_numbers)
        day = f"2027{minute // 24 // 28 % 12 + 1:02}{minute // 24 % 28 + 1:02}{minute % 24:02}00"
        return patient, order, procedure, self.step(procedure, start=day)

    def begin(self, uid: str, step: ScheduledStep | None = None, **fields: Any) -> Any:
        """N-CREATE."""
        values = self.create_values(step, **fields)
        return self.ris.change(lambda unit: performed_steps.create(unit, by("CT1"), uid, values, self.rules))

    def create_values(self, step: ScheduledStep | None, patient_id: str = "", study: str = "1.2.3") -> Values:
        item: Values = {0x0020000D: (study,)}
        if step is not None:

            def look(view: Any) -> Values:
                procedure = view.get(RequestedProcedure, step.procedure)
                order = view.get(Order, step.order)
                return {
                    0x0020000D: (procedure.study_uid,),
                    0x00080050: (order.accession,),
                    0x00401001: (procedure.number,),
                    0x00400009: (step.number,),
                }

            item = self.ris.look(look)
        return {
            0x00400252: ("IN PROGRESS",),
            0x00400270: (item,),
            0x00100020: (patient_id,) if patient_id else (),
            0x00400253: ("PPS1",),
            0x00400241: ("CT1",),
            0x00080060: ("CT",),
            0x00400244: (TODAY,),
            0x00400245: ("100000",),
            0x00400340: (),
        }

    def end(self, uid: str, status: str = "COMPLETED", images: dict[str, list[str]] | None = None) -> Any:
        """N-SET."""
        series = tuple(
            {0x0020000E: (name,), 0x00081140: tuple({0x00081155: (image,)} for image in found)}
            for name, found in (images or {}).items()
        )
        values: Values = {0x00400252: (status,), 0x00400340: series}
        return self.ris.change(lambda unit: performed_steps.update(unit, by("CT1"), uid, values, self.rules))

    def get(self, noun: Any) -> Any:
        return self.ris.look(lambda view: view.get(type(noun), noun.ref))

    def with_rules(self, **changes: Any) -> Hospital:
        return Hospital(self.ris, dataclasses.replace(self.rules, **changes))
