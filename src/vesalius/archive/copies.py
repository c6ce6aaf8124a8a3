"""Further places: keeping the copies of every pack up to date as packs grow.

Theory. What is copied is what is promised: of an open pack everything up to `indexed_to`, of a sealed one the whole.
A pack only grows, so a turn of the copier appends what came since the last one, and nothing is remembered but how
far each place has come. A place that fails (a disk that is away) is reported and does not hold up the others; it
catches up when it is back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from vesalius.model.entities import CopyInfo, PackInfo
from vesalius.model.errors import IndexUnavailable, VesaliusError
from vesalius.ports.blobs import BlobStore
from vesalius.ports.index import Index

log = structlog.get_logger()


@dataclass(slots=True)
class CopyReport:
    """What one turn of the copier did."""

    packs: int = 0  # copies that grew
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # place -> what is wrong


def copy_all(blobs: BlobStore, index: Index) -> CopyReport:
    """Bring every further place up to what the index knows.

    After all places had their turn, raises the error of the first that failed.
    """
    report = CopyReport()
    first: VesaliusError | None = None
    packs = index.packs() if blobs.places() else []
    for place in blobs.places():
        try:
            _copy_to(blobs, index, place, packs, report)
        except IndexUnavailable:
            raise
        except VesaliusError as error:
            report.failed[place] = error.message
            first = first or error
    if first is not None:
        raise first
    if report.packs:
        log.debug("copied", packs=report.packs, bytes=report.bytes)
    return report


def _copy_to(blobs: BlobStore, index: Index, place: str, packs: list[PackInfo], report: CopyReport) -> None:
    there = {copy.pack: copy for copy in index.copies(place)}
    for pack in packs:
        before = there.get(pack.name)
        copied_to = before.copied_to if before is not None else 0
        if not lags(pack, copied_to):
            continue
        goal = pack.size if pack.state == "sealed" else pack.indexed_to
        index.save_copy(blobs.copy(pack.name, place, min(copied_to, goal), goal))
        report.packs += 1
        report.bytes += goal - min(copied_to, goal)


def bring(blobs: BlobStore, index: Index, place: str, pack: PackInfo) -> CopyInfo:
    """Bring one copy of one pack up to what the index knows, if it lags. Raises `OutOfResources`."""
    before = next((copy for copy in index.copies(place) if copy.pack == pack.name), None)
    copied_to = before.copied_to if before is not None else 0
    if before is not None and not lags(pack, copied_to):
        return before
    goal = pack.size if pack.state == "sealed" else pack.indexed_to
    made = blobs.copy(pack.name, place, min(copied_to, goal), goal)
    index.save_copy(made)
    return made


def lags(pack: PackInfo, copied_to: int) -> bool:
    """Whether a copy lacks something. A whole copy of a sealed pack reaches past `size`, to the end of the file."""
    if pack.state == "sealed":
        return copied_to <= pack.size
    return copied_to < pack.indexed_to
