"""The HL7 edge's lookup of the one error tree: from what went wrong to a condition of table 0357.

A `Fault` is what an ERR segment says: condition, place, and words without patient data. What is rejected (AR) is a
message that this system does not take whoever sends it; everything else is an error (AE), which the sender may put
right or send again.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.model import errors
from vesalius.standard.hl7_tables import CONDITION_TEXT, REJECTED, Ack, Condition
from vesalius.wire.hl7_message import BadMessage, Place

# One entry for every class of the tree; a test holds the keys against those of the other edges.
CONDITION_OF: dict[type[errors.VesaliusError], Condition] = {
    errors.VesaliusError: Condition.INTERNAL,
    errors.OutOfResources: Condition.INTERNAL,
    errors.VolumeReadOnly: Condition.INTERNAL,
    errors.LimitExceeded: Condition.VALUE_TOO_LONG,
    errors.IndexUnavailable: Condition.INTERNAL,
    errors.DataSetMismatch: Condition.DATA_TYPE,
    errors.CannotUnderstand: Condition.DATA_TYPE,
    errors.InvalidInstanceUID: Condition.DATA_TYPE,
    errors.ClassNotSupported: Condition.UNSUPPORTED_MESSAGE_TYPE,
    errors.NotAuthorized: Condition.UNKNOWN_KEY,
    errors.DuplicateRefused: Condition.DUPLICATE_KEY,
    errors.NoSuchInstance: Condition.UNKNOWN_KEY,
    errors.IdentifierMismatch: Condition.DATA_TYPE,
    errors.UnableToProcess: Condition.DATA_TYPE,
    errors.DestinationUnknown: Condition.UNKNOWN_KEY,
    errors.PeerUnreachable: Condition.INTERNAL,
    errors.DamagedInstance: Condition.INTERNAL,
    errors.CannotTranscode: Condition.INTERNAL,
    errors.NoVolume: Condition.INTERNAL,
    errors.NoSuchRecord: Condition.UNKNOWN_KEY,
    errors.DuplicateRecord: Condition.DUPLICATE_KEY,
    errors.BadRecord: Condition.DATA_TYPE,
    errors.WrongState: Condition.RECORD_LOCKED,
    errors.SlotTaken: Condition.RECORD_LOCKED,
    errors.SettingsError: Condition.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong with a message."""

    condition: Condition
    place: Place | None = None
    text: str = ""

    @property
    def code(self) -> Ack:
        """AR or AE."""
        return Ack.AR if self.condition in REJECTED else Ack.AE

    @property
    def passing(self) -> bool:
        """Whether it is a fault of ours: the same message may be taken the next time."""
        return self.condition is Condition.INTERNAL

    def __str__(self) -> str:
        words = f"{int(self.condition)} {self.text or CONDITION_TEXT[self.condition]}"
        return f"{words} ({self.place})" if self.place else words


def fault_of(error: BaseException) -> Fault:
    """What an error says to the sender. What is none of the tree is a fault of ours, and its words stay inside."""
    if isinstance(error, BadMessage):
        return Fault(error.condition, error.place, error.text)
    if isinstance(error, errors.VesaliusError):
        for kind in type(error).__mro__:
            if kind in CONDITION_OF:
                return Fault(CONDITION_OF[kind], None, error.message)
    return Fault(Condition.INTERNAL)
