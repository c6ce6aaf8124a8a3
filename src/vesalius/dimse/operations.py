"""Operations of either side (PS3.7 7.5) and where their data sets go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from vesalius.dimse.errors import Answer, answer_for, is_pending
from vesalius.dimse.link import ConnectionGone
from vesalius.wire.dimse_commands import Command, SubOperations

if TYPE_CHECKING:
    from vesalius.dimse.accepted import Context
    from vesalius.dimse.association import Association

log = structlog.get_logger()


class Sink(Protocol):
    """Where the data set of one message goes, fragment by fragment."""

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes, to be used or copied at once: they lie in the buffer that the next ones come into."""

    def end(self) -> None:
        """The data set is whole."""

    def lost(self) -> None:
        """The association ended before the data set did."""


class Collect:
    """A sink for a small data set: holds it, or drops it once it is larger than `limit` bytes (`then` gets None)."""

    def __init__(self, limit: int, then: Callable[[bytes | None], None]) -> None:
        self._limit = limit
        self._then = then
        self._parts: list[bytes] = []
        self._length = 0

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self._length += len(data)
        if self._length > self._limit:
            self._parts.clear()
        else:
            self._parts.append(bytes(data))

    def end(self) -> None:
        """The data set is whole."""
        self._then(b"".join(self._parts) if self._length <= self._limit else None)

    def lost(self) -> None:
        """Nothing to clean up."""


class Operation:
    """One operation that the peer invoked here and that has no final response yet."""

    __slots__ = ("assoc", "cancelled", "command", "context", "message_id", "on_cancel", "started", "task")

    def __init__(self, assoc: Association, context: Context, command: Command) -> None:
        self.assoc = assoc
        self.context = context
        self.command = command
        self.message_id: int = command.message_id or 0
        self.cancelled = False
        self.on_cancel: Callable[[], None] | None = None
        self.started = assoc.loop.time()
        self.task: asyncio.Task[None] | None = None

    def respond(
        self,
        status: int,
        *,
        dataset: bytes | None = None,
        answer: Answer | None = None,
        counts: SubOperations | None = None,
        sop_instance: str = "",
    ) -> None:
        """Send a response (PS3.7 9.3, 10.3); one with a final status ends the operation."""
        self.assoc.respond(self, status, dataset=dataset, answer=answer, counts=counts, sop_instance=sop_instance)

    def refuse(self, answer: Answer) -> None:
        """End the operation with a failure."""
        self.assoc.respond(self, answer.status, answer=answer)

    def refuse_after_data(self, answer: Answer) -> Sink | None:
        """End the operation with a failure, once the data set (if there is one) has gone by unread."""
        if not self.command.has_dataset:
            self.refuse(answer)
            return None
        return Collect(0, lambda _: self.refuse(answer))

    def cancel(self) -> None:
        """The peer sent a C-CANCEL-RQ (PS3.7 9.3.2.3)."""
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Perform the operation in a task that ends with the association."""
        self.task = self.assoc.loop.create_task(work)
        self.task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        """Whatever a task ends with, the operation has a final response or no association to send one on."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionGone):
            log.error("operation-fault", exc_info=error, association=self.assoc.name)
            self.refuse(answer_for(error))


Handler = Callable[[Operation], "Sink | None"]


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the peer to an operation of ours."""

    command: Command
    dataset: bytes | None

    @property
    def status(self) -> int:
        """Status (0000,0900)."""
        return self.command.status or 0


class Invocation:
    """One operation that this side invoked there: its responses as they come."""

    __slots__ = ("_responses", "assoc", "message_id")

    def __init__(self, assoc: Association, message_id: int) -> None:
        self.assoc = assoc
        self.message_id = message_id
        self._responses: asyncio.Queue[Response | None] = asyncio.Queue()

    def put(self, response: Response | None) -> None:
        """A response has come; None: the association ended."""
        self._responses.put_nowait(response)

    async def response(self, timeout: float | None = None) -> Response:
        """The next response. Raises `ConnectionGone`, `TimeoutError`."""
        if self._responses.empty():
            async with asyncio.timeout(timeout):
                response = await self._responses.get()
        else:
            response = self._responses.get_nowait()
        if response is None:
            raise ConnectionGone(self.assoc.ended or "the association ended")
        return response

    async def responses(self, timeout: float | None = None) -> AsyncIterator[Response]:
        """Every response up to the final one; `timeout` seconds for each."""
        while True:
            response = await self.response(timeout)
            yield response
            if not is_pending(response.status):
                return
