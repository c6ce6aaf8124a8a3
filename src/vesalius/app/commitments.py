"""The jobs of storage commitment and of availability: what `archive/commit.py` plans, done over the network.

Theory. A handler does one step and ends with the transaction that closes its job and opens the next (`Closed`), or says
that it is to be tried again. A result goes to the peer's configured address on a new association; on the one that it
was asked on where the peer wants that, has no address here, or cannot be reached. What was asked for and what could not
be told is given up after `commitment.expiry`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from weakref import WeakValueDictionary

import structlog

from vesalius.app.errands import FOR_GOOD, Calling, why_of
from vesalius.app.jobs import Again, Backoff, Closed, Done, Failed, Kind, Outcome, blocking
from vesalius.app.settings_clinical import CommitmentSettings
from vesalius.archive import availability, commit
from vesalius.archive.availability import Availability
from vesalius.archive.commit import Commit, PlacesBehind
from vesalius.archive.delete import moment
from vesalius.dimse import n_availability, n_commitment
from vesalius.dimse.association import Association
from vesalius.dimse.client import Association as Requested
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.n_services import ByClass, NAnswer, NProvider
from vesalius.dimse.operations import Handler
from vesalius.model.commitments import Commitment, CommitmentInstance, CommitmentState
from vesalius.model.entities import Peer
from vesalius.model.errors import ClassNotSupported, NoSuchInstance, PeerUnreachable, VesaliusError
from vesalius.ports.jobs import Jobs, Lease, LeaseLost
from vesalius.standard import statuses
from vesalius.standard.sop_classes import STORAGE_COMMITMENT
from vesalius.wire.dimse_commands import CommandField

log = structlog.get_logger()


class CommitmentJobs:
    """The handlers, and the associations on which results are awaited."""

    def __init__(
        self,
        verbs: Commit,
        settings: CommitmentSettings,
        calling: Calling,
    ) -> None:
        self._commit = verbs
        self._settings = settings
        self._calls = calling
        self._open: WeakValueDictionary[str, Association] = WeakValueDictionary()
        self._lingering: set[asyncio.Task[None]] = set()

    def kinds(self, at_once: int) -> dict[str, Kind]:
        """The kinds of jobs that these are."""
        calling = Backoff(self._settings.retry_first, self._settings.retry_longest)
        return {
            commit.CHECK: Kind(self.check, Backoff(1.0, 30.0), at_once),
            commit.REPORT: Kind(self.report, calling, at_once),
            commit.ASK: Kind(self.ask, calling, at_once),
            commit.DUE: Kind(blocking(self._due, self._calls.executor), at_once=at_once),
        }

    def asked_on(self, assoc: Association) -> None:
        """Remember an association on which a peer asked, as long as it is there."""
        self._open[assoc.name] = assoc

    async def stop(self) -> None:
        """Let go of associations that wait for a result."""
        for task in self._lingering:
            task.cancel()
        if self._lingering:
            await asyncio.wait(self._lingering, timeout=2.0)

    # -- asked by a peer ---------------------------------------------------------------------------------------------

    async def check(self, lease: Lease) -> Outcome:
        """Read every instance again."""
        patient = moment(lease.created_at, self._settings.patience) > self._calls.utc()
        try:
            return Closed(await self._calls.in_thread(lambda: self._commit.check(lease, patient=patient)))
        except PlacesBehind as error:
            return Again(error.message)

    async def report(self, lease: Lease) -> Outcome:
        """Tell the result."""
        found = await self._load(lease)
        if found is None:
            return Failed("the request is not kept any more")
        commitment, named, peer = found
        await self._calls.in_thread(lambda: self._commit.kept.tried(commitment.id))
        try:
            answer = await self._tell(commitment, named, peer)
            if answer is None:
                return await self._give_up(
                    lease, CommitmentState.EXPIRED, "the caller is no peer, so there is no address to call back"
                )
            if answer.succeeded:
                await self._calls.in_thread(lambda: self._commit.told(lease))
                log.info("commitment-told", commitment=commitment.id, peer=peer.name if peer else "")
                return Closed()
            why = f"the peer answered {answer}"
        except LeaseLost:
            raise
        except (VesaliusError, ConnectionGone, TimeoutError, OSError) as error:
            why = why_of(error)
        if self._commit.is_over(commitment.checked_at or commitment.at):
            return await self._give_up(lease, CommitmentState.EXPIRED, why)
        return Again(why)

    async def _tell(self, commitment: Commitment, named: list[CommitmentInstance], peer: Peer | None) -> NAnswer | None:
        """On the association that the peer wants, or one that there is; None: there is none and never will be."""
        same = self._open.get(commitment.association)
        if same is not None and same.ended:
            same = None
        if same is not None and (peer is None or "commit-same-association" in peer.duties):
            try:
                return await self._tell_on(same, commitment, named)
            except (ConnectionGone, TimeoutError) as error:
                log.info("commitment-association-gone", commitment=commitment.id, why=why_of(error))
                same = None
        if peer is None:
            return None
        try:
            assoc = await self._calls.errands.connect(peer, n_commitment.for_telling(), self._aet(commitment))
        except PeerUnreachable:
            if same is None or same.ended:
                raise
            return await self._tell_on(same, commitment, named)
        try:
            return await self._tell_on(assoc, commitment, named)
        finally:
            await assoc.release()

    async def _tell_on(self, assoc: Association, commitment: Commitment, named: list[CommitmentInstance]) -> NAnswer:
        return await n_commitment.tell(assoc, commitment.transaction_uid, named, self._calls.errands.settings.ae_title)

    def _aet(self, commitment: Commitment) -> str:
        """Who calls back: the title that was called, where this archive goes by any."""
        return commitment.called_aet if self._calls.errands.settings.any_called_ae_title else ""

    # -- asking a peer -----------------------------------------------------------------------------------------------

    async def ask(self, lease: Lease) -> Outcome:
        """Ask, and listen for a while whether the result comes on the same association."""
        found = await self._load(lease)
        if found is None:
            return Failed("the request is not kept any more")
        commitment, named, peer = found
        if peer is None:
            return await self._give_up(lease, CommitmentState.REFUSED, "there is no peer of this name any more")
        await self._calls.in_thread(lambda: self._commit.kept.tried(commitment.id))
        come = asyncio.Event()
        try:
            assoc = await self._calls.errands.connect(peer, n_commitment.for_asking(), provides=self._listening(come))
            try:
                answer = await n_commitment.ask(assoc, commitment.transaction_uid, named)
                if answer.succeeded:
                    await self._calls.in_thread(lambda: self._commit.asked(lease))
            except BaseException:
                assoc.abort(0, 0, "given up by this side")
                raise
            self._linger(assoc, come if answer.succeeded else None)
        except ClassNotSupported as error:
            return await self._give_up(lease, CommitmentState.REFUSED, error.message)
        except LeaseLost:
            raise
        except (VesaliusError, ConnectionGone, TimeoutError, OSError) as error:
            if self._commit.is_over(commitment.at):
                return await self._give_up(lease, CommitmentState.EXPIRED, why_of(error))
            return Again(why_of(error))
        if answer.succeeded:
            return Closed()
        why = f"the peer answered {answer}"
        if answer.status in FOR_GOOD:
            return await self._give_up(lease, CommitmentState.REFUSED, why)
        if self._commit.is_over(commitment.at):
            return await self._give_up(lease, CommitmentState.EXPIRED, why)
        return Again(why)

    def _listening(self, come: asyncio.Event) -> Mapping[int, Handler]:
        taker = n_commitment.ResultTaker(self._commit, self._calls.executor, lambda transaction, state: come.set())
        return {CommandField.N_EVENT_REPORT_RQ: ByClass({STORAGE_COMMITMENT: NProvider(taker.perform)})}

    def _linger(self, assoc: Requested, come: asyncio.Event | None) -> None:
        """Release the association, after a while where a result may come on it."""

        async def wait() -> None:
            try:
                if come is not None:
                    gone = asyncio.ensure_future(come.wait())
                    await asyncio.wait(
                        (gone, assoc.closed), timeout=self._settings.linger, return_when=asyncio.FIRST_COMPLETED
                    )
                    gone.cancel()
            finally:
                await assoc.release()

        task = asyncio.get_running_loop().create_task(wait())
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)

    def _due(self, lease: Lease) -> Outcome:
        """The result should have come by now."""
        self._commit.give_up(lease, CommitmentState.EXPIRED, "no result came in time", unless=True)
        return Closed()

    # -- small things -------------------------------------------------------------------------------------------------

    async def _load(self, lease: Lease) -> tuple[Commitment, list[CommitmentInstance], Peer | None] | None:
        def load() -> tuple[Commitment, list[CommitmentInstance], Peer | None] | None:
            number = int(lease.payload["commitment"])
            commitment = self._commit.kept.get(number)
            if commitment is None:
                return None
            return commitment, list(self._commit.kept.instances(number)), self._calls.peers().get(commitment.peer)

        return await self._calls.in_thread(load)

    async def _give_up(self, lease: Lease, state: CommitmentState, why: str) -> Outcome:
        await self._calls.in_thread(lambda: self._commit.give_up(lease, state, why))
        return Closed()


class AvailabilityJobs:
    """The handlers of Instance Availability Notification."""

    def __init__(
        self,
        verbs: Availability,
        jobs: Jobs,
        settings: CommitmentSettings,
        calling: Calling,
    ) -> None:
        self._availability = verbs
        self._jobs = jobs
        self._settings = settings
        self._calls = calling

    def kinds(self, at_once: int) -> dict[str, Kind]:
        """The kinds of jobs that these are."""
        calling = Backoff(self._settings.retry_first, self._settings.retry_longest)
        return {
            availability.STUDY: Kind(blocking(self.study, self._calls.executor), at_once=at_once),
            availability.SEND: Kind(self.send, calling, at_once),
        }

    def wanting(self) -> list[Peer]:
        """The peers that are to be told. Blocks."""
        return [peer for peer in self._calls.peers().values() if availability.DUTY in peer.duties]

    def study(self, lease: Lease) -> Outcome:
        """A study has gone quiet: tell each peer that wants to hear of it."""
        try:
            self._availability.tell(str(lease.payload["study"]), self.wanting())
        except NoSuchInstance:
            return Done()  # it was deleted meanwhile
        self._jobs.announce()
        return Done()

    async def send(self, lease: Lease) -> Outcome:
        """Tell one peer."""
        number = int(lease.payload["notice"])
        notice = await self._calls.in_thread(lambda: self._availability.kept.get(number))
        if notice is None:
            return Failed("the notification is not kept any more")
        peer = (await self._calls.in_thread(self._calls.peers)).get(notice.peer)
        if peer is None:
            return await self._failed(lease, number, "there is no peer of this name any more")
        for_good = False
        try:
            assoc = await self._calls.errands.connect(peer, n_availability.for_notifying())
            try:
                answer = await n_availability.notify(assoc, notice)
            finally:
                await assoc.release()
            # 0111: it was told before, and our knowledge of that was lost with a process.
            if answer.succeeded or answer.status == statuses.DUPLICATE_SOP_INSTANCE:
                await self._calls.in_thread(lambda: self._availability.kept.sent(lease, number, self._calls.utc()))
                return Closed()
            why, for_good = f"the peer answered {answer}", answer.status in FOR_GOOD
        except LeaseLost:
            raise
        except ClassNotSupported as error:
            why, for_good = error.message, True
        except (VesaliusError, ConnectionGone, TimeoutError, OSError) as error:
            why = why_of(error)
        if for_good or moment(notice.at, self._settings.expiry) <= self._calls.utc():
            return await self._failed(lease, number, why)
        return Again(why)

    async def _failed(self, lease: Lease, notice: int, why: str) -> Outcome:
        await self._calls.in_thread(lambda: self._availability.kept.failed(lease, notice, why, self._calls.utc()))
        log.warning("availability-given-up", notice=notice, why=why)
        return Closed()
