"""The part of the index that deletion needs (`ports/index.py` is all of it). Everything blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vesalius.model.entities import Deletion, Member, PackInfo, Removed, Tombstone


class DeletionIndex(Protocol):
    """Rows that go, come back, and move."""

    def kept(self, study: str, series: str = "", sop_instance: str = "") -> list[Removed]:
        """Every instance kept under these keys, conflict copies included, in order of pack and offset."""
        ...

    def remove(self, tombstone: Tombstone, member: Member, *, told: bool = True) -> None:
        """One durable transaction: the instances of a "deleted" tombstone are known no more.

        Rows above that are left empty go too, counters and unions follow, one event tells of it. Rows are found by
        their place, so what came under the same UIDs since stays. Harmless when done before. `member` is where the
        tombstone lies; `told`: all that lies before it in its pack is in the index. Raises `IndexUnavailable`.
        """
        ...

    def restored(self, tombstone: Tombstone, member: Member, *, told: bool = True) -> None:
        """The deletion was taken back and its instances are in the index again: remember it, and tell of it."""
        ...

    def purged(self, deletion: str) -> None:
        """The bytes of a deletion are destroyed: it cannot be taken back any more."""
        ...

    def deletions(
        self, *, study: str = "", deletion: str = "", state: str = "", before: str = "", limit: int = 1000
    ) -> list[Deletion]:
        """Deletions, newest first: of a study, of one id, in one state, older than a time (UTC, ISO 8601)."""
        ...

    def deleted_members(self, deletion: str) -> list[Removed]:
        """What a deletion took away, in order of pack and offset."""
        ...

    def is_deleted(self, study: str, series: str = "", sop_instance: str = "") -> bool:
        """Whether a deletion that can still be taken back took away something under these keys."""
        ...

    def packs_with_deleted(self) -> set[str]:
        """Packs that hold instances of deletions that can still be taken back."""
        ...

    def move_pack(self, old: str, new: PackInfo, moves: Sequence[tuple[Member, Member]]) -> None:
        """One durable transaction: what lay in the pack `old` lies in `new`, each living member where `moves` says.

        What else the index knew of `old` (its copies, damaged members) is forgotten.
        """
        ...
