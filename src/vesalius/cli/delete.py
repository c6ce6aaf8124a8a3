"""`vesalius delete` and `vesalius undelete`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.archive.delete import Delete
    from vesalius.model.entities import Deletion

_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_COLUMNS = ["deletion", "state", "at", "until", "study", "level", "instances", "reason", "who"]


def delete(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.", show_default=False)],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept for ever.", show_default=False)
    ],
    series: Annotated[
        str, typer.Option("--series", metavar="UID", help="Only this series of it.", show_default=False)
    ] = "",
    instance: Annotated[
        str, typer.Option("--instance", metavar="UID", help="Only this instance of it.", show_default=False)
    ] = "",
    yes: _Yes = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Delete a study, one of its series, or one instance.

    It is gone at once for everybody who asks, but its bytes are kept for a while (`store.undelete_window`, thirty days
    by default): until then `vesalius undelete` brings it back. After that they are destroyed in every place.

    Examples:

      vesalius delete 1.2.3.4 --reason "sent under the wrong patient"

      vesalius delete 1.2.3.4 --series 1.2.3.4.5 --reason "localizer, unreadable" --yes

    Ends with 0 if it was deleted, 1 if you said no, 4 if nothing is kept under these UIDs.
    """
    from vesalius.cli import exit_codes, output
    from vesalius.model.errors import NoSuchInstance, SettingsError

    if not reason.strip():
        raise SettingsError("--reason: say why", hint='For example --reason "sent under the wrong patient".')
    with options.archive(data, config) as archive:
        found = archive.index.kept(study, series, instance)
        if not found:
            raise NoSuchInstance("nothing is kept under these UIDs", hint="See what there is: vesalius find")
        verbs = _verbs(archive)
        promised = verbs.promised(study, series, instance)
        if promised:
            output.note(
                f"Storage commitment was given for {promised:,} of them: their senders may have no copy any more."
            )
        if not yes:
            kept = sum(one.member.dataset_length for one in found)
            what = "instance" if instance else "series" if series else "study"
            if not typer.confirm(f"Delete this {what}, {len(found):,} instances ({output.size(kept)})?", err=True):
                raise typer.Exit(exit_codes.FAILED)
        made = verbs.delete(study, series, instance, reason=reason.strip(), who=_who())
        if json:
            output.facts({**_row(made, verbs), "committed": promised}, json=True)
        else:
            output.note(
                f"Deleted {made.instances:,} instances. To take it back until {_day(verbs.ends(made))}: "
                f"vesalius undelete {made.id}"
            )


def undelete(
    deletion: Annotated[
        str, typer.Argument(metavar="[DELETION]", help="Id of the deletion, or its study's UID.", show_default=False)
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="List what was deleted instead, newest first.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", show_default=False)] = "",
    yes: _Yes = False,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Bring back what was deleted, or list what was.

    Given a study, its newest deletion that can still be taken back is meant.

    Examples:

      vesalius undelete --list

      vesalius undelete 0a1b2c3d4e5f60718293a4b5c6d7e8f9

      vesalius undelete 1.2.3.4 --reason "it was the right patient after all"

    Ends with 0 if it is back, 1 if it can not be taken back any more or you said no, 4 if there is no such deletion.
    """
    from vesalius.cli import exit_codes, output
    from vesalius.model.errors import NoSuchInstance, SettingsError

    if bool(deletion) == listed:
        raise SettingsError("undelete: name a deletion, or ask for the --list")
    with options.archive(data, config) as archive:
        verbs = _verbs(archive)
        if listed:
            output.listing([_row(one, verbs) for one in archive.index.deletions()], _COLUMNS, json=json)
            return
        found = archive.index.deletions(deletion=deletion) or archive.index.deletions(study=deletion, state="deleted")
        if not found:
            raise NoSuchInstance("there is no deletion of this id or study", hint="See: vesalius undelete --list")
        if not yes and not typer.confirm(f"Bring back {found[0].instances:,} instances?", err=True):
            raise typer.Exit(exit_codes.FAILED)
        made = verbs.undelete(found[0].id, who=_who(), reason=reason.strip())
        if json:
            output.facts(_row(made, verbs), json=True)
        else:
            output.note(f"Brought back {made.instances:,} instances of study {made.study}.")


def _verbs(archive: Archive) -> Delete:
    from vesalius.archive.delete import Delete

    window = archive.settings.store.undelete_window
    return Delete(
        archive.index,
        archive.blobs,
        archive.ingest,
        archive.clock,
        window=window,
        promised=archive.commit.kept.promised,
    )


def _who() -> str:
    """The account of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _day(moment: str) -> str:
    return moment[:16].replace("T", " ") + " UTC"


def _row(deletion: Deletion, verbs: Delete) -> dict[str, Any]:
    return {
        "deletion": deletion.id,
        "state": deletion.state,
        "level": deletion.level.name,
        "study": deletion.study,
        "series": deletion.series,
        "instance": deletion.sop_instance,
        "at": deletion.at,
        "until": verbs.ends(deletion),
        "who": deletion.who,
        "reason": deletion.reason,
        "instances": deletion.instances,
        "bytes": deletion.bytes,
    }
