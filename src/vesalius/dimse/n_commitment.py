"""Storage Commitment Push Model, both roles (PS3.4 annex J): N-ACTION asks, N-EVENT-REPORT tells the result.

Theory. The SCP answers an N-ACTION as soon as the request is durable (PS3.4 J.3.2.1.3) and has the instances read again
by a job. The result goes out on a new association, for which the SCP is the requestor and proposes the SCP role for
itself (PS3.4 J.3.3.1.2; PS3.7 D.3.3.4), or on the one on which it was asked while that is there. Both kinds of result
hold the complete list. The SCU takes a result on any association, its own or one that the peer opened, and answers
0000 once it is durable; a result told again is answered 0000 again.

What is wrong with a request as such is a status (D24); what is wrong with an instance is a Failure Reason in the
result.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from vesalius.archive.commit import Commit
from vesalius.dimse.association import Association
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.n_services import NAnswer, NRefused, NReply, NRequest, n_invoke
from vesalius.model import reading
from vesalius.model.commitments import (
    CommitmentInstance,
    CommitmentRequest,
    CommitmentResult,
    CommitmentState,
    Reference,
)
from vesalius.model.entities import Values
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.ports.jobs import Lease
from vesalius.standard import statuses
from vesalius.standard.sop_classes import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from vesalius.wire.dimse_requests import n_action_rq, n_event_report_rq

REQUEST_COMMITMENT = 1  # Action Type ID (PS3.4 Table J.3-1)
ALL_COMMITTED = 1  # Event Type IDs (PS3.4 Table J.3-2)
SOME_FAILED = 2

RETRIEVE_AE_TITLE = 0x00080054
REFERENCED_SOP_CLASS_UID = 0x00081150
REFERENCED_SOP_INSTANCE_UID = 0x00081155
TRANSACTION_UID = 0x00081195
FAILURE_REASON = 0x00081197
FAILED_SOP_SEQUENCE = 0x00081198
REFERENCED_SOP_SEQUENCE = 0x00081199

# Which peer calls: its name, "" for none.
NameOf = Callable[[Association], str]


class CommitmentProvider:
    """The SCP's half of N-ACTION. `begun` is handed the lease of the job that follows, with the association."""

    def __init__(
        self, commit: Commit, executor: Executor, name_of: NameOf, begun: Callable[[Lease, Association], None]
    ) -> None:
        self._commit = commit
        self._executor = executor
        self._name_of = name_of
        self._begun = begun

    async def perform(self, request: NRequest) -> NReply:
        """Take a request; the answer leaves when it is durable. Raises `NRefused`, `IndexUnavailable`."""
        assoc = request.assoc
        if request.command.action_type != REQUEST_COMMITMENT:
            raise NRefused(statuses.NO_SUCH_ACTION, "storage commitment has action type 1 only")
        _well_known(request)
        transaction = _transaction(request)
        asked = CommitmentRequest(
            transaction,
            _references(request),
            peer=self._name_of(assoc),
            aet=assoc.calling_aet,
            called_aet=assoc.called_aet,
            address=assoc.address,
            association=assoc.name,
        )
        lease = await assoc.loop.run_in_executor(self._executor, self._commit.accept, asked)
        # The job begins after the response has left: a result must not overtake it.
        assoc.loop.call_soon(self._begun, lease, assoc)
        return NReply()


class ResultTaker:
    """The SCU's half of N-EVENT-REPORT. `taken` hears of each result that was for a request of ours."""

    def __init__(
        self, commit: Commit, executor: Executor, taken: Callable[[str, CommitmentState], None] | None = None
    ) -> None:
        self._commit = commit
        self._executor = executor
        self._taken = taken

    async def perform(self, request: NRequest) -> NReply:
        """Take a result; the answer leaves when it is durable. Raises `NRefused`, `IndexUnavailable`."""
        assoc = request.assoc
        if request.command.event_type not in (ALL_COMMITTED, SOME_FAILED):
            raise NRefused(statuses.NO_SUCH_EVENT_TYPE, "storage commitment has event types 1 and 2")
        _well_known(request)
        result = result_of(request)
        # `calling_aet` is the other end, whoever asked for the association.
        state = await assoc.loop.run_in_executor(self._executor, self._commit.result, result, assoc.calling_aet)
        if state is None:
            raise NRefused(
                statuses.INVALID_ARGUMENT_VALUE, "no request of this Transaction UID", offending=(TRANSACTION_UID,)
            )
        if self._taken is not None:
            self._taken(result.transaction_uid, state)
        return NReply()


def _well_known(request: NRequest) -> None:
    if request.sop_instance != STORAGE_COMMITMENT_INSTANCE:
        raise NRefused(statuses.NO_SUCH_SOP_INSTANCE, "not the well-known instance of storage commitment")


def _transaction(request: NRequest) -> str:
    found = reading.text(request.dataset or {}, TRANSACTION_UID)
    if not found:
        raise NRefused(statuses.INVALID_ARGUMENT_VALUE, "no Transaction UID", offending=(TRANSACTION_UID,))
    if not is_tolerable_uid(found):
        raise NRefused(statuses.INVALID_ARGUMENT_VALUE, "Transaction UID is no UID", offending=(TRANSACTION_UID,))
    return found


def _references(request: NRequest) -> tuple[Reference, ...]:
    items = (request.dataset or {}).get(REFERENCED_SOP_SEQUENCE, ())
    found = []
    for item in items:
        if isinstance(item, str):
            break
        sop_class, sop_instance = (
            reading.text(item, REFERENCED_SOP_CLASS_UID),
            reading.text(item, REFERENCED_SOP_INSTANCE_UID),
        )
        if not is_tolerable_uid(sop_class) or not is_tolerable_uid(sop_instance):
            raise NRefused(
                statuses.INVALID_ARGUMENT_VALUE,
                "an item without the UIDs of class and instance",
                offending=(REFERENCED_SOP_SEQUENCE,),
            )
        found.append(Reference(sop_class, sop_instance))
    if not found:
        raise NRefused(statuses.INVALID_ARGUMENT_VALUE, "no instance is named", offending=(REFERENCED_SOP_SEQUENCE,))
    return tuple(found)


def result_of(request: NRequest) -> CommitmentResult:
    """The result that an N-EVENT-REPORT tells (PS3.4 Table J.3-2). Raises `NRefused`."""
    transaction = _transaction(request)
    dataset = request.dataset or {}
    failed = {}
    for item in dataset.get(FAILED_SOP_SEQUENCE, ()):
        if not isinstance(item, str) and (uid := reading.text(item, REFERENCED_SOP_INSTANCE_UID)):
            reason = reading.text(item, FAILURE_REASON)
            failed[uid] = int(reason) if reason.isdigit() and int(reason) else statuses.PROCESSING_FAILURE
    committed = {
        uid
        for item in dataset.get(REFERENCED_SOP_SEQUENCE, ())
        if not isinstance(item, str) and (uid := reading.text(item, REFERENCED_SOP_INSTANCE_UID))
    }
    return CommitmentResult(transaction, frozenset(committed), failed)


# -- the invoker ------------------------------------------------------------------------------------------------------


def for_asking() -> tuple[Proposal, ...]:
    """The context for asking a peer (SCU)."""
    return (Proposal(STORAGE_COMMITMENT),)


def for_telling() -> tuple[Proposal, ...]:
    """The context for telling a result on a new association: this side proposes the SCP role (PS3.4 J.3.3.1.2)."""
    return (Proposal(STORAGE_COMMITMENT, as_scp=True),)


async def ask(assoc: Association, transaction: str, named: list[CommitmentInstance]) -> NAnswer:
    """N-ACTION (PS3.4 J.3.2). Raises as `n_invoke`."""
    dataset: Values = {TRANSACTION_UID: (transaction,), REFERENCED_SOP_SEQUENCE: tuple(_item(one) for one in named)}
    return await n_invoke(
        assoc,
        STORAGE_COMMITMENT,
        lambda number: n_action_rq(number, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, REQUEST_COMMITMENT),
        dataset,
    )


async def tell(assoc: Association, transaction: str, named: list[CommitmentInstance], retrieve_aet: str) -> NAnswer:
    """N-EVENT-REPORT with the complete list, in the order in which it was asked for (PS3.4 J.3.3). As `n_invoke`."""
    committed = tuple(_item(one) for one in named if not one.reason)
    failed = tuple(_item(one) | {FAILURE_REASON: (str(one.reason),)} for one in named if one.reason)
    dataset: Values = {TRANSACTION_UID: (transaction,)}
    if committed:
        dataset |= {RETRIEVE_AE_TITLE: (retrieve_aet,), REFERENCED_SOP_SEQUENCE: committed}
    if failed:
        dataset[FAILED_SOP_SEQUENCE] = failed
    event = SOME_FAILED if failed else ALL_COMMITTED
    return await n_invoke(
        assoc,
        STORAGE_COMMITMENT,
        lambda number: n_event_report_rq(number, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, event),
        dataset,
        as_scu=False,
    )


def _item(one: CommitmentInstance) -> Values:
    return {REFERENCED_SOP_CLASS_UID: (one.sop_class,), REFERENCED_SOP_INSTANCE_UID: (one.sop_instance,)}
