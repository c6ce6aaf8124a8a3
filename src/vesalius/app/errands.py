"""What jobs that call peers have in common: one association for one errand, and what its end means.

`Calling` is what the handler of each such job is given; `FOR_GOOD` names the answers that no repetition changes, and
`why_of` says of everything else what the list of jobs shows until the next try.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from vesalius.dimse.client import Association as Requested
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.operations import Handler
from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import Peer
from vesalius.model.errors import VesaliusError
from vesalius.ports.clock import Clock
from vesalius.standard import statuses

T = TypeVar("T")

# What no repetition changes: a person has to look at the configuration of one side.
FOR_GOOD = frozenset(
    {
        statuses.NO_SUCH_SOP_INSTANCE,
        statuses.NO_SUCH_ARGUMENT,
        statuses.INVALID_ARGUMENT_VALUE,
        statuses.INVALID_SOP_INSTANCE,
        statuses.NO_SUCH_SOP_CLASS,
        statuses.CLASS_INSTANCE_CONFLICT,
        statuses.SOP_CLASS_NOT_SUPPORTED,
        statuses.NO_SUCH_ACTION,
        statuses.NOT_AUTHORIZED,
        statuses.UNRECOGNIZED_OPERATION,
        statuses.MISTYPED_ARGUMENT,
    }
)


class Errands:
    """One association for one errand, as this archive's AE title or another that is ours."""

    def __init__(self, settings: DimseSettings, tls: ssl.SSLContext | None) -> None:
        self.settings = settings
        self._tls = tls

    async def connect(
        self,
        peer: Peer,
        proposals: Sequence[Proposal],
        calling_aet: str = "",
        provides: Mapping[int, Handler] | None = None,
    ) -> Requested:
        """Associate. Raises `PeerUnreachable`."""
        return await Requested.connect(
            peer,
            proposals,
            calling_aet=calling_aet or self.settings.ae_title,
            settings=self.settings,
            tls=self._tls if peer.tls else None,
            provides=provides,
        )


@dataclass(frozen=True, slots=True)
class Calling:
    """Whom there is to call, and by what. `peers` blocks; `executor` is for what blocks."""

    peers: Callable[[], Mapping[str, Peer]]
    clock: Clock
    errands: Errands
    executor: ThreadPoolExecutor

    def utc(self) -> str:
        """Now."""
        return self.clock.utc()

    async def in_thread(self, fn: Callable[[], T]) -> T:
        """Run what blocks."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, fn)


def why_of(error: BaseException) -> str:
    """What went wrong at or on the way to a peer, for the list of jobs."""
    if isinstance(error, VesaliusError):
        return error.message
    if isinstance(error, TimeoutError):
        return "the peer did not answer in time"
    return f"the association broke: {error}" if isinstance(error, ConnectionGone) else type(error).__name__
