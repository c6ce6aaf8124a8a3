"""From packs to the index: what a crash left untold, or everything.

Theory. A pack holds every data set as received and, in each member's header, what a data set does not say: who sent
it, how and when, and the digest. So the index can always be told again. `recover` tells it what lies behind each
pack's `indexed_to`: an instance is indexed after it is durable and before it is acknowledged, so after a crash there
may be durable instances that the index lacks; whether or not they were acknowledged, keeping them is right. (On
SQLite the index's last transactions may be lost by a power cut, too: they are told again here.)
`reindex` forgets everything and tells all of it in the order in which the instances were stored, because of
two contents under one UID the first stays current.

Tombstones are members of packs too: what they call deleted is not told, or taken back (`archive/tombstones.py`).

The data set is read through its digest, from a further place if need be. What is damaged in every place, or cannot
be understood, is reported and not indexed.
"""

from __future__ import annotations

import calendar
import dataclasses
import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from vesalius.archive.tombstones import BATCH, DELETED, Ledger, arrival_of, tell
from vesalius.model.elements import HeaderLimits
from vesalius.model.entities import Arrival, Member, PackInfo, Verdict
from vesalius.model.errors import DamagedInstance, IndexUnavailable, VesaliusError
from vesalius.ports.blobs import BlobStore, FoundMember
from vesalius.ports.index import Index, in_batches

_CHUNK = 1 << 20
# A pack holds nothing that was stored before the pack was made, give or take a clock that was put right.
_SLACK = 3600


@dataclass(slots=True)
class Untold:
    """A member that was met but not indexed, and why."""

    pack: str
    offset: int
    sop_instance: str
    reason: str


@dataclass(slots=True)
class RecoveryReport:
    """What a recovery did."""

    packs: int = 0  # looked at
    told: int = 0  # members behind `indexed_to`, told to the index
    stored: int = 0  # ... of which it did not know
    cut_bytes: int = 0  # of torn members, cut off
    seconds: float = 0.0
    missing: list[str] = field(default_factory=list)  # packs that the index knows and no place has
    failed: list[str] = field(default_factory=list)  # packs that could not be recovered
    untold: list[Untold] = field(default_factory=list)


@dataclass(slots=True)
class ReindexReport:
    """How far a reindex is; at its end, what it did."""

    packs: int = 0
    members: int = 0  # met so far
    stored: int = 0
    duplicates: int = 0
    conflicts: int = 0
    bytes: int = 0
    total_bytes: int = 0  # of all packs, to show progress against
    seconds: float = 0.0
    untold: list[Untold] = field(default_factory=list)


def recover(
    blobs: BlobStore, index: Index, log: Any = None, *, limits: HeaderLimits | None = None, batch: int = BATCH
) -> RecoveryReport:
    """Tell the index what lies behind each pack's `indexed_to`, and have torn tails cut off.

    Packs that a living process holds are left alone. One pack that fails does not keep the others from being
    recovered. Raises `IndexUnavailable`.
    """
    log = log or structlog.get_logger()
    started = time.perf_counter()
    report = RecoveryReport()
    known = {pack.name: pack for pack in index.packs()}
    there = {pack.name: pack for pack in blobs.packs()}
    report.packs = len(there)
    tails = {name: known[name].indexed_to if name in known else 0 for name in there}
    for name, pack in there.items():
        if pack.state == "sealed" and name in known and known[name].state == "sealed" and tails[name] >= pack.size:
            del tails[name]
    tombstones = _tombstones_behind(blobs, {name: there[name] for name in tails}, tails)
    for found in tombstones.found:
        tell(blobs, index, found, limits, told=False)
    for name, indexed_to in tails.items():
        pack = there[name]
        try:
            _recover_pack(blobs, index, name, indexed_to, report, limits, batch, tombstones)
        except IndexUnavailable:
            raise
        except VesaliusError as error:
            report.failed.append(name)
            log.error("recovery-failed", pack=name, error=error.message)
            continue
        if pack.state == "sealed":
            index.save_pack(dataclasses.replace(pack, indexed_to=pack.size))
    retired = blobs.retired()
    report.missing = sorted(
        name for name, pack in known.items() if name not in there and name not in retired and pack.indexed_to
    )
    report.seconds = time.perf_counter() - started
    if report.missing:
        log.error("packs-missing", packs=report.missing[:20], count=len(report.missing))
    log.info(
        "recovered",
        packs=report.packs,
        members=report.told,
        stored=report.stored,
        cut_bytes=report.cut_bytes,
        untold=len(report.untold),
        failed=len(report.failed),
        seconds=round(report.seconds, 3),
    )
    return report


def _tombstones_behind(blobs: BlobStore, packs: dict[str, PackInfo], tails: dict[str, int]) -> Ledger:
    """The tombstones behind what is indexed. Those of a pack are read after a sync, as the disk has them."""
    ledger = Ledger()
    for name, pack in packs.items():
        if pack.tombstones == 0:
            continue
        try:
            # A look at one place first: a pack that is held or up to date has nothing there, and is not searched.
            if next(blobs.scan(name, tails[name], verify=True), None) is not None and any(
                not found.is_instance for found in blobs.scan(name, tails[name])
            ):
                ledger.add(blobs.recover(name, tails[name]))
        except VesaliusError as error:
            structlog.get_logger().error("tombstones-unread", pack=name, error=error.message)
    ledger.settle()
    return ledger


def _recover_pack(
    blobs: BlobStore,
    index: Index,
    name: str,
    indexed_to: int,
    report: RecoveryReport,
    limits: HeaderLimits | None,
    batch: int,
    tombstones: Ledger,
) -> None:
    def cut(torn: int) -> None:
        report.cut_bytes += torn

    end = indexed_to
    last: FoundMember | None = None
    late: list[FoundMember] = []  # tombstones behind a broken member, which the first look did not see

    known = {found.member for found in tombstones.found}

    def members() -> Iterator[tuple[FoundMember, Iterable[bytes]]]:
        nonlocal end, last
        for found in blobs.recover(name, indexed_to, cut, tombstones.dead_in(name)):
            end = found.member.end
            last = found
            if not found.is_instance:
                if found.member not in known:
                    late.append(found)
            elif not tombstones.is_dead(found):
                yield found, _chunks(blobs, found.member)  # the store compared the digest just now

    for one in in_batches(_arrivals(members(), report.untold, limits), batch):
        verdicts = _tell(index, one, report.untold)
        report.told += len(verdicts)
        report.stored += sum(verdict is not Verdict.DUPLICATE for verdict in verdicts)
    for found in late:
        tell(blobs, index, found, limits, told=False)
    if last is not None and not last.is_instance:
        # Once more, so that the index has come to the end of the pack and not only to its last instance.
        tell(blobs, index, last, limits, told=True)
    if end > indexed_to:
        # Asking again from the end on says that everything before it is told: the pack may be appended to.
        for _ in blobs.recover(name, end, cut):
            pass


def reindex(
    blobs: BlobStore,
    index: Index,
    *,
    progress: Callable[[ReindexReport], None] | None = None,
    limits: HeaderLimits | None = None,
    batch: int = BATCH,
) -> ReindexReport:
    """Forget the index and tell it every member of every pack. Peers stay.

    `progress` is called after each batch. What was told stays told if it is broken off; the next recovery goes on
    from there. Raises `IndexUnavailable`.
    """
    started = time.perf_counter()
    packs = blobs.packs()
    report = ReindexReport(packs=len(packs), total_bytes=sum(pack.size for pack in packs))
    tombstones = Ledger()
    for pack in packs:
        if pack.tombstones:
            tombstones.add(blobs.scan(pack.name))
    tombstones.settle()
    index.clear()
    for found in tombstones.found:
        # Into an empty index: nothing is removed or brought back here, for the members below come as they are to stay.
        if found.tombstone is not None:
            note = index.remove if found.tombstone.kind == DELETED else index.restored
            note(found.tombstone, found.member, told=False)
    ordered = tombstones.living(in_order_of_storing(blobs, packs))
    members = ((found, blobs.stream_verified(found.member, _CHUNK)) for found in ordered)
    arrivals = _arrivals(members, report.untold, limits)
    for one in in_batches(arrivals, batch):
        verdicts = _tell(index, one, report.untold)
        report.stored += verdicts.count(Verdict.STORED)
        report.duplicates += verdicts.count(Verdict.DUPLICATE)
        report.conflicts += verdicts.count(Verdict.CONFLICT)
        report.bytes += sum(arrival.member.end - arrival.member.header_offset for arrival in one)
        report.members += len(one)
        report.seconds = time.perf_counter() - started
        if progress is not None:
            progress(report)
    for pack in packs:
        if pack.state == "sealed":
            index.save_pack(dataclasses.replace(pack, indexed_to=pack.size))
    _come_to_the_end(index, tombstones)
    report.members += len(report.untold)
    report.seconds = time.perf_counter() - started
    if progress is not None:
        progress(report)
    return report


def _come_to_the_end(index: Index, tombstones: Ledger) -> None:
    """Where a pack ends with tombstones the index has come to its end, too."""
    known = {pack.name: pack for pack in index.packs()}
    for found in sorted(tombstones.found, key=lambda found: found.member.offset):
        pack, member = known.get(found.member.pack), found.member
        if pack is not None and pack.state != "sealed" and pack.indexed_to == member.header_offset:
            known[pack.name] = dataclasses.replace(pack, indexed_to=member.end, size=max(pack.size, member.end))
            index.save_pack(known[pack.name])


def in_order_of_storing(blobs: BlobStore, packs: Sequence[PackInfo]) -> Iterator[FoundMember]:
    """The members of all packs, merged in the order in which they were stored.

    Each pack is in that order itself. A pack is opened when the merge comes to the time it was made at, which its
    name tells, so that few are open at once.
    """
    waiting = sorted(packs, key=lambda pack: pack.name, reverse=True)
    heap: list[tuple[int, str, int, FoundMember, Iterator[FoundMember]]] = []

    def push(members: Iterator[FoundMember]) -> None:
        found = next(members, None)
        if found is not None:
            heapq.heappush(heap, (found.stored_ns, found.member.pack, found.member.offset, found, members))

    while heap or waiting:
        while waiting and (not heap or _made_at(waiting[-1].name) - _SLACK <= heap[0][0] // 10**9):
            push(blobs.scan(waiting.pop().name))
        if heap:
            _, _, _, found, members = heapq.heappop(heap)
            yield found
            push(members)


def _made_at(pack: str) -> int:
    """Seconds since 1970 at which a pack was made; 0 where its name does not tell."""
    try:
        return calendar.timegm(time.strptime(pack[:15], "%Y%m%d-%H%M%S"))
    except ValueError:
        return 0


def _chunks(blobs: BlobStore, member: Member) -> Iterator[bytes]:
    """The data set of a member whose digest is known to hold."""
    for at in range(0, member.dataset_length, _CHUNK):
        yield blobs.read(member, at, _CHUNK)


def _arrivals(
    members: Iterable[tuple[FoundMember, Iterable[bytes]]], untold: list[Untold], limits: HeaderLimits | None
) -> Iterator[Arrival]:
    """What can be told of `members`; the rest goes to `untold`."""
    for found, chunks in members:
        try:
            yield arrival_of(found, chunks, limits)
        except DamagedInstance:
            untold.append(_untold(found, "damaged"))
        except VesaliusError as error:
            untold.append(_untold(found, error.message))


def _untold(found: FoundMember, reason: str) -> Untold:
    return Untold(found.member.pack, found.member.header_offset, found.label.sop_instance, reason)


def _tell(index: Index, arrivals: list[Arrival], untold: list[Untold]) -> list[Verdict]:
    """One transaction; where the index chokes on it, one for each, so that one bad record fails alone."""
    try:
        return index.ingest(arrivals)
    except IndexUnavailable:
        raise
    except Exception as error:
        if len(arrivals) == 1:
            only = arrivals[0]
            reason = error.message if isinstance(error, VesaliusError) else type(error).__name__
            untold.append(Untold(only.member.pack, only.member.header_offset, only.sop_instance, reason))
            return []
        return [verdict for one in arrivals for verdict in _tell(index, [one], untold)]
