"""Storage commitment and availability as nouns (PS3.4 annexes J and R).

A commitment is one request to take over the responsibility for instances. This archive is asked (`Role.SCP`) and asks
(`Role.SCU`). What is known of each instance is its reason: 0 is committed, another number a Failure Reason (0008,1197).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from vesalius.standard import statuses


class Role(enum.Enum):
    """Which side of the service this archive is."""

    SCP = "scp"
    SCU = "scu"


class CommitmentState(enum.Enum):
    """Where a commitment stands. An SCP's: received, checked, told or expired; an SCU's: the others."""

    RECEIVED = "received"  # acknowledged, and not looked at yet
    CHECKED = "checked"  # every instance has been read again; the result is on its way
    TOLD = "told"  # the result was acknowledged: the Transaction UID is not active any more
    PLANNED = "planned"  # to be asked
    ASKED = "asked"  # acknowledged by the peer; its result is awaited
    COMMITTED = "committed"  # the peer keeps every instance
    FAILED = "failed"  # the peer does not keep every instance
    REFUSED = "refused"  # the peer does not take the request
    EXPIRED = "expired"  # the result could not be told, or never came


# PS3.3 C.14.1.1: Failure Reason.
PROCESSING_FAILURE = statuses.PROCESSING_FAILURE  # it cannot be read as it was received, in one of its places
NO_SUCH_INSTANCE = statuses.NO_SUCH_SOP_INSTANCE
CLASS_INSTANCE_CONFLICT = statuses.CLASS_INSTANCE_CONFLICT
CLASS_NOT_SUPPORTED = statuses.SOP_CLASS_NOT_SUPPORTED
DUPLICATE_TRANSACTION = 0x0131
RESOURCE_LIMITATION = statuses.RESOURCE_LIMITATION
COMMITTED = 0

REASONS: Mapping[int, str] = {
    COMMITTED: "committed",
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_INSTANCE: "no such object instance",
    CLASS_INSTANCE_CONFLICT: "class/instance conflict",
    CLASS_NOT_SUPPORTED: "referenced SOP class not supported",
    DUPLICATE_TRANSACTION: "duplicate transaction UID",
    RESOURCE_LIMITATION: "resource limitation",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance that a request names."""

    sop_class: str
    sop_instance: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """A request as it was received, or as it is to be made."""

    transaction_uid: str
    references: tuple[Reference, ...]
    peer: str = ""  # by name; "": the caller is no peer
    aet: str = ""
    called_aet: str = ""
    address: str = ""
    association: str = ""
    study: str = ""


@dataclass(frozen=True, slots=True)
class Commitment:
    """What is known of a request."""

    id: int
    role: Role
    transaction_uid: str
    peer: str
    aet: str
    called_aet: str
    address: str
    association: str
    state: CommitmentState
    instances: int
    failed: int
    reports: int
    study: str
    at: str
    checked_at: str
    done_at: str
    remark: str


@dataclass(frozen=True, slots=True)
class CommitmentInstance:
    """One instance of a request. `reason` None: not known yet."""

    sop_class: str
    sop_instance: str
    reason: int | None = None


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """The result of a request, as an N-EVENT-REPORT tells it (PS3.4 J.3.3)."""

    transaction_uid: str
    committed: frozenset[str]  # SOP Instance UIDs
    failed: Mapping[str, int]  # SOP Instance UID -> Failure Reason


@dataclass(frozen=True, slots=True)
class Notice:
    """An Instance Availability Notification, sent or received (PS3.4 R.3)."""

    id: int
    role: Role
    sop_instance: str
    peer: str
    aet: str
    study: str
    state: str  # "open" | "sent" | "failed" | "received"
    instances: int
    content: Mapping[str, object]
    at: str
    done_at: str
    remark: str
