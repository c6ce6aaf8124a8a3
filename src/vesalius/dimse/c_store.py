"""C-STORE, both roles (PS3.7 9.1.1, PS3.4 B).

Theory. As SCP the data set goes straight into `archive.ingest`, fragment by fragment, on the event loop: writing
copies to the page cache, and a thread in between would cost more than it hides. The last fragment hands the
instance to the group commit; the response is sent when its future says that the instance is durable and findable, and
never before (PS3.4 B.2.3). Meanwhile the association reads on, so a peer that negotiated an asynchronous
operations window (or just does not wait) has its instances committed together.

As SCU a data set that fits in memory is one message made in one go; a larger one is read while it goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import structlog

from vesalius.archive.ingest import Ingest, Reception
from vesalius.dimse.association import Association
from vesalius.dimse.contexts import is_declared_storage
from vesalius.dimse.errors import Answer, answer_for
from vesalius.dimse.operations import Operation, Response, Sink
from vesalius.model.entities import Claim, Provenance, Receipt
from vesalius.model.errors import ClassNotSupported, VesaliusError
from vesalius.standard import statuses
from vesalius.wire.dimse_requests import c_store_rq

log = structlog.get_logger()


class StoreProvider:
    """The SCP: receives into an `Ingest`. `how` is kept in the provenance."""

    def __init__(self, ingest: Ingest, *, how: str = "c-store") -> None:
        self._ingest = ingest
        self._how = how

    def __call__(self, operation: Operation) -> Sink | None:
        """Begin to receive one instance."""
        assoc, command = operation.assoc, operation.command
        if not command.has_dataset:
            return operation.refuse_after_data(Answer(statuses.MISTYPED_ARGUMENT, "a C-STORE-RQ without data set"))
        if not assoc.may("store"):
            return operation.refuse_after_data(Answer(statuses.NOT_AUTHORIZED, "no right to store here"))
        claim = Claim(command.affected_class, command.affected_instance, operation.context.transfer_syntax)
        provenance = Provenance(
            how=self._how,
            calling_aet=assoc.calling_aet,
            called_aet=assoc.called_aet,
            address=assoc.address,
            association=assoc.name,
        )
        try:
            reception = self._ingest.receive(
                claim,
                provenance,
                refuse_conflicts=assoc.refuse_conflicts,
                declared=is_declared_storage(operation.context.abstract_syntax),
            )
        except VesaliusError as error:
            return operation.refuse_after_data(answer_for(error))
        return Receiving(operation, reception)


class Receiving:
    """The sink of one instance."""

    __slots__ = ("_operation", "_reception", "write")

    def __init__(self, operation: Operation, reception: Reception) -> None:
        self._operation = operation
        self._reception = reception
        self.write = reception.write  # no frame in between: this runs for every fragment

    def end(self) -> None:
        """The data set is whole: the answer follows when the archive promises it."""
        self._operation.assoc.observer.bytes_received(self._reception.length)
        future = self._reception.finish()
        if future.done():
            self._answer(future)
        else:
            future.add_done_callback(self._settled)

    def lost(self) -> None:
        """The transfer broke off: nothing of it stays (U34)."""
        self._reception.abort()

    def _settled(self, future: Future[Receipt]) -> None:
        try:
            self._operation.assoc.loop.call_soon_threadsafe(self._answer, future)
        except RuntimeError:
            log.debug("answer-without-loop")  # the process is ending; the instance is safe, its sender will ask again

    def _answer(self, future: Future[Receipt]) -> None:
        error = future.exception()
        if error is None:
            self._operation.respond(statuses.SUCCESS)
            return
        answer = answer_for(error)
        log.info(
            "c-store-refused",
            status=f"{answer.status:04X}",
            why=answer.comment,
            association=self._operation.assoc.name,
            sop_instance=self._operation.command.affected_instance,
        )
        if not isinstance(error, VesaliusError):
            log.error("c-store-fault", exc_info=error, association=self._operation.assoc.name)
        self._operation.refuse(answer)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One instance to send, its data set whole (`bytes`) or in chunks that are read on the way."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: bytes | Iterator[bytes]
    length: int


@dataclass(frozen=True, slots=True)
class Originator:
    """Whose C-MOVE makes this side send (PS3.7 9.1.1.1.6 and 9.1.1.1.7)."""

    aet: str
    message_id: int


async def store(
    assoc: Association,
    item: Outgoing,
    *,
    executor: Executor | None = None,
    originator: Originator | None = None,
    priority: int = 0,
    timeout: float | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Response:
    """The SCU: send one instance and wait for the response.

    Within the asynchronous operations window several of these may run at once. `executor` is needed where the data
    set comes in chunks. `meanwhile` is called while the message is on its way. Raises `ClassNotSupported` where the
    peer took no context for class and transfer syntax, `ConnectionGone`, `TimeoutError`, and whatever reading raises
    (the association is then aborted).
    """
    context = assoc.takes(item.sop_class).get(item.transfer_syntax)
    if context is None:
        raise ClassNotSupported("the peer accepted no context for this SOP Class and transfer syntax")
    message_id = assoc.next_message_id()
    command = c_store_rq(
        message_id,
        item.sop_class,
        item.sop_instance,
        priority=priority,
        move_originator_aet=originator.aet if originator else None,
        move_originator_message_id=originator.message_id if originator else None,
    ).encode()
    invocation = assoc.invoke(context, message_id)
    try:
        if isinstance(item.data, bytes):
            assoc.send(context, command, item.data)
            if meanwhile is not None:
                meanwhile()
            if not assoc.can_write:
                await assoc.drain()
        elif executor is None:
            raise ValueError("a data set in chunks needs an executor to read them")
        else:
            if meanwhile is not None:
                meanwhile()
            await assoc.send_stream(context, command, item.data, executor)
        response = await invocation.response(timeout or assoc.settings.response)
    finally:
        assoc.forget(invocation)
    assoc.observer.bytes_sent(item.length)
    return response
