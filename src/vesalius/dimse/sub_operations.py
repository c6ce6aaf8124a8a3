"""The sub-operations of C-MOVE and C-GET: many C-STOREs, one count, one final status (PS3.4 C.4.2, C.4.3).

Theory. A retrieve is a list of instances and some associations to send them on (`Lane`): for C-GET the one it came on,
for C-MOVE those to the destination. While one instance is on the wire the next one is read, verified and, if
need be, transcoded in a thread, so the receiver never waits for the disk. Whatever happens to one
instance is counted and the next one follows; nothing here can hang, because every wait has a time-out.

The final status is Success only if every sub-operation succeeded; A702 when none did; B000 otherwise; FE00 with the
counts after a cancel. Warnings are no failures and are not in the Failed SOP Instance UID List (PS3.4 C.4.2.1.6).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import structlog

from vesalius.archive.retrieve import Retrieve
from vesalius.dimse.association import Association
from vesalius.dimse.c_store import Originator, Outgoing, store
from vesalius.dimse.errors import Answer, is_warning
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.operations import Operation
from vesalius.dimse.pressure import Pressure
from vesalius.model.datasets import encode
from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotTranscode, VesaliusError
from vesalius.standard import statuses
from vesalius.wire.dimse_commands import SubOperations

log = structlog.get_logger()

FAILED_SOP_INSTANCE_UID_LIST = 0x00080058
# A UI element in an explicit VR has a length of 16 bits: this many UIDs of 64 characters fit.
LONGEST_LIST = 65534 // 65
# Up to here a data set is fetched whole ahead of its turn; a larger one is read while it goes out.
FETCH_WHOLE = 16 << 20
# ... in pieces of this size, and so is a smaller one where the process has no memory left for it.
PIECE = 1 << 20
# So many instances are read ahead of the one on the wire, as long as they are small: reading and hashing one takes
# about as long as sending one, so with a single one ahead every delay of the disk is one of the receiver's too.
MOST_AHEAD = 3
SMALL = 2 << 20
# Responses with status Pending come at most this often (seconds); at the latest every `pending_interval`.
PENDING_PACE = 0.1


@dataclass(slots=True)
class Tally:
    """What became of the sub-operations so far."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_instances: list[str] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)

    def count(self, sop_instance: str, status: int) -> None:
        """One sub-operation ended with this C-STORE status."""
        self.remaining -= 1
        if status == statuses.SUCCESS:
            self.completed += 1
        elif is_warning(status):
            self.warning += 1
        else:
            self.failed += 1
            self.failed_instances.append(sop_instance)
            return
        self.sent.add(sop_instance)

    def counts(self, *, with_remaining: bool) -> SubOperations:
        """For a response; Remaining is not part of a final one, except after a cancel (PS3.4 C.4.2.1.7)."""
        return SubOperations(self.remaining if with_remaining else None, self.completed, self.failed, self.warning)

    def final_status(self) -> int:
        """The status when all is done."""
        if not self.failed and not self.warning:
            return statuses.SUCCESS
        if not self.completed and not self.warning:
            return statuses.CANNOT_PERFORM_SUBOPERATIONS
        return statuses.SUBOPERATIONS_FAILED


class Progress:
    """The responses of one retrieve: pendings in good time, one final one."""

    def __init__(self, operation: Operation, total: int) -> None:
        self.operation = operation
        self.tally = Tally(total)
        self._last = operation.assoc.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._beat()

    def count(self, sop_instance: str, status: int) -> None:
        """One sub-operation ended."""
        self.tally.count(sop_instance, status)
        if self.tally.remaining and self.operation.assoc.loop.time() - self._last >= PENDING_PACE:
            self._pending()

    def finish(self, answer: Answer | None = None) -> None:
        """Send the final response: by the counts, or with a failure of the whole."""
        self.close()
        tally, operation = self.tally, self.operation
        if operation.cancelled:
            status = statuses.CANCEL
        else:
            status = answer.status if answer is not None else tally.final_status()
        dataset = None
        if tally.failed_instances and status != statuses.SUCCESS:
            failed = tuple(tally.failed_instances[:LONGEST_LIST])
            dataset = encode({FAILED_SOP_INSTANCE_UID_LIST: failed}, operation.context.transfer_syntax, ())
        counts = tally.counts(with_remaining=operation.cancelled)
        operation.respond(status, dataset=dataset, answer=answer, counts=counts)

    def close(self) -> None:
        """No more signs of life."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pending(self) -> None:
        self._last = self.operation.assoc.loop.time()
        self.operation.respond(statuses.PENDING, counts=self.tally.counts(with_remaining=True))

    def _beat(self) -> None:
        """A sign of life while a sub-operation takes its time, so that the requester does not give up."""
        assoc = self.operation.assoc
        interval = assoc.settings.pending_interval
        if assoc.loop.time() - self._last >= interval * 0.95 and assoc.can_write:
            self._pending()
        self._timer = assoc.loop.call_later(interval / 2, self._beat)


def fetch(retrieve: Retrieve, instance: StoredInstance, accepted: tuple[str, ...], whole: int) -> Outgoing:
    """Read, verify and, if need be, transcode an instance (blocks); one of more than `whole` bytes comes in pieces.

    Raises `CannotTranscode`, `DamagedInstance`; for a large one the first chunk has been verified.
    """
    payload = retrieve.payload(instance, accepted, whole=whole)
    data: bytes | Iterator[bytes]
    if payload.length <= whole:
        parts = list(payload.chunks)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
    else:
        # The digest is compared before the first chunk comes: a damaged instance fails here, not on the wire.
        first = next(payload.chunks)
        data = chain((first,), payload.chunks)
    return Outgoing(instance.sop_class, instance.sop_instance, payload.transfer_syntax, data, payload.length)


@dataclass(slots=True, eq=False)
class _Fetch:
    """An instance that is being read, and the memory that is reserved for it."""

    instance: StoredInstance
    outgoing: asyncio.Future[Outgoing]
    reserved: int = 0


class Lane:
    """Sends instances one after the other on one association, reading ahead as far as memory allows."""

    def __init__(
        self,
        assoc: Association,
        retrieve: Retrieve,
        executor: Executor,
        pressure: Pressure,
        *,
        originator: Originator | None = None,
        priority: int = 0,
    ) -> None:
        self.assoc = assoc
        self._retrieve = retrieve
        self._executor = executor
        self._pressure = pressure
        self._originator = originator
        self._priority = priority
        self._ahead: deque[_Fetch] = deque()  # of the first of those that wait, in their order

    async def send_all(self, waiting: deque[StoredInstance], progress: Progress) -> None:
        """Take instances from `waiting` until there are none. An instance that fails is counted.

        Raises `ConnectionGone` or `TimeoutError` when the association is no more; the instance it happened to is
        then back in `waiting`, in front.
        """
        try:
            while waiting and not progress.operation.cancelled:
                instance = waiting.popleft()
                status = await self._send(instance, waiting)
                progress.count(instance.sop_instance, status)
        finally:
            self._forget_ahead()

    async def _send(self, instance: StoredInstance, waiting: deque[StoredInstance]) -> int:
        if not self._needs_turn(instance):
            return await self._send_fetched(instance, waiting)
        try:
            await self._pressure.large.acquire()
        except asyncio.CancelledError:
            waiting.appendleft(instance)
            raise
        try:
            return await self._send_fetched(instance, waiting)
        finally:
            self._pressure.large.release()

    async def _send_fetched(self, instance: StoredInstance, waiting: deque[StoredInstance]) -> int:
        if self._ahead and self._ahead[0].instance is instance:
            current = self._ahead.popleft()
        else:
            self._forget_ahead()
            current = self._fetch(instance)
        try:
            outgoing = await current.outgoing
            response = await store(
                self.assoc,
                outgoing,
                executor=self._executor,
                originator=self._originator,
                priority=self._priority,
                meanwhile=partial(self._fetch_ahead, waiting),
            )
        except (ConnectionGone, TimeoutError, asyncio.CancelledError):
            waiting.appendleft(instance)
            raise
        except Exception as error:
            self._fetch_ahead(waiting)
            fields = {"sop_instance": instance.sop_instance, "why": type(error).__name__}
            if isinstance(error, VesaliusError):
                log.warning("sub-operation-failed", **fields)
            else:
                log.exception("sub-operation-fault", **fields)
            if self.assoc.ended:  # it broke while a large data set was on its way
                raise ConnectionGone(self.assoc.ended) from error
            return statuses.PROCESSING_FAILURE
        finally:
            self._let_go(current)
        return response.status

    def _needs_turn(self, instance: StoredInstance) -> bool:
        """Whether it is large and goes out otherwise than it is stored: then it is whole in memory, alone."""
        accepted = self.assoc.takes(instance.sop_class)
        large = instance.member.dataset_length > FETCH_WHOLE
        return large and bool(accepted) and instance.transfer_syntax not in accepted

    def _fetch(self, instance: StoredInstance) -> _Fetch:
        accepted = tuple(self.assoc.takes(instance.sop_class))
        if not accepted:
            refused: asyncio.Future[Outgoing] = self.assoc.loop.create_future()
            refused.set_exception(CannotTranscode("the receiver takes no instances of this SOP Class"))
            return _Fetch(instance, refused)
        size = instance.member.dataset_length
        reserved = size if size <= FETCH_WHOLE and self._pressure.take(size) else 0
        whole = FETCH_WHOLE if reserved else PIECE
        read = self.assoc.loop.run_in_executor(self._executor, fetch, self._retrieve, instance, accepted, whole)
        return _Fetch(instance, read, reserved)

    def _fetch_ahead(self, waiting: deque[StoredInstance]) -> None:
        """Begin to read what comes next: one instance always, more while they are small."""
        ahead = self._ahead
        while len(ahead) < min(MOST_AHEAD, len(waiting)):
            instance = waiting[len(ahead)]
            if self._needs_turn(instance) or (ahead and instance.member.dataset_length > SMALL):
                return
            ahead.append(self._fetch(instance))

    def _forget_ahead(self) -> None:
        while self._ahead:
            self._let_go(self._ahead.popleft())

    def _let_go(self, fetched: _Fetch) -> None:
        """It was sent, or nobody waits for it any more: its memory is free once the read has ended."""

        def ended(future: asyncio.Future[Outgoing]) -> None:
            if not future.cancelled():
                future.exception()  # looked at, so that it is not reported as forgotten
            self._pressure.give(fetched.reserved)

        fetched.outgoing.add_done_callback(ended)


def by_class(instances: Iterable[StoredInstance], classes: frozenset[str]) -> deque[StoredInstance]:
    """The instances of some SOP classes, in order."""
    return deque(i for i in instances if i.sop_class in classes)
