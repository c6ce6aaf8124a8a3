"""What a department has and does: procedures, stations, rooms. Each is found by its own key and kept whole."""

from __future__ import annotations

import dataclasses
import re

from vesalius.model.errors import BadRecord, NoSuchRecord
from vesalius.model.identifiers import is_valid_aet
from vesalius.model.orders import By, Code, Hours, Procedure, Room, Station
from vesalius.ports.ris import RisView, RisWork

_HOURS = re.compile(r"([1-7]+) ?([0-2]\d[0-5]\d)-([0-2]\d[0-5]\d)")


def save_procedure(work: RisWork, by: By, procedure: Procedure) -> Procedure:
    """A row of the catalogue, new or in place of the one with its code."""
    if not procedure.code.value or not procedure.modality or procedure.minutes < 1:
        raise BadRecord("a procedure has a code, a modality and a length of a minute at least")
    kept = procedure_by_code(work, procedure.code.value, procedure.code.scheme)
    made = work.save(dataclasses.replace(procedure, ref=kept.ref)) if kept else work.add(procedure)
    work.announce("catalogue-changed", by, procedure=procedure.code.value)
    return made


def procedure_by_code(view: RisView, code: str, scheme: str = "") -> Procedure | None:
    """A procedure by code and scheme; without a scheme, the only one with this code."""
    if scheme:
        return view.first(Procedure, code=Code(code, scheme).key)
    found = [one for one in view.find(Procedure) if one.code.value == code]
    return found[0] if len(found) == 1 else None


def save_station(work: RisWork, by: By, station: Station) -> Station:
    """A station, new or in place of the one with its AE title."""
    if not is_valid_aet(station.aet) or station.aet != station.aet.strip():
        raise BadRecord(f"{station.aet!r} is no AE title: 1 to 16 ASCII characters")
    if "\\" in station.aet:
        raise BadRecord("an AE title holds no backslash")
    if not station.modality:
        raise BadRecord("a station has a modality: CT, MR, US, ...")
    kept = work.first(Station, aet=station.aet)
    made = work.save(dataclasses.replace(station, ref=kept.ref)) if kept else work.add(station)
    work.announce("catalogue-changed", by, station=station.aet)
    return made


def save_room(work: RisWork, by: By, room: Room) -> Room:
    """A room, new or in place of the one of its name."""
    if not room.name:
        raise BadRecord("a room has a name")
    kept = work.first(Room, name=room.name)
    made = work.save(dataclasses.replace(room, ref=kept.ref)) if kept else work.add(room)
    work.announce("catalogue-changed", by, room=room.name)
    return made


def remove_station(work: RisWork, by: By, aet: str) -> Station:
    """Take a station out of use: its past stays. Raises `NoSuchRecord`."""
    kept = work.first(Station, aet=aet)
    if kept is None:
        raise NoSuchRecord(f"there is no station {aet!r}")
    work.announce("catalogue-changed", by, station=aet)
    return work.save(dataclasses.replace(kept, active=False))


def remove_procedure(work: RisWork, by: By, code: str, scheme: str = "") -> Procedure:
    """Take a procedure out of the catalogue: orders that name it stay. Raises `NoSuchRecord`."""
    kept = procedure_by_code(work, code, scheme)
    if kept is None:
        raise NoSuchRecord(f"there is no procedure {code!r} in the catalogue")
    work.announce("catalogue-changed", by, procedure=code)
    return work.save(dataclasses.replace(kept, active=False))


def stations_for(view: RisView, procedure: Procedure) -> list[Station]:
    """The stations in use that can do a procedure."""
    of_modality = [one for one in view.find(Station, modality=procedure.modality) if one.active]
    return [one for one in of_modality if not procedure.stations or one.aet in procedure.stations]


def hours(text: str) -> tuple[Hours, ...]:
    """Opening hours as people write them: `12345 0700-1800, 6 0800-1200`. Raises `BadRecord`."""
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _HOURS.fullmatch(part)
        if match is None or match[2] >= match[3] or match[3] > "2400":
            raise BadRecord(
                f"{part!r} are no opening hours", hint="days 1 (Monday) to 7 and HHMM-HHMM: 12345 0700-1800"
            )
        found.append(Hours(match[1], match[2], match[3]))
    return tuple(found)
