"""How a scanner goes about its work, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass, field


class PowerCut(Exception):
    """The power is gone, now."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something that a scanner did or heard: no patient data in it."""

    what: str
    station: str
    exam: str = ""
    detail: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a scanner goes about it. Seconds of real time."""

    linger: float = 5.0  # the association of a request stays open so long for its result
    patience: float = 60.0  # after so long without a result commitment is asked for again
    minutes: int = 0  # how long an examination takes, on the clock
    performed: bool = True  # MPPS is told
    commit: bool = True  # commitment is asked for
