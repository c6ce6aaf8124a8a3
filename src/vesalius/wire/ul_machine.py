"""The upper layer of one association as a state machine without I/O (PS3.8 9.2).

What it promises: every input goes through the printed table (`ul_table`); the actions are those of Tables
9-6 to 9-9; what must happen outside comes back as effects, in order; any split of the received bytes gives
the same effects. The machine holds no clock: ARTIM is the effects `StartTimer` and `StopTimer` and the input
`timer_expired`.

What it does not do: it does not negotiate (the user answers `AssociationRequested`), it does not know
messages beyond cutting one into PDUs, and it has no idle timer, which the standard does not have either.

One short cut past the table: P-DATA received in Sta6 (DT-2) is by far the most frequent input and is
indicated at once. A test drives it against the table like every other cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from vesalius.wire import dimse_messages, ul_codec
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
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
    Event,
    Indicate,
    ReleaseConfirmed,
    ReleaseRequested,
    Send,
    StartTimer,
    StopTimer,
)
from vesalius.wire.ul_pdus import (
    PDV,
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
    ReleaseRP,
    ReleaseRQ,
)
from vesalius.wire.ul_table import ACTIONS, TABLE, Cause, Role, State

__all__ = [
    "Aborted",
    "AssociationAccepted",
    "AssociationRejected",
    "AssociationRequested",
    "Close",
    "Connect",
    "ConnectionLost",
    "DataReceived",
    "Effect",
    "Event",
    "Indicate",
    "ReleaseConfirmed",
    "ReleaseRequested",
    "Role",
    "Send",
    "StartTimer",
    "State",
    "StopTimer",
    "UpperLayer",
]

SMALLEST_MAXIMUM = 12
"""A maximum length below this leaves no room for one PDV header and data (bad-input U24)."""

_TIMED = frozenset({State.STA2, State.STA5, State.STA7, State.STA13})
"""States in which ARTIM runs; leaving them stops it."""

# What an action is about: the PDU received or to be sent, or the violation that was found.
_Subject = Pdu | RemoteProtocolError | None


class UpperLayer:
    """One association's protocol. Each input returns the effects for the driver to carry out in order.

    A local input that the state table does not allow raises `LocalProtocolError` and changes nothing.
    What comes from outside (bytes, a closed connection, a late timer) never raises.
    """

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

    # --- inputs from the transport -------------------------------------------------------------------

    def connected(self) -> list[Effect]:
        """The transport connection is open: Evt5 for an acceptor (ARTIM starts), Evt2 for a requestor."""
        return self._local(Cause.EVT5 if self.role is Role.ACCEPTOR else Cause.EVT2, None)

    def receive(self, data: bytes | bytearray | memoryview) -> list[Effect]:
        """Bytes from the peer, in any split. Events may hold views into `data` where it is `bytes`."""
        effects: list[Effect] = []
        if self.state is State.STA1:
            return effects
        for pdu in self._decoder.feed(data):
            if self.state is State.STA6 and isinstance(pdu, PDataTF):
                bad = self._foreign_context(pdu)
                if bad is None:
                    effects.append(Indicate(DataReceived(pdu.pdvs)))
                else:
                    self._step(Cause.EVT19, bad, effects)
            else:
                self._receive_pdu(pdu, effects)
        return effects

    def connection_closed(self) -> list[Effect]:
        """The transport connection is gone (Evt17), whoever closed it. Harmless in Sta1."""
        return self._foreign(Cause.EVT17)

    def timer_expired(self) -> list[Effect]:
        """ARTIM expired (Evt18). An expiry that crossed a `StopTimer` on its way is ignored."""
        if not self._artim:
            return []
        return self._foreign(Cause.EVT18)

    # --- inputs from the local user ------------------------------------------------------------------

    def associate(self, rq: AssociateRQ) -> list[Effect]:
        """A-ASSOCIATE request (Evt1): asks for the connection; `connected` then sends the PDU."""
        return self._local(Cause.EVT1, rq)

    def accept(self, ac: AssociateAC) -> list[Effect]:
        """A-ASSOCIATE response, accept (Evt7)."""
        return self._local(Cause.EVT7, ac)

    def reject(self, rj: AssociateRJ) -> list[Effect]:
        """A-ASSOCIATE response, reject (Evt8)."""
        return self._local(Cause.EVT8, rj)

    def send_pdvs(self, pdvs: Sequence[PDV]) -> list[Effect]:
        """P-DATA request (Evt9): exactly one PDU. Raises `LocalProtocolError` if the peer would not take it."""
        pdu = PDataTF(tuple(pdvs))
        if sum(6 + len(pdv.data) for pdv in pdu.pdvs) > self.peer_maximum:
            raise LocalProtocolError("a P-DATA-TF PDU longer than the peer takes")
        return self._local(Cause.EVT9, pdu)

    def send_message(self, context_id: int, command: bytes, dataset: bytes | memoryview | None = None) -> list[Effect]:
        """A whole message as P-DATA (Evt9): few big `Send`s of whole PDUs, each PDU within the peer's maximum."""
        return [effect for part in self._message(context_id, command, dataset) for effect in part]

    def stream_message(
        self, context_id: int, command: bytes, dataset: Iterable[bytes | memoryview]
    ) -> Iterator[list[Effect]]:
        """As `send_message`, but pulls the data set piece by piece, so that the driver can wait for the peer.

        The state is checked before each piece: after an abort the next one raises `LocalProtocolError`.
        """
        return self._message(context_id, command, dataset)

    def release(self) -> list[Effect]:
        """A-RELEASE request (Evt11)."""
        return self._local(Cause.EVT11, ReleaseRQ())

    def release_reply(self) -> list[Effect]:
        """A-RELEASE response (Evt14), in Sta8, Sta9 and Sta12."""
        return self._local(Cause.EVT14, ReleaseRP())

    def abort(self, source: int = AbortSource.SERVICE_USER, reason: int = AbortReason.NOT_SPECIFIED) -> list[Effect]:
        """A-ABORT request (Evt15). Not defined in Sta1, Sta2 and Sta13: there the driver just closes.

        `source` and `reason` other than 0/0 are for violations that only a higher floor can see.
        """
        return self._local(Cause.EVT15, Abort(source, reason))

    # --- walking the table ---------------------------------------------------------------------------

    def _local(self, cause: Cause, subject: _Subject) -> list[Effect]:
        if (cause, self.state) not in TABLE:
            raise LocalProtocolError(f"{cause.value} is not allowed in {self.state.value}")
        effects: list[Effect] = []
        self._step(cause, subject, effects)
        return effects

    def _foreign(self, cause: Cause) -> list[Effect]:
        effects: list[Effect] = []
        if (cause, self.state) in TABLE:
            self._step(cause, None, effects)
        return effects

    def _receive_pdu(self, pdu: Pdu | RemoteProtocolError, effects: list[Effect]) -> None:
        bad = pdu if isinstance(pdu, RemoteProtocolError) else self._invalid(pdu)
        cause = Cause.EVT19 if bad is not None else _CAUSE_OF[type(pdu)]
        if (cause, self.state) in TABLE:
            self._step(cause, bad or pdu, effects)

    def _step(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> None:
        name = TABLE[cause, self.state]
        if isinstance(subject, RemoteProtocolError):
            self.fault = subject
        self.state = _PERFORM[name](self, cause, subject, effects) or ACTIONS[name].next_states[0]
        if self._artim and self.state not in _TIMED:
            self._artim = False
            effects.append(StopTimer())

    def _invalid(self, pdu: Pdu) -> RemoteProtocolError | None:
        """What the codec cannot see: values that are impossible where the PDU is expected."""
        if isinstance(pdu, PDataTF):
            return self._foreign_context(pdu) if self.state is State.STA7 else None
        if isinstance(pdu, AssociateRQ | AssociateAC) and isinstance(pdu, _AWAITED.get(self.state, ())):
            length = pdu.user_information.maximum_length
            if 0 < length < SMALLEST_MAXIMUM:
                return _Impossible(f"a maximum length of {length} leaves no room for data")
        return None

    def _foreign_context(self, pdu: PDataTF) -> RemoteProtocolError | None:
        accepted = self.accepted_contexts
        for pdv in pdu.pdvs:
            if pdv[0] not in accepted:
                return RemoteProtocolError(
                    AbortSource.SERVICE_PROVIDER,
                    AbortReason.INVALID_PARAMETER_VALUE,
                    "a PDV on a presentation context that was not accepted",
                )
        return None

    def _message(
        self, context_id: int, command: bytes, dataset: bytes | memoryview | Iterable[bytes | memoryview] | None
    ) -> Iterator[list[Effect]]:
        if (Cause.EVT9, self.state) not in TABLE:
            raise LocalProtocolError(f"P-DATA is not allowed in {self.state.value}")
        if context_id not in self.accepted_contexts:
            raise LocalProtocolError(f"presentation context {context_id} was not accepted")
        return self._cut(dimse_messages.fragments(context_id, command, dataset, self.peer_maximum))

    def _cut(self, chunks: Iterator[bytes]) -> Iterator[list[Effect]]:
        for data in chunks:
            if (Cause.EVT9, self.state) not in TABLE:
                raise LocalProtocolError(f"P-DATA is not allowed in {self.state.value}")
            yield [Send(data)]

    # --- actions (PS3.8 Tables 9-6 to 9-9). Each returns the next state where it has a choice ----------

    def _start_timer(self, effects: list[Effect]) -> None:
        self._artim = True
        effects.append(StartTimer())

    def _agreed(self, rq_or_ac: AssociateRQ | AssociateAC) -> None:
        length = rq_or_ac.user_information.maximum_length
        self.peer_maximum = min(length, self._send_cap) if length else self._send_cap

    def _ae_1(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        self._rq = subject if isinstance(subject, AssociateRQ) else None
        effects.append(Connect())
        return None

    def _ae_2(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        if self._rq is not None:
            effects.append(Send(ul_codec.encode(self._rq)))
        self._start_timer(effects)  # for the extension Evt18 in Sta5
        return None

    def _ae_3(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, AssociateAC):
            self._agreed(subject)
            proposed = {context.context_id for context in self._rq.contexts} if self._rq else set()
            self.accepted_contexts = _accepted(subject) & proposed
            effects.append(Indicate(AssociationAccepted(subject)))
        return None

    def _ae_4(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, AssociateRJ):
            effects.append(Indicate(AssociationRejected(subject)))
        effects.append(Close())
        return None

    def _ae_5(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        self._start_timer(effects)
        return None

    def _ae_6(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
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

    def _ae_7(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, AssociateAC):
            self.accepted_contexts = _accepted(subject)
            effects.append(Send(ul_codec.encode(subject)))
        return None

    def _send_and_wait(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        """AE-8, AR-1 and AR-4: send the PDU; ARTIM runs until the peer reacts (AR-1: for the extension in Sta7)."""
        self._send(cause, subject, effects)
        self._start_timer(effects)
        return None

    def _send(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        """DT-1, AR-7, AR-9."""
        if subject is not None and not isinstance(subject, RemoteProtocolError):
            effects.append(Send(ul_codec.encode(subject)))
        return None

    def _indicate_data(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        """DT-2 and AR-6; data that still arrive in Sta7 prove that the peer lives."""
        if self._artim:
            self._start_timer(effects)
        if isinstance(subject, PDataTF):
            effects.append(Indicate(DataReceived(subject.pdvs)))
        return None

    def _ar_2(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ReleaseRequested()))
        return None

    def _ar_3(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        effects.extend((Indicate(ReleaseConfirmed()), Close()))
        return None

    def _ar_8(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ReleaseRequested()))
        return State.STA9 if self.role is Role.REQUESTOR else State.STA10

    def _ar_10(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ReleaseConfirmed()))
        return None

    def _aa_1(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        """By a local request with what it says; for a violation 0/0, unless the value itself is impossible (U24)."""
        pdu = Abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
        if isinstance(subject, Abort) and cause is Cause.EVT15:
            pdu = subject
        elif isinstance(subject, _Impossible):
            pdu = Abort(subject.source, subject.reason)
        elif not isinstance(subject, RemoteProtocolError):
            self.fault = _unexpected(cause, self.state)
        effects.append(Send(ul_codec.encode(pdu)))
        self._start_timer(effects)
        return None

    def _aa_2(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        """The extensions tell the user, who waits for a confirmation in Sta5 and Sta7."""
        if self._artim:
            self._artim = False
            effects.append(StopTimer())
        if cause is Cause.EVT18 and self.state in (State.STA5, State.STA7):
            effects.append(Indicate(ConnectionLost("the peer did not answer in time")))
        effects.append(Close())
        return None

    def _aa_3(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        if isinstance(subject, Abort):
            effects.append(Indicate(Aborted(subject.source, subject.reason)))
        effects.append(Close())
        return None

    def _aa_4(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        effects.append(Indicate(ConnectionLost("the transport connection was closed")))
        return None

    def _nothing(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        """AA-6; AR-5 and AA-5, where leaving the state stops the timer."""
        return None

    def _aa_7(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        effects.append(Send(ul_codec.encode(Abort(AbortSource.SERVICE_PROVIDER, _reason(subject)))))
        return None

    def _aa_8(self, cause: Cause, subject: _Subject, effects: list[Effect]) -> State | None:
        if not isinstance(subject, RemoteProtocolError):
            self.fault = _unexpected(cause, self.state)
        reason = _reason(subject)
        detail = self.fault.message if self.fault else ""
        effects.append(Send(ul_codec.encode(Abort(AbortSource.SERVICE_PROVIDER, reason))))
        effects.append(Indicate(Aborted(AbortSource.SERVICE_PROVIDER, reason, by_us=True, detail=detail)))
        self._start_timer(effects)
        return None


class _Impossible(RemoteProtocolError):
    """A value that is legal to encode and impossible to obey: answered 2/6 whatever the state."""

    def __init__(self, message: str) -> None:
        super().__init__(AbortSource.SERVICE_PROVIDER, AbortReason.INVALID_PARAMETER_VALUE, message)


def _accepted(ac: AssociateAC) -> frozenset[int]:
    return frozenset(c.context_id for c in ac.contexts if c.result == ContextResult.ACCEPTANCE)


def _reason(subject: _Subject) -> int:
    return subject.reason if isinstance(subject, RemoteProtocolError) else AbortReason.UNEXPECTED_PDU


def _unexpected(cause: Cause, state: State) -> RemoteProtocolError:
    return RemoteProtocolError(
        AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU, f"unexpected PDU ({cause.value} in {state.value})"
    )


_AWAITED: Mapping[State, type] = MappingProxyType({State.STA2: AssociateRQ, State.STA5: AssociateAC})

_CAUSE_OF: Mapping[type, Cause] = MappingProxyType(
    {
        AssociateAC: Cause.EVT3,
        AssociateRJ: Cause.EVT4,
        AssociateRQ: Cause.EVT6,
        PDataTF: Cause.EVT10,
        ReleaseRQ: Cause.EVT12,
        ReleaseRP: Cause.EVT13,
        Abort: Cause.EVT16,
    }
)

_Perform = Callable[[UpperLayer, Cause, _Subject, list[Effect]], State | None]
_PERFORM: Mapping[str, _Perform] = MappingProxyType(
    {
        "AE-1": UpperLayer._ae_1,
        "AE-2": UpperLayer._ae_2,
        "AE-3": UpperLayer._ae_3,
        "AE-4": UpperLayer._ae_4,
        "AE-5": UpperLayer._ae_5,
        "AE-6": UpperLayer._ae_6,
        "AE-7": UpperLayer._ae_7,
        "AE-8": UpperLayer._send_and_wait,
        "DT-1": UpperLayer._send,
        "DT-2": UpperLayer._indicate_data,
        "AR-1": UpperLayer._send_and_wait,
        "AR-2": UpperLayer._ar_2,
        "AR-3": UpperLayer._ar_3,
        "AR-4": UpperLayer._send_and_wait,
        "AR-5": UpperLayer._nothing,
        "AR-6": UpperLayer._indicate_data,
        "AR-7": UpperLayer._send,
        "AR-8": UpperLayer._ar_8,
        "AR-9": UpperLayer._send,
        "AR-10": UpperLayer._ar_10,
        "AA-1": UpperLayer._aa_1,
        "AA-2": UpperLayer._aa_2,
        "AA-3": UpperLayer._aa_3,
        "AA-4": UpperLayer._aa_4,
        "AA-5": UpperLayer._nothing,
        "AA-6": UpperLayer._nothing,
        "AA-7": UpperLayer._aa_7,
        "AA-8": UpperLayer._aa_8,
    }
)
