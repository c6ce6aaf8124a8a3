"""Booking, as the pages and the JSON interface do it: the answer says which of the things that can be wrong it is.

Theory. `ris/schedule` refuses an overlap and a closed station with one error; a page must tell them apart, because the
one can never be had and the other can, with a reason. And two people look at one schedule: who moves a step says where
it stood when they looked (`seen`), and is told if somebody was faster instead of undoing their work unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import msgspec
from starlette.responses import Response

from vesalius.model.errors import BadRecord
from vesalius.model.orders import By, RequestedProcedure, ScheduledStep, Station
from vesalius.model.steps import STEP_DONE
from vesalius.ports.ris import RisView, RisWork
from vesalius.ris import schedule
from vesalius.ris.rules import RisRules
from vesalius.web.pages import ris_words
from vesalius.web.pages.schedule import days


class Refused(Exception):
    """A time that cannot be had: `taken` by another, `closed` (may be forced), of another `modality`, or `changed`."""

    def __init__(self, code: str, detail: str, hint: str, station: str = "", begin: str = "", end: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.station = station
        self.begin = begin
        self.end = end

    def response(self) -> Response:
        """409 in the one form of what is wrong, with what a page needs to offer a way on."""
        body = {
            "title": "Conflict",
            "detail": self.detail,
            "hint": self.hint,
            "code": self.code,
            "station": self.station,
            "begin": self.begin,
            "end": self.end,
        }
        return Response(msgspec.json.encode(body), 409, {}, "application/json")


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when."""

    station: str
    start: str  # YYYYMMDDHHMMSS
    minutes: int = 0
    force: bool = False  # also when the station is closed


def move(work: RisWork, by: By, ref: int, place: Place, rules: RisRules, seen: tuple[str, str] | None = None) -> tuple[
    ScheduledStep, ScheduledStep
]:  # fmt: skip
    """A step at another time or station; before and after. Raises `Refused`, `WrongState`, `NoSuchRecord`."""
    before = work.get(ScheduledStep, ref)
    stood = before.stations[0] if before.stations else ""
    if seen is not None and seen != (stood, before.start):
        raise Refused("changed", "somebody moved this step meanwhile", "Look where it is now.", stood, before.start)
    station, start = place.station or stood, place.start or before.start
    minutes = place.minutes or before.minutes
    begin = ris_words.moment(start)
    if not 0 < minutes <= schedule.LONGEST_MINUTES:
        raise BadRecord(f"a step takes 1 to {schedule.LONGEST_MINUTES} minutes")
    _check_modality(work, station, before.modality)
    _check_free(work, Place(station, ris_words.stamp(begin), minutes, place.force), ref)
    after = schedule.move(
        work, by, ref, rules, station=station, start=start, minutes=minutes, force=place.force
    )  # fmt: skip
    return before, after


def plan(work: RisWork, by: By, procedure: int, place: Place, rules: RisRules) -> ScheduledStep:
    """A step for a procedure that waits for one. Raises as `move`, and `Refused` where it has one by now."""
    requested = work.get(RequestedProcedure, procedure)
    for step in work.find(ScheduledStep, procedure_ref=procedure):
        if step.state not in STEP_DONE:
            stood = step.stations[0] if step.stations else ""
            raise Refused("changed", "this procedure was planned meanwhile", "Look where it is.", stood, step.start)
    modality, usual = days.how_long(work, requested)
    _check_modality(work, place.station, modality)
    minutes = place.minutes or usual
    begin = ris_words.moment(place.start)
    if not 0 < minutes <= schedule.LONGEST_MINUTES:
        raise BadRecord(f"a step takes 1 to {schedule.LONGEST_MINUTES} minutes")
    _check_free(work, Place(place.station, ris_words.stamp(begin), minutes, place.force), 0)
    return schedule.schedule(
        work, by, procedure, place.station, place.start, rules, minutes=minutes, force=place.force
    )  # fmt: skip


def _check_modality(view: RisView, station: str, modality: str) -> None:
    """An examination is not sent to a machine of another kind by a slip of the hand."""
    held = schedule.find_station(view, station)
    if modality and held.modality != modality:
        raise Refused("modality", f"station {held.aet} is no {modality}", "Choose another station.", held.aet)


def _check_free(view: RisView, place: Place, own: int) -> None:
    """Say what is in the way before the verb does, which holds the station and so has the last word."""
    station = schedule.find_station(view, place.station)
    begin = ris_words.moment(place.start)
    end = begin + timedelta(minutes=place.minutes)
    for held in view.appointments(station.aet, ris_words.stamp(begin), ris_words.stamp(end)):
        if held.step != own or not own:
            raise Refused("taken", f"station {station.aet} is taken then", "Choose another time.", station.aet,
                          held.begin, held.end)  # fmt: skip
    if not place.force and not schedule.is_open(station, begin, end):
        raise Refused("closed", f"station {station.aet} is closed then",
                      "Choose another time, or say that it must be.", station.aet)  # fmt: skip


def first_free(view: RisView, station: Station, day: str, minutes: int, after: str) -> list[str]:
    """When something of this length can begin on a day, from a moment on."""
    return [slot for slot in schedule.slots(view, station.aet, day, minutes) if slot >= after]
