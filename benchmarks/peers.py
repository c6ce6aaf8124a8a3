"""The servers under comparison, each started on an empty store on the same disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import dcmtk, orthanc
from tests.support.server import start_server

BASE = Path("/var/tmp")
# Where clients put what they get: not on the disk under test, or their own writing is most of what is measured.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else BASE


@dataclass(frozen=True)
class Running:
    """A peer under test."""

    name: str
    aet: str
    port: int
    pid: int = 0
    http_port: int = 0
    data: Path | None = None


# The AE title and the port that every peer knows as destination of C-MOVE.
DESTINATION = "DST"


@contextmanager
def scratch(base: Path = BASE) -> Iterator[Path]:
    """A folder on the disk under test, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vesalius-bench-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def configuration(destination_port: int) -> str:
    """The one setting beside the defaults: who DST is."""
    return f'[[peers]]\nname = "dst"\nhost = "127.0.0.1"\nport = {destination_port}\naet = "{DESTINATION}"\n'


@contextmanager
def vesalius(destination_port: int = 4399, data: Path | None = None, workers: int = 0) -> Iterator[Running]:
    """Vesalius with its durable defaults; `workers` 0 is its own choice."""
    with scratch() as folder:
        server = start_server(
            data or folder / "data",
            config=configuration(destination_port),
            workers=workers,
            config_file=folder / "c.toml",
        )
        try:
            yield Running("vesalius", "VESALIUS", server.dimse_port, server.process.pid, server.http_port, server.data)
        finally:
            server.stop()


@contextmanager
def orthanc_peer(destination_port: int = 4399) -> Iterator[Running]:
    """Orthanc with its durable defaults."""
    peers = {DESTINATION: ("127.0.0.1", destination_port)}
    with orthanc.running_orthanc(peers, name="bench", dicomweb=orthanc.has_dicomweb()) as running:
        yield Running(f"orthanc {running.version}", "ORTHANC", running.dicom_port, running.pid, running.http_port)


@contextmanager
def storescp(destination_port: int = 4399) -> Iterator[Running]:
    """DCMTK's storescp: neither syncs nor indexes, the floor of what a receiver can cost."""
    with scratch() as folder:
        port = dcmtk.free_port()
        with dcmtk.background(
            "storescp", "-aet", "STORESCP", "-pdu", "131072", "-od", folder, str(port), port=port
        ) as process:
            yield Running("storescp", "STORESCP", port, process.pid)


@contextmanager
def dcmqrscp(destination_port: int = 4399) -> Iterator[Running]:
    """DCMTK's archive: no sync, a linear index."""
    with scratch() as folder, dcmtk.dcmqrscp(folder, peers={DESTINATION: ("127.0.0.1", destination_port)}) as port:
        yield Running("dcmqrscp", "DCMQR", port)


Start = Callable[..., AbstractContextManager[Running]]


def available() -> dict[str, Start]:
    """Every peer that is installed here, Vesalius first."""
    found: dict[str, Start] = {"vesalius": vesalius}
    if orthanc.command():
        found["orthanc"] = orthanc_peer
    if shutil.which("storescp"):
        found["storescp"] = storescp
    if shutil.which("dcmqrscp"):
        found["dcmqrscp"] = dcmqrscp
    return found
