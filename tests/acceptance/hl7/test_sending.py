"""What goes out: in order, once, until it is acknowledged; bad-input row L15."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.dcmtk import free_port
from tests.support.hl7_mpps import IMAGE, completed, in_progress
from tests.support.hl7_site import BY, orm, said
from tests.support.mllp import Destination, Mllp, ack, destination
from tests.support.server import Server, listing, running_server, start_server, vesalius

from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.orders import Code, Procedure, ScheduledStep, Station
from vesalius.ris import catalogue, performed_steps
from vesalius.ris.rules import RisRules
from vesalius.wire.hl7_message import Message
from vesalius.wire.mllp import block

WHEN = "SC||1^^^20261125093000"


def config(port: int, target: int, sends: str = '"orders", "schedule", "charges", "images"') -> str:
    return (
        f"[hl7]\nlisten = true\nport = {port}\nretry_first = 0.2\nretry_longest = 0.5\nacknowledgement = 1.0\n"
        '[[hl7.sources]]\nname = "HIS"\n'
        f'[[hl7.destinations]]\nname = "BILLING"\nhost = "127.0.0.1"\nport = {target}\nsends = [{sends}]\n'
    )


def furnish(server: Server) -> SqlRis:
    """A catalogue, so that orders are planned; the workflow of the running server, by its own verbs."""
    ris = SqlRis(open_database(f"sqlite:///{server.data}/index.db", migrate=False))

    def act(work: object) -> None:
        procedure = Procedure(Code("CTHEAD", "L"), "CT head", "CT")
        catalogue.save_procedure(work, BY, procedure)  # type: ignore[arg-type]
        catalogue.save_station(work, BY, Station("CT1", modality="CT"))  # type: ignore[arg-type]

    ris.change(act)
    return ris


def until(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def place(port: int, *numbers: str) -> None:
    with Mllp(port) as his:
        for at, number in enumerate(numbers):
            when = f"SC||1^^^2026112{5 + at % 3}{8 + at // 3:02}0000"
            assert said(his.ask(orm("NW", number, pid=f"{number}^^^H||Doe^Jane", orc=when))) == "AA"


def placers(messages: list[Message] | tuple[Message, ...], kind: str = "ORM") -> list[str]:
    return [message.value("ORC", 2) for message in messages if message.type == kind]


def test_orders_charges_and_images_are_told_in_order_and_once(tmp_path: Path) -> None:
    port = free_port()
    with destination() as billing, running_server(tmp_path, config=config(port, billing.port)) as server:
        ris = furnish(server)
        place(port, "P1")
        billing.wait(2)
        step = ris.look(lambda view: view.find(ScheduledStep))[0]
        rules = RisRules()
        begun = in_progress(ris, step)
        ris.change(lambda work: performed_steps.create(work, BY, "1.2.826.1", begun, rules))
        ris.change(lambda work: performed_steps.update(work, BY, "1.2.826.1", completed(), rules))
        found = [f"{one.type}^{one.event}" for one in billing.wait(5)]
        assert sorted(found[:2]) == ["ORM^O01", "SIU^S12"]
        assert sorted(found[2:]) == ["DFT^P03", "ORM^O01", "ORM^O01"]
        time.sleep(0.5)
        assert len(billing.received) == 5
        assert len({one.control_id for one in billing.received}) == 5
        rows = listing("hl7", "list", "out", data=server.data)
        assert {row["state"] for row in rows} == {"sent"}
        assert listing("hl7", "queues", data=server.data)[0]["waiting"] == 0
        assert IMAGE not in server.log_text()


def test_l15_what_is_no_acknowledgement_leaves_the_message_in_the_queue(tmp_path: Path) -> None:
    answers: list[Callable[[Message], bytes | None]] = [
        lambda _: b"HTTP/1.1 200 OK\r\n\r\n",  # no frame at all: nothing comes in time
        lambda _: block(b"garbage"),
        lambda _: block(b""),
        lambda _: None,  # closed
        lambda message: ack(message).replace(message.control_id.encode(), b"ANOTHER"),
        lambda message: ack(message, "ZZ"),
        lambda message: ack(message) + ack(message),  # two at once: which of them is it?
        lambda message: block(ack(message)[1:-2].replace(b"\rMSA", b"\rXXX")),
    ]
    seen: list[str] = []

    def reply(message: Message) -> bytes | None:
        seen.append(message.control_id)
        return answers[len(seen) - 1](message) if len(seen) <= len(answers) else ack(message)

    port = free_port()
    with (
        destination(reply) as billing,
        running_server(tmp_path, config=config(port, billing.port, '"orders"')) as server,
    ):
        furnish(server)
        place(port, "P1")
        until(lambda: len(seen) > len(answers), "it was not sent again")
        until(lambda: [row["state"] for row in listing("hl7", "list", "out", data=server.data)] == ["sent"], "not sent")
        assert len(set(seen)) == 1, "the same message again, under the same control id"
        (row,) = listing("hl7", "list", "out", data=server.data)
        assert row["attempts"] == len(answers) + 1


def test_order_is_kept_while_the_destination_is_away_and_across_a_kill(tmp_path: Path) -> None:
    port, target = free_port(), free_port()
    server = start_server(tmp_path / "data", config=config(port, target, '"orders"'), workers=2)
    numbers = [f"P{at}" for at in range(12)]
    try:
        furnish(server)
        place(port, *numbers)
        until(lambda: listing("hl7", "queues", data=server.data)[0]["waiting"] == 12, "not queued")
        assert listing("hl7", "queues", data=server.data)[0]["failures"] > 0  # type: ignore[operator]
        server.kill()
        billing = Destination(port=target)
        billing.start()
        server = start_server(tmp_path / "data", config=config(port, target, '"orders"'), workers=2)
        billing.wait(6)
        server.kill()
        server = start_server(tmp_path / "data", config=config(port, target, '"orders"'), workers=2)
        until(lambda: listing("hl7", "queues", data=server.data)[0]["waiting"] == 0, "the queue does not empty", 60)
        billing.stop()
        found = placers(billing.received)
        assert list(dict.fromkeys(found)) == numbers, "in order"
        # Killed between a message and its acknowledgement it is sent again, under the same control id.
        assert len({one.control_id for one in billing.received}) == 12
        assert len(found) <= 13
    finally:
        server.kill()


def test_a_refused_message_is_held_the_queue_goes_on_and_a_person_replays_it(tmp_path: Path) -> None:
    refusing = True

    def reply(message: Message) -> bytes:
        bad = refusing and message.value("ORC", 2) in ("P1", "P2")
        return ack(message, {"P1": "AR", "P2": "AE"}[message.value("ORC", 2)] if bad else "AA")

    port = free_port()
    with (
        destination(reply) as billing,
        running_server(tmp_path, config=config(port, billing.port, '"orders"')) as server,
    ):
        furnish(server)
        place(port, "P1", "P2", "P3")
        until(lambda: "P3" in placers(billing.received), "a bad message stopped the queue")
        until(lambda: len(listing("hl7", "list", "out", "--state", "held", data=server.data)) == 2, "not held")
        tries = placers(billing.received)
        assert (tries.count("P1"), tries.count("P2"), tries.count("P3")) == (1, 3, 1)
        refusing = False
        for row in listing("hl7", "list", "out", "--state", "held", data=server.data):
            vesalius("hl7", "replay", str(row["id"]), data=server.data)
        until(lambda: len(listing("hl7", "list", "out", "--state", "sent", data=server.data)) == 3, "not sent again")
        assert len(listing("hl7", "list", "out", "--state", "replayed", data=server.data)) == 2
        shown = json.loads(vesalius("hl7", "show", "out:1", "--json", data=server.data).stdout)
        assert shown["message"].startswith("MSH|")
        assert "MSA|AR" in shown["acknowledgement"]
        assert vesalius("hl7", "show", "out:99", data=server.data, check=False).returncode == 4
        assert vesalius("hl7", "replay", "out:99", data=server.data, check=False).returncode == 4


def test_a_destination_that_closes_idle_connections_gets_every_message_once(tmp_path: Path) -> None:
    port = free_port()
    with destination() as billing, running_server(tmp_path, config=config(port, billing.port, '"orders"')) as server:
        furnish(server)
        for number in ("P1", "P2", "P3"):
            place(port, number)
            until(lambda number=number: number in placers(billing.received), "not sent")  # type: ignore[misc]
            until(lambda: listing("hl7", "queues", data=server.data)[0]["waiting"] == 0, "not acknowledged")
            billing.hang_up()
        assert placers(billing.received) == ["P1", "P2", "P3"]
