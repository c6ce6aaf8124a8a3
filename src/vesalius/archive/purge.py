"""After the window: the bytes of what was deleted are destroyed, and packs that are mostly dead are made anew.

Theory. This runs behind everything else, in the work process, and every step of it may be broken off at any
point and is done again. A deletion whose window has ended has its data sets destroyed in every place, once the packs
that hold them are sealed; never a member that the index knows as living, whatever a tombstone says. Only when all of it
is destroyed the deletion is called purged.

A pack of which more than a set share is dead is compacted: its living are copied into a new pack, the old one is
retired (left out of every listing), the index is told, and after a while, when nobody can be reading it any
more and the further places have the new one, the old one is removed. Between retiring and telling the index a
crash leaves an old pack that the index still needs: it is taken back and the compaction begins again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import structlog

from vesalius.archive.delete import moment
from vesalius.archive.tombstones import DELETED
from vesalius.model.entities import Member, PackInfo
from vesalius.model.errors import IndexUnavailable, VesaliusError
from vesalius.ports.blobs import BlobStore
from vesalius.ports.clock import Clock
from vesalius.ports.index import Index

log = structlog.get_logger()

# Destroying begins a little after the window ends, so that an undelete that was just begun can end.
GRACE = 60.0
# A retired pack is kept for so long, seconds: readers that looked up a place in it are done by then.
LINGER = 300.0


@dataclass(slots=True)
class PurgeReport:
    """What one round did."""

    purged: list[str] = field(default_factory=list)  # deletions
    waiting: list[str] = field(default_factory=list)  # deletions some of whose packs are not sealed yet
    freed: int = 0  # bytes of data sets destroyed
    compacted: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # packs


def purge(
    blobs: BlobStore, index: Index, *, clock: Clock, window: float, compact_dead: float, linger: float = LINGER
) -> PurgeReport:
    """One round. `window` in seconds, `compact_dead` a share of a pack. Raises `IndexUnavailable`."""
    report = PurgeReport()
    _sweep(blobs, index, linger, report)
    _destroy(blobs, index, moment(clock.utc(), -window - min(GRACE, window)), report)
    _compact(blobs, index, compact_dead, report)
    if report.purged or report.compacted or report.removed:
        log.info(
            "purge",
            deletions=len(report.purged),
            bytes=report.freed,
            compacted=len(report.compacted),
            removed=len(report.removed),
        )
    return report


def _destroy(blobs: BlobStore, index: Index, before: str, report: PurgeReport) -> None:
    for deletion in reversed(index.deletions(state=DELETED, before=before, limit=100_000)):
        by_pack: dict[str, list[Member]] = defaultdict(list)
        for one in index.deleted_members(deletion.id):
            by_pack[one.member.pack].append(one.member)
        done = [_destroy_in(blobs, index, pack, members, report) for pack, members in by_pack.items()]
        if all(done):
            index.purged(deletion.id)
            report.purged.append(deletion.id)
        else:
            report.waiting.append(deletion.id)


def _destroy_in(blobs: BlobStore, index: Index, pack: str, members: list[Member], report: PurgeReport) -> bool:
    known = {info.name for info in blobs.packs()}
    if pack not in known:
        return True  # gone with a compaction, or lost: there is nothing to destroy
    living = {stored.member.header_offset for stored, _ in index.members(pack)}
    dead = [member for member in members if member.header_offset not in living]
    try:
        info = blobs.purge(pack, dead)
    except IndexUnavailable:
        raise
    except VesaliusError as error:
        report.failed.append(pack)
        log.error("purge-failed", pack=pack, error=error.message)
        return False
    if info is None:
        return False
    index.save_pack(info)
    report.freed += sum(member.dataset_length for member in dead)
    return True


def _compact(blobs: BlobStore, index: Index, share: float, report: PurgeReport) -> None:
    wanted = [pack for pack in index.packs() if pack.state == "sealed" and pack.dead_bytes > share * pack.size]
    if not wanted:
        return
    # What can still be brought back is named by its place, so its pack stays as it is until then.
    needed = index.packs_with_deleted()
    there = {pack.name for pack in blobs.packs()}
    for pack in wanted:
        if pack.name in needed or pack.name not in there:
            continue
        try:
            _compact_one(blobs, index, pack)
        except IndexUnavailable:
            raise
        except VesaliusError as error:
            report.failed.append(pack.name)
            log.error("compaction-failed", pack=pack.name, error=error.message)
        else:
            report.compacted.append(pack.name)


def _compact_one(blobs: BlobStore, index: Index, pack: PackInfo) -> None:
    living = [stored.member for stored, _ in index.members(pack.name)]
    new, moves = blobs.compact(pack.name, living)
    blobs.retire(pack.name)
    index.move_pack(pack.name, new, moves)


def _sweep(blobs: BlobStore, index: Index, linger: float, report: PurgeReport) -> None:
    retired = blobs.retired()
    if not retired:
        return
    packs = {pack.name: pack for pack in index.packs()}
    behind = any(
        copies.get(name, 0) <= pack.size
        for place in blobs.places()
        for copies in ({copy.pack: copy.copied_to for copy in index.copies(place)},)
        for name, pack in packs.items()
        if pack.state == "sealed"
    )
    for name, seconds in retired.items():
        if name in packs:
            blobs.retire(name, False)
        elif seconds >= linger and not behind:
            try:
                blobs.remove_pack(name)
            except VesaliusError as error:
                report.failed.append(name)
                log.error("removal-failed", pack=name, error=error.message)
            else:
                report.removed.append(name)
