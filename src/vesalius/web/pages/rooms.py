"""The rooms: what stands in the left rail, in this order. `docs/explanation/pages.md` says how to add one.

A room has an address, an icon (lines of an SVG of 20 x 20), a text `room.NAME` in the catalogues and a letter: `g` and
the letter go there from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vesalius.web.context import WebContext


def _always(_ctx: WebContext) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Room:
    """An entry of the rail."""

    name: str
    path: str
    letter: str
    icon: str  # `d` of a path
    shown: Callable[[WebContext], bool] = _always


ROOMS: tuple[Room, ...] = (
    Room("studies", "/", "l", "M4 3.5h12a1.5 1.5 0 0 1 1.5 1.5v10a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 15V5"
                              "A1.5 1.5 0 0 1 4 3.5zM2.5 8h15M7.5 8v8.5"),
    Room("schedule", "/schedule", "c", "M4 4h12a1.5 1.5 0 0 1 1.5 1.5v10A1.5 1.5 0 0 1 16 17H4"
         "a1.5 1.5 0 0 1-1.5-1.5v-10A1.5 1.5 0 0 1 4 4z"
                                       "M2.5 8h15M6.5 2.5v3M13.5 2.5v3M6 11h3v3H6z", lambda ctx: ctx.ris is not None),
    Room("flow", "/tracking", "t", "M2.5 5h9M2.5 10h6M2.5 15h9M14.5 3l2.5 2-2.5 2"
         "M11.5 8l2.5 2-2.5 2M14.5 13l2.5 2-2.5 2",
         lambda ctx: ctx.ris is not None),
    Room("system", "/system", "s", "M2.5 11h3l2-6 4 11 2.5-7 1 2h2.5"),
)  # fmt: skip
