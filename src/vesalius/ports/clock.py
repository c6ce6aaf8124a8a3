"""Time, so that tests can hold it still."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for timers."""

    def utc(self) -> str:
        """Now as ISO 8601 in UTC with microseconds and "Z"."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...
