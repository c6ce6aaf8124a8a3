"""Turning pixels of one transfer syntax into another. CPU work: callers run it in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Transcoder(Protocol):
    """What retrieval needs when a receiver does not take the stored transfer syntax."""

    def choose(self, stored: str, accepted: Sequence[str]) -> str | None:
        """The best of the accepted transfer syntaxes that `stored` can be turned into without loss; None if none."""
        ...

    def transcode(self, dataset: bytes, stored: str, wanted: str) -> bytes:
        """The whole data set in the wanted transfer syntax. Raises `CannotTranscode`."""
        ...

    def close(self) -> None:
        """End the worker processes."""
        ...
