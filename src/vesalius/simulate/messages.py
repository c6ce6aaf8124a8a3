"""What the hospital's information system says of a day, in HL7 v2.5.1: registrations, orders, appointments, merges."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from vesalius.hl7 import values
from vesalius.model.orders import Code, Identifier
from vesalius.simulate.plan import MERGES, NEVER_DONE, SLOT, Case, Day, Kind, Person
from vesalius.wire.hl7_message import Field, Message, Segment, build, repeated

APPLICATION, FACILITY = "SIMHIS", "SIMULATED"
NOTICE = timedelta(minutes=60)  # before the start: what is moved or cancelled


@dataclass(frozen=True, slots=True)
class Errand:
    """One message to send at its time."""

    at: datetime
    case: int
    kind: tuple[str, str, str]
    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        """As people write it."""
        return "^".join(self.kind[:2])

    def message(self, control_id: str, now: datetime) -> bytes:
        """The message as it is sent."""
        head: dict[int, Field] = {
            3: APPLICATION, 4: FACILITY, 5: "VESALIUS", 7: now.strftime("%Y%m%d%H%M%S"), 9: self.kind,
            10: control_id, 11: "P", 12: "2.5.1", 18: "UNICODE UTF-8",
        }  # fmt: skip
        return Message([build("MSH", head), *self.segments]).text().encode()


def new_control_id() -> str:
    """A control id that never was (MSH-10, at most 20 characters)."""
    return uuid.uuid4().hex[:20].upper()


def errands(day: Day) -> list[Errand]:
    """Everything that is said, in order."""
    return sorted((one for case in day.cases for one in _of(day, case)), key=lambda one: (one.at, one.case))


def _of(day: Day, case: Case) -> Iterator[Errand]:
    sent = _sent(day, case)
    second = timedelta(seconds=1)
    if case.kind in MERGES:
        yield Errand(sent, case.number, ("ADT", "A28", "ADT_A05"), _adt("A28", sent, case.truth))
    registered = "A04" if case.kind in (Kind.EMERGENCY, Kind.UNSCHEDULED) else "A01"
    yield Errand(sent + second, case.number, ("ADT", registered, "ADT_A01"), _adt(registered, sent, case.person))
    if case.kind is Kind.UNSCHEDULED:
        return
    station, start = case.before or (case.station, case.start)
    if case.by_appointment:
        yield Errand(sent + 2 * second, case.number, ("ORM", "O01", "ORM_O01"), _orm(case, "NW"))
        yield Errand(sent + 3 * second, case.number, ("SIU", "S12", "SIU_S12"), _siu(case, station, start))
    else:
        yield Errand(sent + 2 * second, case.number, ("OMI", "O23", "OMI_O23"), _omi(case, "NW", station, start))
    yield from _later(case)


def _later(case: Case) -> Iterator[Errand]:
    """What changes after the order."""
    if case.kind is Kind.CANCELLED:
        yield Errand(case.start - NOTICE, case.number, ("ORM", "O01", "ORM_O01"), _orm(case, "CA"))
    elif case.kind is Kind.MOVED and case.before is not None:
        at = case.before[1] - NOTICE
        if case.by_appointment:
            yield Errand(at, case.number, ("SIU", "S13", "SIU_S12"), _siu(case, case.station, case.start))
        else:
            moved = _omi(case, "XO", case.station, case.start)
            yield Errand(at, case.number, ("OMI", "O23", "OMI_O23"), moved)
    elif case.kind is Kind.EMERGENCY:
        at = case.start + timedelta(minutes=90)
        yield Errand(at, case.number, ("ADT", "A08", "ADT_A01"), _adt("A08", at, case.truth))
    elif case.kind in MERGES:
        at = case.start + timedelta(minutes=MERGES[case.kind])
        event = build("EVN", {1: "A40", 2: at.strftime("%Y%m%d%H%M%S")})
        gone = build("MRG", {1: values.cx(Identifier(case.person.id, "", "MR"))})
        yield Errand(at, case.number, ("ADT", "A40", "ADT_A39"), (event, _pid(case.truth), gone))


def _sent(day: Day, case: Case) -> datetime:
    """When it is ordered: emergencies at once, the rest some hours before."""
    first = case.before[1] if case.before else case.start
    if case.kind in (Kind.EMERGENCY, Kind.UNSCHEDULED):
        return first - timedelta(minutes=6)
    spread = timedelta(minutes=(case.number * 37) % 120)
    earliest = day.at(5) + timedelta(seconds=case.number * 4 % 3000)
    wanted = first - timedelta(hours=2) - spread
    return max(earliest, wanted) if case.kind not in (*NEVER_DONE, Kind.MOVED) else min(earliest, wanted)


# -- segments


def _pid(person: Person) -> Segment:
    return build(
        "PID",
        {
            1: "1",
            3: values.cx(Identifier(person.id, "", "MR")),
            5: repeated(values.xpn(person.name)),
            7: person.birth_date,
            8: person.sex,
        },
    )


def _adt(event: str, at: datetime, person: Person) -> tuple[Segment, ...]:
    head = build("EVN", {1: event, 2: at.strftime("%Y%m%d%H%M%S")})
    visit: dict[int, Field] = {1: "1", 2: "E" if event == "A04" else "O", 3: "RAD"}
    return (head, _pid(person), build("PV1", visit))


def _code(case: Case) -> tuple[str, ...]:
    return values.cwe(Code(case.code, "99SIM", case.text))


def _priority(case: Case) -> str:
    return "S" if case.kind is Kind.EMERGENCY else "R"


def _orm(case: Case, control: str) -> tuple[Segment, ...]:
    order: dict[int, Field] = {1: control, 2: case.placer, 12: values.xcn("House^Rita^^Dr.")}
    wanted: dict[int, Field] = {
        1: "1", 2: case.placer, 4: _code(case), 5: _priority(case), 18: case.accession, 24: case.modality,
    }  # fmt: skip
    return (_pid(case.person), build("PV1", {1: "1", 2: "O"}), build("ORC", order), build("OBR", wanted))


def _omi(case: Case, control: str, station: str, start: datetime) -> tuple[Segment, ...]:
    order: dict[int, Field] = {1: control, 2: case.placer, 12: values.xcn("House^Rita^^Dr.")}
    timing: dict[int, Field] = {
        1: "1", 6: (str(SLOT), "min"), 7: start.strftime("%Y%m%d%H%M%S"), 9: _priority(case),
    }  # fmt: skip
    protocol: dict[int, Field] = {1: case.accession, 5: case.modality, 9: station}
    return (
        _pid(case.person),
        build("PV1", {1: "1", 2: "O"}),
        build("ORC", order),
        build("TQ1", timing),
        build("OBR", {1: "1", 2: case.placer, 4: _code(case)}),
        build("IPC", protocol),
    )


def _siu(case: Case, station: str, start: datetime) -> tuple[Segment, ...]:
    head: dict[int, Field] = {1: f"{case.placer}A", 9: str(SLOT), 10: "min", 26: case.placer}
    service: dict[int, Field] = {
        1: "1", 3: _code(case), 4: start.strftime("%Y%m%d%H%M%S"), 7: str(SLOT), 8: "min",
    }  # fmt: skip
    return (
        build("SCH", head),
        _pid(case.person),
        build("RGS", {1: "1"}),
        build("AIS", service),
        build("AIL", {1: "1", 3: station}),
    )
