"""The elements of a command set and their bytes (PS3.7 6.3.1, Annex E).

A command set is always Implicit VR Little Endian, of group 0000 only, and small. What is not in the table of
PS3.7 Annex E (retired elements among them) is skipped.

Decoding trusts nothing: a length that passes the end, an element of another group, a value of the wrong
size or a missing Command Field raise `RemoteProtocolError` with A-ABORT 0/0. A wrong group length alone
is accepted, because a peer that writes it wrongly still sends a command that can be read.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from typing import TypeAlias

from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_pdus import AbortReason, AbortSource

CommandValue: TypeAlias = int | str | tuple[int, ...]

NO_DATA_SET = 0x0101
"""Command Data Set Type of a message without a data set (PS3.7 E.1)."""
DATA_SET_FOLLOWS = 0x0001
"""Any other value says that one follows; this is the one we send."""


class CommandField(enum.IntEnum):
    """Command Field (0000,0100) (PS3.7 E.1)."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF


class Priority(enum.IntEnum):
    """Priority (0000,0700) (PS3.7 E.1)."""

    MEDIUM = 0x0000
    HIGH = 0x0001
    LOW = 0x0002


class Tag(enum.IntEnum):
    """Elements of the command set by the standard's keywords (PS3.7 Table E.1-1)."""

    CommandGroupLength = 0x00000000
    AffectedSOPClassUID = 0x00000002
    RequestedSOPClassUID = 0x00000003
    CommandField = 0x00000100
    MessageID = 0x00000110
    MessageIDBeingRespondedTo = 0x00000120
    MoveDestination = 0x00000600
    Priority = 0x00000700
    CommandDataSetType = 0x00000800
    Status = 0x00000900
    OffendingElement = 0x00000901
    ErrorComment = 0x00000902
    ErrorID = 0x00000903
    AffectedSOPInstanceUID = 0x00001000
    RequestedSOPInstanceUID = 0x00001001
    EventTypeID = 0x00001002
    AttributeIdentifierList = 0x00001005
    ActionTypeID = 0x00001008
    NumberOfRemainingSuboperations = 0x00001020
    NumberOfCompletedSuboperations = 0x00001021
    NumberOfFailedSuboperations = 0x00001022
    NumberOfWarningSuboperations = 0x00001023
    MoveOriginatorApplicationEntityTitle = 0x00001030
    MoveOriginatorMessageID = 0x00001031


VR: Mapping[int, str] = {
    Tag.CommandGroupLength: "UL",
    Tag.AffectedSOPClassUID: "UI",
    Tag.RequestedSOPClassUID: "UI",
    Tag.CommandField: "US",
    Tag.MessageID: "US",
    Tag.MessageIDBeingRespondedTo: "US",
    Tag.MoveDestination: "AE",
    Tag.Priority: "US",
    Tag.CommandDataSetType: "US",
    Tag.Status: "US",
    Tag.OffendingElement: "AT",
    Tag.ErrorComment: "LO",
    Tag.ErrorID: "US",
    Tag.AffectedSOPInstanceUID: "UI",
    Tag.RequestedSOPInstanceUID: "UI",
    Tag.EventTypeID: "US",
    Tag.AttributeIdentifierList: "AT",
    Tag.ActionTypeID: "US",
    Tag.NumberOfRemainingSuboperations: "US",
    Tag.NumberOfCompletedSuboperations: "US",
    Tag.NumberOfFailedSuboperations: "US",
    Tag.NumberOfWarningSuboperations: "US",
    Tag.MoveOriginatorApplicationEntityTitle: "AE",
    Tag.MoveOriginatorMessageID: "US",
}


_HEADER = struct.Struct("<HHI")
_GROUP_LENGTH = struct.Struct("<HHII")


def encode(elements: Mapping[int, CommandValue]) -> bytes:
    """A command set as bytes (PS3.7 6.3.1). Raises `LocalProtocolError` for a value that has no encoding."""
    body = bytearray()
    for tag in sorted(elements):
        if tag == Tag.CommandGroupLength:
            continue
        value = _encode_value(tag, elements[tag])
        body += _HEADER.pack(tag >> 16, tag & 0xFFFF, len(value))
        body += value
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + bytes(body)


def _encode_value(tag: int, value: CommandValue) -> bytes:
    vr = VR.get(tag)
    try:
        if vr == "US" and isinstance(value, int):
            return value.to_bytes(2, "little")
        if vr == "UI" and isinstance(value, str):
            raw = value.encode("latin-1")
            return raw + b"\0" if len(raw) & 1 else raw
        if vr in ("AE", "LO") and isinstance(value, str):
            raw = value.encode("latin-1")
            return raw + b" " if len(raw) & 1 else raw
        if vr == "AT" and isinstance(value, tuple):
            return b"".join(struct.pack("<HH", item >> 16, item & 0xFFFF) for item in value)
    except (OverflowError, UnicodeEncodeError, struct.error) as error:
        raise LocalProtocolError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}): the value cannot be encoded") from error
    raise LocalProtocolError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}): not a command element of this type")


def decode(data: bytes | bytearray | memoryview) -> dict[int, CommandValue]:
    """The elements of a command set, its group length left out.

    Raises `RemoteProtocolError` (0/0) if it is not one: bad-input D1.
    """
    raw = bytes(data)
    elements: dict[int, CommandValue] = {}
    position, end = 0, len(raw)
    unpack = _HEADER.unpack_from
    while position < end:
        if end - position < 8:
            raise _broken("ends inside an element header")
        group, element, length = unpack(raw, position)
        position += 8
        if length > end - position:
            raise _broken("has an element that passes its end")
        if group != 0:
            raise _broken("has an element that is not of group 0000")
        vr = VR.get(element)
        if vr is not None and element != Tag.CommandGroupLength:
            if element in elements:
                raise _broken("has an element twice")
            value = _decode_value(vr, raw[position : position + length])
            if value is not None:
                elements[element] = value
        position += length
    if Tag.CommandField not in elements:
        raise _broken("has no Command Field")
    if Tag.CommandDataSetType not in elements:
        raise _broken("has no Command Data Set Type")
    return elements


def _decode_value(vr: str, raw: bytes) -> CommandValue | None:
    """The value, or None where the element is empty (as good as absent)."""
    if not raw:
        return None
    if vr == "US":
        if len(raw) != 2:
            raise _broken("has a number of a wrong size")
        return raw[0] | raw[1] << 8
    if vr in ("UI", "AE"):
        return raw.decode("latin-1").strip("\0 ")
    if vr == "LO":
        return raw.decode("latin-1").rstrip("\0 ")
    if len(raw) % 4:
        raise _broken("has a list of tags of a wrong size")
    return tuple(group << 16 | element for group, element in struct.iter_unpack("<HH", raw))


def _broken(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, f"the command set {what}")
