"""Which of the instances that came are new: equal UIDs, equal content (PS3.4 B.2.3; service-answers C111).

Theory. The same UID with the same digest takes its bytes back and answers as a duplicate; within one batch the second
waits for the fate of the first, for it may not be acknowledged before the first is durable. Where the bytes differ, the
two are compared element by element (`model/same_content.py`): what says the same in another encoding is a duplicate,
too. The same UID with other content is kept beside the first as a conflict copy, unless its source is one whose
conflicts are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from vesalius.archive.pending import Pending
from vesalius.model.entities import Level
from vesalius.model.errors import DuplicateRefused, VesaliusError
from vesalius.model.same_content import same_content
from vesalius.ports.blobs import BlobStore
from vesalius.ports.index import Index

log = structlog.get_logger()


class Duplicates:
    """Tells new instances from known ones. For the committer thread alone.

    `largest_compared`: two data sets of one UID are compared element by element up to this size, bytes; both are in
    memory meanwhile.
    """

    def __init__(self, blobs: BlobStore, index: Index, largest_compared: int) -> None:
        self._blobs = blobs
        self._index = index
        self._largest_compared = largest_compared

    def is_new(self, pending: Pending, batch: Sequence[Pending]) -> bool:
        """Whether nothing of its UID is known or in the batch: it is kept, whatever else comes. Raises as the index."""
        uid = pending.label.sop_instance
        return all(other.label.sop_instance != uid for other in batch) and not self._index.known((uid,))

    def without(self, batch: Sequence[Pending]) -> list[Pending]:
        """Those of the batch whose bytes must be kept and are not written yet.

        The others get their verdict, error or leader here. Raises as the index.
        """
        open_ones = [pending for pending in batch if pending.received and pending.error is None]
        if not open_ones:
            return []
        known = self._index.known([pending.label.sop_instance for pending in open_ones])
        if not known and len(batch) == 1:
            return open_ones
        first: dict[str, list[tuple[str, Pending]]] = {}
        keep = []
        for pending in batch:
            digest = pending.writer.sha256()
            before = first.setdefault(pending.label.sop_instance, [])
            if pending.member is not None:
                before.append((digest, pending))
            elif pending.error is None and self._keep(pending, digest, before, known.get(pending.label.sop_instance)):
                before.append((digest, pending))
                keep.append(pending)
        return keep

    def _keep(
        self, pending: Pending, digest: str, before: list[tuple[str, Pending]], current: tuple[str, str] | None
    ) -> bool:
        if current is not None and (current[0] == digest or self._says_the_same(pending)):
            pending.drop()
            return False
        twin = next((one for other, one in before if other == digest or self._is_twin(pending, one)), None)
        if twin is not None:
            pending.drop(twin)
            return False
        if pending.refuse_conflicts and (current is not None or before):
            pending.error = DuplicateRefused(
                "another instance with this SOP Instance UID and other content is kept",
                hint="this source is set to have conflicts refused",
            )
            return False
        return True

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
            member = other.member
            data = other.writer.content() if member is None else self._blobs.read_verified(member)
            return self._same(pending, data, other.label.transfer_syntax)
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
