"""What became of the archive, for programs and pages: a change feed, and the same as it happens.

    GET /api/changes?since=ID&limit=N   events after ID, oldest first, and where to go on
    GET /api/events?since=ID            server-sent events: one a study and kind and look, not one an instance

Both read the outbox (`Index.events`); `feed.py` says how nobody misses anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from vesalius.model.entities import Event
from vesalius.web.context import WebContext
from vesalius.web.feed import Feed, Source, operations


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


def gathered(events: Sequence[Event]) -> list[dict[str, object]]:
    """What happened to each study, in the order of its last event: what a page needs to know of a thousand arrivals."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for event in events:
        known = found.pop((event.kind, event.study), None)
        count = int(str(known["instances"])) if known else 0
        found[event.kind, event.study] = {"kind": event.kind, "study": event.study, "instances": count + 1}
    return list(found.values())


def routes(ctx: WebContext) -> list[Route]:
    """`/changes` and `/events`."""
    return Feed(ctx, Source(ctx.index.last_event, ctx.index.events, told, gathered)).routes()


_EVENT = {
    "type": "object",
    "required": ["id", "kind", "study", "series", "instance", "at", "sender"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"type": "string", "enum": ["stored", "conflict", "deleted", "restored"]},
        **{name: {"type": "string"} for name in ("study", "series", "instance", "at", "sender")},
    },
}

OPERATIONS = operations(
    "",
    _EVENT,
    "What became of the archive after an event",
    "The same as it happens: server-sent events, gathered by study",
)
