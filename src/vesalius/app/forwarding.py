"""Performed steps told to peers with the duty `forward-mpps`, in order, across restarts (PS3.4 annex F, as SCU).

Theory. A relay over the events of the workflow opens a job for each step and peer that has something to hear; one of a
key is open at a time, so a peer hears of a step in order, and one peer that is away holds up no other. The job sends
what `ris/forward.py` says until nothing follows; in the transaction that finds nothing more, it closes. A change that
comes after that opens another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from vesalius.app.errands import FOR_GOOD, Calling, why_of
from vesalius.app.jobs import Again, Backoff, Closed, Failed, Kind, Outcome
from vesalius.app.relays import Relay
from vesalius.app.settings_clinical import CommitmentSettings
from vesalius.backends import jobs_sql, ris_sql
from vesalius.backends.database import Database, Transaction
from vesalius.dimse import n_mpps
from vesalius.dimse.association import Association
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.n_services import NAnswer
from vesalius.model import reading
from vesalius.model.errors import ClassNotSupported, NoSuchRecord, VesaliusError
from vesalius.model.orders import PerformedStep, RisEvent
from vesalius.model.performed import CHARACTER_SET
from vesalius.ports.jobs import Job, Lease, LeaseLost
from vesalius.ports.ris import RisWork
from vesalius.ris import forward
from vesalius.ris.forward import DUTY, Message
from vesalius.standard import statuses

log = structlog.get_logger()

KIND = "mpps.forward"
RELAY = "mpps-forward"
_TOLD_OF = frozenset({"performed-created", "performed-updated", "performed-state"})
_FOR_GOOD = FOR_GOOD - {statuses.NO_SUCH_SOP_INSTANCE} | {
    statuses.NO_SUCH_ATTRIBUTE,
    statuses.INVALID_ATTRIBUTE_VALUE,
    statuses.MISSING_ATTRIBUTE,
    statuses.MISSING_ATTRIBUTE_VALUE,
}


class ForwardJobs:
    """The relay and the handler."""

    def __init__(
        self,
        database: Database,
        settings: CommitmentSettings,
        calling: Calling,
    ) -> None:
        self._database = database
        self._settings = settings
        self._calls = calling

    def kinds(self, at_once: int) -> dict[str, Kind]:
        """The kind of job that it is."""
        return {KIND: Kind(self.forward, Backoff(self._settings.retry_first, self._settings.retry_longest), at_once)}

    def relay(self, announce: Callable[[], None]) -> Relay:
        """The relay that opens the jobs; `announce` wakes who does them."""

        def step() -> int:
            done = self.step()
            if done:
                announce()
            return done

        return Relay(RELAY, step, interval=2.0)  # whoever changes a step rings

    # -- who is to hear of what ---------------------------------------------------------------------------------------

    def step(self) -> int:
        """One batch of events, in one transaction; how many there were. Blocks."""
        wanting = [peer for peer in self._calls.peers().values() if DUTY in peer.duties]
        now = self._calls.utc()
        expires = jobs_sql.after(now, self._settings.expiry)

        def read(tx: Transaction, after: int, limit: int) -> Sequence[tuple[int, RisEvent]]:
            return [(event.id, event) for event in ris_sql.events(tx, after, limit)]

        def write(tx: Transaction, events: Sequence[RisEvent]) -> None:
            uids = dict.fromkeys(event.detail.get("uid", "") for event in events if event.kind in _TOLD_OF)
            for uid in uids if wanting else ():
                performed = ris_sql.SqlView(tx).first(PerformedStep, uid=uid)
                for peer in wanting:
                    # Who told us of it knows of it.
                    if performed is not None and peer.aet != performed.creator:
                        job = Job(KIND, {"peer": peer.name, "uid": uid}, f"{peer.name} {uid}", expires=expires)
                        jobs_sql.enqueue(tx, job, now)

        return jobs_sql.relay_step(self._database, RELAY, read, write)

    # -- telling ------------------------------------------------------------------------------------------------------

    async def forward(self, lease: Lease) -> Outcome:
        """Tell one peer of one step until it knows everything."""
        name, uid = str(lease.payload["peer"]), str(lease.payload["uid"])
        peer = (await self._calls.in_thread(self._calls.peers)).get(name)
        if peer is None:
            return Failed("there is no peer of this name any more")
        try:
            if await self._following(lease, uid, name, sending=False) is None:
                return Closed()
            assoc = await self._calls.errands.connect(peer, n_mpps.for_performing())
            try:
                return await self._tell(assoc, lease, uid, name)
            finally:
                await assoc.release()
        except LeaseLost:
            raise
        except NoSuchRecord as error:
            return Failed(error.message)
        except ClassNotSupported as error:
            return await self._refused(lease, uid, name, error.message, for_good=True)
        except (VesaliusError, ConnectionGone, TimeoutError, OSError) as error:
            return Again(why_of(error))

    async def _tell(self, assoc: Association, lease: Lease, uid: str, peer: str) -> Outcome:
        begun_anew = False
        while (message := await self._following(lease, uid, peer, sending=True)) is not None:
            tell = n_mpps.create if message.create else n_mpps.update
            answer = await tell(assoc, uid, message.values, charsets=reading.texts(message.values, CHARACTER_SET))
            if is_taken(message, answer):
                # What a peer knows that had the step already is its beginning at least.
                version = 0 if message.create and not answer.succeeded else message.version
                await self._change(partial(forward.told, uid=uid, peer=peer, version=version))
            elif answer.status == statuses.NO_SUCH_SOP_INSTANCE and not message.create and not begun_anew:
                begun_anew = True
                await self._change(partial(forward.refused, uid=uid, peer=peer, why=str(answer), unknown=True))
            else:
                for_good = answer.status in _FOR_GOOD or answer.command.error_id == n_mpps.NO_LONGER_UPDATED_ID
                return await self._refused(lease, uid, peer, f"the peer answered {answer}", for_good=for_good)
        log.info("performed-step-told", peer=peer, step=uid)
        return Closed()

    async def _following(self, lease: Lease, uid: str, peer: str, *, sending: bool) -> Message | None:
        """The next message; where there is none the job is closed, in the same transaction."""

        def act(tx: Transaction) -> Message | None:
            message = ris_sql.in_transaction(tx, partial(forward.following, uid=uid, peer=peer, sending=sending))
            if message is None:
                jobs_sql.close(tx, lease, self._calls.utc())
            return message

        return await self._calls.in_thread(lambda: self._database.transaction(act, durable=True))

    async def _refused(self, lease: Lease, uid: str, peer: str, why: str, *, for_good: bool) -> Outcome:
        def act(tx: Transaction) -> None:
            ris_sql.in_transaction(tx, lambda work: forward.refused(work, uid, peer, why, for_good=for_good))
            if for_good:
                jobs_sql.fail(tx, lease, why, self._calls.utc())

        await self._calls.in_thread(lambda: self._database.transaction(act, durable=True))
        if not for_good:
            return Again(why)
        log.warning("performed-step-refused", peer=peer, step=uid, why=why)
        return Closed()

    async def _change(self, act: Callable[[RisWork], None]) -> None:
        await self._calls.in_thread(
            lambda: self._database.transaction(lambda tx: ris_sql.in_transaction(tx, act), durable=True)
        )


def is_taken(message: Message, answer: NAnswer) -> bool:
    """Whether an answer says that the peer knows it, now or from a try whose answer was lost."""
    if answer.succeeded:
        return True
    if message.create:
        return answer.status == statuses.DUPLICATE_SOP_INSTANCE
    return message.final and message.repeated and answer.status == statuses.PROCESSING_FAILURE
