"""DIMSE status codes (PS3.7 annex C, PS3.4 tables B.2-1, C.4-1, C.4-2, C.4-3)."""

from __future__ import annotations

import enum

# General, PS3.7 annex C
SUCCESS = 0x0000
OPTIONAL_ATTRIBUTES_UNSUPPORTED = 0x0001  # warning, PS3.4 table F.8.2-2
ATTRIBUTE_LIST_ERROR = 0x0107  # warning, C.4.2
ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116  # warning, C.4.3
NO_SUCH_ATTRIBUTE = 0x0105  # C.5.9
INVALID_ATTRIBUTE_VALUE = 0x0106  # C.5.11
PROCESSING_FAILURE = 0x0110  # C.5.13
DUPLICATE_SOP_INSTANCE = 0x0111  # C.5.6
NO_SUCH_SOP_INSTANCE = 0x0112  # C.5.8
NO_SUCH_EVENT_TYPE = 0x0113  # C.5.10
NO_SUCH_ARGUMENT = 0x0114  # C.5.12
INVALID_ARGUMENT_VALUE = 0x0115  # C.5.7
INVALID_SOP_INSTANCE = 0x0117  # C.5.14
NO_SUCH_SOP_CLASS = 0x0118  # C.5.15
CLASS_INSTANCE_CONFLICT = 0x0119  # C.5.4
MISSING_ATTRIBUTE = 0x0120  # C.5.16
MISSING_ATTRIBUTE_VALUE = 0x0121  # C.5.17
SOP_CLASS_NOT_SUPPORTED = 0x0122  # C.5.18
NO_SUCH_ACTION = 0x0123  # C.5.19
NOT_AUTHORIZED = 0x0124  # C.5.20
DUPLICATE_INVOCATION = 0x0210  # C.5.5
UNRECOGNIZED_OPERATION = 0x0211  # C.5.21
MISTYPED_ARGUMENT = 0x0212  # C.5.22
RESOURCE_LIMITATION = 0x0213  # C.5.23

# Storage, PS3.4 table B.2-1
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
COERCION_OF_DATA_ELEMENTS = 0xB000  # warning
ELEMENTS_DISCARDED = 0xB006  # warning
DATA_SET_DOES_NOT_MATCH_CLASS = 0xB007  # warning

# Query and retrieve, PS3.4 tables C.4-1, C.4-2 and C.4-3
PENDING = 0xFF00
PENDING_UNSUPPORTED_KEYS = 0xFF01
CANCEL = 0xFE00
IDENTIFIER_MISMATCH = 0xA900
UNABLE_TO_PROCESS = 0xC000
CANNOT_COUNT_MATCHES = 0xA701
CANNOT_PERFORM_SUBOPERATIONS = 0xA702
MOVE_DESTINATION_UNKNOWN = 0xA801
SUBOPERATIONS_FAILED = 0xB000  # warning: complete, one or more failures

# Unified Procedure Step, PS3.4 tables CC.2.1-2, CC.2.2-2, CC.2.3-3, CC.2.5-2 and CC.2.6-2
UPS_CREATED_WITH_MODIFICATIONS = 0xB300  # warning
UPS_LOCK_NOT_GRANTED = 0xB301  # warning
UPS_ALREADY_CANCELED = 0xB304  # warning
UPS_COERCED = 0xB305  # warning
UPS_ALREADY_COMPLETED_WARNING = 0xB306
UPS_MAY_NOT_BE_UPDATED = 0xC300
UPS_WRONG_TRANSACTION = 0xC301
UPS_ALREADY_IN_PROGRESS = 0xC302
UPS_SCHEDULED_BY_CREATE_ONLY = 0xC303
UPS_FINAL_STATE_NOT_MET = 0xC304
UPS_NO_SUCH_WORKITEM = 0xC307
UPS_UNKNOWN_RECEIVER = 0xC308
UPS_NOT_SCHEDULED = 0xC309
UPS_NOT_IN_PROGRESS = 0xC310
UPS_ALREADY_COMPLETED = 0xC311
UPS_PERFORMER_UNREACHABLE = 0xC312
UPS_PERFORMER_UNWILLING = 0xC313
UPS_NOT_APPROPRIATE = 0xC314
UPS_NO_EVENTS = 0xC315


_WARNINGS = (OPTIONAL_ATTRIBUTES_UNSUPPORTED, ATTRIBUTE_LIST_ERROR, ATTRIBUTE_VALUE_OUT_OF_RANGE)


class StatusKind(enum.Enum):
    """Status type of PS3.7 annex C."""

    SUCCESS = "success"
    PENDING = "pending"
    CANCEL = "cancel"
    WARNING = "warning"
    FAILURE = "failure"


def kind_of(status: int) -> StatusKind:
    """The type of any status code (PS3.7 C.1 to C.5); service-class specific ones by their first digits."""
    if status == SUCCESS:
        return StatusKind.SUCCESS
    if status in (PENDING, PENDING_UNSUPPORTED_KEYS):
        return StatusKind.PENDING
    if status == CANCEL:
        return StatusKind.CANCEL
    if status in _WARNINGS or status >> 12 == 0xB:
        return StatusKind.WARNING
    return StatusKind.FAILURE


def describe(status: int) -> str:
    """A status for people and logs: "A700 out of resources"."""
    text = _TEXTS.get(status)
    if text is None:
        text = {0xA7: "out of resources", 0xA9: "does not match the SOP Class"}.get(status >> 8) or (
            "cannot understand" if status >> 12 == 0xC else kind_of(status).value
        )
    return f"{status:04X} {text}"


_TEXTS = {
    SUCCESS: "success",
    OPTIONAL_ATTRIBUTES_UNSUPPORTED: "requested optional attributes are not supported",
    ATTRIBUTE_LIST_ERROR: "attribute list error",
    ATTRIBUTE_VALUE_OUT_OF_RANGE: "attribute value out of range",
    NO_SUCH_ATTRIBUTE: "no such attribute",
    INVALID_ATTRIBUTE_VALUE: "invalid attribute value",
    PROCESSING_FAILURE: "processing failure",
    DUPLICATE_SOP_INSTANCE: "duplicate SOP instance",
    NO_SUCH_SOP_INSTANCE: "no such SOP instance",
    NO_SUCH_EVENT_TYPE: "no such event type",
    NO_SUCH_ARGUMENT: "no such argument",
    INVALID_ARGUMENT_VALUE: "invalid argument value",
    INVALID_SOP_INSTANCE: "invalid SOP instance",
    NO_SUCH_SOP_CLASS: "no such SOP class",
    CLASS_INSTANCE_CONFLICT: "class-instance conflict",
    MISSING_ATTRIBUTE: "missing attribute",
    MISSING_ATTRIBUTE_VALUE: "missing attribute value",
    SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    NO_SUCH_ACTION: "no such action",
    NOT_AUTHORIZED: "not authorized",
    DUPLICATE_INVOCATION: "duplicate invocation",
    UNRECOGNIZED_OPERATION: "unrecognized operation",
    MISTYPED_ARGUMENT: "mistyped argument",
    RESOURCE_LIMITATION: "resource limitation",
    CANNOT_COUNT_MATCHES: "unable to calculate number of matches",
    CANNOT_PERFORM_SUBOPERATIONS: "unable to perform sub-operations",
    MOVE_DESTINATION_UNKNOWN: "move destination unknown",
    CANCEL: "cancel",
    PENDING: "pending",
    PENDING_UNSUPPORTED_KEYS: "pending, some optional keys not supported",
    COERCION_OF_DATA_ELEMENTS: "warning: coercion of data elements, or some sub-operations failed",
    ELEMENTS_DISCARDED: "warning: elements discarded",
    DATA_SET_DOES_NOT_MATCH_CLASS: "warning: data set does not match SOP class",
    UPS_CREATED_WITH_MODIFICATIONS: "warning: workitem created with modifications",
    UPS_LOCK_NOT_GRANTED: "warning: deletion lock not granted",
    UPS_ALREADY_CANCELED: "warning: workitem is already canceled",
    UPS_COERCED: "warning: invalid values were coerced",
    UPS_ALREADY_COMPLETED_WARNING: "warning: workitem is already completed",
    UPS_MAY_NOT_BE_UPDATED: "workitem may no longer be updated",
    UPS_WRONG_TRANSACTION: "the correct Transaction UID was not provided",
    UPS_ALREADY_IN_PROGRESS: "workitem is already in progress",
    UPS_SCHEDULED_BY_CREATE_ONLY: "a workitem becomes scheduled by N-CREATE only",
    UPS_FINAL_STATE_NOT_MET: "final state requirements are not met",
    UPS_NO_SUCH_WORKITEM: "no such workitem",
    UPS_UNKNOWN_RECEIVER: "receiving AE title is unknown",
    UPS_NOT_SCHEDULED: "state of a new workitem is not scheduled",
    UPS_NOT_IN_PROGRESS: "workitem is not yet in progress",
    UPS_ALREADY_COMPLETED: "workitem is already completed",
    UPS_PERFORMER_UNREACHABLE: "the performer cannot be contacted",
    UPS_PERFORMER_UNWILLING: "the performer chooses not to cancel",
    UPS_NOT_APPROPRIATE: "action not appropriate for this instance",
    UPS_NO_EVENTS: "event reports are not supported",
}
