"""`[AET@]HOST:PORT`: an application entity that a command talks to without its being a peer of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vesalius.model.entities import Peer


def peer_at(text: str, option: str, *, name: str, aet: str) -> Peer:
    """The peer that an address means; `aet` where the address names none. Raises `typer.BadParameter`."""
    from vesalius.model.entities import Peer
    from vesalius.model.identifiers import is_valid_aet

    title, found, rest = text.rpartition("@")
    host, port = host_and_port(rest, option)
    title = title if found else aet
    if not is_valid_aet(title):
        raise typer.BadParameter(f"{title!r} is no AE title", param_hint=option)
    return Peer(name=name, host=host, port=port, aet=title)


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """`HOST:PORT`. Raises `typer.BadParameter`."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT", param_hint=option)
    return host, int(port)
