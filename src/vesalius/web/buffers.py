"""Memory for bodies, used again: taking half a megabyte from the system costs as much as filling it."""

from __future__ import annotations


class Buffers:
    """Some buffers that nobody uses at the moment. Thread-safe.

    The HTTP server copies a body before `send` returns (a test sees to that), so it may then be used again.
    """

    def __init__(self, kept: int = 4) -> None:
        self._kept = kept
        self._free: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """One of so many bytes; anything may be in it."""
        try:
            buffer = self._free.pop()
        except IndexError:
            return bytearray(size)
        if len(buffer) > size:
            del buffer[size:]
        elif len(buffer) < size:
            buffer.extend(bytes(size - len(buffer)))
        return buffer

    def give_back(self, buffer: bytes | bytearray) -> None:
        """It has been sent. One that is never given back is no loss."""
        if isinstance(buffer, bytearray) and len(self._free) < self._kept:
            self._free.append(buffer)
