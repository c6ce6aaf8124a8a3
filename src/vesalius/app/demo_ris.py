"""A day of a small department for a first start: stations, a catalogue, patients, orders and a schedule.

Nobody bears these names. Where studies were loaded, the first of them are given the orders that they came from, so that
an appointment of this morning leads to its images. What lies behind us at the time of loading is done, what is due now
is in the machine or in the waiting room. Doing it twice changes nothing: a patient who
is there already has their orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vesalius.app.wiring import Archive
from vesalius.model.errors import SlotTaken
from vesalius.model.orders import (
    By,
    Code,
    Hours,
    Identifier,
    Order,
    Patient,
    Priority,
    Procedure,
    RequestedProcedure,
    ScheduledStep,
)
from vesalius.model.orders import Station as Machine
from vesalius.model.steps import StepVerb
from vesalius.ports.ris import RisWork, StudyFacts
from vesalius.ris import catalogue, orders, patients, schedule

_HOURS = (Hours("12345", "0700", "1900"), Hours("67", "0800", "1400"))
_STATIONS = (
    Machine("CT1", "CT 1", "CT", "Radiology", "Room 1", hours=_HOURS),
    Machine("MR1", "MR 1", "MR", "Radiology", "Room 2", hours=_HOURS),
    Machine("US1", "Ultrasound 1", "US", "Radiology", "Room 3", hours=_HOURS),
    Machine("DX1", "X-ray 1", "DX", "Emergency", "Room 4"),
)
_PROCEDURES = (
    ("CTHEAD", "CT of the head", "CT", 20, "HEAD", "CT1", ""),
    ("CTCHEST", "CT of the chest", "CT", 25, "CHEST", "CT1", "Creatinine not older than three days."),
    ("CTABDO", "CT of the abdomen", "CT", 30, "ABDOMEN", "CT1", "Nothing to eat for four hours; contrast by mouth."),
    ("MRBRAIN", "MR of the brain", "MR", 45, "BRAIN", "MR1", "No metal; ask for a pacemaker."),
    ("MRKNEE", "MR of the knee", "MR", 30, "KNEE", "MR1", "No metal; ask for a pacemaker."),
    ("USABDO", "Ultrasound of the abdomen", "US", 20, "ABDOMEN", "US1", "Nothing to eat for six hours."),
    ("USTHYR", "Ultrasound of the thyroid", "US", 15, "THYROID", "US1", ""),
    ("DXCHEST", "X-ray of the chest", "DX", 10, "CHEST", "DX1", ""),
    ("DXHAND", "X-ray of the hand", "DX", 10, "HAND", "DX1", ""),
)
_LIKE = {"CT": "CTHEAD", "MR": "MRBRAIN", "US": "USABDO", "DX": "DXCHEST", "CR": "DXCHEST"}
_LOADED = 6  # studies that get an order


@dataclass(frozen=True, slots=True)
class _Person:
    number: int
    name: str
    birth_date: str
    sex: str
    codes: tuple[str, ...]
    at: str  # HHMM from which a time is looked for; empty: the order waits for one
    reason: str
    priority: Priority = Priority.ROUTINE
    missed: bool = False
    day: int = 0


_PEOPLE = (
    _Person(11, "Sample^Berta", "19480317", "F", ("CTHEAD",), "0800", "Fall two days ago, headache"),
    _Person(12, "Muster^Anton", "19710902", "M", ("CTCHEST", "DXCHEST"), "0830", "Cough for six weeks", Priority.HIGH),
    _Person(13, "Exemple^Zoé", "19900123", "F", ("MRKNEE",), "0800", "Torn meniscus?"),
    _Person(14, "Mihon^Ichirou=見本^一郎=みほん^いちろう", "19650505", "M", ("MRBRAIN",), "0900", "First seizure"),
    _Person(15, "Unknown^Demo", "", "O", ("CTHEAD",), "1100", "Found unconscious", Priority.STAT),
    _Person(16, "Esempio^Lucia", "20010611", "F", ("USABDO",), "0800", "Pain in the right upper abdomen"),
    _Person(17, "Muster^Antonia", "19710209", "F", ("USTHYR",), "0930", "Nodule on the left, control"),
    _Person(18, "Ejemplo^Inés", "19580430", "F", ("CTABDO",), "0945", "Staging"),
    _Person(19, "Przykład^Jan", "19830719", "M", ("DXHAND",), "0900", "Fall on the right hand"),
    _Person(20, "Voorbeeld^Saskia", "19951203", "F", ("MRBRAIN",), "1030", "Multiple sclerosis, control"),
    _Person(21, "Vzor^Karel", "19621111", "M", ("USABDO",), "1045", "Liver values raised"),
    _Person(22, "Esimerkki^Aino", "20150822", "F", ("DXHAND",), "1015", "Growth", missed=True),
    _Person(23, "Paradeigma^Eleni", "19770914", "F", ("CTCHEST",), "1300", "Pulmonary embolism?", Priority.STAT),
    _Person(24, "Beispiel^Otto", "19400101", "M", ("CTABDO",), "1400", "Control after three months"),
    _Person(25, "Primer^Ana", "19880606", "F", ("MRKNEE",), "1330", "Pain when climbing stairs"),
    _Person(26, "Pavyzdys^Jonas", "19691224", "M", ("MRBRAIN",), "1430", "Dizziness"),
    _Person(27, "Eksempel^Ida", "20080303", "F", ("USTHYR",), "1315", "Enlarged thyroid"),
    _Person(28, "Näide^Tiit", "19551010", "M", ("DXCHEST",), "1400", "Before an operation"),
    _Person(36, "Príklad^Milan", "19790320", "M", ("CTHEAD",), "1515", "Dizziness after a fall"),
    _Person(37, "Örnek^Deniz", "19860917", "O", ("MRKNEE",), "1545", "Swelling"),
    _Person(38, "Beispiel^Olga", "19401001", "F", ("USABDO",), "1530", "Gallstones?"),
    _Person(39, "Exempel^Nils", "20120505", "M", ("DXHAND",), "1600", "Fall from a bicycle", Priority.HIGH),
    _Person(40, "Pelda^Zsofia", "19921212", "F", ("CTABDO",), "1630", "Appendicitis?", Priority.HIGH),
    _Person(29, "Sýnishorn^Björk", "19730417", "F", ("MRBRAIN",), "", "Migraine, getting worse"),
    _Person(30, "Mithal^Ali", "19991130", "M", ("CTCHEST",), "", "Haemoptysis", Priority.HIGH),
    _Person(31, "Sample^Bertram", "19480713", "M", ("USABDO",), "", "Aortic aneurysm, control"),
    _Person(32, "Mostra^Paolo", "19810208", "M", ("CTABDO",), "0900", "Kidney stone?", day=1),
    _Person(33, "Modelo^Rita", "19930525", "F", ("MRKNEE",), "1000", "Cruciate ligament", day=1),
    _Person(34, "Minta^Ferenc", "19660815", "M", ("CTHEAD",), "1100", "Control of a haematoma", day=2),
    _Person(35, "Uzorak^Maja", "19841101", "F", ("MRBRAIN",), "0830", "Trigeminal neuralgia", day=2),
)  # fmt: skip


def load(archive: Archive, today: datetime | None = None) -> int:
    """Fill the workflow; how many steps were planned."""
    now = today or datetime.now()  # the hospital's own time
    by = By("demo", archive.clock.utc(), "something to look at")
    studies = list(dict.fromkeys(event.study for event in archive.index.events(0, 10_000)))

    def work(unit: RisWork) -> int:
        for station in _STATIONS:
            catalogue.save_station(unit, by, station)
        for code, name, modality, minutes, part, aet, preparation in _PROCEDURES:
            row = Procedure(
                Code(code, "99DEMO", name), name, modality, minutes,
                (Code(f"P-{code}", "99DEMO", f"{name}, standard"),), part, (aet,), preparation,
            )  # fmt: skip
            catalogue.save_procedure(unit, by, row)
        done = sum(_came(archive, unit, by, facts, now) for facts in _loaded(unit, studies))
        return done + sum(_order(archive, unit, by, person, now) for person in _PEOPLE)

    return archive.ris.change(work)


def _loaded(unit: RisWork, studies: Iterable[str]) -> list[StudyFacts]:
    """Studies that an order is made for: of a modality of the department, one for each patient."""
    found: dict[Identifier, StudyFacts] = {}
    for facts in unit.studies(studies).values():
        if facts.identifier.value and facts.name and any(one in _LIKE for one in facts.modalities):
            found.setdefault(facts.identifier, facts)
    return list(found.values())[:_LOADED]


def _came(archive: Archive, unit: RisWork, by: By, facts: StudyFacts, now: datetime) -> int:
    """The order of a study that is here: done early this morning."""
    rules = archive.ris_rules
    if patients.find(unit, facts.identifier, rules) is not None:
        return 0
    row = next(row for row in _PROCEDURES if row[0] == next(_LIKE[one] for one in facts.modalities if one in _LIKE))
    patient = patients.add(
        unit, by, Patient(facts.identifier, facts.name, facts.birth_date if facts.birth_date.isdigit() else "",
                          facts.sex if facts.sex in ("M", "F", "O") else ""), rules,
    )  # fmt: skip
    wanted = RequestedProcedure(0, 0, study_uid=facts.study, code=Code(row[0], "99DEMO", row[1]), description=row[1])
    order = Order(patient.ref, ordering="House^Rita^^Dr.", reason="Demonstration")
    _, made = orders.place(unit, by, order, [wanted], rules)
    step = _plan(archive, unit, by, made[0].ref, row, _at(now, "0700", 0))
    if step is None:
        return 0
    for verb in (StepVerb.ARRIVE, StepVerb.START, StepVerb.COMPLETE):
        schedule.advance(unit, by, step.ref, verb)
    return 1


def _order(archive: Archive, unit: RisWork, by: By, person: _Person, now: datetime) -> int:
    rules = archive.ris_rules
    identifier = Identifier(f"DEMO-{person.number}")
    if patients.find(unit, identifier, rules) is not None:
        return 0
    unknown = person.name.startswith("Unknown")
    patient = patients.add(
        unit, by, Patient(identifier, person.name, person.birth_date, person.sex, unidentified=unknown), rules
    )
    rows = [row for row in _PROCEDURES if row[0] in person.codes]
    wanted = [
        RequestedProcedure(0, 0, code=Code(row[0], "99DEMO", row[1]), description=row[1], body_part=row[4])
        for row in rows
    ]
    order = Order(patient.ref, priority=person.priority, ordering="House^Rita^^Dr.", reason=person.reason)
    _, made = orders.place(unit, by, order, wanted, rules)
    if not person.at:
        return 0
    planned = 0
    for requested, row in zip(made, rows, strict=True):
        step = _plan(archive, unit, by, requested.ref, row, _at(now, person.at, person.day))
        if step is not None:
            planned += 1
            _happened(unit, by, step, person, now)
    return planned


def _at(now: datetime, time: str, day: int) -> datetime:
    return now.replace(hour=int(time[:2]), minute=int(time[2:]), second=0, microsecond=0) + timedelta(days=day)


def _plan(
    archive: Archive, unit: RisWork, by: By, procedure: int, row: tuple[str, str, str, int, str, str, str], at: datetime
) -> ScheduledStep | None:
    """The first time that is free from then on; a department that is closed that day works for the demonstration."""
    for slot in range(0, 10 * 60, 5):
        start = (at + timedelta(minutes=slot)).strftime("%Y%m%d%H%M")
        try:
            return schedule.schedule(
                unit, by, procedure, row[5], start, archive.ris_rules, minutes=row[3], force=True
            )  # fmt: skip
        except SlotTaken:
            continue
    return None


def _happened(unit: RisWork, by: By, step: ScheduledStep, person: _Person, now: datetime) -> None:
    """Where the patient is by now: due within half an hour, or in the machine, or done, or nowhere."""
    begin = datetime.strptime(step.start, "%Y%m%d%H%M%S")
    end = begin + timedelta(minutes=step.minutes)
    verbs: tuple[StepVerb, ...] = ()
    if end <= now:
        late = now - begin < timedelta(minutes=25)
        verbs = (
            (StepVerb.MISS,) if person.missed else () if late else (StepVerb.ARRIVE, StepVerb.START, StepVerb.COMPLETE)
        )
    elif begin <= now:
        verbs = (StepVerb.ARRIVE, StepVerb.START)
    elif begin - now < timedelta(minutes=30):
        verbs = (StepVerb.ARRIVE,)
    for verb in verbs:
        schedule.advance(unit, by, step.ref, verb)
