"""System calls of a C-STORE that fail on purpose, and what must still hold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.fill import lives
from tests.support.kills import CONFIG, processes
from tests.support.ledger import Ledger, check
from tests.support.load import Sender, instance
from tests.support.server import Server, start_server
from tests.support.strace import committer_of, count, injected, need_strace, traced

# A call for each error that it may give. `write` is left out: it also carries the log and the event loop's wake-ups.
CALLS = {
    "EIO": ("openat", "pwrite64", "pwritev2", "fsync", "fdatasync", "fallocate", "ftruncate", "unlink"),
    "ENOSPC": ("openat", "pwrite64", "pwritev2", "fsync", "fdatasync", "fallocate"),
    "EDQUOT": ("openat", "pwrite64", "pwritev2", "fallocate"),
    "EMFILE": ("openat",),
}
REFUSALS = (0xA700, 0x0110)


@dataclass(frozen=True)
class ErrorPoint:
    """A call of a thread that fails."""

    role: str  # "committer", "loop" or "any" (the first of either that comes to it)
    call: str
    number: int
    error: str
    persistent: bool
    on_packs: bool = False  # whether this call, in this place, is a sync of a pack


@dataclass
class Report:
    """What the points came to."""

    points: int = 0
    met: int = 0
    stored: int = 0
    refused: int = 0
    read_only: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


def points_of(
    folder: Path, size: int, error: str, *, persistent: bool, most: int, warm: bool = True
) -> list[ErrorPoint]:
    """The calls that one C-STORE makes, thinned out to `most` of a kind."""
    need_strace()
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "ledger")
    server = start_server(folder / "data", config=CONFIG)
    try:
        worker = processes(server)[0]
        if warm:
            _store(server, ledger, "warm", size)
        with traced(worker) as calls:
            _store(server, ledger, "reference", size)
        committer = committer_of(calls)
        points = []
        for role, tid in (("committer", committer), ("loop", worker)) if warm else (("any", committer),):
            made = count(calls, tid)
            syncs = [c for c in calls if c.tid == tid and c.name in ("fdatasync", "fsync")]
            for call in CALLS[error]:
                numbers = range(1, made[call] + 1)
                step = max(1.0, (len(numbers) - 1) / max(1, most - 1))
                for n in sorted({numbers[min(len(numbers) - 1, round(step * k))] for k in range(most) if numbers}):
                    of_kind = [c for c in syncs if c.name == call]
                    on_packs = bool(of_kind) and n <= len(of_kind) and "packs" in of_kind[n - 1].text
                    points.append(ErrorPoint(role, call, n, error, persistent, on_packs))
        return points
    finally:
        server.stop()


def _store(server: Server, ledger: Ledger, label: object, size: int) -> Sender:
    sender = Sender(server.dimse_port, ledger, iter([instance(("error", label), 1, 1, size=size)]), timeout=20)
    sender.run()
    if sender.error is not None:
        raise sender.error
    return sender


def fail_everywhere(folder: Path, points: Sequence[ErrorPoint], size: int, *, warm: bool = True) -> Report:
    """A C-STORE for each point. Raises `AssertionError` where a promise is broken."""
    need_strace()
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "ledger")
    report = Report(points=len(points))
    data = folder / "data"
    server = _started(folder, data)
    serial = 0
    try:
        for point in points:
            if not warm:
                server.kill()
                serial += 1
                data = folder / f"data-{serial}"
                ledger = Ledger(folder / f"ledger-{serial}")
                server = _started(folder, data)
            again = _one(server, ledger, point, size, report, warm)
            if again or not warm:
                # Nothing of what the page cache may say is believed: the process goes without a word.
                server.kill()
                server = _started(folder, data)
                check(server, ledger, rebuilt=None)
        check(server, ledger, more_when_rebuilt=True)
        assert server.stop() == 0
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
    finally:
        server.kill()
    return report


def _started(folder: Path, data: Path) -> Server:
    return start_server(data, config=CONFIG, config_file=folder / "config.toml")


def _one(server: Server, ledger: Ledger, point: ErrorPoint, size: int, report: Report, warm: bool) -> bool:
    """Whether the service must be started again before it stores."""
    worker = processes(server)[0]
    tids, follow = [worker], not warm
    if warm:
        with traced(worker, ["fdatasync"]) as calls:
            first = _store(server, ledger, (point, "before", time.monotonic()), size)
        assert first.stored == 1, f"before {point}: {first.statuses}"
        tids = [committer_of(calls)] if point.role == "committer" else [worker]
    logged = len(server.log_text())
    plus = "+" if point.persistent else ""
    with injected(tids, point.call, f"error={point.error}:when={point.number}{plus}", follow=follow):
        during = _store(server, ledger, (point, "during", time.monotonic()), size)
        again = _store(server, ledger, (point, "second", time.monotonic()), size) if point.persistent else during
    said = server.log_text()[logged:]
    where = f"{point}: {during.statuses}, broken {during.broken}, log: {said[-1500:]}"
    assert processes(server) == [worker], f"the worker died at {where}"
    assert set(during.statuses) <= {0, *REFUSALS}, where
    assert during.statuses, f"no answer at {where}"
    if point.on_packs:
        assert during.stored == 0, f"success after a failed sync at {where}"
    if point.persistent and point.call in ("fdatasync", "pwritev2") and point.role == "committer":
        assert again.stored == 0, f"success although nothing can be written, at {where}"
    report.met += bool(during.statuses.keys() - {0}) or "error" in said or "warning" in said
    report.stored += during.stored
    report.refused += not during.stored
    report.statuses[f"{point.role} {point.call} {sorted(map(hex, during.statuses))}"] += 1
    # Whatever it was, everything else lives.
    lives(server)
    read_only = "store-read-only" in said
    if read_only:
        report.read_only += 1
        after = _store(server, ledger, (point, "read-only", time.monotonic()), size)
        assert set(after.statuses) <= set(REFUSALS), f"stored on a read-only volume after {where}"
        _says_read_only(server)
    else:
        after = _store(server, ledger, (point, "after", time.monotonic()), size)
        assert after.stored == 1, f"does not store again after {where}; then {after.statuses}"
    return read_only


def _says_read_only(server: Server) -> None:
    end = time.monotonic() + 10
    while True:
        status, body = server.get("/ready")
        if status == 503 and "read-only" in body:
            return
        assert time.monotonic() < end, f"/ready does not tell: {status} {body}"
        time.sleep(0.2)
