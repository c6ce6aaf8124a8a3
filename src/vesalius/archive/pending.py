"""An instance that has come whole and is on its way to being durable and known (the noun of `archive/seal.py`)."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from vesalius.model.entities import Arrival, Member, PixelLayout, Receipt, Record, Verdict
from vesalius.ports.blobs import BlobWriter, MemberLabel


@dataclass(slots=True, eq=False)
class Pending:
    """One whole and valid instance, not yet durable."""

    writer: BlobWriter
    label: MemberLabel
    record: Record
    pixels: PixelLayout | None
    refuse_conflicts: bool
    together: bool = False  # nobody waits for it alone
    future: Future[Receipt] = field(default_factory=Future)
    member: Member | None = None  # where it lies, once written: then the pack answers for its bytes
    dropped: bool = False  # a duplicate, its bytes taken back
    error: BaseException | None = None
    verdict: Verdict = Verdict.STORED
    # The instance of the same batch with the same bytes whose fate this one shares.
    leader: Pending | None = None

    @property
    def received(self) -> bool:
        """Whether its writer still has the bytes, and can take them back."""
        return self.member is None and not self.dropped

    def write(self) -> Member:
        """Hand the bytes to the pack. Not durable until `BlobStore.sync`. Raises `OutOfResources`, `VolumeReadOnly`."""
        self.member = self.writer.finish(self.label)
        return self.member

    def drop(self, leader: Pending | None = None) -> None:
        """A duplicate, of what is known already or of `leader`: take its bytes back."""
        self.verdict = Verdict.DUPLICATE
        self.dropped = True
        self.leader = leader
        self.writer.abort()

    def arrival(self, member: Member) -> Arrival:
        """What the index is told."""
        label = self.label
        return Arrival(
            record=self.record,
            member=member,
            provenance=label.provenance,
            sop_class=label.sop_class,
            sop_instance=label.sop_instance,
            transfer_syntax=label.transfer_syntax,
            pixels=self.pixels,
        )

    def resolve(self) -> None:
        """Tell the future what has become of it."""
        if self.future.cancelled():
            return
        error = self.error
        if error is None and self.leader is not None:
            error = self.leader.error
        if error is not None:
            self.future.set_exception(error)
        else:
            label = self.label
            self.future.set_result(
                Receipt(self.verdict, label.sop_instance, label.study, self.record.notes, label.series)
            )
