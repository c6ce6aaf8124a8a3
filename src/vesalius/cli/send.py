"""`vesalius send`: C-STORE to a peer, from the archive or from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.cli.items import Item
    from vesalius.model.entities import StoredInstance


def send(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="UID|PATH...", help="UIDs of studies, series or instances; files; folders.", show_default=False
        ),
    ],
    peer: options.PeerName,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Send instances to a peer (C-STORE).

    A UID may be that of a study, a series or an instance of this archive. A PATH may be a DICOM file, a folder, a ZIP
    archive or a DICOMDIR. Each instance goes as it is stored if the peer takes that transfer syntax, else
    decoded to one that loses nothing.

    Examples:

      vesalius send --peer PACS2 1.2.840.113619.2.55.3

      vesalius send --peer PACS2 ./ct-series image.dcm

    Ends with 0 if all were taken, 1 if some were not, 3 if the peer could not be reached, 4 if a UID is not known.
    """  # fmt: skip
    from vesalius.cli import exit_codes, network, output
    from vesalius.model.commitments import Reference

    with options.archive(data, config, must_exist=False) as archive:
        target = options.peer_named(peer, archive.peers())
        items, refused = _items(archive, what)
        with output.progress(f"to {peer}", len(items)) as advance:
            report = network.send(items, target, archive.settings, progress=advance)
        if "ask-commitment" in target.duties and report.taken:
            archive.commit.plan(target, [Reference(*taken) for taken in report.taken])
    report.failed[:0] = refused
    if json:
        output.facts(
            {
                "peer": peer,
                "sent": report.sent,
                "bytes": report.bytes,
                "warnings": [{"instance": uid, "reason": why} for uid, why in report.warnings],
                "failed": [{"instance": uid, "reason": why} for uid, why in report.failed],
            },
            json=True,
        )
    else:
        output.note(f"{report.sent} sent ({output.size(report.bytes)}), {len(report.failed)} failed.")
        output.listing(
            [{"instance": uid, "reason": why} for uid, why in (*report.warnings, *report.failed)],
            ["instance", "reason"],
            json=False,
        )
    raise typer.Exit(exit_codes.FAILED if report.failed else exit_codes.OK)


def _items(archive: Archive, what: list[str]) -> tuple[list[Item], list[tuple[str, str]]]:
    from vesalius.cli.items import ArchiveItem, file_items
    from vesalius.model.errors import NoSuchInstance, SettingsError
    from vesalius.model.identifiers import is_valid_uid

    items: list[Item] = []
    paths = []
    for text in what:
        if Path(text).exists():
            paths.append(Path(text))
        elif not is_valid_uid(text):
            raise SettingsError(f"{text!r} is neither a file nor a UID")
        else:
            found = archive_instances(archive, text)
            if not found:
                raise NoSuchInstance(f"no study, series or instance {text} is kept here")
            items += [ArchiveItem(archive, one) for one in found]
    files, refused = file_items(archive, paths) if paths else ([], [])
    return [*items, *files], refused


def archive_instances(archive: Archive, uid: str) -> list[StoredInstance]:
    """The instances under a UID of any level."""
    from vesalius.model.entities import Level

    index = archive.index
    return (
        list(index.select(Level.STUDY, studies=(uid,)))
        or list(index.select(Level.SERIES, series=(uid,)))
        or list(index.select(Level.IMAGE, instances=(uid,)))
    )
