"""Associations to move destinations, kept for a moment for the next C-MOVE to the same place.

Workstations ask series by series; an association per C-MOVE would cost each a TCP (and TLS) handshake and a
negotiation. An idle association is given to the next one that needs no other contexts, and released after
`reuse` seconds, soon enough for receivers that take the release as the end of a study, or at once when the one who
asked has ended its association and so will not ask again: a receiver may serve one association at a time, and the
next C-MOVE may come to another process.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from vesalius.dimse import association
from vesalius.dimse.client import Association
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.services import DimseSettings, Observer
from vesalius.model.entities import Peer


@dataclass(slots=True, eq=False)
class _Idle:
    assoc: Association
    proposals: frozenset[Proposal]
    timer: asyncio.TimerHandle | None = None


class Pool:
    """Associations by destination. For one event loop."""

    def __init__(self, settings: DimseSettings, observer: Observer, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._observer = observer
        self._tls = tls
        self._idle: dict[Peer, list[_Idle]] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, peer: Peer, proposals: Sequence[Proposal]) -> tuple[Association, bool]:
        """An association for these contexts, and whether it was used before. Raises `PeerUnreachable`."""
        needed = frozenset(proposals)
        for idle in self._idle.get(peer, []):
            if not idle.assoc.ended and needed <= idle.proposals:
                self._remove(peer, idle)
                return idle.assoc, True
        assoc = await Association.connect(
            peer,
            proposals,
            calling_aet=self._settings.ae_title,
            settings=self._settings,
            tls=self._tls,
            observer=self._observer,
        )
        return assoc, False

    def give_back(
        self, peer: Peer, assoc: Association, proposals: Sequence[Proposal], asker: association.Association
    ) -> None:
        """Nothing is open on it any more: keep it for a moment, as long as the one who asked may ask again."""
        if assoc.ended:
            return
        if self._closed or self._settings.reuse <= 0 or asker.over:
            self._release(assoc)
            return
        idle = _Idle(assoc, frozenset(proposals))
        idle.timer = asyncio.get_running_loop().call_later(self._settings.reuse, self._expired, peer, idle)
        self._idle.setdefault(peer, []).append(idle)
        asker.closed.add_done_callback(lambda _: self._expired(peer, idle))

    async def close(self) -> None:
        """Release every idle association and wait for it."""
        self._closed = True
        for peer, kept in list(self._idle.items()):
            for idle in list(kept):
                self._remove(peer, idle)
                self._release(idle.assoc)
        if self._releasing:
            await asyncio.wait(self._releasing, timeout=1.0)
        for task in self._releasing:
            task.cancel()

    def _expired(self, peer: Peer, idle: _Idle) -> None:
        if idle in self._idle.get(peer, []):  # else it is in use again, or gone
            self._remove(peer, idle)
            self._release(idle.assoc)

    def _remove(self, peer: Peer, idle: _Idle) -> None:
        if idle.timer is not None:
            idle.timer.cancel()
        kept = self._idle.get(peer, [])
        if idle in kept:
            kept.remove(idle)
        if not kept:
            self._idle.pop(peer, None)

    def _release(self, assoc: Association) -> None:
        task = asyncio.get_running_loop().create_task(assoc.release())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)
