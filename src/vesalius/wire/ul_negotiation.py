"""What an association may do: the acceptor's answer, the requestor's proposal, and what both agreed on.

What this promises (PS3.8 7.1.1, PS3.7 D.3; bad-input U11 to U25): a request is rejected as a whole only for
the association's own reasons (capacity, application context, titles, identity); everything else is answered
context by context, and an association on which every context was rejected is still accepted. The transfer
syntax of a context is the first of the service's own preference that the peer proposes, else the first
proposed one that the service takes besides. What the peer did not propose is never granted.

The service behind an abstract syntax is asked for by a function, because storage classes are known by rule
and not by list. Nothing here knows which services exist. The applications' own negotiation fields (queries,
retrieval, storage) are in `ul_extended`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from vesalius.wire.errors import LocalProtocolError
from vesalius.wire.ul_extended import QueryOptions, RetrieveOptions, StorageOptions
from vesalius.wire.ul_items import MAXIMUM_CONTEXTS
from vesalius.wire.ul_pdus import (
    APPLICATION_CONTEXT,
    AcceptedContext,
    AcseReject,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PresentationReject,
    ProposedContext,
    RejectResult,
    RejectSource,
    RoleSelection,
    UserIdentity,
    UserInformation,
    UserReject,
)

__all__ = [
    "AgreedContext",
    "Agreement",
    "Capacity",
    "IdentityVerdict",
    "Offer",
    "Proposal",
    "QueryOptions",
    "RetrieveOptions",
    "Service",
    "StorageOptions",
    "agreement",
    "negotiate",
    "propose",
]

_IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
_LEGAL_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*\Z")


class Capacity(enum.Enum):
    """Whether there is room for one more association."""

    OPEN = "open"
    LIMIT_REACHED = "limit-reached"  # RJ 2/3/2
    SHUTTING_DOWN = "shutting-down"  # RJ 2/3/1


@dataclass(frozen=True, slots=True)
class IdentityVerdict:
    """What the identity hook found; `response` is the server response of a positive answer (PS3.7 D.3.3.7.2)."""

    accepted: bool
    response: bytes = b""


@dataclass(frozen=True, slots=True)
class Service:
    """How one abstract syntax is served. Roles are those that may be granted to the association requestor."""

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
    async_window: AsyncWindow | None = None  # None: the item is not answered, which means 1,1
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


# --- the acceptor --------------------------------------------------------------------------------------


def negotiate(rq: AssociateRQ, offer: Offer) -> AssociateAC | AssociateRJ:
    """The acceptor's answer (bad-input U11 to U25)."""
    refusal = _refusal(rq, offer)
    if refusal is not None:
        return refusal
    info = rq.user_information
    identity_response: bytes | None = None
    if info.identity is not None and offer.identity is not None:
        verdict = offer.identity(info.identity)
        if not verdict.accepted:
            return _user_rejects(UserReject.NO_REASON)
        if info.identity.response_requested:
            identity_response = verdict.response
    roles = _by_class(info.roles)
    common = _by_class(info.common_extended)
    services: dict[str, Service] = {}
    answers: list[AcceptedContext] = []
    for context in rq.contexts:
        uid = context.abstract_syntax
        service = offer.service(uid, common.get(uid)) if _LEGAL_UID.match(uid) else None
        answer = _answer(context, service, roles.get(uid))
        answers.append(answer)
        if answer.result is ContextResult.ACCEPTANCE and service is not None:
            services.setdefault(uid, service)
    return AssociateAC(
        rq.called_aet,
        rq.calling_aet,
        tuple(answers),
        UserInformation(
            maximum_length=offer.maximum_length,
            implementation_class_uid=offer.implementation_class_uid,
            implementation_version=offer.implementation_version,
            async_window=_window(offer.async_window, info.async_window),
            roles=tuple(_granted(role, services[uid]) for uid, role in roles.items() if uid in services),
            extended=_extended(info.extended, services),
            identity_response=identity_response,
        ),
    )


def _refusal(rq: AssociateRQ, offer: Offer) -> AssociateRJ | None:
    """Why the whole request is rejected, if it is (PS3.8 Table 9-21)."""
    if not rq.protocol_version & 1:
        return AssociateRJ(
            RejectResult.PERMANENT, RejectSource.PROVIDER_ACSE, AcseReject.PROTOCOL_VERSION_NOT_SUPPORTED
        )
    if offer.capacity is not Capacity.OPEN:
        full = offer.capacity is Capacity.LIMIT_REACHED
        reason = PresentationReject.LOCAL_LIMIT_EXCEEDED if full else PresentationReject.TEMPORARY_CONGESTION
        return AssociateRJ(RejectResult.TRANSIENT, RejectSource.PROVIDER_PRESENTATION, reason)
    if rq.application_context != APPLICATION_CONTEXT:
        return _user_rejects(UserReject.APPLICATION_CONTEXT_NOT_SUPPORTED)
    if not offer.called(rq.called_aet):
        return _user_rejects(UserReject.CALLED_AET_NOT_RECOGNIZED)
    if not offer.calling(rq.calling_aet):
        return _user_rejects(UserReject.CALLING_AET_NOT_RECOGNIZED)
    return None


def _user_rejects(reason: UserReject) -> AssociateRJ:
    return AssociateRJ(RejectResult.PERMANENT, RejectSource.SERVICE_USER, reason)


def _answer(context: ProposedContext, service: Service | None, role: RoleSelection | None) -> AcceptedContext:
    proposed = [uid for uid in context.transfer_syntaxes if _LEGAL_UID.match(uid)]
    # Not significant with a rejection, but the sub-item must be there (PS3.8 9.3.3.2).
    filler = proposed[0] if proposed else _IMPLICIT_VR_LITTLE_ENDIAN
    if service is None:
        return AcceptedContext(context.context_id, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, filler)
    chosen = _transfer_syntax(proposed, service)
    if chosen is None:
        return AcceptedContext(context.context_id, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, filler)
    granted = _granted(role or RoleSelection(context.abstract_syntax, scu=True, scp=False), service)
    if not granted.scu and not granted.scp:
        return AcceptedContext(context.context_id, ContextResult.USER_REJECTION, filler)
    return AcceptedContext(context.context_id, ContextResult.ACCEPTANCE, chosen)


def _transfer_syntax(proposed: list[str], service: Service) -> str | None:
    for uid in service.transfer_syntaxes:
        if uid in proposed:
            return uid
    if service.others is not None:
        for uid in proposed:
            if service.others(uid):
                return uid
    return None


def _granted(role: RoleSelection, service: Service) -> RoleSelection:
    return RoleSelection(role.sop_class, role.scu and service.scu, role.scp and service.scp)


def _window(ours: AsyncWindow | None, theirs: AsyncWindow | None) -> AsyncWindow | None:
    if ours is None or theirs is None:
        return None
    return AsyncWindow(_smaller(ours.invoked, theirs.invoked), _smaller(ours.performed, theirs.performed))


def _smaller(one: int, other: int) -> int:
    """The smaller of two limits of which 0 is none."""
    return min(one, other) if one and other else one or other


def _extended(
    proposed: tuple[ExtendedNegotiation, ...], services: Mapping[str, Service]
) -> tuple[ExtendedNegotiation, ...]:
    answers: list[ExtendedNegotiation] = []
    for uid, item in _by_class(proposed).items():
        service = services.get(uid)
        info = service.extended(item.info) if service is not None and service.extended is not None else None
        if info is not None:
            answers.append(ExtendedNegotiation(uid, info))
    return tuple(answers)


_Item = TypeVar("_Item", RoleSelection, ExtendedNegotiation, CommonExtendedNegotiation)


def _by_class(items: Iterable[_Item]) -> dict[str, _Item]:
    """The items by SOP class, in their order; of two for one class the first counts."""
    found: dict[str, _Item] = {}
    for item in items:
        found.setdefault(item.sop_class, item)
    return found


# --- both sides ----------------------------------------------------------------------------------------


def agreement(rq: AssociateRQ, ac: AssociateAC) -> Agreement:
    """What both sides agreed on.

    Answers to contexts or transfer syntaxes that were not proposed are ignored; a role that was not
    proposed is not taken, and a proposal that was not answered leaves the default roles (PS3.7 D.3.3.4).
    """
    proposed = {context.context_id: context for context in rq.contexts}
    asked = _by_class(rq.user_information.roles)
    answered = _by_class(ac.user_information.roles)
    contexts: dict[int, AgreedContext] = {}
    for answer in ac.contexts:
        context = proposed.get(answer.context_id)
        if context is None or answer.result is not ContextResult.ACCEPTANCE:
            continue
        if answer.transfer_syntax not in context.transfer_syntaxes:
            continue
        uid = context.abstract_syntax
        scu, scp = True, False
        if uid in asked and uid in answered:
            scu = asked[uid].scu and answered[uid].scu
            scp = asked[uid].scp and answered[uid].scp
        contexts[answer.context_id] = AgreedContext(answer.context_id, uid, answer.transfer_syntax, scu, scp)
    window = ac.user_information.async_window if rq.user_information.async_window else None
    return Agreement(
        contexts,
        window or AsyncWindow(1, 1),
        {uid: item.info for uid, item in _by_class(ac.user_information.extended).items()},
        ac.user_information.identity_response,
    )


# --- the requestor -------------------------------------------------------------------------------------


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
    common_extended: Iterable[CommonExtendedNegotiation] = (),
    async_window: AsyncWindow | None = None,
    identity: UserIdentity | None = None,
) -> AssociateRQ:
    """The requestor's A-ASSOCIATE-RQ, context ids 1, 3, 5 ... Raises `LocalProtocolError` over 128 contexts."""
    contexts = tuple(
        ProposedContext(2 * number + 1, proposal.abstract_syntax, proposal.transfer_syntaxes)
        for number, proposal in enumerate(proposals)
    )
    if not 0 < len(contexts) <= MAXIMUM_CONTEXTS:
        raise LocalProtocolError(
            f"{len(contexts)} presentation contexts proposed: 1 to {MAXIMUM_CONTEXTS} are possible"
        )
    return AssociateRQ(
        called_aet,
        calling_aet,
        contexts,
        UserInformation(
            maximum_length=maximum_length,
            implementation_class_uid=implementation_class_uid,
            implementation_version=implementation_version,
            async_window=async_window,
            roles=tuple(roles),
            extended=tuple(ExtendedNegotiation(uid, info) for uid, info in (extended or {}).items()),
            common_extended=tuple(common_extended),
            identity=identity,
        ),
    )
