"""What the DIMSE edge needs: the verbs of the archive, its peers, and its limits.

`app/wiring.py` builds one `Services` for a process; every association of that process shares it.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vesalius.model.entities import Peer
from vesalius.model.query import QueryLimits
from vesalius.ports.clock import Clock

if TYPE_CHECKING:
    from vesalius.archive.availability import Availability
    from vesalius.archive.commit import Commit
    from vesalius.archive.ingest import Ingest
    from vesalius.archive.retrieve import Retrieve
    from vesalius.archive.search import Search
    from vesalius.dimse.association import Association
    from vesalius.model.commitments import Reference
    from vesalius.ports.jobs import Lease
    from vesalius.ports.ris import Ris
    from vesalius.ports.workitems import Workitems
    from vesalius.ris.rules import RisRules
    from vesalius.ris.worklist import Worklist
    from vesalius.wire.ul_negotiation import IdentityVerdict
    from vesalius.wire.ul_pdus import UserIdentity


@dataclass(frozen=True, slots=True)
class DimseSettings:
    """Limits and time-outs of the edge. Sizes in bytes, durations in seconds."""

    ae_title: str = "VESALIUS"
    any_called_ae_title: bool = False
    allow_unknown: bool = False  # callers that are no peers get every right; only for a listener on loopback
    check_addresses: bool = False  # a peer must call from the address it is configured with
    associations: int = 200  # at once in this process; one more gets RJ 2/3/2
    connections: int = 256  # ... besides them that have no association yet, or none any more; one more is closed
    artim: float = 30.0  # PS3.8 9.1.5
    idle: float = 600.0  # without any traffic, then A-ABORT 0/0
    network: float = 60.0  # a message that has begun, or a reader that does not read, may stall this long
    connect: float = 10.0  # to reach a peer
    response: float = 120.0  # for a peer to answer an operation of ours
    max_pdu: int = 1 << 20
    operations: int = 16  # performed at once for one association, whatever it asks for
    identifier_size: int = 16 << 20  # of a query or retrieve
    query: QueryLimits = field(default_factory=QueryLimits)
    sub_operations: int = 32  # C-MOVE and C-GET at once in this process
    retrieve_memory: int = 256 << 20  # bytes of data sets held whole for retrieves in this process; more is streamed
    large_transcodings: int = 1  # of data sets too large to be held beside others, at once in this process
    move_pipelines: int = 1  # associations at once for one C-MOVE
    # An idle association to a move destination is kept this long: enough for a requester that asks series by series,
    # short for one that is its own destination and waits for the end (movescu).
    reuse: float = 0.2
    pending_interval: float = 1.0  # at the latest, a sign of life while a retrieve goes on
    threads: int = 8  # for what blocks: queries and reads


class Observer:
    """Hooks for metrics; this one looks away. All calls come from the event loop and must be quick."""

    def association_opened(self, calling_aet: str) -> None:
        """An association was accepted."""

    def association_closed(self, calling_aet: str) -> None:
        """An accepted association ended, however."""

    def association_rejected(self, result: int, source: int, reason: int) -> None:
        """An A-ASSOCIATE-RJ was sent."""

    def operation_done(self, name: str, status: int, seconds: float) -> None:
        """A response with a final status was sent; `name` as in PS3.7: "C-STORE", ..."""

    def bytes_received(self, count: int) -> None:
        """A data set came in whole."""

    def bytes_sent(self, count: int) -> None:
        """A data set was sent whole."""


@dataclass(frozen=True, slots=True)
class Services:
    """The archive as the DIMSE edge sees it."""

    ingest: Ingest
    search: Search
    retrieve: Retrieve
    peers: Callable[[], Mapping[str, Peer]]  # by name; may block and may raise: it is called in a thread
    clock: Clock
    settings: DimseSettings = field(default_factory=DimseSettings)
    observer: Observer = field(default_factory=Observer)
    client_tls: ssl.SSLContext | None = None  # for peers with `tls`
    identify: Callable[[UserIdentity, str], Awaitable[IdentityVerdict]] | None = None  # (identity, calling AE title)
    thread_began: Callable[[], None] | None = None  # called first in each thread that reads or queries
    # What needs a database of jobs. Not offered (0211) where it is None.
    commit: Commit | None = None
    availability: Availability | None = None
    # The workflow: what is planned, and what is told of what is done.
    worklist: Worklist | None = None
    ris: Ris | None = None
    ris_rules: RisRules | None = None
    workitems: Workitems | None = None
    worklist_label: str = "Worklist"  # of workitems that name none (PS3.4 CC.2.5)
    workflow_changed: Callable[[], None] = lambda: None  # called in a thread
    # A peer's request for commitment was acknowledged: the job that follows, and the association that it came on.
    commitment_begun: Callable[[Lease, Association], None] = lambda lease, assoc: None
    # Instances were sent to a peer with success; called in a thread.
    sent: Callable[[Peer, Sequence[Reference]], None] = lambda peer, references: None
