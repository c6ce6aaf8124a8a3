"""What all N- services have in common, in both roles (PS3.7 10).

Theory. An N- operation names its SOP class and instance in the command (Requested ... for N-GET, N-SET, N-ACTION and
N-DELETE, Affected ... for N-CREATE and N-EVENT-REPORT) and carries a small data set. So the same five Command Fields
serve every class, and the handler is found by both (`ByClass`). A service is one coroutine from `NRequest` to `NReply`;
it says what is wrong by raising `NRefused` with an exact status, or an error of the one tree, whose statuses here are
those of PS3.7 Annex C: A700 and the Cxxx of the C- services are on no list of an N- service.

Roles: an operation is invoked by the SCU and performed by the SCP; N-EVENT-REPORT is the other way round (PS3.7 7.5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from vesalius.dimse.accepted import Context
from vesalius.dimse.association import Association
from vesalius.dimse.errors import STATUS_OF, Answer, error_comment
from vesalius.dimse.operations import Collect, Handler, Operation, Sink
from vesalius.model import reading
from vesalius.model.datasets import decode, encode_reply
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand, ClassNotSupported, OutOfResources, VesaliusError
from vesalius.standard import statuses
from vesalius.standard.statuses import StatusKind, kind_of
from vesalius.wire.dimse_commands import Command

log = structlog.get_logger()

SPECIFIC_CHARACTER_SET = 0x00080005


class NRefused(VesaliusError):
    """An operation is refused with exactly this status and these companions."""

    def __init__(self, status: int, comment: str, *, offending: tuple[int, ...] = (), error_id: int | None = None):
        super().__init__(comment, offending=offending)
        self.status = status
        self.error_id = error_id


@dataclass(frozen=True, slots=True)
class NRequest:
    """One operation to perform. `dataset` is None where none came."""

    assoc: Association
    command: Command
    sop_class: str
    sop_instance: str
    dataset: Values | None
    transfer_syntax: str
    context_class: str = ""  # of the presentation context; UPS operations name another one (PS3.4 CC.3.1)

    @property
    def charsets(self) -> tuple[str, ...]:
        """The Specific Character Set of the data set, for a reply in kind."""
        return reading.texts(self.dataset or {}, SPECIFIC_CHARACTER_SET)


@dataclass(frozen=True, slots=True)
class NReply:
    """What is answered. `sop_instance` where the performer made the UID (N-CREATE)."""

    status: int = statuses.SUCCESS
    dataset: Values | None = None
    comment: str = ""
    offending: tuple[int, ...] = ()
    error_id: int | None = None
    sop_instance: str = ""


Perform = Callable[[NRequest], Awaitable[NReply]]


class ByClass:
    """The handler of one Command Field: that of the SOP class, else `otherwise`; without one 0211 (D28)."""

    def __init__(self, handlers: Mapping[str, Handler], otherwise: Handler | None = None) -> None:
        self._handlers = handlers
        self._otherwise = otherwise

    def __call__(self, operation: Operation) -> Sink | None:
        """Hand over."""
        handler = self._handlers.get(operation.context.abstract_syntax, self._otherwise)
        if handler is None:
            answer = Answer(statuses.UNRECOGNIZED_OPERATION, "operation not offered for this SOP Class")
            return operation.refuse_after_data(answer)
        return handler(operation)


class NProvider:
    """The handler of one operation of one SOP class: takes the data set, performs, answers.

    `right` is what the peer needs to have; "" is nothing.
    """

    def __init__(self, perform: Perform, *, right: str = "") -> None:
        self._perform = perform
        self._right = right

    def __call__(self, operation: Operation) -> Sink | None:
        """Take the data set, if there is one, and perform in a task."""
        if self._right and not operation.assoc.may(self._right):
            answer = Answer(statuses.NOT_AUTHORIZED, f"no right to {self._right} here")
            return operation.refuse_after_data(answer)
        if not operation.command.has_dataset:
            operation.run(self._run(operation, b""))
            return None
        limit = operation.assoc.settings.identifier_size
        return Collect(limit, lambda dataset: operation.run(self._run(operation, dataset)))

    async def _run(self, operation: Operation, raw: bytes | None) -> None:
        command = operation.command
        try:
            if raw is None:
                raise OutOfResources("the data set is larger than this archive takes")
            syntax = operation.context.transfer_syntax
            dataset = decode(raw, syntax) if command.has_dataset else None
            request = NRequest(
                operation.assoc,
                command,
                command.affected_class or command.requested_class,
                command.affected_instance or command.requested_instance,
                dataset,
                syntax,
                operation.context.abstract_syntax,
            )
            reply = await self._perform(request)
            answered = None
            if reply.dataset is not None:
                answered = encode_reply(reply.dataset, syntax, request.charsets)
        except Exception as error:
            if not isinstance(error, VesaliusError):
                log.exception("operation-fault", operation=command.name, association=operation.assoc.name)
            operation.refuse(n_answer_for(error))
            return
        answer = Answer(reply.status, error_comment(reply.comment), reply.offending, reply.error_id)
        operation.respond(reply.status, dataset=answered, answer=answer, sop_instance=reply.sop_instance)


def n_answer_for(error: BaseException) -> Answer:
    """The status of an N- service for an error (PS3.7 Annex C.5); a fault of ours is 0110, and its text stays here."""
    if isinstance(error, NRefused):
        return Answer(error.status, error_comment(error.message), error.offending, error.error_id)
    if not isinstance(error, VesaliusError):
        return Answer(statuses.PROCESSING_FAILURE, "internal error; see the server's log")
    if isinstance(error, OutOfResources):
        status = statuses.RESOURCE_LIMITATION
    elif isinstance(error, CannotUnderstand):
        status = statuses.PROCESSING_FAILURE
    else:
        status = next((STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF), 0)
        if not 0x0100 <= status <= 0x0213:  # one that only C- services have
            status = statuses.PROCESSING_FAILURE
    return Answer(status, error_comment(error.message), error.offending)


# -- the invoker ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NAnswer:
    """A peer's answer to an operation of ours."""

    status: int
    command: Command
    dataset: Values | None = None

    @property
    def succeeded(self) -> bool:
        """Done, perhaps with a warning."""
        return kind_of(self.status) in (StatusKind.SUCCESS, StatusKind.WARNING)

    def __str__(self) -> str:
        """For logs and lists: without the comment, in which a peer may have put anything."""
        return statuses.describe(self.status)


async def n_invoke(
    assoc: Association,
    sop_class: str,
    make: Callable[[int], Command],
    dataset: Values | None = None,
    *,
    as_scu: bool = True,
    charsets: tuple[str, ...] = (),
    timeout: float | None = None,
) -> NAnswer:
    """Invoke one operation and wait for its answer. `make` makes the command of a Message ID.

    `as_scu` False is for N-EVENT-REPORT, which the SCP invokes. A peer that accepts the context without a word about
    roles is taken at its word: many listen to events without knowing of role selection (PS3.7 D.3.3.4).
    Raises `ClassNotSupported`, `ConnectionGone`, `TimeoutError`, `CannotUnderstand`.
    """
    context = context_for(assoc, sop_class, as_scu=as_scu)
    message_id = assoc.next_message_id()
    invocation = assoc.invoke(context, message_id)
    try:
        data = None if dataset is None else encode_reply(dataset, context.transfer_syntax, charsets)
        assoc.send(context, make(message_id).encode(), data)
        response = await invocation.response(timeout or assoc.settings.response)
    finally:
        assoc.forget(invocation)
    values = None if response.dataset is None else decode(response.dataset, context.transfer_syntax)
    return NAnswer(response.status, response.command, values)


def context_for(assoc: Association, sop_class: str, *, as_scu: bool = True) -> Context:
    """The context for an operation of a class. Raises `ClassNotSupported`."""
    contexts = assoc.contexts_for(sop_class, as_scu=as_scu)
    if not contexts and not as_scu:
        contexts = assoc.contexts_for(sop_class)
        if contexts:
            log.info("role-not-granted", peer=assoc.address, sop_class=sop_class)
    if not contexts:
        raise ClassNotSupported("the peer does not offer the SOP Class of this operation")
    return contexts[0]
