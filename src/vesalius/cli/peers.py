"""`vesalius peers`: the other application entities that this archive knows, and what they may do here."""

from __future__ import annotations

from typing import Annotated

import typer

from vesalius.cli import options

app = typer.Typer(no_args_is_help=True, help="The application entities that this archive knows.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the peer in commands.", show_default=False)]


def add(
    name: Name,
    host: Annotated[str, typer.Argument(metavar="HOST", help="Host name or address.", show_default=False)],
    port: Annotated[int, typer.Argument(metavar="PORT", min=1, max=65535, show_default=False)],
    aet: Annotated[
        str | None, typer.Option(help="Its AE title (default: NAME in capitals).", show_default=False)
    ] = None,
    allow: Annotated[
        str,
        typer.Option(
            metavar="RIGHTS", help="store,query,retrieve,commit,worklist,notify,workitems: what it may do here."
        ),
    ] = "",
    move_to: Annotated[
        str, typer.Option(metavar="NAMES", help="Peers that it may have images moved to; * for any (default: itself).")
    ] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Reach it over TLS.")] = False,
    refuse_conflicts: Annotated[
        bool, typer.Option("--refuse-conflicts", help="Refuse its instance where another with its UID is kept.")
    ] = False,
    duties: Annotated[
        str,
        typer.Option(
            metavar="DUTIES",
            help="ask-commitment, commit-same-association, notify-availability, forward-mpps: what this archive does "
            "for it by itself.",
        ),
    ] = "",
    comment: Annotated[str, typer.Option(help="For people.")] = "",
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Add a peer, or change the one of that name. A running service knows it within two seconds.

    Without --allow a peer may do nothing here but echo; we may still send to it and ask it.

    Examples:

      vesalius peers add CT1 10.0.0.21 104 --aet CT_ROOM1 --allow store

      vesalius peers add VIEWER ws7.example 11112 --allow query,retrieve

      vesalius peers add ROUTER 10.0.0.5 104 --allow query,retrieve --move-to 'VIEWER,PACS2'
    """
    from vesalius.cli.output import note
    from vesalius.dimse.access import is_ae_title
    from vesalius.model.entities import DUTIES, RIGHTS, Peer

    rights, tasks = _names(allow), _names(duties)
    for asked, known, noun, option in ((rights, RIGHTS, "right", "--allow"), (tasks, DUTIES, "duty", "--duties")):
        unknown = [word for word in asked if word not in known]
        if unknown:
            raise typer.BadParameter(f"{unknown[0]!r} is no {noun}; known: {', '.join(known)}", param_hint=option)
    title = aet or name.upper()
    if not is_ae_title(title):
        raise typer.BadParameter(f"{title!r} is no AE title: 1 to 16 ASCII characters", param_hint="--aet")
    peer = Peer(
        name=name, host=host, port=port, aet=title, rights=frozenset(rights), move_to=tuple(_names(move_to)),
        tls=tls, refuse_conflicts=refuse_conflicts, comment=comment, duties=frozenset(tasks),
    )  # fmt: skip
    with options.archive(data, config, must_exist=False) as archive:
        _not_configured(archive.settings, name)
        archive.index.save_peer(peer)
    note(f"{name}: {title}@{host}:{port}, may {', '.join(sorted(rights)) or 'do nothing here'}")


def list_peers(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """List the peers of the database and of the configuration file.

    Examples:

      vesalius peers list

      vesalius peers list --json | jq -r .aet
    """
    from vesalius.app.wiring import configured_peers
    from vesalius.cli import output

    with options.archive(data, config, must_exist=False) as archive:
        configured = configured_peers(archive.settings)
        rows = [
            {
                "name": peer.name,
                "aet": peer.aet,
                "host": peer.host,
                "port": peer.port,
                "allow": sorted(peer.rights),
                "move_to": list(peer.move_to),
                "tls": peer.tls,
                "refuse_conflicts": peer.refuse_conflicts,
                "duties": sorted(peer.duties),
                "from": "configuration" if peer.name in configured else "database",
                "comment": peer.comment,
            }
            for peer in sorted(archive.peers().values(), key=lambda one: one.name)
        ]
    columns = ["name", "aet", "host", "port", "allow", "move_to", "tls", "from", "comment"]
    output.listing(rows, columns, json=json, empty="No peers. Add one: vesalius peers add NAME HOST PORT --aet AET")


def remove(name: Name, data: options.Data = None, config: options.Config = None) -> None:
    """Forget a peer. Ends with 4 if there was none of that name.

    Example:

      vesalius peers remove CT1
    """
    from vesalius.cli import exit_codes
    from vesalius.cli.output import note

    with options.archive(data, config) as archive:
        _not_configured(archive.settings, name)
        known = archive.index.remove_peer(name)
    note(f"{name} is forgotten." if known else f"There is no peer {name}.")
    raise typer.Exit(exit_codes.OK if known else exit_codes.NOT_FOUND)


def test(name: Name, json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """Ask a peer whether it is there and speaks with us (C-ECHO). Ends with 3 if not.

    Example:

      vesalius peers test CT1
    """
    from vesalius.cli.echo import echo

    echo(peer=name, json=json, data=data, config=config)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _not_configured(settings: object, name: str) -> None:
    from vesalius.app.settings import Settings
    from vesalius.app.wiring import configured_peers
    from vesalius.model.errors import SettingsError

    if isinstance(settings, Settings) and name in configured_peers(settings):
        raise SettingsError(f"{name} stands in the configuration file", hint="Change it there.")


for _name, _command in (("add", add), ("list", list_peers), ("remove", remove), ("test", test)):
    app.command(_name, help=options.help_of(_command))(_command)
