"""Who may call, whom they may call, and what they may do: decided here and nowhere else on this edge.

An AE title is a label, not a proof; it is checked because a wrong one is a wrong configuration, and joined by
a source address (and later a certificate) where it must mean more. Default deny: off loopback a caller that is
not a configured peer is refused with RJ 1/1/3 before anything else is looked at (PS3.8 9.3.4). A known caller
without the right for a service is answered 0124 by that service (PS3.7 C.5.7), message by message, so that a
right that is taken away ends with the next message and not with the association.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import RIGHTS, Peer

log = structlog.get_logger()

ALL_RIGHTS = frozenset(RIGHTS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The three codes of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class Caller:
    """The peer at the other end of an accepted association."""

    aet: str
    address: str
    called: str
    peer: Peer | None  # None: unknown, let in by `allow_unknown`

    @property
    def refuse_conflicts(self) -> bool:
        """Whether another instance with the same UID is refused rather than kept beside the first (F.2)."""
        return self.peer is not None and self.peer.refuse_conflicts


# A decision could not be made now: temporary congestion.
BUSY = Refusal(2, 3, 1)


class PeerBook:
    """The configured peers, remembered for a moment so that the event loop never waits for the database.

    `fresh` is awaited before a title is called unknown, so that a peer that was just added is not refused; `now`
    serves known ones and the rights of each message, and asks for a refresh in the background once what it holds
    is older than `max_age` seconds.
    When the source fails (the database is away), the last good answer stays.
    """

    def __init__(
        self,
        source: Callable[[], Mapping[str, Peer]],
        executor: Executor,
        *,
        max_age: float = 1.0,
        patience: float = 2.0,
    ) -> None:
        self._source = source
        self._executor = executor
        self._max_age = max_age
        self._patience = patience
        self._peers: tuple[Peer, ...] = ()
        self._loaded = float("-inf")
        self._refresh: asyncio.Task[None] | None = None

    async def fresh(self) -> tuple[Peer, ...]:
        """The peers as they are, or as they last were if the source does not answer within two seconds."""
        await asyncio.wait((self._start(),), timeout=self._patience)
        return self._peers

    def now(self) -> tuple[Peer, ...]:
        """The peers as last read; starts a refresh when that was long ago. Never waits."""
        if time.monotonic() - self._loaded > self._max_age:
            self._start()
        return self._peers

    async def close(self) -> None:
        """Wait for a refresh that is under way."""
        if self._refresh is not None:
            await asyncio.wait((self._refresh,), timeout=self._patience)

    def _start(self) -> asyncio.Task[None]:
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.get_running_loop().create_task(self._load())
        return self._refresh

    async def _load(self) -> None:
        try:
            peers = await asyncio.get_running_loop().run_in_executor(self._executor, self._source)
        except Exception as error:
            log.warning("peers-unavailable", error=type(error).__name__)
            self._loaded = time.monotonic()  # the next attempt waits for its turn, too
            return
        self._peers = tuple(peers.values())
        self._loaded = time.monotonic()


def is_ae_title(title: str) -> bool:
    """1 to 16 characters of the default repertoire, no backslash, no control, not only spaces (PS3.5 6.2: AE)."""
    return 0 < len(title) <= 16 and bool(title.strip()) and all(" " <= c <= "~" and c != "\\" for c in title)


def is_called_here(called: str, settings: DimseSettings) -> bool:
    """Whether a called AE title is ours; case is significant (PS3.8 9.3.2; RJ 1/1/7 otherwise)."""
    return is_ae_title(called) and (called == settings.ae_title or settings.any_called_ae_title)


def caller_of(
    calling: str, called: str, address: str, peers: tuple[Peer, ...], settings: DimseSettings
) -> Caller | None:
    """Who calls, by AE title and source address; None: not known here (RJ 1/1/3; U13). Titles come trimmed."""
    if not is_ae_title(calling):
        return None
    named = [p for p in peers if p.aet == calling]
    if not named:
        return Caller(calling, address, called, None) if settings.allow_unknown else None
    if settings.check_addresses:
        named = [p for p in named if comes_from(p, address)]
    return Caller(calling, address, called, named[0]) if named else None


def printable(title: str) -> str:
    """An AE title as it may stand in a log line (T14)."""
    return "".join(c if " " <= c <= "~" else "?" for c in title[:16])


def comes_from(peer: Peer, address: str) -> bool:
    """Whether a source address is the one the peer is configured with; a host name proves nothing here."""
    try:
        return ipaddress.ip_address(peer.host) == ipaddress.ip_address(address)
    except ValueError:
        return False


def rights_of(caller: Caller, peers: tuple[Peer, ...]) -> frozenset[str]:
    """What the caller may do now: read anew for each message (T2)."""
    if caller.peer is None:
        return ALL_RIGHTS
    for peer in peers:
        if peer.name == caller.peer.name:
            return peer.rights
    return frozenset()


def destination(aet: str, peers: tuple[Peer, ...]) -> Peer | None:
    """The peer that a Move Destination names; an address never comes from the wire (T11)."""
    return next((p for p in peers if p.aet == aet.strip(" ")), None)


def may_move_to(caller: Caller, target: Peer, peers: tuple[Peer, ...]) -> bool:
    """Whether this caller may have instances sent to `target`: by name, itself when nothing is said (T12)."""
    if caller.peer is None:
        return True
    peer = next((p for p in peers if p.name == caller.peer.name), None)
    if peer is None:
        return False
    if not peer.move_to:
        return target.aet == peer.aet
    return "*" in peer.move_to or target.name in peer.move_to
