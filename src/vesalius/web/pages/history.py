"""The last hour in figures, for the plot on *System*: samples of the service's own counters.

Every `EVERY` seconds the metrics are read as any scraper reads them, and three counters remembered. A counter that
went back belongs to a service that was restarted: its step counts as nothing. The plot is an SVG made of plain
attributes, so that it needs no script and no style of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from vesalius.web.context import WebContext
from vesalius.web.errors import Problem

EVERY = 15.0  # seconds
SPAN = 3600.0
POINTS = 60  # of the plot: one a minute

_RECEIVED, _SENT = b"vesalius_received_bytes_total ", b"vesalius_sent_bytes_total "
_STORED, _OPEN = b'vesalius_instances_total{verdict="stored"} ', b"vesalius_associations_open "


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at a time (monotonic seconds)."""

    at: float
    received: float = 0.0
    sent: float = 0.0
    stored: float = 0.0
    open: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Per minute, the oldest first, and how it is drawn."""

    received: tuple[float, ...]  # bytes a second
    sent: tuple[float, ...]
    stored: int  # instances in the whole span
    received_bytes: int
    sent_bytes: int
    open: int  # associations now

    @property
    def highest(self) -> float:
        """The top of the plot, bytes a second."""
        return max(*self.received, *self.sent, 1.0)

    def line(self, values: tuple[float, ...], width: int = 600, height: int = 96) -> str:
        """`points` of an SVG polyline."""
        top = self.highest
        step = width / max(1, len(values) - 1)
        return " ".join(f"{n * step:.1f},{height - value / top * (height - 4):.1f}" for n, value in enumerate(values))


def sample_of(text: bytes, at: float) -> Sample:
    """Read the Prometheus text form."""
    found = dict.fromkeys((_RECEIVED, _SENT, _STORED, _OPEN), 0.0)
    for line in text.splitlines():
        for name in found:
            if line.startswith(name):
                try:
                    found[name] = float(line[len(name) :])
                except ValueError:
                    pass
    return Sample(at, found[_RECEIVED], found[_SENT], found[_STORED], found[_OPEN])


@dataclass(slots=True)
class History:
    """Samples of one service."""

    ctx: WebContext
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=int(SPAN / EVERY) + 2))
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sample, once."""
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self.ctx.closing.is_set():
            try:
                await self.take()
            except Problem:
                pass  # busy: the next one will do
            except RuntimeError:
                return  # the pool has ended before us
            try:
                await asyncio.wait_for(self.ctx.closing.wait(), EVERY)
            except TimeoutError:
                continue

    async def take(self) -> Sample:
        """One more sample."""
        text = await self.ctx.call(self.ctx.site.metrics)
        made = sample_of(text, time.monotonic())
        self.samples.append(made)
        return made

    def rates(self) -> Rates:
        """What the samples say of the last hour."""
        return rates(list(self.samples), time.monotonic())


def rates(samples: list[Sample], now: float) -> Rates:
    """Steps between samples, gathered by the minute that they end in."""
    width = SPAN / POINTS
    received, sent = [0.0] * POINTS, [0.0] * POINTS
    stored = 0.0
    for before, after in pairwise(samples):
        slot = POINTS - 1 - int((now - after.at) / width)
        if 0 <= slot < POINTS:
            received[slot] += max(0.0, after.received - before.received)
            sent[slot] += max(0.0, after.sent - before.sent)
            stored += max(0.0, after.stored - before.stored)
    return Rates(
        tuple(value / width for value in received),
        tuple(value / width for value in sent),
        int(stored),
        int(sum(received)),
        int(sum(sent)),
        int(samples[-1].open) if samples else 0,
    )
