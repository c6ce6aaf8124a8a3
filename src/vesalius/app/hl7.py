"""HL7 in one DIMSE worker: its listeners, its senders, its relays, put together from the settings."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vesalius.app.checks import Listener
from vesalius.app.relays import Relay, RelayRunner
from vesalius.app.settings import Settings
from vesalius.app.tls import client_tls, server_tls
from vesalius.app.wiring import Archive
from vesalius.backends.hl7_sql import SqlHl7Log
from vesalius.hl7.config import Destination, Hl7Settings, Source
from vesalius.hl7.handlers import HANDLERS
from vesalius.hl7.intake import Intake
from vesalius.hl7.listener import MllpServer
from vesalius.hl7.outgoing import Composer
from vesalius.hl7.sender import Senders, later

if TYPE_CHECKING:
    from vesalius.ports.hl7 import Hl7Log

Observe = Callable[[str, str, str], None]  # "in", "out" or "connection", whose, and what happened

RECOVER_INTERVAL = 2.0
FOLLOW_INTERVAL = 1.0
PRUNE_INTERVAL = 3600.0


def hl7_settings(settings: Settings, *, loopback: bool = True) -> Hl7Settings:
    """What the HL7 edge needs of the settings. `loopback`: only this machine reaches the listener."""
    hl7 = settings.hl7
    return Hl7Settings(
        application=hl7.application,
        facility=hl7.facility,
        sources=tuple(
            Source(
                name=one.name,
                application=one.application,
                facility=one.facility,
                addresses=one.addresses,
                merges=one.merges,
                charset=one.charset,
                issuer=one.issuer,
                fields={field.name: field.path for field in one.fields},
            )
            for one in hl7.sources
        ),
        destinations=destinations(settings),
        allow_unknown=loopback and hl7.allow_unknown_on_loopback,
        accept_test=hl7.accept_test,
        message_bytes=hl7.message_size,
        connections=hl7.connections,
        block_seconds=hl7.block_timeout,
        idle_seconds=hl7.idle,
        connect_seconds=hl7.connect,
        ack_seconds=hl7.acknowledgement,
        first_pause=hl7.retry_first,
        longest_pause=hl7.retry_longest,
        refusals=hl7.refusals,
    )


def destinations(settings: Settings) -> tuple[Destination, ...]:
    """Whom we send to."""
    return tuple(
        Destination(
            name=one.name,
            host=one.host,
            port=one.port,
            tls=one.tls,
            application=one.application,
            facility=one.facility,
            charset=one.charset,
            version=one.version,
            sends=frozenset(one.sends),
            order_message=one.order_message,
        )
        for one in settings.hl7.destinations
    )


def message_log(archive: Archive) -> Hl7Log:
    """The message log of an archive."""
    return SqlHl7Log(archive.database)


class Hl7:
    """All of HL7 in one process. Make, start and stop it on the event loop."""

    def __init__(self, archive: Archive, owner: str, observe: Observe = lambda way, partner, what: None) -> None:
        settings = archive.settings
        self._archive = archive
        self._owner = f"{owner} hl7"
        self._observe = observe
        self._log = message_log(archive)
        self._servers: list[MllpServer] = []
        self._pool = ThreadPoolExecutor(2, "hl7-relays")
        self._senders = Senders(
            hl7_settings(settings), self._log, archive.clock, self._owner, ssl=self._client_tls,
            observe=lambda name, what: observe("out", name, what),
        )  # fmt: skip
        relays = (
            [Relay("hl7-in", self._intake(loopback=False).recover, RECOVER_INTERVAL)] if settings.hl7.listen else []
        )
        relays += [self._relay(one) for one in destinations(settings) if one.sends]
        relays.append(Relay("hl7-prune", self._prune, PRUNE_INTERVAL))
        self._relays = RelayRunner(relays, self._pool)
        archive.bell.hear(self._relays.wake)

    def _intake(self, *, loopback: bool) -> Intake:
        archive = self._archive
        return Intake(
            hl7_settings(archive.settings, loopback=loopback),
            self._log,
            archive.clock,
            archive.ris_rules,
            HANDLERS,
            owner=self._owner,
            announce=archive.bell,
            observe=lambda name, what: self._observe("in", name, what),
        )

    def _client_tls(self) -> tls.SSLContext | None:
        return client_tls(self._archive.settings)

    def _relay(self, destination: Destination) -> Relay:
        archive = self._archive
        compose = Composer(hl7_settings(archive.settings), destination, archive.clock.utc)
        longest = archive.settings.hl7.queue

        def step() -> int:
            return self._log.follow(destination.name, compose, archive.clock.utc(), longest=longest)

        return Relay(f"hl7-out:{destination.name}", step, FOLLOW_INTERVAL)

    def _prune(self) -> int:
        self._log.prune(later(self._archive.clock.utc(), -self._archive.settings.hl7.keep))
        return 0

    async def start(self, listeners: tuple[Listener, ...]) -> None:
        """Listen, send, follow."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._log.take_over, self._owner)
        context = server_tls(self._archive.settings)
        for listener in listeners:
            server = MllpServer(
                self._intake(loopback=listener.loopback), observe=lambda what: self._observe("connection", "", what)
            )
            await server.start(listener.host, listener.port, ssl=context if listener.tls else None)
            self._servers.append(server)
        self._senders.start()
        self._relays.start()

    async def stop(self, grace: float) -> None:
        """End in good order."""
        await self._relays.stop()
        await asyncio.gather(self._senders.stop(), *(server.stop(grace) for server in self._servers))
        self._pool.shutdown(wait=False, cancel_futures=True)
