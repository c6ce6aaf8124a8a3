"""DIMSE messages on an association, in both roles at once.

Theory. An association carries operations both ways (PS3.7 7.5): the peer invokes some here (`Operation`), and this
side invokes some there (`Invocation`). A C-GET does both on one association, which is why the acceptor and
the requestor share this class. Messages of one direction never interleave: a data set that is streamed out
holds back every other message until it is whole. Messages of the two directions are independent.

What comes in is never collected here: a command names a handler, the handler gives a `Sink`, and the fragments of
the data set go straight into it. Whatever ends the association, each sink, operation and invocation is told.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor

import structlog

from vesalius.dimse.accepted import Context, belongs, may_be_asked
from vesalius.dimse.errors import Answer, is_pending
from vesalius.dimse.link import ConnectionGone, Link
from vesalius.dimse.operations import Collect, Handler, Invocation, Operation, Response, Sink
from vesalius.dimse.services import DimseSettings, Observer
from vesalius.standard import statuses
from vesalius.wire.dimse_commands import Command, CommandField, SubOperations, response
from vesalius.wire.dimse_messages import Assembler, CommandReceived
from vesalius.wire.dimse_requests import c_cancel_rq
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_events import Aborted, ConnectionLost, DataReceived, Event, ReleaseConfirmed, ReleaseRequested
from vesalius.wire.ul_machine import State, UpperLayer
from vesalius.wire.ul_negotiation import Agreement

log = structlog.get_logger()

# How long a peer may take to end an operation that was cancelled (seconds).
CANCEL_PATIENCE = 5.0

# How long the last bytes of an association that has ended may take to leave (seconds).
CLOSE_PATIENCE = 2.0


class Association(Link):
    """An association from the first byte to the last, acceptor or requestor."""

    def __init__(
        self,
        upper: UpperLayer,
        settings: DimseSettings,
        handlers: Mapping[int, Handler],
        observer: Observer,
    ) -> None:
        super().__init__(upper, settings)
        self.handlers = handlers
        self.observer = observer
        self.contexts: dict[int, Context] = {}
        self._takes: dict[str, Mapping[str, Context]] = {}
        self.extended: Mapping[str, bytes] = {}
        self.name = secrets.token_hex(6)  # in logs and provenance
        self.calling_aet = ""
        self.called_aet = ""
        self.refuse_conflicts = False
        self.requests = 0  # that the peer has made
        self.window = 1  # operations of ours that may be open at once (PS3.7 D.3.3.3); 0 is no limit
        self.ended = ""  # why, once it has ended
        self.operations: dict[int, Operation] = {}
        self.invocations: dict[int, Invocation] = {}
        self._assembler = Assembler()
        self._sink: Sink | None = None
        self._last_message_id = 0
        self._releasing = False
        self._stream = asyncio.Lock()
        self._deferred: list[tuple[int, bytes, bytes | None]] = []

    def may(self, right: str) -> bool:
        """Whether the peer has this right now; the acceptor looks it up."""
        return True

    def agreed(self, agreement: Agreement, *, requestor: bool) -> None:
        """Take over what was negotiated. `requestor`: whether this side is the association requestor."""
        self.contexts = {
            number: Context(
                number,
                agreed.abstract_syntax,
                agreed.transfer_syntax,
                as_scu=agreed.requestor_scu if requestor else agreed.requestor_scp,
                as_scp=agreed.requestor_scp if requestor else agreed.requestor_scu,
            )
            for number, agreed in agreement.contexts.items()
        }
        self._takes = {}
        self.extended = agreement.extended
        self.window = agreement.async_window.invoked if requestor else agreement.async_window.performed

    def contexts_for(self, sop_class: str, *, as_scu: bool = True) -> list[Context]:
        """The accepted contexts of a SOP class in which this side has the role."""
        return [
            ctx
            for ctx in self.contexts.values()
            if ctx.abstract_syntax == sop_class and (ctx.as_scu if as_scu else ctx.as_scp)
        ]

    def takes(self, sop_class: str) -> Mapping[str, Context]:
        """The transfer syntaxes in which the peer takes instances of a class, with their contexts."""
        found = self._takes.get(sop_class)
        if found is None:
            found = {ctx.transfer_syntax: ctx for ctx in reversed(self.contexts_for(sop_class))}
            self._takes[sop_class] = found
        return found

    # -- Link ---------------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """A service primitive: data, release, or the end."""
        if type(event) is DataReceived:
            if not self.ended:
                self._on_data(event)
        elif isinstance(event, ReleaseRequested):
            self._on_release_requested()
        elif isinstance(event, ReleaseConfirmed):
            if self.upper.state is State.STA12:  # a release collision: the peer answered first, now this side does
                self._releasing = True
                self._release_when_done()
            else:
                self.finish("released")
        elif isinstance(event, Aborted):
            who = "this side" if event.by_us else "the peer"
            self.finish(f"aborted by {who} ({event.source}/{event.reason}) {event.detail}".rstrip())
        elif isinstance(event, ConnectionLost):
            self.finish(f"connection lost {event.detail}".rstrip())
        else:
            self.on_association_event(event)

    def on_association_event(self, event: Event) -> None:
        """A-ASSOCIATE indication or confirmation: the acceptor's and requestor's own business."""

    def on_closed(self) -> None:
        """The connection is gone."""
        self.finish("connection closed")

    def on_writable(self) -> None:
        """The peer reads again."""
        self._regulate()

    def is_mid_message(self) -> bool:
        """Whether a PDU or a message is under way."""
        return self._sink is not None or self._assembler.is_mid_message or self.upper.is_mid_pdu

    def is_busy(self) -> bool:
        """Whether an operation of either side is open."""
        return bool(self.operations or self.invocations)

    def finish(self, why: str) -> None:
        """The association is over: tell everyone, once. Nothing that was half received stays."""
        if self.ended:
            return
        self.ended = why
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.lost()
        current = asyncio.current_task()
        for operation in list(self.operations.values()):
            operation.cancelled = True
            if operation.task is not None and operation.task is not current:
                operation.task.cancel()
        self.operations.clear()
        for invocation in list(self.invocations.values()):
            invocation.put(None)
        self.invocations.clear()
        self._deferred.clear()
        self.on_ended()

    def on_ended(self) -> None:
        """For the subclass: the association is over. Called once."""

    # -- coming in ----------------------------------------------------------------------------------------------------

    def _on_data(self, event: DataReceived) -> None:
        for part in self._assembler.feed_pdvs(event.pdvs):
            if isinstance(part, CommandReceived):
                self._on_command(part.context_id, part.command)
                continue
            sink = self._sink
            if sink is not None:
                sink.write(part.data)
                if part.is_last:
                    self._sink = None
                    sink.end()
            if self.ended:
                return

    def _on_command(self, context_id: int, command: Command) -> None:
        context = self.contexts[context_id]
        if command.is_response:
            self._sink = self._on_response(command)
        elif command.field == CommandField.C_CANCEL_RQ:
            self._on_cancel(command)
        else:
            if command.message_id is None:
                raise RemoteProtocolError(0, 0, "a request without Message ID")
            self.requests += 1
            self._sink = self._on_request(Operation(self, context, command))
        if not command.has_dataset:
            self._sink = None
        elif self._sink is None:
            self._sink = Collect(0, lambda _: None)

    def _on_request(self, operation: Operation) -> Sink | None:
        command, context = operation.command, operation.context
        if operation.message_id in self.operations:
            # It has no entry of its own, or it would end the open one.
            return operation.refuse_after_data(Answer(statuses.DUPLICATE_INVOCATION, "Message ID is still in use"))
        self.operations[operation.message_id] = operation
        self._regulate()
        handler = self.handlers.get(command.field)
        if handler is None:
            return operation.refuse_after_data(Answer(statuses.UNRECOGNIZED_OPERATION, "operation not offered"))
        named = command.affected_class or command.requested_class  # the latter in N- requests (PS3.7 10.3)
        if not belongs(named, context) or not may_be_asked(context, command.field):
            return operation.refuse_after_data(
                Answer(statuses.SOP_CLASS_NOT_SUPPORTED, "not the SOP Class and role of this presentation context")
            )
        return handler(operation)

    def _on_response(self, command: Command) -> Sink | None:
        invocation = self.invocations.get(command.message_id_responded or 0)
        if invocation is None or command.status is None:
            return None  # D3: never asked, or given up already; ignored
        if not is_pending(command.status):
            self.forget(invocation)
        if not command.has_dataset:
            invocation.put(Response(command, None))
            return None
        waiting = invocation
        return Collect(self.settings.identifier_size, lambda dataset: waiting.put(Response(command, dataset)))

    def _on_cancel(self, command: Command) -> None:
        operation = self.operations.get(command.message_id_responded or 0)
        if operation is not None and operation.command.field != CommandField.C_STORE_RQ:
            operation.cancel()

    def _on_release_requested(self) -> None:
        """The peer is done. What it did not wait for is cancelled, but an instance that is whole is still answered."""
        self._releasing = True
        for operation in list(self.operations.values()):
            if operation.task is not None:
                operation.cancelled = True
                operation.task.cancel()
                del self.operations[operation.message_id]
        self._release_when_done()

    def _release_when_done(self) -> None:
        answerable = self.upper.state in (State.STA8, State.STA9, State.STA12)
        if self._releasing and answerable and not self.operations and not self.ended:
            self._releasing = False
            self.carry_out(self.upper.release_reply())
            if self.upper.state is State.STA13:
                self.finish("released")

    def _regulate(self) -> None:
        """Read on, or not: too many operations open, or a peer that asks but does not listen."""
        busy = len(self.operations) >= self.settings.operations
        deaf = not self.can_write and not self.invocations
        self.hold(busy or deaf)

    # -- going out ----------------------------------------------------------------------------------------------------

    def send(self, context: Context, command: bytes, dataset: bytes | None = None) -> None:
        """Send a message; never waits. While a data set streams out, it waits in line."""
        if self.ended:
            return
        if self._stream.locked():
            self._deferred.append((context.context_id, command, dataset))
        else:
            self._send(context.context_id, command, dataset)

    def _send(self, context_id: int, command: bytes, dataset: bytes | None) -> None:
        try:
            self.carry_out(self.upper.send_message(context_id, command, dataset))
        except LocalProtocolError as error:
            if self.upper.state in (State.STA6, State.STA8):
                raise
            log.debug("late-message", peer=self.address, why=str(error))

    async def send_stream(self, context: Context, command: bytes, chunks: Iterator[bytes], executor: Executor) -> None:
        """Send a message whose data set is read (in the executor) while it goes out; waits for the peer.

        Raises `ConnectionGone`, and whatever `chunks` raises: the message is then cut off and so is the association.
        """
        async with self._stream:
            stream = self.upper.stream_message(context.context_id, command, chunks)
            try:
                while (effects := await self.loop.run_in_executor(executor, next, stream, None)) is not None:
                    if self.ended:
                        raise ConnectionGone(self.ended)
                    self.carry_out(effects)
                    await self.drain()
            except LocalProtocolError:
                raise ConnectionGone(self.ended or "the association ended") from None
            except BaseException:
                self.abort(0, 0, "a data set could not be sent to its end")
                raise
        waiting, self._deferred = self._deferred, []
        for message in waiting:
            self._send(*message)

    def respond(
        self,
        operation: Operation,
        status: int,
        *,
        dataset: bytes | None = None,
        answer: Answer | None = None,
        counts: SubOperations | None = None,
        sop_instance: str = "",
    ) -> None:
        """Send a response (PS3.7 9.3, 10.3); one with a final status ends the operation."""
        if self.ended:
            return
        encoded = response(
            operation.command,
            status,
            has_dataset=dataset is not None,
            offending=answer.offending if answer is not None else (),
            comment=answer.comment if answer is not None else "",
            error_id=answer.error_id if answer is not None else None,
            counts=counts,
            sop_instance=sop_instance,
        ).encode()
        self.send(operation.context, encoded, dataset)
        if not is_pending(status):
            self._done(operation, status)

    def _done(self, operation: Operation, status: int) -> None:
        if self.operations.get(operation.message_id) is operation:
            del self.operations[operation.message_id]
        self.observer.operation_done(
            operation.command.name.removesuffix("-RQ"), status, self.loop.time() - operation.started
        )
        self._regulate()
        if self._releasing:
            self._release_when_done()

    def next_message_id(self) -> int:
        """A Message ID that no open operation of ours has."""
        while True:
            self._last_message_id = self._last_message_id % 0xFFFF + 1
            if self._last_message_id not in self.invocations:
                return self._last_message_id

    def invoke(self, context: Context, message_id: int) -> Invocation:
        """Expect responses to an operation of ours that is about to be sent. Raises `ConnectionGone`."""
        if self.ended:
            raise ConnectionGone(self.ended)
        invocation = Invocation(self, message_id)
        self.invocations[message_id] = invocation
        return invocation

    def forget(self, invocation: Invocation) -> None:
        """Expect no more responses to it."""
        if self.invocations.get(invocation.message_id) is invocation:
            del self.invocations[invocation.message_id]

    async def cancel(self, context: Context, invocation: Invocation) -> None:
        """Send a C-CANCEL-RQ and read past what is on its way up to the final response (PS3.7 9.3.2.3).

        Without the wait a release would overtake the peer's last word, which some peers never get over. One that
        goes on for `CANCEL_PATIENCE` seconds is not listened to any longer.
        """
        self.send(context, c_cancel_rq(invocation.message_id).encode())
        try:
            async with asyncio.timeout(CANCEL_PATIENCE):
                async for _ in invocation.responses():
                    continue
        except (ConnectionGone, TimeoutError) as error:
            log.debug("cancel-unheeded", peer=self.address, why=str(error))

    async def release(self) -> None:
        """Ask for release and wait for the end; an unanswered request ends by ARTIM (Evt 18, Sta 7)."""
        patience = self.settings.artim + 1
        if self.upper.state is State.STA6:
            self.carry_out(self.upper.release())
        elif self.transport is not None and self.ended:
            self.transport.close()
            patience = CLOSE_PATIENCE
        try:
            await asyncio.wait_for(asyncio.shield(self.closed), patience)
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
