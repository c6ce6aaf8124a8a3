"""What became of the archive, for programs and pages: a change feed, and the same as it happens.

    GET /api/changes?since=ID&limit=N   events after ID, oldest first, and where to go on
    GET /api/events?since=ID            server-sent events: one a study and kind and look, not one an instance

Theory. Both read the outbox (`Index.events`), whose ids are visible in their order, so a reader that remembers the last
id misses nothing, whatever happens to it, the server or the connection; the browser does so by itself
(Last-Event-ID). While anyone listens, one task a process looks for news every `LOOK` seconds and wakes all; a
listener that cannot keep up is not waited for, it reads on from where it is. Their number is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vesalius.model.entities import Event
from vesalius.model.errors import VesaliusError
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import number
from vesalius.web.openapi_types import JSON_ERROR, Operation, Value

log = structlog.get_logger()

LOOK = 0.5  # seconds between two looks for news
BEAT = 15.0  # seconds after which a silent stream says that it lives
PAGE = 1000  # events in one answer
RETRY = 2000  # milliseconds after which a browser connects again


@dataclass(slots=True)
class Feed:
    """Wakes the listeners of one process when there is news."""

    ctx: WebContext
    listeners: int = 0
    newest: int = -1  # the last event that was looked at
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """One more listener. Raises `Problem` (503) when there are as many as there may be."""
        if self.listeners >= self.ctx.view.listeners:
            raise Problem(503, "as many listen to events as may", "Ask again later, or poll /api/changes.")
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
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            pass

    async def _look(self) -> None:
        while True:
            if self.ctx.closing.is_set():
                self._news.set()
                return
            try:
                newest = await self.ctx.call(self.ctx.index.last_event)
            except (VesaliusError, Problem):
                newest = self.newest  # away for a moment: its listeners wait on
            if newest != self.newest:
                self.newest = newest
                self._news.set()
                self._news = asyncio.Event()
            await asyncio.sleep(LOOK)


def told(event: Event) -> dict[str, object]:
    """An event as JSON says it."""
    return {
        "id": event.id,
        "kind": event.kind,
        "study": event.study,
        "series": event.series,
        "instance": event.sop_instance,
        "at": event.at,
        "sender": event.sender,
    }


def gathered(events: list[Event]) -> list[dict[str, object]]:
    """What happened to each study, in the order of its last event: what a page needs to know of a thousand arrivals."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for event in events:
        known = found.pop((event.kind, event.study), None)
        count = int(str(known["instances"])) if known else 0
        found[event.kind, event.study] = {"kind": event.kind, "study": event.study, "instances": count + 1}
    return list(found.values())


def _since(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem(400, "since must be the id of an event")
    return int(text)


def routes(ctx: WebContext) -> list[Route]:
    """`/changes` and `/events`."""
    feed = Feed(ctx)

    async def changes(request: Request) -> Response:
        parameters: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            parameters.setdefault(name, []).append(value)
        since = number(parameters, "since") or 0
        limit = number(parameters, "limit")
        most = PAGE if limit is None else min(limit, PAGE)
        if since >= 1 << 62:
            raise Problem(400, "since must be the id of an event")
        found = await ctx.call(ctx.index.events, since, most) if most else []
        body = {
            "events": [told(event) for event in found],
            "last": found[-1].id if found else since,
            "more": bool(most) and len(found) == most,
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    async def events(request: Request) -> Response:
        since = _since(request.headers.get("last-event-id"))
        if since is None:
            since = _since(request.query_params.get("since"))
        if since is None:
            since = await ctx.call(ctx.index.last_event)
        feed.join()
        return _Stream(ctx, feed, since)

    return [Route("/changes", changes, methods=["GET"]), Route("/events", events, methods=["GET"])]


class _Stream(StreamingResponse):
    """A stream whose listener is gone when it is, even if it never began."""

    def __init__(self, ctx: WebContext, feed: Feed, since: int) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_told_live(ctx, feed, since), 200, headers, "text/event-stream")
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave()


async def _told_live(ctx: WebContext, feed: Feed, since: int) -> AsyncIterator[bytes]:
    yield b"retry: %d\nid: %d\ndata: {}\n\n" % (RETRY, since)
    spoke = asyncio.get_running_loop().time()
    while not ctx.closing.is_set():
        try:
            found = await ctx.call(ctx.index.events, since, PAGE)
        except (VesaliusError, Problem):
            found = []
        now = asyncio.get_running_loop().time()
        if found:
            since, spoke = found[-1].id, now
            body = msgspec.json.encode({"changes": gathered(found), "last": since})
            yield b"event: changes\nid: %d\ndata: %s\n\n" % (since, body)
        elif now - spoke >= BEAT:
            spoke = now
            yield b": still here\n\n"
        if len(found) < PAGE:
            await feed.wait(since, BEAT)


_EVENT = {
    "type": "object",
    "required": ["id", "kind", "study", "series", "instance", "at", "sender"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"type": "string", "enum": ["stored", "conflict", "deleted", "restored"]},
        **{name: {"type": "string"} for name in ("study", "series", "instance", "at", "sender")},
    },
}

OPERATIONS = (
    Operation(
        "get", "/changes", "What became of the archive after an event",
        parameters=(
            Value("since", "id of the last event that is known; 0: from the beginning",
                  {"type": "integer", "minimum": 0, "maximum": (1 << 62) - 1}),
            Value("limit", "most events to answer", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),
        ),
        responses={
            200: {"type": "object", "required": ["events", "last", "more"], "properties": {
                "events": {"type": "array", "items": _EVENT},
                "last": {"type": "integer"},
                "more": {"type": "boolean"}}},
            400: JSON_ERROR,
        },
    ),
    Operation(
        "get", "/events", "The same as it happens: server-sent events, gathered by study",
        parameters=(
            Value("since", "as of /changes; the Last-Event-ID header stands before it",
                  {"type": "integer", "minimum": 0, "maximum": (1 << 62) - 1}),
        ),
        responses={200: None, 400: JSON_ERROR, 503: JSON_ERROR},
        media_type="text/event-stream",
    ),
)  # fmt: skip
