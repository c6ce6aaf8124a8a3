"""`vesalius ris`: stations, procedures, patients, the worklist and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options, ris_catalogue, ris_orders, ris_performed, ris_reconcile
from vesalius.cli.ris_catalogue import Aet

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.model.orders import Patient

app = typer.Typer(no_args_is_help=True, help="The radiology workflow: patients, orders, schedule, reconciliation.")
patients = typer.Typer(no_args_is_help=True, help="Patients, and records that were merged.")

PatientId = Annotated[str, typer.Argument(metavar="PATIENT_ID", help="Patient ID, or ID^ISSUER.", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="Why: it is kept with the change.")]


def add_patient(
    patient_id: PatientId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Family^Given", show_default=False)],
    birth_date: Annotated[str, typer.Option(help="YYYYMMDD")] = "",
    sex: Annotated[str, typer.Option(help="M, F or O")] = "",
    unidentified: Annotated[bool, typer.Option("--unidentified", help="An emergency patient, named later.")] = False,
    why: Why = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Add a patient, or change what is known of the one with this ID; their images follow.

    Example:

      vesalius ris patients add 4711 'Doe^Jane' --birth-date 19700101 --sex F
    """
    from vesalius.cli.output import note
    from vesalius.model.orders import Patient
    from vesalius.ris import patients as verbs

    patient = Patient(options.identifier(patient_id), name, birth_date, sex, unidentified=unidentified)
    with options.archive(data, config, must_exist=False) as archive:
        made = archive.ris.change(
            lambda work: verbs.add_or_update(work, options.by(archive, why), patient, archive.ris_rules)
        )
    note(f"patient {made.ref}")


def list_patients(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="A word of the name, or the beginning of the ID.")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List patients, newest first.

    Example:

      vesalius ris patients list doe
    """
    from vesalius.cli import output

    with options.archive(data, config) as archive:
        found = archive.ris.look(lambda view: view.patients(text=text, limit=limit))
    rows = [
        {"ref": one.ref, "patient_id": one.identifier.value, "issuer": one.identifier.issuer, "name": one.name,
         "birth_date": one.birth_date, "sex": one.sex}
        for one in found
    ]  # fmt: skip
    output.listing(rows, ["ref", "patient_id", "issuer", "name", "birth_date", "sex"], json=json, empty="No patients.")


def merge_patients(
    survivor: PatientId,
    gone: Annotated[str, typer.Argument(metavar="GONE", help="The ID that goes.", show_default=False)],
    why: Why = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Merge the record GONE into PATIENT_ID, with its visits, orders and images. `unmerge` takes it back.

    Example:

      vesalius ris patients merge 4711 TEMP-7
    """
    from vesalius.cli.output import note
    from vesalius.model.orders import Patient
    from vesalius.ris import patients as verbs

    with options.archive(data, config) as archive:

        def work(unit: Any) -> Any:
            rules = archive.ris_rules
            keep = _known(unit, archive, survivor)
            key = rules.issued(options.identifier(gone)).key
            lose = unit.first(Patient, identity=key) or _known(unit, archive, gone)
            return verbs.merge(unit, options.by(archive, why), keep.ref, lose.ref, rules)

        made = archive.ris.change(work)
    note(f"merge {made.ref}")


def list_merges(
    patient_id: PatientId,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List the merges that a patient's record had part in, whoever made them, with the numbers that `unmerge` takes.

    Example:

      vesalius ris patients merges 4711
    """
    from vesalius.cli import output
    from vesalius.model.orders import Patient
    from vesalius.ris import patients as verbs

    with options.archive(data, config) as archive:

        def work(view: Any) -> list[dict[str, Any]]:
            key = archive.ris_rules.issued(options.identifier(patient_id)).key
            record = view.first(Patient, identity=key) or _known(view, archive, patient_id)
            rows = []
            for one in verbs.merges(view, record.ref):
                kept, gone = view.get(Patient, one.survivor).identifier, view.get(Patient, one.gone).identifier
                rows.append(
                    {"merge": one.ref, "survivor": kept.value, "gone": gone.value, "at": one.at, "who": one.who,
                     "why": one.why, "taken_back": one.undone_at}
                )  # fmt: skip
            return rows

        rows = archive.ris.look(work)
    output.listing(
        rows, ["merge", "survivor", "gone", "at", "who", "why", "taken_back"], json=json, empty="It was never merged."
    )


def unmerge_patients(
    merge: Annotated[int, typer.Argument(metavar="MERGE", help="Its number.", show_default=False)],
    why: Why = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Take a merge back: what it moved goes back, and images answer what they did before. `merges` has its number.

    Example:

      vesalius ris patients unmerge 3
    """
    from vesalius.cli.output import note
    from vesalius.ris import patients as verbs

    with options.archive(data, config) as archive:
        archive.ris.change(lambda work: verbs.unmerge(work, options.by(archive, why), merge, archive.ris_rules))
    note(f"merge {merge} is taken back")


def worklist(
    aet: Aet,
    date: Annotated[str, typer.Option(help="YYYYMMDD or a range, YYYYMMDD-YYYYMMDD.")] = "",
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """What a station with this AE title is answered when it asks for its worklist.

    Example:

      vesalius ris worklist CT1 --date 20261124
    """
    from vesalius.cli import output
    from vesalius.ris.worklist import Worklist

    tags = {"start": 0x00400002, "time": 0x00400003, "station": 0x00400001, "modality": 0x00080060, "step": 0x00400009}
    top = {"patient_id": 0x00100020, "name": 0x00100010, "accession": 0x00080050}
    step: Any = dict.fromkeys(tags.values(), ()) | ({0x00400002: (date,)} if date else {})
    question: Any = dict.fromkeys(top.values(), ()) | {0x00400100: (step,)}
    with options.archive(data, config) as archive:
        lists = Worklist(archive.ris, archive.ris_rules)
        rows = []
        for answer in lists.find(lists.understand(question), aet):
            item: Any = answer[0x00400100][0]
            row = {name: "\\".join(item[tag]) for name, tag in tags.items()}
            rows.append(row | {name: "\\".join(map(str, answer[tag])) for name, tag in top.items()})
    output.listing(rows, [*tags, *top], json=json, empty=f"{aet} sees nothing.")


def events(
    since: Annotated[int, typer.Option(help="After this event.")] = 0,
    limit: Annotated[int, typer.Option(min=1)] = 1000,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """What became of the workflow, oldest first: what, when, who, why.

    Example:

      vesalius ris events --json | jq -r .kind
    """
    import dataclasses

    from vesalius.cli import output

    with options.archive(data, config) as archive:
        rows = [dataclasses.asdict(one) for one in archive.ris.look(lambda view: view.events(since, limit=limit))]
    columns = ["id", "at", "kind", "who", "why", "patient", "order", "step", "detail"]
    output.listing(rows, columns, json=json, empty="Nothing yet.")


def _known(view: Any, archive: Archive, text: str) -> Patient:
    from vesalius.model.errors import NoSuchRecord
    from vesalius.ris import patients as verbs

    found = verbs.find(view, options.identifier(text), archive.ris_rules)
    if found is None:
        raise NoSuchRecord("there is no patient with this ID")
    return found


for _group, _name, _command in (
    (patients, "add", add_patient), (patients, "list", list_patients), (patients, "merge", merge_patients),
    (patients, "merges", list_merges),
    (patients, "unmerge", unmerge_patients), (app, "worklist", worklist), (app, "events", events),
    (app, "performed", ris_performed.performed), (app, "discontinue", ris_performed.discontinue),
):  # fmt: skip
    _group.command(_name, help=options.help_of(_command))(_command)
for _name, _sub in (
    ("stations", ris_catalogue.stations), ("rooms", ris_catalogue.rooms), ("procedures", ris_catalogue.procedures),
    ("patients", patients), ("orders", ris_orders.orders),
    ("schedule", ris_orders.schedule), ("reconcile", ris_reconcile.app),
):  # fmt: skip
    app.add_typer(_sub, name=_name)
