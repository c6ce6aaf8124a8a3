"""One scanner on its own: asks the worklist, does what is due, and ends when it was told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vesalius.dimse.errors import OperationFailed
from vesalius.model.entities import Values
from vesalius.model.errors import ClassNotSupported
from vesalius.simulate.clock import WallClock
from vesalius.simulate.exams import Exam
from vesalius.simulate.habits import Habits, Told
from vesalius.simulate.lines import AWAY, Listener, Partners
from vesalius.simulate.phantom import Device
from vesalius.simulate.scanner import Desk, Scanner


@dataclass(frozen=True, slots=True)
class Orders:
    """What a scanner is told to do."""

    count: int | None = 1  # examinations; None: until somebody stops it
    interval: float = 10.0  # between two looks at an empty worklist, seconds
    fault: str = ""
    day: str = ""  # of the worklist; "": any
    unplanned: Values | None = None  # do this instead of what is planned
    patience: float = 120.0  # for the last results, seconds


@dataclass(frozen=True, slots=True)
class Shift:
    """What came of it."""

    done: list[Exam]  # in this run
    remembered: int  # from before
    left: int  # examinations with something still to do
    empty: bool  # the worklist had nothing


async def work(
    device: Device,
    folder: Path,
    partners: Partners,
    orders: Orders,
    *,
    listen: tuple[str, int] = ("127.0.0.1", 0),
    ready: Callable[[int], None] = lambda _port: None,
    told: Callable[[Told], None] = lambda _: None,
    habits: Habits | None = None,
) -> Shift:
    """Switch on, carry on with what is remembered, work, and wait for the last results.

    `ready` is called with the port for results, before anything is asked. Raises `PowerCut`, and one of `AWAY` or
    `OperationFailed` where a worklist that was to give a fixed number cannot be asked.
    """
    desk = Desk()
    listener = Listener(desk)
    port = await listener.start(*listen)
    await asyncio.to_thread(ready, port)
    scanner = Scanner(device, folder, partners, WallClock(), told=told, habits=habits)
    desk.scanners[device.aet] = scanner
    remembered = len(scanner.exams)
    done: list[Exam] = []
    empty = False
    try:
        await scanner.settle_all()
        while orders.count is None or len(done) < orders.count:
            item = await _next(scanner, orders)
            if item is not None:
                done.append(await scanner.examine(item, orders.fault))
            elif orders.count is not None:
                empty = True
                break
            else:
                await scanner.settle_all()
                await asyncio.sleep(orders.interval)
        left = await scanner.finish(orders.patience)
    finally:
        await scanner.switch_off()
        await listener.stop()
    return Shift(done, remembered, left, empty)


async def _next(scanner: Scanner, orders: Orders) -> Values | None:
    if orders.unplanned is not None:
        return orders.unplanned
    try:
        items = await scanner.ask(orders.day)
    except (*AWAY, OperationFailed, ClassNotSupported) as error:
        if orders.count is not None:
            raise
        scanner.worklist_away(error)
        return None
    return items[0] if items else None
