"""The MLLP listener: connections, one message after the other on each, and an orderly end.

Theory. A connection is read only as far as it is answered: the next block is looked at when the one before has its
acknowledgement, so order is kept on each connection and a sender that hurries waits in its own socket (back-pressure).
Messages of different connections are processed side by side in a few threads. A block that is not whole after
`block_seconds`, one that is too long, and a connection on which nothing was said for `idle_seconds` end the connection
without an acknowledgement (bad-input row L1); what is wrong inside a block is answered and the connection goes on.

Nobody is listened to who calls from an address that no source may have.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from vesalius.hl7.config import Caller
from vesalius.hl7.intake import Accepted, Intake
from vesalius.wire.mllp import BlockReader, TooLong, block

log = structlog.get_logger()

T = TypeVar("T")

_CHUNK = 1 << 16
_BUSY_PAUSE = 0.1
_BUSY_SECONDS = 30.0


class MllpServer:
    """Listens, answers. `start` may be called once per address."""

    def __init__(self, intake: Intake, observe: Callable[[str], None] = lambda _: None) -> None:
        """`observe` is told "accepted" and "refused" of connections as they happen."""
        self._intake = intake
        self._settings = intake.settings
        self._observe = observe
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()  # tasks between two messages
        self._executor = ThreadPoolExecutor(self._settings.threads, thread_name_prefix="hl7")
        self._stopping = False

    async def start(
        self, host: str, port: int, ssl: tls.SSLContext | None = None, reuse_port: bool = True
    ) -> tuple[str, int]:
        """Listen; gives the address that was bound (port 0 takes a free one). With `ssl`, a TLS port."""
        server = await asyncio.start_server(
            self._connected,
            host,
            port,
            ssl=ssl,
            reuse_port=reuse_port,
            limit=_CHUNK,
            ssl_handshake_timeout=self._settings.block_seconds if ssl is not None else None,
        )
        self._servers.append(server)
        bound = server.sockets[0].getsockname()
        log.info("hl7-listening", host=bound[0], port=bound[1], tls=ssl is not None)
        return bound[0], bound[1]

    async def stop(self, grace: float) -> None:
        """Take nothing new, end what is idle, give what is in hand `grace` seconds."""
        self._stopping = True
        for server in self._servers:
            server.close()
        for task in list(self._waiting):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        peer = writer.get_extra_info("peername") or ("",)
        caller = Caller(str(peer[0]), writer.get_extra_info("ssl_object") is not None)
        self._tasks.add(task)
        try:
            if self._stopping or len(self._tasks) > self._settings.connections or not self._may_call(caller):
                self._observe("refused")
                log.warning("hl7-connection-refused", peer=caller.address)
                return
            self._observe("accepted")
            await self._serve(task, reader, writer, caller)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass
        except Exception as error:  # a fault of ours ends this connection and nothing else
            if isinstance(error, RuntimeError) and writer.is_closing():
                return  # what the event loop calls a transport that its peer closed meanwhile
            log.error("hl7-connection-fault", peer=caller.address, kind=type(error).__name__)
        finally:
            self._tasks.discard(task)
            writer.close()

    def _may_call(self, caller: Caller) -> bool:
        settings = self._settings
        return settings.allow_unknown or any(source.calls_from(caller.address) for source in settings.sources)

    async def _serve(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        blocks = BlockReader(self._settings.message_bytes)
        loop = asyncio.get_running_loop()
        began = 0.0
        while not self._stopping:
            left = began + self._settings.block_seconds - loop.time()
            wait = left if blocks.inside else self._settings.idle_seconds
            self._waiting.add(task)
            try:
                data = await asyncio.wait_for(reader.read(_CHUNK), max(0.0, wait))
            except TimeoutError:
                log.info("hl7-connection-timeout", peer=caller.address, inside=blocks.inside)
                return
            finally:
                self._waiting.discard(task)
            if not data:
                return
            was_inside, too_long = blocks.inside, False
            try:
                found = blocks.feed(data)
            except TooLong as error:
                found, too_long = error.blocks, True
            for content in found:
                await self._answer(content, caller, writer)
            if too_long:
                log.warning("hl7-message-too-long", peer=caller.address, limit=self._settings.message_bytes)
                return
            if blocks.inside and (found or not was_inside):
                began = loop.time()

    async def _answer(self, content: bytes, caller: Caller, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _BUSY_SECONDS
        while True:
            accepted: Accepted = await self._run(lambda: self._intake.accept(content, caller))
            if not accepted.busy:
                break
            if loop.time() > end:
                raise TimeoutError  # closed without an answer: the sender sends it again
            await asyncio.sleep(_BUSY_PAUSE)
        await self._send(writer, accepted.replies)
        work = accepted.work
        if work is not None:
            await self._send(writer, await self._run(lambda: self._intake.process(work)))

    async def _send(self, writer: asyncio.StreamWriter, replies: tuple[bytes, ...]) -> None:
        for reply in replies:
            if writer.is_closing():
                raise ConnectionResetError  # the sender has gone; it will ask again
            writer.write(block(reply))
        if replies:
            await asyncio.wait_for(writer.drain(), self._settings.block_seconds)

    async def _run(self, fn: Callable[[], T]) -> T:
        # Shielded: what a thread has begun ends, though the connection is gone.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, fn))
