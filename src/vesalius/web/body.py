"""Request bodies of any size, taken as they come: a limit, a patience, and no more memory than one piece.

Theory. The HTTP server below has no time-outs for bodies, so they are kept here: a sender that brings less than
a few kilobytes in `idle` seconds holds a slot that others need and is answered 408 (bad-input H5). The clock
stands still while this side is busy. A body that is announced or grows beyond the limit is 413 at once (H4, T8),
a content coding is refused (H6, T7): what inflates here would have to be limited twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from starlette.requests import Request

from vesalius.web.errors import Problem

# Less than this in `idle` seconds is no progress.
LEAST_PROGRESS = 4096
# What is refused before its end leaves bytes on the wire that nobody will read.
CLOSE = {"Connection": "close"}


class BrokenOff(Problem):
    """The client went away in the middle of its body; nobody will read the answer."""

    def __init__(self) -> None:
        super().__init__(400, "the body broke off", headers=CLOSE)


class Body:
    """The body of one request. Read it once, to its end or not at all."""

    def __init__(self, request: Request, *, limit: int, idle: float) -> None:
        """`limit` in bytes, 0 for none; `idle` in seconds. Raises `Problem` (413, 415)."""
        self._request = request
        self._limit = limit
        self._idle = idle
        self._ended = False
        self._since = 0  # bytes since the deadline was moved
        self._deadline = time.monotonic() + idle
        self._left = time.monotonic()  # when the reader went away to do something else
        self.received = 0
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise Problem(
                415,
                "request bodies are taken without content coding only",
                "Send it without Content-Encoding.",
                headers={"Accept-Encoding": "identity", **CLOSE},
            )
        announced = request.headers.get("content-length", "")
        if limit and announced.isdigit() and int(announced) > limit:
            raise self._too_large()

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises `Problem` (408, 413), `BrokenOff`."""
        while not self._ended:
            now = time.monotonic()
            self._deadline += now - self._left
            try:
                async with asyncio.timeout(self._deadline - now):
                    message = await self._request.receive()
            except TimeoutError:
                raise Problem(
                    408, f"less than {LEAST_PROGRESS} bytes came in {self._idle:g} seconds", headers=CLOSE
                ) from None
            finally:
                self._left = time.monotonic()
            if message["type"] == "http.disconnect":
                raise BrokenOff
            self._ended = not message.get("more_body", False)
            data: bytes = message.get("body", b"")
            if data:
                self._count(len(data))
                return data
        return b""

    async def ahead(self) -> AsyncGenerator[bytes, None]:
        """All pieces; while one is being worked at the next is on its way. Close it (`aclosing`). Raises as `read`."""
        coming = asyncio.ensure_future(self.read())
        try:
            while data := await coming:
                coming = asyncio.ensure_future(self.read())
                await asyncio.sleep(0)  # so that it is asked for
                yield data
        finally:
            if not coming.cancel() and not coming.cancelled():
                coming.exception()  # nobody will ask for it any more

    async def whole(self) -> bytes:
        """All of it, for bodies whose limit fits in memory. Raises as `read`."""
        pieces = []
        while data := await self.read():
            pieces.append(data)
        return b"".join(pieces)

    def _count(self, size: int) -> None:
        self.received += size
        if self._limit and self.received > self._limit:
            raise self._too_large()
        self._since += size
        if self._since >= LEAST_PROGRESS:
            self._since = 0
            self._deadline = self._left + self._idle

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than the {self._limit} bytes that are taken here", headers=CLOSE)
