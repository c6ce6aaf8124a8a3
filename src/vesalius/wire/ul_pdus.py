"""The seven PDUs of the DICOM Upper Layer as a closed set of immutable values (PS3.8 9.3).

Nothing here knows bytes or states: `ul_codec` turns these into bytes and back, `ul_machine` says when
each may be sent. Application entity titles and UIDs are held trimmed of their padding; a value that
breaks the rules of its VR is kept as it came, because it is negotiation that refuses it, item by item.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""The DICOM application context name, the only one defined (PS3.7 A.2.1)."""

PROTOCOL_VERSION = 0x0001
"""Bit 0 set: version 1. Other bits are not tested on receipt (PS3.8 9.3.2)."""


class PduType(enum.IntEnum):
    """First byte of a PDU (PS3.8 9.3.1)."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


class AbortSource(enum.IntEnum):
    """Who started the abort (PS3.8 Table 9-26)."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class AbortReason(enum.IntEnum):
    """Why a service provider aborted; 0 when the source is the service user (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER_VALUE = 6


class RejectResult(enum.IntEnum):
    """Whether it is worth trying again (PS3.8 Table 9-21)."""

    PERMANENT = 1
    TRANSIENT = 2


class RejectSource(enum.IntEnum):
    """Who rejected (PS3.8 Table 9-21)."""

    SERVICE_USER = 1
    PROVIDER_ACSE = 2
    PROVIDER_PRESENTATION = 3


class UserReject(enum.IntEnum):
    """Reasons of `RejectSource.SERVICE_USER`."""

    NO_REASON = 1
    APPLICATION_CONTEXT_NOT_SUPPORTED = 2
    CALLING_AET_NOT_RECOGNIZED = 3
    CALLED_AET_NOT_RECOGNIZED = 7


class AcseReject(enum.IntEnum):
    """Reasons of `RejectSource.PROVIDER_ACSE`."""

    NO_REASON = 1
    PROTOCOL_VERSION_NOT_SUPPORTED = 2


class PresentationReject(enum.IntEnum):
    """Reasons of `RejectSource.PROVIDER_PRESENTATION`."""

    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2


class ContextResult(enum.IntEnum):
    """What became of a proposed presentation context (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class IdentityType(enum.IntEnum):
    """Forms of user identity (PS3.7 D.3.3.7.1)."""

    USERNAME = 1
    USERNAME_AND_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JWT = 5


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context in an A-ASSOCIATE-RQ (PS3.8 9.3.2.2). The id is odd, 1 to 255."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """The answer to one presentation context (PS3.8 9.3.3.2), which may well be a rejection.

    The transfer syntax is significant only with `ContextResult.ACCEPTANCE`.
    """

    context_id: int
    result: ContextResult
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class AsyncWindow:
    """Asynchronous operations window (PS3.7 D.3.3.3): operations outstanding at once; 0 is no limit."""

    invoked: int
    performed: int


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """SCP/SCU role selection (PS3.7 D.3.3.4): the roles of the association requestor, proposed or granted."""

    sop_class: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """SOP class extended negotiation (PS3.7 D.3.3.5); `info` is defined by the service class."""

    sop_class: str
    info: bytes


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """SOP class common extended negotiation (PS3.7 D.3.3.6), in an A-ASSOCIATE-RQ only."""

    sop_class: str
    service_class: str
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User identity of an A-ASSOCIATE-RQ (PS3.7 D.3.3.7.1). The fields are secrets: never logged."""

    kind: int  # an `IdentityType`, or a value that is not defined yet
    response_requested: bool
    primary: bytes
    secondary: bytes = b""

    def __repr__(self) -> str:
        return f"UserIdentity(kind={int(self.kind)}, response_requested={self.response_requested})"


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The user information item of A-ASSOCIATE-RQ and -AC (PS3.8 9.3.2.3, PS3.7 D.3.3).

    `maximum_length`: bytes that the sender of the item takes in the variable field of a P-DATA-TF PDU;
    0 is no limit (PS3.8 D.1), also where the sub-item is missing.
    """

    maximum_length: int = 0
    implementation_class_uid: str = ""
    implementation_version: str = ""
    async_window: AsyncWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    common_extended: tuple[CommonExtendedNegotiation, ...] = ()
    identity: UserIdentity | None = None  # A-ASSOCIATE-RQ only
    identity_response: bytes | None = None  # A-ASSOCIATE-AC only


@dataclass(frozen=True, slots=True)
class AssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""

    called_aet: str
    calling_aet: str
    contexts: tuple[ProposedContext, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class AssociateAC:
    """A-ASSOCIATE-AC (PS3.8 9.3.3). The titles repeat the request's and are not tested on receipt."""

    called_aet: str
    calling_aet: str
    contexts: tuple[AcceptedContext, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class AssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4). `reason` belongs to the enum of its `source`; as received, any byte."""

    result: int
    source: int
    reason: int


class PDV(NamedTuple):
    """A presentation data value: one fragment of a message (PS3.8 9.3.5.1, Annex E).

    A tuple and not a dataclass because a hostile peer can make a million of them: it is the cheapest
    immutable record. `data` may be a view into the buffer that was received; it stays valid.
    """

    context_id: int
    is_command: bool
    is_last: bool
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PDataTF:
    """P-DATA-TF (PS3.8 9.3.5)."""

    pdvs: tuple[PDV, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRQ:
    """A-RELEASE-RQ (PS3.8 9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseRP:
    """A-RELEASE-RP (PS3.8 9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 9.3.8); as received, the fields may be any byte."""

    source: int = AbortSource.SERVICE_USER
    reason: int = AbortReason.NOT_SPECIFIED


Pdu: TypeAlias = AssociateRQ | AssociateAC | AssociateRJ | PDataTF | ReleaseRQ | ReleaseRP | Abort
