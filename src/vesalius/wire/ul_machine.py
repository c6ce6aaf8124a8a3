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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from vesalius.wire import dimse_messages
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_actions import PERFORM, SMALLEST_MAXIMUM, Actions, Impossible, Subject
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
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    PDataTF,
    Pdu,
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

_TIMED = frozenset({State.STA2, State.STA5, State.STA7, State.STA13})
"""States in which ARTIM runs; leaving them stops it."""


class UpperLayer(Actions):
    """One association's protocol. Each input returns the effects for the driver to carry out in order.

    A local input that the state table does not allow raises `LocalProtocolError` and changes nothing.
    What comes from outside (bytes, a closed connection, a late timer) never raises.
    """

    __slots__ = ()

    @property
    def is_mid_pdu(self) -> bool:
        """Whether a PDU has begun to arrive and is not whole yet: a driver that times the network asks."""
        return self._decoder.is_mid_pdu

    # --- inputs from the transport -------------------------------------------------------------------

    def connected(self) -> list[Effect]:
        """The transport connection is open: Evt5 for an acceptor (ARTIM starts), Evt2 for a requestor."""
        return self._local(Cause.EVT5 if self.role is Role.ACCEPTOR else Cause.EVT2, None)

    def receive(self, data: bytes | bytearray | memoryview) -> list[Effect]:
        """Bytes from the peer, in any split."""
        return [] if self.state is State.STA1 else self._indicate(self._decoder.feed(data))

    def room(self) -> memoryview:
        """Where a driver may read the peer's next bytes into, one at least, to say so with `filled`."""
        return self._decoder.room()

    def filled(self, count: int) -> list[Effect]:
        """As `receive`, of bytes in `room`. What events hold of them is valid until `room` is called again."""
        pdus = self._decoder.filled(count)
        return [] if self.state is State.STA1 else self._indicate(pdus)

    def relax(self) -> None:
        """Nothing comes for the time being: let go of memory that waits for it."""
        self._decoder.relax()

    def _indicate(self, pdus: list[Pdu | RemoteProtocolError]) -> list[Effect]:
        effects: list[Effect] = []
        for pdu in pdus:
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

    def _local(self, cause: Cause, subject: Subject) -> list[Effect]:
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

    def _step(self, cause: Cause, subject: Subject, effects: list[Effect]) -> None:
        name = TABLE[cause, self.state]
        if isinstance(subject, RemoteProtocolError):
            self.fault = subject
        self.state = PERFORM[name](self, cause, subject, effects) or ACTIONS[name].next_states[0]
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
                return Impossible(f"a maximum length of {length} leaves no room for data")
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
