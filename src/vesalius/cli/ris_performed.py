"""`vesalius ris performed`: what modalities said that they did, whether its images came, and who was told of it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.model.orders import PerformedStep


class StateName(enum.StrEnum):
    """States of a performed step as words of the command line."""

    GOING_ON = "in-progress"
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"


class ImagesName(enum.StrEnum):
    """What became of the images that a step told of."""

    WAITING = "waiting"
    COMPLETE = "complete"
    MISSING = "missing"


def performed(
    uid: Annotated[
        str | None,
        typer.Argument(metavar="UID", help="Only this one, with every attribute and image.", show_default=False),
    ] = None,
    state: Annotated[StateName | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    images: Annotated[
        ImagesName | None,
        typer.Option(help="Only those whose images are so: 'missing' is what to look after.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List performed procedure steps (MPPS): their state, images that were told of and that came, and peers told.

    Examples:

      vesalius ris performed --images missing

      vesalius ris performed 1.2.840.99.4711 --json
    """
    from vesalius.cli import output
    from vesalius.cli.keys import as_row
    from vesalius.model.orders import PerformedStep
    from vesalius.ris import performed_steps

    equal: dict[str, Any] = {}
    if state is not None:
        equal["state"] = state.value.replace("-", " ").upper()
    if images is not None:
        equal["images"] = images.value
    with options.archive(data, config) as archive:
        if uid is None:
            found = archive.ris.look(lambda view: view.find(PerformedStep, limit=limit, newest=True, **equal))
            columns = ["uid", "state", "station", "started", "ended", "images", "expected", "arrived", "told", "order"]
            output.listing([_row(one) for one in found], columns, json=json, empty="None.")
            return
        one = archive.ris.look(lambda view: performed_steps.by_uid(view, uid))
        missing = archive.ris.look(lambda view: view.missing(one.ref)) if one.expected > one.arrived else []
    output.facts({**_row(one), "missing": missing, "attributes": as_row(performed_steps.values_of(one))}, json=json)


def discontinue(
    uid: Annotated[str, typer.Argument(metavar="UID", help="SOP Instance UID of the step.", show_default=False)],
    why: Annotated[str, typer.Option("--why", help="Why: it is kept with the change.", show_default=False)],
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """End a performed step whose modality will not say so any more: it broke down, or forgot.

    The scheduled step and the order follow, and the modality is refused if it comes back with it.

    Example:

      vesalius ris discontinue 1.2.840.99.4711 --why 'the scanner was replaced'
    """
    from datetime import datetime

    from vesalius.cli.output import note
    from vesalius.ris import performed_steps

    now = datetime.now().strftime("%Y%m%d%H%M%S")
    with options.archive(data, config) as archive:
        by, rules = options.by(archive, why), archive.ris_rules
        archive.ris.change(lambda work: performed_steps.give_up(work, by, uid, now, rules))
        archive.bell()
    note(f"{uid} is DISCONTINUED")


def _row(one: PerformedStep) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "state": str(one.state),
        "station": one.station,
        "started": one.started,
        "ended": one.ended,
        "images": str(one.images),
        "expected": one.expected,
        "arrived": one.arrived,
        "order": one.order,
        "study": one.study_uid,
        "told": [f"{known.peer}: {known.state}{f' ({known.why})' if known.why else ''}" for known in one.forwards],
    }
