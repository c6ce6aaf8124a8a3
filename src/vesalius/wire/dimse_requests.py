"""Requests as this side sends them: each with exactly the elements that PS3.7 9.3 and 10.3 list for it."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.wire.dimse_commands import Command
from vesalius.wire.dimse_elements import DATA_SET_FOLLOWS, NO_DATA_SET, CommandField, CommandValue, Priority, Tag


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
