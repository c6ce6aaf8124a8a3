"""What others notice while somebody misbehaves: C-ECHO all the time, and the memory and descriptors of the service."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from tests.support import raw_dicom as raw
from tests.support.raw_peer import Broken, RawScu, Refused
from tests.support.server import Server


class Echoes(threading.Thread):
    """A well-behaved client: an association with a C-ECHO, again and again. Remembers how long each took."""

    def __init__(self, port: int, pause: float = 0.05, host: str = "127.0.0.1") -> None:
        super().__init__(daemon=True)
        self._port, self._host, self._pause = port, host, pause
        self._ended = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Echoes:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(30)

    def run(self) -> None:
        while not self._ended.wait(self._pause):
            began = time.monotonic()
            try:
                contexts = [(raw.VERIFICATION, [raw.IMPLICIT])]
                with RawScu.associate(self._port, contexts, host=self._host, calling="WATCH", timeout=10) as scu:
                    if scu.echo() != 0:
                        self.failures.append("C-ECHO failed")
            except (OSError, Broken, Refused) as error:
                self.failures.append(repr(error))
            self.seconds.append(time.monotonic() - began)

    def percentile(self, share: float) -> float:
        """Seconds within which so many of the echoes were answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def family(server: Server) -> list[int]:
    """The supervisor and its processes."""
    pid = server.process.pid
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in thread.read_text().split()]
            except OSError:
                continue
    return found


def resident(pids: list[int]) -> int:
    """Bytes of memory that these processes have for themselves, shared pages by their share."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        except OSError:
            continue
    return total


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Memory(threading.Thread):
    """Samples the resident memory of a service; `peak` is the largest sum."""

    def __init__(self, server: Server, interval: float = 0.1) -> None:
        super().__init__(daemon=True)
        self._server, self._interval = server, interval
        self._ended = threading.Event()
        self.before = resident(family(server))
        self.peak = self.before

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(10)

    def run(self) -> None:
        while not self._ended.wait(self._interval):
            self.peak = max(self.peak, resident(family(self._server)))


def wait_quiet(server: Server, timeout: float = 15) -> None:
    """Until no association is open."""
    end = time.monotonic() + timeout
    while True:
        _, text = server.get("/metrics")
        if "vesalius_associations_open 0.0" in text:
            return
        if time.monotonic() > end:
            raise AssertionError([line for line in text.splitlines() if "associations_open" in line])
        time.sleep(0.1)
