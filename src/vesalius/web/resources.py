"""From an address to the instances that it names (PS3.18 10.4.1), and what to say where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from vesalius.model.entities import Level, StoredInstance
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.metadata import missing
from vesalius.web.qido import uid_of

STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
LEVELS: tuple[tuple[str, Level], ...] = ((STUDY, Level.STUDY), (SERIES, Level.SERIES), (INSTANCE, Level.IMAGE))

MOST_FRAMES = 10_000  # numbers in one list


@dataclass(frozen=True, slots=True)
class Target:
    """The UIDs of an address."""

    study: str
    series: str | None = None
    instance: str | None = None

    @property
    def level(self) -> Level:
        """The lowest level that is named."""
        if self.instance is not None:
            return Level.IMAGE
        return Level.STUDY if self.series is None else Level.SERIES


def target_of(request: Request) -> Target:
    """What an address names. Raises `Problem` (400) for an illegal UID (H13)."""
    return Target(uid_of(request, "study") or "", uid_of(request, "series"), uid_of(request, "instance"))


def select(ctx: WebContext, target: Target) -> Sequence[StoredInstance]:
    """The current instances under an address, in order of series and instance number. Blocks.

    Raises `Problem` (404, 410), `IndexUnavailable`.
    """
    found = list(
        ctx.index.select(
            target.level,
            studies=(target.study,),
            series=(target.series,) if target.series is not None else (),
            instances=(target.instance,) if target.instance is not None else (),
        )
    )
    if not found:
        raise missing(ctx, target.study, target.series, target.instance)
    return found


def one(ctx: WebContext, target: Target) -> StoredInstance:
    """The one instance under an address. Blocks. Raises as `select`."""
    return select(ctx, target)[0]


def frame_numbers(text: str) -> list[int]:
    """The frames of an address, from 0: `1,3` is [0, 2]. Raises `Problem` (400; H15)."""
    parts = text.split(",")
    if len(parts) > MOST_FRAMES:
        raise Problem(400, f"a list of frames holds at most {MOST_FRAMES} numbers", "Ask for them in several requests.")
    numbers = []
    for part in parts:
        if not (part.isascii() and part.isdecimal() and len(part) <= 10 and int(part) >= 1):
            raise Problem(400, "frames are numbers from 1 on, separated by commas")
        numbers.append(int(part) - 1)
    return numbers
