"""`vesalius ris orders` and `vesalius ris schedule`: what was asked for, and when it is done."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from vesalius.cli import options

orders = typer.Typer(no_args_is_help=True, help="Orders and their procedures.")
schedule = typer.Typer(no_args_is_help=True, help="Scheduled steps: on which station, when, in which state.")

OrderRef = Annotated[int, typer.Argument(metavar="ORDER", help="Its number.", show_default=False)]
StepRef = Annotated[int, typer.Argument(metavar="STEP", help="Its number.", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="Why: it is kept with the change.")]


class Verb(Enum):
    """What happens to a step at the desk."""

    ARRIVE = "arrive"
    LEAVE = "leave"
    PREPARE = "prepare"
    CANCEL = "cancel"
    MISS = "miss"


def add_order(
    patient_id: Annotated[str, typer.Argument(metavar="PATIENT_ID", help="Or ID^ISSUER.", show_default=False)],
    codes: Annotated[list[str], typer.Argument(metavar="CODE...", help="Of the catalogue.", show_default=False)],
    priority: Annotated[str, typer.Option(help="STAT, HIGH, ROUTINE, MEDIUM or LOW.")] = "ROUTINE",
    placer: Annotated[str, typer.Option(help="The placer's number, or NUMBER^ISSUER.")] = "",
    accession: Annotated[str, typer.Option(help="Accession number (default: a new one).")] = "",
    reason: Annotated[str, typer.Option(help="Reason for the procedure.")] = "",
    physician: Annotated[str, typer.Option(help="Who orders: Family^Given.")] = "",
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Place an order for one or more procedures of the catalogue.

    Example:

      vesalius ris orders add 4711 CTHEAD --priority STAT
    """
    from vesalius.cli import output
    from vesalius.model.errors import NoSuchRecord
    from vesalius.model.orders import Order, Priority, RequestedProcedure
    from vesalius.ris import catalogue, patients
    from vesalius.ris import orders as verbs

    if priority.upper() not in Priority.__members__:
        raise typer.BadParameter(f"known: {', '.join(Priority)}", param_hint="--priority")
    with options.archive(data, config) as archive:

        def work(unit: Any) -> Any:
            owner = patients.find(unit, options.identifier(patient_id), archive.ris_rules)
            if owner is None:
                raise NoSuchRecord("there is no patient with this ID", hint="vesalius ris patients add")
            wanted = []
            for code in codes:
                found = catalogue.procedure_by_code(unit, code)
                if found is None or not found.active:
                    raise NoSuchRecord(f"there is no procedure {code!r} in the catalogue")
                wanted.append(
                    RequestedProcedure(0, 0, code=found.code, description=found.name, body_part=found.body_part)
                )
            order = Order(
                owner.ref, placer=options.identifier(placer), accession=accession, reason=reason,
                priority=Priority(priority.upper()), ordering=physician, entered_by=options.by(archive).who,
            )  # fmt: skip
            return verbs.place(unit, options.by(archive), order, wanted, archive.ris_rules)

        order, made = archive.ris.change(work)
    rows = [_order_row(order, one) for one in made]
    output.listing(rows, list(rows[0]), json=json, empty="")


def list_orders(
    state: Annotated[str, typer.Option(help="Only in this state.")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List orders with their procedures, newest first.

    Example:

      vesalius ris orders list --state PLACED
    """
    from vesalius.cli import output
    from vesalius.ris import orders as verbs

    with options.archive(data, config) as archive:

        def look(view: Any) -> list[dict[str, Any]]:
            found = view.orders(states=[state.upper()] if state else (), limit=limit)
            return [_order_row(one, requested) for one in found for requested in verbs.procedures(view, one.ref)]

        rows = archive.ris.look(look)
    columns = ["order", "accession", "state", "priority", "patient", "procedure", "description", "study"]
    output.listing(rows, columns, json=json, empty="No orders.")


def cancel_order(order: OrderRef, why: Why = "", data: options.Data = None, config: options.Config = None) -> None:
    """Cancel an order that has not begun, with its steps.

    Example:

      vesalius ris orders cancel 12 --why 'no longer indicated'
    """
    from vesalius.cli.output import note
    from vesalius.ris import orders as verbs

    with options.archive(data, config) as archive:
        archive.ris.change(lambda work: verbs.cancel(work, options.by(archive, why), order))
    note(f"order {order} is cancelled")


def add_step(
    procedure: Annotated[
        int, typer.Argument(metavar="PROCEDURE", help="Its number, from `orders list`.", show_default=False)
    ],
    station: Annotated[str, typer.Argument(metavar="AET", show_default=False)],
    start: Annotated[str, typer.Argument(metavar="START", help="YYYYMMDDHHMM", show_default=False)],
    minutes: Annotated[int, typer.Option(min=1, help="How long.")] = 15,
    force: Annotated[bool, typer.Option("--force", help="Also when the station is closed.")] = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Plan a procedure on a station. A time that is taken is refused.

    Example:

      vesalius ris schedule add 3 CT1 202611241000 --minutes 20
    """  # fmt: skip
    from vesalius.cli import output
    from vesalius.ris import schedule as verbs

    with options.archive(data, config) as archive:
        made = archive.ris.change(
            lambda work: verbs.schedule(
                work, options.by(archive), procedure, station, start, archive.ris_rules, minutes=minutes, force=force
            )
        )
    row = _step_row(made)
    output.listing([row], list(row), json=json, empty="")


def list_steps(
    station: Annotated[str, typer.Option(metavar="AET", help="Only of this station.")] = "",
    day: Annotated[str, typer.Option(help="YYYYMMDD")] = "",
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List scheduled steps in order of their start.

    Example:

      vesalius ris schedule list --station CT1 --day 20261124
    """
    from vesalius.cli import output

    with options.archive(data, config) as archive:
        found = archive.ris.look(
            lambda view: view.steps(begin=day, end=f"{day}999999" if day else "", stations=[station] if station else ())
        )
    columns = ["step", "number", "start", "minutes", "stations", "modality", "state", "order", "patient", "description"]
    output.listing([_step_row(one) for one in found], columns, json=json, empty="Nothing is planned.")


def move_step(
    step: StepRef,
    start: Annotated[str, typer.Option(help="YYYYMMDDHHMM")] = "",
    station: Annotated[str, typer.Option(metavar="AET")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also when the station is closed.")] = False,
    why: Why = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Another time or station for a step.

    Example:

      vesalius ris schedule move 7 --start 202611241130
    """
    from vesalius.cli.output import note
    from vesalius.ris import schedule as verbs

    with options.archive(data, config) as archive:
        moved = archive.ris.change(
            lambda work: verbs.move(
                work, options.by(archive, why), step, archive.ris_rules, station=station, start=start, force=force
            )
        )
    note(f"step {step}: {', '.join(moved.stations)} at {moved.start}")


def step_state(
    step: StepRef,
    verb: Annotated[Verb, typer.Argument(show_default=False)],
    why: Why = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Say what happened to a step at the desk. Starting and ending is told by the modality (MPPS).

    Example:

      vesalius ris schedule state 7 arrive
    """
    from vesalius.cli.output import note
    from vesalius.model.steps import StepVerb
    from vesalius.ris import schedule as verbs

    with options.archive(data, config) as archive:
        after = archive.ris.change(
            lambda work: verbs.advance(work, options.by(archive, why), step, StepVerb(verb.value))
        )
    note(f"step {step} is {after.state}")


def _order_row(order: Any, procedure: Any) -> dict[str, Any]:
    return {
        "order": order.ref,
        "accession": order.accession,
        "state": str(order.state),
        "priority": str(order.priority),
        "patient": order.patient,
        "procedure": procedure.ref,
        "description": procedure.description,
        "study": procedure.study_uid,
    }


def _step_row(step: Any) -> dict[str, Any]:
    return {
        "step": step.ref,
        "number": step.number,
        "start": step.start,
        "minutes": step.minutes,
        "stations": list(step.stations),
        "modality": step.modality,
        "state": str(step.state),
        "order": step.order,
        "patient": step.patient,
        "description": step.description,
    }


for _group, _name, _command in (
    (orders, "add", add_order), (orders, "list", list_orders), (orders, "cancel", cancel_order),
    (schedule, "add", add_step), (schedule, "list", list_steps), (schedule, "move", move_step),
    (schedule, "state", step_state),
):  # fmt: skip
    _group.command(_name, help=options.help_of(_command))(_command)
