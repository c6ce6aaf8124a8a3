"""The command set: what a DIMSE message asks or answers (PS3.7 6.3, 9, 10, Annex E).

A command set is always Implicit VR Little Endian, of group 0000 only, and small. It is held as a plain
mapping from tag to value with named properties; what is not in the table of PS3.7 Annex E is skipped.
Builders make each request and response with exactly the elements that PS3.7 9.3 and 10.3 list for it.

Decoding trusts nothing: a length that passes the end, an element of another group, a value of the wrong
size or a missing Command Field raise `RemoteProtocolError` with A-ABORT 0/0. A wrong group length alone
is accepted, because a peer that writes it wrongly still sends a command that can be read.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

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


_VR: Mapping[int, str] = {
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

_RESPONSE = 0x8000


@dataclass(frozen=True, slots=True)
class SubOperations:
    """Counts of a C-MOVE or C-GET response (PS3.7 9.1.3, 9.1.4). `remaining` None: final response, not sent."""

    remaining: int | None = None
    completed: int = 0
    failed: int = 0
    warning: int = 0


class Command:
    """One command set. Immutable by convention: the builders and `decode` are the only makers."""

    __slots__ = ("elements",)

    def __init__(self, elements: Mapping[int, CommandValue]) -> None:
        self.elements = elements

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Command) and dict(self.elements) == dict(other.elements)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.elements)))

    def __repr__(self) -> str:
        """Names the operation only: an Error Comment of a peer may hold anything."""
        return f"Command({self.name}, id={self.message_id or self.message_id_responded}, status={self.status})"

    def _int(self, tag: int) -> int | None:
        return cast("int | None", self.elements.get(tag))

    def _text(self, tag: int) -> str:
        return cast("str", self.elements.get(tag, ""))

    @property
    def field(self) -> int:
        """Command Field: a `CommandField`, or a number that the standard does not define."""
        return cast("int", self.elements[Tag.CommandField])

    @property
    def name(self) -> str:
        """The operation as the standard writes it: "C-STORE-RQ"; unknown ones as hex."""
        try:
            return CommandField(self.field).name.replace("_", "-")
        except ValueError:
            return f"{self.field:04X}H"

    @property
    def is_response(self) -> bool:
        """Bit 15 of the Command Field."""
        return bool(self.field & _RESPONSE)

    @property
    def has_dataset(self) -> bool:
        """Whether a data set follows (Command Data Set Type is not 0101H)."""
        return self.elements.get(Tag.CommandDataSetType) != NO_DATA_SET

    @property
    def message_id(self) -> int | None:
        """Message ID of a request."""
        return self._int(Tag.MessageID)

    @property
    def message_id_responded(self) -> int | None:
        """Message ID Being Responded To, of a response or a C-CANCEL-RQ."""
        return self._int(Tag.MessageIDBeingRespondedTo)

    @property
    def affected_class(self) -> str:
        """Affected SOP Class UID; empty if absent."""
        return self._text(Tag.AffectedSOPClassUID)

    @property
    def affected_instance(self) -> str:
        """Affected SOP Instance UID; empty if absent."""
        return self._text(Tag.AffectedSOPInstanceUID)

    @property
    def requested_class(self) -> str:
        """Requested SOP Class UID; empty if absent."""
        return self._text(Tag.RequestedSOPClassUID)

    @property
    def requested_instance(self) -> str:
        """Requested SOP Instance UID; empty if absent."""
        return self._text(Tag.RequestedSOPInstanceUID)

    @property
    def priority(self) -> int:
        """Priority; medium if absent."""
        return self._int(Tag.Priority) or 0

    @property
    def status(self) -> int | None:
        """Status of a response."""
        return self._int(Tag.Status)

    @property
    def move_destination(self) -> str:
        """Move Destination; empty if absent."""
        return self._text(Tag.MoveDestination)

    @property
    def move_originator_aet(self) -> str:
        """Move Originator Application Entity Title; empty if absent."""
        return self._text(Tag.MoveOriginatorApplicationEntityTitle)

    @property
    def move_originator_message_id(self) -> int | None:
        """Move Originator Message ID."""
        return self._int(Tag.MoveOriginatorMessageID)

    @property
    def remaining(self) -> int | None:
        """Number of Remaining Sub-operations."""
        return self._int(Tag.NumberOfRemainingSuboperations)

    @property
    def completed(self) -> int | None:
        """Number of Completed Sub-operations."""
        return self._int(Tag.NumberOfCompletedSuboperations)

    @property
    def failed(self) -> int | None:
        """Number of Failed Sub-operations."""
        return self._int(Tag.NumberOfFailedSuboperations)

    @property
    def warning(self) -> int | None:
        """Number of Warning Sub-operations."""
        return self._int(Tag.NumberOfWarningSuboperations)

    @property
    def offending(self) -> tuple[int, ...]:
        """Offending Element: the tags concerned."""
        return cast("tuple[int, ...]", self.elements.get(Tag.OffendingElement, ()))

    @property
    def error_comment(self) -> str:
        """Error Comment; a peer may have put anything in it."""
        return self._text(Tag.ErrorComment)

    @property
    def error_id(self) -> int | None:
        """Error ID."""
        return self._int(Tag.ErrorID)

    @property
    def event_type(self) -> int | None:
        """Event Type ID of an N-EVENT-REPORT."""
        return self._int(Tag.EventTypeID)

    @property
    def action_type(self) -> int | None:
        """Action Type ID of an N-ACTION."""
        return self._int(Tag.ActionTypeID)

    @property
    def attribute_identifiers(self) -> tuple[int, ...]:
        """Attribute Identifier List of an N-GET-RQ."""
        return cast("tuple[int, ...]", self.elements.get(Tag.AttributeIdentifierList, ()))

    def encode(self) -> bytes:
        """Implicit VR Little Endian, Command Group Length first. Raises `LocalProtocolError`."""
        return encode(self.elements)


# --- bytes ---------------------------------------------------------------------------------------------

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
    vr = _VR.get(tag)
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


def decode(data: bytes | bytearray | memoryview) -> Command:
    """A command set from bytes. Raises `RemoteProtocolError` (0/0) if it is not one: bad-input D1."""
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
        vr = _VR.get(element)
        if vr is not None:
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
    return Command(elements)


def _decode_value(vr: str, raw: bytes) -> CommandValue | None:
    """The value, or None where the element is empty (as good as absent)."""
    if not raw:
        return None
    if vr == "US":
        if len(raw) != 2:
            raise _broken("has a number of a wrong size")
        return raw[0] | raw[1] << 8
    if vr == "UI":
        return raw.decode("latin-1").strip("\0 ")
    if vr == "AE":
        return raw.decode("latin-1").strip("\0 ")
    if vr == "LO":
        return raw.decode("latin-1").rstrip("\0 ")
    if vr == "UL":
        if len(raw) != 4:
            raise _broken("has a number of a wrong size")
        return int.from_bytes(raw, "little")
    if len(raw) % 4:
        raise _broken("has a list of tags of a wrong size")
    return tuple(group << 16 | element for group, element in struct.iter_unpack("<HH", raw))


def _broken(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, f"the command set {what}")


def peek_message_id(data: bytes | bytearray | memoryview) -> int | None:
    """The Message ID of a command set, or None where it has none; for a log line about a broken one."""
    for tag, raw in _elements(bytes(data)):
        if tag == Tag.MessageID and len(raw) == 2:
            return int.from_bytes(raw, "little")
    return None


def _elements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while len(raw) - position >= 8:
        group, element, length = _HEADER.unpack_from(raw, position)
        position += 8
        yield group << 16 | element, raw[position : position + length]
        position += length


# --- requests --------------------------------------------------------------------------------------------


def _request(field: CommandField, dataset: bool, **elements: CommandValue | None) -> Command:
    built: dict[int, CommandValue] = {Tag[name]: value for name, value in elements.items() if value is not None}
    built[Tag.CommandField] = int(field)
    built[Tag.CommandDataSetType] = DATA_SET_FOLLOWS if dataset else NO_DATA_SET
    return Command(built)


def c_echo_rq(message_id: int, sop_class: str = "1.2.840.10008.1.1") -> Command:
    """C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return _request(CommandField.C_ECHO_RQ, False, MessageID=message_id, AffectedSOPClassUID=sop_class)


def c_store_rq(
    message_id: int,
    sop_class: str,
    sop_instance: str,
    *,
    priority: int = Priority.MEDIUM,
    move_originator_aet: str | None = None,
    move_originator_message_id: int | None = None,
) -> Command:
    """C-STORE-RQ (PS3.7 9.3.1.1); the move originator for a sub-operation of a C-MOVE."""
    return _request(
        CommandField.C_STORE_RQ,
        True,
        MessageID=message_id,
        AffectedSOPClassUID=sop_class,
        AffectedSOPInstanceUID=sop_instance,
        Priority=int(priority),
        MoveOriginatorApplicationEntityTitle=move_originator_aet,
        MoveOriginatorMessageID=move_originator_message_id,
    )


def c_find_rq(message_id: int, sop_class: str, *, priority: int = Priority.MEDIUM) -> Command:
    """C-FIND-RQ (PS3.7 9.3.2.1); an identifier follows."""
    return _request(
        CommandField.C_FIND_RQ, True, MessageID=message_id, AffectedSOPClassUID=sop_class, Priority=int(priority)
    )


def c_get_rq(message_id: int, sop_class: str, *, priority: int = Priority.MEDIUM) -> Command:
    """C-GET-RQ (PS3.7 9.3.3.1); an identifier follows."""
    return _request(
        CommandField.C_GET_RQ, True, MessageID=message_id, AffectedSOPClassUID=sop_class, Priority=int(priority)
    )


def c_move_rq(message_id: int, sop_class: str, destination: str, *, priority: int = Priority.MEDIUM) -> Command:
    """C-MOVE-RQ (PS3.7 9.3.4.1); an identifier follows."""
    return _request(
        CommandField.C_MOVE_RQ,
        True,
        MessageID=message_id,
        AffectedSOPClassUID=sop_class,
        Priority=int(priority),
        MoveDestination=destination,
    )


def c_cancel_rq(message_id_responded: int) -> Command:
    """C-CANCEL-RQ for a C-FIND, C-GET or C-MOVE (PS3.7 9.3.2.3)."""
    return _request(CommandField.C_CANCEL_RQ, False, MessageIDBeingRespondedTo=message_id_responded)


def n_event_report_rq(
    message_id: int, sop_class: str, sop_instance: str, event_type: int, *, has_dataset: bool = True
) -> Command:
    """N-EVENT-REPORT-RQ (PS3.7 10.3.1.1)."""
    return _request(
        CommandField.N_EVENT_REPORT_RQ,
        has_dataset,
        MessageID=message_id,
        AffectedSOPClassUID=sop_class,
        AffectedSOPInstanceUID=sop_instance,
        EventTypeID=event_type,
    )


def n_get_rq(message_id: int, sop_class: str, sop_instance: str, attributes: Sequence[int] = ()) -> Command:
    """N-GET-RQ (PS3.7 10.3.2.1)."""
    return _request(
        CommandField.N_GET_RQ,
        False,
        MessageID=message_id,
        RequestedSOPClassUID=sop_class,
        RequestedSOPInstanceUID=sop_instance,
        AttributeIdentifierList=tuple(attributes) or None,
    )


def n_set_rq(message_id: int, sop_class: str, sop_instance: str) -> Command:
    """N-SET-RQ (PS3.7 10.3.3.1); a modification list follows."""
    return _request(
        CommandField.N_SET_RQ,
        True,
        MessageID=message_id,
        RequestedSOPClassUID=sop_class,
        RequestedSOPInstanceUID=sop_instance,
    )


def n_action_rq(
    message_id: int, sop_class: str, sop_instance: str, action_type: int, *, has_dataset: bool = True
) -> Command:
    """N-ACTION-RQ (PS3.7 10.3.4.1)."""
    return _request(
        CommandField.N_ACTION_RQ,
        has_dataset,
        MessageID=message_id,
        RequestedSOPClassUID=sop_class,
        RequestedSOPInstanceUID=sop_instance,
        ActionTypeID=action_type,
    )


def n_create_rq(
    message_id: int, sop_class: str, sop_instance: str | None = None, *, has_dataset: bool = True
) -> Command:
    """N-CREATE-RQ (PS3.7 10.3.5.1); without an instance UID the performer makes one."""
    return _request(
        CommandField.N_CREATE_RQ,
        has_dataset,
        MessageID=message_id,
        AffectedSOPClassUID=sop_class,
        AffectedSOPInstanceUID=sop_instance,
    )


def n_delete_rq(message_id: int, sop_class: str, sop_instance: str) -> Command:
    """N-DELETE-RQ (PS3.7 10.3.6.1)."""
    return _request(
        CommandField.N_DELETE_RQ,
        False,
        MessageID=message_id,
        RequestedSOPClassUID=sop_class,
        RequestedSOPInstanceUID=sop_instance,
    )


# --- responses -------------------------------------------------------------------------------------------


def response(
    request: Command,
    status: int,
    *,
    has_dataset: bool = False,
    offending: Sequence[int] = (),
    comment: str = "",
    error_id: int | None = None,
    counts: SubOperations | None = None,
) -> Command:
    """The response to any request, C- or N- (PS3.7 9.3, 10.3).

    SOP class, instance, event and action type are repeated from the request as its own response lists
    them. An unknown Command Field gets the field with bit 15 set, so that 0211 can be answered. `comment`
    is cut to 64 ASCII characters without control characters. `counts` are those of C-MOVE and C-GET.
    Raises `LocalProtocolError` if the request has no Message ID.
    """
    asked = request.elements
    if request.message_id is None:
        raise LocalProtocolError("a request without Message ID cannot be answered")
    built: dict[int, CommandValue] = {
        Tag.CommandField: request.field | _RESPONSE,
        Tag.MessageIDBeingRespondedTo: request.message_id,
        Tag.CommandDataSetType: DATA_SET_FOLLOWS if has_dataset else NO_DATA_SET,
        Tag.Status: status,
    }
    sop_class = request.affected_class or request.requested_class
    if sop_class:
        built[Tag.AffectedSOPClassUID] = sop_class
    if request.field not in _WITHOUT_INSTANCE:
        sop_instance = request.affected_instance or request.requested_instance
        if sop_instance:
            built[Tag.AffectedSOPInstanceUID] = sop_instance
    for tag in (Tag.EventTypeID, Tag.ActionTypeID):
        if tag in asked:
            built[tag] = asked[tag]
    if offending:
        built[Tag.OffendingElement] = tuple(offending)
    if comment:
        built[Tag.ErrorComment] = error_comment(comment)
    if error_id is not None:
        built[Tag.ErrorID] = error_id
    if counts is not None:
        if counts.remaining is not None:
            built[Tag.NumberOfRemainingSuboperations] = min(counts.remaining, 0xFFFF)
        built[Tag.NumberOfCompletedSuboperations] = min(counts.completed, 0xFFFF)
        built[Tag.NumberOfFailedSuboperations] = min(counts.failed, 0xFFFF)
        built[Tag.NumberOfWarningSuboperations] = min(counts.warning, 0xFFFF)
    return Command(built)


_WITHOUT_INSTANCE = frozenset(
    {CommandField.C_ECHO_RQ, CommandField.C_FIND_RQ, CommandField.C_GET_RQ, CommandField.C_MOVE_RQ}
)


def error_comment(text: str) -> str:
    """Text as an Error Comment may hold it: LO, at most 64 characters, ASCII, no control characters."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)[:64]
