"""Storage commitment (PS3.4 annex J): taking over the responsibility for instances, and asking others to.

Theory. A modality deletes its images once an archive has committed itself to them, so a commitment is a statement about
bytes, not about rows: every named instance is read again from the medium in every place that is configured to hold it
(the primary and each of `store.copies`), and its digest compared with the one of its receipt. A place that lags is
brought up first; a bad member is rewritten from a good one first, and read again. Only what passes everywhere is
committed; the rest gets its reason (PS3.3 C.14.1.1).

    request --accept--> received --check--> checked --report--> told          (this archive is asked)
    plan    ----------> planned  --ask----> asked   --result--> committed     (this archive asks)
                                            |                   failed
                                            +-- never answered -> expired

Each arrow is one durable transaction, made by a job that is taken up again after a crash (`ports/jobs.py`). The request
is acknowledged when it and its job are durable, and never before. What is deleted later, although it was promised, is
told to the person who deletes it (`archive/delete.py`): a promise can be taken back, but not in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from vesalius.archive.copies import bring
from vesalius.archive.delete import moment
from vesalius.archive.verify import PRIMARY, mend
from vesalius.model import commitments as nouns
from vesalius.model.commitments import (
    COMMITTED,
    Commitment,
    CommitmentRequest,
    CommitmentResult,
    CommitmentState,
    Reference,
)
from vesalius.model.entities import Level, PackInfo, Peer, StoredInstance
from vesalius.model.errors import IndexUnavailable, OutOfResources, VesaliusError
from vesalius.model.identifiers import new_uid
from vesalius.ports.blobs import BlobStore
from vesalius.ports.clock import Clock
from vesalius.ports.commitments import Commitments
from vesalius.ports.index import Index
from vesalius.ports.jobs import Job, Lease
from vesalius.standard import sop_classes

log = structlog.get_logger()

# Kinds of jobs.
CHECK = "commitment.check"
REPORT = "commitment.report"
ASK = "commitment.ask"
DUE = "commitment.due"

# So many instances are looked up at once.
_BATCH = 500


class PlacesBehind(OutOfResources):
    """A further place cannot be brought up now, so nothing can be said of it yet."""


class Commit:
    """The verbs of storage commitment. Everything blocks; use it from any thread.

    `owner` names this process in leases, `seconds` is how long its leases last. `expiry`: seconds until a result that
    cannot be told, or a request that is not answered, is given up.
    """

    def __init__(
        self,
        kept: Commitments,
        index: Index,
        blobs: BlobStore,
        clock: Clock,
        *,
        owner: str = "",
        seconds: float = 30.0,
        expiry: float = 7 * 86400.0,
    ) -> None:
        self.kept = kept
        self._index = index
        self._blobs = blobs
        self._clock = clock
        self._owner = owner
        self._seconds = seconds
        self.expiry = expiry

    # -- asked by a peer ---------------------------------------------------------------------------------------------

    def accept(self, request: CommitmentRequest) -> Lease:
        """Take a request: durable when this returns, and so is the job that follows, which is leased to this process.

        Raises `IndexUnavailable`.
        """
        now = self._clock.utc()
        lease = self.kept.accept(request, now, self._owner, self._seconds, _check_job, _report_job)
        log.info(
            "commitment-received",
            commitment=lease.payload["commitment"],
            peer=request.peer or request.aet,
            instances=len(request.references),
            duplicate=lease.kind == REPORT,
        )
        return lease

    def check(self, lease: Lease, *, patient: bool = True) -> Lease:
        """Read every instance again and keep the result; the lease of the job that tells it.

        `patient`: raise `PlacesBehind` where a place cannot be brought up, instead of answering resource limitation.
        Raises `LeaseLost`, `IndexUnavailable`.
        """
        commitment = int(lease.payload["commitment"])
        named = [Reference(one.sop_class, one.sop_instance) for one in self.kept.instances(commitment)]
        reasons = examine(self._index, self._blobs, named, patient=patient)
        report = _report_job(commitment)
        following = self.kept.checked(lease, commitment, reasons, self._clock.utc(), self._seconds, report)
        failed = sum(reason != COMMITTED for reason in reasons)
        log.info("commitment-checked", commitment=commitment, instances=len(reasons), failed=failed)
        return following

    def result_of(self, commitment: Commitment) -> CommitmentResult:
        """What was found out, as it is told; reasons by instance."""
        named = self.kept.instances(commitment.id)
        failed = {one.sop_instance: one.reason for one in named if one.reason}
        committed = frozenset(one.sop_instance for one in named if one.reason == COMMITTED) - failed.keys()
        return CommitmentResult(commitment.transaction_uid, committed, failed)

    def told(self, lease: Lease) -> None:
        """The peer has acknowledged the result. Raises `LeaseLost`."""
        self.kept.told(lease, int(lease.payload["commitment"]), self._clock.utc())

    # -- asking a peer -----------------------------------------------------------------------------------------------

    def plan(self, peer: Peer, references: Iterable[Reference], study: str = "") -> int:
        """Ask a peer to commit itself to instances: kept, and done by the running service. The request's number."""
        request = CommitmentRequest(new_uid(), tuple(references), peer=peer.name, aet=peer.aet, study=study)
        return self.kept.plan(request, self._clock.utc(), _ask_job)

    def asked(self, lease: Lease) -> None:
        """The peer has acknowledged the request. Raises `LeaseLost`."""
        commitment = int(lease.payload["commitment"])
        now = self._clock.utc()
        due = Job(DUE, {"commitment": commitment}, str(commitment), moment(now, self.expiry))
        self.kept.asked(lease, commitment, now, due)

    def result(self, result: CommitmentResult, aet: str) -> CommitmentState | None:
        """Take a peer's result; None where nothing of the kind was asked of this peer. Harmless when done before."""
        state = self.kept.result(result, aet, self._clock.utc())
        if state is not None:
            log.info("commitment-result", transaction=result.transaction_uid, state=state.value)
        return state

    # -- ends ---------------------------------------------------------------------------------------------------------

    def give_up(self, lease: Lease, state: CommitmentState, why: str, *, unless: bool = False) -> None:
        """Nothing more will come of it. Raises `LeaseLost`."""
        commitment = int(lease.payload["commitment"])
        self.kept.ended(lease, commitment, state, why, self._clock.utc(), unless)
        log.warning("commitment-given-up", commitment=commitment, state=state.value, why=why)

    def is_over(self, since: str) -> bool:
        """Whether what began then is to be given up."""
        return moment(since, self.expiry) <= self._clock.utc()


def _check_job(commitment: int) -> Job:
    return Job(CHECK, {"commitment": commitment}, str(commitment))


def _report_job(commitment: int) -> Job:
    return Job(REPORT, {"commitment": commitment}, str(commitment))


def _ask_job(commitment: int) -> Job:
    return Job(ASK, {"commitment": commitment}, str(commitment))


# -- reading again ---------------------------------------------------------------------------------------------------


def examine(index: Index, blobs: BlobStore, named: Sequence[Reference], *, patient: bool = False) -> list[int]:
    """A reason for each reference: 0, or why this archive does not commit itself to the instance.

    Raises `IndexUnavailable`, and `PlacesBehind` where `patient`.
    """
    found: dict[str, StoredInstance] = {}
    uids = list(dict.fromkeys(one.sop_instance for one in named))
    for start in range(0, len(uids), _BATCH):
        batch = index.select(Level.IMAGE, instances=uids[start : start + _BATCH])
        found.update((one.sop_instance, one) for one in batch)
    reader = _Reader(index, blobs, patient)
    # In the order of the disk; what is named twice is read once.
    good: dict[str, int] = {}
    for one in sorted(found.values(), key=lambda stored: (stored.member.pack, stored.member.offset)):
        good[one.sop_instance] = reader.examine(one)
    return [_reason(one, found.get(one.sop_instance), good) for one in named]


def _reason(named: Reference, found: StoredInstance | None, good: dict[str, int]) -> int:
    if not sop_classes.is_storage(named.sop_class):
        return nouns.CLASS_NOT_SUPPORTED
    if found is None:
        return nouns.NO_SUCH_INSTANCE
    if found.sop_class != named.sop_class:
        return nouns.CLASS_INSTANCE_CONFLICT
    return good[named.sop_instance]


class _Reader:
    """Reads instances in every place; remembers which copies it has brought up."""

    def __init__(self, index: Index, blobs: BlobStore, patient: bool) -> None:
        self._index = index
        self._blobs = blobs
        self._patient = patient
        self._packs: dict[str, PackInfo] | None = None
        self._copied: dict[tuple[str, str], int] = {}
        self._away: set[tuple[str, str]] = set()

    def examine(self, stored: StoredInstance) -> int:
        """0, processing failure or resource limitation."""
        reason = self._examine(stored)
        if reason == nouns.PROCESSING_FAILURE:
            # A compaction may have moved it between the look-up and the reading.
            moved = next(iter(self._index.select(Level.IMAGE, instances=(stored.sop_instance,))), None)
            if moved is None:
                return nouns.NO_SUCH_INSTANCE
            if moved.member != stored.member:
                self._packs = None
                return self._examine(moved)
        return reason

    def _examine(self, stored: StoredInstance) -> int:
        member = stored.member
        behind = [place for place in self._blobs.places() if not self._has(place, stored)]
        if behind and self._patient:
            raise PlacesBehind(f"the place {behind[0]} does not have pack {member.pack} yet")
        places = [PRIMARY, *(place for place in self._blobs.places() if place not in behind)]
        bad = [place for place in places if not self._blobs.check(member, place or None)]
        for place in list(bad):
            mended = len(bad) < len(places) and mend(self._blobs, member, place)
            self._index.mark_damaged(member, place, not mended)
            if mended:
                bad.remove(place)
        if bad:
            log.error("commitment-damaged", sop_instance=stored.sop_instance, pack=member.pack, places=bad)
            return nouns.PROCESSING_FAILURE
        return nouns.RESOURCE_LIMITATION if behind else COMMITTED

    def _has(self, place: str, stored: StoredInstance) -> bool:
        """Whether a further place holds the instance, once it was brought up."""
        pack, end = stored.member.pack, stored.member.end
        copied = self._copied.get((pack, place), 0)
        if copied < end and (pack, place) not in self._away:
            try:
                copied = self._copied[pack, place] = self._bring(place, pack)
            except IndexUnavailable:
                raise
            except VesaliusError as error:
                log.warning("commitment-place-behind", place=place, pack=pack, error=error.message)
                self._away.add((pack, place))
        return copied >= end

    def _bring(self, place: str, pack: str) -> int:
        if self._packs is None or pack not in self._packs:
            self._packs = {one.name: one for one in self._index.packs()}
        known = self._packs.get(pack)
        return bring(self._blobs, self._index, place, known).copied_to if known is not None else 0
