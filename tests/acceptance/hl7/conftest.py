"""The real product with its HL7 port open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.dcmtk import free_port
from tests.support.mllp import Mllp
from tests.support.server import Server, running_server

CONFIG = """
[hl7]
listen = true
port = {port}
accept_test = true
{settings}

[[hl7.sources]]
name = "HIS"
application = "HIS"
merges = true

[[hl7.sources]]
name = "LATIN"
application = "LATIN"
charset = "8859/1"

[[hl7.sources]]
name = "SAMPLES"
merges = true
"""


@dataclass
class Hl7Server:
    """A server and its MLLP port."""

    server: Server
    port: int

    def connect(self) -> Mllp:
        return Mllp(self.port)


@pytest.fixture(scope="module")
def hl7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hl7Server]:
    """One server for the tests of a module: each uses patients of its own."""
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("hl7")
    config = CONFIG.format(port=port, settings="block_timeout = 1.5\nmessage_size = 12582912")
    with running_server(folder, config=config) as server:
        yield Hl7Server(server, port)


@pytest.fixture
def his(hl7: Hl7Server) -> Iterator[Mllp]:
    """A connection of the hospital's system."""
    with hl7.connect() as connection:
        yield connection
