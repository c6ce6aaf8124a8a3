"""The supervisor: checks, prepares, binds, forks, watches, restarts, ends.

Theory. One process that does no work of its own and holds no thread, so that it can fork at any time and has
nothing to lose. It imports what the workers need before the first fork: the pages are shared and a restart
takes milliseconds. Kinds of children, each without state of its own:

- dimse (N): associations, on shared ports (SO_REUSEPORT);
- web (N): DICOMweb, the pages, health, readiness, metrics, on one shared port;
- work (1, where there are further places): what goes on behind: copying packs, sealing orphans, the planner's
  statistics. Without further places that is next to nothing, and a thread of the first web process does it;
- prepare (short-lived): opens and migrates the database and takes up what a dead process left in its packs.

A dead worker is started again with growing pauses, after a `prepare` has taken up its orphaned packs. If the
supervisor dies, the kernel kills its children (PR_SET_PDEATHSIG); what they had acknowledged is durable. SIGTERM or
SIGINT: no new associations (RJ 2/3/1), running ones have `server.grace` seconds. A second signal ends at once.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import structlog

from vesalius import __version__
from vesalius.app import metrics
from vesalius.app.board import Board, State
from vesalius.app.checks import Listener, Listeners, check, reserve, web_worker_count, worker_count
from vesalius.app.datadir import STATE, Running, make_folders, take_lock, write_state
from vesalius.app.process import fork_child, name_process
from vesalius.app.settings import Settings

log = structlog.get_logger()

LONG_LIFE = 60.0  # a child that lived this long starts its back-off from the beginning
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 15.0
START_TIMEOUT = 60.0
SAME_REQUEST = 0.3  # two signals closer than this are one request


@dataclass(slots=True)
class _Child:
    """A place in the service and the process that fills it."""

    kind: str
    number: int
    row: int
    pid: int = 0
    pipe: int = -1
    started: float = 0.0
    ready: bool = False
    deaths: int = 0
    start_at: float = 0.0  # monotonic; when DOWN, the earliest start
    prepare: bool = False  # a prepare must run before the next start


@dataclass(slots=True)
class Supervisor:
    """One run of the service. Use `run`."""

    settings: Settings
    announce: Callable[[Running], None]
    _children: list[_Child] = field(default_factory=list)
    _held: list[socket.socket] = field(default_factory=list)
    _board: Board = field(default_factory=lambda: Board(()))
    _stops: int = 0
    _asked: float = float("-inf")
    _preparing: int = 0  # pid of a prepare that runs beside the service

    def run(self) -> int:
        """Serve until told to stop; gives the exit code. Raises `SettingsError` before anything is open."""
        began = time.monotonic()
        wanted = check(self.settings)
        data = Path(self.settings.data)
        run = make_folders(data)
        lock = take_lock(run)
        counters: Path | None = None
        try:
            listeners = self._reserve(wanted)
            counters = metrics.prepare(run)
            _preload()
            count = worker_count(self.settings)
            web = web_worker_count(self.settings)
            kinds = [*["dimse"] * count, *["web"] * web, *house_process(self.settings)]
            self._board = Board(kinds)
            self._children = [_Child(row.kind, row.number, at) for at, row in enumerate(self._board.rows())]
            wake = self._catch_signals()
            if not self._prepare_first():
                return 1
            for child in self._children:
                self._start(child, listeners)
            if not self._wait_ready(wake):
                self._kill_all()
                return 0 if self._stops else 1
            running = Running(
                os.getpid(), listeners, self.settings.server.ae_title, str(data), count, time.monotonic() - began
            )
            write_state(run, running)
            log.info(
                "ready", ae_title=running.ae_title, workers=count, seconds=round(running.seconds, 3),
                dimse=[f"{one.host}:{one.port}{' tls' if one.tls else ''}" for one in listeners.dimse],
                http=f"{listeners.http.host}:{listeners.http.port}",
                hl7=[f"{one.host}:{one.port}{' tls' if one.tls else ''}" for one in listeners.hl7],
                version=__version__,
            )  # fmt: skip
            self.announce(running)
            self._watch(wake, listeners)
            return self._end(wake)
        finally:
            self._kill_all()
            for held in self._held:
                held.close()
            (run / STATE).unlink(missing_ok=True)
            metrics.remove(counters)
            os.close(lock)

    def _reserve(self, wanted: Listeners) -> Listeners:
        def hold(listener: Listener) -> Listener:
            reserved, held = reserve(listener)
            self._held.append(held)
            return reserved

        dimse = tuple(hold(listener) for listener in wanted.dimse)
        http = hold(wanted.http)
        return Listeners(dimse, http, tuple(hold(listener) for listener in wanted.hl7))

    def _catch_signals(self) -> int:
        """Every signal makes the returned descriptor readable; stop requests are counted."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

        def stop(_number: int, _frame: FrameType | None) -> None:
            # A shell, `timeout` or a service manager may send one request to the process and to its group.
            if time.monotonic() - self._asked > SAME_REQUEST:
                self._asked = time.monotonic()
                self._stops += 1

        def child(_number: int, _frame: FrameType | None) -> None:
            """Only to be woken."""

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, stop)  # the terminal is gone
        signal.signal(signal.SIGCHLD, child)
        return read_end

    def _prepare_first(self) -> bool:
        from vesalius.app.workers import prepare_main

        pid, pipe = fork_child("vesalius-prep", lambda ready: prepare_main(self.settings, ready, begins=True))
        os.close(pipe)
        while True:
            if self._stops:
                os.kill(pid, signal.SIGKILL)
            try:
                _, status = os.waitpid(pid, 0)
            except InterruptedError:
                continue
            return os.waitstatus_to_exitcode(status) == 0 and not self._stops

    def _start(self, child: _Child, listeners: Listeners) -> None:
        from vesalius.app import workers

        main = {"dimse": workers.dimse_main, "web": workers.web_main, "work": workers.work_main}[child.kind]
        self._board.set_read_only(child.row, False)
        child.pid, child.pipe = fork_child(
            f"vesalius-{child.kind}",
            lambda ready: main(self.settings, listeners, self._board, child.row, ready),
            close=[one.pipe for one in self._children if one.pipe >= 0],
        )
        child.started = time.monotonic()
        child.ready = False
        self._board.set_state(child.row, State.STARTING, child.pid)

    def _wait_ready(self, wake: int) -> bool:
        """Until all are ready. A child that dies before it ever was ready fails the start."""
        end = time.monotonic() + START_TIMEOUT
        while not all(child.ready for child in self._children):
            if self._stops or time.monotonic() > end:
                return False
            self._sleep(wake, 1.0)
            if all(child.ready for child in self._children):
                break  # the service may have been seen as ready: what ends from here on is started again
            if self._reap():
                log.error("start-failed", hint="a worker ended before it was ready; see the lines above")
                return False
        return True

    def _sleep(self, wake: int, seconds: float) -> None:
        """Wait for a signal, a child's word, or the time; take up the child's word."""
        pipes = {child.pipe: child for child in self._children if child.pipe >= 0}
        readable, _, _ = select.select([wake, *pipes], [], [], max(0.0, seconds))
        for descriptor in readable:
            if descriptor == wake:
                os.read(wake, 4096)
                continue
            child = pipes[descriptor]
            if os.read(descriptor, 1):
                child.ready = True
                self._board.set_state(child.row, State.READY)
            os.close(descriptor)
            child.pipe = -1

    def _reap(self) -> list[_Child]:
        """The places whose processes have ended since the last look."""
        ended = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._preparing:
                self._preparing = 0
                continue
            child = next((one for one in self._children if one.pid == pid), None)
            if child is None:
                continue
            metrics.forget_process(pid)
            if child.pipe >= 0:
                os.close(child.pipe)
                child.pipe = -1
            child.pid, child.ready = 0, False
            self._board.set_state(child.row, State.DOWN, 0)
            ended.append(child)
            if not self._stops:
                log.error("process-ended", kind=child.kind, number=child.number, ended_pid=pid,
                          how=_how(os.waitstatus_to_exitcode(status)))  # fmt: skip
            now = time.monotonic()
            child.deaths = 0 if now - child.started > LONG_LIFE else child.deaths + 1
            child.start_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * (2**child.deaths - 1))
            child.prepare = True
        return ended

    def _watch(self, wake: int, listeners: Listeners) -> None:
        """Serve: restart what ends, until asked to stop."""
        while not self._stops:
            now = time.monotonic()
            due = [child for child in self._children if not child.pid and now >= child.start_at]
            if any(child.prepare for child in due):
                self._take_up_orphans(wake)
            for child in due:
                if not self._stops:
                    self._board.count_restart(child.row)
                    log.info("process-restarted", kind=child.kind, number=child.number)
                    self._start(child, listeners)
            waits = [child.start_at - now for child in self._children if not child.pid]
            self._sleep(wake, min([60.0, *(max(0.02, wait) for wait in waits)]))
            self._reap()

    def _take_up_orphans(self, wake: int) -> None:
        """Run a prepare to its end before the places of the dead are filled."""
        from vesalius.app.workers import prepare_main

        self._preparing, pipe = fork_child("vesalius-prep", lambda ready: prepare_main(self.settings, ready))
        os.close(pipe)
        for child in self._children:
            child.prepare = False
        while self._preparing and not self._stops:
            self._sleep(wake, 1.0)
            self._reap()

    def _end(self, wake: int) -> int:
        """Graceful until a second signal or the grace is over, then not."""
        log.info("stopping", grace_seconds=self.settings.server.grace)
        for child in self._children:
            if child.pid:
                self._board.set_state(child.row, State.STOPPING)
                # The web process answers until the others are gone: a load balancer needs its 503.
                if child.kind != "web":
                    os.kill(child.pid, signal.SIGTERM)
        end = time.monotonic() + self.settings.server.grace + 5.0
        while any(child.pid for child in self._children if child.kind != "web"):
            if self._stops > 1 or time.monotonic() > end:
                log.warning("stopped-hard", hint="what was not acknowledged will be sent again by its senders")
                return 0 if self._stops > 1 else 1
            self._sleep(wake, 0.5)
            self._reap()
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
        end = time.monotonic() + 2.0
        while any(child.pid for child in self._children) and time.monotonic() < end and self._stops < 2:
            self._sleep(wake, 0.2)
            self._reap()
        log.info("stopped")
        return 0

    def _kill_all(self) -> None:
        for child in self._children:
            if child.pid:
                try:
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
                child.pid = 0


def house_process(settings: Settings) -> tuple[str, ...]:
    """The kind of the process that does what goes on behind, where it has one of its own."""
    return ("work",) if settings.store.copies else ()


def serve(settings: Settings, announce: Callable[[Running], None]) -> int:
    """Run the service until it is told to stop; `announce` is called once, when everything listens.

    Gives the exit code. Raises `SettingsError` before a port is open.
    """
    name_process("vesalius")
    return Supervisor(settings, announce).run()


def _preload() -> None:
    """Import what the children need, once; then keep the collector's hands off it so that pages stay shared."""
    from vesalius.app import workers

    workers.preload()
    gc.collect()
    gc.freeze()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
