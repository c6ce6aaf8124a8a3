"""`vesalius ris reconcile`: images that fit no order, and their repair."""

from __future__ import annotations

from typing import Annotated

import typer

from vesalius.cli import options

app = typer.Typer(no_args_is_help=True, help="Images that fit no order, another patient or a cancelled order.")

ItemRef = Annotated[int, typer.Argument(metavar="ITEM", help="Its number.", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="Why: it is kept with the repair.")]


def list_items(
    state: Annotated[str, typer.Option(help="open, repaired, accepted, gone; empty: all.")] = "open",
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List what is to be reconciled, newest first.

    Example:

      vesalius ris reconcile list
    """
    from vesalius.cli import output
    from vesalius.ris import reconcile

    with options.archive(data, config) as archive:
        found = archive.ris.look(lambda view: reconcile.items(view, state=state))
    rows = [
        {"item": one.ref, "trouble": str(one.trouble), "state": one.state, "opened": one.opened_at, "order": one.order,
         "study": one.study, "repair": one.repair}
        for one in found
    ]  # fmt: skip
    columns = ["item", "trouble", "state", "opened", "order", "study", "repair"]
    output.listing(rows, columns, json=json, empty="Nothing to reconcile.")


def show(item: ItemRef, json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """Propose orders for the images of an item, best first, with the reasons.

    Example:

      vesalius ris reconcile show 3
    """
    from vesalius.cli import output
    from vesalius.ris import reconcile

    with options.archive(data, config) as archive:
        found = archive.ris.look(lambda view: reconcile.proposals(view, item, archive.ris_rules))
    rows = [
        {"score": one.score, "order": one.order.ref, "procedure": one.procedure.ref,
         "accession": one.order.accession, "patient": one.patient.ref, "patient_id": one.patient.identifier.value,
         "name": one.patient.name, "why": list(one.why)}
        for one in found
    ]  # fmt: skip
    columns = ["score", "order", "procedure", "accession", "patient", "patient_id", "name", "why"]
    output.listing(rows, columns, json=json, empty="No order comes near.")


def repair(
    item: ItemRef,
    order: Annotated[int, typer.Option(help="They belong to this order.")] = 0,
    patient: Annotated[int, typer.Option(help="They are this patient's, without an order.")] = 0,
    why: Why = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Repair: from now on the images are answered with the patient and accession number of the order.

    What was received stays as it is; `undo` takes the repair back.

    Example:

      vesalius ris reconcile repair 3 --order 12 --why 'ID typed at the console'
    """
    from vesalius.cli.output import note
    from vesalius.ris import reconcile

    if bool(order) == bool(patient):
        raise typer.BadParameter("name an order or a patient", param_hint="--order")
    with options.archive(data, config) as archive:
        by, rules = options.by(archive, why), archive.ris_rules
        done = archive.ris.change(
            lambda work: (
                reconcile.repair(work, by, item, order, rules)
                if order
                else reconcile.repair_patient(work, by, item, patient, rules)
            )
        )
    note(f"item {item} is repaired (repair {done.repair})")


def accept(item: ItemRef, why: Why = "", data: options.Data = None, config: options.Config = None) -> None:
    """The images are right as they are.

    Example:

      vesalius ris reconcile accept 3 --why 'from another hospital'
    """
    from vesalius.cli.output import note
    from vesalius.ris import reconcile

    with options.archive(data, config) as archive:
        archive.ris.change(lambda work: reconcile.accept(work, options.by(archive, why), item))
    note(f"item {item} is accepted")


def undo(item: ItemRef, why: Why = "", data: options.Data = None, config: options.Config = None) -> None:
    """Take back what was decided: the images answer what was received, and the item is on the list again.

    Example:

      vesalius ris reconcile undo 3
    """
    from vesalius.cli.output import note
    from vesalius.ris import reconcile

    with options.archive(data, config) as archive:
        archive.ris.change(lambda work: reconcile.undo(work, options.by(archive, why), item, archive.ris_rules))
    note(f"item {item} is open again")


for _name, _command in (
    ("list", list_items), ("show", show), ("repair", repair), ("accept", accept), ("undo", undo),
):  # fmt: skip
    app.command(_name, help=options.help_of(_command))(_command)
