"""Answers that are longer than memory should be: made in the pool of threads, sent as fast as the client takes them.

Theory. A blocking iterator makes the chunks. While one is being sent, the next is made: reading and hashing overlap
with the network, and never more than two chunks of a request are in memory, however slow the reader. `send` of the
server waits while the client does not read, so back-pressure reaches the disk. A client that goes away is noticed
at once, in whatever state: the iterator is closed in the pool and its files and worker processes are free again
(bad-input row H28). What goes wrong when the answer has begun cannot change its status: the connection is broken
off, so that the client knows that it has not got everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vesalius.model.errors import VesaliusError
from vesalius.web.context import WebContext

log = structlog.get_logger()

CHUNK = 512 << 10  # bytes that small pieces are gathered to


class BrokenOff(Exception):
    """An answer that has begun cannot be finished."""


class Streamed(Response):
    """An answer whose body is made while it is sent."""

    def __init__(
        self,
        ctx: WebContext,
        chunks: Iterator[bytes],
        media_type: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self._ctx = ctx
        self._chunks = chunks
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
        ahead: asyncio.Task[bytes | None] | None = None
        try:
            if scope["method"] != "HEAD":
                ahead = asyncio.ensure_future(self._next())
                while True:
                    await asyncio.wait((ahead, gone), return_when=asyncio.FIRST_COMPLETED)
                    if gone.done():
                        return
                    chunk = ahead.result()
                    if chunk is None:
                        break
                    ahead = asyncio.ensure_future(self._next())
                    sending = asyncio.ensure_future(
                        _sent(send, {"type": "http.response.body", "body": chunk, "more_body": True})
                    )
                    del chunk
                    await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
                    if not sending.done():
                        sending.cancel()
                        return
                    sending.result()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except VesaliusError as error:
            log.error("answer-broken-off", error=error.message, kind=type(error).__name__)
            raise BrokenOff from error
        finally:
            gone.cancel()
            if ahead is not None:
                await asyncio.wait((ahead,))
                ahead.exception() if not ahead.cancelled() else None
            await self._close()

    async def _next(self) -> bytes | None:
        return await self._ctx.call(next, self._chunks, None)

    async def _close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            await asyncio.get_running_loop().run_in_executor(self._ctx.pool, close)


async def _sent(send: Send, message: Mapping[str, object]) -> None:
    await send(dict(message))


async def _disconnected(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


def gathered(pieces: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Small pieces joined to chunks of about `size` bytes; large ones are not cut."""
    held: list[bytes] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, count = [], 0
    if held:
        yield b"".join(held)
