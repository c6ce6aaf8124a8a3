"""The association acceptor: a listener, its associations, and an orderly end.

One `DimseServer` serves one listening address of one process; any number of processes listen on the same port
(SO_REUSEPORT). Nothing is shared between associations but the archive, the book of peers and the thread pool.
On a request to stop, new associations are refused with RJ 2/3/1, idle ones are aborted, those on which something is
going on may end by themselves for the grace period, and what is left is aborted.
"""

from __future__ import annotations

import asyncio
import ssl as tls
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from vesalius.dimse import access, association, contexts
from vesalius.dimse.access import Caller, PeerBook
from vesalius.dimse.client import IMPLEMENTATION_VERSION
from vesalius.dimse.dispatch import handlers
from vesalius.dimse.pool import Pool
from vesalius.dimse.pressure import Pressure
from vesalius.dimse.services import DimseSettings, Services
from vesalius.model.entities import Peer
from vesalius.model.errors import VesaliusError
from vesalius.model.identifiers import IMPLEMENTATION_CLASS_UID
from vesalius.wire.ul_events import AssociationRequested, Event
from vesalius.wire.ul_machine import Role, UpperLayer
from vesalius.wire.ul_negotiation import Capacity, IdentityVerdict, Offer, agreement, negotiate
from vesalius.wire.ul_pdus import AssociateAC, AssociateRJ, AssociateRQ, AsyncWindow

log = structlog.get_logger()

BACKLOG = 512
# An association is idle at a stop when it has been quiet for this long: a sender pauses between two instances, too,
# and longer than one would think on a busy machine.
STOP_QUIET = 3.0


class DimseServer:
    """Listens, accepts, serves. `start` may be called once per address."""

    def __init__(
        self, services: Services, settings: DimseSettings | None = None, *, pressure: Pressure | None = None
    ) -> None:
        """`pressure` is shared by the servers of one process, whose limits it counts."""
        self.services = services
        self.settings = settings or services.settings
        self.pressure = pressure or Pressure(self.settings)
        self.connections: set[AcceptedAssociation] = set()
        self.stopping = False
        self._servers: list[asyncio.Server] = []
        self._executor = ThreadPoolExecutor(
            self.settings.threads, thread_name_prefix="dimse", initializer=services.thread_began
        )
        self.book = PeerBook(services.peers, self._executor)
        self._pool = Pool(self.settings, services.observer, services.client_tls)
        self.handlers = handlers(
            services, self._executor, self.book, self._pool, self._may_move_to, self.pressure, _name_of
        )
        # Titles may change with the peers; all else of an offer is the same for everyone.
        self.window = AsyncWindow(self.settings.operations, self.settings.operations)

    async def start(
        self, host: str, port: int, ssl: tls.SSLContext | None = None, reuse_port: bool = True
    ) -> tuple[str, int]:
        """Listen; gives the address that was bound (port 0 takes a free one). With `ssl`, a TLS port."""
        loop = asyncio.get_running_loop()
        await self.book.fresh()
        server = await loop.create_server(
            lambda: AcceptedAssociation(self),
            host,
            port,
            ssl=ssl,
            reuse_port=reuse_port,
            backlog=BACKLOG,
            ssl_handshake_timeout=self.settings.artim if ssl is not None else None,
        )
        self._servers.append(server)
        bound = server.sockets[0].getsockname()
        log.info("dimse-listening", host=bound[0], port=bound[1], tls=ssl is not None, aet=self.settings.ae_title)
        return bound[0], bound[1]

    async def stop(self, grace: float) -> None:
        """Refuse what is new, end what is idle, give what runs `grace` seconds, abort what is left."""
        self.stopping = True
        end = asyncio.get_running_loop().time() + grace
        while self.connections and (left := end - asyncio.get_running_loop().time()) > 0:
            for assoc in list(self.connections):
                if assoc.is_quiet(STOP_QUIET):
                    assoc.abort(0, 0, "shutting down")
            await self._quiet(min(left, 0.25))
        for server in self._servers:
            server.close()
        for assoc in list(self.connections):
            assoc.abort(0, 0, "shutting down")
        await self._quiet(1.0)
        for assoc in list(self.connections):
            if assoc.transport is not None:
                assoc.transport.abort()
        await self._quiet(1.0)
        await self._pool.close()
        await self.book.close()
        for server in self._servers:
            await server.wait_closed()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _quiet(self, patience: float) -> None:
        """Until no connection is left, or for so long."""
        if self.connections and patience > 0:
            await asyncio.wait([assoc.closed for assoc in self.connections], timeout=patience)

    def _may_move_to(self, assoc: association.Association, target: Peer) -> bool:
        if not isinstance(assoc, AcceptedAssociation) or assoc.caller is None:
            return False
        return access.may_move_to(assoc.caller, target, self.book.now())

    @property
    def capacity(self) -> Capacity:
        """Whether there is room for one more association (U15)."""
        if self.stopping:
            return Capacity.SHUTTING_DOWN
        return Capacity.LIMIT_REACHED if self.pressure.associations >= self.settings.associations else Capacity.OPEN


def _name_of(assoc: association.Association) -> str:
    """The peer at the other end by its name; "" where it is none."""
    caller = assoc.caller if isinstance(assoc, AcceptedAssociation) else None
    return caller.peer.name if caller is not None and caller.peer is not None else ""


class AcceptedAssociation(association.Association):
    """An association that a peer asked for."""

    def __init__(self, server: DimseServer) -> None:
        super().__init__(
            UpperLayer(Role.ACCEPTOR, maximum_length=server.settings.max_pdu),
            server.settings,
            server.handlers,
            server.services.observer,
        )
        self._server = server
        self.caller: Caller | None = None
        self.since = 0.0  # accepted at, in seconds since 1970; 0: not (yet)
        self._counted = False
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer connected; too many that say nothing are not listened to."""
        self._server.connections.add(self)
        super().connection_made(transport)
        if len(self._server.connections) > self.settings.associations + self.settings.connections:
            log.warning("too-many-connections", peer=self.address)
            transport.close()

    def on_closed(self) -> None:
        """The connection is gone."""
        super().on_closed()
        self._server.connections.discard(self)
        if self.caller is None and self.upper.fault is not None:
            log.info("no-association", peer=self.address, why=self.upper.fault.message)
        if self._answering is not None:
            self._answering.cancel()

    def on_ended(self) -> None:
        """The association is over; its place is free."""
        if self._counted:
            self._counted = False
            self._server.pressure.associations -= 1
            self.observer.association_closed(self.calling_aet)
            log.info("association-ended", association=self.name, calling=self.calling_aet, how=self.ended)

    def may(self, right: str) -> bool:
        """Whether the caller has this right now (T2): looked up for each message."""
        return self.caller is not None and right in access.rights_of(self.caller, self._server.book.now())

    def on_association_event(self, event: Event) -> None:
        """A-ASSOCIATE indication: decide, which may take a look into the database."""
        if isinstance(event, AssociationRequested):
            self._answering = self.loop.create_task(self._decide(event.rq))

    async def _decide(self, rq: AssociateRQ) -> None:
        try:
            answer = await self._answer(rq)
        except Exception as error:
            if not isinstance(error, VesaliusError):
                log.exception("association-fault", peer=self.address)
            answer = AssociateRJ(access.BUSY.result, access.BUSY.source, access.BUSY.reason)
        if self.ended or self.over:
            return
        if isinstance(answer, AssociateRJ):
            self.observer.association_rejected(answer.result, answer.source, answer.reason)
            log.info(
                "association-rejected",
                peer=self.address,
                calling=access.printable(rq.calling_aet),
                called=access.printable(rq.called_aet),
                code=f"{int(answer.result)}/{int(answer.source)}/{int(answer.reason)}",
            )
            self.carry_out(self.upper.reject(answer))
            return
        self._accept(rq, answer)

    async def _answer(self, rq: AssociateRQ) -> AssociateAC | AssociateRJ:
        server = self._server
        self.caller = self._recognise(rq, server.book.now())
        if self.caller is None or self.caller.peer is None:
            self.caller = self._recognise(rq, await server.book.fresh())
        verdict = IdentityVerdict(accepted=True)
        identity = rq.user_information.identity
        identify = server.services.identify
        judged = identity is not None and identify is not None and self.caller is not None
        if identity is not None and identify is not None and judged:
            verdict = await identify(identity, rq.calling_aet)
        offer = Offer(
            service=contexts.service_for,
            called=lambda title: access.is_called_here(title, self.settings),
            calling=lambda _: self.caller is not None,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version=IMPLEMENTATION_VERSION,
            maximum_length=self.settings.max_pdu,
            async_window=server.window,
            # Without a hook the identity is accepted unread and no response is sent (PS3.7 D.3.3.7).
            identity=(lambda _: verdict) if judged else None,
            capacity=server.capacity,
        )
        return negotiate(rq, offer)

    def _recognise(self, rq: AssociateRQ, peers: tuple[Peer, ...]) -> Caller | None:
        return access.caller_of(rq.calling_aet, rq.called_aet, self.address, peers, self.settings)

    def _accept(self, rq: AssociateRQ, ac: AssociateAC) -> None:
        self.calling_aet = rq.calling_aet
        self.called_aet = rq.called_aet
        self.refuse_conflicts = self.caller is not None and self.caller.refuse_conflicts
        agreed = agreement(rq, ac)
        self.agreed(agreed, requestor=False)
        self._server.pressure.associations += 1
        self._counted = True
        self.since = time.time()
        self.observer.association_opened(self.calling_aet)
        log.info(
            "association-accepted",
            association=self.name,
            peer=self.address,
            calling=self.calling_aet,
            contexts=len(self.contexts),
            of=len(rq.contexts),
            tls=self.secure,
        )
        self.carry_out(self.upper.accept(ac))
