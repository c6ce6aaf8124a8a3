"""The index: what is known, in rows. Everything here blocks; callers on an event loop use a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from vesalius.model.entities import (
    Arrival,
    CopyInfo,
    Event,
    Level,
    Member,
    PackInfo,
    Peer,
    StoredInstance,
    Totals,
    Verdict,
)
from vesalius.model.query import Match, Query
from vesalius.ports.index_deletions import DeletionIndex

HANDFUL = 20  # rows that an event loop may read itself


class Index(DeletionIndex, Protocol):
    """Rows of patients, studies, series, instances, packs, copies, peers, notes and the outbox."""

    @property
    def at_once(self) -> bool:
        """Whether a look-up of a few rows takes microseconds and waits for no other machine."""
        ...

    def known(self, sop_instances: Sequence[str]) -> dict[str, tuple[str, str]]:
        """SOP Instance UID -> (sha256, Study Instance UID) of the current instance, for those that are known."""
        ...

    def ingest(self, batch: Sequence[Arrival]) -> list[Verdict]:
        """One transaction: rows, counters, notes, the packs' `indexed_to` and one outbox row each.

        The same UID with the same digest is DUPLICATE (nothing is written), with another digest CONFLICT
        (kept beside the first). Concurrent first instances of one patient, study or series, from any number
        of processes, make exactly one row. Raises `IndexUnavailable`.
        """
        ...

    def find(self, query: Query) -> Iterator[list[Match]]:
        """Answers in pages, the first before the last row is read; each page is one short read.

        Stable order. Abandon the iterator to cancel; a page may be empty, to give the chance during a long search.
        """
        ...

    def find_at_once(self, query: Query) -> list[Match] | None:
        """Everything that `find` would answer, where it is few rows that an index leads to; None: ask `find`.

        Takes well under a millisecond and waits for no other machine, so that an event loop may ask.
        """
        ...

    def select(
        self,
        level: Level,
        *,
        patient_id: str | None = None,
        studies: Sequence[str] = (),
        series: Sequence[str] = (),
        instances: Sequence[str] = (),
    ) -> Iterator[StoredInstance]:
        """Current instances under the given unique keys, in order of study, series, instance number."""
        ...

    def versions(self, study: str, series: str | None = None) -> dict[str, str]:
        """Series Instance UID -> a text that changes whenever the current instances of the series do.

        Of every series of a study, or of one; cheap enough to ask on each request. Unknown: empty.
        """
        ...

    def events(self, since: int, limit: int = 1000) -> list[Event]:
        """What became of the archive after the event `since` (0: from the beginning), oldest first."""
        ...

    def last_event(self) -> int:
        """The id of the newest event; 0 where there is none."""
        ...

    def members(self, pack: str | None = None) -> Iterator[tuple[StoredInstance, str]]:
        """Every kept instance, conflict copies included, with its state, in order of pack and offset."""
        ...

    def packs(self) -> list[PackInfo]:
        """Every pack that the index knows."""
        ...

    def save_pack(self, pack: PackInfo) -> None:
        """Insert or update what is known of a pack."""
        ...

    def copies(self, place: str | None = None) -> list[CopyInfo]:
        """What the further places hold."""
        ...

    def save_copy(self, copy: CopyInfo) -> None:
        """Insert or update what a further place holds."""
        ...

    def mark_damaged(self, member: Member, place: str, damaged: bool) -> None:
        """Remember that a copy of a member failed (or passed again) its digest check."""
        ...

    def damaged(self) -> list[tuple[str, int, str]]:
        """Copies that failed their digest check and have not passed since: (pack, offset of the file, place)."""
        ...

    def outdated(self) -> bool:
        """Whether the attribute table has changed since the rows were written: time for `vesalius reindex`."""
        ...

    def peers(self) -> list[Peer]:
        """Every peer kept in the database."""
        ...

    def save_peer(self, peer: Peer) -> None:
        """Insert or update a peer by name, durably."""
        ...

    def remove_peer(self, name: str) -> bool:
        """Forget a peer; False if it was not known."""
        ...

    def totals(self) -> Totals:
        """Counts for statistics."""
        ...

    def notes(self, study: str | None = None, limit: int = 1000) -> list[dict[str, str]]:
        """Quality control findings and conflicts, newest first."""
        ...

    def clear(self) -> None:
        """Forget everything that packs can tell again (`vesalius reindex`); peers stay."""
        ...

    def optimise(self) -> None:
        """Refresh the planner's statistics and check-point; cheap enough for idle time."""
        ...

    def ping(self) -> None:
        """Raises `IndexUnavailable` if the index does not answer."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def in_batches(arrivals: Iterable[Arrival], size: int) -> Iterator[list[Arrival]]:
    """Split a stream of arrivals into lists of at most `size`."""
    batch: list[Arrival] = []
    for arrival in arrivals:
        batch.append(arrival)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
