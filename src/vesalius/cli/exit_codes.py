"""The command line's lookup of the one error tree: from what went wrong to an exit code that scripts can trust.

0 done; 1 something was refused or failed in part; 2 wrong use, wrong setting or nothing done; 3 a peer could not be
reached or refused; 4 not found; 5 the store is damaged. A shell's own codes (130 for Ctrl-C) stay its own.
"""

from __future__ import annotations

from vesalius.model import errors

OK = 0
FAILED = 1
USAGE = 2
PEER = 3
NOT_FOUND = 4
DAMAGED = 5
INTERRUPTED = 130

EXIT_CODE_OF: dict[type[errors.VesaliusError], int] = {
    errors.VesaliusError: FAILED,
    errors.OutOfResources: FAILED,
    errors.VolumeReadOnly: FAILED,
    errors.LimitExceeded: FAILED,
    errors.IndexUnavailable: FAILED,
    errors.DataSetMismatch: FAILED,
    errors.CannotUnderstand: FAILED,
    errors.InvalidInstanceUID: FAILED,
    errors.ClassNotSupported: FAILED,
    errors.NotAuthorized: PEER,
    errors.DuplicateRefused: FAILED,
    errors.NoSuchInstance: NOT_FOUND,
    errors.IdentifierMismatch: USAGE,
    errors.UnableToProcess: USAGE,
    errors.DestinationUnknown: USAGE,
    errors.PeerUnreachable: PEER,
    errors.DamagedInstance: DAMAGED,
    errors.CannotTranscode: FAILED,
    errors.NoVolume: FAILED,
    errors.NoSuchRecord: NOT_FOUND,
    errors.DuplicateRecord: FAILED,
    errors.BadRecord: USAGE,
    errors.WrongState: FAILED,
    errors.SlotTaken: FAILED,
    errors.SettingsError: USAGE,
}


def exit_code(error: BaseException) -> int:
    """The code for an error; 1 for anything outside the tree."""
    for cls in type(error).__mro__:
        if cls in EXIT_CODE_OF:
            return EXIT_CODE_OF[cls]
    return FAILED
