"""What happens, told as it does: a change feed and the same live (server-sent events), whatever it tells of.

Theory. A feed is a sequence of events whose ids are visible in their order, so a reader that remembers the last id
misses nothing, whatever happens to it, the server or the connection; the browser does so by itself (Last-Event-ID).
While anyone listens, one task a process looks for news every `LOOK` seconds and wakes all; a listener that cannot keep
up is not waited for, it reads on from where it is. Their number is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vesalius.model.errors import VesaliusError
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import number
from vesalius.web.openapi_types import JSON_ERROR, Operation, Schema, Value

LOOK = 0.5  # seconds between two looks for news
BEAT = 15.0  # seconds after which a silent stream says that it lives
PAGE = 1000  # events in one answer
RETRY = 2000  # milliseconds after which a browser connects again
_NEWEST = 1 << 62

SINCE = Value("since", "id of the last event that is known; 0: from the beginning",
              {"type": "integer", "minimum": 0, "maximum": _NEWEST - 1})  # fmt: skip
LIMIT = Value("limit", "most events to answer", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1})
LIVE_SINCE = Value("since", "as of the changes; the Last-Event-ID header stands before it", SINCE.schema)


class Numbered(Protocol):
    """An event of a feed."""

    @property
    def id(self) -> int:
        """Its place in the feed."""
        ...


E = TypeVar("E", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Source(Generic[E]):
    """Where the events of a feed come from. All of it blocks but the words."""

    newest: Callable[[], int]
    read: Callable[[int, int], Sequence[E]]  # (since, most), oldest first
    told: Callable[[E], dict[str, object]]  # an event as JSON says it
    gathered: Callable[[Sequence[E]], list[dict[str, object]]]  # what a page needs to know of many


class News:
    """Wakes the listeners of one process when there is something newer than they know."""

    def __init__(self, ctx: WebContext, last: Callable[[], int], instead: str) -> None:
        """`last` gives the newest event, and blocks; `instead`: what those may ask who cannot listen."""
        self.ctx = ctx
        self.listeners = 0
        self.newest = -1  # the last event that was looked at
        self._last = last
        self._instead = instead
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """One more listener. Raises `Problem` (503) when there are as many as there may be."""
        if self.listeners >= self.ctx.view.listeners:
            raise Problem(503, "as many listen to events as may", f"Ask again later, or poll {self._instead}.")
        self.listeners += 1
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    def leave(self) -> None:
        """One less."""
        self.listeners -= 1
        if not self.listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def wait(self, since: int, seconds: float) -> None:
        """Until there is an event after `since`, or so long."""
        if self.newest > since:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)

    async def _look(self) -> None:
        while True:
            if self.ctx.closing.is_set():
                self._news.set()
                return
            try:
                newest = await self.ctx.call(self._last)
            except (VesaliusError, Problem):
                newest = self.newest  # away for a moment: its listeners wait on
            if newest != self.newest:
                self.newest = newest
                self._news.set()
                self._news = asyncio.Event()
            await asyncio.sleep(LOOK)


class Feed(News, Generic[E]):
    """Answers from a source, and the same as it happens."""

    def __init__(self, ctx: WebContext, source: Source[E], root: str = "") -> None:
        """`root` stands before `/changes` and `/events`."""
        super().__init__(ctx, source.newest, f"{ctx.view.api}{root}/changes")
        self.source = source
        self._root = root

    def routes(self) -> list[Route]:
        """Both, below the root."""
        return [
            Route(f"{self._root}/changes", self.changes, methods=["GET"]),
            Route(f"{self._root}/events", self.events, methods=["GET"]),
        ]

    async def changes(self, request: Request) -> Response:
        """Events after `since`, oldest first, and where to go on."""
        parameters: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            parameters.setdefault(name, []).append(value)
        since = number(parameters, "since") or 0
        limit = number(parameters, "limit")
        most = PAGE if limit is None else min(limit, PAGE)
        if since >= _NEWEST:
            raise Problem(400, "since must be the id of an event")
        found = await self.ctx.call(self.source.read, since, most) if most else []
        body = {
            "events": [self.source.told(event) for event in found],
            "last": found[-1].id if found else since,
            "more": bool(most) and len(found) == most,
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    async def events(self, request: Request) -> Response:
        """The same as it happens."""
        since = _since(request.headers.get("last-event-id"))
        if since is None:
            since = _since(request.query_params.get("since"))
        if since is None:
            since = await self.ctx.call(self.source.newest)
        self.join()
        return _Stream(self, since)

    async def live(self, since: int) -> AsyncIterator[bytes]:
        """The stream of one listener, without an end."""
        yield b"retry: %d\nid: %d\ndata: {}\n\n" % (RETRY, since)
        spoke = asyncio.get_running_loop().time()
        while not self.ctx.closing.is_set():
            try:
                found = await self.ctx.call(self.source.read, since, PAGE)
            except (VesaliusError, Problem):
                # Away, or too much waits. What there is to read stays there: without a rest this would ask for it
                # again and again, and where the answer needs no waiting, nothing else would run any more.
                await asyncio.sleep(LOOK)
                continue
            now = asyncio.get_running_loop().time()
            if found:
                since, spoke = found[-1].id, now
                body = msgspec.json.encode({"changes": self.source.gathered(found), "last": since})
                yield b"event: changes\nid: %d\ndata: %s\n\n" % (since, body)
            elif now - spoke >= BEAT:
                spoke = now
                yield b": still here\n\n"
            if len(found) < PAGE:
                await self.wait(since, BEAT)


def operations(root: str, event: Schema, changes: str, events: str) -> tuple[Operation, Operation]:
    """Both for the OpenAPI document; `changes` and `events` say what they tell of."""
    return (
        Operation(
            "get", f"{root}/changes", changes,
            parameters=(SINCE, LIMIT),
            responses={
                200: {"type": "object", "required": ["events", "last", "more"], "properties": {
                    "events": {"type": "array", "items": event},
                    "last": {"type": "integer"},
                    "more": {"type": "boolean"}}},
                400: JSON_ERROR,
            },
        ),
        Operation(
            "get", f"{root}/events", events,
            parameters=(LIVE_SINCE,),
            responses={200: None, 400: JSON_ERROR, 503: JSON_ERROR},
            media_type="text/event-stream",
        ),
    )  # fmt: skip


def _since(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem(400, "since must be the id of an event")
    return int(text)


class _Stream(StreamingResponse):
    """A stream whose listener is gone when it is, even if it never began."""

    def __init__(self, feed: Feed[Any], since: int) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(feed.live(since), 200, headers, "text/event-stream")
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave()
