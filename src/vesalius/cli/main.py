"""The command line: `vesalius COMMAND`. Commands live in their own modules and import heavy things when they run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from vesalius import __version__
from vesalius.cli import exit_codes, lean, options

__all__ = ["app", "lean", "main"]

app = typer.Typer(
    name="vesalius",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 refused or failed in part; 2 wrong use; 3 peer unreachable or refusing; "
    "4 not found; 5 store damaged.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vesalius {__version__}")
        raise typer.Exit


@app.callback()
def vesalius(
    data: options.Data = None,
    config: options.Config = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """An open archive for medical images.

    Start it with `vesalius serve`, fill it with `vesalius demo` or `vesalius import PATH`, look into it with
    `vesalius find`. Every command has its own --help with examples.
    """
    options.set_globals(data, config)


def _add(name: str, command: Callable[..., None], panel: str) -> None:
    app.command(name, rich_help_panel=panel, help=options.help_of(command))(command)


def _register() -> None:
    from vesalius.cli import (
        commitments,
        delete,
        demo,
        echo,
        export,
        find,
        hl7,
        import_,
        jobs,
        modality,
        notes,
        peers,
        reindex,
        retrieve,
        ris,
        send,
        serve,
        simulate,
        stats,
        verify,
        volume,
        worklist,
    )

    run, move, care = "Run and look", "To and from others", "Care"
    _add("serve", serve.serve, run)
    _add("demo", demo.demo, run)
    _add("find", find.find, run)
    _add("stats", stats.stats, run)
    _add("notes", notes.notes, run)
    app.add_typer(volume.app, name="volume", rich_help_panel=run)
    app.add_typer(ris.app, name="ris", rich_help_panel=run)
    _add("import", import_.import_, move)
    _add("export", export.export, move)
    _add("send", send.send, move)
    _add("retrieve", retrieve.retrieve, move)
    _add("echo", echo.echo, move)
    _add("worklist", worklist.worklist, move)
    app.add_typer(hl7.app, name="hl7", rich_help_panel=move)
    app.add_typer(peers.app, name="peers", rich_help_panel=move)
    _add("commit", commitments.commit, move)
    _add("commitments", commitments.commitments, move)
    _add("modality", modality.modality, move)
    app.add_typer(simulate.app, name="simulate", rich_help_panel=move)
    _add("notify", commitments.notify, move)
    _add("availability", commitments.availability, move)
    _add("delete", delete.delete, care)
    _add("undelete", delete.undelete, care)
    _add("verify", verify.verify, care)
    _add("reindex", reindex.reindex, care)
    app.add_typer(jobs.app, name="jobs", rich_help_panel=care)


_register()


def main() -> None:
    """Entry point of the console script: every error of the tree becomes two lines and an exit code."""
    from vesalius.model.errors import VesaliusError

    try:
        app()
    except VesaliusError as error:
        from vesalius.app.logs import clean

        print(f"vesalius: {clean(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  {clean(error.hint)}", file=sys.stderr)
        sys.exit(exit_codes.exit_code(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our output has gone (`| head`): nothing is wrong, and there is nobody to tell.
            sys.stderr.close()
            sys.exit(exit_codes.OK)
        print(f"vesalius: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(exit_codes.FAILED)
    except KeyboardInterrupt:
        sys.exit(exit_codes.INTERRUPTED)
