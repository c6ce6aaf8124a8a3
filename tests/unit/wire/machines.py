"""Upper layers brought into each state by honest inputs only, and PDUs to feed them."""

from __future__ import annotations

from collections.abc import Callable

from vesalius.wire.ul_codec import encode
from vesalius.wire.ul_events import Effect, Send
from vesalius.wire.ul_machine import UpperLayer
from vesalius.wire.ul_pdus import (
    PDV,
    Abort,
    AcceptedContext,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    PDataTF,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
    UserInformation,
)
from vesalius.wire.ul_table import Cause, Role, State

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

INFO = UserInformation(maximum_length=16384, implementation_class_uid="1.2.3", implementation_version="TEST")
RQ = AssociateRQ("CALLED", "CALLING", (ProposedContext(1, VERIFICATION, (IMPLICIT,)),), INFO)
AC = AssociateAC("CALLED", "CALLING", (AcceptedContext(1, ContextResult.ACCEPTANCE, IMPLICIT),), INFO)
RJ = AssociateRJ(1, 1, 7)
DATA = PDataTF((PDV(1, True, True, b"xx"),))
INVALID = bytes.fromhex("ff00 00000002 0000".replace(" ", ""))

RECEIVED = {
    Cause.EVT3: encode(AC),
    Cause.EVT4: encode(RJ),
    Cause.EVT6: encode(RQ),
    Cause.EVT10: encode(DATA),
    Cause.EVT12: encode(ReleaseRQ()),
    Cause.EVT13: encode(ReleaseRP()),
    Cause.EVT16: encode(Abort(0, 0)),
    Cause.EVT19: INVALID,
}

LOCAL: dict[Cause, Callable[[UpperLayer], list[Effect]]] = {
    Cause.EVT1: lambda upper: upper.associate(RQ),
    Cause.EVT2: lambda upper: upper.connected(),
    Cause.EVT5: lambda upper: upper.connected(),
    Cause.EVT7: lambda upper: upper.accept(AC),
    Cause.EVT8: lambda upper: upper.reject(RJ),
    Cause.EVT9: lambda upper: upper.send_pdvs(DATA.pdvs),
    Cause.EVT11: lambda upper: upper.release(),
    Cause.EVT14: lambda upper: upper.release_reply(),
    Cause.EVT15: lambda upper: upper.abort(),
}


def happen(upper: UpperLayer, cause: Cause) -> list[Effect]:
    """Let one event of the table happen."""
    if cause in RECEIVED:
        return upper.receive(RECEIVED[cause])
    if cause is Cause.EVT17:
        return upper.connection_closed()
    if cause is Cause.EVT18:
        return upper.timer_expired()
    return LOCAL[cause](upper)


E = Cause
_OPEN_REQUESTOR = (E.EVT1, E.EVT2, E.EVT3)
_OPEN_ACCEPTOR = (E.EVT5, E.EVT6, E.EVT7)
# The events that lead from Sta1 to each state, by role.
PATHS: dict[tuple[Role, State], tuple[Cause, ...]] = {
    (Role.REQUESTOR, State.STA1): (),
    (Role.REQUESTOR, State.STA4): (E.EVT1,),
    (Role.REQUESTOR, State.STA5): (E.EVT1, E.EVT2),
    (Role.REQUESTOR, State.STA6): _OPEN_REQUESTOR,
    (Role.REQUESTOR, State.STA7): (*_OPEN_REQUESTOR, E.EVT11),
    (Role.REQUESTOR, State.STA8): (*_OPEN_REQUESTOR, E.EVT12),
    (Role.REQUESTOR, State.STA9): (*_OPEN_REQUESTOR, E.EVT11, E.EVT12),
    (Role.REQUESTOR, State.STA11): (*_OPEN_REQUESTOR, E.EVT11, E.EVT12, E.EVT14),
    (Role.REQUESTOR, State.STA13): (*_OPEN_REQUESTOR, E.EVT15),
    (Role.ACCEPTOR, State.STA1): (),
    (Role.ACCEPTOR, State.STA2): (E.EVT5,),
    (Role.ACCEPTOR, State.STA3): (E.EVT5, E.EVT6),
    (Role.ACCEPTOR, State.STA6): _OPEN_ACCEPTOR,
    (Role.ACCEPTOR, State.STA7): (*_OPEN_ACCEPTOR, E.EVT11),
    (Role.ACCEPTOR, State.STA8): (*_OPEN_ACCEPTOR, E.EVT12),
    (Role.ACCEPTOR, State.STA10): (*_OPEN_ACCEPTOR, E.EVT11, E.EVT12),
    (Role.ACCEPTOR, State.STA12): (*_OPEN_ACCEPTOR, E.EVT11, E.EVT12, E.EVT13),
    (Role.ACCEPTOR, State.STA13): (*_OPEN_ACCEPTOR, E.EVT12, E.EVT14),
}


def machine(role: Role, state: State, *, maximum_length: int = 1 << 20) -> UpperLayer:
    """An upper layer in the given state."""
    upper = UpperLayer(role, maximum_length=maximum_length)
    for cause in PATHS[role, state]:
        happen(upper, cause)
    assert upper.state is state
    return upper


def sent(effects: list[Effect]) -> bytes:
    """The bytes of every Send, joined."""
    return b"".join(effect.data for effect in effects if isinstance(effect, Send))
