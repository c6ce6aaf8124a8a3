"""Doing what has been promised: takes jobs, runs their handlers, tries again, across restarts and processes.

Theory. Each DIMSE worker runs one `JobRunner` on its event loop; leases (`ports/jobs.py`) make sure that a job is with
one of them at a time. The runner extends a lease while its handler runs, so a lease runs out only when its process is
dead or stuck; a successor of the same name frees at once what its predecessor held. A handler says how it ended; what
it raises means "again", later and later (`Backoff`), with some chance in it, so that what failed together does not
return together.

What wakes a runner: a job put in its own process at once; one put in another process by the notice board, which costs a
look at shared memory a few times a second; and one that nobody told of (a command line) by a slow look at the database.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

import structlog

from vesalius.archive.delete import moment
from vesalius.model.errors import VesaliusError
from vesalius.ports.clock import Clock
from vesalius.ports.jobs import Jobs, Lease, LeaseLost

T = TypeVar("T")

log = structlog.get_logger()

LEASE_SECONDS = 30.0
LOOK_INTERVAL = 0.25  # at the notice board
POLL_INTERVAL = 2.0  # at the database
STOP_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Done:
    """The job is done."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The job was closed, by the transaction that wrote its effect. `then` follows in this process."""

    then: Lease | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Not now. `after` seconds; None: by the kind's back-off."""

    why: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Never: given up, for a person to look at."""

    why: str


Outcome: TypeAlias = Done | Closed | Again | Failed
Handler = Callable[[Lease], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds until the next try: `first`, doubled each time, at most `longest`, each up to half as long again."""

    first: float = 2.0
    longest: float = 600.0

    def seconds(self, attempt: int) -> float:
        """After so many attempts."""
        wait: float = min(self.longest, self.first * 2.0 ** min(attempt - 1, 32))
        return wait * random.uniform(1.0, 1.5)


@dataclass(frozen=True, slots=True)
class Kind:
    """How jobs of one kind are done."""

    handler: Handler
    backoff: Backoff = Backoff()
    at_once: int = 4  # in one process


class Bell:
    """What is rung when a job was put: whoever listens is woken. From any thread; listeners must be quick."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def hear(self, listener: Callable[[], None]) -> None:
        """Be woken from now on."""
        self._listeners.append(listener)

    def __call__(self) -> None:
        """Ring."""
        for listener in self._listeners:
            listener()


def owner_of(settings_data: str, name: str) -> str:
    """The name under which a process takes leases: the same for its successor, another on every machine."""
    return f"{socket.gethostname()}:{Path(settings_data).absolute()}:{name}"


def blocking(fn: Callable[[Lease], Outcome], executor: ThreadPoolExecutor) -> Handler:
    """A handler that runs in a thread."""

    async def handle(lease: Lease) -> Outcome:
        return await asyncio.get_running_loop().run_in_executor(executor, fn, lease)

    return handle


class JobRunner:
    """Runs the jobs of some kinds in one process. `owner` is the same for a process and its successor.

    `rung` gives a number that changes when another process has put a job. `observe` hears of each end: kind, outcome.
    """

    def __init__(
        self,
        jobs: Jobs,
        kinds: Mapping[str, Kind],
        clock: Clock,
        owner: str,
        executor: ThreadPoolExecutor,
        *,
        rung: Callable[[], int] = lambda: 0,
        observe: Callable[[str, str], None] = lambda kind, outcome: None,
        poll: float = POLL_INTERVAL,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._kinds = dict(kinds)
        self._clock = clock
        self._owner = owner
        self._executor = executor
        self._rung = rung
        self._observe = observe
        self._poll = poll
        self._lease_seconds = lease_seconds
        self._running: dict[asyncio.Task[None], Lease] = {}
        self._awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._main: asyncio.Task[None] | None = None
        self._stopping = False
        self._away = False

    def start(self) -> None:
        """Begin."""
        self._main = self._loop.create_task(self._run())

    def wake(self) -> None:
        """A job may be due. From any thread."""
        self._loop.call_soon_threadsafe(self._awake.set)

    def take(self, lease: Lease) -> None:
        """Do a job that this process has the lease of already. From the event loop."""
        if not self._stopping:
            self._begin(lease)

    async def stop(self) -> None:
        """Take no more; what runs has a moment to end, what is left is free for others."""
        self._stopping = True
        if self._main is not None:
            self._main.cancel()
            await asyncio.wait((self._main,))
        if self._running:
            await asyncio.wait(list(self._running), timeout=STOP_PATIENCE)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running), timeout=STOP_PATIENCE)
        await self._quietly(self._jobs.release, self._owner)

    # -- taking ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._quietly(self._jobs.release, self._owner)
        seen = self._rung()
        while True:
            self._awake.clear()
            pause = await self._take_due()
            end = self._loop.time() + pause
            while (left := end - self._loop.time()) > 0 and not self._awake.is_set():
                try:
                    async with asyncio.timeout(min(left, LOOK_INTERVAL)):
                        await self._awake.wait()
                except TimeoutError:
                    pass
                rung = self._rung()
                if rung != seen:
                    seen = rung
                    break

    async def _take_due(self) -> float:
        """Take what is due as far as there is room; how long to wait until the next look."""
        for limit, kinds in self._rooms().items():
            while True:
                room = min(limit - sum(lease.kind == kind for lease in self._running.values()) for kind in kinds)
                if room <= 0:
                    break
                taken = await self._quietly(self._jobs.lease, kinds, self._owner, self._lease_seconds, room)
                for lease in taken or ():
                    self._begin(lease)
                if not taken or len(taken) < room:
                    break
        free = self._free()
        due = await self._quietly(self._jobs.next_due, free) if free else None
        return max(0.02, min(self._poll, self._until(due))) if due else self._poll

    def _free(self) -> list[str]:
        busy = [lease.kind for lease in self._running.values()]
        return [name for name, kind in self._kinds.items() if busy.count(name) < kind.at_once]

    def _rooms(self) -> dict[int, list[str]]:
        """The kinds that have room: asked for one by one where they are busy, together where they are not."""
        busy = [lease.kind for lease in self._running.values()]
        rooms: dict[int, list[str]] = {}
        for name, kind in self._kinds.items():
            if busy.count(name) < kind.at_once:
                rooms.setdefault(kind.at_once, []).append(name)
        return rooms

    def _until(self, moment_: str) -> float:
        form = "%Y-%m-%dT%H:%M:%S.%fZ"
        return (datetime.strptime(moment_, form) - datetime.strptime(self._clock.utc(), form)).total_seconds()

    async def _quietly(self, fn: Callable[..., T], *args: object) -> T | None:
        """Something in the database; None where that is away, which is told once."""
        try:
            result = await self._loop.run_in_executor(self._executor, fn, *args)
        except VesaliusError as error:
            if not self._away:
                log.warning("jobs-unavailable", error=error.message)
            self._away = True
            return None
        if self._away:
            log.info("jobs-available-again")
        self._away = False
        return result

    # -- doing -----------------------------------------------------------------------------------------------------

    def _begin(self, lease: Lease) -> None:
        task = self._loop.create_task(self._do(lease))
        self._running[task] = lease
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._awake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("job-fault", exc_info=task.exception())

    async def _do(self, lease: Lease) -> None:
        kind = self._kinds[lease.kind]
        keeping = self._loop.create_task(self._keep(lease, asyncio.current_task()))
        try:
            try:
                outcome = await kind.handler(lease)
            except LeaseLost:
                self._observe(lease.kind, "lost")
                return
            except VesaliusError as error:
                outcome = Again(error.message)
            except (OSError, TimeoutError) as error:
                outcome = Again(type(error).__name__)
            except Exception as error:
                log.exception("job-fault", job=lease.id, kind=lease.kind)
                outcome = Again(type(error).__name__)
        finally:
            keeping.cancel()
        await self._conclude(lease, kind, outcome)

    async def _conclude(self, lease: Lease, kind: Kind, outcome: Outcome) -> None:
        name = type(outcome).__name__.lower()
        self._observe(lease.kind, "done" if name == "closed" else name)
        try:
            if isinstance(outcome, Closed):
                if outcome.then is not None:
                    self.take(outcome.then)
            elif isinstance(outcome, Done):
                await self._call(self._jobs.done, lease)
            elif isinstance(outcome, Failed):
                log.warning("job-failed", job=lease.id, kind=lease.kind, attempts=lease.attempt, why=outcome.why)
                await self._call(self._jobs.fail, lease, outcome.why)
            else:
                wait = kind.backoff.seconds(lease.attempt) if outcome.after is None else outcome.after
                log.info("job-again", job=lease.id, kind=lease.kind, attempts=lease.attempt, seconds=round(wait, 1),
                         why=outcome.why)  # fmt: skip
                await self._call(self._jobs.again, lease, moment(self._clock.utc(), wait), outcome.why)
        except LeaseLost:
            log.info("job-lease-lost", job=lease.id, kind=lease.kind)
        except VesaliusError as error:
            # Its lease runs out, and it is done again.
            log.warning("job-not-closed", job=lease.id, kind=lease.kind, error=error.message)

    async def _call(self, fn: Callable[..., None], *args: object) -> None:
        await self._loop.run_in_executor(self._executor, fn, *args)

    async def _keep(self, lease: Lease, work: asyncio.Task[None] | None) -> None:
        """Extend the lease while the handler runs; one that is lost all the same ends it."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            held = await self._quietly(self._jobs.extend, lease, self._lease_seconds)
            if held is False and work is not None:
                log.warning("job-lease-lost", job=lease.id, kind=lease.kind)
                work.cancel()
                return
