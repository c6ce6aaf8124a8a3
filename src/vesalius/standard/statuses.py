"""DIMSE status codes (PS3.7 annex C, PS3.4 tables B.2-1, C.4-1, C.4-2, C.4-3)."""

from __future__ import annotations

import enum

# General, PS3.7 annex C
SUCCESS = 0x0000
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
    if status in (0x0001, ATTRIBUTE_LIST_ERROR, ATTRIBUTE_VALUE_OUT_OF_RANGE) or status >> 12 == 0xB:
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
}
