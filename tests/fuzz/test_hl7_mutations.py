"""T16: mutated messages over a real socket: after each a good message is taken at once, and nobody dies."""

from __future__ import annotations

import random
import re
import statistics
import time
from pathlib import Path

import pytest
from tests.support.dcmtk import free_port
from tests.support.hl7_data import REAL, real_bytes
from tests.support.hl7_site import adt, orm, said
from tests.support.mllp import Mllp
from tests.support.server import running_server

PIECES = (
    b"|", b"^", b"~", b"\\", b"&", b"\r", b"\n", b"\x00", b"\x0b", b"\x1c", b"\x1c\r", b"\x0bMSH|^~\\&|", b"\\X0D\\",
    b"\\F\\", b"\xff", b"\xc3\x28", b"\x1b$B", b'""', b"MSH", b"PID|1||", b"A" * 5000, b"~x" * 600, b"|" * 600,
    b"\\" * 99, b"' OR 1=1 --", b"%n%s", b"\xe2\x80\xae", b"99999999999999999999", b"-1", b"9" * 400,
)  # fmt: skip
FATE = ("AA", "AE", "AR", "CA", "CE", "CR")


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """A message with some bytes changed, taken out, doubled, moved or put in."""
    data = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 4, 20, 200)))
        act = chance.randrange(6)
        if act == 0:
            data[at:at] = chance.choice(PIECES)
        elif act == 1:
            data[at:end] = chance.choice(PIECES)
        elif act == 2:
            del data[at:end]
        elif act == 3:
            data[at:at] = data[at:end]
        elif act == 4 and data:
            data[min(at, len(data) - 1)] = chance.randrange(256)
        else:
            lines = bytes(data).split(b"\r")
            chance.shuffle(lines)
            data = bytearray(b"\r".join(lines))
    return bytes(data)


def bombard(folder: Path, rounds: int, seed: int) -> list[float]:
    """How long the good message after each mutated one took, in seconds."""
    chance = random.Random(seed)
    port = free_port()
    config = (
        f"[hl7]\nlisten = true\nport = {port}\naccept_test = true\nblock_timeout = 1.0\n"
        '[[hl7.sources]]\nname = "ANY"\nmerges = true\n'
    )
    samples = [real_bytes(name).replace(b"\n", b"\r") for name in REAL]
    samples += [adt("A40", "1^^^H||X", "MRG|2^^^H").encode(), orm("NW", "F1", orc="SC||1^^^20261125093000").encode()]
    times = []
    with running_server(folder, config=config, workers=1) as server, Mllp(port) as good:
        children = _children(server.process.pid)
        bad = Mllp(port)
        for number in range(rounds):
            raw = mutated(chance.choice(samples), chance)
            try:
                # Without an end it would only wait for its time: every hundredth does.
                bad.raw(b"\x0b" + raw + (b"" if number % 100 == 99 else b"\x1c\r"))
                if number % 100 == 99 or chance.random() < 0.05:
                    bad.socket.close()
                    bad = Mllp(port)
            except OSError:
                bad = Mllp(port)
            began = time.monotonic()
            assert said(good.ask(adt("A31", f"G{number % 50}^^^H||Good^Name", control_id=f"G{number}"))) == "AA"
            times.append(time.monotonic() - began)
        bad.socket.close()
        assert _children(server.process.pid) == children, "a worker died"
        # Mutations that can be framed are answered, and with an acknowledgement.
        with Mllp(port) as last:
            for _ in range(50):
                raw = re.sub(rb"[\x0b\x1c]", b"?", mutated(samples[0], chance))
                assert last.ask(raw).value("MSA", 1) in FATE
        assert "EVERYMAN" not in server.log_text()
        assert "hl7-connection-fault" not in server.log_text()
    return times


def _children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_three_hundred_mutated_messages_harm_nobody(tmp_path: Path) -> None:
    bombard(tmp_path, 300, seed=16)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_mutated_messages_harm_nobody(tmp_path: Path) -> None:
    times = bombard(tmp_path, 10_000, seed=2026)
    assert statistics.quantiles(times, n=1000)[-1] < 1.0
