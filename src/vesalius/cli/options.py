"""Options that many commands share, and the settings and archive that follow from them.

`--data` and `--config` may stand before the command or after it; after it wins. Everything heavy is imported
inside functions, because `vesalius --help` must answer at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vesalius.app.settings import Settings
    from vesalius.app.wiring import Archive
    from vesalius.model.entities import Peer
    from vesalius.model.orders import By, Identifier

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data directory of the archive (default ./data).", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration in TOML (default DIR/vesalius.toml, if there).",
        show_default=False,
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")]
PeerName = Annotated[
    str, typer.Option("--peer", metavar="NAME", help="A peer by name: see `vesalius peers list`.", show_default=False)
]


def help_of(command: Callable[..., object]) -> str:
    """The help text of a command: its docstring, prose unwrapped (the terminal wraps), examples line by line."""
    text = ""
    for block in inspect.cleandoc(command.__doc__ or "").split("\n\n"):
        if block.startswith(" "):
            text += ("\n" if text.endswith("\n\n") or text.rpartition("\n")[2].startswith(" ") else "\n\n") + block
        else:
            text += "\n\n" + " ".join(line.strip() for line in block.splitlines())
    return text.strip()


class GlobalOptions:
    """What stood before the command."""

    def __init__(self, data: Path | None = None, config: Path | None = None) -> None:
        self.data = data
        self.config = config


_GLOBALS: ContextVar[GlobalOptions | None] = ContextVar("vesalius_global_options", default=None)


def set_globals(data: Path | None, config: Path | None) -> None:
    """Remember what stood before the command."""
    _GLOBALS.set(GlobalOptions(data, config))


def settings(data: Path | None, config: Path | None, **pairs: Any) -> Settings:
    """The settings of this call; keyword names have `__` for the dot. Raises `SettingsError`."""
    from vesalius.app.settings_load import load

    given = _GLOBALS.get() or GlobalOptions()
    data, config = data or given.data, config or given.config
    arguments = {name.replace("__", "."): value for name, value in pairs.items()}
    return load({"data": None if data is None else str(data), **arguments}, config=config)


@contextmanager
def archive(data: Path | None, config: Path | None, *, must_exist: bool = True, **pairs: Any) -> Iterator[Archive]:
    """The archive of this call, for a command that works on the data directory itself.

    It may do so while the service runs: packs are locked one by one and the database is made for many writers.
    """
    from vesalius.app import logs
    from vesalius.app.wiring import build

    wanted = settings(data, config, **pairs)
    logs.configure("warning", "text" if wanted.log.format == "auto" else wanted.log.format)
    opened = build(wanted, must_exist=must_exist)
    try:
        yield opened
    finally:
        opened.close()


def peer_named(name: str, peers: dict[str, Peer]) -> Peer:
    """The peer of that name. Raises `SettingsError` with the nearest known name."""
    import difflib

    from vesalius.model.errors import SettingsError

    if name in peers:
        return peers[name]
    near = difflib.get_close_matches(name, peers, 1, 0.5)
    hint = f"Did you mean {near[0]}?" if near else "Add it: vesalius peers add NAME HOST PORT --aet AET"
    raise SettingsError(f"there is no peer {name!r}", hint=hint)


def by(archive: Archive, why: str = "") -> By:
    """Who changes something from the command line: the user of the system."""
    import getpass

    from vesalius.model.orders import By

    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        who = "command line"
    return By(who, archive.clock.utc(), why)


def identifier(text: str) -> Identifier:
    """`VALUE` or `VALUE^ISSUER`."""
    from vesalius.model.orders import Identifier

    value, _, issuer = text.partition("^")
    return Identifier(value, issuer)
