"""What became of the workflow (orders, steps, patients), for programs and pages: a change feed, and the same live.

    GET /api/ris/changes?since=ID&limit=N   events after ID, oldest first, and where to go on
    GET /api/ris/events?since=ID            server-sent events: numbers of what changed, never a name

Both read the events of the workflow (`RisView.events`); `feed.py` says how nobody misses anything. The live feed says
which patient, order and step something happened to, by the numbers of their rows; whoever wants more asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from vesalius.model.orders import RisEvent
from vesalius.web.context import WebContext
from vesalius.web.feed import Feed, Source, operations

ROOT = "/ris"


def told(event: RisEvent) -> dict[str, object]:
    """An event as JSON says it."""
    return {
        "id": event.id,
        "kind": event.kind,
        "at": event.at,
        "who": event.who,
        "why": event.why,
        "patient": event.patient,
        "order": event.order,
        "step": event.step,
        "detail": event.detail,
    }


def gathered(events: Sequence[RisEvent]) -> list[dict[str, object]]:
    """What happened to what, each once, in the order of its last event."""
    found: dict[tuple[str, int, int, int], None] = {}
    for event in events:
        key = (event.kind, event.patient, event.order, event.step)
        found.pop(key, None)
        found[key] = None
    return [dict(zip(("kind", "patient", "order", "step"), key, strict=True)) for key in found]


def routes(ctx: WebContext) -> list[Route]:
    """`/ris/changes` and `/ris/events`; nothing where there is no workflow."""
    ris = ctx.ris
    if ris is None:
        return []

    def newest() -> int:
        return ris.look(lambda view: view.last_event())

    def read(since: int, most: int) -> Sequence[RisEvent]:
        return ris.look(lambda view: view.events(since, limit=most))

    return Feed(ctx, Source(newest, read, told, gathered), ROOT).routes()


_EVENT = {
    "type": "object",
    "required": ["id", "kind", "at", "who", "why", "patient", "order", "step", "detail"],
    "properties": {
        **{name: {"type": "integer"} for name in ("id", "patient", "order", "step")},
        **{name: {"type": "string"} for name in ("kind", "at", "who", "why")},
        "detail": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}

OPERATIONS = operations(
    ROOT,
    _EVENT,
    "What became of orders, steps and patients after an event",
    "The same as it happens: server-sent events, each change once",
)
