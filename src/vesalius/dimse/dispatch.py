"""From Command Field to handler: the one list of operations that this archive performs.

What is not in it is answered 0211 (D2, D28); a Message ID that is still open 0210 (D4); a request that does not
belong to its presentation context 0122 (D5). Those three checks are the same for every service and are made in
`association.Association` before a handler sees the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from vesalius.dimse import c_echo, worklist
from vesalius.dimse.access import PeerBook
from vesalius.dimse.association import Association
from vesalius.dimse.c_find import FindProvider
from vesalius.dimse.c_get import GetProvider
from vesalius.dimse.c_move import MoveProvider
from vesalius.dimse.c_store import StoreProvider
from vesalius.dimse.n_availability import AvailabilityProvider
from vesalius.dimse.n_commitment import CommitmentProvider, NameOf, ResultTaker
from vesalius.dimse.n_mpps import PerformedProvider
from vesalius.dimse.n_services import ByClass, NProvider
from vesalius.dimse.n_ups import FINDING, WorkitemProvider
from vesalius.dimse.operations import Handler
from vesalius.dimse.pool import Pool
from vesalius.dimse.pressure import Pressure
from vesalius.dimse.services import Services
from vesalius.model.entities import Peer
from vesalius.standard import sop_classes as sop
from vesalius.wire.dimse_commands import CommandField

_NORMALIZED = (
    CommandField.N_EVENT_REPORT_RQ,
    CommandField.N_GET_RQ,
    CommandField.N_SET_RQ,
    CommandField.N_ACTION_RQ,
    CommandField.N_CREATE_RQ,
    CommandField.N_DELETE_RQ,
)


def handlers(
    services: Services,
    executor: Executor,
    book: PeerBook,
    pool: Pool,
    may_move_to: Callable[[Association, Peer], bool],
    pressure: Pressure,
    name_of: NameOf,
) -> Mapping[int, Handler]:
    """Every operation performed for peers."""
    return {
        CommandField.C_ECHO_RQ: c_echo.provide,
        CommandField.C_STORE_RQ: StoreProvider(services.ingest),
        CommandField.C_FIND_RQ: finding(services, executor),
        CommandField.C_GET_RQ: GetProvider(services.retrieve, executor, pressure),
        CommandField.C_MOVE_RQ: MoveProvider(
            services.retrieve, executor, pressure, book, pool, may_move_to, services.sent
        ),
        **normalized(services, executor, name_of),
    }


def finding(services: Services, executor: Executor) -> Handler:
    """C-FIND: worklist and workitems by their SOP classes, Query/Retrieve else."""
    archive = FindProvider.of_archive(services.search, executor)
    others: dict[str, Handler] = {}
    if services.worklist is not None:
        others[sop.MODALITY_WORKLIST_FIND] = worklist.provider(services.worklist, executor)
    if (performed := _workitems(services, executor)) is not None:
        others |= dict.fromkeys(FINDING, performed.finder())
    return ByClass(others, otherwise=archive) if others else archive


def _workitems(services: Services, executor: Executor) -> WorkitemProvider | None:
    if services.workitems is None:
        return None
    return WorkitemProvider(services.workitems, services.peers, services.clock, executor, label=services.worklist_label)


def normalized(services: Services, executor: Executor, name_of: NameOf) -> Mapping[int, Handler]:
    """The N- operations: by Command Field, then by SOP class."""
    offered: dict[int, dict[str, Handler]] = {field: {} for field in _NORMALIZED}
    if services.commit is not None:
        asked = CommitmentProvider(services.commit, executor, name_of, services.commitment_begun)
        told = ResultTaker(services.commit, executor)
        offered[CommandField.N_ACTION_RQ][sop.STORAGE_COMMITMENT] = NProvider(asked.perform, right="commit")
        offered[CommandField.N_EVENT_REPORT_RQ][sop.STORAGE_COMMITMENT] = NProvider(told.perform)
    if services.availability is not None:
        notified = AvailabilityProvider(services.availability, executor, name_of)
        offered[CommandField.N_CREATE_RQ][sop.INSTANCE_AVAILABILITY] = NProvider(notified.perform, right="notify")
    if services.ris is not None and services.ris_rules is not None:
        told_of = PerformedProvider(
            services.ris, services.ris_rules, services.clock, executor, services.workflow_changed
        )
        offered[CommandField.N_CREATE_RQ][sop.PERFORMED_STEP] = NProvider(told_of.create, right="worklist")
        offered[CommandField.N_SET_RQ][sop.PERFORMED_STEP] = NProvider(told_of.set, right="worklist")
        offered[CommandField.N_GET_RQ][sop.PERFORMED_STEP_RETRIEVE] = NProvider(told_of.get, right="worklist")
    if (workitems := _workitems(services, executor)) is not None:
        for field, by_class in workitems.handlers().items():
            offered[field] |= by_class
    return {field: ByClass(handlers) for field, handlers in offered.items() if handlers}
