"""A whole archive in one process, without a server: real packs, a real SQLite index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from tests.support.generate import part10
from vesalius.archive.ingest import Ingest, IngestLimits
from vesalius.archive.retrieve import Retrieve
from vesalius.backends.blobs_packs import PackStore
from vesalius.backends.database import Database, open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.packs_volume import PackSettings
from vesalius.backends.pixels_codecs import CodecLimits, PixelCodecs
from vesalius.model.entities import Claim, Level, Provenance, Receipt, StoredInstance

EXPLICIT_LE = "1.2.840.10008.1.2.1"
NOW = "2026-01-31T10:15:00.000000Z"


class FixedClock:
    """A clock that stands still."""

    def utc(self) -> str:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass
class Observed:
    """An observer that remembers."""

    stored_lengths: list[int] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def stored(self, receipt: Receipt, claim: Claim, provenance: Provenance, length: int) -> None:
        self.stored_lengths.append(length)

    def refused(self, error: BaseException, claim: Claim, provenance: Provenance) -> None:
        self.errors.append(error)


@dataclass
class LocalArchive:
    """The parts, by name."""

    blobs: PackStore
    index: SqlIndex
    database: Database
    ingest: Ingest
    retrieve: Retrieve
    observed: Observed

    def store(
        self,
        dataset: bytes,
        claim: Claim,
        *,
        piece: int = 4096,
        refuse_conflicts: bool = False,
    ) -> Receipt:
        """Send a data set in pieces; raises what refused it."""
        reception = self.ingest.receive(claim, Provenance("c-store", "SCU"), refuse_conflicts=refuse_conflicts)
        for at in range(0, len(dataset), piece):
            reception.write(dataset[at : at + piece])
        return reception.finish().result(20)

    def keep(self, ds: Dataset, **how: bool) -> Receipt:
        """Store a generated instance."""
        return self.store(dataset_of(part10(ds)), claim_of(ds), **how)  # type: ignore[arg-type]

    def everything(self) -> list[StoredInstance]:
        """Every current instance."""
        return [instance for instance, state in self.index.members() if state == "current"]

    def bytes_of(self, sop_instance: str) -> bytes:
        """The data set as kept."""
        (instance,) = self.index.select(Level.IMAGE, instances=(sop_instance,))
        return self.blobs.read_verified(instance.member)

    def find_one(self, sop_instance: str) -> StoredInstance | None:
        """The current instance of this UID, if there is one."""
        return next(iter(self.index.select(Level.IMAGE, instances=(sop_instance,))), None)


def claim_of(ds: Dataset, transfer_syntax: str = EXPLICIT_LE) -> Claim:
    """What an honest sender claims."""
    return Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), transfer_syntax)


def dataset_of(file: bytes) -> bytes:
    """The data set of a Part 10 file written by pydicom."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


@contextmanager
def local_archive(folder: Path, *, limits: IngestLimits | None = None) -> Iterator[LocalArchive]:
    """An archive below `folder`; opening the same folder again opens the same archive."""
    folder.mkdir(parents=True, exist_ok=True)
    blobs = PackStore(folder / "packs", settings=PackSettings(preallocate=1 << 20, watermark=0), copies={})
    database = open_database(f"sqlite:///{folder / 'index.db'}")
    index = SqlIndex(database)
    observed = Observed()
    ingest = Ingest(blobs, index, clock=FixedClock(), limits=limits, observe=observed)
    codecs = PixelCodecs(CodecLimits(workers=1))
    try:
        yield LocalArchive(blobs, index, database, ingest, Retrieve(index, blobs, codecs), observed)
    finally:
        ingest.close()
        codecs.close()
        blobs.close()
        index.close()
