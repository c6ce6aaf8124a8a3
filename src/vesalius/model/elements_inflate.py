"""Deflated data sets (PS3.5 A.5), inflated step by step under a cap (bad-input row S9)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from vesalius.model.elements_header import HeaderLimits
from vesalius.model.errors import CannotUnderstand, LimitExceeded

_STEP = 256 << 10
_GRACE = 16 << 20


class Inflater:
    """One deflate stream: no more than a step is held, no more than the cap comes out."""

    __slots__ = ("_inflated", "_limits", "_received", "_stream", "_trailing")

    def __init__(self, limits: HeaderLimits) -> None:
        self._limits = limits
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._received = 0
        self._inflated = 0
        self._trailing = 0

    def inflate(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """What the next bytes inflate to. Raises `CannotUnderstand`, `LimitExceeded`."""
        stream, limits = self._stream, self._limits
        self._received += len(data)
        if stream.eof:
            self._trailing += len(data)
            return
        cap = min(limits.inflated_bytes, limits.inflated_ratio * self._received + _GRACE)
        while True:
            try:
                chunk = stream.decompress(data, _STEP)
            except zlib.error as error:
                raise CannotUnderstand("the deflated data set is corrupt") from error
            self._inflated += len(chunk)
            if self._inflated > cap:
                raise LimitExceeded(
                    "the deflated data set inflates beyond the limit", hint="raise the limit for inflated data sets"
                )
            yield chunk
            data = stream.unconsumed_tail
            if stream.eof or (not data and len(chunk) < _STEP):
                return

    def finish(self) -> int:
        """How many bytes follow the stream. Raises `CannotUnderstand` if it is not complete."""
        if not self._stream.eof:
            raise CannotUnderstand("the deflated data set is truncated")
        return self._trailing + len(self._stream.unused_data)
