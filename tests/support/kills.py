"""Killing the service under load, and holding it to its promises afterwards."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ledger import Found, Ledger, check
from tests.support.load import Load
from tests.support.load_stow import StowLoad
from tests.support.server import Server, start_server

# Small packs and small steps, so that sealing and making packs happen under load as well.
CONFIG = """
[store]
pack_size = "16 MiB"
preallocate = "4 MiB"
"""


@dataclass
class Report:
    """What was done, and what came of it."""

    kills: int = 0
    stored: int = 0
    stored_by_stow: int = 0
    slowest_start: float = 0.0
    found: Found = field(default_factory=Found)


def processes(server: Server, name: str = "vesalius-dimse") -> list[int]:
    """The living processes of a service by their name."""
    found = []
    for child in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                found.append(int(child))
        except OSError:
            continue
    return found


def wait_restarted(server: Server, dead: int, workers: int = 1, timeout: float = 30) -> None:
    """Until the supervisor has filled the place of a dead worker."""
    end = time.monotonic() + timeout
    while True:
        alive = processes(server)
        if dead not in alive and len(alive) == workers:
            break
        if time.monotonic() > end:
            raise AssertionError(f"the worker was not started again:\n{server.log_text()[-4000:]}")
        time.sleep(0.02)
    time.sleep(0.6)  # /ready remembers its answer for half a second
    server.wait_ready(timeout)


def kill_rounds(
    folder: Path,
    *,
    rounds: int,
    associations: int,
    workers: int,
    seconds: tuple[float, float],
    seed: int,
    config: str = CONFIG,
    rebuilt: str | None = "",
    connections: int = 0,
) -> Report:
    """Start, load, SIGKILL to the process group at a random time; again and again; check after each start.

    `connections`: as many send by STOW-RS, beside the associations.
    """
    random_ = random.Random(seed)
    ledger = Ledger(folder / "ledger")
    report = Report()
    for turn in range(rounds + 1):
        began = time.monotonic()
        server = start_server(folder / "data", config=config, workers=workers)
        report.slowest_start = max(report.slowest_start, time.monotonic() - began)
        try:
            if turn == rounds:
                report.found = check(server, ledger, rebuilt=rebuilt)
                assert server.stop() == 0
                break
            load = Load(server.dimse_port, ledger, associations, label=("kill", seed, turn))
            stow = StowLoad(server.http_port, ledger, connections, label=("kill", seed, turn))
            load.run(random_.uniform(*seconds))
            server.kill()
            load.stop()
            stow.stop()
            report.kills += 1
            report.stored += load.stored
            report.stored_by_stow += stow.stored
            assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
        finally:
            server.kill()
    return report


def kill_workers(folder: Path, *, kills: int, associations: int, workers: int, seed: int) -> Report:
    """Load without end, while one worker after the other is killed; then check."""
    random_ = random.Random(seed)
    ledger = Ledger(folder / "ledger")
    report = Report()
    server = start_server(folder / "data", config=CONFIG, workers=workers)
    try:
        load = Load(server.dimse_port, ledger, associations, label=("worker", seed), again=True)
        for _ in range(kills):
            load.run(random_.uniform(0.2, 1.5))
            alive = processes(server)
            if alive:
                victim = random_.choice(alive)
                os.kill(victim, signal.SIGKILL)
                report.kills += 1
                if random_.random() < 0.5:
                    wait_restarted(server, victim, workers)
        # It still takes instances after the last one.
        load.wait_stored(load.stored + associations)
        load.stop()
        report.stored = load.stored
        report.found = check(server, ledger)
        assert server.stop() == 0
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
    finally:
        server.kill()
    return report
