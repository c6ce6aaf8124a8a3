"""The time of day in the hospital: the wall's, a faster one, or as fast as the work gets done.

Theory. Everybody who does something is an actor and sleeps on the clock. Where the day shall be as short as possible,
the clock jumps to the next appointment as soon as every actor sleeps: what was to be before ten is then done before
ten, whatever the machine, and only the order of things depends on the plan.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """The hospital's own time."""

    async def until(self, moment: datetime) -> None:
        """Sleep until then; not at all where it is past."""


class WallClock:
    """Real time."""

    def now(self) -> datetime:
        """As on the wall."""
        return datetime.now()

    async def until(self, moment: datetime) -> None:
        """Sleep until then."""
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))


class PacedClock:
    """A clock that runs `speed` times as fast as the wall's."""

    def __init__(self, start: datetime, speed: float) -> None:
        self._start = start
        self._speed = speed
        self._began = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The time of the day that is played."""
        passed = asyncio.get_running_loop().time() - self._began
        return self._start + timedelta(seconds=passed * self._speed)

    async def until(self, moment: datetime) -> None:
        """Sleep until then."""
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds() / self._speed))

    @contextmanager
    def actor(self) -> Iterator[None]:
        """Nobody waits for anybody here."""
        yield


class JumpingClock:
    """A clock that stands while somebody works, and jumps when all sleep."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._awake = 0
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """The time of the day that is played."""
        return self._now

    @contextmanager
    def actor(self) -> Iterator[None]:
        """For the time of the block somebody is there whom the clock waits for."""
        self._awake += 1
        try:
            yield
        finally:
            self._awake -= 1
            self._jump()

    async def until(self, moment: datetime) -> None:
        """Sleep until then. Only actors may."""
        if moment <= self._now:
            return
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), alarm))
        self._awake -= 1
        self._jump()
        try:
            await alarm
        finally:
            if alarm.cancelled():
                self._awake += 1  # it leaves as an actor that is awake

    def _jump(self) -> None:
        """Wake those whose time comes next, once nobody is awake."""
        while self._awake == 0 and self._sleepers:
            self._now = self._sleepers[0][0]
            while self._sleepers and self._sleepers[0][0] == self._now:
                alarm = heapq.heappop(self._sleepers)[2]
                if not alarm.done():
                    self._awake += 1
                    alarm.set_result(None)


DayClock = PacedClock | JumpingClock
