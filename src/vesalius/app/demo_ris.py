"""A day of a small department for a first start: stations, a catalogue, patients, orders and a schedule.

Nobody bears these names. Doing it twice changes nothing: a patient who is there already has their orders.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from vesalius.app.wiring import Archive
from vesalius.model.errors import SlotTaken
from vesalius.model.orders import By, Code, Hours, Identifier, Order, Patient, Priority, Procedure, RequestedProcedure
from vesalius.model.orders import Station as Machine
from vesalius.ports.ris import RisWork
from vesalius.ris import catalogue, orders, patients, schedule

_HOURS = (Hours("1234567", "0700", "2000"),)
_STATIONS = (
    Machine("CT1", "CT 1", "CT", "Radiology", "Room 1", hours=_HOURS),
    Machine("MR1", "MR 1", "MR", "Radiology", "Room 2", hours=_HOURS),
    Machine("US1", "Ultrasound 1", "US", "Radiology", "Room 3", hours=_HOURS),
    Machine("DX1", "X-ray 1", "DX", "Radiology", "Room 4"),
)
_PROCEDURES = (
    ("CTHEAD", "CT of the head", "CT", 20, "HEAD", "CT1"),
    ("CTCHEST", "CT of the chest", "CT", 20, "CHEST", "CT1"),
    ("MRBRAIN", "MR of the brain", "MR", 45, "BRAIN", "MR1"),
    ("MRKNEE", "MR of the knee", "MR", 30, "KNEE", "MR1"),
    ("USABDO", "Ultrasound of the abdomen", "US", 20, "ABDOMEN", "US1"),
    ("DXCHEST", "X-ray of the chest", "DX", 10, "CHEST", "DX1"),
)
_PEOPLE = (
    ("DEMO-11", "Sample^Berta", "19480317", "F", ("CTHEAD",), Priority.ROUTINE),
    ("DEMO-12", "Muster^Anton", "19710902", "M", ("CTCHEST", "DXCHEST"), Priority.HIGH),
    ("DEMO-13", "Exemple^Zoé", "19900123", "F", ("MRKNEE",), Priority.ROUTINE),
    ("DEMO-14", "Mihon^Ichirou=見本^一郎=みほん^いちろう", "19650505", "M", ("MRBRAIN",), Priority.ROUTINE),
    ("DEMO-15", "Unknown^Demo", "", "O", ("CTHEAD",), Priority.STAT),
    ("DEMO-16", "Esempio^Lucia", "20010611", "F", ("USABDO",), Priority.ROUTINE),
)


def load(archive: Archive, today: datetime | None = None) -> int:
    """Fill the workflow; how many steps were planned."""
    day = (today or datetime.now()).replace(hour=8, minute=0, second=0, microsecond=0)  # the hospital's own time
    by = By("demo", archive.clock.utc(), "something to look at")

    def work(unit: RisWork) -> int:
        for station in _STATIONS:
            catalogue.save_station(unit, by, station)
        for code, name, modality, minutes, part, aet in _PROCEDURES:
            meaning = Code(code, "99DEMO", name)
            catalogue.save_procedure(
                unit, by, Procedure(meaning, name, modality, minutes, body_part=part, stations=(aet,))
            )
        return sum(_order(archive, unit, by, person, day) for person in _PEOPLE)

    return archive.ris.change(work)


def _order(
    archive: Archive,
    unit: RisWork,
    by: By,
    person: tuple[str, str, str, str, tuple[str, ...], Priority],
    day: datetime,
) -> int:
    value, name, birth_date, sex, codes, priority = person
    rules = archive.ris_rules
    if patients.find(unit, Identifier(value), rules) is not None:
        return 0
    patient = patients.add(
        unit, by, Patient(Identifier(value), name, birth_date, sex, unidentified=name.startswith("Unknown")), rules
    )
    rows = [row for row in _PROCEDURES if row[0] in codes]
    wanted = [RequestedProcedure(0, 0, code=Code(row[0], "99DEMO", row[1]), description=row[1]) for row in rows]
    order = Order(patient.ref, priority=priority, ordering="House^Rita^^Dr.", reason="Demonstration")
    _, made = orders.place(unit, by, order, wanted, rules)
    for requested, row in zip(made, rows, strict=True):
        _plan(archive, unit, by, requested.ref, row[5], row[3], day)
    return len(made)


def _plan(archive: Archive, unit: RisWork, by: By, procedure: int, station: str, minutes: int, day: datetime) -> None:
    """The first time that is free."""
    for slot in range(0, 12 * 60, 15):
        start = (day + timedelta(minutes=slot)).strftime("%Y%m%d%H%M")
        try:
            schedule.schedule(unit, by, procedure, station, start, archive.ris_rules, minutes=minutes)
        except SlotTaken:
            continue
        return
