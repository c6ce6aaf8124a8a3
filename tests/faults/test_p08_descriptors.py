"""P8: no more file descriptors: the accept loop survives, and serves again when there are some."""

from __future__ import annotations

import resource
import socket
import time
from pathlib import Path

import pytest

from tests.support import raw_dicom as raw
from tests.support.fill import lives
from tests.support.kills import processes
from tests.support.ledger import Ledger, check
from tests.support.load import CONTEXTS, Load, Sender, instance
from tests.support.raw_peer import Broken, RawScu, Refused
from tests.support.server import start_server
from tests.support.watch import descriptors, wait_quiet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

LIMIT, CONNECTIONS = 64, 200


def test_the_accept_loop_survives_when_descriptors_run_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    server = start_server(tmp_path / "data", config="[limits]\nartim = 5\nidle = 60\n")
    try:
        worker = processes(server)[0]
        first = instance("fd", 1, 1)
        sender = Sender(server.dimse_port, ledger, iter([first]))
        sender.run()
        assert sender.stored == 1
        before = RawScu.associate(server.dimse_port, CONTEXTS)
        wait_for = descriptors(worker)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        held, refused = [], 0
        for _ in range(CONNECTIONS):
            one = socket.create_connection(("127.0.0.1", server.dimse_port), 5)
            one.settimeout(0.05)
            one.sendall(raw.associate_rq())
            try:
                answer = one.recv(1)
                if answer[:1] != bytes([raw.AC]):
                    refused += 1
            except TimeoutError:
                refused += 1  # delayed: still in the queue
            except OSError:
                refused += 1
            held.append(one)
        print(f"{wait_for} descriptors before, {descriptors(worker)} at the limit, {refused} of {CONNECTIONS} refused")
        assert refused > CONNECTIONS // 2
        assert processes(server) == [worker], "the worker died"
        # An association that was there before is served, and what it cannot store is refused.
        assert before.echo() == 0
        second = instance("fd", 1, 2, size=300_000)
        page = ledger.page()
        page.sent(second)
        status = before.store(raw.CT, second.uid, raw.EXPLICIT, second.dataset).status
        assert status in (0, 0xA700), hex(status)
        if status == 0:
            page.acknowledged(second)
        for one in held:
            one.close()
        end = time.monotonic() + 10
        while True:  # there are descriptors again
            try:
                with RawScu.associate(server.dimse_port, CONTEXTS, timeout=3) as scu:
                    assert scu.echo() == 0
                break
            except (Broken, Refused, OSError):
                assert time.monotonic() < end, "not served again although there is room"
                time.sleep(0.1)
        before.release()
        lives(server, first.study)
        load = Load(server.dimse_port, ledger, 4, label="afterwards")
        load.wait_stored(20)
        load.stop()
        assert set(load.statuses) == {0}
        wait_quiet(server)
        check(server, ledger)
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
        assert server.stop() == 0
    finally:
        server.kill()


def test_more_associations_than_the_limit_are_refused_as_congestion(tmp_path: Path) -> None:
    server = start_server(tmp_path / "data", config="[limits]\nassociations = 10\n")
    try:
        held = [RawScu.associate(server.dimse_port, CONTEXTS) for _ in range(10)]
        for _ in range(5):
            with pytest.raises(Refused) as refused:
                RawScu.associate(server.dimse_port, CONTEXTS)
            assert refused.value.args[0] == (2, 3, 2)
        held.pop().release()
        RawScu.associate(server.dimse_port, CONTEXTS).release()
        for one in held:
            one.release()
        assert server.stop() == 0
    finally:
        server.kill()
