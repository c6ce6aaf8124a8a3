"""`vesalius commit`, `vesalius commitments`, `vesalius notify`, `vesalius availability`: promises among archives."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.model.commitments import Commitment

Studies = Annotated[
    list[str], typer.Option("--study", metavar="UID", help="A study of this archive; repeatable.", show_default=False)
]


class CommitmentRole(Enum):
    """Which side this archive is."""

    SCP = "scp"
    SCU = "scu"


def commit(
    study: Studies,
    peer: options.PeerName,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait so long for the result; 0: do not wait.")] = 0.0,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Ask a peer to commit itself to keeping the instances of a study (storage commitment).

    The request is kept and made by the running service, which also takes the result; `vesalius commitments` shows both.

    Examples:

      vesalius commit --peer PACS2 --study 1.2.840.113619.2.55.3

      vesalius commit --peer PACS2 --study 1.2.840.113619.2.55.3 --wait 60

    Ends with 0 if it was asked for (with --wait: if the peer committed itself to everything), 1 if it did not, 3 if no
    result came in time, 4 if a study is not known.
    """  # fmt: skip
    from vesalius.cli import exit_codes, output
    from vesalius.model.commitments import CommitmentState, Reference
    from vesalius.model.entities import Level
    from vesalius.model.errors import NoSuchInstance

    with options.archive(data, config) as archive:
        target = options.peer_named(peer, archive.peers())
        requests = []
        for uid in study:
            found = list(archive.index.select(Level.STUDY, studies=(uid,)))
            if not found:
                raise NoSuchInstance(f"no study {uid} is kept here")
            requests.append((uid, [Reference(one.sop_class, one.sop_instance) for one in found]))
        numbers = [archive.commit.plan(target, named, uid) for uid, named in requests]
        states = _await(archive, numbers, wait)
        rows = [_row(one) for number in numbers if (one := archive.commit.kept.get(number)) is not None]
    output.listing(rows, ["id", "study", "instances", "failed", "state", "remark"], json=json)
    if wait and not all(states.values()):
        raise typer.Exit(exit_codes.PEER)
    wrong = [state for state in states.values() if state not in (None, CommitmentState.COMMITTED)]
    raise typer.Exit(exit_codes.FAILED if wait and wrong else exit_codes.OK)


def _await(archive: Archive, numbers: list[int], seconds: float) -> dict[int, Any]:
    """The final state of each request; None where it has none yet."""
    import time

    from vesalius.model.commitments import CommitmentState

    open_states = (CommitmentState.PLANNED, CommitmentState.ASKED)
    end = time.monotonic() + seconds
    while True:
        kept = {number: archive.commit.kept.get(number) for number in numbers}
        states = {n: one.state if one and one.state not in open_states else None for n, one in kept.items()}
        if all(states.values()) or time.monotonic() >= end:
            return states
        time.sleep(0.2)


def commitments(
    number: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="Show the instances of this one.", show_default=False)
    ] = None,
    role: Annotated[
        CommitmentRole | None,
        typer.Option(help="scp: what peers asked of this archive; scu: what it asked of peers.", show_default=False),
    ] = None,
    peer: Annotated[str, typer.Option(metavar="NAME", help="Only of this peer.", show_default=False)] = "",
    limit: options.Limit = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List requests for storage commitment, or what became of each instance of one.

    Examples:

      vesalius commitments --role scp

      vesalius commitments 17 --json
    """
    from vesalius.cli import exit_codes, output
    from vesalius.model.commitments import REASONS, Role

    with options.archive(data, config) as archive:
        kept = archive.commit.kept
        if number is not None:
            found = kept.instances(number)
            rows: list[dict[str, object]] = [
                {
                    "class": one.sop_class,
                    "instance": one.sop_instance,
                    "reason": one.reason,
                    "meaning": "" if one.reason is None else REASONS.get(one.reason, f"{one.reason:04X}"),
                }
                for one in found
            ]
            output.listing(rows, ["instance", "class", "meaning"], json=json, empty="There is no such request.")
            raise typer.Exit(exit_codes.OK if found else exit_codes.NOT_FOUND)
        rows = [_row(one) for one in kept.list(role=Role(role.value) if role else None, peer=peer, limit=limit)]
    columns = ["id", "role", "peer", "state", "instances", "failed", "at", "done_at", "remark"]
    output.listing(rows, columns, json=json, empty="No requests for storage commitment.")


def _row(one: Commitment) -> dict[str, object]:
    return {
        "id": one.id,
        "role": one.role.value,
        "peer": one.peer or one.aet,
        "aet": one.aet,
        "state": one.state.value,
        "instances": one.instances,
        "failed": one.failed,
        "transaction": one.transaction_uid,
        "study": one.study,
        "reports": one.reports,
        "at": one.at,
        "checked_at": one.checked_at,
        "done_at": one.done_at,
        "remark": one.remark,
    }


def notify(
    study: Studies,
    peer: options.PeerName,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Tell a peer that a study is available here (Instance Availability Notification).

    Peers with the duty notify-availability are told of every study by themselves. The running service does it.

    Example:

      vesalius notify --peer RIS --study 1.2.840.113619.2.55.3
    """
    from vesalius.archive.availability import Availability
    from vesalius.cli import output

    with options.archive(data, config) as archive:
        target = options.peer_named(peer, archive.peers())
        verbs = Availability(
            archive.notices, archive.index, archive.clock, aet=archive.settings.server.ae_title
        )  # fmt: skip
        for uid in study:
            verbs.tell(uid, [target])
    output.note(f"{peer} is told of {len(study)} studies; see `vesalius availability`.")


def availability(
    role: Annotated[
        CommitmentRole | None,
        typer.Option(help="scp: what peers told this archive; scu: what it told peers.", show_default=False),
    ] = None,
    study: Annotated[str, typer.Option(metavar="UID", help="Only of this study.", show_default=False)] = "",
    limit: options.Limit = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List Instance Availability Notifications, sent and received.

    Example:

      vesalius availability --role scp --json
    """
    from vesalius.cli import output
    from vesalius.model.commitments import Role

    with options.archive(data, config) as archive:
        found = archive.notices.list(role=Role(role.value) if role else None, study=study, limit=limit)
    rows = [
        {
            "id": one.id,
            "role": one.role.value,
            "peer": one.peer or one.aet,
            "study": one.study,
            "state": one.state,
            "instances": one.instances,
            "at": one.at,
            "done_at": one.done_at,
            "remark": one.remark,
            "content": dict(one.content),
        }
        for one in found
    ]
    columns = ["id", "role", "peer", "study", "state", "instances", "at", "remark"]
    output.listing(rows, columns, json=json, empty="No notifications.")
