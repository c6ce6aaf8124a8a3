"""An accepted presentation context: the roles of this side in it, and which requests belong to it."""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.standard.sop_classes import UPS_CLASSES, UPS_PUSH
from vesalius.wire.dimse_commands import CommandField


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context and the roles of this side in it (PS3.7 D.3.3.4)."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    as_scp: bool


def may_be_asked(context: Context, field: int) -> bool:
    """Whether this side's role lets the peer invoke the operation here (PS3.7 7.5).

    Events go from the SCP to the SCU. One that comes without role selection is listened to all the same (PS3.7
    D.3.3.4): many senders do not know of it, and what it is about was asked for by this side.
    """
    return context.as_scp or field == CommandField.N_EVENT_REPORT_RQ


def belongs(named: str, context: Context) -> bool:
    """Whether a request names the class of its context; all of UPS act on instances of UPS Push (PS3.4 CC.3.1)."""
    return named == context.abstract_syntax or (named == UPS_PUSH and context.abstract_syntax in UPS_CLASSES)
