"""Unified Procedure Step as SCP (PS3.4 annex CC): Push, Pull, Watch, Query, and the events as the SCP sends them.

Theory. Five SOP classes act on instances of one: whatever was negotiated, the operations name UPS Push (PS3.4 CC.3.1),
and the class of the presentation context says what may be done. `OPERATIONS` is tables CC.2-1 to CC.2-5 as data; an
action that the class does not have is 0123, an operation 0211. The rules are those of `ris/workitems.py` and
`ris/subscriptions.py`; here is only what a message says. The answer leaves when everything is durable, the reports to
the subscribers included; they go out on associations of their own (`app/workitems.py`), never on this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

from vesalius.dimse.association import Association
from vesalius.dimse.c_find import Asked, FindProvider
from vesalius.dimse.contexts import Proposal, find_options
from vesalius.dimse.errors import Answer
from vesalius.dimse.n_services import NAnswer, NProvider, NRefused, NReply, NRequest, Perform, n_invoke
from vesalius.dimse.operations import Handler, Operation
from vesalius.model import reading, workitem_query
from vesalius.model import workitems as w
from vesalius.model.entities import Peer, Values
from vesalius.model.identifiers import is_tolerable_uid, new_uid
from vesalius.model.orders import By
from vesalius.model.workitems import Refused, Report
from vesalius.ports.clock import Clock
from vesalius.ports.workitems import Workitems, WorkitemWork
from vesalius.ris import subscriptions, workitems
from vesalius.standard import statuses
from vesalius.standard.sop_classes import UPS_EVENT, UPS_PULL, UPS_PUSH, UPS_QUERY, UPS_WATCH
from vesalius.wire.dimse_commands import CommandField
from vesalius.wire.dimse_requests import n_event_report_rq

T = TypeVar("T")

RIGHT = "workitems"
CHANGE_STATE, REQUEST_CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND = 1, 2, 3, 4, 5  # Action Type IDs

_N_CREATE, _N_SET, _N_GET, _N_ACTION = (
    CommandField.N_CREATE_RQ,
    CommandField.N_SET_RQ,
    CommandField.N_GET_RQ,
    CommandField.N_ACTION_RQ,
)
# SOP class of the context -> operations; of N-ACTION the types.
OPERATIONS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    UPS_PUSH: ((_N_CREATE, _N_GET, _N_ACTION), (REQUEST_CANCEL,)),
    UPS_PULL: ((_N_SET, _N_GET, _N_ACTION), (CHANGE_STATE,)),
    UPS_WATCH: ((_N_GET, _N_ACTION), (REQUEST_CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND)),
}
FINDING = (UPS_PULL, UPS_WATCH, UPS_QUERY)


class WorkitemProvider:
    """The SCP. `peers` blocks and says who can be told; `label` is the Worklist Label where none was given."""

    def __init__(
        self,
        kept: Workitems,
        peers: Callable[[], Mapping[str, Peer]],
        clock: Clock,
        executor: Executor,
        *,
        label: str,
    ) -> None:
        self._kept = kept
        self._peers = peers
        self._clock = clock
        self._executor = executor
        self._label = label

    def handlers(self) -> dict[int, dict[str, Handler]]:
        """Command Field -> SOP class -> handler, for `dispatch`."""
        performs: dict[int, Perform] = {_N_CREATE: self.create, _N_SET: self.set, _N_GET: self.get, _N_ACTION: self.act}
        found: dict[int, dict[str, Handler]] = {}
        for sop_class, (fields, _) in OPERATIONS.items():
            for field in fields:
                found.setdefault(field, {})[sop_class] = NProvider(performs[field], right=RIGHT)
        return found

    def finder(self) -> FindProvider:
        """C-FIND (PS3.4 CC.2.8)."""

        def ask(operation: Operation, values: Values) -> Asked:
            assoc = operation.assoc
            options = find_options(assoc.extended.get(operation.context.abstract_syntax, b""))
            query = workitem_query.parse(values, options, assoc.settings.query)
            return Asked(workitems.find(self._kept, query), query.charset)

        return FindProvider(ask, self._executor, _no_query)

    async def create(self, request: NRequest) -> NReply:
        """N-CREATE (PS3.4 CC.2.5). Raises `NRefused`, `DuplicateRecord`, `IndexUnavailable`."""
        uid = request.sop_instance or new_uid()  # PS3.7 10.1.5.1.4
        _check_uid(uid)
        values = request.dataset or {}

        def create(work: WorkitemWork) -> int:
            return workitems.create(work, by, uid, values, label=self._label).status

        by = self._by(request)
        status = await self._change(request, by, create)
        return NReply(status, sop_instance=uid)

    async def set(self, request: NRequest) -> NReply:
        """N-SET (PS3.4 CC.2.6). Raises `NRefused`, `IndexUnavailable`."""
        values = request.dataset or {}
        transaction = reading.text(values, w.TRANSACTION_UID)
        uid, by = request.sop_instance, self._by(request)
        status = await self._change(
            request, by, lambda work: workitems.update(work, by, uid, values, transaction).status
        )
        return NReply(status)

    async def get(self, request: NRequest) -> NReply:
        """N-GET (PS3.4 CC.2.7). Raises `NRefused`, `IndexUnavailable`."""
        tags = frozenset(request.command.attribute_identifiers)
        uid = request.sop_instance
        item = await self._run(request, lambda: self._kept.look(lambda view: workitems.get(view, uid)))
        return NReply(dataset=workitems.answered(item, tags))

    async def act(self, request: NRequest) -> NReply:
        """N-ACTION (PS3.4 CC.2.1 to CC.2.3). Raises `NRefused`, `IndexUnavailable`."""
        action = request.command.action_type
        if action not in OPERATIONS[request.context_class][1]:
            raise NRefused(statuses.NO_SUCH_ACTION, "the negotiated SOP Class has no such action")
        values, uid, by = request.dataset or {}, request.sop_instance, self._by(request)
        if action == CHANGE_STATE:
            _not_well_known(uid)
            wanted, transaction = reading.text(values, w.STATE), reading.text(values, w.TRANSACTION_UID)
            return NReply(
                await self._change(
                    request, by, lambda work: workitems.change_state(work, by, uid, wanted, transaction).status
                )
            )
        if action == REQUEST_CANCEL:
            _not_well_known(uid)
            asking = request.assoc.calling_aet
            return NReply(
                await self._change(
                    request, by, lambda work: workitems.request_cancel(work, by, uid, asking, values).status
                )
            )
        aet = await self._receiver(request, values)
        if action == SUBSCRIBE:
            lock = reading.text(values, w.DELETION_LOCK)
            if lock not in ("TRUE", "FALSE"):
                raise NRefused(
                    statuses.INVALID_ARGUMENT_VALUE, "Deletion Lock is TRUE or FALSE", offending=(w.DELETION_LOCK,)
                )
            keys = {tag: value for tag, value in values.items() if tag not in (w.RECEIVING_AE, w.DELETION_LOCK)}

            def subscribe(work: WorkitemWork) -> int:
                subscriptions.subscribe(work, by, uid, aet, locked=lock == "TRUE", keys=keys)
                return statuses.SUCCESS

            return NReply(await self._change(request, by, subscribe))
        verb = subscriptions.unsubscribe if action == UNSUBSCRIBE else subscriptions.suspend

        def end(work: WorkitemWork) -> int:
            verb(work, by, uid, aet)
            return statuses.SUCCESS

        return NReply(await self._change(request, by, end))

    async def _receiver(self, request: NRequest, values: Values) -> str:
        """The AE that subscribes: one whose address is configured and that may hear of workitems (C308 otherwise)."""
        aet = reading.text(values, w.RECEIVING_AE)
        known = await self._run(request, self._peers)
        if aet not in {peer.aet for peer in known.values() if may_hear(peer)}:
            status = statuses.UPS_UNKNOWN_RECEIVER
            raise NRefused(status, w.MEANING[status], offending=(w.RECEIVING_AE,))
        return aet

    def _by(self, request: NRequest) -> By:
        return By(request.assoc.calling_aet, self._clock.utc())

    async def _change(self, request: NRequest, by: By, act: Callable[[WorkitemWork], T]) -> T:
        return await self._run(request, lambda: self._kept.change(act, by.at))

    async def _run(self, request: NRequest, act: Callable[[], T]) -> T:
        try:
            return await request.assoc.loop.run_in_executor(self._executor, act)
        except Refused as refused:
            raise NRefused(refused.status, refused.message, offending=refused.offending) from None


def may_hear(peer: Peer) -> bool:
    """Whether a peer may be told of workitems, whoever subscribed it (threat T22): it could ask for them itself."""
    return RIGHT in peer.rights


def _check_uid(uid: str) -> None:
    if not is_tolerable_uid(uid) or uid in w.WELL_KNOWN:
        raise NRefused(statuses.INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID of a workitem")


def _not_well_known(uid: str) -> None:
    if uid in w.WELL_KNOWN:
        raise NRefused(statuses.UPS_NOT_APPROPRIATE, w.MEANING[statuses.UPS_NOT_APPROPRIATE])


def _no_query(operation: Operation) -> Answer | None:
    if not operation.command.has_dataset:
        return Answer(statuses.MISTYPED_ARGUMENT, "a C-FIND-RQ without identifier")
    if not operation.assoc.may(RIGHT):
        return Answer(statuses.NOT_AUTHORIZED, f"no right to {RIGHT} here")
    return None


# -- the SCP tells ----------------------------------------------------------------------------------------------------


def for_telling() -> tuple[Proposal, ...]:
    """The context for events on a new association: this side proposes the SCP role (PS3.4 CC.2.4, PS3.7 D.3.3.4)."""
    return (Proposal(UPS_EVENT, as_scp=True),)


async def tell(assoc: Association, report: Report) -> NAnswer:
    """N-EVENT-REPORT (PS3.4 CC.2.4). Raises as `n_invoke`."""
    return await n_invoke(
        assoc,
        UPS_EVENT,
        lambda number: n_event_report_rq(number, UPS_PUSH, report.workitem, int(report.kind)),
        report.values,
        as_scu=False,
        charsets=("ISO_IR 192",) if any(not text.isascii() for text in reading.all_texts(report.values)) else (),
    )
