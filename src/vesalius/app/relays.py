"""Relays: what follows from the events of a change feed, each event exactly once.

Theory. A relay's step reads the next events, writes what follows from them and moves its cursor, in one transaction
(`backends/jobs_sql.relay_step`); which process takes the step does not matter, so each DIMSE worker tries. A step that
found something is taken again at once; else the relay sleeps until it is woken or its interval has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from vesalius.model.errors import VesaliusError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Relay:
    """`step` blocks: one bounded transaction, and how many events it took."""

    name: str
    step: Callable[[], int]
    interval: float = 1.0


class RelayRunner:
    """Runs the relays of one process on its event loop; the steps in threads."""

    def __init__(self, relays: Sequence[Relay], executor: ThreadPoolExecutor) -> None:
        self._relays = relays
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._awake = [asyncio.Event() for _ in relays]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        pairs = zip(self._relays, self._awake, strict=True)
        self._tasks = [self._loop.create_task(self._run(relay, awake)) for relay, awake in pairs]

    def wake(self) -> None:
        """There may be events. From any thread."""
        for awake in self._awake:
            self._loop.call_soon_threadsafe(awake.set)

    async def stop(self) -> None:
        """End; a step that is under way commits or does not."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0)

    async def _run(self, relay: Relay, awake: asyncio.Event) -> None:
        failing = ""
        while True:
            awake.clear()
            taken = 0
            try:
                taken = await self._loop.run_in_executor(self._executor, relay.step)
                if failing:
                    log.info("relay-works-again", relay=relay.name)
                failing = ""
            except Exception as error:
                why = error.message if isinstance(error, VesaliusError) else type(error).__name__
                if why != failing:
                    log.warning("relay-failing", relay=relay.name, why=why)
                    if not isinstance(error, VesaliusError):
                        log.exception("relay-fault", relay=relay.name)
                failing = why
            if not taken:
                try:
                    async with asyncio.timeout(relay.interval):
                        await awake.wait()
                except TimeoutError:
                    pass
