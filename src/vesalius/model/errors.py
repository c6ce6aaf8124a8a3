"""One tree of errors for every edge.

A verb of the archive raises one of these; each edge holds one table from the class to its own
code (DIMSE status, HTTP status, exit code). A test asserts that the tables have the same keys.

An error tells the person what is wrong, where, and what to do: `message` says what and where,
`hint` says what to do. Neither may hold patient data: both are logged and sent over the wire.
"""

from __future__ import annotations

from collections.abc import Sequence


class VesaliusError(Exception):
    """Root of the tree: what is wrong, the elements concerned, and what to do about it."""

    def __init__(self, message: str, *, hint: str = "", offending: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offending = tuple(offending)


class OutOfResources(VesaliusError):
    """No room or no way to keep it now; the sender should try again later (PS3.4 B.2.3: A700)."""


class VolumeReadOnly(OutOfResources):
    """The volume refused a write or a sync once, so nothing more is written to it."""


class LimitExceeded(OutOfResources):
    """A configured limit (header size, inflated size, object size, wildcards) was passed."""


class DataSetMismatch(VesaliusError):
    """The data set contradicts the request, or lacks the UIDs that identify it (PS3.4 B.2.3: A900)."""


class CannotUnderstand(VesaliusError):
    """The bytes are not a data set in the transfer syntax that was agreed (PS3.4 B.2.3: C000)."""


class InvalidInstanceUID(VesaliusError):
    """The SOP Instance UID breaks the construction rules (PS3.5 9.1; PS3.7: 0117)."""


class ClassNotSupported(VesaliusError):
    """The SOP Class is not one that this archive stores or serves (PS3.7: 0122)."""


class NotAuthorized(VesaliusError):
    """The peer is known but has no right to this (PS3.7: 0124)."""


class DuplicateRefused(VesaliusError):
    """Another instance with this UID and other content is kept, and the source's policy is to refuse."""


class NoSuchInstance(VesaliusError):
    """Nothing is kept under this UID (PS3.7: 0112)."""


class IdentifierMismatch(VesaliusError):
    """The identifier of a query or retrieve does not fit its information model or level (A900)."""


class UnableToProcess(VesaliusError):
    """A query value that cannot be read: reversed range, bad date, bad UID (PS3.4 C.4.1.1.4: C000)."""


class DestinationUnknown(VesaliusError):
    """The move destination is not a peer of this archive (PS3.4 C.4.2.1.5: A801)."""


class PeerUnreachable(VesaliusError):
    """A peer refused, broke or never answered an association."""


class DamagedInstance(VesaliusError):
    """No copy of the instance has the digest it was received with; it is never served."""


class CannotTranscode(VesaliusError):
    """No codec turns these pixels into the transfer syntax that was asked for."""


class NoVolume(VesaliusError):
    """These instances, or this one, make no volume in the patient; the message says why."""


class NoSuchRecord(VesaliusError):
    """There is no patient, order, step, station, ... under this number (PS3.7: 0112)."""


class DuplicateRecord(VesaliusError):
    """A record with this number or UID is kept already (PS3.7: 0111)."""


class BadRecord(VesaliusError):
    """A record that cannot be kept as it is: something is missing, too long, or no value at all (PS3.7: 0106)."""


class WrongState(VesaliusError):
    """The state that a record is in does not allow this (PS3.4 F.7.2.2.4: 0110)."""


class SlotTaken(WrongState):
    """The station is taken or closed at that time."""


class IndexUnavailable(OutOfResources):
    """The index (database) cannot be reached; nothing is acknowledged until it can."""

    # Whether it is certain that nothing of the transaction was committed, and never will be.
    undone: bool = False


class SettingsError(VesaliusError):
    """A setting, command line argument or configuration file is wrong."""
