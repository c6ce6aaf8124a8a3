"""P11: the stream cut into pieces of every size, and the connection reset at every byte."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import raw_dicom as raw
from tests.support.kills import processes
from tests.support.ledger import Ledger, check
from tests.support.load import instance
from tests.support.server import Server, start_server
from tests.support.watch import descriptors, wait_quiet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CONTEXTS = [raw.context(1, raw.VERIFICATION, [raw.IMPLICIT]), raw.context(3, raw.CT, [raw.EXPLICIT])]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = "[limits]\nartim = 5\nnetwork = 5\nassociations = 600\n"
    one = start_server(tmp_path / "data", config=config, config_file=tmp_path / "config.toml")
    try:
        yield one
        wait_quiet(one)
        assert "Traceback" not in one.log_text(), one.log_text()[-4000:]
        assert one.stop() == 0
    finally:
        one.kill()


def _session(number: object) -> tuple[list[bytes], str, str, object]:
    """What a peer says, in the parts between which it waits for an answer: request, echo, store, release."""
    one = instance("split", 1, number, size=300)
    echo = raw.p_data(raw.pdv(1, raw.echo_rq(1), command=True))
    store = raw.p_data(raw.pdv(3, raw.store_rq(raw.CT, one.uid, 2), command=True)) + raw.p_data(
        raw.pdv(3, one.dataset, command=False)
    )
    return [raw.associate_rq(CONTEXTS), echo, store, raw.pdu(raw.RELEASE_RQ, bytes(4))], one.uid, one.sha256, one


def _receive_pdu(sock: socket.socket) -> bytes:
    head = _exactly(sock, 6)
    return head + _exactly(sock, struct.unpack(">I", head[2:])[0])


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _play(server: Server, parts: list[bytes], slices: Iterator[int]) -> list[bytes]:
    """The answers to a session whose bytes go out in slices."""
    answers = []
    with socket.create_connection(("127.0.0.1", server.dimse_port), 20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            at = 0
            while at < len(part):
                size = next(slices)
                sock.sendall(part[at : at + size])
                at += size
            answers.append(_receive_pdu(sock))
    return answers


def _always(size: int) -> Iterator[int]:
    while True:
        yield size


def _randomly(seed: int) -> Iterator[int]:
    random_ = random.Random(seed)
    while True:
        yield random_.choice((1, 2, 3, 5, 6, 7, 11, 12, 13, 100, 500))


def _comparable(answers: list[bytes], uid: str) -> list[bytes]:
    return [answer.replace(uid.encode(), b"*") for answer in answers]


def test_any_cut_of_the_stream_gives_the_same_answers(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    page = ledger.page()

    def play(label: object, slices: Iterator[int]) -> list[bytes]:
        parts, uid, _, one = _session(label)
        page.sent(one)  # type: ignore[arg-type]
        answers = _play(server, parts, slices)
        page.acknowledged(one)  # type: ignore[arg-type]
        return _comparable(answers, uid)

    expected = play("whole", _always(1 << 20))
    assert [answer[0] for answer in expected] == [raw.AC, raw.DATA, raw.DATA, raw.RELEASE_RP]
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 13, 64, 255, 1000):
        assert play(("always", size), _always(size)) == expected, f"slices of {size}"
    for seed in range(20):
        assert play(("random", seed), _randomly(seed)) == expected, f"seed {seed}"
    check(server, ledger)


def test_everything_at_once_gives_the_same_answers(server: Server, tmp_path: Path) -> None:
    """A peer that does not wait for responses: all after its association in one segment, the release included."""
    ledger = Ledger(tmp_path / "ledger")
    page = ledger.page()
    parts, _, _, one = _session("at once")
    page.sent(one)  # type: ignore[arg-type]
    with socket.create_connection(("127.0.0.1", server.dimse_port), 20) as sock:
        sock.sendall(parts[0])
        answers = [_receive_pdu(sock)]
        sock.sendall(b"".join(parts[1:]))
        answers += [_receive_pdu(sock) for _ in range(3)]
    page.acknowledged(one)  # type: ignore[arg-type]
    assert [answer[0] for answer in answers] == [raw.AC, raw.DATA, raw.DATA, raw.RELEASE_RP]
    check(server, ledger)


def test_a_reset_at_every_byte_leaves_nothing_half_and_nothing_open(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    page = ledger.page()
    worker = processes(server)[0]
    parts, _, _, one = _session("measure")
    length = sum(map(len, parts))
    # What the first instance opens stays open: a pack, two connections to the index.
    page.sent(one)  # type: ignore[arg-type]
    _play(server, parts, _always(1 << 20))
    page.acknowledged(one)  # type: ignore[arg-type]
    before = descriptors(worker)
    began = time.monotonic()
    for cut in range(min(length, 2000)):
        parts, _, _, one = _session(("reset", cut))
        page.sent(one)  # type: ignore[arg-type]
        sock = socket.create_connection(("127.0.0.1", server.dimse_port), 20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        left = cut
        for part in parts:
            sock.sendall(part[:left])
            left -= len(part)
            if left <= 0:
                break
            if part is parts[0]:
                _receive_pdu(sock)  # without its acceptance nothing else may be said
        if cut % 3 == 0:
            time.sleep(0.002)  # sometimes it is read before the reset comes
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    print(f"{min(length, 2000)} resets in {time.monotonic() - began:.1f} s")
    wait_quiet(server)
    assert processes(server) == [worker]
    end = time.monotonic() + 10
    while descriptors(worker) > before + 4:
        assert time.monotonic() < end, f"{descriptors(worker)} descriptors, {before} before"
        time.sleep(0.1)
    found = check(server, ledger)
    print(found)
