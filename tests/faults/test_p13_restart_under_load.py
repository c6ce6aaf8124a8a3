"""P13: SIGTERM under load: what is new is refused, what runs may finish, and nothing acknowledged is lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support import raw_dicom as raw
from tests.support.kills import CONFIG
from tests.support.ledger import Ledger, check
from tests.support.load import CONTEXTS, Load, instance
from tests.support.raw_peer import RawScu, Refused
from tests.support.server import Server, start_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

RESTARTS = 5


def test_a_rolling_restart_loses_nothing_and_breaks_no_store_in_its_middle(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for turn in range(RESTARTS):
        config = CONFIG + "[server]\ngrace = 8\n"
        server = start_server(tmp_path / "data", workers=2, config=config, config_file=tmp_path / "config.toml")
        try:
            check(server, ledger, rebuilt=None)
            load = Load(server.dimse_port, ledger, 8, label=("restart", turn))
            load.run(1.0)
            server.process.terminate()
            _expect_shutting_down(server)
            load.stop()  # each association ends by itself, after the instance that is on its way
            assert not any(sender.broken for sender in load.senders), "an association was broken within the grace"
            assert set(load.statuses) == {0}, load.statuses
            assert server.process.wait(20) == 0
            assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
        finally:
            server.kill()
    server = start_server(tmp_path / "data", config_file=tmp_path / "config.toml")
    try:
        found = check(server, ledger)
        print(found)
        # A clean end leaves nothing to recover, and no instance that nobody was told of.
        assert found.unpromised == 0
        assert server.stop() == 0
    finally:
        server.kill()


def _expect_shutting_down(server: Server) -> None:
    """RJ 2/3/1 for a new association (PS3.8 9.3.4: transient, presentation, temporary congestion)."""
    end = time.monotonic() + 5
    while True:
        try:
            RawScu.associate(server.dimse_port, CONTEXTS).release()
        except Refused as refused:
            assert refused.args[0] == (2, 3, 1)
            return
        assert time.monotonic() < end, "new associations are still accepted"
        time.sleep(0.02)


def test_an_association_that_does_not_end_is_aborted_after_the_grace(tmp_path: Path) -> None:
    server = start_server(tmp_path / "data", config="[server]\ngrace = 1\n")
    try:
        idle = RawScu.associate(server.dimse_port, CONTEXTS)
        began = time.monotonic()
        server.process.terminate()
        kind, body = idle.pdu()
        assert (kind, body[2:4]) == (raw.ABORT, b"\0\0")
        assert 0.5 < time.monotonic() - began < 5
        assert server.process.wait(10) == 0
    finally:
        server.kill()


def test_an_instance_that_is_whole_when_the_end_comes_is_answered(tmp_path: Path) -> None:
    """Many at once: whoever sent the last byte gets an answer before the association ends."""
    ledger = Ledger(tmp_path / "ledger")
    server = start_server(tmp_path / "data", config="[server]\ngrace = 5\n")
    answers: list[int] = []
    try:

        def one(number: int) -> None:
            item = instance("whole", number, 1, size=900_000)
            page = ledger.page()
            page.sent(item)
            with RawScu.associate(server.dimse_port, CONTEXTS, calling=f"W{number}") as scu:
                gate.wait()
                answers.append(scu.store(raw.CT, item.uid, raw.EXPLICIT, item.dataset).status)
                page.acknowledged(item)

        gate = threading.Barrier(11)
        threads = [threading.Thread(target=one, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        gate.wait()
        server.process.terminate()
        for thread in threads:
            thread.join(20)
        assert answers == [0] * 10
        assert server.process.wait(20) == 0
        again = start_server(tmp_path / "data")
        try:
            assert check(again, ledger).instances == 10
        finally:
            again.stop()
    finally:
        server.kill()
