"""`vesalius ris stations|rooms|procedures`: what a department has, and what can be ordered from it."""

from __future__ import annotations

from typing import Annotated

import typer

from vesalius.cli import options

stations = typer.Typer(no_args_is_help=True, help="The machines that have a worklist.")
rooms = typer.Typer(no_args_is_help=True, help="Where stations stand.")
procedures = typer.Typer(no_args_is_help=True, help="The catalogue: what can be ordered.")

Aet = Annotated[str, typer.Argument(metavar="AET", help="AE title of the station.", show_default=False)]


def add_station(
    aet: Aet,
    modality: Annotated[str, typer.Argument(metavar="MODALITY", help="CT, MR, US, ...", show_default=False)],
    name: Annotated[str, typer.Option(help="For people.")] = "",
    department: Annotated[str, typer.Option(help="Its stations see each other's worklist.")] = "",
    room: Annotated[str, typer.Option(help="Where it stands.")] = "",
    hours: Annotated[str, typer.Option(help="Days 1-7 and times: '12345 0700-1800, 6 0800-1200'.")] = "",
    sees: Annotated[str, typer.Option(help="Further departments whose worklist it sees; * for all.")] = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Add a station, or change the one with this AE title.

    Example:

      vesalius ris stations add CT1 CT --department RAD --hours '12345 0700-1800'
    """
    from vesalius.cli.output import note
    from vesalius.model.orders import Station
    from vesalius.ris import catalogue

    seen = tuple(filter(None, (part.strip() for part in sees.split(","))))
    station = Station(aet, name, modality.upper(), department, room, seen, catalogue.hours(hours))
    with options.archive(data, config, must_exist=False) as archive:
        archive.ris.change(lambda work: catalogue.save_station(work, options.by(archive), station))
    note(f"{aet}: {station.modality} in {department or 'no department'}")


def list_stations(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """List the stations.

    Example:

      vesalius ris stations list
    """
    from vesalius.cli import output
    from vesalius.model.orders import Station

    with options.archive(data, config) as archive:
        found = archive.ris.look(lambda view: view.find(Station))
    columns = ["aet", "name", "modality", "department", "room", "active"]
    rows = [{name: getattr(one, name) for name in columns} for one in found]
    output.listing(rows, columns, json=json, empty="No stations. Add one: vesalius ris stations add AET MODALITY")


def remove_station(aet: Aet, data: options.Data = None, config: options.Config = None) -> None:
    """Take a station out of use; what it did stays.

    Example:

      vesalius ris stations remove CT1
    """
    from vesalius.cli.output import note
    from vesalius.ris import catalogue

    with options.archive(data, config) as archive:
        archive.ris.change(lambda work: catalogue.remove_station(work, options.by(archive), aet))
    note(f"{aet} is out of use.")


def add_procedure(
    code: Annotated[str, typer.Argument(metavar="CODE", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    modality: Annotated[str, typer.Argument(metavar="MODALITY", show_default=False)],
    minutes: Annotated[int, typer.Option(min=1, help="How long it takes.")] = 15,
    scheme: Annotated[str, typer.Option(help="Coding scheme.")] = "99LOCAL",
    body_part: Annotated[str, typer.Option(help="Body part examined.")] = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Add a procedure to the catalogue, or change the one with this code.

    Example:

      vesalius ris procedures add CTHEAD 'CT of the head' CT --minutes 20
    """
    from vesalius.cli.output import note
    from vesalius.model.orders import Code, Procedure
    from vesalius.ris import catalogue

    procedure = Procedure(Code(code, scheme, name), name, modality.upper(), minutes, body_part=body_part)
    with options.archive(data, config, must_exist=False) as archive:
        archive.ris.change(lambda work: catalogue.save_procedure(work, options.by(archive), procedure))
    note(f"{code}: {name}, {minutes} minutes")


def list_procedures(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """List the catalogue.

    Example:

      vesalius ris procedures list --json
    """
    from vesalius.cli import output
    from vesalius.model.orders import Procedure

    with options.archive(data, config) as archive:
        found = archive.ris.look(lambda view: view.find(Procedure))
    rows = [
        {"code": one.code.value, "scheme": one.code.scheme, "name": one.name, "modality": one.modality,
         "minutes": one.minutes, "active": one.active}
        for one in found
    ]  # fmt: skip
    output.listing(rows, ["code", "scheme", "name", "modality", "minutes", "active"], json=json, empty="No procedures.")


def remove_procedure(
    code: Annotated[str, typer.Argument(metavar="CODE", show_default=False)],
    scheme: Annotated[str, typer.Option(help="Coding scheme.")] = "99LOCAL",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Take a procedure out of the catalogue; orders that name it stay.

    Example:

      vesalius ris procedures remove CTHEAD
    """
    from vesalius.cli.output import note
    from vesalius.ris import catalogue

    with options.archive(data, config) as archive:
        archive.ris.change(lambda work: catalogue.remove_procedure(work, options.by(archive), code, scheme))
    note(f"{code} is out of the catalogue.")


def add_room(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    department: Annotated[str, typer.Option(help="Whose it is.")] = "",
    location: Annotated[str, typer.Option(help="How it is found: building, floor.")] = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Add a room, or change the one of this name.

    Example:

      vesalius ris rooms add 'Room 1' --department RAD --location 'Building A, ground floor'
    """
    from vesalius.cli.output import note
    from vesalius.model.orders import Room
    from vesalius.ris import catalogue

    room = Room(name, department, location)
    with options.archive(data, config, must_exist=False) as archive:
        archive.ris.change(lambda work: catalogue.save_room(work, options.by(archive), room))
    note(f"{name}: {location or 'no location'}")


def list_rooms(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """List the rooms, and the stations that stand in them.

    Example:

      vesalius ris rooms list
    """
    from vesalius.cli import output
    from vesalius.model.orders import Room, Station

    with options.archive(data, config) as archive:
        found, machines = archive.ris.look(lambda view: (view.find(Room), view.find(Station)))
    rows = [
        {"name": one.name, "department": one.department, "location": one.location,
         "stations": [each.aet for each in machines if each.active and each.room == one.name]}
        for one in found
    ]  # fmt: skip
    columns = ["name", "department", "location", "stations"]
    output.listing(rows, columns, json=json, empty="No rooms. Add one: vesalius ris rooms add NAME")


for _group, _name, _command in (
    (stations, "add", add_station), (stations, "list", list_stations), (stations, "remove", remove_station),
    (rooms, "add", add_room), (rooms, "list", list_rooms),
    (procedures, "add", add_procedure), (procedures, "list", list_procedures),
    (procedures, "remove", remove_procedure),
):  # fmt: skip
    _group.command(_name, help=options.help_of(_command))(_command)
