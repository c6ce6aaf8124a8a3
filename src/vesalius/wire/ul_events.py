"""What the upper layer tells its driver to do (effects) and its user to know (events).

An effect is carried out by the driver, in order: `Send`, `StartTimer`, `StopTimer`, `Connect`, `Close`,
`Indicate`. An event inside `Indicate` is a service primitive of PS3.8 7 on its way to the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from vesalius.wire.ul_pdus import PDV, AssociateAC, AssociateRJ, AssociateRQ


@dataclass(frozen=True, slots=True)
class AssociationRequested:
    """A-ASSOCIATE indication: answer with `accept` or `reject`."""

    rq: AssociateRQ


@dataclass(frozen=True, slots=True)
class AssociationAccepted:
    """A-ASSOCIATE confirmation, accepted."""

    ac: AssociateAC


@dataclass(frozen=True, slots=True)
class AssociationRejected:
    """A-ASSOCIATE confirmation, rejected."""

    rj: AssociateRJ


@dataclass(slots=True)
class DataReceived:
    """P-DATA indication: the PDVs of one PDU, their contexts checked. Not frozen: one is made per PDU."""

    pdvs: tuple[PDV, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A-RELEASE indication: answer with `release_reply`, also after a release collision."""


@dataclass(frozen=True, slots=True)
class ReleaseConfirmed:
    """A-RELEASE confirmation."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """A-ABORT or A-P-ABORT indication: sent by the peer, or (`by_us`) by this side because the peer broke the protocol.

    `source` and `reason` are those of the A-ABORT PDU; `detail` is for the log, without patient data.
    """

    source: int
    reason: int
    by_us: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """A-P-ABORT indication because the transport connection ended, or the peer never answered."""

    detail: str = ""


Event: TypeAlias = (
    AssociationRequested
    | AssociationAccepted
    | AssociationRejected
    | DataReceived
    | ReleaseRequested
    | ReleaseConfirmed
    | Aborted
    | ConnectionLost
)


@dataclass(slots=True)
class Send:
    """Write these bytes to the transport, in one send."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Start the ARTIM timer, or start it anew (PS3.8 9.1.4)."""


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop the ARTIM timer."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Open the transport connection, then call `connected`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Flush what was sent, then close the transport connection."""


@dataclass(slots=True)
class Indicate:
    """Hand the event to the service user."""

    event: Event


Effect: TypeAlias = Send | StartTimer | StopTimer | Connect | Close | Indicate
