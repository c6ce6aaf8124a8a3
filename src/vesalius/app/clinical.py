"""What a DIMSE worker does besides answering: jobs and relays on its event loop, put together here.

`kinds` and `relays` are the two lists that everything registers in. There is no process for this (an idle archive stays
small): each worker runs all of it, and leases and cursors say which of them does what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from vesalius.app.commitments import AvailabilityJobs, CommitmentJobs
from vesalius.app.errands import Calling, Errands
from vesalius.app.forwarding import ForwardJobs
from vesalius.app.jobs import JobRunner, Kind
from vesalius.app.limits import dimse_settings
from vesalius.app.relays import Relay, RelayRunner
from vesalius.app.ris import RELAY as IMAGES
from vesalius.app.ris import ImagesRelay
from vesalius.app.tls import client_tls
from vesalius.app.wiring import Archive
from vesalius.app.workitems import TellJobs
from vesalius.archive.availability import Availability
from vesalius.backends.availability_sql import RELAY, ArrivalRelay
from vesalius.dimse.association import Association
from vesalius.model.commitments import Reference
from vesalius.model.entities import Peer
from vesalius.ports.jobs import Lease

# So many steps that block (reading again, looking up) at once in one process.
THREADS = 4


class Clinical:
    """The jobs and relays of one DIMSE worker. Make, start and stop it on the event loop."""

    def __init__(
        self,
        archive: Archive,
        owner: str,
        *,
        rung: Callable[[], int] = lambda: 0,
        observe: Callable[[str, str], None] = lambda kind, outcome: None,
    ) -> None:
        self._archive = archive
        # Two pools: what keeps leases must never wait behind what they are for.
        self._work = ThreadPoolExecutor(THREADS, "jobs")
        self._books = ThreadPoolExecutor(1, "leases")
        errands = Errands(dimse_settings(archive.settings), client_tls(archive.settings))
        calling = Calling(archive.peers, archive.clock, errands, self._work)
        self.availability = Availability(
            archive.notices, archive.index, archive.clock, aet=archive.settings.server.ae_title
        )
        settings = archive.settings
        self._commitments = CommitmentJobs(archive.commit, settings.commitment, calling)
        self._notices = AvailabilityJobs(self.availability, archive.jobs, settings.commitment, calling)
        self._forwards = ForwardJobs(archive.database, settings.commitment, calling)
        self._tellings = TellJobs(archive.workitems, settings.workitems, calling)
        self.runner = JobRunner(
            archive.jobs, self._kinds(), archive.clock, owner, self._books, rung=rung, observe=observe
        )
        self.relays = RelayRunner(self._relays(), self._work)
        archive.bell.hear(self.runner.wake)
        archive.bell.hear(self.relays.wake)

    def _kinds(self) -> Mapping[str, Kind]:
        at_once = self._archive.settings.jobs.at_once
        return {
            **self._commitments.kinds(at_once),
            **self._notices.kinds(at_once),
            **self._forwards.kinds(at_once),
            **self._tellings.kinds(at_once),
        }

    def _relays(self) -> list[Relay]:
        archive = self._archive
        arrivals = ArrivalRelay(archive.database, archive.clock, archive.settings.availability.quiet)
        images = ImagesRelay(archive.database, archive.clock, archive.ris_rules)
        return [
            Relay(RELAY, lambda: arrivals.step(bool(self._notices.wanting())), interval=2.0),
            Relay(IMAGES, images.step, interval=1.0),
            self._forwards.relay(archive.jobs.announce),
        ]

    def commitment_begun(self, lease: Lease, assoc: Association) -> None:
        """A peer's request was acknowledged: begin with it here, where its association is."""
        self._commitments.asked_on(assoc)
        self.runner.take(lease)

    def sent(self, peer: Peer, references: Sequence[Reference]) -> None:
        """Instances were sent to a peer that is to commit itself to them. Blocks."""
        self._archive.commit.plan(peer, references)
        self._archive.jobs.announce()

    def start(self) -> None:
        """Begin."""
        self.runner.start()
        self.relays.start()

    async def stop(self) -> None:
        """End in good order; what is not done is done by others, or later."""
        await self.relays.stop()
        await self.runner.stop()
        await self._commitments.stop()
        self._work.shutdown(wait=False, cancel_futures=True)
        self._books.shutdown(wait=False, cancel_futures=True)
