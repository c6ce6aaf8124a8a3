"""The schedule: steps with a time on a station, none of them over another; what happens to them at the desk.

Theory. An appointment holds a station for a time. Who books holds the row of the station until the transaction ends, so
two who book at the same moment come one after the other, and the second sees what the first took: overlapping is
impossible, not just unlikely. Opening hours may be overridden (an emergency at night), an overlap never.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from vesalius.model.errors import BadRecord, NoSuchRecord, SlotTaken
from vesalius.model.orders import Appointment, By, Order, RequestedProcedure, ScheduledStep, Station
from vesalius.model.steps import ORDER_GRID, OrderVerb, StepVerb, can
from vesalius.ports.ris import RisView, RisWork
from vesalius.ris import orders
from vesalius.ris.rules import RisRules

LONGEST_MINUTES = 24 * 60
SLOT_MINUTES = 5
_FORMAT = "%Y%m%d%H%M%S"


def schedule(
    work: RisWork,
    by: By,
    procedure: int,
    station: str,
    start: str,
    rules: RisRules,
    *,
    minutes: int = 0,
    force: bool = False,
    **fields: Any,
) -> ScheduledStep:
    """A step of a procedure on a station at a time; without a station (`modality` in `fields`) it waits for one.

    `force`: also when the station is closed. Raises `SlotTaken`, `NoSuchRecord`, `BadRecord`, `WrongState`.
    """
    requested = work.get(RequestedProcedure, procedure)
    minutes = minutes or 15
    begin = _moment(start)
    if not 0 < minutes <= LONGEST_MINUTES:
        raise BadRecord(f"a step takes 1 to {LONGEST_MINUTES} minutes")
    if station:
        held = _hold(work, station)
        fields = {"station_name": held.name, "modality": held.modality, "location": held.room} | {
            name: value for name, value in fields.items() if value
        }
        _free(work, held, begin, minutes, force)
    elif not fields.get("modality"):
        raise BadRecord("a step without a station needs a modality")
    orders.advance(work, by, requested.order, OrderVerb.SCHEDULE)
    fields.setdefault("description", requested.description)
    number = fields.pop("number", "") or f"SPS{work.next_number('step')}"
    made = work.add(
        ScheduledStep(
            procedure,
            requested.order,
            requested.patient,
            number=number,
            stations=(station,) if station else (),
            start=_text(begin),
            minutes=minutes,
            **fields,
        )
    )
    if station:
        work.add(Appointment(station, _text(begin), _text(begin + timedelta(minutes=minutes)), made.ref))
    work.announce(
        "step-scheduled", by, patient=made.patient, order=made.order, step=made.ref, station=station, start=made.start
    )
    return made


def move(
    work: RisWork,
    by: By,
    ref: int,
    rules: RisRules,
    *,
    station: str = "",
    start: str = "",
    minutes: int = 0,
    force: bool = False,
) -> ScheduledStep:
    """Another time, station or length; what is not named stays. Raises `SlotTaken`, `WrongState`."""
    step = work.get(ScheduledStep, ref)
    station = station or (step.stations[0] if step.stations else "")
    begin, minutes = _moment(start or step.start), minutes or step.minutes
    changes: dict[str, Any] = {"start": _text(begin), "minutes": minutes}
    for appointment in work.find(Appointment, step=ref, active=1):
        work.save(dataclasses.replace(appointment, active=False))
    if station:
        held = _hold(work, station)
        _free(work, held, begin, minutes, force)
        work.add(Appointment(station, _text(begin), _text(begin + timedelta(minutes=minutes)), ref))
        if (station,) != step.stations:
            changes |= {"stations": (station,), "station_name": held.name, "modality": held.modality or step.modality}
            changes["location"] = held.room
    after = orders.step_state(work, by, step, StepVerb.MOVE, **changes)
    order = work.get(Order, step.order)
    if can(ORDER_GRID, order.state, OrderVerb.SCHEDULE):
        orders.advance(work, by, step.order, OrderVerb.SCHEDULE)
    work.announce(
        "step-moved",
        by,
        patient=step.patient,
        order=step.order,
        step=ref,
        station=station,
        start=after.start,
        detail={"from": step.start, "from_station": step.stations[0] if step.stations else ""},
    )
    return after


def advance(work: RisWork, by: By, ref: int, verb: StepVerb) -> ScheduledStep:
    """What happens to a step: `arrive`, `prepare`, `miss`, ...; its order follows. Raises `WrongState`."""
    if verb is StepVerb.MOVE:
        raise BadRecord("moving a step needs a time or a station")
    step = work.get(ScheduledStep, ref)
    after = orders.step_state(work, by, step, verb)
    orders.settle(work, by, step.order)
    return after


def block(work: RisWork, by: By, station: str, begin: str, end: str, note: str) -> Appointment:
    """Nobody is planned there then: service, cleaning, a meeting."""
    held = _hold(work, station)
    first, last = _moment(begin), _moment(end)
    if last <= first:
        raise BadRecord("a blocked time ends after it begins")
    _check_overlap(work, held.aet, first, last)
    made = work.add(Appointment(station, _text(first), _text(last), 0, note))
    work.announce("slot-blocked", by, station=station, begin=made.begin, end=made.end)
    return made


def free(work: RisWork, by: By, ref: int) -> Appointment:
    """A blocked time is free again. That of a step ends with the step."""
    held = work.get(Appointment, ref)
    if held.step:
        raise BadRecord("this is the time of a step", hint="cancel or move the step")
    after = work.save(dataclasses.replace(held, active=False))
    work.announce("slot-freed", by, station=held.station, begin=held.begin, end=held.end)
    return after


def slots(view: RisView, station: str, day: str, minutes: int, *, every: int = SLOT_MINUTES) -> list[str]:
    """When a step of this length could begin on a station on a day."""
    held = find_station(view, station)
    midnight = _moment(day + "000000")
    taken = view.appointments(station, day + "000000", _text(midnight + timedelta(days=1)))
    found = []
    for offset in range(0, LONGEST_MINUTES, every):
        begin = midnight + timedelta(minutes=offset)
        end = begin + timedelta(minutes=minutes)
        busy = any(one.begin < _text(end) and one.end > _text(begin) for one in taken)
        if not busy and is_open(held, begin, end):
            found.append(_text(begin))
    return found


def find_station(view: RisView, aet: str) -> Station:
    """A station by its AE title. Raises `NoSuchRecord`."""
    found = view.first(Station, aet=aet)
    if found is None:
        raise NoSuchRecord(f"there is no station {aet!r}", hint="add it: vesalius ris stations add")
    return found


def is_open(station: Station, begin: datetime, end: datetime) -> bool:
    """Whether a station works from `begin` to `end`; one without hours always does."""
    if begin.strftime("%Y%m%d") in station.closed:
        return False
    if not station.hours:
        return True
    day, until = str(begin.isoweekday()), end - timedelta(seconds=1)
    if until.date() != begin.date():
        return False
    last = "2400" if end.date() != begin.date() else end.strftime("%H%M")
    return any(
        day in hours.days and hours.begin <= begin.strftime("%H%M") and last <= hours.end for hours in station.hours
    )


def _hold(work: RisWork, aet: str) -> Station:
    """The row of the station, held until the end: nobody else books it meanwhile."""
    station = work.get(Station, find_station(work, aet).ref)
    if not station.active:
        raise BadRecord(f"station {aet} is not in use")
    return station


def _free(work: RisWork, station: Station, begin: datetime, minutes: int, force: bool) -> None:
    end = begin + timedelta(minutes=minutes)
    if not force and not is_open(station, begin, end):
        raise SlotTaken(f"station {station.aet} is closed then", hint="choose another time, or say that it must be")
    _check_overlap(work, station.aet, begin, end)


def _check_overlap(work: RisWork, station: str, begin: datetime, end: datetime) -> None:
    taken = work.appointments(station, _text(begin), _text(end))
    if taken:
        raise SlotTaken(f"station {station} is taken from {taken[0].begin} to {taken[0].end}")


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text.ljust(14, "0"), _FORMAT)
    except ValueError:
        raise BadRecord("a time is written YYYYMMDDHHMM or YYYYMMDDHHMMSS") from None


def _text(moment: datetime) -> str:
    return moment.strftime(_FORMAT)
