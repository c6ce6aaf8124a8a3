"""The DIMSE edge's lookup of the one error tree: from what went wrong to a status code.

Sources: PS3.7 Annex C for the general codes, PS3.4 B.2.3 for Storage, PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4 for
Query/Retrieve. A status travels with up to two companions: the Offending Element (0000,0901) and an Error
Comment (0000,0902), which is an LO: at most 64 characters, and ASCII here because a command set has no
character set (PS3.7 6.3.1). Neither may hold patient data, which `model/errors.py` promises.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.model import errors
from vesalius.standard import statuses
from vesalius.standard.statuses import StatusKind, kind_of

# In the range "cannot understand" because PS3.4 B.2.3 has no code for a refusal by policy, and 0111 is not on its list.
CONFLICT_REFUSED = 0xC111
# A fault of ours. 0110 is not on the lists of the C- services; Cxxx is on all of them.
INTERNAL_ERROR = 0xC001

# One entry for every class of the tree; a subclass that differs from its parent has its own.
STATUS_OF: dict[type[errors.VesaliusError], int] = {
    errors.VesaliusError: INTERNAL_ERROR,
    errors.OutOfResources: statuses.OUT_OF_RESOURCES,
    errors.VolumeReadOnly: statuses.OUT_OF_RESOURCES,
    errors.LimitExceeded: statuses.OUT_OF_RESOURCES,
    errors.IndexUnavailable: statuses.OUT_OF_RESOURCES,
    errors.DataSetMismatch: statuses.DATA_SET_MISMATCH,
    errors.CannotUnderstand: statuses.CANNOT_UNDERSTAND,
    errors.InvalidInstanceUID: statuses.INVALID_SOP_INSTANCE,
    errors.ClassNotSupported: statuses.SOP_CLASS_NOT_SUPPORTED,
    errors.NotAuthorized: statuses.NOT_AUTHORIZED,
    errors.DuplicateRefused: CONFLICT_REFUSED,
    errors.NoSuchInstance: statuses.NO_SUCH_SOP_INSTANCE,
    errors.IdentifierMismatch: statuses.IDENTIFIER_MISMATCH,
    errors.UnableToProcess: statuses.UNABLE_TO_PROCESS,
    errors.DestinationUnknown: statuses.MOVE_DESTINATION_UNKNOWN,
    errors.PeerUnreachable: statuses.CANNOT_PERFORM_SUBOPERATIONS,
    errors.DamagedInstance: statuses.PROCESSING_FAILURE,
    errors.CannotTranscode: statuses.SOP_CLASS_NOT_SUPPORTED,
    errors.NoVolume: statuses.PROCESSING_FAILURE,
    errors.NoSuchRecord: statuses.NO_SUCH_SOP_INSTANCE,
    errors.DuplicateRecord: statuses.DUPLICATE_SOP_INSTANCE,
    errors.BadRecord: statuses.INVALID_ATTRIBUTE_VALUE,
    errors.WrongState: statuses.PROCESSING_FAILURE,
    errors.SlotTaken: statuses.PROCESSING_FAILURE,
    errors.SettingsError: statuses.PROCESSING_FAILURE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its companions, ready for a response."""

    status: int
    comment: str = ""
    offending: tuple[int, ...] = ()
    error_id: int | None = None


def error_comment(text: str) -> str:
    """At most 64 printable ASCII characters without backslash: a legal LO whatever comes in (PS3.5 6.2)."""
    safe = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in " ".join(text.split()))
    return safe if len(safe) <= 64 else safe[:61].rstrip() + "..."


def answer_for(error: BaseException) -> Answer:
    """The status for an error; anything outside the tree is a fault of ours: C001, and its text stays here."""
    for cls in type(error).__mro__:
        status = STATUS_OF.get(cls)
        if status is not None and isinstance(error, errors.VesaliusError):
            return Answer(status, error_comment(error.message), error.offending)
    return Answer(INTERNAL_ERROR, "internal error; see the server's log")


def is_pending(status: int) -> bool:
    """FF00 or FF01: more responses follow (PS3.7 C.1.3)."""
    return kind_of(status) is StatusKind.PENDING


def is_warning(status: int) -> bool:
    """The operation was done, with a remark (PS3.7 C.3)."""
    return kind_of(status) is StatusKind.WARNING


class OperationFailed(errors.VesaliusError):
    """The peer answered an operation of ours with a failure; `status` is its code."""

    def __init__(self, operation: str, status: int, comment: str = "") -> None:
        super().__init__(f"{operation} failed at the peer: {statuses.describe(status)}", hint=comment)
        self.status = status
