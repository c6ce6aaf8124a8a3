"""The DIMSE edge's lookup of the one error tree: from what went wrong to a status code.

Sources: PS3.7 Annex C for the general codes, PS3.4 B.2.3 for Storage, PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4 for
Query/Retrieve. A status travels with up to two companions: the Offending Element (0000,0901) and an Error
Comment (0000,0902), which is an LO: at most 64 characters, and ASCII here because a command set has no
character set (PS3.7 6.3.1). Neither may hold patient data, which `model/errors.py` promises.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.model import errors

SUCCESS = 0x0000
CANCEL = 0xFE00
PENDING = 0xFF00
PENDING_WITH_WARNING = 0xFF01
PROCESSING_FAILURE = 0x0110
INVALID_INSTANCE = 0x0117
CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORIZED = 0x0124
DUPLICATE_INVOCATION = 0x0210
UNRECOGNIZED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
CANNOT_COUNT_MATCHES = 0xA701
CANNOT_PERFORM_SUB_OPERATIONS = 0xA702
DESTINATION_UNKNOWN = 0xA801
IDENTIFIER_MISMATCH = 0xA900
SUB_OPERATIONS_WITH_FAILURES = 0xB000
UNABLE_TO_PROCESS = 0xC000
# In the range "cannot understand" because PS3.4 B.2.3 has no code for a refusal by policy, and 0111 is not on its list.
CONFLICT_REFUSED = 0xC111

# One entry for every class of the tree; a subclass that differs from its parent has its own.
STATUS_OF: dict[type[errors.VesaliusError], int] = {
    errors.VesaliusError: PROCESSING_FAILURE,
    errors.OutOfResources: OUT_OF_RESOURCES,
    errors.VolumeReadOnly: OUT_OF_RESOURCES,
    errors.LimitExceeded: OUT_OF_RESOURCES,
    errors.IndexUnavailable: OUT_OF_RESOURCES,
    errors.DataSetMismatch: IDENTIFIER_MISMATCH,
    errors.CannotUnderstand: UNABLE_TO_PROCESS,
    errors.InvalidInstanceUID: INVALID_INSTANCE,
    errors.ClassNotSupported: CLASS_NOT_SUPPORTED,
    errors.NotAuthorized: NOT_AUTHORIZED,
    errors.DuplicateRefused: CONFLICT_REFUSED,
    errors.NoSuchInstance: 0x0112,
    errors.IdentifierMismatch: IDENTIFIER_MISMATCH,
    errors.UnableToProcess: UNABLE_TO_PROCESS,
    errors.DestinationUnknown: DESTINATION_UNKNOWN,
    errors.PeerUnreachable: CANNOT_PERFORM_SUB_OPERATIONS,
    errors.DamagedInstance: PROCESSING_FAILURE,
    errors.CannotTranscode: CLASS_NOT_SUPPORTED,
    errors.SettingsError: PROCESSING_FAILURE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its companions, ready for a response."""

    status: int
    comment: str = ""
    offending: tuple[int, ...] = ()


def error_comment(text: str) -> str:
    """At most 64 printable ASCII characters without backslash: a legal LO whatever comes in (PS3.5 6.2)."""
    safe = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in " ".join(text.split()))
    return safe if len(safe) <= 64 else safe[:61].rstrip() + "..."


def answer_for(error: BaseException) -> Answer:
    """The status for an error; anything outside the tree is a fault of ours: 0110, and its text stays here."""
    for cls in type(error).__mro__:
        status = STATUS_OF.get(cls)
        if status is not None and isinstance(error, errors.VesaliusError):
            return Answer(status, error_comment(error.message), error.offending)
    return Answer(PROCESSING_FAILURE, "internal error; see the server's log")


def is_pending(status: int) -> bool:
    """FF00 or FF01: more responses follow (PS3.7 C.1.3)."""
    return status in (PENDING, PENDING_WITH_WARNING)


def is_warning(status: int) -> bool:
    """Bxxx and the general warnings: the operation was done, with a remark (PS3.7 C.3)."""
    return status & 0xF000 == 0xB000 or status in (0x0001, 0x0107, 0x0116)
