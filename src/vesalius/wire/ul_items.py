"""The items and sub-items inside A-ASSOCIATE-RQ and -AC (PS3.8 9.3.2, 9.3.3, D; PS3.7 D.3.3).

Decoding reads leniently where a value is wrong (a UID with a trailing NUL or space is trimmed, an illegal
one is kept for negotiation to refuse) and strictly where the structure is: a length that passes the end of
what holds it, a context id that is 0, even or there twice, a missing mandatory item raise `Malformed`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeVar

from vesalius.wire.errors import LocalProtocolError
from vesalius.wire.ul_pdus import (
    AcceptedContext,
    AssociateAC,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

MAXIMUM_CONTEXTS = 128
"""Odd ids from 1 to 255 (PS3.8 7.1.1.13)."""

MAXIMUM_SUB_ITEMS = 1024
"""Roles, or extended negotiations, of one request: far more than 128 contexts can mean."""

_APPLICATION_CONTEXT = 0x10
_CONTEXT_RQ = 0x20
_CONTEXT_AC = 0x21
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAXIMUM_LENGTH = 0x51
_IMPLEMENTATION_CLASS = 0x52
_ASYNC_WINDOW = 0x53
_ROLE = 0x54
_IMPLEMENTATION_VERSION = 0x55
_EXTENDED = 0x56
_COMMON_EXTENDED = 0x57
_IDENTITY_RQ = 0x58
_IDENTITY_AC = 0x59

_FIXED = struct.Struct(">HH16s16s32x")
_ITEM = struct.Struct(">BxH")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_TWO_U16 = struct.Struct(">HH")

_Context = TypeVar("_Context", ProposedContext, AcceptedContext)


class Malformed(Exception):
    """The structure of the PDU is broken; the text says how."""


# --- encoding ------------------------------------------------------------------------------------------


def encode_associate(pdu: AssociateRQ | AssociateAC) -> bytes:
    """The body of the PDU. Raises `LocalProtocolError`, or what `struct` raises for a number out of range."""
    parts = [
        _FIXED.pack(pdu.protocol_version, 0, _title(pdu.called_aet), _title(pdu.calling_aet)),
        _text_item(_APPLICATION_CONTEXT, pdu.application_context),
    ]
    if isinstance(pdu, AssociateRQ):
        parts.extend(_proposed(context) for context in pdu.contexts)
    else:
        parts.extend(_answered(context) for context in pdu.contexts)
    parts.append(_item(_USER_INFORMATION, _user_information(pdu.user_information)))
    return b"".join(parts)


def _title(aet: str) -> bytes:
    raw = aet.encode("latin-1")
    if len(raw) > 16:
        raise LocalProtocolError("an application entity title of more than 16 characters")
    return raw.ljust(16)


def _item(kind: int, payload: bytes) -> bytes:
    return _ITEM.pack(kind, len(payload)) + payload


def _text_item(kind: int, text: str) -> bytes:
    return _item(kind, text.encode("latin-1"))


def _counted(raw: bytes) -> bytes:
    return _U16.pack(len(raw)) + raw


def _proposed(context: ProposedContext) -> bytes:
    items = [bytes((context.context_id, 0, 0, 0)), _text_item(_ABSTRACT_SYNTAX, context.abstract_syntax)]
    items.extend(_text_item(_TRANSFER_SYNTAX, uid) for uid in context.transfer_syntaxes)
    return _item(_CONTEXT_RQ, b"".join(items))


def _answered(context: AcceptedContext) -> bytes:
    head = bytes((context.context_id, 0, context.result, 0))
    return _item(_CONTEXT_AC, head + _text_item(_TRANSFER_SYNTAX, context.transfer_syntax))


def _user_information(info: UserInformation) -> bytes:
    parts = [_item(_MAXIMUM_LENGTH, _U32.pack(info.maximum_length))]
    if info.implementation_class_uid:
        parts.append(_text_item(_IMPLEMENTATION_CLASS, info.implementation_class_uid))
    if info.async_window is not None:
        parts.append(_item(_ASYNC_WINDOW, _TWO_U16.pack(info.async_window.invoked, info.async_window.performed)))
    parts.extend(
        _item(_ROLE, _counted(role.sop_class.encode("latin-1")) + bytes((role.scu, role.scp))) for role in info.roles
    )
    if info.implementation_version:
        parts.append(_text_item(_IMPLEMENTATION_VERSION, info.implementation_version))
    parts.extend(_item(_EXTENDED, _counted(e.sop_class.encode("latin-1")) + e.info) for e in info.extended)
    parts.extend(_item(_COMMON_EXTENDED, _common_extended(common)) for common in info.common_extended)
    if info.identity is not None:
        identity = info.identity
        head = bytes((identity.kind, identity.response_requested))
        parts.append(_item(_IDENTITY_RQ, head + _counted(identity.primary) + _counted(identity.secondary)))
    if info.identity_response is not None:
        parts.append(_item(_IDENTITY_AC, _counted(info.identity_response)))
    return b"".join(parts)


def _common_extended(common: CommonExtendedNegotiation) -> bytes:
    related = b"".join(_counted(uid.encode("latin-1")) for uid in common.related)
    return (
        _counted(common.sop_class.encode("latin-1"))
        + _counted(common.service_class.encode("latin-1"))
        + _counted(related)
    )


# --- decoding ------------------------------------------------------------------------------------------


def decode_rq(buffer: bytes, position: int, end: int) -> AssociateRQ:
    """The body of an A-ASSOCIATE-RQ (PS3.8 9.3.2). Raises `Malformed`."""
    version, called, calling = _fixed_part(buffer, position, end)
    application_context: str | None = None
    information: UserInformation | None = None
    contexts: dict[int, ProposedContext] = {}
    for kind, start, stop in _items(buffer, position + _FIXED.size, end):
        if kind == _CONTEXT_RQ:
            context = _proposed_context(buffer, start, stop)
            _add(contexts, context.context_id, context)
        elif kind == _APPLICATION_CONTEXT:
            application_context = _uid(buffer, start, stop)
        elif kind == _USER_INFORMATION:
            information = _decode_user_information(buffer, start, stop)
    if application_context is None or information is None or not contexts:
        raise Malformed("a mandatory item of the A-ASSOCIATE-RQ is missing")
    return AssociateRQ(called, calling, tuple(contexts.values()), information, application_context, version)


def decode_ac(buffer: bytes, position: int, end: int) -> AssociateAC:
    """The body of an A-ASSOCIATE-AC (PS3.8 9.3.3). Raises `Malformed`."""
    version, called, calling = _fixed_part(buffer, position, end)
    application_context = ""
    information: UserInformation | None = None
    contexts: dict[int, AcceptedContext] = {}
    for kind, start, stop in _items(buffer, position + _FIXED.size, end):
        if kind == _CONTEXT_AC:
            context = _accepted_context(buffer, start, stop)
            _add(contexts, context.context_id, context)
        elif kind == _APPLICATION_CONTEXT:
            application_context = _uid(buffer, start, stop)
        elif kind == _USER_INFORMATION:
            information = _decode_user_information(buffer, start, stop)
    if information is None:
        raise Malformed("the A-ASSOCIATE-AC has no user information")
    return AssociateAC(called, calling, tuple(contexts.values()), information, application_context, version)


def _fixed_part(buffer: bytes, position: int, end: int) -> tuple[int, str, str]:
    if end - position < _FIXED.size:
        raise Malformed("an A-ASSOCIATE PDU shorter than its fixed part")
    version, _, called, calling = _FIXED.unpack_from(buffer, position)
    return version, _trim_title(called), _trim_title(calling)


def _trim_title(raw: bytes) -> str:
    """Leading and trailing spaces are not significant (PS3.5 6.2); some senders pad with NUL."""
    return raw.rstrip(b"\0").decode("latin-1").strip(" ")


def _add(contexts: dict[int, _Context], context_id: int, context: _Context) -> None:
    if not context_id & 1 or context_id in contexts:
        raise Malformed(f"presentation context id {context_id} is even or there twice")
    contexts[context_id] = context


def _items(buffer: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, start, stop) of each item's value."""
    while position < end:
        if end - position < 4:
            raise Malformed("an item header cut short")
        kind, length = _ITEM.unpack_from(buffer, position)
        start = position + 4
        position = start + length
        if position > end:
            raise Malformed(f"an item of type {kind:02X}H that passes the end of what holds it")
        yield kind, start, position


def _uid(buffer: bytes, start: int, stop: int) -> str:
    return buffer[start:stop].decode("latin-1").strip("\0 ")


def _proposed_context(buffer: bytes, start: int, stop: int) -> ProposedContext:
    if stop - start < 4:
        raise Malformed("a presentation context item shorter than its fixed part")
    abstract_syntax: str | None = None
    transfer_syntaxes: list[str] = []
    for kind, first, last in _items(buffer, start + 4, stop):
        if kind == _ABSTRACT_SYNTAX:
            abstract_syntax = _uid(buffer, first, last)
        elif kind == _TRANSFER_SYNTAX:
            transfer_syntaxes.append(_uid(buffer, first, last))
    if abstract_syntax is None:
        raise Malformed("a presentation context without abstract syntax")
    return ProposedContext(buffer[start], abstract_syntax, tuple(transfer_syntaxes))


def _accepted_context(buffer: bytes, start: int, stop: int) -> AcceptedContext:
    if stop - start < 4:
        raise Malformed("a presentation context item shorter than its fixed part")
    try:
        result = ContextResult(buffer[start + 2])
    except ValueError:
        result = ContextResult.NO_REASON  # a value that is not defined is not an acceptance
    transfer_syntax = ""
    for kind, first, last in _items(buffer, start + 4, stop):
        if kind == _TRANSFER_SYNTAX:
            transfer_syntax = _uid(buffer, first, last)
    return AcceptedContext(buffer[start], result, transfer_syntax)


def _decode_user_information(buffer: bytes, start: int, stop: int) -> UserInformation:
    maximum_length = 0
    class_uid = version = ""
    window: AsyncWindow | None = None
    identity: UserIdentity | None = None
    identity_response: bytes | None = None
    roles: list[RoleSelection] = []
    extended: list[ExtendedNegotiation] = []
    common: list[CommonExtendedNegotiation] = []
    for kind, first, last in _items(buffer, start, stop):
        fields = _Fields(buffer, first, last)
        if kind == _MAXIMUM_LENGTH:
            (maximum_length,) = _U32.unpack(fields.take(4))
        elif kind == _IMPLEMENTATION_CLASS:
            class_uid = _uid(buffer, first, last)
        elif kind == _ASYNC_WINDOW:
            window = AsyncWindow(*_TWO_U16.unpack(fields.take(4)))
        elif kind == _ROLE:
            roles.append(RoleSelection(fields.uid(), fields.take(1) == b"\1", fields.take(1) == b"\1"))
        elif kind == _IMPLEMENTATION_VERSION:
            version = _uid(buffer, first, last)
        elif kind == _EXTENDED:
            extended.append(ExtendedNegotiation(fields.uid(), fields.rest()))
        elif kind == _COMMON_EXTENDED:
            common.append(_decode_common_extended(fields))
        elif kind == _IDENTITY_RQ:
            head = fields.take(2)
            identity = UserIdentity(head[0], head[1] == 1, fields.counted(), fields.counted())
        elif kind == _IDENTITY_AC:
            identity_response = fields.counted()
        if len(roles) + len(extended) + len(common) > MAXIMUM_SUB_ITEMS:
            raise Malformed("too many sub-items in the user information")
    return UserInformation(
        maximum_length,
        class_uid,
        version,
        window,
        tuple(roles),
        tuple(extended),
        tuple(common),
        identity,
        identity_response,
    )


def _decode_common_extended(fields: _Fields) -> CommonExtendedNegotiation:
    sop_class, service_class = fields.uid(), fields.uid()
    related = fields.counted()
    inner = _Fields(related, 0, len(related))
    uids: list[str] = []
    while inner.left:
        uids.append(inner.uid())
        if len(uids) > MAXIMUM_SUB_ITEMS:
            raise Malformed("too many related general SOP classes")
    return CommonExtendedNegotiation(sop_class, service_class, tuple(uids))


class _Fields:
    """Reads the fields of one sub-item; a field that passes its end raises `Malformed`."""

    __slots__ = ("_buffer", "_end", "_position")

    def __init__(self, buffer: bytes, start: int, end: int) -> None:
        self._buffer = buffer
        self._position = start
        self._end = end

    @property
    def left(self) -> int:
        return self._end - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise Malformed("a field that passes the end of its sub-item")
        start = self._position
        self._position += count
        return self._buffer[start : self._position]

    def rest(self) -> bytes:
        return self.take(self.left)

    def counted(self) -> bytes:
        (count,) = _U16.unpack(self.take(2))
        return self.take(count)

    def uid(self) -> str:
        return self.counted().decode("latin-1").strip("\0 ")
