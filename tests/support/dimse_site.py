"""A whole archive with a DIMSE server inside the test's own event loop: real packs, a real index, real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset

from tests.support.generate import part10
from tests.support.patience import assert_within, patient
from tests.support.raw_dicom import RawPeer
from vesalius.archive.ingest import Ingest, IngestLimits
from vesalius.archive.retrieve import Retrieve
from vesalius.archive.search import Search
from vesalius.backends.blobs_packs import PackStore
from vesalius.backends.index_memory import MemoryIndex
from vesalius.backends.packs_volume import PackSettings
from vesalius.backends.pixels_codecs import PixelCodecs
from vesalius.dimse.answers import is_listed
from vesalius.dimse.server import DimseServer
from vesalius.dimse.services import DimseSettings, Observer, Services
from vesalius.model.entities import RIGHTS, Claim, Peer, Provenance, Receipt
from vesalius.ports.index import Index


class Clock:
    def utc(self) -> str:
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Seen(Observer):
    """Remembers what the server said to its metrics."""

    rejected: list[tuple[int, int, int]] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)
    unlisted: list[tuple[str, int]] = field(default_factory=list)  # answered, and not in dimse/answers.py
    opened: int = 0
    closed: int = 0

    def association_opened(self, calling_aet: str) -> None:
        self.opened += 1

    def association_closed(self, calling_aet: str) -> None:
        self.closed += 1

    def association_rejected(self, result: int, source: int, reason: int) -> None:
        self.rejected.append((result, source, reason))

    def operation_done(self, name: str, status: int, seconds: float) -> None:
        self.done.append((name, status))
        if not is_listed(name, status):
            self.unlisted.append((name, status))


@dataclass
class Site:
    """The parts of the archive, and where it listens."""

    port: int
    server: DimseServer
    services: Services
    index: Index
    blobs: PackStore
    ingest: Ingest
    peers: dict[str, Peer]
    seen: Seen

    def keep(self, ds: Dataset, transfer_syntax: str = "1.2.840.10008.1.2.1") -> Receipt:
        """Store an instance behind the server's back."""
        raw = part10(ds, transfer_syntax)
        return self.keep_bytes(str(ds.SOPClassUID), str(ds.SOPInstanceUID), transfer_syntax, dataset_of(raw))

    def keep_bytes(self, sop_class: str, sop_instance: str, transfer_syntax: str, dataset: bytes) -> Receipt:
        reception = self.ingest.receive(Claim(sop_class, sop_instance, transfer_syntax), Provenance("import"))
        reception.write(dataset)
        return reception.finish().result(10)

    def stored(self) -> int:
        return self.index.totals().instances

    def as_peer(self, aet: str = "VESALIUS") -> Peer:
        """How a client reaches this site."""
        return Peer("here", "127.0.0.1", self.port, aet)

    def add_peer(self, name: str, port: int = 104, **fields: object) -> Peer:
        peer = Peer(name, "127.0.0.1", port, name, **{"rights": frozenset(RIGHTS), **fields})  # type: ignore[arg-type]
        self.peers[name] = peer
        return peer


def dataset_of(part10_bytes: bytes) -> bytes:
    """The data set of a Part 10 file."""
    length = int.from_bytes(part10_bytes[140:144], "little")
    return part10_bytes[144 + length :]


@asynccontextmanager
async def running_site(
    folder: Path,
    *,
    index: Index | None = None,
    limits: IngestLimits | None = None,
    ssl: object = None,
    **settings: object,
) -> AsyncIterator[Site]:
    """An archive under `folder` with a listener on a free port of loopback; unknown callers may do everything."""
    index = index or MemoryIndex()
    blobs = PackStore(folder / "packs", settings=PackSettings(preallocate=0, watermark=0))
    ingest = Ingest(blobs, index, clock=Clock(), limits=limits)
    codecs = PixelCodecs()
    peers: dict[str, Peer] = {}
    seen = Seen()
    base = DimseSettings(allow_unknown=True, artim=2.0, network=20.0, connect=10.0, response=20.0, reuse=0.2)
    services = Services(
        ingest=ingest,
        search=Search(index, "VESALIUS"),
        retrieve=Retrieve(index, blobs, codecs),
        peers=lambda: dict(peers),
        clock=Clock(),
        settings=dataclasses.replace(base, **settings),  # type: ignore[arg-type]
        observer=seen,
    )
    server = DimseServer(services)
    _, port = await server.start("127.0.0.1", 0, ssl=ssl)  # type: ignore[arg-type]
    try:
        yield Site(port, server, services, index, blobs, ingest, peers, seen)
    finally:
        await server.stop(0)
        ingest.close()
        codecs.close()
        blobs.close()
        index.close()
    assert seen.unlisted == []


def leftovers(server: DimseServer) -> Iterator[str]:
    """What an ended association must not leave behind."""
    gc.collect()
    if server.connections:
        yield f"{len(server.connections)} connections"
    pressure, settings = server.pressure, server.settings
    if pressure.associations:
        yield f"{pressure.associations} open associations"
    if pressure.retrieves != settings.sub_operations:
        yield "retrieves that never end"
    if pressure.memory != settings.retrieve_memory:
        yield f"{settings.retrieve_memory - pressure.memory} bytes held for retrieves"


@asynccontextmanager
async def attacked(tmp_path: Path, **settings: object) -> AsyncIterator[Site]:
    """A site that must be as good as new after what the block did to it."""
    async with running_site(tmp_path, **settings) as site:
        yield site
        began = time.monotonic()
        peer = await RawPeer.associated(site.port)
        assert await peer.echo() == 0
        assert_within(began, 1)
        await peer.release()
        await until(lambda: not list(leftovers(site.server)))


async def until(condition: object, timeout: float = 4) -> None:
    end = time.monotonic() + patient(timeout)
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "did not come true in time"
        await asyncio.sleep(0.01)


async def first_then_close(peer: RawPeer) -> list[tuple[int, bytes]]:
    """The server's last words; then this side closes, as PS3.8 wants after an A-ABORT or A-ASSOCIATE-RJ."""
    try:
        got = [await peer.pdu(4)]
    except EOFError:
        got = []
    await peer.close()
    return got
