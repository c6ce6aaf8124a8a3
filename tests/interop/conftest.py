"""One archive for the peers of a module, with two studies in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.support.dcmtk import free_port
from tests.support.generate import ct, part10
from tests.support.server import Server, running_server, vesalius

# AE titles that the archive knows as move destinations; each test module lets its peer listen on the port.
DESTINATIONS = ("MOVESCU", "STORESCP", "DCMQR", "PYNET", "ORTHANC")


@dataclass
class Site:
    """The running archive and its destinations."""

    server: Server
    ports: dict[str, int]
    folder: Path  # files of the two studies that it keeps
    first: list[Dataset] = field(default_factory=list)
    second: list[Dataset] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.dimse_port

    @property
    def data(self) -> Path:
        return self.server.data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("interop")
    ports = {aet: free_port() for aet in DESTINATIONS}
    peers = "".join(
        f'[[peers]]\nname = "{aet.lower()}"\nhost = "127.0.0.1"\nport = {port}\naet = "{aet}"\n'
        'allow = ["store", "query", "retrieve"]\nmove_to = ["*"]\n'
        for aet, port in ports.items()
    )
    # Peers of one machine that come and go at once must find nothing that was kept for them.
    config = f"[limits]\nconnect = 5.0\nnetwork = 20.0\n{peers}"
    # In the data directory, where commands beside the service find it.
    with running_server(folder, config=config, config_file=folder / "data/vesalius.toml", workers=2) as server:
        site = Site(server, ports, folder / "files")
        site.first = [ct("interop", series, n, patient_id="INTEROP-1") for series in (1, 2) for n in (1, 2, 3)]
        site.second = [ct("other", 1, n, patient_id="INTEROP-2", patient_name="Müller^Jörg") for n in (1, 2)]
        site.folder.mkdir()
        for n, ds in enumerate((*site.first, *site.second)):
            (site.folder / f"{n}.dcm").write_bytes(part10(ds))
        vesalius("import", site.folder, data=server.data)
        yield site
