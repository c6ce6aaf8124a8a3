"""What the pages of the running day have in common: the tabs above them, with how much waits behind each.

*Tracking*, *To reconcile*, *HL7* and *Commitments* are one room: what goes on between the systems of a house, and what
of it waits for a person. A tab is only there where the thing is.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.model.errors import VesaliusError
from vesalius.ris import reconcile
from vesalius.web.context import WebContext

MANY = 100  # more than so many are not counted


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of the room: `flow.NAME` is its text; `waiting` of what it shows wait for a person."""

    name: str
    path: str
    waiting: int = 0
    where: str = ""  # what waits, if that is not the page itself


def tabs(ctx: WebContext) -> tuple[Tab, ...]:
    """Blocks."""
    found: list[Tab] = []
    ris, hl7 = ctx.ris, ctx.hl7
    if ris is not None:
        items = ris.look(lambda view: reconcile.items(view, limit=MANY))
        found += [Tab("tracking", "/tracking"), Tab("reconcile", "/reconcile", len(items))]
    if hl7 is not None:
        held = sum(one.held for one in hl7.log.channels())
        found.append(Tab("hl7", "/hl7", held, "/hl7?way=out&state=held"))
    if ctx.commit is not None:
        found.append(Tab("commitments", "/commitments"))
    return tuple(found)


def waiting(ctx: WebContext) -> tuple[Tab, ...]:
    """Those behind which something waits for a person; none while the index cannot be read. Blocks."""
    try:
        return tuple(tab for tab in tabs(ctx) if tab.waiting)
    except VesaliusError:
        return ()
