"""`vesalius hl7`: the log of HL7 messages, what is to be sent again, and a sender for a try."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli import options

if TYPE_CHECKING:
    from vesalius.hl7.config import Destination
    from vesalius.ports.hl7 import Incoming, Outgoing

app = typer.Typer(no_args_is_help=True, help="HL7 messages: what came, what goes out, what waits.")


class Way(Enum):
    """Which of the two logs."""

    IN = "in"
    OUT = "out"


class MessageState(Enum):
    """The states of messages, as choices."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"
    WAITING = "waiting"
    SENT = "sent"
    HELD = "held"
    REPLAYED = "replayed"


MessageId = Annotated[
    str, typer.Argument(metavar="ID", help="in:NUMBER or out:NUMBER, as `list` shows it.", show_default=False)
]


def list_messages(
    way: Annotated[Way, typer.Argument(metavar="[in|out]", help="What came, or what goes out.")] = Way.IN,
    state: Annotated[MessageState | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    partner: Annotated[
        str, typer.Option(metavar="NAME", help="Only of this source, or to this destination.", show_default=False)
    ] = "",
    control_id: Annotated[
        str, typer.Option(metavar="TEXT", help="Only those whose control id begins so (in).", show_default=False)
    ] = "",
    limit: options.Limit = 100,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """List messages, newest first: when, from whom or to whom, what they were, what became of them.

    Examples:

      vesalius hl7 list --state refused

      vesalius hl7 list out --state held --json
    """
    from vesalius.app.hl7 import message_log
    from vesalius.cli import output
    from vesalius.ports.hl7 import InState, OutState

    with options.archive(data, config) as archive:
        log = message_log(archive)
        rows: list[dict[str, object]]
        if way is Way.IN:
            known = [one for one in InState if state is None or one.value == state.value]
            _some(known, state, way)
            rows = [_row_in(row) for row in log.incoming(states=known, source=partner, text=control_id, limit=limit)]
        else:
            wanted = [one for one in OutState if state is None or one.value == state.value]
            _some(wanted, state, way)
            rows = [_row_out(row) for row in log.outgoing(states=wanted, destination=partner, limit=limit)]
    columns = ["id", "at", "partner", "type", "control_id", "state", "code", "error", "attempts"]
    output.listing(rows, columns, json=json, empty="No messages.")


def _some(found: object, state: MessageState | None, way: Way) -> None:
    if state is not None and not found:
        raise typer.BadParameter(f"no message that {'came' if way is Way.IN else 'goes out'} is {state.value}")


def _row_in(row: Incoming) -> dict[str, object]:
    return {
        "id": f"in:{row.id}", "at": row.at, "partner": row.source, "type": row.type, "control_id": row.control_id,
        "state": row.state.value, "code": row.code, "error": row.error, "attempts": row.attempts,
        "application": row.application, "facility": row.facility, "address": row.address, "done_at": row.done_at,
    }  # fmt: skip


def _row_out(row: Outgoing) -> dict[str, object]:
    return {
        "id": f"out:{row.id}", "at": row.at, "partner": row.destination, "type": row.type,
        "control_id": row.control_id, "state": row.state.value, "code": row.code, "error": row.error,
        "attempts": row.attempts, "key": row.key, "done_at": row.sent_at,
    }  # fmt: skip


def show(
    message: MessageId,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Show a message with its acknowledgement, segment by segment. Ends with 4 if there is none.

    What it shows is patient data.

    Examples:

      vesalius hl7 show in:17

      vesalius hl7 show out:4 --json | jq -r .message
    """
    from vesalius.app.hl7 import message_log
    from vesalius.cli import exit_codes, output

    way, number = _parsed(message)
    with options.archive(data, config) as archive:
        log = message_log(archive)
        found: Incoming | Outgoing | None = log.one_in(number) if way is Way.IN else log.one_out(number)
    if found is None:
        output.note(f"There is no message {message}.")
        raise typer.Exit(exit_codes.NOT_FOUND)
    row = _row_in(found) if hasattr(found, "source") else _row_out(found)  # type: ignore[arg-type]
    texts = {"message": _text(found.message), "acknowledgement": _text(found.ack)}
    if json:
        print(output.json_line({**row, **texts}))
        return
    output.listing([row], ["id", "at", "partner", "state", "code", "error", "attempts", "done_at"], json=False)
    for name, text in texts.items():
        print(f"\n{name}:" if text else f"\n{name}: none")
        for line in text.replace("\n", "\r").split("\r"):
            if line.strip():
                print("  " + output.plain(line))


def _text(raw: bytes) -> str:
    from vesalius.hl7.raw import readable

    return readable(raw)


def replay(message: MessageId, data: options.Data = None, config: options.Config = None) -> None:
    """Have a refused message processed again, or a sent or held one sent again. Ends with 4 if it cannot be.

    A running service takes it up within seconds. A message that was accepted is never processed again.

    Examples:

      vesalius hl7 replay in:17

      vesalius hl7 replay out:4
    """
    from vesalius.app.hl7 import message_log
    from vesalius.cli import exit_codes, output

    way, number = _parsed(message)
    with options.archive(data, config) as archive:
        log = message_log(archive)
        done = log.replay_in(number, archive.clock.utc()) if way is Way.IN else log.replay_out(number)
    if done:
        output.note(f"{message} will be {'processed' if way is Way.IN else 'sent'} again.")
        return
    output.note(f"{message} cannot be replayed: there is none, it is done or waits, or its control id is taken.")
    raise typer.Exit(exit_codes.NOT_FOUND)


def _parsed(message: str) -> tuple[Way, int]:
    way, _, number = message.partition(":")
    if way not in ("in", "out") or not number.isdigit():
        raise typer.BadParameter(f"{message!r} is not in:NUMBER or out:NUMBER", param_hint="ID")
    return Way(way), int(number)


def queues(json: options.Json = False, data: options.Data = None, config: options.Config = None) -> None:
    """Show how the destinations stand: what waits, since when, what is held, when the next try is due.

    Example:

      vesalius hl7 queues
    """
    from vesalius.app.hl7 import message_log
    from vesalius.cli import output

    with options.archive(data, config) as archive:
        rows = [
            {
                "destination": one.destination,
                "waiting": one.waiting,
                "held": one.held,
                "oldest": one.oldest,
                "failures": one.failures,
                "not_before": one.not_before if one.failures else "",
            }
            for one in message_log(archive).channels()
        ]
    columns = ["destination", "waiting", "held", "oldest", "failures", "not_before"]
    output.listing(rows, columns, json=json, empty="Nothing was ever queued.")


def send(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Messages: one in a file, or several.", show_default=False)
    ],
    to: Annotated[
        str, typer.Option(metavar="NAME|HOST:PORT", help="A destination of the settings, or an address.")
    ] = "127.0.0.1:2575",
    tls: Annotated[bool, typer.Option("--tls", help="Over TLS (for an address).")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each acknowledgement.")] = 30.0,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Send messages from files, one after the other, and show what is answered. No archive is needed.

    Ends with 1 if a message was not accepted, with 3 if nobody is there or what comes back is no acknowledgement.

    Examples:

      vesalius hl7 send admission.hl7

      vesalius hl7 send orders/*.hl7 --to his.example.org:2575 --json
    """
    import asyncio

    from vesalius.app.tls import client_tls
    from vesalius.cli import exit_codes, output
    from vesalius.hl7.client import Fate, MllpClient
    from vesalius.wire.hl7_message import parse

    settings = options.settings(data, config)
    messages = [(path, one) for path in files for one in _messages(path)]
    client = MllpClient(
        _destination(settings, to, tls), ssl=lambda: client_tls(settings), connect_seconds=timeout, ack_seconds=timeout
    )

    async def act() -> list[dict[str, object]]:
        rows = []
        try:
            for path, raw in messages:
                head = parse(raw.decode("latin_1").split("\r")[0].split("\n")[0])
                answer = await client.send(raw, head.control_id)
                rows.append(
                    {"file": str(path), "type": f"{head.type}^{head.event}", "control_id": head.control_id,
                     "code": answer.code, "answer": answer.text, "accepted": answer.fate is Fate.TAKEN}
                )  # fmt: skip
        finally:
            await client.close()
        return rows

    rows = asyncio.run(act())
    output.listing(rows, ["file", "type", "control_id", "code", "answer"], json=json)
    if not all(row["accepted"] for row in rows):
        raise typer.Exit(exit_codes.FAILED)


def _destination(settings: object, to: str, tls: bool) -> Destination:
    from vesalius.app.hl7 import destinations
    from vesalius.app.settings import Settings
    from vesalius.hl7.config import Destination

    if isinstance(settings, Settings):
        for one in destinations(settings):
            if one.name == to:
                return one
    host, found, port = to.rpartition(":")
    if not found or not port.isdigit():
        raise typer.BadParameter(f"{to!r} is no destination of the settings and no HOST:PORT", param_hint="--to")
    return Destination(name=to, host=host.strip("[]"), port=int(port), tls=tls)


def _messages(path: Path) -> list[bytes]:
    """The messages of a file: as they stand, in MLLP frames, or one after the other. Line ends become CR."""
    import re

    from vesalius.model.errors import CannotUnderstand, SettingsError

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    raw = re.sub(rb"[\x0b\x1c]", b"", raw.removeprefix(b"\xef\xbb\xbf"))
    raw = re.sub(rb"[\r\n]+", b"\r", raw).lstrip(b"\r")
    found = [b"MSH" + part for part in re.split(rb"(?:\A|(?<=\r))MSH", raw)[1:]]
    if not found:
        raise CannotUnderstand(f"{path} holds no HL7 message", hint="A message begins with MSH.")
    return found


for _name, _command in (
    ("list", list_messages),
    ("show", show),
    ("replay", replay),
    ("queues", queues),
    ("send", send),
):
    app.command(_name, help=options.help_of(_command))(_command)
