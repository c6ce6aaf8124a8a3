"""P10: peers that are slow on purpose. The others notice nothing, and memory stays bounded."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import raw_dicom as raw
from tests.support.ledger import Ledger, check
from tests.support.load import CONTEXTS, Load, instance
from tests.support.raw_peer import RawScu, identifier, role_selection
from tests.support.server import Server, start_server
from tests.support.watch import Echoes, Memory, wait_quiet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ARTIM, IDLE, NETWORK = 2.0, 6.0, 3.0
CONFIG = f"[limits]\nartim = {ARTIM}\nidle = {IDLE}\nnetwork = {NETWORK}\nassociations = 600\n"
SLOWEST_ECHO = 0.5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = start_server(tmp_path / "data", config=CONFIG, config_file=tmp_path / "config.toml")
    try:
        yield one
        wait_quiet(one)
        assert "Traceback" not in one.log_text(), one.log_text()[-4000:]
        assert one.stop() == 0
    finally:
        one.kill()


def _good(echoes: Echoes) -> None:
    assert not echoes.failures, echoes.failures[:3]
    assert echoes.percentile(0.99) < SLOWEST_ECHO, f"p99 {echoes.percentile(0.99):.3f} s"


def test_a_request_at_ten_bytes_a_second_is_closed_by_artim(server: Server) -> None:
    request = raw.associate_rq()
    with Echoes(server.dimse_port) as echoes:
        slow = [socket.create_connection(("127.0.0.1", server.dimse_port), 5) for _ in range(100)]
        began = time.monotonic()
        closed: dict[int, float] = {}
        at = 0
        while len(closed) < len(slow) and time.monotonic() - began < ARTIM + 6:
            for number, one in enumerate(slow):
                if number in closed:
                    continue
                one.settimeout(0.0)
                with contextlib.suppress(BlockingIOError):
                    try:
                        if one.recv(100) == b"":
                            closed[number] = time.monotonic() - began
                            continue
                    except ConnectionError:
                        closed[number] = time.monotonic() - began
                        continue
                with contextlib.suppress(OSError):
                    one.send(request[at : at + 1])
            at += 1
            time.sleep(0.1)
        for one in slow:
            one.close()
    assert len(closed) == len(slow), f"{len(closed)} of {len(slow)} closed"
    assert min(closed.values()) > ARTIM * 0.5
    assert max(closed.values()) < ARTIM + 3
    _good(echoes)


def test_a_reader_that_does_not_read_holds_up_nobody_and_is_let_go(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    load = Load(server.dimse_port, ledger, 4, label="stalled", sizes=(500_000,))
    load.wait_stored(120)
    load.stop()
    study = ledger.promises()[0].study
    contexts = [(raw.STUDY_FIND, [raw.IMPLICIT]), (raw.STUDY_GET, [raw.IMPLICIT]), (raw.CT, [raw.EXPLICIT])]
    with Memory(server) as memory, Echoes(server.dimse_port) as echoes:
        deaf = []
        for _ in range(20):
            one = _with_small_window(server.dimse_port, contexts)
            one.send_message(
                one.context(raw.STUDY_GET), raw.get_rq(), identifier({0x00080052: "STUDY", 0x0020000D: study})
            )
            deaf.append(one)
        time.sleep(NETWORK * 2.5 + 2)
        _, text = server.get("/metrics")
        for one in deaf:
            one.close()
    still = next(line for line in text.splitlines() if line.startswith("vesalius_associations_open "))
    assert float(still.split()[1]) <= 1, f"stalled readers are still there: {still}"
    _good(echoes)
    grown = memory.peak - memory.before
    print(f"{grown >> 20} MiB more at the peak for 20 stalled readers")
    assert grown < 200 << 20
    check(server, ledger)


def _with_small_window(port: int, contexts: list[tuple[str, list[str]]]) -> RawScu:
    """An association whose receive buffer is as small as the kernel lets it be."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    scu = RawScu(sock)
    proposed = [raw.context(2 * n + 1, uid, list(syntaxes)) for n, (uid, syntaxes) in enumerate(contexts)]
    scu.send(raw.associate_rq(proposed, extra=role_selection(raw.CT)))
    assert scu.pdu()[0] == raw.AC
    for n, (uid, syntaxes) in enumerate(contexts):
        scu.contexts[2 * n + 1] = uid, syntaxes[0]
    return scu


def test_values_of_one_byte_are_taken(server: Server, tmp_path: Path) -> None:
    """A data set in PDVs of one byte, 20,000 of them, and a whole session one byte a segment."""
    ledger = Ledger(tmp_path / "ledger")
    page = ledger.page()
    with Echoes(server.dimse_port) as echoes:
        one = instance("one-byte", 1, 1, size=20_000)
        page.sent(one)
        with RawScu.associate(server.dimse_port, CONTEXTS) as scu:
            number = scu.context(raw.CT)
            scu.send(raw.p_data(raw.pdv(number, raw.store_rq(raw.CT, one.uid), command=True)))
            last = len(one.dataset) - 1
            pieces = [
                raw.p_data(raw.pdv(number, one.dataset[at : at + 1], command=False, last=at == last))
                for at in range(len(one.dataset))
            ]
            scu.send(*pieces)
            assert scu.message().status == 0
        page.acknowledged(one)
        two = instance("one-byte", 1, 2, size=500)
        page.sent(two)
        with RawScu.associate(server.dimse_port, CONTEXTS) as scu:
            number = scu.context(raw.CT)
            stream = raw.p_data(raw.pdv(number, raw.store_rq(raw.CT, two.uid), command=True))
            stream += raw.p_data(raw.pdv(number, two.dataset, command=False))
            for at in range(len(stream)):
                scu.send(stream[at : at + 1])
            assert scu.message().status == 0
        page.acknowledged(two)
    _good(echoes)
    check(server, ledger)


def test_a_message_that_stops_half_way_is_let_go_without_a_trace(server: Server, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for size in (14_000, 3_000_000):
        one = instance("half", 1, size, size=size)
        ledger.page().sent(one)
        scu = RawScu.associate(server.dimse_port, CONTEXTS)
        number = scu.context(raw.CT)
        scu.send(raw.p_data(raw.pdv(number, raw.store_rq(raw.CT, one.uid), command=True)))
        half = one.dataset[: len(one.dataset) // 2]
        for at in range(0, len(half), 65536):
            scu.send(raw.p_data(raw.pdv(number, half[at : at + 65536], command=False, last=False)))
        began = time.monotonic()
        kind, body = scu.pdu()
        assert (kind, tuple(body[2:4])) == (raw.ABORT, (0, 0))
        assert NETWORK * 0.8 < time.monotonic() - began < NETWORK * 2 + 1
        scu.close()
    wait_quiet(server)  # the answer may come before the bytes are taken back
    found = check(server, ledger)
    assert (found.instances, found.members) == (0, 0)


def test_five_hundred_idle_associations_cost_little_and_end(server: Server) -> None:
    with Memory(server) as memory, Echoes(server.dimse_port) as echoes:
        idle = [RawScu.associate(server.dimse_port, CONTEXTS, calling=f"IDLE{n}") for n in range(500)]
        began = time.monotonic()
        for one in idle:
            kind, body = one.pdu()
            assert (kind, tuple(body[2:4])) == (raw.ABORT, (0, 0))
        took = time.monotonic() - began
        for one in idle:
            one.close()
    _good(echoes)
    grown = memory.peak - memory.before
    print(f"{grown / 500 / 1024:.0f} KiB for each idle association; the last ended after {took:.1f} s")
    assert grown < 100 << 20
    assert took < IDLE * 1.5 + 2
