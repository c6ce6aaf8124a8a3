"""What each action of the state table does (PS3.8 Tables 9-6 to 9-9), and what it does it to.

`Actions` holds the state of one association and one method per action; `ul_machine.UpperLayer` adds the
inputs and walks the table. An action appends effects and returns the next state where it has a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from vesalius.wire import ul_codec
from vesalius.wire.errors import RemoteProtocolError
from vesalius.wire.ul_events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    Close,
    Connect,
    ConnectionLost,
    DataReceived,
    Effect,
    Indicate,
    ReleaseConfirmed,
    ReleaseRequested,
    Send,
    StartTimer,
    StopTimer,
)
from vesalius.wire.ul_pdus import (
    Abort,
    AbortReason,
    AbortSource,
    AcseReject,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    PDataTF,
    Pdu,
    RejectResult,
    RejectSource,
)
from vesalius.wire.ul_table import Cause, Role, State

SMALLEST_MAXIMUM = 12
"""A maximum length below this leaves no room for one PDV header and data (bad-input U24)."""

# What an action is about: the PDU received or to be sent, or the violation that was found.
Subject: TypeAlias = Pdu | RemoteProtocolError | None


class Actions:
    """The state of one association and the actions that change it."""

    __slots__ = (
        "_artim",
        "_decoder",
        "_rq",
        "_send_cap",
        "accepted_contexts",
        "fault",
        "peer_maximum",
        "role",
        "state",
    )

    def __init__(self, role: Role, *, maximum_length: int = 1 << 20, send_cap: int = 1 << 20) -> None:
        """`maximum_length` is what we tell the peer in our Maximum Length sub-item, and enforce.

        `send_cap` bounds the PDUs that we send to a peer that takes more, or any length (0).
        """
        self.role = role
        self.state = State.STA1
        self.fault: RemoteProtocolError | None = None  # the peer's last violation, for the log
        self.peer_maximum = SMALLEST_MAXIMUM  # variable field of the P-DATA-TF PDUs we send; set by negotiation
        self.accepted_contexts: frozenset[int] = frozenset()
        self._send_cap = send_cap
        self._artim = False
        self._rq: AssociateRQ | None = None
        self._decoder = ul_codec.Decoder(ul_codec.DecoderLimits(p_data=maximum_length))

    def _start_timer(self, effects: list[Effect]) -> None:
        self._artim = True
        effects.append(StartTimer())

    def _agreed(self, rq_or_ac: AssociateRQ | AssociateAC) -> None:
        length = rq_or_ac.user_information.maximum_length
        self.peer_maximum = min(length, self._send_cap) if length else self._send_cap

    def _ae_1(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        self._rq = subject if isinstance(subject, AssociateRQ) else None
        effects.append(Connect())
        return None

    def _ae_2(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        if self._rq is not None:
            effects.append(Send(ul_codec.encode(self._rq)))
        self._start_timer(effects)  # for the extension Evt18 in Sta5
        return None

    def _ae_3(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, AssociateAC):
            self._agreed(subject)
            proposed = {context.context_id for context in self._rq.contexts} if self._rq else set()
            self.accepted_contexts = _accepted(subject) & proposed
            effects.append(Indicate(AssociationAccepted(subject)))
        return None

    def _ae_4(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, AssociateRJ):
            effects.append(Indicate(AssociationRejected(subject)))
        effects.append(Close())
        return None

    def _ae_5(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        self._start_timer(effects)
        return None

    def _ae_6(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """The service provider itself judges the protocol version only (bad-input U11)."""
        if not isinstance(subject, AssociateRQ):
            return None
        if not subject.protocol_version & 1:
            rj = AssociateRJ(
                RejectResult.PERMANENT, RejectSource.PROVIDER_ACSE, AcseReject.PROTOCOL_VERSION_NOT_SUPPORTED
            )
            effects.append(Send(ul_codec.encode(rj)))
            self._start_timer(effects)
            return State.STA13
        self._artim = False
        self._agreed(subject)
        effects.extend((StopTimer(), Indicate(AssociationRequested(subject))))
        return State.STA3

    def _ae_7(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, AssociateAC):
            self.accepted_contexts = _accepted(subject)
            effects.append(Send(ul_codec.encode(subject)))
        return None

    def _send_and_wait(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """AE-8, AR-1 and AR-4: send the PDU; ARTIM runs until the peer reacts (AR-1: for the extension in Sta7)."""
        self._send(cause, subject, effects)
        self._start_timer(effects)
        return None

    def _send(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """DT-1, AR-7, AR-9."""
        if subject is not None and not isinstance(subject, RemoteProtocolError):
            effects.append(Send(ul_codec.encode(subject)))
        return None

    def _indicate_data(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """DT-2 and AR-6; data that still arrive in Sta7 prove that the peer lives."""
        if self._artim:
            self._start_timer(effects)
        if isinstance(subject, PDataTF):
            effects.append(Indicate(DataReceived(subject.pdvs)))
        return None

    def _ar_2(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ReleaseRequested()))
        return None

    def _ar_3(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        effects.extend((Indicate(ReleaseConfirmed()), Close()))
        return None

    def _ar_8(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ReleaseRequested()))
        return State.STA9 if self.role is Role.REQUESTOR else State.STA10

    def _ar_10(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ReleaseConfirmed()))
        return None

    def _aa_1(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """By a local request with what it says; for a violation 0/0, unless the value itself is impossible (U24)."""
        pdu = Abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
        if isinstance(subject, Abort) and cause is Cause.EVT15:
            pdu = subject
        elif isinstance(subject, Impossible):
            pdu = Abort(subject.source, subject.reason)
        elif not isinstance(subject, RemoteProtocolError):
            self.fault = _unexpected(cause, self.state)
        effects.append(Send(ul_codec.encode(pdu)))
        self._start_timer(effects)
        return None

    def _aa_2(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """The extensions tell the user, who waits for a confirmation in Sta5 and Sta7."""
        if self._artim:
            self._artim = False
            effects.append(StopTimer())
        if cause is Cause.EVT18 and self.state in (State.STA5, State.STA7):
            effects.append(Indicate(ConnectionLost("the peer did not answer in time")))
        effects.append(Close())
        return None

    def _aa_3(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, Abort):
            effects.append(Indicate(Aborted(subject.source, subject.reason)))
        effects.append(Close())
        return None

    def _aa_4(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ConnectionLost("the transport connection was closed")))
        return None

    def _nothing(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        """AA-6; AR-5 and AA-5, where leaving the state stops the timer."""
        return None

    def _aa_7(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        effects.append(Send(ul_codec.encode(Abort(AbortSource.SERVICE_PROVIDER, _reason(subject)))))
        return None

    def _aa_8(self, cause: Cause, subject: Subject, effects: list[Effect]) -> State | None:
        if not isinstance(subject, RemoteProtocolError):
            self.fault = _unexpected(cause, self.state)
        reason = _reason(subject)
        detail = self.fault.message if self.fault else ""
        effects.append(Send(ul_codec.encode(Abort(AbortSource.SERVICE_PROVIDER, reason))))
        effects.append(Indicate(Aborted(AbortSource.SERVICE_PROVIDER, reason, by_us=True, detail=detail)))
        self._start_timer(effects)
        return None


class Impossible(RemoteProtocolError):
    """A value that is legal to encode and impossible to obey: answered 2/6 whatever the state."""

    def __init__(self, message: str) -> None:
        super().__init__(AbortSource.SERVICE_PROVIDER, AbortReason.INVALID_PARAMETER_VALUE, message)


def _accepted(ac: AssociateAC) -> frozenset[int]:
    return frozenset(c.context_id for c in ac.contexts if c.result == ContextResult.ACCEPTANCE)


def _reason(subject: Subject) -> int:
    return subject.reason if isinstance(subject, RemoteProtocolError) else AbortReason.UNEXPECTED_PDU


def _unexpected(cause: Cause, state: State) -> RemoteProtocolError:
    return RemoteProtocolError(
        AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU, f"unexpected PDU ({cause.value} in {state.value})"
    )


Perform: TypeAlias = Callable[[Actions, Cause, Subject, list[Effect]], State | None]
PERFORM: Mapping[str, Perform] = MappingProxyType(
    {
        "AE-1": Actions._ae_1,
        "AE-2": Actions._ae_2,
        "AE-3": Actions._ae_3,
        "AE-4": Actions._ae_4,
        "AE-5": Actions._ae_5,
        "AE-6": Actions._ae_6,
        "AE-7": Actions._ae_7,
        "AE-8": Actions._send_and_wait,
        "DT-1": Actions._send,
        "DT-2": Actions._indicate_data,
        "AR-1": Actions._send_and_wait,
        "AR-2": Actions._ar_2,
        "AR-3": Actions._ar_3,
        "AR-4": Actions._send_and_wait,
        "AR-5": Actions._nothing,
        "AR-6": Actions._indicate_data,
        "AR-7": Actions._send,
        "AR-8": Actions._ar_8,
        "AR-9": Actions._send,
        "AR-10": Actions._ar_10,
        "AA-1": Actions._aa_1,
        "AA-2": Actions._aa_2,
        "AA-3": Actions._aa_3,
        "AA-4": Actions._aa_4,
        "AA-5": Actions._nothing,
        "AA-6": Actions._nothing,
        "AA-7": Actions._aa_7,
        "AA-8": Actions._aa_8,
    }
)
