"""`vesalius find`: questions to the own archive, or to another one by C-FIND."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from vesalius.cli import options


class LevelName(enum.StrEnum):
    """Query/Retrieve levels as words of the command line."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    IMAGE = "image"


def find(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="PatientName=Doe*, StudyDate=20240101-, 0010,0020=4711 ...",
            show_default=False,
        ),
    ] = None,
    level: Annotated[LevelName, typer.Option(help="What one answer is about.")] = LevelName.STUDY,
    peer: Annotated[
        str | None,
        typer.Option("--peer", metavar="NAME", help="Ask this peer by C-FIND instead.", show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many answers.", show_default=False)] = None,
    fuzzy: Annotated[bool, typer.Option("--fuzzy", help="Names that sound alike match, too.")] = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Find patients, studies, series or images.

    A KEY is a keyword, gggg,eeee or ggggeeee; without =VALUE it is only shown. * and ? are wildcards, a hyphen makes a
    range of dates or times, a backslash joins several values, SEQUENCE.KEY reaches into a sequence.

    Examples:

      vesalius find                                          all studies

      vesalius find 'PatientName=müller*' StudyDate=20240101-

      vesalius find --level series StudyInstanceUID=1.2.3.4 BodyPartExamined

      vesalius find --peer PACS2 PatientID=4711 --json

    Ends with 0 if something was found, 4 if nothing was, 3 if the peer refused.
    """  # fmt: skip
    from vesalius.cli import exit_codes, output
    from vesalius.cli.keys import DEFAULT_KEYS, label, parse_keys, tag_of_key
    from vesalius.model.entities import Level, Values

    at = Level[level.name]
    asked = parse_keys(keys or ())
    identifier: Values = {tag_of_key(name): () for name in DEFAULT_KEYS[at]} | asked
    columns = [label(tag) for tag in (*asked, *(tag for tag in identifier if tag not in asked))]
    ordered = [*(tag_name for tag_name in map(label, identifier) if tag_name in columns)]
    answers = (
        _from_peer(peer, identifier, at, limit, fuzzy, data, config)
        if peer
        else _from_archive(identifier, at, limit, fuzzy, data, config)
    )
    count = output.listing(answers, ordered, json=json, empty="Nothing was found.")
    raise typer.Exit(exit_codes.OK if count else exit_codes.NOT_FOUND)


def _from_archive(
    identifier: Any, level: Any, limit: int | None, fuzzy: bool, data: Any, config: Any
) -> Iterator[dict[str, Any]]:
    from vesalius.cli.keys import as_row
    from vesalius.model.query import Options, Root
    from vesalius.model.query_parser import parse

    # The command line is no SCU of old: everything that can be negotiated is granted.
    granted = Options(
        relational=True,
        combined_datetime=True,
        fuzzy_names=fuzzy,
        empty_value_matching=True,
        multiple_value_matching=True,
    )
    query = parse(identifier, Root.PATIENT, level, granted, limit=limit)
    with options.archive(data, config) as archive:
        for page in archive.search.find(query):
            for answer in page:
                yield as_row(answer)


def _from_peer(
    name: str, identifier: Any, level: Any, limit: int | None, fuzzy: bool, data: Any, config: Any
) -> Iterator[dict[str, Any]]:
    from vesalius.cli.keys import as_row
    from vesalius.cli.network import find as ask

    for answer in ask(name, identifier, level, limit=limit, fuzzy=fuzzy, data=data, config=config):
        yield as_row(answer)
