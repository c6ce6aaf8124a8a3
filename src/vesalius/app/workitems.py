"""The job that tells a subscriber what became of its workitems: one a receiver, in order, until nothing is left.

Theory. Reports are rows in the transaction of the change (`backends/workitems_sql.py`), with one open job a receiver,
whose key is its AE title. The job sends them in their order over one association, each marked as told when it was
answered: a process that dies in between tells that one again, never leaves one out. It closes only in a transaction
that sees no further report. A receiver that cannot be reached is called again with back-off; what is older than
`workitems.expiry` is dropped. One that is no peer listens on a web socket, if at all: there is nothing to send; nor is
there to a peer whose right to workitems was taken away since it subscribed (threat T22).
"""

from __future__ import annotations

import asyncio

import structlog

from vesalius.app.errands import FOR_GOOD, Calling, why_of
from vesalius.app.jobs import Again, Backoff, Closed, Kind, Outcome
from vesalius.app.settings_clinical import WorkitemSettings
from vesalius.archive.delete import moment
from vesalius.backends.workitems_sql import TELL
from vesalius.dimse import n_ups
from vesalius.dimse.client import Association
from vesalius.dimse.link import ConnectionGone
from vesalius.model.entities import Peer
from vesalius.model.errors import ClassNotSupported, VesaliusError
from vesalius.model.workitems import Report
from vesalius.ports.jobs import Lease, LeaseLost
from vesalius.ports.workitems import Workitems

log = structlog.get_logger()


class TellJobs:
    """The handler."""

    def __init__(
        self,
        kept: Workitems,
        settings: WorkitemSettings,
        calling: Calling,
    ) -> None:
        self._kept = kept
        self._settings = settings
        self._calls = calling

    def kinds(self, at_once: int) -> dict[str, Kind]:
        """The kind of job that it is."""
        return {TELL: Kind(self.tell, Backoff(self._settings.retry_first, self._settings.retry_longest), at_once)}

    async def tell(self, lease: Lease) -> Outcome:
        """Tell one receiver everything."""
        aet = str(lease.payload["aet"])
        assoc: Association | None = None

        def all_told() -> bool:
            return self._kept.all_told(lease, aet, self._calls.utc())

        try:
            while True:
                reports = await self._calls.in_thread(lambda: self._kept.untold(aet))
                if not reports and await self._calls.in_thread(all_told):
                    return Closed()
                for report in reports:
                    peer = await self._peer(aet)
                    how = self._not_to_be_told(report, peer)
                    if peer is not None and not how:
                        if assoc is None:
                            assoc = await self._calls.errands.connect(peer, n_ups.for_telling())
                        how = await self._told(assoc, report)
                    await self._mark(report, how)
        except (LeaseLost, asyncio.CancelledError):
            raise
        except ClassNotSupported as error:
            return Again(error.message)
        except (VesaliusError, ConnectionGone, TimeoutError, OSError) as error:
            return Again(why_of(error))
        finally:
            if assoc is not None:
                await assoc.release()

    async def _told(self, assoc: Association, report: Report) -> str:
        """Send one. Raises `_NotTaken` where it is to be sent again."""
        answer = await n_ups.tell(assoc, report)
        if answer.succeeded:
            return "told"
        if answer.status in FOR_GOOD:
            log.warning("workitem-report-refused", receiver=report.aet, report=report.id, why=str(answer))
            return "refused"
        raise _NotTaken(f"the peer answered {answer}")

    def _not_to_be_told(self, report: Report, peer: Peer | None) -> str:
        if peer is None or not n_ups.may_hear(peer):
            return "none"
        if moment(report.at, self._settings.expiry) <= self._calls.utc():
            log.warning("workitem-report-expired", receiver=report.aet, report=report.id)
            return "expired"
        return ""

    async def _peer(self, aet: str) -> Peer | None:
        peers = await self._calls.in_thread(self._calls.peers)
        return next((peer for peer in peers.values() if peer.aet == aet), None)

    async def _mark(self, report: Report, how: str) -> None:
        await self._calls.in_thread(lambda: self._kept.told(report.id, how))


class _NotTaken(VesaliusError):
    """The receiver answered with a failure that may pass."""
