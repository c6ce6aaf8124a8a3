"""An archive whose parts can be taken away one by one: for recovery, reindex, verify and copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.archive import FixedClock, claim_of, dataset_of
from tests.support.generate import ct, part10
from vesalius.archive.ingest import Ingest
from vesalius.backends.blobs_packs import PackStore
from vesalius.backends.database import open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.packs_volume import PackSettings
from vesalius.model.attributes import BY_TAG
from vesalius.model.entities import Level, Member, Provenance, Receipt
from vesalius.model.query import Options, Query, Root
from vesalius.ports.index import Index

SETTINGS = PackSettings(preallocate=1 << 20, watermark=0, pack_size=1 << 20)


@dataclass
class Parts:
    folder: Path
    blobs: PackStore
    index: SqlIndex
    ingest: Ingest

    def keep(self, **attributes: Any) -> Receipt:
        """Receive one generated instance."""
        ds = ct(**attributes)
        reception = self.ingest.receive(claim_of(ds), Provenance("c-store", "SCU", "VESALIUS", "192.0.2.7", "a-1"))
        reception.write(dataset_of(part10(ds)))
        return reception.finish().result(20)

    def kill(self) -> None:
        """End as a kill does: nothing is tidied up."""
        self.ingest.close()
        for pack in self.blobs._pool._held.values():
            os.close(pack.fd)
        self.blobs._pool._held.clear()
        self.blobs._pool._free.clear()
        self.index.close()

    def members(self) -> list[Member]:
        return [stored.member for stored, _ in self.index.members()]

    def damage(self, member: Member, place: str = "packs") -> None:
        with (self.folder / place / f"{member.pack}.tar").open("r+b") as file:
            file.seek(member.dataset_offset + 300)
            file.write(b"\xee\xee\xee")


def open_parts(folder: Path, index: Path | str = "index.db", copies: tuple[str, ...] = ()) -> Parts:
    blobs = PackStore(folder / "packs", settings=SETTINGS, copies={name: folder / name for name in copies})
    sql = SqlIndex(open_database(f"sqlite:///{folder / index}"))
    return Parts(folder, blobs, sql, Ingest(blobs, sql, clock=FixedClock()))


@contextmanager
def parts_in(folder: Path, index: Path | str = "index.db", copies: tuple[str, ...] = ()) -> Iterator[Parts]:
    folder.mkdir(parents=True, exist_ok=True)
    parts = open_parts(folder, index, copies)
    try:
        yield parts
    finally:
        parts.ingest.close()
        parts.blobs.close()
        parts.index.close()


def everything(index: Index) -> list[object]:
    """All that an index can be asked: rows of all levels, where bytes lie, counts, findings."""
    answers: list[object] = []
    for level in Level:
        returns = frozenset(tag for tag, row in BY_TAG.items() if row.level <= level)
        query = Query(Root.PATIENT, level, (), returns, options=Options(relational=True))
        rows = [sorted(match.values.items()) for page in index.find(query) for match in page]
        answers.append(sorted(rows, key=repr))
    answers.append(list(index.members()))
    totals = index.totals()
    answers.append((totals.patients, totals.studies, totals.series, totals.instances, totals.bytes, totals.conflicts))
    answers.append(sorted(sorted(note.items()) for note in index.notes()))
    return answers
