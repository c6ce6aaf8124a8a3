"""The process dies at each step of a storage commitment (long form: tests/faults): nothing lost, one change each."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pynetdicom import evt
from pynetdicom.events import Event
from tests.support.commitments import config, send, states, until
from tests.support.dcmtk import free_port
from tests.support.generate import ct
from tests.support.kills import processes
from tests.support.modality import Modality
from tests.support.server import Server, listing, start_server

WORKERS = 2


def kill_workers(server: Server) -> None:
    for pid in processes(server):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("who", ["workers", "service"])
def test_killed_after_the_acknowledgement_the_result_is_told_once_it_runs_again(tmp_path: Path, who: str) -> None:
    port = free_port()
    settings = config(port)
    server = start_server(tmp_path / "data", config=settings, workers=WORKERS)
    try:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, *(ct("killed", 1, n) for n in range(1, 9)))
        with modality.listening(), modality.associated() as assoc:
            status, transaction = modality.ask(kept, assoc=assoc)
            assert status == 0x0000
            # In the middle of the reading again, or before, or after: whatever it is now.
            if who == "workers":
                kill_workers(server)
            else:
                server.kill()
                server = start_server(tmp_path / "data", config=settings, workers=WORKERS)
            results = modality.wait(transaction, 120)
            assert {one.event_type for one in results} == {1}
            assert all(one.committed == kept and not one.failed for one in results)
            until(lambda: states(server.data, transaction) == ["told"], 120)
    finally:
        server.kill()


def test_killed_while_the_peer_holds_the_result_it_is_told_again_and_is_one_state_change(tmp_path: Path) -> None:
    port = free_port()
    server = start_server(tmp_path / "data", config=config(port), workers=WORKERS)
    deaths = []

    def kill_then_answer(event: Event) -> tuple[int, None]:
        """The peer has taken the result; the one that told it never hears of it."""
        if len(deaths) < 2:
            deaths.append(event.event_type)
            kill_workers(server)
        modality._took(event, "new")
        return 0x0000, None

    try:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, ct("told", 1, 1))
        with modality.listening((evt.EVT_N_EVENT_REPORT, kill_then_answer)):
            status, transaction = modality.ask(kept)
            assert status == 0x0000
            results = modality.wait(transaction, 120, count=3)
            until(lambda: states(server.data, transaction) == ["told"], 120)
            assert [(one.event_type, one.committed) for one in results] == [(1, kept)] * 3
            jobs = listing("jobs", "list", data=server.data)
            assert sorted((job["kind"], job["state"]) for job in jobs) == [
                ("commitment.check", "done"),
                ("commitment.report", "done"),
            ]
    finally:
        server.kill()


def test_killed_while_a_request_of_ours_is_out_it_is_repeated_under_its_transaction_uid(tmp_path: Path) -> None:
    port = free_port()
    server = start_server(
        tmp_path / "data", config=config(port), config_file=tmp_path / "data" / "vesalius.toml", workers=WORKERS
    )
    asked: list[str] = []
    answer: list[Callable[[], None]] = [lambda: kill_workers(server), lambda: None]

    def acted(event: Event) -> tuple[int, None]:
        asked.append(str(event.action_information.TransactionUID))
        if len(asked) == 1:
            answer[0]()
        return 0x0000, None

    from tests.support.generate import uid
    from tests.support.modality import tell
    from tests.support.server import vesalius

    try:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, ct("ours", 1, 1))
        with modality.listening((evt.EVT_N_ACTION, acted)):
            vesalius("commit", "--peer", "MOD", "--study", uid("study", "ours"), data=server.data)
            until(lambda: states(server.data, asked[0] if asked else "") == ["asked"], 120)
            assert len(asked) == 2
            assert len(set(asked)) == 1
            # The peer takes the second for a duplicate: that is no result. The first one's is.
            assert tell(server.dimse_port, modality.title, asked[0], [], {kept[0]: 0x0131}) == 0x0000
            assert states(server.data, asked[0]) == ["asked"]
            assert tell(server.dimse_port, modality.title, asked[0], kept, {}) == 0x0000
            assert states(server.data, asked[0]) == ["committed"]
    finally:
        server.kill()
