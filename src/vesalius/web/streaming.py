"""Answers that are longer than memory should be: made in the pool of threads, sent as fast as the client takes them.

Theory. A blocking iterator makes the chunks. While one turn of them is being sent, the next is made: reading and
hashing overlap with the network, and never more than two turns of a request are in memory. A turn is half a megabyte;
for a client that has taken more than buffers below us hold, and takes it at once, turns grow to four megabytes, since
changing threads costs more than copying.
For it small pieces are joined with what follows, too: a message to the HTTP server is dearer. (A piece in a
bytearray is a message already; its memory goes back to `buffers` when it has been sent.) `send` of the
server waits while the client does not read, so back-pressure reaches the disk. A client that goes away is noticed
at once, in whatever state: the iterator is closed in the pool and its files and worker processes are free again
(bad-input row H28). What goes wrong when the answer has begun cannot change its status: the connection is broken
off, so that the client knows that it has not got everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vesalius.model.errors import VesaliusError
from vesalius.web.buffers import Buffers
from vesalius.web.context import WebContext

log = structlog.get_logger()

CHUNK = 512 << 10  # bytes that are made in one turn; a piece that is larger is not cut
LARGEST = 4 << 20  # in one turn, for a client that is quick:
QUICK = 0.03  # it has taken the one before within so many seconds,
PROVEN = 8 << 20  # and so many bytes in all: the first few megabytes of any answer only fill the buffers of the system
MESSAGE = 2 << 20  # bytes that are joined for one message to it
SMALL = 64 << 10  # bytes; smaller pieces are joined for everyone


class Pace:
    """Whether a client takes what it is given as fast as it is given: one that does gets more at a time."""

    def __init__(self) -> None:
        self.quick = False
        self._given = time.monotonic()
        self._taken = 0

    def give(self) -> None:
        """It is given the next piece now."""
        self._given = time.monotonic()

    def taken(self, size: int) -> None:
        """It has taken that piece, of so many bytes."""
        self._taken += size
        self.quick = self._taken >= PROVEN and time.monotonic() - self._given < QUICK


class BrokenOff(Exception):
    """An answer that has begun cannot be finished."""


class Streamed(Response):
    """An answer whose body is made while it is sent."""

    def __init__(
        self,
        ctx: WebContext,
        chunks: Iterator[bytes | bytearray],
        media_type: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
        heavy: bool = False,
        buffers: Buffers | None = None,
    ) -> None:
        self._ctx = ctx
        self._heavy = heavy  # whether the chunks wait for a codec
        self._chunks = chunks
        self._buffers = buffers
        self._most = CHUNK  # bytes of the next turn
        self.status_code = status
        self.background = None
        self.media_type = media_type
        self.body = b""
        given = {**(headers or {}), "content-type": media_type}
        if length is not None:
            given["content-length"] = str(length)
        self.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_disconnected(receive))
        ahead: asyncio.Task[list[bytes | bytearray]] | None = None
        pace = Pace()
        try:
            if scope["method"] != "HEAD":
                ahead = asyncio.ensure_future(self._next())
                while True:
                    await asyncio.wait((ahead, gone), return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        return
                    pieces = ahead.result()
                    if not pieces:
                        break
                    ahead = asyncio.ensure_future(self._next())
                    pace.give()
                    size = sum(map(len, pieces))
                    pieces.reverse()
                    while pieces:
                        piece = pieces.pop()
                        message: dict[str, object] = {"type": "http.response.body", "body": piece, "more_body": True}
                        sending = asyncio.ensure_future(_sent(send, message))
                        lent, message, piece = piece if isinstance(piece, bytearray) else None, {}, b""
                        await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
                        if not sending.done():
                            sending.cancel()
                            return
                        sending.result()
                        if lent is not None and self._buffers is not None:
                            self._buffers.give_back(lent)
                        lent = None
                    pace.taken(size)
                    self._most = min(2 * self._most, LARGEST) if pace.quick else CHUNK
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except VesaliusError as error:
            log.error("answer-broken-off", error=error.message, kind=type(error).__name__)
            raise BrokenOff from error
        finally:
            gone.cancel()
            if ahead is not None:
                await asyncio.wait((ahead,))
                if not ahead.cancelled():
                    ahead.exception()
            await self._close()

    async def _next(self) -> list[bytes | bytearray]:
        return await (self._ctx.heavy if self._heavy else self._ctx.call)(self._take)

    def _take(self) -> list[bytes | bytearray]:
        """What is made in one turn, joined to messages; none at the end. Blocks."""
        taken: list[bytes | bytearray] = []
        pending: list[bytes | bytearray] = []
        count = waiting = 0
        # What is joined is in memory twice for a moment, and a slow client makes the moment long.
        least = MESSAGE if self._most > CHUNK else SMALL
        for piece in self._chunks:
            count += len(piece)
            if isinstance(piece, bytearray) or (least == SMALL and len(piece) >= SMALL):
                taken += [b"".join(pending), piece] if pending else [piece]
                pending, waiting = [], 0
            else:
                pending.append(piece)
                waiting += len(piece)
            if waiting >= least:
                taken.append(b"".join(pending))
                pending, waiting = [], 0
            if count >= self._most:
                break
        if pending:
            taken.append(b"".join(pending))
        return taken

    async def _close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            await asyncio.get_running_loop().run_in_executor(self._ctx.pool, close)


async def _sent(send: Send, message: dict[str, object]) -> None:
    await send(message)


async def _disconnected(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
