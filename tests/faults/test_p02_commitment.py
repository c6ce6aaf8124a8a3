"""P2: the process dies at every system call of a storage commitment, and keeps the promise of its 0000.

From the N-ACTION to the acknowledged result: whatever was acknowledged ends as told, exactly one row and one result;
what was not acknowledged may be there or not. By default the many equal writes are thinned out (VESALIUS_ALL_POINTS=1).
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.test_p02_crash_points import thinned
from tests.support.commitments import config, send, states, until
from tests.support.dcmtk import free_port
from tests.support.generate import ct
from tests.support.kills import processes, wait_restarted
from tests.support.modality import Modality, request
from tests.support.server import Server, start_server
from tests.support.strace import CALLS, count, injected, need_strace, traced

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

PATIENCE = 120.0


def _acknowledged(modality: Modality, kept: list[tuple[str, str]], transaction: str) -> bool:
    """Whether the N-ACTION was answered 0000 before the process died."""
    try:
        return modality.ask(kept, transaction)[0] == 0x0000
    except (AssertionError, AttributeError, RuntimeError):  # no association, or no answer on it
        return False


def _points(server: Server, modality: Modality, kept: list[tuple[str, str]]) -> list[tuple[str, int]]:
    worker = processes(server)[0]
    with traced(worker) as calls:
        _, transaction = modality.ask(kept)
        modality.wait(transaction, PATIENCE)
        until(lambda: states(server.data, transaction) == ["told"], PATIENCE)
    by_thread = [count(calls, tid) for tid in {one.tid for one in calls}]
    most = {call: max(made[call] for made in by_thread) for call in CALLS}
    return [(call, number) for call, times in most.items() for number in thinned(range(1, times + 1))]


def test_death_at_every_system_call_of_a_commitment_breaks_no_promise(tmp_path: Path) -> None:
    need_strace()
    port = free_port()
    server = start_server(tmp_path / "data", config=config(port), workers=1)
    deaths = acknowledged = 0
    try:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, *(ct("points", 1, n) for n in range(1, 4)))
        with modality.listening():
            points = _points(server, modality, kept)
            assert len(points) > 20, points
            for call, number in points:
                until(lambda: processes(server), PATIENCE)  # one that died late is started again
                server.wait_ready(PATIENCE)
                worker = processes(server)[0]
                _, transaction = request(kept)
                modality.results.clear()
                with injected([worker], call, f"signal=KILL:when={number}", follow=True):
                    promised = _acknowledged(modality, kept, transaction)
                    if promised:
                        try:
                            modality.wait(transaction, 5)
                        except AssertionError:
                            pass  # it died before it could tell
                time.sleep(0.2)  # to a death at the very end
                if worker not in processes(server):
                    deaths += 1
                    wait_restarted(server, worker)
                if promised:
                    acknowledged += 1
                    until(lambda t=transaction: states(server.data, t) == ["told"], PATIENCE)
                    results = modality.wait(transaction, PATIENCE)
                    assert {one.event_type for one in results} == {1}, (call, number)
                    assert all(one.committed == kept for one in results), (call, number)
                else:
                    # Kept without the acknowledgement or not at all: never half of it.
                    until(lambda t=transaction: states(server.data, t) in ([], ["told"]), PATIENCE)
        print(f"{deaths} deaths at {len(points)} points, {acknowledged} acknowledged")
        assert deaths >= len(points) * 0.6
    finally:
        server.kill()
