"""The group commit: one thread that makes instances durable, then known, then acknowledged.

Theory. Bytes are in the page cache when a transfer ends; a promise needs them on the disk and in the
index. One data sync makes everything durable that was written before it, and one transaction makes it all
known, so whatever arrives while a batch is under way joins the next batch: the price of a sync is shared by
all associations without a timer and without waiting for company. The order never changes: sync, index,
answer (a blob without a row is harmless, a row without a blob is not).

Who sends twenty instances in one request waits for no single one of them. Such instances come `together`: they wait
until there are a few, until one comes that somebody waits for, until their sender has to be answered (`hurry`), or a
moment.

Equal UIDs. Before the sync the index is asked which UIDs it knows. The same UID with the same digest takes
its bytes back and answers as a duplicate; within one batch the second waits for the fate of the first, for it
may not be acknowledged before the first is durable. Where the bytes differ, the two are compared element by element
(`model/same_content.py`): what says the same in another encoding is a duplicate, too. The same UID with other
content is kept beside the first as a conflict copy, unless its source is one whose conflicts are refused. Two
processes may still race between question and transaction: there the index decides, and the loser's bytes are dead.

Between two batches the thread does what others have to do in order with it (`between`): a tombstone must not be passed
by an instance of the same pack on its way into the index, for a recovery looks only behind what is indexed. What has
been written down but could not be told to the index, because it was away, is owed: it is told before anything else is.

Failures. A failed sync fails the whole batch. If the index is away, the members are durable but unknown and
unacknowledged: their bytes are taken back where it is certain that nothing was committed, else counted as
dead; a recovery that finds them may index them without harm, since their senders will send the same again. A
record that the index chokes on fails alone.
"""

from __future__ import annotations

import enum
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar, cast

import structlog

from vesalius.model.entities import Arrival, Level, Member, PixelLayout, Receipt, Record, Verdict
from vesalius.model.errors import DuplicateRefused, IndexUnavailable, OutOfResources, VesaliusError
from vesalius.model.same_content import same_content
from vesalius.ports.blobs import BlobStore, BlobWriter, MemberLabel
from vesalius.ports.index import Index

log = structlog.get_logger()

T = TypeVar("T")

# Two data sets of one UID are compared element by element up to this size, bytes; both are in memory meanwhile.
LARGEST_COMPARED = 64 << 20
COMPANY = 8  # instances that came `together` and are not made to wait for more
PATIENCE = 0.02  # seconds that they wait for the next one at most


class State(enum.Enum):
    """Who answers for the bytes of a pending instance."""

    WRITTEN = "written"  # its writer, which can still take them back
    FINISHED = "finished"  # the pack
    DROPPED = "dropped"  # nobody: a duplicate, its bytes taken back


@dataclass(slots=True, eq=False)
class Pending:
    """One whole and valid instance in an open pack, not yet durable."""

    writer: BlobWriter
    label: MemberLabel
    record: Record
    pixels: PixelLayout | None
    refuse_conflicts: bool
    together: bool = False  # nobody waits for it alone
    future: Future[Receipt] = field(default_factory=Future)
    state: State = State.WRITTEN
    error: BaseException | None = None
    verdict: Verdict = Verdict.STORED
    # The instance of the same batch with the same bytes whose fate this one shares.
    leader: Pending | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """Something to be done between two batches."""

    act: Callable[[], object]
    future: Future[object]


class _Hurry:
    """Somebody waits for what came `together`."""


_HURRY = _Hurry()


class Sealer:
    """Owner of the committer thread. Thread-safe; the thread starts with the first submission."""

    def __init__(
        self, blobs: BlobStore, index: Index, *, largest_batch: int = 256, largest_compared: int = LARGEST_COMPARED
    ) -> None:
        self._blobs = blobs
        self._index = index
        self._largest_compared = largest_compared
        self._largest_batch = largest_batch
        self._queue: queue.SimpleQueue[Pending | _Task | _Hurry | None] = queue.SimpleQueue()
        self._owed: list[Callable[[], object]] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, pending: Pending) -> None:
        """Queue for the next batch; `pending.future` tells the outcome. Never raises."""
        if (self._thread is None or self._closed) and not self._start():
            pending.writer.abort()
            pending.future.set_exception(OutOfResources("the archive is shutting down"))
            return
        self._queue.put(pending)

    def hurry(self) -> None:
        """What was submitted `together` is sealed now."""
        self._queue.put(_HURRY)

    def between(self, act: Callable[[], T]) -> Future[T]:
        """Run `act` on the committer thread between two batches; the future tells what it answers or raises."""
        future: Future[object] = Future()
        if (self._thread is None or self._closed) and not self._start():
            future.set_exception(OutOfResources("the archive is shutting down"))
        else:
            self._queue.put(_Task(act, future))
        return cast("Future[T]", future)

    def owe(self, act: Callable[[], object]) -> None:
        """Something that has to be told to the index before any batch is. Call it from `between` only."""
        self._owed.append(act)

    def _start(self) -> bool:
        """Have the thread run; False where the sealer is closed."""
        with self._lock:
            if self._closed:
                return False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)
                self._thread.start()
            return True

    def close(self) -> None:
        """Seal what is queued, then end the thread."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join()
        self._refuse_stragglers()

    def _refuse_stragglers(self) -> None:
        while not self._queue.empty():
            late = self._queue.get()
            if isinstance(late, Pending | _Task):
                if isinstance(late, Pending):
                    late.writer.abort()
                late.future.set_exception(OutOfResources("the archive is shutting down"))

    def _run(self) -> None:
        waiting = self._queue
        last = False
        while not last:
            item = waiting.get()
            batch: list[Pending] = []
            task: _Task | None = None
            hurried = False
            while True:
                if item is None:
                    last = True
                    break
                if isinstance(item, _Task):
                    task = item
                    break
                if isinstance(item, _Hurry):
                    hurried = True
                else:
                    batch.append(item)
                    hurried = hurried or not item.together
                    if len(batch) >= self._largest_batch:
                        break
                try:
                    hurried = hurried or len(batch) >= COMPANY
                    item = waiting.get_nowait() if hurried else waiting.get(timeout=PATIENCE)
                except queue.Empty:
                    break
            if batch:
                self._seal(batch)
            if task is not None:
                self._do(task)

    def _do(self, task: _Task) -> None:
        try:
            self._settle_debts()
            result = task.act()
        except BaseException as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(result)

    def _settle_debts(self) -> None:
        """Raises `IndexUnavailable` as long as the index is away."""
        while self._owed:
            try:
                self._owed[0]()
            except IndexUnavailable:
                raise
            except Exception:
                log.exception("debt-dropped")
            del self._owed[0]

    def _seal(self, batch: list[Pending]) -> None:
        started = time.perf_counter()
        try:
            self._commit(batch)
        except Exception as error:
            if not isinstance(error, VesaliusError):
                log.exception("seal-failed", instances=len(batch))
            for pending in batch:
                if pending.error is None and pending.state is not State.DROPPED:
                    pending.error = error
        for pending in batch:
            if pending.error is not None and pending.state is State.WRITTEN:
                pending.writer.abort()
        for pending in batch:
            _resolve(pending)
        log.debug("sealed", instances=len(batch), seconds=round(time.perf_counter() - started, 6))

    def _commit(self, batch: list[Pending]) -> None:
        if self._owed:
            self._settle_debts()
        sealed: list[tuple[Pending, Member]] = []
        for pending in self._without_duplicates(batch):
            try:
                sealed.append((pending, pending.writer.finish(pending.label)))
            except VesaliusError as error:
                pending.error = error
            else:
                pending.state = State.FINISHED
        if sealed:
            self._blobs.sync([member for _, member in sealed])
            self._make_known(sealed)

    def _without_duplicates(self, batch: list[Pending]) -> list[Pending]:
        """Those whose bytes must be kept; the others get their verdict, error or leader here."""
        known = self._index.known([pending.label.sop_instance for pending in batch])
        if not known and len(batch) == 1:
            return batch
        first: dict[str, list[tuple[str, Pending]]] = {}
        keep = []
        for pending in batch:
            uid = pending.label.sop_instance
            current = known.get(uid)
            digest = pending.writer.sha256()
            if current is not None and (current[0] == digest or self._says_the_same(pending)):
                _drop(pending)
                continue
            before = first.setdefault(uid, [])
            twin = next((one for other, one in before if other == digest or self._is_twin(pending, one)), None)
            if twin is not None:
                _drop(pending, twin)
            elif pending.refuse_conflicts and (current is not None or before):
                pending.error = DuplicateRefused(
                    "another instance with this SOP Instance UID and other content is kept",
                    hint="this source is set to have conflicts refused",
                )
            else:
                before.append((digest, pending))
                keep.append(pending)
        return keep

    def _says_the_same(self, pending: Pending) -> bool:
        """Whether the current instance of this UID is the same one in another encoding. Never raises."""
        if not 0 < pending.writer.dataset_length <= self._largest_compared:
            return False
        try:
            for kept in self._index.select(Level.IMAGE, instances=[pending.label.sop_instance]):
                if kept.member.dataset_length <= self._largest_compared:
                    stored = self._blobs.read_verified(kept.member)
                    return self._same(pending, stored, kept.transfer_syntax)
        except (VesaliusError, OSError) as error:
            log.warning("not-compared", sop_instance=pending.label.sop_instance, why=type(error).__name__)
        return False

    def _is_twin(self, pending: Pending, other: Pending) -> bool:
        """The same of two instances of one batch."""
        if max(pending.writer.dataset_length, other.writer.dataset_length) > self._largest_compared:
            return False
        try:
            return self._same(pending, other.writer.content(), other.label.transfer_syntax)
        except (VesaliusError, OSError):
            return False

    def _same(self, pending: Pending, data: bytes, transfer_syntax: str) -> bool:
        return same_content(
            pending.writer.content(),
            pending.label.transfer_syntax,
            data,
            transfer_syntax,
            largest=self._largest_compared,
        )

    def _make_known(self, sealed: list[tuple[Pending, Member]]) -> None:
        try:
            verdicts = self._index.ingest([_arrival(pending, member) for pending, member in sealed])
        except IndexUnavailable as error:
            self._give_up(sealed, error)
        except Exception as error:
            if len(sealed) == 1:
                log.exception("index-refused", sop_instance=sealed[0][0].label.sop_instance)
                self._give_up(sealed, error)
                return
            for one in sealed:  # one bad record must not take the others with it
                self._make_known([one])
        else:
            for (pending, member), verdict in reversed(list(zip(sealed, verdicts, strict=True))):
                pending.verdict = verdict
                if verdict is Verdict.DUPLICATE:
                    self._blobs.discard(member, undone=True)

    def _give_up(self, sealed: list[tuple[Pending, Member]], error: Exception) -> None:
        # Senders try again and again: where it is sure that no row refers to them, the bytes must not pile up.
        undone = isinstance(error, IndexUnavailable) and error.undone
        for pending, member in reversed(sealed):
            pending.error = error
            self._blobs.discard(member, undone=undone)


def _drop(pending: Pending, leader: Pending | None = None) -> None:
    """A duplicate, of what is known already or of `leader`: take its bytes back."""
    pending.verdict = Verdict.DUPLICATE
    pending.state = State.DROPPED
    pending.leader = leader
    pending.writer.abort()


def _arrival(pending: Pending, member: Member) -> Arrival:
    label = pending.label
    return Arrival(
        record=pending.record,
        member=member,
        provenance=label.provenance,
        sop_class=label.sop_class,
        sop_instance=label.sop_instance,
        transfer_syntax=label.transfer_syntax,
        pixels=pending.pixels,
    )


def _resolve(pending: Pending) -> None:
    if pending.future.cancelled():
        return
    error = pending.error
    if error is None and pending.leader is not None:
        error = pending.leader.error
    if error is not None:
        pending.future.set_exception(error)
    else:
        pending.future.set_result(
            Receipt(
                pending.verdict,
                pending.label.sop_instance,
                pending.label.study,
                pending.record.notes,
                pending.label.series,
            )
        )
