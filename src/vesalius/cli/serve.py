"""`vesalius serve`: run the archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.datadir import Running


def serve(
    data: options.Data = None,
    config: options.Config = None,
    host: Annotated[
        str | None, typer.Option(help="Address of the DICOM ports (default 127.0.0.1).", show_default=False)
    ] = None,
    dimse_port: Annotated[
        int | None, typer.Option(help="Port for DICOM; 0: a free one (default 11112).", show_default=False)
    ] = None,
    http_host: Annotated[
        str | None, typer.Option(help="Address of the HTTP port (default 127.0.0.1).", show_default=False)
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(help="Port for health and metrics; 0: a free one (default 8042).", show_default=False),
    ] = None,
    ae_title: Annotated[
        str | None, typer.Option(help="AE title of this archive (default VESALIUS).", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="DIMSE processes; 0: one per processor (the default).", show_default=False)
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://... instead of the SQLite file.", show_default=False),
    ] = None,
    insecure_plain_dicom: Annotated[
        bool,
        typer.Option(
            "--insecure-plain-dicom",
            help="Serve DICOM without TLS on an address that is not loopback.",
        ),
    ] = False,
    insecure_plain_http: Annotated[
        bool,
        typer.Option("--insecure-plain-http", help="Serve HTTP without TLS on an address that is not loopback."),
    ] = False,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error (default info).", show_default=False)
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="json, text, or auto: text on a terminal.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SETTING=VALUE", help="Any setting: --set limits.idle=60. May be repeated."),
    ] = None,
) -> None:
    """Run the archive until Ctrl-C (or SIGTERM).

    It receives, finds and gives back images over DICOM, and answers /health, /ready and /metrics over HTTP.
    Without options it listens on this machine alone, and everything lies in ./data.

    Examples:

      vesalius serve

      vesalius serve --data /srv/images --ae-title ARCHIVE --workers 4

      vesalius serve --host 0.0.0.0 --insecure-plain-dicom     (a closed network)

      vesalius serve --config /etc/vesalius.toml --log-format json

    Ends with 0 after a stop that was asked for, 2 for a wrong setting, 1 for anything else.
    """  # fmt: skip
    from vesalius.app import logs
    from vesalius.app.lifecycle import serve as run

    named = {
        "server__host": host,
        "server__dimse_port": dimse_port,
        "server__http_host": http_host,
        "server__http_port": http_port,
        "server__ae_title": ae_title,
        "server__workers": workers,
        "database": database,
        "server__insecure_plain_dicom": insecure_plain_dicom or None,
        "server__insecure_plain_http": insecure_plain_http or None,
        "log__level": log_level,
        "log__format": log_format,
    }
    given = {name: value for name, value in named.items() if value is not None}
    wanted = options.settings(data, config, **{**given, **_pairs(set_)})
    logs.configure(wanted.log.level, wanted.log.format)
    raise typer.Exit(run(wanted, _announce))


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        name, found, value = text.partition("=")
        if not found:
            raise typer.BadParameter(f"{text!r} is not SETTING=VALUE", param_hint="--set")
        pairs[name.strip().replace(".", "__")] = value.strip()
    return pairs


def _announce(running: Running) -> None:
    """For people on a terminal; programs have the `ready` line of the log."""
    if not sys.stdout.isatty():
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    grid = Table.grid(padding=(0, 3))
    grid.add_column(style="dim")
    grid.add_column()
    for one in running.listeners.dimse:
        grid.add_row("DICOM", f"[bold]{running.ae_title}[/]@{one.host}:{one.port}{'  TLS' if one.tls else ''}")
    for one in running.listeners.hl7:
        grid.add_row("HL7", f"{one.host}:{one.port}{'  TLS' if one.tls else ''}")
    http = running.listeners.http
    grid.add_row("HTTP", f"http{'s' if http.tls else ''}://{http.host}:{http.port}/")
    grid.add_row("Data", str(Path(running.data).absolute()))
    grid.add_row("Workers", f"{running.workers}, ready in {running.seconds:.1f} s")
    console.print()
    console.print("[bold]Vesalius[/] is ready. Ctrl-C stops it.")
    console.print(grid)
    console.print()
