"""The association requestor: how this archive calls others.

    async with Association.open(peer, for_verification(), calling_aet="VESALIUS") as assoc:
        await c_echo.echo(assoc)

Leaving the block releases the association; leaving it by an exception aborts it. Every wait has a time-out: reaching
and being accepted (`connect`), each response (`response`), a peer that does not read (`network`), release (`artim`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from vesalius.archive.ingest import Ingest
from vesalius.dimse import association
from vesalius.dimse.c_store import StoreProvider
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.operations import Handler
from vesalius.dimse.services import DimseSettings, Observer
from vesalius.model.entities import Peer
from vesalius.model.errors import PeerUnreachable
from vesalius.model.identifiers import IMPLEMENTATION_CLASS_UID
from vesalius.wire import ul_negotiation as negotiation
from vesalius.wire.dimse_commands import CommandField
from vesalius.wire.ul_events import AssociationAccepted, AssociationRejected, Event
from vesalius.wire.ul_machine import Role, UpperLayer
from vesalius.wire.ul_pdus import AssociateRJ, AssociateRQ, AsyncWindow, RoleSelection, UserIdentity

log = structlog.get_logger()

IMPLEMENTATION_VERSION = "VESALIUS"  # without a number: the protocol need not tell an attacker which (ASVS 13.4)

# PS3.8 Table 9-21, for people.
_REJECTIONS: Mapping[tuple[int, int], str] = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "our AE title is not known there",
    (1, 7): "the called AE title is not that of the peer",
    (2, 1): "no reason given (ACSE)",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "the peer's association limit is reached",
}


class Association(association.Association):
    """An association that this side asked for."""

    def __init__(
        self,
        rq: AssociateRQ,
        settings: DimseSettings,
        handlers: Mapping[int, Handler],
        observer: Observer,
    ) -> None:
        upper = UpperLayer(Role.REQUESTOR, maximum_length=settings.max_pdu)
        super().__init__(upper, settings, handlers, observer)
        self.calling_aet = rq.called_aet  # who sends us instances in a C-GET: the other end
        self.called_aet = rq.calling_aet
        self._rq = rq
        self._answer: asyncio.Future[None] = self.loop.create_future()
        self.carry_out(upper.associate(rq))

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        peer: Peer,
        contexts: Sequence[Proposal],
        *,
        calling_aet: str = "VESALIUS",
        settings: DimseSettings | None = None,
        tls: ssl.SSLContext | None = None,
        ingest: Ingest | None = None,
        provides: Mapping[int, Handler] | None = None,
        async_window: int = 1,
        identity: UserIdentity | None = None,
        observer: Observer | None = None,
    ) -> AsyncIterator[Association]:
        """Associate for the time of the block. Raises `PeerUnreachable`. The arguments are those of `connect`."""
        assoc = await cls.connect(
            peer,
            contexts,
            calling_aet=calling_aet,
            settings=settings,
            tls=tls,
            ingest=ingest,
            provides=provides,
            async_window=async_window,
            identity=identity,
            observer=observer,
        )
        try:
            yield assoc
        except BaseException:
            assoc.abort(0, 0, "given up by this side")
            raise
        finally:
            await assoc.release()

    @classmethod
    async def connect(
        cls,
        peer: Peer,
        contexts: Sequence[Proposal],
        *,
        calling_aet: str = "VESALIUS",
        settings: DimseSettings | None = None,
        tls: ssl.SSLContext | None = None,
        ingest: Ingest | None = None,
        provides: Mapping[int, Handler] | None = None,
        async_window: int = 1,
        identity: UserIdentity | None = None,
        observer: Observer | None = None,
    ) -> Association:
        """Associate with a peer. End it with `release` (or `abort`).

        `contexts`: at most 128, see `contexts.for_…`. `ingest` takes the instances that a C-GET brings; `provides`
        are further operations that the peer may invoke here, by Command Field. `async_window`: operations that this
        side would like to have open at once; what was granted is in `window`. `tls` is used for a peer with `tls` set.
        Raises `PeerUnreachable` with the reason.
        """
        settings = settings or DimseSettings()
        rq = request(peer.aet, calling_aet, contexts, settings, async_window=async_window, identity=identity)
        handlers: dict[int, Handler] = dict(provides or {})
        if ingest is not None:
            handlers[CommandField.C_STORE_RQ] = StoreProvider(ingest, how="c-get")
        if peer.tls and tls is None:
            raise PeerUnreachable(f"{peer.name} wants TLS and no context for it is configured")
        assoc: Association | None = None

        def make() -> Association:
            nonlocal assoc
            assoc = cls(rq, settings, handlers, observer or Observer())
            return assoc

        loop = asyncio.get_running_loop()
        where = f"{peer.name} ({peer.aet} at {peer.host}:{peer.port})"
        try:
            async with asyncio.timeout(settings.connect):
                await loop.create_connection(
                    make,
                    peer.host,
                    peer.port,
                    ssl=tls if peer.tls else None,
                    server_hostname=peer.host if peer.tls else None,
                )
                if assoc is None:
                    raise PeerUnreachable(f"{where}: no connection")
                await asyncio.shield(assoc._answer)
        except TimeoutError:
            _drop(assoc)
            raise PeerUnreachable(f"{where} did not answer within {settings.connect:g} s") from None
        except OSError as error:
            _drop(assoc)
            raise PeerUnreachable(f"{where} cannot be reached: {error.strerror or type(error).__name__}") from None
        except PeerUnreachable as error:
            _drop(assoc)
            raise PeerUnreachable(f"{where}: {error.message}", hint=error.hint) from None
        except BaseException:
            _drop(assoc)
            raise
        return assoc

    def on_association_event(self, event: Event) -> None:
        """The peer accepted or rejected."""
        if isinstance(event, AssociationAccepted):
            agreement = negotiation.agreement(self._rq, event.ac)
            self.agreed(agreement, requestor=True)
            if not self._answer.done():
                self._answer.set_result(None)
        elif isinstance(event, AssociationRejected):
            self._refused(f"rejected: {describe_rejection(event.rj)}")
            self.finish("rejected")

    def on_ended(self) -> None:
        """Whoever still waits for an answer hears why there is none."""
        self._refused(self.ended)

    def _refused(self, why: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(PeerUnreachable(why))
            self._answer.exception()


def describe_rejection(rj: AssociateRJ) -> str:
    """An A-ASSOCIATE-RJ for people."""
    reason = _REJECTIONS.get((rj.source, rj.reason), "reason unknown")
    return f"{reason} ({rj.result}/{rj.source}/{rj.reason})"


def request(
    called_aet: str,
    calling_aet: str,
    contexts: Sequence[Proposal],
    settings: DimseSettings,
    *,
    async_window: int = 1,
    identity: UserIdentity | None = None,
) -> AssociateRQ:
    """The A-ASSOCIATE-RQ for some proposals."""
    roles = {p.abstract_syntax: RoleSelection(p.abstract_syntax, scu=False, scp=True) for p in contexts if p.as_scp}
    return negotiation.propose(
        calling_aet=calling_aet,
        called_aet=called_aet,
        proposals=[negotiation.Proposal(p.abstract_syntax, p.transfer_syntaxes) for p in contexts],
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version=IMPLEMENTATION_VERSION,
        maximum_length=settings.max_pdu,
        roles=roles.values(),
        extended={p.abstract_syntax: p.extended for p in contexts if p.extended},
        async_window=AsyncWindow(async_window, 1) if async_window != 1 else None,
        identity=identity,
    )


def _drop(assoc: Association | None) -> None:
    if assoc is not None and assoc.transport is not None:
        assoc.transport.abort()
