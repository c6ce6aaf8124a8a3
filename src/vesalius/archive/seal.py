"""The group commit: one thread that makes instances durable, then known, then acknowledged.

Theory. Bytes are in the page cache when a transfer ends; a promise needs them on the disk and in the
index. One data sync makes everything durable that was written before it, and one transaction makes it all
known, so whatever arrives while a batch is under way joins the next batch: the price of a sync is shared by
all associations without a timer and without waiting for company. The order never changes: sync, index,
answer (a blob without a row is harmless, a row without a blob is not).

Who sends twenty instances in one request waits for no single one of them. Such instances come `together`: each is
written as it comes, unless its UID is known, and its way to the disk is begun, so that the disk has little left to do
when they are synced and indexed: when there are enough, when one comes that somebody waits for, when their sender has
to be answered (`hurry`), or after a moment.

Equal UIDs are looked for before anything is written (`archive/duplicates.py`). Two processes may still race between
question and transaction: there the index decides, and the loser's bytes are dead.

Between two batches the thread does what others have to do in order with it (`between`): a tombstone must not be passed
by an instance of the same pack on its way into the index, for a recovery looks only behind what is indexed. What has
been written down but could not be told to the index, because it was away, is owed: it is told before anything else is.

Failures. A failed sync fails the whole batch. If the index is away, the members are durable but unknown and
unacknowledged: their bytes are taken back where it is certain that nothing was committed, else counted as
dead; a recovery that finds them may index them without harm, since their senders will send the same again. A
record that the index chokes on fails alone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar, cast

import structlog

from vesalius.archive.duplicates import Duplicates
from vesalius.archive.pending import Pending
from vesalius.model.entities import Member, Verdict
from vesalius.model.errors import IndexUnavailable, OutOfResources, VesaliusError
from vesalius.ports.blobs import BlobStore
from vesalius.ports.index import Index

log = structlog.get_logger()

T = TypeVar("T")
_Written = tuple[Pending, Member]

# Two data sets of one UID are compared element by element up to this size, bytes; both are in memory meanwhile.
LARGEST_COMPARED = 64 << 20
COMPANY = 8  # instances that came `together` and are not made to wait for more
PATIENCE = 0.02  # seconds that they wait for the next one at most


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
        self._duplicates = Duplicates(blobs, index, largest_compared)
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
                    if item.together:
                        self._write_ahead(item, batch)
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

    def _write_ahead(self, pending: Pending, batch: list[Pending]) -> None:
        """Write one that came `together` while others are awaited. What stands in its way is left to the commit."""
        try:
            if not self._owed and self._duplicates.is_new(pending, batch):
                self._blobs.hasten(pending.write())
        except IndexUnavailable:
            pass  # perhaps it is back by then
        except Exception as error:
            if not isinstance(error, VesaliusError):
                log.exception("seal-failed", instances=1)
            pending.error = error

    def _seal(self, batch: list[Pending]) -> None:
        started = time.perf_counter()
        try:
            self._commit(batch)
        except Exception as error:
            if not isinstance(error, VesaliusError):
                log.exception("seal-failed", instances=len(batch))
            for pending in batch:
                if pending.error is None and not pending.dropped:
                    pending.error = error
        for pending in batch:
            if pending.error is not None and pending.received:
                pending.writer.abort()
        for pending in batch:
            pending.resolve()
        log.debug("sealed", instances=len(batch), seconds=round(time.perf_counter() - started, 6))

    def _commit(self, batch: list[Pending]) -> None:
        try:
            if self._owed:
                self._settle_debts()
            new = self._duplicates.without(batch)
        except Exception as error:
            self._give_up(_written(batch), error, undone=True)
            raise
        for pending in new:
            try:
                pending.write()
            except VesaliusError as error:
                pending.error = error
        written = _written(batch)
        if written:
            self._blobs.sync([member for _, member in written])
            self._make_known(written)

    def _make_known(self, sealed: list[_Written]) -> None:
        try:
            verdicts = self._index.ingest([pending.arrival(member) for pending, member in sealed])
        except IndexUnavailable as error:
            self._give_up(sealed, error, undone=error.undone)
        except Exception as error:
            if len(sealed) == 1:
                log.exception("index-refused", sop_instance=sealed[0][0].label.sop_instance)
                self._give_up(sealed, error, undone=False)
                return
            for one in sealed:  # one bad record must not take the others with it
                self._make_known([one])
        else:
            for (pending, _), verdict in zip(sealed, verdicts, strict=True):
                pending.verdict = verdict
            for pending, member in _last_first(sealed):
                if pending.verdict is Verdict.DUPLICATE:
                    self._blobs.discard(member, undone=True)

    def _give_up(self, sealed: list[_Written], error: Exception, *, undone: bool) -> None:
        # Senders try again and again: where it is sure that no row refers to them, the bytes must not pile up.
        for pending, member in _last_first(sealed):
            pending.error = error
            self._blobs.discard(member, undone=undone)


def _written(batch: list[Pending]) -> list[_Written]:
    return [(one, one.member) for one in batch if one.member is not None]


def _last_first(sealed: list[_Written]) -> list[_Written]:
    """As bytes are taken back: from the end of each pack."""
    return sorted(sealed, key=lambda one: (one[1].pack, one[1].header_offset), reverse=True)
