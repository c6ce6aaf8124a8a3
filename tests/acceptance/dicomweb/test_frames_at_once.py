"""Frames asked for side by side over the network: everyone gets its own, whatever memory bodies are made in."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from pydicom.dataset import Dataset
from tests.support.generate import ct, part10
from tests.support.multipart import split
from tests.support.server import Server, running_server, vesalius

OCTETS = 'multipart/related; type="application/octet-stream"'
SIZES = ((64, 64), (500, 333), (512, 512), (700, 512))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[Dataset]]]:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "in").mkdir()
    made = [ct(1, 1, number, rows=rows, columns=columns) for number, (rows, columns) in enumerate(SIZES * 4, 1)]
    for number, ds in enumerate(made):
        (folder / "in" / f"{number}.dcm").write_bytes(part10(ds))
    with running_server(Path(folder) / "data") as server:
        vesalius("import", str(folder / "in"), "--data", str(server.data))
        yield server, made


def read_all(server: Server, made: list[Dataset], seed: int) -> int:
    """Every frame in an order of its own, in two forms; how many were right."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    right = 0
    for ds, accept in itertools.product(Random(seed).sample(made, len(made)), (OCTETS, "application/octet-stream")):
        path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/"
        connection.request("GET", f"{path}{ds.SOPInstanceUID}/frames/1", headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        if accept == OCTETS:
            (part,) = split(answer.headers["content-type"], body)
            body = part.content
        right += body == ds.PixelData
    connection.close()
    return right


def read_side_by_side(server: Server, made: list[Dataset]) -> None:
    with ThreadPoolExecutor(12) as readers:
        counts = list(readers.map(lambda seed: read_all(server, made, seed), range(12)))
    assert counts == [2 * len(made)] * 12


def test_every_reader_gets_its_own_pixels(images: tuple[Server, list[Dataset]]) -> None:
    read_side_by_side(*images)


def test_a_reader_that_waits_gets_what_it_asked_for(images: tuple[Server, list[Dataset]]) -> None:
    """Its answer lies in the HTTP server while the memory in which it was made is used for others."""
    server, made = images
    ds = made[3]
    path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    waiting = [http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60) for _ in range(8)]
    for connection in waiting:
        connection.request("GET", f"{path}/frames/1", headers={"Accept": "application/octet-stream"})
    read_side_by_side(server, made)
    for connection in waiting:
        assert connection.getresponse().read() == ds.PixelData
        connection.close()
