"""`vesalius worklist`: the worklist of another system, asked as a modality asks it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vesalius.cli import options

# What one looks for first; those of the scheduled step stand in its sequence.
_TOP = ("PatientName", "PatientID", "AccessionNumber", "RequestedProcedureDescription", "StudyInstanceUID")
_STEP = (
    "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "ScheduledStationAETitle", "Modality",
    "ScheduledProcedureStepID",
)  # fmt: skip


def worklist(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE", help="PatientName=Doe*, ScheduledStationAETitle=CT1 ...", show_default=False
        ),
    ] = None,
    peer: Annotated[str, typer.Option("--peer", metavar="NAME", help="The peer to ask.", show_default=False)] = "",
    station: Annotated[str, typer.Option(help="Only steps of this AE title.")] = "",
    modality: Annotated[str, typer.Option(help="Only CT, MR, US, ...")] = "",
    date: Annotated[str, typer.Option(help="YYYYMMDD or a range, YYYYMMDD-YYYYMMDD.")] = "",
    calling: Annotated[
        str, typer.Option("--as", metavar="AET", help="Ask under this AE title.", show_default="our own")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Ask for every key that a worklist may have.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many answers.", show_default=False)] = None,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Ask a peer for its modality worklist, by C-FIND. What this archive answers others says `vesalius ris worklist`.

    Keys are written as for `vesalius find`; those of a scheduled step go into its sequence by themselves.

    Examples:

      vesalius worklist --peer RIS --station CT1 --date 20261124

      vesalius worklist --peer RIS 'PatientName=Doe*' --all --json

    Ends with 0 if something was found, 4 if nothing was, 3 if the peer refused.
    """
    from vesalius.cli import exit_codes, network, output
    from vesalius.cli.keys import as_row, parse_keys, tag_of_key
    from vesalius.dimse.worklist import EVERYTHING
    from vesalius.model import reading
    from vesalius.model.entities import Values
    from vesalius.model.errors import SettingsError
    from vesalius.model.worklist import KEYS, MODALITY, START_DATE, STATION, STEP_SEQUENCE

    if not peer:
        raise SettingsError("no peer is named", hint="vesalius worklist --peer NAME; `vesalius peers list` says which.")
    asked = parse_keys(keys or ())
    inside = reading.item(asked, STEP_SEQUENCE)
    inside |= {tag: asked.pop(tag) for tag in list(asked) if tag in KEYS[STEP_SEQUENCE] and tag not in KEYS[None]}
    inside |= {tag: (text,) for tag, text in ((STATION, station), (MODALITY, modality), (START_DATE, date)) if text}
    step: Values = dict.fromkeys(map(tag_of_key, _STEP), ())
    question: Values = dict.fromkeys(map(tag_of_key, _TOP), ())
    if everything:
        step, question = dict(reading.item(EVERYTHING, STEP_SEQUENCE)), dict(EVERYTHING)
    question |= asked
    question[STEP_SEQUENCE] = (step | inside,)
    answers = (as_row(one) for one in network.worklist(peer, question, calling, limit=limit, data=data, config=config))
    rows = answers if json else (_flat(row) for row in answers)
    columns = [*_STEP, *_TOP]
    count = output.listing(rows, columns, json=json, empty="Nothing is planned.")
    raise typer.Exit(exit_codes.OK if count else exit_codes.NOT_FOUND)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """An answer with what its step says beside the rest, for a table."""
    steps = row.get("ScheduledProcedureStepSequence")
    return {**row, **steps[0]} if isinstance(steps, list) and steps else row
