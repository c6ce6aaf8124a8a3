"""What one process may carry at once: shared by all its listeners, so that a limit means what it says.

Everything here is used by one event loop, so nothing needs a lock. Memory for retrieves is counted in bytes of data
sets that are held whole: where the budget is used up a data set is read in pieces on its way out, which costs the disk
a second reading and nobody any memory. What has to be turned into another transfer syntax cannot come in pieces, so
large ones of these take turns.
"""

from __future__ import annotations

import asyncio

from vesalius.dimse.services import DimseSettings


class Pressure:
    """How much of its limits a process uses right now."""

    __slots__ = ("associations", "large", "memory", "retrieves")

    def __init__(self, settings: DimseSettings) -> None:
        self.associations = 0  # accepted ones that have not ended
        self.retrieves = settings.sub_operations  # that may still begin
        self.memory = settings.retrieve_memory  # bytes that may still be held
        self.large = asyncio.Semaphore(settings.large_transcodings)

    def take(self, size: int) -> bool:
        """Reserve memory for a data set that is read whole; False where it has to be streamed."""
        if size > self.memory:
            return False
        self.memory -= size
        return True

    def give(self, size: int) -> None:
        """The data set has left."""
        self.memory += size
