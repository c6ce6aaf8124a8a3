"""The command set: what a DIMSE message asks or answers (PS3.7 9, 10).

A command set is held as a plain mapping from tag to value (`dimse_elements`) with named properties.
`response` makes each answer with exactly the elements that PS3.7 9.3 and 10.3 list for it; requests are made in
`dimse_requests`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from vesalius.wire import dimse_elements
from vesalius.wire.dimse_elements import (
    DATA_SET_FOLLOWS,
    NO_DATA_SET,
    CommandField,
    CommandValue,
    Priority,
    Tag,
)
from vesalius.wire.errors import LocalProtocolError

__all__ = [
    "DATA_SET_FOLLOWS",
    "NO_DATA_SET",
    "Command",
    "CommandField",
    "CommandValue",
    "Priority",
    "SubOperations",
    "Tag",
    "decode",
    "error_comment",
    "response",
]

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
        return dimse_elements.encode(self.elements)


def decode(data: bytes | bytearray | memoryview) -> Command:
    """A command from bytes. Raises `RemoteProtocolError` (0/0) if it is not one: bad-input D1."""
    return Command(dimse_elements.decode(data))


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
    sop_instance: str = "",
) -> Command:
    """The response to any request, C- or N- (PS3.7 9.3, 10.3).

    SOP class, instance, event and action type are repeated from the request as its own response lists
    them. An unknown Command Field gets the field with bit 15 set, so that 0211 can be answered. `comment`
    is cut to 64 ASCII characters without control characters. `counts` are those of C-MOVE and C-GET.
    `sop_instance` is a UID that the performer made (N-CREATE, PS3.7 10.1.5.1.4).
    `offending` goes where the status has its list: Offending Element, or Attribute Identifier List (PS3.7 C.4.2, C.5.9,
    C.5.16). Raises `LocalProtocolError` if the request has no Message ID.
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
        sop_instance = sop_instance or request.affected_instance or request.requested_instance
        if sop_instance:
            built[Tag.AffectedSOPInstanceUID] = sop_instance
    for tag in (Tag.EventTypeID, Tag.ActionTypeID):
        if tag in asked:
            built[tag] = asked[tag]
    if offending and status not in _NOT_OFFENDING:
        built[Tag.OffendingElement] = tuple(offending)
    if offending and status in _LISTING:
        built[Tag.AttributeIdentifierList] = tuple(offending)
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


# Warnings about attributes, and all that have an Attribute Identifier List: 0105, 0120 beside the Offending Element.
_NOT_OFFENDING = frozenset({0x0001, 0x0107})
_LISTING = _NOT_OFFENDING | {0x0105, 0x0120}
_WITHOUT_INSTANCE = frozenset(
    {CommandField.C_ECHO_RQ, CommandField.C_FIND_RQ, CommandField.C_GET_RQ, CommandField.C_MOVE_RQ}
)


def error_comment(text: str) -> str:
    """Text as an Error Comment may hold it: LO, at most 64 characters, ASCII, no control characters."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)[:64]
