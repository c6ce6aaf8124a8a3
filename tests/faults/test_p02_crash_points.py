"""P2: the process dies at every system call of a C-STORE, and of the recovery afterwards, and keeps its promises.

By default the many equal writes of SQLite's log are thinned out; VESALIUS_ALL_POINTS=1 takes every one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.cutter import Disk, disk
from tests.support.kills import CONFIG, processes, wait_restarted
from tests.support.ledger import Ledger, check
from tests.support.load import Load, Sender, instance
from tests.support.server import Server, start_server
from tests.support.strace import CALLS, committer_of, count, injected, need_strace, traced

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

EVERY = os.environ.get("VESALIUS_ALL_POINTS") == "1"
MOST_OF_ONE_CALL = 1000 if EVERY else 8
SMALL, LARGE = 14_000, 1_500_000


@dataclass(frozen=True)
class Point:
    role: str  # the thread that makes the call: "loop", "committer", "any"
    call: str
    number: int


@dataclass
class Site:
    """A data directory that is crashed again and again, with its ledger."""

    folder: Path
    data: Path
    ledger: Ledger
    disk: Disk | None = None
    stores: int = 0
    points: int = 0
    missed: list[Point] = field(default_factory=list)

    def begin_anew(self) -> None:
        """An empty data directory and an empty ledger."""
        shutil.rmtree(self.data)
        self.ledger = Ledger(self.folder / f"ledger-{self.stores}")

    def start(self) -> Server:
        return start_server(self.data, config=CONFIG, config_file=self.folder / "config.toml")

    def store(self, server: Server, size: int) -> Sender:
        """One more instance, in a study of its own now and then."""
        self.stores += 1
        one = instance(("crash", self.stores // 5), 1, self.stores, size=size)
        sender = Sender(server.dimse_port, self.ledger, iter([one]), timeout=20)
        sender.run()
        if sender.error is not None:
            raise sender.error
        return sender

    def end(self, server: Server) -> None:
        """As the crash leaves it: what is only in memory is lost where there is a disk to cut."""
        if self.disk is not None:
            self.disk.cut()
        server.kill()
        if self.disk is not None:
            self.disk.power_on()


def thinned(numbers: range) -> list[int]:
    """All of a few, some of many: the first, the last and what lies evenly between."""
    if len(numbers) <= MOST_OF_ONE_CALL:
        return list(numbers)
    step = (len(numbers) - 1) / (MOST_OF_ONE_CALL - 1)
    return sorted({numbers[round(step * n)] for n in range(MOST_OF_ONE_CALL)})


def _reference(site: Site, size: int, *, warm: bool) -> list[Point]:
    """The points of one C-STORE: which thread makes which call how often."""
    server = site.start()
    try:
        worker = processes(server)[0]
        if warm:
            assert site.store(server, size).stored == 1
        with traced(worker) as calls:
            assert site.store(server, size).stored == 1
        committer = committer_of(calls)
        roles = {"committer": count(calls, committer), "loop": count(calls, worker)}
        if not warm:  # the committer is not there yet to be told apart
            roles = {"any": roles["committer"] | roles["loop"]}
        assert roles, "nothing was traced"
        return [
            Point(role, call, number)
            for role, made in roles.items()
            for call in CALLS
            for number in thinned(range(1, made[call] + 1))
        ]
    finally:
        server.stop()


def _crash_at(site: Site, server: Server, point: Point, size: int) -> bool:
    """Kill the worker there. False if it never came to that call."""
    worker = processes(server)[0]
    tids = [worker]
    if point.role != "any":
        with traced(worker, ["fdatasync"]) as calls:
            assert site.store(server, size).stored == 1
        tids = [committer_of(calls)] if point.role == "committer" else [worker]
    with injected(tids, point.call, f"signal=KILL:when={point.number}", follow=point.role == "any"):
        site.store(server, size)
        end = time.monotonic() + 0.5
        while Path(f"/proc/{worker}/fd").exists() and time.monotonic() < end:
            if worker not in processes(server):
                break
            time.sleep(0.01)
    return worker not in processes(server)


def _crash_everywhere(site: Site, size: int, *, warm: bool) -> None:
    points = _reference(site, size, warm=warm)
    print(f"{len(points)} points: {sorted({(p.role, p.call) for p in points})}")
    server = site.start()
    try:
        for number, point in enumerate(points):
            if not warm:  # the first instance of all, every time
                server.kill()
                site.begin_anew()
                server = site.start()
            worker = processes(server)[0]
            died = _crash_at(site, server, point, size)
            if died:
                site.points += 1
            else:
                site.missed.append(point)
            by_itself = died and site.disk is None and number % 4 == 3
            if by_itself:  # the supervisor puts it right
                wait_restarted(server, worker)
            else:
                site.end(server)
                server = site.start()
            try:
                check(server, site.ledger, rebuilt="" if number % 10 == 9 else None)
            except AssertionError as error:
                raise AssertionError(f"after death at {point}: {error}") from error
            if by_itself:
                server.kill()
                server = site.start()
        check(server, site.ledger)
        assert server.stop() == 0
    finally:
        server.kill()
    print(f"{site.points} deaths, {len(site.missed)} calls not met: {site.missed}")
    assert site.points >= len(points) * 0.8


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    need_strace()
    yield Site(tmp_path, tmp_path / "data", Ledger(tmp_path / "ledger"))


@pytest.mark.parametrize(
    ("size", "warm"),
    [(SMALL, False), (SMALL, True), (LARGE, True)],
    ids=["the-first-instance", "a-small-instance", "a-streamed-instance"],
)
def test_death_at_every_system_call_of_a_store_breaks_no_promise(site: Site, size: int, warm: bool) -> None:
    _crash_everywhere(site, size, warm=warm)


@pytest.mark.root
@pytest.mark.parametrize(("size", "warm"), [(SMALL, False), (LARGE, True)], ids=["the-first-instance", "streamed"])
def test_the_power_going_at_every_system_call_of_a_store_breaks_no_promise(
    tmp_path: Path, size: int, warm: bool
) -> None:
    need_strace()
    with disk(tmp_path, "disk") as one:
        site = Site(tmp_path, one.mount_point / "data", Ledger(tmp_path / "ledger"), one)
        _crash_everywhere(site, size, warm=warm)


# -- sealing -----------------------------------------------------------------------------------------------------------

SEALING = (("ftruncate", 2), ("fsync", 3), ("openat", 4), ("write", 2), ("rename", 1), ("unlink", 1), ("pwrite64", 3))


def test_death_at_every_system_call_of_sealing_breaks_no_promise(tmp_path: Path) -> None:
    """A full pack is sealed in a quiet moment by a thread that has nothing else to do."""
    need_strace()
    ledger = Ledger(tmp_path / "ledger")
    deaths, missed = 0, []
    serial = 0
    for call, most in SEALING:
        for n in range(1, most + 1):
            server = start_server(
                tmp_path / "data", config='[store]\npack_size = "1 MiB"\n', config_file=tmp_path / "config.toml"
            )
            try:
                check(server, ledger, rebuilt="" if n == 1 else None)
                worker = processes(server)[0]
                page_of = (instance(("seal", serial := serial + 1), 1, k, size=400_000) for k in range(4))
                sender = Sender(server.dimse_port, ledger, page_of)
                sender.run()
                assert sender.stored == 4
                with injected([worker], call, f"signal=KILL:when={n}", follow=True):
                    end = time.monotonic() + 7
                    while worker in processes(server) and time.monotonic() < end:
                        time.sleep(0.02)
                if worker in processes(server):
                    missed.append((call, n))
                else:
                    deaths += 1
            finally:
                server.kill()
    server = start_server(tmp_path / "data", config_file=tmp_path / "config.toml")
    try:
        found = check(server, ledger)
        print(f"{deaths} deaths while sealing, not met {missed}; {found}")
        assert server.stop() == 0
    finally:
        server.kill()
    assert deaths >= 8


# -- a second crash, in the middle of the recovery from the first -----------------------------------------------------

PREPARE = """
import sys
from vesalius.app.settings_load import load
from vesalius.app.workers import prepare_main
sys.exit(prepare_main(load({"data": sys.argv[1]}), lambda: None))
"""
RECOVERY_CALLS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "rename", "fallocate")


def _prepare(data: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["strace", *strace, sys.executable, "-c", PREPARE, str(data)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_second_death_during_the_recovery_from_the_first_breaks_no_promise(tmp_path: Path) -> None:
    need_strace()
    ledger = Ledger(tmp_path / "ledger")
    crashed = tmp_path / "crashed"
    server = start_server(crashed, config=CONFIG, config_file=tmp_path / "config.toml")
    try:
        load = Load(server.dimse_port, ledger, 6, label="recovery", sizes=(600_000, 14_000))
        load.wait_stored(60)
        server.kill()
        load.stop()
    finally:
        server.kill()
    _lose_the_log(crashed)
    reference = tmp_path / "reference"
    shutil.copytree(crashed, reference)
    out = tmp_path / "strace.txt"
    done = _prepare(reference, "-o", str(out), "-e", f"trace={','.join(RECOVERY_CALLS)}")
    assert done.returncode == 0, done.stderr
    made = {
        call: out.read_text().count(f"\n{call}(") + out.read_text().startswith(f"{call}(") for call in RECOVERY_CALLS
    }
    points = [(call, n) for call in RECOVERY_CALLS for n in thinned(range(1, made[call] + 1))]
    print(f"{len(points)} points of recovery: {made}")
    assert made["pwrite64"], "the recovery had nothing to tell the index"
    for number, (call, n) in enumerate(points):
        data = tmp_path / f"second-{number}"
        shutil.copytree(crashed, data)
        done = _prepare(data, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}")
        assert done.returncode == -9, f"{call} {n}: ended with {done.returncode}: {done.stderr[-2000:]}"
        server = start_server(data, config=CONFIG, config_file=tmp_path / "config.toml")
        try:
            check(server, ledger, rebuilt="" if number % 10 == 0 else None)
            assert server.stop() == 0
        except AssertionError as error:
            raise AssertionError(f"after death at {call} {n} of the recovery: {error}") from error
        finally:
            server.kill()
        shutil.rmtree(data)


def _lose_the_log(data: Path) -> None:
    """As a power cut may: the last transactions of the index, not synced, are gone. The packs tell them again."""
    for name in ("index.db-wal", "index.db-shm"):
        path = data / name
        if name.endswith("wal") and path.exists():
            with path.open("r+b") as log:
                log.truncate(path.stat().st_size // 2 // 4096 * 4096)
