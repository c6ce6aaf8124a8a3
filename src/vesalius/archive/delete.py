"""Deleting, and taking it back: a reason and a name that stay for ever, bytes that stay for a while.

Theory. Packs only grow, so a deletion is written down before anything happens: a tombstone that names every instance
by the place and digest of its bytes, durable in a pack. Then one transaction takes the rows out of the index,
and only then the answer. Whoever recovers or makes the index anew meets the tombstone and comes to the same
end, whatever crashed in between. The bytes stay where they are until the window in which the deletion can be taken
back has ended (`archive/purge.py`). What arrives under the same UIDs later is a new arrival: a tombstone is about
bytes, not about names.

Taking back is the same in reverse: a second tombstone first, then the data sets are read again through their digests
and go into the index as a recovery would put them there. What came under the same UID in the meantime stays
current, and the one that comes back is then the conflict copy.

An instance that this archive has committed itself to (`archive/commit.py`) may have no other copy left in the world. It
can be deleted, but not in silence: a reason is needed, how many there were stands with the reason in the tombstone for
ever, and the one who deletes is told.

Both run between two batches of the group commit, so that nothing of the same pack can pass the tombstone on its way
into the index: a recovery only looks behind what is indexed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from vesalius.archive.ingest import Ingest
from vesalius.archive.tombstones import DELETED, RESTORED, restore
from vesalius.model.entities import Deletion, Level, Tombstone
from vesalius.model.errors import (
    CannotUnderstand,
    DamagedInstance,
    DuplicateRefused,
    IndexUnavailable,
    NoSuchInstance,
)
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.ports.blobs import BlobStore
from vesalius.ports.clock import Clock
from vesalius.ports.index import Index

log = structlog.get_logger()

# Members in one tombstone; a larger deletion has several, and is as atomic as each of them.
MOST_MEMBERS = 20_000
LONGEST_TEXT = 1024  # characters of a reason or a name


class CannotUndelete(DuplicateRefused):
    """The deletion was taken back already, or its bytes are destroyed or about to be."""


class CommittedWithoutReason(DuplicateRefused):
    """Instances that were promised to a peer are to be deleted, and nobody says why."""


# How many instances under (study, series, instance) this archive has committed itself to.
Promised = Callable[[str, str, str], int]


class Delete:
    """Deletes and undeletes. Blocks; use it from any thread. `window` in seconds."""

    def __init__(
        self,
        index: Index,
        blobs: BlobStore,
        ingest: Ingest,
        clock: Clock,
        *,
        window: float,
        promised: Promised = lambda study, series, sop_instance: 0,
    ) -> None:
        self._index = index
        self._blobs = blobs
        self._ingest = ingest
        self._clock = clock
        self._window = window
        self.promised = promised

    def delete(
        self,
        study: str,
        series: str = "",
        sop_instance: str = "",
        *,
        reason: str,
        who: str,
        address: str = "",
    ) -> Deletion:
        """Delete a study, a series of it, or an instance of that, conflict copies included.

        Raises `NoSuchInstance`, `CannotUnderstand` for what is no UID or an absurd text, `CommittedWithoutReason`,
        `OutOfResources`, `VolumeReadOnly`, `IndexUnavailable`: then the deletion may still come to its end by itself.
        """
        for uid in (study, *filter(None, (series, sop_instance))):
            if not is_tolerable_uid(uid):
                raise CannotUnderstand("what is to be deleted is named by something that is no UID")
        if len(reason) > LONGEST_TEXT or len(who) > LONGEST_TEXT:
            raise CannotUnderstand(f"a reason or name has at most {LONGEST_TEXT} characters")
        promised = self.promised(study, series, sop_instance)
        if promised and not reason.strip():
            raise CommittedWithoutReason(
                f"this archive has committed itself to keep {promised} of these instances",
                hint="say why they are deleted",
            )
        if promised:
            reason = f"{reason.strip()} [storage commitment had been given for {promised} of them]"
        level = Level.IMAGE if sop_instance else Level.SERIES if series else Level.STUDY
        deletion = uuid.uuid4().hex
        described = (level, study, series, sop_instance, self._clock.utc(), who, address, reason)

        def act() -> bool:
            # Looked up here, in order with what this process receives.
            found = self._index.kept(study, series, sop_instance)[:MOST_MEMBERS]
            if found:
                self._remove(Tombstone(deletion, DELETED, *described, tuple(found)))
            return len(found) == MOST_MEMBERS

        while self._ingest.between(act).result():
            pass
        made = self._index.deletions(deletion=deletion)
        if not made:
            raise NoSuchInstance("nothing is kept under these UIDs")
        log.info("deleted", deletion=deletion, study=study, level=level.name, instances=made[0].instances)
        if promised:
            log.warning("deleted-although-committed", deletion=deletion, study=study, committed=promised)
        return made[0]

    def _remove(self, tombstone: Tombstone) -> None:
        member = self._blobs.tombstone(tombstone)
        try:
            self._index.remove(tombstone, member)
        except IndexUnavailable:
            # The tombstone is durable, so the deletion stands; the index hears of it before anything else.
            self._ingest.owe(lambda: self._index.remove(tombstone, member))
            raise

    def undelete(self, deletion: str, *, who: str, reason: str = "", address: str = "") -> Deletion:
        """Take a deletion back. Raises `NoSuchInstance`, `CannotUndelete`, `DamagedInstance`, and as `delete`."""
        found = next(iter(self._index.deletions(deletion=deletion)), None)
        if found is None:
            raise NoSuchInstance("there is no deletion of this id")
        if found.state != DELETED:
            raise CannotUndelete(
                "the deletion was taken back already" if found.state == RESTORED else "the bytes are destroyed"
            )
        if self.ends(found) <= self._clock.utc():
            raise CannotUndelete("the time in which this deletion could be taken back has ended")
        members = self._index.deleted_members(deletion)
        for one in members:
            if not self._blobs.check(one.member) and not any(
                self._blobs.check(one.member, place) for place in self._blobs.places()
            ):
                raise DamagedInstance("a deleted instance cannot be read any more", hint="look at the disk")
        described = (
            found.level,
            found.study,
            found.series,
            found.sop_instance,
            self._clock.utc(),
            who,
            address,
            reason,
        )
        for at in range(0, len(members), MOST_MEMBERS) or (0,):
            tombstone = Tombstone(deletion, RESTORED, *described, tuple(members[at : at + MOST_MEMBERS]))
            self._ingest.between(lambda one=tombstone: self._restore(one)).result()  # type: ignore[misc]
        log.info("undeleted", deletion=deletion, study=found.study, instances=found.instances)
        return self._index.deletions(deletion=deletion)[0]

    def _restore(self, tombstone: Tombstone) -> None:
        member = self._blobs.tombstone(tombstone)

        def tell() -> None:
            restore(self._blobs, self._index, tombstone)
            self._index.restored(tombstone, member)

        try:
            tell()
        except IndexUnavailable:
            self._ingest.owe(tell)
            raise

    def ends(self, deletion: Deletion) -> str:
        """Until when a deletion can be taken back (UTC, ISO 8601)."""
        return moment(deletion.at, self._window)


def moment(at: str, seconds: float) -> str:
    """A time so many seconds after another (UTC, ISO 8601 with microseconds)."""
    begin = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    try:
        return (begin + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return "9999-12-31T23:59:59.999999Z" if seconds > 0 else "0001-01-01T00:00:00.000000Z"
