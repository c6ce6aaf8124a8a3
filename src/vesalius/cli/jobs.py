"""`vesalius jobs`: what has been promised and is still to be done, and what was given up."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from vesalius.cli import options

app = typer.Typer(no_args_is_help=True, help="What is still to be done, and what was given up.")


class JobState(Enum):
    """The states of a job, as choices."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


def list_jobs(
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="Only of this kind, as commitment.report.", show_default=False)
    ] = "",
    state: Annotated[JobState | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    limit: options.Limit = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List jobs: what the service does behind its answers, each with what went wrong last.

    Examples:

      vesalius jobs list --state failed

      vesalius jobs list --kind commitment.report --json
    """
    from vesalius.cli import output
    from vesalius.ports.jobs import State

    with options.archive(data, config) as archive:
        found = archive.jobs.list(kind=kind, state=State(state.value) if state else None, limit=limit)
    rows = [
        {
            "id": job.id,
            "kind": job.kind,
            "state": job.state.value,
            "attempts": job.attempts,
            "key": job.key or "",
            "payload": dict(job.payload),
            "created_at": job.created_at,
            "not_before": job.not_before,
            "lease_until": job.lease_until,
            "done_at": job.done_at,
            "last_error": job.last_error,
        }
        for job in found
    ]
    columns = ["id", "kind", "state", "attempts", "key", "not_before", "last_error"]
    output.listing(rows, columns, json=json, empty="No jobs.")


def replay(
    job: Annotated[int, typer.Argument(metavar="ID", help="Number of the job.", show_default=False)],
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Do a job again: one that failed or is done is opened anew, one that waits is due at once.

    Ends with 4 where there is no such job, or where another one about the same thing is open.

    Example:

      vesalius jobs replay 42
    """
    from vesalius.cli import exit_codes, output

    with options.archive(data, config) as archive:
        opened = archive.jobs.replay(job)
    output.note(f"Job {job} is due now." if opened else f"There is no job {job} that could be done again.")
    raise typer.Exit(exit_codes.OK if opened else exit_codes.NOT_FOUND)


for _name, _command in (("list", list_jobs), ("replay", replay)):
    app.command(_name, help=options.help_of(_command))(_command)
