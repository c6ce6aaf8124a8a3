"""C-MOVE, both roles (PS3.7 9.1.4, PS3.4 C.4.2).

As SCP the instances go to a third party, or back to the requester, on associations that this side opens. The
destination is an AE title that must be a configured peer (A801 otherwise; its address never comes from the
wire) and that this requester may name (0124). The requester hears a Pending at least every second, and the final
response comes whatever the destination does: reaching it, each response and each write have time-outs, an association
that breaks is replaced once, and a destination that does not answer fails what is left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from functools import partial

import structlog

from vesalius.archive.retrieve import Retrieve
from vesalius.dimse.access import PeerBook, destination
from vesalius.dimse.association import Association
from vesalius.dimse.c_find import refuse_query
from vesalius.dimse.c_get import retrieve_failure, selected
from vesalius.dimse.c_store import Originator
from vesalius.dimse.contexts import Proposal, Verb, class_of, for_storing
from vesalius.dimse.errors import Answer
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.operations import Collect, Operation, Response, Sink
from vesalius.dimse.pool import Pool
from vesalius.dimse.pressure import Pressure
from vesalius.dimse.query_retrieve import responses
from vesalius.dimse.sub_operations import Lane, Progress, by_class
from vesalius.model.commitments import Reference
from vesalius.model.entities import Peer, StoredInstance, Values
from vesalius.model.errors import DestinationUnknown, NotAuthorized, PeerUnreachable, VesaliusError
from vesalius.model.query import Root
from vesalius.standard import statuses
from vesalius.wire.dimse_requests import c_move_rq

log = structlog.get_logger()

# After so many broken associations in one retrieve the destination is taken to be broken.
MOST_BREAKS = 3
# How long a sub-operation may go on after the requester cancelled (seconds).
CANCEL_PATIENCE = 0.8


class MoveProvider:
    """The SCP for the three information models."""

    def __init__(
        self,
        retrieve: Retrieve,
        executor: Executor,
        pressure: Pressure,
        book: PeerBook,
        pool: Pool,
        may_move_to: Callable[[Association, Peer], bool],
        sent: Callable[[Peer, Sequence[Reference]], None],
    ) -> None:
        self._retrieve = retrieve
        self._executor = executor
        self._pressure = pressure
        self._book = book
        self._pool = pool
        self._may_move_to = may_move_to
        self._sent = sent

    def __call__(self, operation: Operation) -> Sink | None:
        """Take the identifier, then send in a task."""
        refusal = refuse_query(operation, Verb.MOVE, "retrieve")
        if refusal is not None:
            return operation.refuse_after_data(refusal)
        limit = operation.assoc.settings.identifier_size
        return Collect(limit, lambda dataset: operation.run(self._perform(operation, dataset)))

    async def _perform(self, operation: Operation, dataset: bytes | None) -> None:
        if not self._pressure.retrieves:
            operation.refuse(Answer(statuses.CANNOT_PERFORM_SUBOPERATIONS, "too many retrieves at once"))
            return
        self._pressure.retrieves -= 1
        progress: Progress | None = None
        try:
            target = await self._target(operation)
            instances = await selected(operation, self._retrieve, self._executor, dataset)
            progress = Progress(operation, len(instances))
            work = asyncio.ensure_future(self._send_all(operation, target, instances, progress))
            await _until_done_or_cancelled(operation, work)
            await self._announce(target, instances, progress)
            progress.finish()
        except (ConnectionGone, asyncio.CancelledError):
            raise
        except Exception as error:
            operation.refuse(retrieve_failure(operation, error))
        finally:
            self._pressure.retrieves += 1
            if progress is not None:
                progress.close()

    async def _announce(self, target: Peer, instances: list[StoredInstance], progress: Progress) -> None:
        """Say what was sent, for a peer that is to be asked for commitment to it."""
        if "ask-commitment" not in target.duties or not progress.tally.sent:
            return
        sent = [Reference(i.sop_class, i.sop_instance) for i in instances if i.sop_instance in progress.tally.sent]
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._sent, target, sent)
        except VesaliusError as error:  # they were sent all the same
            log.warning("commitment-not-asked", destination=target.aet, instances=len(sent), why=error.message)

    async def _target(self, operation: Operation) -> Peer:
        """The destination. Raises `DestinationUnknown`, `NotAuthorized`."""
        title = operation.command.move_destination
        target = destination(title, self._book.now()) or destination(title, await self._book.fresh())
        if target is None:
            raise DestinationUnknown("the move destination is not a peer of this archive")
        if not self._may_move_to(operation.assoc, target):
            raise NotAuthorized("no right to move to this destination")
        return target

    async def _send_all(
        self, operation: Operation, target: Peer, instances: list[StoredInstance], progress: Progress
    ) -> None:
        for proposals, classes in for_storing(instances):
            chosen = list(by_class(instances, classes))
            lanes = max(1, min(operation.assoc.settings.move_pipelines, len(chosen)))
            shares = [deque(chosen[n::lanes]) for n in range(lanes)]
            if lanes == 1:
                await self._send_share(operation, target, proposals, shares[0], progress)
            else:
                async with asyncio.TaskGroup() as group:
                    for share in shares:
                        group.create_task(self._send_share(operation, target, proposals, share, progress))

    async def _send_share(
        self,
        operation: Operation,
        target: Peer,
        proposals: tuple[Proposal, ...],
        waiting: deque[StoredInstance],
        progress: Progress,
    ) -> None:
        """Send some instances on one association at a time; what cannot be sent is counted as failed."""
        originator = Originator(operation.assoc.calling_aet, operation.message_id)
        breaks = 0
        suspect = ""
        while waiting and not operation.cancelled:
            try:
                assoc, reused = await self._pool.take(target, proposals)
            except PeerUnreachable as error:
                log.warning("move-destination-unreachable", destination=target.aet, why=error.message)
                break
            before = len(waiting)
            lane = Lane(
                assoc,
                self._retrieve,
                self._executor,
                self._pressure,
                originator=originator,
                priority=operation.command.priority,
            )
            try:
                await lane.send_all(waiting, progress)
            except TimeoutError:
                assoc.abort(0, 0, "the move destination does not answer")
                break
            except ConnectionGone as error:
                log.warning("move-destination-broke", destination=target.aet, why=str(error))
                if reused and len(waiting) == before:
                    continue  # it had been closed while it was idle: no fault of this instance
                breaks += 1
                if waiting and (waiting[0].sop_instance == suspect or len(waiting) == before):
                    # It broke twice on this one, or a new association on its very first.
                    progress.count(waiting.popleft().sop_instance, statuses.PROCESSING_FAILURE)
                suspect = waiting[0].sop_instance if waiting else ""
                if breaks >= MOST_BREAKS:
                    break
            except BaseException:
                assoc.abort(0, 0, "the retrieve was given up")
                raise
            else:
                self._pool.give_back(target, assoc, proposals, operation.assoc)
        if not operation.cancelled:
            while waiting:
                progress.count(waiting.popleft().sop_instance, statuses.PROCESSING_FAILURE)


async def _until_done_or_cancelled(operation: Operation, work: asyncio.Future[None]) -> None:
    """Wait for the work; a C-CANCEL-RQ gives a sub-operation that is under way a moment, then ends it."""
    cancelled = asyncio.Event()
    operation.on_cancel = cancelled.set
    waiting = asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait((work,), timeout=CANCEL_PATIENCE)
        if work.done():
            work.result()
    finally:
        waiting.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))


async def move(
    assoc: Association,
    identifier: Values,
    destination_aet: str,
    *,
    root: Root = Root.STUDY,
    charsets: tuple[str, ...] = (),
    timeout: float | None = None,
) -> AsyncIterator[Response]:
    """The SCU: every response, the last one final. Leaving the iteration early cancels (C-CANCEL-RQ).

    Raises `ClassNotSupported`, `ConnectionGone`, `TimeoutError`.
    """
    request = partial(c_move_rq, destination=destination_aet)
    async with aclosing(responses(assoc, class_of(root, Verb.MOVE), request, identifier, charsets, timeout)) as answers:
        async for _, response in answers:
            yield response
