"""The upper layer state machine (PS3.8 9.2). Signatures first; the body follows within the hour."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence

from vesalius.wire.errors import RemoteProtocolError
from vesalius.wire.ul_events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    Close,
    Connect,
    ConnectionLost,
    DataReceived,
    Effect,
    Event,
    Indicate,
    ReleaseConfirmed,
    ReleaseRequested,
    Send,
    StartTimer,
    StopTimer,
)
from vesalius.wire.ul_pdus import PDV, AssociateAC, AssociateRJ, AssociateRQ

__all__ = [
    "Aborted",
    "AssociationAccepted",
    "AssociationRejected",
    "AssociationRequested",
    "Close",
    "Connect",
    "ConnectionLost",
    "DataReceived",
    "Effect",
    "Event",
    "Indicate",
    "ReleaseConfirmed",
    "ReleaseRequested",
    "Role",
    "Send",
    "StartTimer",
    "State",
    "StopTimer",
    "UpperLayer",
]


class State(enum.Enum):
    """States of PS3.8 Tables 9-1 to 9-5 (moves to ul_table)."""

    STA1 = "Sta1"  # idle, no connection
    STA2 = "Sta2"  # connection open, awaiting A-ASSOCIATE-RQ
    STA3 = "Sta3"  # awaiting local A-ASSOCIATE response
    STA4 = "Sta4"  # awaiting transport connection to complete
    STA5 = "Sta5"  # awaiting A-ASSOCIATE-AC or -RJ
    STA6 = "Sta6"  # association established, ready for data transfer
    STA7 = "Sta7"  # awaiting A-RELEASE-RP
    STA8 = "Sta8"  # awaiting local A-RELEASE response
    STA9 = "Sta9"  # release collision, requestor, awaiting local response
    STA10 = "Sta10"  # release collision, acceptor, awaiting A-RELEASE-RP
    STA11 = "Sta11"  # release collision, requestor, awaiting A-RELEASE-RP
    STA12 = "Sta12"  # release collision, acceptor, awaiting local response
    STA13 = "Sta13"  # awaiting transport connection close


class Role(enum.Enum):
    """Which side asked for the association; it decides who answers first in a release collision."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


class UpperLayer:
    """One association's protocol. Each input returns the effects for the driver to carry out in order.

    A local input that the state table does not allow raises `LocalProtocolError` and changes nothing.
    """

    state: State
    fault: RemoteProtocolError | None  # the last violation by the peer, for the log
    peer_maximum: int  # bytes that we may put in the variable field of one P-DATA-TF PDU; set by negotiation
    accepted_contexts: frozenset[int]

    def __init__(self, role: Role, *, maximum_length: int = 1 << 20, send_cap: int = 1 << 20) -> None: ...

    def connected(self) -> list[Effect]:
        """The transport connection is open: Evt5 for an acceptor (ARTIM starts), Evt2 for a requestor."""
        raise NotImplementedError

    def receive(self, data: bytes | bytearray | memoryview) -> list[Effect]:
        """Bytes from the peer, in any split. Events may hold views into `data` when it is `bytes`."""
        raise NotImplementedError

    def connection_closed(self) -> list[Effect]:
        """The transport connection is gone (Evt17), also when we closed it. Harmless in Sta1."""
        raise NotImplementedError

    def timer_expired(self) -> list[Effect]:
        """ARTIM expired (Evt18). A late expiry in a state without timer is ignored."""
        raise NotImplementedError

    def associate(self, rq: AssociateRQ) -> list[Effect]:
        """A-ASSOCIATE request (Evt1): connect, then send the PDU."""
        raise NotImplementedError

    def accept(self, ac: AssociateAC) -> list[Effect]:
        """A-ASSOCIATE response, accept (Evt7)."""
        raise NotImplementedError

    def reject(self, rj: AssociateRJ) -> list[Effect]:
        """A-ASSOCIATE response, reject (Evt8)."""
        raise NotImplementedError

    def send_pdvs(self, pdvs: Sequence[PDV]) -> list[Effect]:
        """P-DATA request (Evt9): one PDU. For single PDVs made by hand; messages use `send_message`."""
        raise NotImplementedError

    def send_message(self, context_id: int, command: bytes, dataset: bytes | memoryview | None = None) -> list[Effect]:
        """A whole message as P-DATA (Evt9): few big `Send`s of whole PDUs, each PDU within the peer's maximum."""
        raise NotImplementedError

    def stream_message(
        self, context_id: int, command: bytes, dataset: Iterable[bytes | memoryview]
    ) -> Iterator[list[Effect]]:
        """As `send_message`, but pulls the data set piece by piece, so that the driver can wait for the peer."""
        raise NotImplementedError

    def release(self) -> list[Effect]:
        """A-RELEASE request (Evt11)."""
        raise NotImplementedError

    def release_reply(self) -> list[Effect]:
        """A-RELEASE response (Evt14); Sta8, Sta9 and Sta12."""
        raise NotImplementedError

    def abort(self, source: int = 0, reason: int = 0) -> list[Effect]:
        """A-ABORT request (Evt15). Not defined in Sta1, Sta2 and Sta13: there the driver just closes."""
        raise NotImplementedError
