"""What an acknowledgement promises: durable before it is said, processed exactly once, whoever dies in between."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from tests.acceptance.hl7.conftest import Hl7Server
from tests.support.dcmtk import free_port
from tests.support.hl7_site import adt, msh, orm, said
from tests.support.mllp import Mllp
from tests.support.server import listing, running_server, start_server, vesalius

from vesalius.wire.hl7_message import Message, parse
from vesalius.wire.mllp import block


def config(port: int, more: str = "") -> str:
    return f'[hl7]\nlisten = true\nport = {port}\n{more}\n[[hl7.sources]]\nname = "HIS"\nmerges = true\n'


def orders(data: Path) -> list[str]:
    """Placer numbers in the database itself."""
    with sqlite3.connect(f"file:{data}/index.db?mode=ro", uri=True) as database:
        return sorted(row[0] for row in database.execute("SELECT placer FROM ris_order"))


@pytest.mark.parametrize("mode", ["original", "enhanced"])
def test_killed_again_and_again_every_acknowledged_order_is_there_once(tmp_path: Path, mode: str) -> None:
    """The sender sends what was not acknowledged again, under the same control id, as senders do."""
    port = free_port()
    numbers = [f"K{at}" for at in range(40)]
    fields = {"f15": "AL", "f16": "NE"} if mode == "enhanced" else {}
    texts = {number: orm("NW", number, pid=f"{number}^^^H||Doe^J", control_id=number, **fields) for number in numbers}
    chance = random.Random(mode)
    server = start_server(tmp_path / "data", config=config(port), workers=2)
    kills, kill_at = 0, {"K4", "K15", "K27"}
    try:
        waiting = list(numbers)
        while waiting:
            try:
                with Mllp(port) as his:
                    while waiting:
                        if waiting[0] in kill_at:
                            kill_at.discard(waiting[0])
                            his.raw(block(texts[waiting[0]].encode()))
                            time.sleep(chance.random() * 0.02)
                            server.kill()
                            kills += 1
                        assert said(his.ask(texts[waiting[0]])) in ("AA", "CA")
                        waiting.pop(0)
            except (OSError, AssertionError) as error:
                if isinstance(error, AssertionError) and "closed without" not in str(error):
                    raise
                if server.process.poll() is not None:
                    server = start_server(tmp_path / "data", config=config(port), workers=2)
        assert kills == 3
        if mode == "enhanced":
            end = time.monotonic() + 60
            while len(orders(server.data)) < len(numbers):
                assert time.monotonic() < end, "what was committed to is not processed"
                time.sleep(0.1)
        assert len(orders(server.data)) == len(numbers) == len(set(orders(server.data)))
        rows = listing("hl7", "list", "--limit", "1000", data=server.data)
        assert len(rows) == len(numbers)
        assert {row["state"] for row in rows} == {"done"}
    finally:
        server.kill()


def test_two_processes_that_get_the_same_message_at_once_do_it_once(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, config=config(port), workers=2) as server:
        for round_ in range(10):
            text = orm("NW", f"T{round_}", pid=f"T{round_}^^^H||Doe", control_id=f"T{round_}")
            answers: list[bytes | None] = []
            ready = threading.Barrier(8)

            def send(text: str = text, answers: list[bytes | None] = answers, ready: threading.Barrier = ready) -> None:
                with Mllp(port) as his:
                    ready.wait(30)
                    his.raw(block(text.encode()))
                    answers.append(his.read())

            threads = [threading.Thread(target=send) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert len(answers) == 8
            assert len(set(answers)) == 1, "the same answer to all"
            assert answers[0] is not None
            assert b"MSA|AA" in answers[0]
        assert len(orders(server.data)) == 10


# -- enhanced mode


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("AL", "AL", ["CA", "AA"], ["CA", "AE"]),
        ("AL", "NE", ["CA"], ["CA"]),
        ("NE", "AL", ["AA"], ["AE"]),
        ("NE", "NE", [], []),
        ("ER", "ER", [], ["AE"]),
        ("SU", "SU", ["CA", "AA"], ["CA"]),
        ("AL", "", ["CA"], ["CA"]),
        ("", "AL", ["AA"], ["AE"]),
        ("", "", ["AA"], ["AE"]),
    ],
)
def test_each_mode_gets_the_acknowledgements_that_it_asks_for(
    hl7: Hl7Server, accept: str, application: str, good: list[str], bad: list[str]
) -> None:
    with hl7.connect() as his:
        fields = {"f15": accept, "f16": application}
        assert _codes(his, adt("A04", f"E{accept}{application}^^^H||X", **fields)) == good
        assert _codes(his, adt("A08", f"U{accept}{application}^^^H||X", **fields)) == bad


def test_in_enhanced_mode_what_is_no_good_form_is_rejected_at_once_and_not_processed(hl7: Hl7Server) -> None:
    with hl7.connect() as his:
        assert _codes(his, adt("A04", "1^^^H||X", f15="AL", f16="AL", version="9.9")) == ["CR"]
        assert _codes(his, adt("A04", "1^^^H||X", f15="ER", f16="AL", f18="KLINGON")) == ["CE"]


def test_in_enhanced_mode_the_same_message_again_gets_both_answers_again(hl7: Hl7Server) -> None:
    text = adt("A04", "EAGAIN^^^H||X", f15="AL", f16="AL", control_id="EAGAIN")
    with hl7.connect() as his:
        assert _codes(his, text) == ["CA", "AA"]
        assert _codes(his, text) == ["CA", "AA"]
    assert len(listing("hl7", "list", "--control-id", "EAGAIN", data=hl7.server.data)) == 1


def _codes(his: Mllp, text: str) -> list[str]:
    """The codes that come back before the answer to a message that always gets one."""
    his.raw(block(text.encode()) + block(b""))
    found: list[Message] = []
    while True:
        content = his.read()
        assert content is not None
        reply = parse(content.decode())
        if reply.value("MSA", 1) == "AR" and not reply.value("MSA", 2):
            return [message.value("MSA", 1) for message in found]
        found.append(reply)


def test_order_is_kept_on_a_connection(hl7: Hl7Server) -> None:
    """Fifty updates of one patient in one write: the last one counts."""
    with hl7.connect() as his:
        texts = [adt("A31", f"ORDER^^^H||Name{at:02}^X") for at in range(50)]
        his.raw(b"".join(block(text.encode()) for text in texts))
        for text in texts:
            answer = his.read()
            assert answer is not None
            assert parse(answer.decode()).value("MSA", 2) == parse(text).control_id
        found = his.ask(msh("QBP^Q22") + "QPD|Q22|T|@PID.3.1^ORDER~@PID.3.4^H\rRCP|I\r")
        assert found.value("PID", 5) == "Name49"


def test_a_sender_that_does_not_read_its_answers_is_not_read_either(hl7: Hl7Server) -> None:
    """Back-pressure: its messages wait in its own socket, and others are served."""
    with hl7.connect() as his:
        his.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        his.socket.settimeout(2.0)
        sent = 0
        try:
            for at in range(200_000):
                his.raw(block(b"x" * 200 + str(at).encode()))
                sent += 1
        except TimeoutError:
            pass
        assert sent < 200_000, "everything was read though nothing was taken"
        with hl7.connect() as other:
            assert said(other.ask(adt("A04", "BP^^^H||X"))) == "AA"


def test_a_refused_message_is_replayed_when_its_cause_is_gone(hl7: Hl7Server) -> None:
    with hl7.connect() as his:
        assert said(his.ask(adt("A08", "REPLAY^^^H||New^Name", control_id="REPLAY"))) == "AE 204 PID-3"
        assert said(his.ask(adt("A04", "REPLAY^^^H||Old^Name"))) == "AA"
        (row,) = listing("hl7", "list", "--control-id", "REPLAY", data=hl7.server.data)
        vesalius("hl7", "replay", str(row["id"]), data=hl7.server.data)
        end = time.monotonic() + 30
        while listing("hl7", "list", "--control-id", "REPLAY", data=hl7.server.data)[0]["state"] != "done":
            assert time.monotonic() < end, "not processed"
        found = his.ask(msh("QBP^Q22") + "QPD|Q22|T|@PID.3.1^REPLAY~@PID.3.4^H\rRCP|I\r")
        assert found.value("PID", 5) == "New"
        done = vesalius("hl7", "replay", str(row["id"]), data=hl7.server.data, check=False)
        assert done.returncode == 4, "what is done is never processed again"
