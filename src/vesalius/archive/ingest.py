"""The one way in: C-STORE, C-GET, import, STOW-RS and uploads all receive through here.

Theory. `receive` checks the claim and reserves a place in an open pack; `write` puts the bytes there as they
come and shows them to the header walker on the way, so memory stays bounded however large the object;
`finish` turns the header into a record, compares it with the claim, and hands the instance to the
group commit (`archive/seal.py`), whose future is the archive's promise: durable and findable (PS3.4 B.2.3).

A refusal may come at any byte. `write` therefore never raises: it remembers the first refusal, takes the
bytes back at once, and lets the rest of the transfer fall on the floor, so that an edge can always read the
message to its end and answer with the right status. Whatever is refused, aborted or broken off leaves no trace.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from vesalius.archive.pending import Pending
from vesalius.archive.seal import LARGEST_COMPARED, Sealer
from vesalius.archive.validate import check_claim, check_record
from vesalius.model.attributes import extract
from vesalius.model.elements import HeaderLimits, HeaderReader
from vesalius.model.entities import Claim, Provenance, Receipt
from vesalius.model.errors import LimitExceeded, OutOfResources, VesaliusError
from vesalius.model.native_frames import laid_out
from vesalius.ports.blobs import BlobStore, BlobWriter, MemberLabel
from vesalius.ports.clock import Clock
from vesalius.ports.index import Index

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How much one sender may ask for. Every figure is a setting."""

    # Largest data set, bytes as received. The largest real objects (whole slide images) are some 10 GB.
    object_bytes: int = 64 << 30
    header: HeaderLimits = field(default_factory=HeaderLimits)
    # Most instances made durable by one sync and one transaction.
    batch: int = 256
    # Two data sets of one UID with different bytes are compared element by element up to this size; 0: never.
    compared_bytes: int = LARGEST_COMPARED


class Observer(Protocol):
    """Who wants to know what came in (metrics, audit). Called from any thread; must not block or raise."""

    def stored(self, receipt: Receipt, claim: Claim, provenance: Provenance, length: int) -> None:
        """An instance of `length` bytes is durable and findable (or was already)."""
        ...

    def refused(self, error: BaseException, claim: Claim, provenance: Provenance) -> None:
        """An instance was not kept, for this reason."""
        ...


class Ingest:
    """Receives instances from any number of edges and threads of one process."""

    def __init__(
        self,
        blobs: BlobStore,
        index: Index,
        *,
        clock: Clock,
        limits: IngestLimits | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._blobs = blobs
        self._clock = clock
        self._limits = limits or IngestLimits()
        self._observe = observe
        self._sealer = Sealer(
            blobs, index, largest_batch=self._limits.batch, largest_compared=self._limits.compared_bytes
        )
        self._closed = False

    def receive(
        self,
        claim: Claim,
        provenance: Provenance,
        *,
        refuse_conflicts: bool = False,
        study: str = "",
        declared: bool = False,
        together: bool = False,
    ) -> Reception:
        """Begin to receive one instance; with `study`, one of that study or none at all.

        `declared`: its class was agreed on as a storage class (PS3.4 B.3.1.3), though no table knows it.
        `together`: nobody waits for it alone; it may wait for others, until somebody calls `hurry`.

        Raises `InvalidInstanceUID`, `ClassNotSupported` for the claim, `OutOfResources` where there is no
        room or the archive is closing. `provenance.received_at` is filled in if empty.
        """
        try:
            if self._closed:
                raise OutOfResources("the archive is shutting down", hint="send again later")
            check_claim(claim, declared=declared)
            if not provenance.received_at:
                provenance = dataclasses.replace(provenance, received_at=self._clock.utc())
            writer = self._blobs.begin(claim, provenance, together=together)
        except VesaliusError as error:
            if self._observe is not None:
                self._observe.refused(error, claim, provenance)
            raise
        return Reception(
            self._sealer, writer, claim, provenance, self._limits, self._observe, refuse_conflicts, study, together
        )

    @property
    def spare(self) -> bool:
        """Whether a small instance received `together` waits for no disk now: it will lie in memory."""
        return self._blobs.spare

    def hurry(self) -> None:
        """Somebody waits for what was received `together`."""
        self._sealer.hurry()

    def between(self, act: Callable[[], T]) -> Future[T]:
        """Run `act` in order with what is being received: after a batch is indexed, before the next is (`seal.py`)."""
        return self._sealer.between(act)

    def owe(self, act: Callable[[], object]) -> None:
        """What the index must be told before it is told of any further instance. From within `between` only."""
        self._sealer.owe(act)

    def close(self) -> None:
        """Take no more, seal what has arrived whole, and end the committer thread."""
        self._closed = True
        self._sealer.close()


class Reception:
    """One instance on its way in. Not thread-safe: one caller at a time. Ends with `finish` or `abort`."""

    __slots__ = (
        "_claim",
        "_error",
        "_header",
        "_length",
        "_most",
        "_observe",
        "_provenance",
        "_refuse_conflicts",
        "_sealer",
        "_study",
        "_together",
        "_writer",
    )

    def __init__(
        self,
        sealer: Sealer,
        writer: BlobWriter,
        claim: Claim,
        provenance: Provenance,
        limits: IngestLimits,
        observe: Observer | None,
        refuse_conflicts: bool,
        study: str,
        together: bool,
    ) -> None:
        self._study = study
        self._together = together
        self._sealer = sealer
        self._writer = writer
        self._claim = claim
        self._provenance = provenance
        self._observe = observe
        self._refuse_conflicts = refuse_conflicts
        self._header = HeaderReader(claim.transfer_syntax, limits.header)
        self._most = limits.object_bytes
        self._length = 0
        self._error: VesaliusError | None = None

    @property
    def length(self) -> int:
        """Bytes of data set received, refused ones included."""
        return self._length

    @property
    def error(self) -> VesaliusError | None:
        """The first refusal, if there was one: an edge may stop reading early."""
        return self._error

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the data set. Never raises: a refusal is told by `finish`."""
        self._length += len(data)
        if self._error is not None:
            return
        try:
            if self._length > self._most:
                raise LimitExceeded("the data set is larger than the largest that this archive takes")
            self._writer.write(data)
            self._header.feed(data)
        except Exception as error:
            self._refuse(error)

    def finish(self) -> Future[Receipt]:
        """End of the data set. The future is done when the instance is durable and findable, or raises the refusal."""
        if self._error is None:
            try:
                header = self._header.finish()
                record = extract(header)
                check_record(self._claim, record, self._study)
            except Exception as error:
                self._refuse(error)
            else:
                pending = Pending(
                    writer=self._writer,
                    label=MemberLabel(
                        study=str(record.study["study_instance_uid"]),
                        series=str(record.series["series_instance_uid"]),
                        sop_instance=self._claim.sop_instance,
                        sop_class=self._claim.sop_class,
                        transfer_syntax=self._claim.transfer_syntax,
                        provenance=self._provenance,
                    ),
                    record=record,
                    pixels=laid_out(header),
                    refuse_conflicts=self._refuse_conflicts,
                    together=self._together,
                )
                if self._observe is not None:
                    pending.future.add_done_callback(self._tell)
                self._sealer.submit(pending)
                return pending.future
        refused: Future[Receipt] = Future()
        refused.set_exception(self._error)
        if self._observe is not None and self._error is not None:
            self._observe.refused(self._error, self._claim, self._provenance)
        return refused

    def abort(self) -> None:
        """The transfer broke off: no trace remains. Harmless after a refusal."""
        if self._error is None:
            self._error = OutOfResources("the transfer was broken off")
            self._writer.abort()

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, VesaliusError):
            self._error = error
        else:
            # A fault of our own. The sender gets a failure and the log an id to find it by, without any value.
            error_id = uuid.uuid4().hex[:12]
            log.error("ingest-fault", error_id=error_id, exc_info=error, sop_instance=self._claim.sop_instance)
            self._error = VesaliusError(f"internal error {error_id}", hint="report it with the log lines of this id")
        self._writer.abort()

    def _tell(self, future: Future[Receipt]) -> None:
        if self._observe is None or future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._observe.stored(future.result(), self._claim, self._provenance, self._length)
        else:
            self._observe.refused(error, self._claim, self._provenance)
