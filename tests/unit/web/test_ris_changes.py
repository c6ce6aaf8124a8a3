"""The feed of the workflow, and its live stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.ris import Hospital
from tests.support.web import Web, web
from tests.unit.web.test_changes import Listener

from vesalius.web import feed


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(feed, "LOOK", 0.02)
    with web(tmp_path) as made:
        yield made


def hospital(served: Web) -> Hospital:
    assert served.ctx.ris is not None
    return Hospital(served.ctx.ris, served.ctx.ris_rules)


def test_the_feed_of_the_workflow_tells_everything_once_in_order(served: Web) -> None:
    assert served.ask("/api/ris/changes").json() == {"events": [], "last": 0, "more": False}
    hospital(served).stations()
    hospital(served).planned("P-1")
    first = served.ask("/api/ris/changes?limit=2").json()
    assert first["more"] and [one["id"] for one in first["events"]] == [1, 2]
    rest = served.ask(f"/api/ris/changes?since={first['last']}").json()
    kinds = [one["kind"] for one in rest["events"]]
    assert kinds[-1] == "step-scheduled" and "order-placed" in kinds and "patient-added" in kinds
    assert {one["who"] for one in rest["events"]} == {"tester"} and not rest["more"]


def test_a_page_hears_of_a_step_as_it_is_planned_without_a_name(served: Web) -> None:
    hospital(served).stations()
    last = served.ask("/api/ris/changes").json()["last"]

    async def go() -> None:
        listener = Listener(served, f"/api/ris/events?since={last}")
        assert (await listener.start())["status"] == 200
        assert f"id: {last}\n" in await listener.event()
        _, _, _, step = await asyncio.to_thread(hospital(served).planned, "P-2", name="Secret^Name")
        seen: list[dict[str, object]] = []
        while not any(one["kind"] == "step-scheduled" for one in seen):
            lines = (await listener.event()).splitlines()
            assert lines[0] == "event: changes" and "Secret" not in lines[2]
            seen += json.loads(lines[2].removeprefix("data: "))["changes"]
        assert [one["step"] for one in seen if one["kind"] == "step-scheduled"] == [step.ref]
        await listener.leave()

    asyncio.run(go())


@pytest.mark.parametrize("query", ["since=-1", "since=x", f"since={10**18 * 5}"])
def test_a_feed_from_nowhere_is_refused(served: Web, query: str) -> None:
    assert served.ask(f"/api/ris/changes?{query}").status == 400
