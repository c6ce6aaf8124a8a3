"""Re-reading every copy of every instance against its digest, at a set pace, and repairing what is bad.

Theory. A disk tells of a bad sector only when it is read, and of a wrong one never; so everything is read from
time to time, from the medium and not from the page cache. A bad primary member is rewritten from a further place that
passes, a bad copy from the primary that passes. Where nothing passes the member is marked and reported: it is never
served, and only a backup can bring it back.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from vesalius.model.entities import CopyInfo, Member, StoredInstance
from vesalius.model.errors import IndexUnavailable, VesaliusError
from vesalius.ports.blobs import BlobStore
from vesalius.ports.clock import Clock
from vesalius.ports.index import Index

log = structlog.get_logger()

PRIMARY = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A copy of a member that did not pass."""

    sop_instance: str
    study: str
    pack: str
    offset: int
    place: str  # "": the primary
    repaired: bool


@dataclass(slots=True)
class VerifyReport:
    """How far a verification is; at its end, what it found."""

    members: int = 0
    copies: int = 0  # looked at, primaries included
    bytes: int = 0  # read
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def repaired(self) -> int:
        """Copies that were bad and are good again."""
        return sum(finding.repaired for finding in self.findings)

    @property
    def damaged(self) -> int:
        """Copies that are bad still."""
        return len(self.findings) - self.repaired


def verify(
    blobs: BlobStore,
    index: Index,
    *,
    clock: Clock,
    pace: int = 0,
    wait: Callable[[float], object] = time.sleep,
    progress: Callable[[VerifyReport], None] | None = None,
    repair: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> VerifyReport:
    """Check every kept instance in every place that should hold it.

    `pace` is bytes a second, 0 for as fast as the disks read; `wait` is called with seconds to keep to it. `progress`
    is called after each member. Raises `IndexUnavailable`.
    """
    report = VerifyReport()
    started = clock.monotonic()
    held = {place: {copy.pack: copy for copy in index.copies(place)} for place in blobs.places()}
    marked = frozenset(index.damaged())
    pack = ""
    broken_off = False
    for stored, _ in index.members():
        if stop():
            broken_off = True
            break
        if pack and stored.member.pack != pack:
            _passed(index, held, pack, clock.utc())
        pack = stored.member.pack
        _verify_member(blobs, index, stored, marked, held, report, repair)
        report.seconds = clock.monotonic() - started
        if progress is not None:
            progress(report)
        if pace and report.bytes / pace > report.seconds:
            wait(report.bytes / pace - report.seconds)
    if pack and not broken_off:
        _passed(index, held, pack, clock.utc())
    report.seconds = clock.monotonic() - started
    log.info(
        "verified",
        members=report.members,
        copies=report.copies,
        bytes=report.bytes,
        repaired=report.repaired,
        damaged=report.damaged,
        seconds=round(report.seconds, 3),
    )
    return report


def _verify_member(
    blobs: BlobStore,
    index: Index,
    stored: StoredInstance,
    marked: frozenset[tuple[str, int, str]],
    held: dict[str, dict[str, CopyInfo]],
    report: VerifyReport,
    repair: bool,
) -> None:
    member = stored.member
    report.members += 1
    places = [PRIMARY]
    for place, copies in held.items():
        copy = copies.get(member.pack)
        if copy is not None and copy.copied_to >= member.end:
            places.append(place)
    good = []
    for place in places:
        report.copies += 1
        report.bytes += member.length
        if blobs.check(member, place or None):
            good.append(place)
    for place in places:
        if place in good:
            continue
        mended = bool(good) and repair and mend(blobs, member, place)
        index.mark_damaged(member, place, not mended)
        report.findings.append(
            Finding(stored.sop_instance, stored.study, member.pack, member.header_offset, place, mended)
        )
    for place in good:
        # Marked earlier, and put right by someone since: from a backup, by hand, by the copier.
        if (member.pack, member.offset, place) in marked:
            index.mark_damaged(member, place, False)


def mend(blobs: BlobStore, member: Member, place: str) -> bool:
    """Rewrite a bad copy from a good one. A place that cannot be written stays as it is."""
    try:
        if place == PRIMARY:
            return blobs.repair(member)
        blobs.copy(member.pack, place, member.header_offset, member.end)
    except IndexUnavailable:
        raise
    except VesaliusError as error:
        log.warning("repair-failed", pack=member.pack, offset=member.header_offset, place=place, error=error.message)
        return False
    return blobs.check(member, place)


def _passed(index: Index, held: dict[str, dict[str, CopyInfo]], pack: str, now: str) -> None:
    """Remember that a pack's copies were verified."""
    for copies in held.values():
        copy = copies.get(pack)
        if copy is not None:
            index.save_copy(dataclasses.replace(copy, verified_at=now))
