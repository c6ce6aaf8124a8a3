"""The asyncio driver of the upper layer: carries out its effects on a socket, and keeps the clocks it has not.

Theory. `wire.ul_machine.UpperLayer` decides what is sent, when the ARTIM timer runs and when the connection
closes (PS3.8 9.2); this class owns the socket and does so. What the standard leaves to the implementation
lives here as well: TCP_NODELAY (a response must not wait 40 ms for a delayed ACK), the idle time-out, the network
time-out for a message that stops half-way and for a reader that does not read, and back-pressure both ways:
`drain` before more is written, `hold` to stop reading. A half-open connection is also found by the kernel
(TCP_USER_TIMEOUT, keep-alive).

The subclass (`association.Association`) gives meaning to the events.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import cast

import structlog

from vesalius.dimse.services import DimseSettings
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_events import (
    Aborted,
    Close,
    Connect,
    ConnectionLost,
    Effect,
    Event,
    Indicate,
    Send,
    StartTimer,
    StopTimer,
)
from vesalius.wire.ul_machine import UpperLayer

log = structlog.get_logger()

# Above this much unsent the writer waits, under the low mark it goes on: an object or two stay on their way.
HIGH_WATER = 2 << 20
LOW_WATER = 512 << 10


class ConnectionGone(Exception):
    """The association ended while something was to be sent or awaited."""


class Link(asyncio.BufferedProtocol, ABC):
    """One transport connection and the upper layer on it."""

    def __init__(self, upper: UpperLayer, settings: DimseSettings) -> None:
        self.upper = upper
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.address = ""
        self.secure = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._artim: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._last_call: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None  # there while the transport holds too much
        self._unsent = 0
        self._stalled_since = 0.0
        self._heard = self.loop.time()
        self._held = False
        self._over = False
        self._first = True
        self._room = memoryview(b"")

    # -- what the subclass says -------------------------------------------------------------------------------------

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """A service primitive from the upper layer."""

    @abstractmethod
    def is_mid_message(self) -> bool:
        """Whether a PDU or message has begun and has not ended."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Whether an operation is open: then an idle line is no idle association."""

    def on_protocol_error(self, error: RemoteProtocolError) -> None:
        """The peer broke the protocol above the upper layer: abort."""
        self.abort(error.source, error.reason, error.message)

    # -- asyncio.BufferedProtocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP (and TLS) connection stands (Evt 2 or Evt 5)."""
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else ""
        self.secure = transport.get_extra_info("ssl_object") is not None
        _tune(transport.get_extra_info("socket"), self.settings.network)
        self.transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self._watch = self.loop.call_later(self._period(), self._look)
        self.carry_out(self.upper.connected())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the peer's next bytes go."""
        self._room = room = self.upper.room()
        return room

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the peer, in whatever portions."""
        self._heard = self.loop.time()
        self.bytes_in += nbytes
        if self._first:
            self._first = False
            self._hint(bytes(self._room[:4]))
        try:
            self.carry_out(self.upper.filled(nbytes))
        except Exception:
            # A fault of ours must not take the process's other associations with it.
            log.exception("association-fault", peer=self.address)
            self.abort(0, 0, "internal error")

    def eof_received(self) -> bool:
        """Half-closing is not part of the protocol: the connection is over (Evt 17)."""
        return False

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        if self._writable is None:
            self._writable = self.loop.create_future()
            self._stalled_since = self.loop.time()
            self._unsent = 1 << 62

    def resume_writing(self) -> None:
        """There is room again."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None
        self.on_writable()

    def on_writable(self) -> None:
        """The peer reads again; the subclass may read again as well."""

    def connection_lost(self, error: Exception | None) -> None:
        """The transport connection is gone (Evt 17)."""
        self._over = True
        for timer in (self._artim, self._watch, self._last_call):
            if timer is not None:
                timer.cancel()
        self._artim = self._watch = self._last_call = None
        self.resume_writing()
        try:
            self.carry_out(self.upper.connection_closed())
        finally:
            self.transport = None
            self.on_closed()
            if not self.closed.done():
                self.closed.set_result(None)

    def on_closed(self) -> None:
        """The connection is gone: let go of everything. Called once, last."""

    # -- effects ----------------------------------------------------------------------------------------------------

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Do what the upper layer says, in its order."""
        for effect in effects:
            if type(effect) is Indicate:
                try:
                    self.on_event(effect.event)
                except RemoteProtocolError as error:
                    self.on_protocol_error(error)
            elif type(effect) is Send:
                self.write(effect.data)
            elif type(effect) is StartTimer:
                self._stop_artim()
                if not self._over:
                    self._artim = self.loop.call_later(self.settings.artim, self._artim_expired)
            elif type(effect) is StopTimer:
                self._stop_artim()
            elif type(effect) is Close:
                if self.transport is not None:
                    self.transport.close()
                    if self._last_call is None and not self._over:
                        # An answer that nobody reads must not keep a closed connection for ever.
                        self._last_call = self.loop.call_later(self.settings.artim, self.transport.abort)
            elif type(effect) is Connect:
                continue  # `client.Association.open` connected before it asked

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand bytes to the transport; never waits."""
        if self.transport is not None:
            self.bytes_out += len(data)
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer has read enough. Raises `ConnectionGone` when it never will."""
        while self._writable is not None:
            await asyncio.shield(self._writable)
        if self._over:
            raise ConnectionGone("the association ended")

    @property
    def can_write(self) -> bool:
        """Whether the peer keeps up with what is written."""
        return self._writable is None

    @property
    def over(self) -> bool:
        """Whether the transport connection has ended."""
        return self._over

    def hold(self, stop: bool) -> None:
        """Stop or go on reading from the peer: back-pressure on what it asks for."""
        if stop == self._held or self.transport is None or self.transport.is_closing():
            return
        self._held = stop
        if stop:
            self.transport.pause_reading()
        else:
            self._heard = self.loop.time()
            self.transport.resume_reading()

    def is_quiet(self, seconds: float) -> bool:
        """Whether nothing is under way and nothing has come for so long."""
        return not (self.is_busy() or self.is_mid_message()) and self.loop.time() - self._heard >= seconds

    def abort(self, source: int = 0, reason: int = 0, why: str = "") -> None:
        """A-ABORT (or A-P-ABORT with source 2), then close."""
        if self._over:
            return
        log.info("association-abort", peer=self.address, source=source, reason=reason, why=why)
        self.hold(False)
        try:
            self.carry_out(self.upper.abort(source, reason))
        except LocalProtocolError:
            # Before the association and after its end there is nothing to abort (PS3.8 Table 9-10: Evt 15).
            if self.transport is not None:
                self.transport.close()
        self.on_event(Aborted(source, reason, by_us=True, detail=why))

    # -- clocks -----------------------------------------------------------------------------------------------------

    def _artim_expired(self) -> None:
        self._artim = None
        self.carry_out(self.upper.timer_expired())

    def _stop_artim(self) -> None:
        if self._artim is not None:
            self._artim.cancel()
            self._artim = None

    def _period(self) -> float:
        return max(0.02, min(self.settings.network, self.settings.idle) / 4)

    def _look(self) -> None:
        """Look for a stalled reader, a stalled message, an idle association."""
        if self._over or self.transport is None:
            return
        now = self.loop.time()
        self._watch = self.loop.call_later(self._period(), self._look)
        if self._writable is not None:
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent, self._stalled_since = unsent, now
            elif now - self._stalled_since > self.settings.network:
                self._lose("the peer does not read")
                return
        quiet = now - self._heard
        if quiet > self._period():
            self.upper.relax()
        if quiet > self.settings.network and not self._held and self.is_mid_message():
            self.abort(0, 0, "a message stopped half-way")
        elif quiet > self.settings.idle and not self.is_busy():
            self.abort(0, 0, "idle")

    def _lose(self, why: str) -> None:
        """Nobody listens any more: what is unsent is dropped with the connection."""
        log.info("association-lost", peer=self.address, why=why)
        self.on_event(ConnectionLost(why))
        if self.transport is not None:
            self.transport.abort()

    def _hint(self, data: bytes) -> None:
        """Say in the log what a frequent wrong turn looks like (U3, U4)."""
        if data[:2] == b"\x16\x03" and not self.secure:
            log.warning("tls-to-plain-port", peer=self.address, hint="the peer speaks TLS; give it the TLS port")
        elif data[:4] in (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI"):
            log.warning("http-to-dicom-port", peer=self.address, hint="this is the DICOM port, not the HTTP port")


def _tune(sock: socket.socket | None, network: float) -> None:
    """No Nagle; let the kernel find a peer that vanished."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = max(1, int(network))
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", max(1, seconds // 4)),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", seconds * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
