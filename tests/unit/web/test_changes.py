"""The change feed and its live stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.model.entities import Event
from vesalius.web import feed
from vesalius.web.changes import gathered, told
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.feed import Feed, Source


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(feed, "LOOK", 0.02)
    with web(tmp_path, listeners=2) as made:
        yield made


class Listener:
    """A client of the event stream that is read as it comes."""

    def __init__(self, served: Web, target: str, headers: dict[str, str] | None = None) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.0"}, "method": "GET", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "http_version": "1.1", "scheme": "http",
            "headers": [(b"host", b"x"), *((n.encode(), v.encode()) for n, v in (headers or {}).items())],
            "server": ("x", 80), "client": None, "root_path": "",
        }  # fmt: skip
        self._task = asyncio.create_task(served.app(scope, self._receive, self._messages.put))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def start(self) -> dict[str, Any]:
        return await asyncio.wait_for(self._messages.get(), 60)

    async def event(self) -> str:
        return (await asyncio.wait_for(self._messages.get(), 60))["body"].decode()

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self._task, 60)


def test_the_feed_tells_everything_once_in_order(served: Web) -> None:
    assert served.ask("/api/changes").json() == {"events": [], "last": 0, "more": False}
    for number in (1, 2, 3):
        served.archive.keep(ct(1, 1, number))
    first = served.ask("/api/changes?limit=2").json()
    assert first["more"] and [one["kind"] for one in first["events"]] == ["stored", "stored"]
    assert first["events"][0]["instance"] == uid("instance", 1, 1, 1)
    rest = served.ask(f"/api/changes?since={first['last']}").json()
    assert [one["instance"] for one in rest["events"]] == [uid("instance", 1, 1, 3)] and not rest["more"]
    assert served.ask(f"/api/changes?since={rest['last']}").json()["events"] == []


@pytest.mark.parametrize("query", ["since=-1", "since=x", "since=1&since=2", "limit=x", f"since={10**18 * 5}"])
def test_a_feed_from_nowhere_is_refused(served: Web, query: str) -> None:
    assert served.ask(f"/api/changes?{query}").status == 400


def test_a_page_hears_of_a_study_as_it_arrives(served: Web) -> None:
    async def go() -> None:
        listener = Listener(served, "/api/events")
        start = await listener.start()
        assert start["status"] == 200
        assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert "id: 0\n" in await listener.event()
        await asyncio.to_thread(served.archive.keep, ct(1, 1, 1))
        lines = (await listener.event()).splitlines()
        assert lines[0] == "event: changes"
        said = json.loads(lines[2].removeprefix("data: "))
        assert said["changes"] == [{"kind": "stored", "study": uid("study", 1), "instances": 1}]
        await listener.leave()

    asyncio.run(go())


def test_who_comes_back_hears_what_it_missed(served: Web) -> None:
    for number in (1, 2, 3):
        served.archive.keep(ct(1, 1, number))

    async def go() -> None:
        listener = Listener(served, "/api/events?since=99", {"last-event-id": "1"})
        await listener.start()
        await listener.event()
        said = json.loads((await listener.event()).splitlines()[2].removeprefix("data: "))
        assert said == {"changes": [{"kind": "stored", "study": uid("study", 1), "instances": 2}], "last": 3}
        await listener.leave()

    asyncio.run(go())


def test_listeners_are_as_many_as_may_be_and_make_room_when_they_leave(served: Web) -> None:
    async def go() -> None:
        first, second = Listener(served, "/api/events"), Listener(served, "/api/events")
        assert (await first.start())["status"] == (await second.start())["status"] == 200
        third = Listener(served, "/api/events")
        assert (await third.start())["status"] == 503
        await first.leave()
        fourth = Listener(served, "/api/events")
        assert (await fourth.start())["status"] == 200
        await second.leave()
        await fourth.leave()

    asyncio.run(go())


def test_a_silent_stream_says_that_it_lives(served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BEAT", 0.05)

    async def go() -> None:
        listener = Listener(served, "/api/events")
        await listener.start()
        await listener.event()
        assert (await listener.event()).startswith(": ")
        await listener.leave()

    asyncio.run(go())


def test_listeners_leave_the_loop_to_others_while_too_much_waits_and_hear_what_they_missed(served: Web) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        found = Feed(served.ctx, Source(served.ctx.index.last_event, read, told, gathered))
        found.newest = 1  # there is news
        stream = found.live(0)
        assert b"id: 0" in await anext(stream)
        loop.call_soon(others.append, "ran")
        assert b"event: changes" in await anext(stream)

    def read(since: int, most: int) -> Sequence[Event]:
        return served.ctx.index.events(since, most)

    others: list[str] = []
    refused = 0
    call = WebContext.call

    async def crowded(self: WebContext, function: Any, *args: Any) -> Any:
        """Refuses at once, as where too much waits already, until somebody else had a turn."""
        nonlocal refused
        if others:
            return await call(self, function, *args)
        refused += 1
        if refused > 1000:
            raise AssertionError("nobody else runs")
        raise Problem(503, "too many requests are waiting")

    served.archive.keep(ct(1, 1, 1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WebContext, "call", crowded)
        asyncio.run(go())
    assert refused
