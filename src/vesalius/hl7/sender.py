"""Sending the queues: one destination after the other's own pace, in order, until each message is acknowledged.

Theory. Of all processes one holds the lease of a destination and sends its queue, message after message, each after the
acknowledgement of the one before. A try that fails (nobody there, no acknowledgement, a wrong one) leaves the message
where it is and the next try waits, longer each time, with some chance in it so that a restarted hospital is not met by
everybody at once. A message that the destination answers with AR, or with AE several times, is held for a person and
the queue goes on: one bad message must not stop the others.

The acknowledgement may be lost after the destination has taken a message; then it is sent again with the same control
id, by which every receiver knows it.
"""

from __future__ import annotations

import asyncio
import random
import ssl as tls
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from vesalius.hl7.client import Answer, Fate, MllpClient
from vesalius.hl7.config import Destination, Hl7Settings
from vesalius.model.errors import PeerUnreachable, VesaliusError
from vesalius.ports.clock import Clock
from vesalius.ports.hl7 import Hl7Log, Outgoing

log = structlog.get_logger()

T = TypeVar("T")

_POLL = 1.0  # seconds between two looks at an empty queue


class Senders:
    """The tasks of one process, one for each destination."""

    def __init__(
        self,
        settings: Hl7Settings,
        queues: Hl7Log,
        clock: Clock,
        owner: str,
        *,
        ssl: Callable[[], tls.SSLContext | None] = lambda: None,
        observe: Callable[[str, str], None] = lambda destination, what: None,
    ) -> None:
        """`observe` is told the name of a destination and "sent", "held" or "failed" as they happen."""
        self._settings = settings
        self._queues = queues
        self._clock = clock
        self._owner = owner
        self._ssl = ssl
        self._observe = observe
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="hl7-out")
        self._tasks: list[asyncio.Task[None]] = []
        self._refusals: dict[int, int] = {}  # how often a message was answered AE by now
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begin."""
        for destination in self._settings.destinations:
            self._tasks.append(asyncio.get_running_loop().create_task(self._forever(destination)))

    async def stop(self, grace: float = 2.0) -> None:
        """End; a message that waits for its acknowledgement gets `grace` seconds."""
        self._stopping.set()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=grace)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=1.0)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _forever(self, destination: Destination) -> None:
        client = MllpClient(
            destination,
            ssl=self._ssl,
            connect_seconds=self._settings.connect_seconds,
            ack_seconds=self._settings.ack_seconds,
        )
        try:
            while not self._stopping.is_set():
                try:
                    busy = await self._turn(destination, client)
                except VesaliusError as error:
                    log.warning("hl7-queue-failing", destination=destination.name, reason=error.message)
                    busy = False
                if not busy:
                    await self._pause(_POLL)
        finally:
            await client.close()
            await self._run(lambda: self._queues.unlease(destination.name, self._owner))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _turn(self, destination: Destination, client: MllpClient) -> bool:
        """Send the first message of the queue, if it is ours to send; whether there may be more."""
        first = await self._run(lambda: self._first(destination))
        if first is None:
            return False
        try:
            answer = await client.send(first.message, first.control_id)
        except PeerUnreachable as error:
            why = error.message
            await self._run(lambda: self._failed(destination, first, why))
            return False
        return await self._run(lambda: self._answered(destination, first, answer))

    def _first(self, destination: Destination) -> Outgoing | None:
        found = self._queues.next_out(destination.name)
        if not found:
            return None
        now = self._clock.utc()
        # As long as a try may take, so that nobody else sends meanwhile.
        until = later(now, self._settings.connect_seconds + self._settings.ack_seconds + self._settings.lease_seconds)
        if not self._queues.lease(destination.name, self._owner, now, until):
            return None
        # Another process may have sent it since we looked.
        found = self._queues.next_out(destination.name)
        return found[0] if found else None

    def _answered(self, destination: Destination, row: Outgoing, answer: Answer) -> bool:
        now = self._clock.utc()
        if answer.fate is Fate.TAKEN:
            self._refusals.pop(row.id, None)
            self._queues.sent(row.id, answer.code, answer.raw, now)
            self._observe(destination.name, "sent")
            log.info("hl7-sent", destination=destination.name, type=row.type, control_id=row.control_id)
            return True
        refusals = self._refusals[row.id] = self._refusals.get(row.id, 0) + 1
        if answer.fate is Fate.REFUSED or refusals >= self._settings.refusals:
            del self._refusals[row.id]
            self._queues.held(row.id, answer.code, answer.text, answer.raw, now)
            self._observe(destination.name, "held")
            log.error(
                "hl7-held", destination=destination.name, type=row.type, control_id=row.control_id, why=answer.text,
                hint="look at it with `vesalius hl7 show`, then `vesalius hl7 replay`",
            )  # fmt: skip
            return True
        self._failed(destination, row, answer.text)
        return False

    def _failed(self, destination: Destination, row: Outgoing, why: str) -> None:
        settings = self._settings
        failures = next((one.failures for one in self._queues.channels() if one.destination == destination.name), 0)
        longest = min(settings.longest_pause, settings.first_pause * 2.0 ** min(failures, 20))
        pause = longest * random.uniform(0.5, 1.0)
        failed = self._queues.failed(destination.name, row.id, why, later(self._clock.utc(), pause))
        self._observe(destination.name, "failed")
        if failed in (1, 10) or failed % 100 == 0:
            log.warning("hl7-destination-failing", destination=destination.name, failures=failed, why=why)

    async def _run(self, fn: Callable[[], T]) -> T:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, fn))


def later(now: str, seconds: float) -> str:
    """The moment so many seconds after another."""
    begin = datetime.strptime(now, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (begin + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
