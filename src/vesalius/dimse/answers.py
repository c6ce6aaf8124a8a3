"""Every status that this archive answers, by service, and when: the list that its conformance statement prints.

Sources: PS3.7 9.1 and Annex C, PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4. A test names for each line the test
that produces it, and the tests' observer knows no status that is not here. What the standard lists and is not here is
never answered: nothing received is coerced or discarded (B000, B006, B007 of C-STORE), no answer is cut at a number
(B001).
"""

from __future__ import annotations

from collections.abc import Mapping

from vesalius.dimse.errors import CONFLICT_REFUSED, INTERNAL_ERROR
from vesalius.standard import statuses

# Before a service looks at a request (`association.Association`).
_ANY: Mapping[int, str] = {
    statuses.SOP_CLASS_NOT_SUPPORTED: "the request names another SOP Class than its presentation context",
    statuses.DUPLICATE_INVOCATION: "its Message ID is that of an operation still open",
    statuses.UNRECOGNIZED_OPERATION: "the operation is not one that this archive, or the SOP Class, offers",
}
_FAULT = "a fault of this archive; the log tells of it"
_UNREADABLE = "the identifier is no data set"
_RIGHT = "the peer lacks the right to"
_N_FAULT = "the data set cannot be read, or a fault of this archive; the log tells of it"
_N_RESOURCES = "the index is away, or the data set is larger than the limit"
_NO_IDENTIFIER = "the request has no identifier"

_FIND: Mapping[int, str] = {
    statuses.SUCCESS: "every match was answered",
    statuses.PENDING: "a match; every key was matched and is returned",
    statuses.PENDING_UNSUPPORTED_KEYS: "a match; some keys of the request are neither matched nor returned",
    statuses.CANCEL: "the requester cancelled",
    statuses.NOT_AUTHORIZED: f"{_RIGHT} query, or worklist for the modality worklist, workitems for these",
    statuses.MISTYPED_ARGUMENT: _NO_IDENTIFIER,
    statuses.OUT_OF_RESOURCES: "the index is away, or a limit is passed: identifier, wildcards, patterns",
    statuses.IDENTIFIER_MISMATCH: "the level or a unique key above it is missing or does not fit the model; of a "
    "worklist: a sequence has several items, or another key has one",
    statuses.UNABLE_TO_PROCESS: f"{_UNREADABLE}, or a value in it cannot be read: a reversed range, a day that does "
    "not exist, a UID that is none",
    INTERNAL_ERROR: _FAULT,
}
_GET: Mapping[int, str] = {
    statuses.SUCCESS: "every sub-operation succeeded, or there was none to do",
    statuses.PENDING: "sub-operations go on; at the latest every `limits.pending_interval`",
    statuses.CANCEL: "the requester cancelled; the counts say how far it came",
    statuses.SUBOPERATIONS_FAILED: "some sub-operations failed, or were answered with a warning",
    statuses.NOT_AUTHORIZED: f"{_RIGHT} retrieve",
    statuses.MISTYPED_ARGUMENT: _NO_IDENTIFIER,
    statuses.CANNOT_COUNT_MATCHES: "the index is away, or the identifier is larger than the limit",
    statuses.CANNOT_PERFORM_SUBOPERATIONS: "no sub-operation succeeded, or too many retrieves go on "
    "(`limits.sub_operations`)",
    statuses.IDENTIFIER_MISMATCH: "the level or a unique key is missing or does not fit the model",
    statuses.UNABLE_TO_PROCESS: _UNREADABLE,
    INTERNAL_ERROR: _FAULT,
}

ANSWERS: Mapping[str, Mapping[int, str]] = {
    "any": _ANY,
    "C-ECHO": {statuses.SUCCESS: "always"},
    "C-STORE": {
        statuses.SUCCESS: "the instance is durable and findable",
        statuses.INVALID_SOP_INSTANCE: "the SOP Instance UID breaks the rules of construction",
        statuses.SOP_CLASS_NOT_SUPPORTED: "the SOP Class is no storage class",
        statuses.NOT_AUTHORIZED: f"{_RIGHT} store",
        statuses.MISTYPED_ARGUMENT: "the request has no data set",
        statuses.OUT_OF_RESOURCES: "no room, the volume refused a write, the index is away, or a limit is passed: "
        "try again later",
        statuses.DATA_SET_MISMATCH: "the data set contradicts the request, or lacks one of its UIDs",
        statuses.CANNOT_UNDERSTAND: "the data set cannot be read in the transfer syntax that was agreed",
        INTERNAL_ERROR: _FAULT,
        CONFLICT_REFUSED: "another instance is kept under this UID, and the peer has `refuse_conflicts`",
    },
    "C-FIND": _FIND,
    "C-MOVE": {
        **_GET,
        statuses.NOT_AUTHORIZED: f"{_RIGHT} retrieve, or to name this destination",
        statuses.MOVE_DESTINATION_UNKNOWN: "the move destination is no peer of this archive",
    },
    "C-GET": _GET,
    # Of the N- services: those of PS3.7 10.1 that one of the SOP classes here produces.
    "N-ACTION": {
        statuses.SUCCESS: "storage commitment: the request is durable, its result follows; workitem: what was asked "
        "for is done, durably, and subscribers are told",
        statuses.PROCESSING_FAILURE: _N_FAULT,
        statuses.NO_SUCH_SOP_INSTANCE: "storage commitment: not its well-known instance",
        statuses.INVALID_ARGUMENT_VALUE: "storage commitment: the Transaction UID or the sequence of references is "
        "missing, empty, or holds what is no UID; workitem: the state or the lock is none of its terms, or a filtered "
        "subscription has nothing to match",
        statuses.NO_SUCH_ACTION: "storage commitment: another action type than 1; workitem: one that the negotiated "
        "class does not have",
        statuses.NOT_AUTHORIZED: f"{_RIGHT} commit, or workitems",
        statuses.RESOURCE_LIMITATION: _N_RESOURCES,
        statuses.UPS_ALREADY_CANCELED: "workitem: it is CANCELED already",
        statuses.UPS_ALREADY_COMPLETED_WARNING: "workitem: to COMPLETED, which it is already",
        statuses.UPS_MAY_NOT_BE_UPDATED: "workitem: it is final",
        statuses.UPS_WRONG_TRANSACTION: "workitem: the Transaction UID is missing, or not that of its performer",
        statuses.UPS_ALREADY_IN_PROGRESS: "workitem: to IN PROGRESS, which it is already",
        statuses.UPS_SCHEDULED_BY_CREATE_ONLY: "workitem: to SCHEDULED",
        statuses.UPS_FINAL_STATE_NOT_MET: "workitem: to COMPLETED, and what was performed was not said (PS3.4 Table "
        "CC.2.5-3)",
        statuses.UPS_NO_SUCH_WORKITEM: "workitem: none of this UID, or none any more",
        statuses.UPS_UNKNOWN_RECEIVER: "workitem: the Receiving AE is no peer with the right workitems",
        statuses.UPS_NOT_IN_PROGRESS: "workitem: to a final state from SCHEDULED",
        statuses.UPS_ALREADY_COMPLETED: "workitem: a cancel of what is COMPLETED is asked for",
        statuses.UPS_PERFORMER_UNREACHABLE: "workitem: a cancel of what is IN PROGRESS is asked for, and nobody has "
        "subscribed to it",
        statuses.UPS_NOT_APPROPRIATE: "workitem: a state or a cancel for a well-known instance, or another one is to "
        "be suspended",
    },
    "N-EVENT-REPORT": {
        statuses.SUCCESS: "storage commitment: the result of a request of this archive is durable, now or already",
        statuses.PROCESSING_FAILURE: _N_FAULT,
        statuses.NO_SUCH_SOP_INSTANCE: "storage commitment: not its well-known instance",
        statuses.NO_SUCH_EVENT_TYPE: "storage commitment: another event type than 1 and 2",
        statuses.INVALID_ARGUMENT_VALUE: "storage commitment: no request of this Transaction UID was made to this peer",
        statuses.RESOURCE_LIMITATION: _N_RESOURCES,
    },
    "N-CREATE": {
        statuses.SUCCESS: "instance availability: the notification is durable; performed step: it is begun, durably; "
        "workitem: it is SCHEDULED, durably",
        statuses.INVALID_ATTRIBUTE_VALUE: "instance availability: the availability is none of its terms; performed "
        "step: its status is not IN PROGRESS, or a date, time or UID is none; workitem: priority or readiness is none "
        "of their terms, or what only its performer says is not empty",
        statuses.PROCESSING_FAILURE: _N_FAULT,
        statuses.DUPLICATE_SOP_INSTANCE: "a notification, performed step or workitem of this UID is kept already",
        statuses.INVALID_SOP_INSTANCE: "the SOP Instance UID breaks the rules of construction",
        statuses.MISSING_ATTRIBUTE: "an attribute of type 1 is missing",
        statuses.MISSING_ATTRIBUTE_VALUE: "an attribute of type 1 is empty",
        statuses.NOT_AUTHORIZED: f"{_RIGHT} notify, worklist for performed steps, or workitems",
        statuses.RESOURCE_LIMITATION: _N_RESOURCES,
        statuses.UPS_CREATED_WITH_MODIFICATIONS: "workitem: attributes of type 2 were missing, or it had no Worklist "
        "Label (`workitems.label`)",
        statuses.UPS_NOT_SCHEDULED: "workitem: its state is not SCHEDULED",
    },
    "N-SET": {
        statuses.SUCCESS: "performed step, workitem: the change is durable",
        statuses.ATTRIBUTE_LIST_ERROR: "performed step: the change is durable, but for attributes that an N-SET "
        "may not change (PS3.4 table F.7.2-1), which are listed",
        statuses.INVALID_ATTRIBUTE_VALUE: "performed step: its status is none of the three, or a date, time or UID "
        "is none; workitem: priority or readiness is none of their terms, or its state is to be set",
        statuses.PROCESSING_FAILURE: "performed step: it is final already, with the comment and Error ID A710 of PS3.4 "
        f"table F.7.2-2; or {_N_FAULT}",
        statuses.NO_SUCH_SOP_INSTANCE: "performed step: none of this UID",
        statuses.MISSING_ATTRIBUTE: "performed step: it is to become final, and an end or its series were never sent",
        statuses.MISSING_ATTRIBUTE_VALUE: "performed step: it is to become final, and an end or its series are empty; "
        "workitem: an attribute of type 1 is to be empty",
        statuses.NOT_AUTHORIZED: f"{_RIGHT} worklist or workitems, or another application entity performs this step",
        statuses.RESOURCE_LIMITATION: _N_RESOURCES,
        statuses.UPS_COERCED: "workitem: the change is durable, but for what only this archive sets (UIDs, "
        "Modification DateTime)",
        statuses.UPS_MAY_NOT_BE_UPDATED: "workitem: it is final",
        statuses.UPS_WRONG_TRANSACTION: "workitem: it is IN PROGRESS, and the Transaction UID is not that of its "
        "performer",
        statuses.UPS_NO_SUCH_WORKITEM: "workitem: none of this UID, or none any more",
        statuses.UPS_NOT_IN_PROGRESS: "workitem: it is SCHEDULED, and a Transaction UID came",
    },
    "N-GET": {
        statuses.SUCCESS: "performed step, workitem: everything that was asked for",
        statuses.OPTIONAL_ATTRIBUTES_UNSUPPORTED: "performed step: what is known of what was asked for; the rest is "
        "listed",
        statuses.PROCESSING_FAILURE: _N_FAULT,
        statuses.NO_SUCH_SOP_INSTANCE: "performed step: none of this UID that this application entity may see",
        statuses.NOT_AUTHORIZED: f"{_RIGHT} worklist or workitems",
        statuses.RESOURCE_LIMITATION: _N_RESOURCES,
        statuses.UPS_NO_SUCH_WORKITEM: "workitem: none of this UID, or none any more",
    },
}


def is_listed(service: str, status: int) -> bool:
    """Whether a service answers this status, as far as this list knows."""
    return status in ANSWERS["any"] or status in ANSWERS.get(service, {})
