"""P2: the process dies at every system call of a performed step, and keeps the promise of each 0000.

From the N-CREATE over the N-SET that ends it to the partner that is told of both. What was acknowledged is there after
the restart, what was not may be there or not; the scanner goes on where it was cut off, as scanners do; and in the end
the step was created once, ended once, and the partner saw each change of state once. By default the many equal writes
are thinned out (VESALIUS_ALL_POINTS=1).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.mpps.test_forwarding import BOTH, config
from tests.faults.test_p02_crash_points import thinned
from tests.support.dcmtk import free_port
from tests.support.generate import uid
from tests.support.kills import processes, wait_restarted
from tests.support.mpps import Partner, Scanner, changes_of, ended, until
from tests.support.server import start_server
from tests.support.strace import CALLS, count, injected, need_strace, traced

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

PATIENCE = 120.0


def answered(ask: Callable[[], int]) -> int | None:
    """The status, or None where the process died before it answered."""
    try:
        return ask()
    except (AssertionError, AttributeError, RuntimeError):  # no association, or no answer on it
        return None


def test_death_at_every_system_call_of_a_performed_step_breaks_no_promise(tmp_path: Path) -> None:
    need_strace()
    port = free_port()
    server = start_server(tmp_path / "data", config=config(port), workers=1)
    deaths = acknowledged = 0
    try:
        scanner = Scanner(server.dimse_port)
        with Partner(port).listening() as partner:
            step = uid("step", "traced")
            with traced(processes(server)[0]) as calls:
                assert scanner.begin(step) == 0
                assert scanner.set(step, ended()) == 0
                until(lambda: partner.of(step) == BOTH, seconds=PATIENCE)
            by_thread = [count(calls, tid) for tid in {one.tid for one in calls}]
            most = {call: max(made[call] for made in by_thread) for call in CALLS}
            points = [(call, number) for call, times in most.items() for number in thinned(range(1, times + 1))]
            assert len(points) > 20, points
            for at, (call, number) in enumerate(points):
                until(lambda: processes(server), seconds=PATIENCE)
                server.wait_ready(PATIENCE)
                worker = processes(server)[0]
                step = uid("step", "point", at)
                with injected([worker], call, f"signal=KILL:when={number}", follow=True):
                    begun = answered(lambda s=step: scanner.begin(s))
                    over = answered(lambda s=step: scanner.set(s, ended())) if begun == 0 else None
                    if over == 0:
                        end = time.monotonic() + 5
                        while partner.of(step) != BOTH and time.monotonic() < end:
                            time.sleep(0.05)
                time.sleep(0.2)  # to a death at the very end
                if worker not in processes(server):
                    deaths += 1
                    wait_restarted(server, worker)
                acknowledged += (begun == 0) + (over == 0)
                if begun is None:
                    begun = scanner.begin(step)
                assert begun in (0, 0x0111), (call, number, begun)
                if over is None:
                    over = scanner.set(step, ended())
                assert over in (0, 0x0110), (call, number, over)
                assert changes_of(server.data, step) == ["performed-created", "performed-state"], (call, number)
                until(lambda s=step: partner.of(s) == BOTH, f"{call} {number}", PATIENCE)
            steps = [uid("step", "point", at) for at in range(len(points))]
            assert [partner.of(step) for step in steps] == [BOTH] * len(points), "each change of state once"
        print(f"{deaths} deaths at {len(points)} points, {acknowledged} acknowledgements")
        assert deaths >= len(points) * 0.6
    finally:
        server.kill()
