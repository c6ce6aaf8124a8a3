"""The way to a partner, which can be cut: what downtime looks like from a scanner, whoever the partner is.

Theory. A simulator cannot stop somebody else's archive, but it can pull the cable between: while a line is cut every
association on it is aborted and none is opened. That is all a modality ever sees of a partner's downtime.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from vesalius.dimse import c_echo, contexts
from vesalius.dimse.association import Association as AnyAssociation
from vesalius.dimse.client import IMPLEMENTATION_VERSION, Association
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.n_commitment import result_of
from vesalius.dimse.n_services import NProvider, NRefused, NReply, NRequest
from vesalius.dimse.operations import Handler
from vesalius.dimse.services import DimseSettings, Observer
from vesalius.model.commitments import CommitmentResult
from vesalius.model.entities import Peer
from vesalius.model.errors import PeerUnreachable
from vesalius.model.identifiers import IMPLEMENTATION_CLASS_UID
from vesalius.standard import sop_classes as sop
from vesalius.standard import statuses
from vesalius.wire.dimse_commands import CommandField
from vesalius.wire.ul_events import AssociationRequested, Event
from vesalius.wire.ul_machine import Role, UpperLayer
from vesalius.wire.ul_negotiation import Capacity, IdentityVerdict, Offer, Service, agreement, negotiate
from vesalius.wire.ul_pdus import AssociateAC, AsyncWindow, CommonExtendedNegotiation

# What means that the partner is not there now: try again later.
AWAY = (PeerUnreachable, ConnectionGone, TimeoutError)


class Line:
    """The way to one application entity."""

    def __init__(self, peer: Peer, settings: DimseSettings | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.peer = peer
        self.up = True
        self._settings = settings or DimseSettings()
        self._tls = tls
        self._open: set[Association] = set()

    @asynccontextmanager
    async def open(
        self, calling_aet: str, proposals: Sequence[Proposal], provides: Mapping[int, Handler] | None = None
    ) -> AsyncIterator[Association]:
        """Associate for the time of the block. Raises one of `AWAY`."""
        if not self.up:
            raise PeerUnreachable(f"{self.peer.name}: the line is cut")
        async with Association.open(
            self.peer, proposals, calling_aet=calling_aet, settings=self._settings,
            tls=self._tls if self.peer.tls else None, provides=provides,
        ) as assoc:  # fmt: skip
            self._open.add(assoc)
            try:
                yield assoc
            finally:
                self._open.discard(assoc)

    def cut(self) -> None:
        """Pull the cable."""
        self.up = False
        for assoc in list(self._open):
            assoc.abort(0, 0, "the line was cut")

    def mend(self) -> None:
        """Put it in again."""
        self.up = True


@dataclass(frozen=True, slots=True)
class Partners:
    """Whom a scanner talks to: one machine may be all of them."""

    worklist: Line
    performed: Line
    archive: Line
    commitment: Line

    def distinct(self) -> list[Line]:
        """Each line once."""
        return list({id(one): one for one in (self.worklist, self.performed, self.archive, self.commitment)}.values())


def commitment_events(taken: ResultTaken) -> Mapping[int, Handler]:
    """What a peer may invoke on an association of ours: N-EVENT-REPORT of Storage Commitment."""

    async def perform(request: NRequest) -> NReply:
        if request.sop_class != sop.STORAGE_COMMITMENT:
            raise NRefused(statuses.SOP_CLASS_NOT_SUPPORTED, "only storage commitment is listened for")
        if not await taken.take(result_of(request)):
            raise NRefused(statuses.INVALID_ARGUMENT_VALUE, "no request of this Transaction UID")
        return NReply()

    return {CommandField.N_EVENT_REPORT_RQ: NProvider(perform), CommandField.C_ECHO_RQ: c_echo.provide}


class ResultTaken(Protocol):
    """Who hears of results: every scanner behind one listener."""

    async def take(self, result: CommitmentResult) -> bool:
        """Whether it was for a request of ours; True once it is kept."""


_LISTENS = {
    sop.VERIFICATION: Service(contexts.SERVICE_PREFERENCE),
    sop.STORAGE_COMMITMENT: Service(contexts.SERVICE_PREFERENCE, scu=True, scp=True),
}


class Listener:
    """Listens for the results of storage commitment, under whatever AE title it is called."""

    def __init__(self, taken: ResultTaken, settings: DimseSettings | None = None) -> None:
        self.settings = settings or DimseSettings()
        self.handlers = commitment_events(taken)
        self.connections: set[_Accepted] = set()
        self.up = True
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port (0 takes a free one)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Accepted(self), host, port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Close the port and what came through it."""
        if self._server is not None:
            self._server.close()
        for assoc in list(self.connections):
            assoc.abort(0, 0, "switched off")
        if self._server is not None:
            await self._server.wait_closed()


class _Accepted(AnyAssociation):
    """An association that an archive opened to tell a result."""

    def __init__(self, listener: Listener) -> None:
        upper = UpperLayer(Role.ACCEPTOR, maximum_length=listener.settings.max_pdu)
        super().__init__(upper, listener.settings, listener.handlers, Observer())
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls; nobody answers while the line is cut."""
        self._listener.connections.add(self)
        super().connection_made(transport)
        if not self._listener.up:
            transport.close()

    def on_closed(self) -> None:
        """The connection is gone."""
        super().on_closed()
        self._listener.connections.discard(self)

    def on_association_event(self, event: Event) -> None:
        """A-ASSOCIATE indication."""
        if not isinstance(event, AssociationRequested):
            return
        answer = negotiate(event.rq, _offer(self.settings))
        if not isinstance(answer, AssociateAC):
            self.carry_out(self.upper.reject(answer))
            return
        self.calling_aet, self.called_aet = event.rq.calling_aet, event.rq.called_aet
        self.agreed(agreement(event.rq, answer), requestor=False)
        self.carry_out(self.upper.accept(answer))


def _service(abstract_syntax: str, common: CommonExtendedNegotiation | None) -> Service | None:
    return _LISTENS.get(abstract_syntax)


def _offer(settings: DimseSettings) -> Offer:
    return Offer(
        service=_service,
        called=lambda _: True,
        calling=lambda _: True,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version=IMPLEMENTATION_VERSION,
        maximum_length=settings.max_pdu,
        async_window=AsyncWindow(1, 1),
        identity=lambda _: IdentityVerdict(accepted=True),
        capacity=Capacity.OPEN,
    )
