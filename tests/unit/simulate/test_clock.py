"""The clock that jumps: the order of things is the plan's, however quick or slow the work is."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from vesalius.simulate.clock import JumpingClock

NINE = datetime(2026, 11, 24, 9)


def test_it_jumps_when_all_sleep_and_waits_for_those_who_work() -> None:
    seen: list[tuple[str, str]] = []

    async def act() -> None:
        clock = JumpingClock(NINE)

        async def actor(name: str, moments: list[int], work: int) -> None:
            for minute in moments:
                await clock.until(NINE + timedelta(minutes=minute))
                for _ in range(work):
                    await asyncio.sleep(0)
                seen.append((name, f"{clock.now():%H:%M}"))

        async def run(name: str, moments: list[int], work: int) -> None:
            with clock.actor():
                await actor(name, moments, work)

        with clock.actor():
            tasks = [
                asyncio.create_task(run("slow", [10, 30], 50)),
                asyncio.create_task(run("quick", [20, 40], 0)),
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(act())
    assert seen == [("slow", "09:10"), ("quick", "09:20"), ("slow", "09:30"), ("quick", "09:40")]


def test_a_sleeper_that_is_cancelled_holds_nobody_up() -> None:
    async def act() -> str:
        clock = JumpingClock(NINE)

        async def sleep(hours: int) -> None:
            with clock.actor():
                await clock.until(NINE + timedelta(hours=hours))

        with clock.actor():
            gone, stays = asyncio.create_task(sleep(1)), asyncio.create_task(sleep(2))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        await asyncio.wait_for(stays, 30)
        return f"{clock.now():%H:%M}"

    assert asyncio.run(act()) == "11:00"
