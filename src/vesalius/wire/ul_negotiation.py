"""What an association may do (PS3.7 D.3, PS3.8 7.1.1). Signatures first; the body follows within the hour."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vesalius.wire.ul_pdus import (
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    RoleSelection,
    UserIdentity,
)


class Capacity(enum.Enum):
    """Whether there is room for one more association."""

    OPEN = "open"
    LIMIT_REACHED = "limit-reached"  # RJ 2/3/2
    SHUTTING_DOWN = "shutting-down"  # RJ 2/3/1


@dataclass(frozen=True, slots=True)
class IdentityVerdict:
    """What the identity hook found; `response` is the server response of a positive answer."""

    accepted: bool
    response: bytes = b""


@dataclass(frozen=True, slots=True)
class Service:
    """How one abstract syntax is served. Roles are those granted to the association requestor."""

    transfer_syntaxes: tuple[str, ...]  # in our order of preference
    others: Callable[[str], bool] | None = None  # further transfer syntaxes taken, in the proposer's order
    scu: bool = True
    scp: bool = False  # true for storage contexts that a C-GET uses
    extended: Callable[[bytes], bytes | None] | None = None  # answers the application information


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything that an acceptor negotiates with.

    `service(abstract_syntax, common)` says how a class is served, or None; `common` is the class's common
    extended negotiation, if any. `called` and `calling` judge trimmed titles.
    """

    service: Callable[[str, CommonExtendedNegotiation | None], Service | None]
    called: Callable[[str], bool]
    calling: Callable[[str], bool]
    implementation_class_uid: str
    implementation_version: str
    maximum_length: int = 1 << 20
    async_window: AsyncWindow | None = None  # None: the item is not answered (1,1)
    identity: Callable[[UserIdentity], IdentityVerdict] | None = None
    capacity: Capacity = Capacity.OPEN


@dataclass(frozen=True, slots=True)
class AgreedContext:
    """An accepted presentation context with the roles of the association requestor."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    requestor_scu: bool = True
    requestor_scp: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an AC made of an RQ; the same for both sides."""

    contexts: Mapping[int, AgreedContext]
    async_window: AsyncWindow  # (1, 1) without negotiation; 0 is no limit
    extended: Mapping[str, bytes]  # SOP class -> the acceptor's application information
    identity_response: bytes | None


def negotiate(rq: AssociateRQ, offer: Offer) -> AssociateAC | AssociateRJ:
    """The acceptor's answer (bad-input U11 to U25)."""
    raise NotImplementedError


def agreement(rq: AssociateRQ, ac: AssociateAC) -> Agreement:
    """What both sides agreed on. Contexts that were not proposed are ignored."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Proposal:
    """One abstract syntax that a requestor proposes, with the transfer syntaxes of one context."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


def propose(
    *,
    calling_aet: str,
    called_aet: str,
    proposals: Iterable[Proposal],
    implementation_class_uid: str,
    implementation_version: str,
    maximum_length: int = 1 << 20,
    roles: Iterable[RoleSelection] = (),
    extended: Mapping[str, bytes] | None = None,
    async_window: AsyncWindow | None = None,
    identity: UserIdentity | None = None,
) -> AssociateRQ:
    """The requestor's A-ASSOCIATE-RQ, context ids 1, 3, 5 ... Raises `LocalProtocolError` over 128 contexts."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Application information of the C-FIND classes (PS3.4 C.5.1.1, Tables C.5-1 and C.5-2)."""

    relational: bool = False
    combined_datetime: bool = False
    fuzzy_names: bool = False
    timezone_adjustment: bool = False
    enhanced_multiframe: bool = False
    empty_value_matching: bool = False
    multiple_value_matching: bool = False

    def encode(self) -> bytes:
        """All seven bytes."""
        raise NotImplementedError

    @classmethod
    def decode(cls, info: bytes) -> QueryOptions:
        """Bytes that are missing are 0."""
        raise NotImplementedError

    def answer(self, info: bytes) -> bytes:
        """What both want, in as many bytes as were asked (at least one). `Service.extended` for C-FIND."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class RetrieveOptions:
    """Application information of the C-MOVE and C-GET classes (PS3.4 C.5.2.1, C.5.3.1)."""

    relational: bool = False
    enhanced_multiframe: bool = False

    def encode(self) -> bytes:
        """Both bytes."""
        raise NotImplementedError

    @classmethod
    def decode(cls, info: bytes) -> RetrieveOptions:
        """Bytes that are missing are 0."""
        raise NotImplementedError

    def answer(self, info: bytes) -> bytes:
        """What both want. `Service.extended` for C-MOVE and C-GET."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Application information of the storage classes (PS3.4 B.3.1)."""

    level: int = 2  # level of support: 2 is full
    signature: int = 1  # level of digital signature support: 1 keeps them, by keeping every byte
    coercion: int = 0  # element coercion: 0 does not coerce

    def encode(self) -> bytes:
        """Six bytes, every other one reserved."""
        raise NotImplementedError

    @classmethod
    def decode(cls, info: bytes) -> StorageOptions:
        """Missing bytes: level 3 (N/A), signature 0 (unspecified), coercion 2 (N/A)."""
        raise NotImplementedError

    def answer(self, info: bytes) -> bytes:
        """The acceptor states its own. `Service.extended` for storage."""
        raise NotImplementedError
