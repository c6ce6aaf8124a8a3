"""WADO-RS on the real service: every real file comes back the same, clients retrieve, slow and lost ones do no harm."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import statistics
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from tests.support import corpus
from tests.support.data import need_shared_data
from tests.support.elements import split_part10
from tests.support.generate import ct, part10, uid
from tests.support.multipart import split
from tests.support.server import Server, running_server, vesalius

from vesalius.model.entities import Claim
from vesalius.model.file_meta import file_prefix
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
DEFAULT = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'


@dataclass
class Loaded:
    """A running archive, and what was put into it: SOP Instance UID -> its data set and transfer syntax."""

    server: Server
    sent: dict[str, corpus.Item] = field(default_factory=dict)

    def get(self, path: str, accept: str = "*/*", **headers: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
        connection.request("GET", "/dicom-web" + path, headers={"Accept": accept, **headers})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers.get("content-type", ""), body

    def studies(self) -> list[str]:
        status, _, body = self.get("/studies?limit=5000&includefield=StudyInstanceUID")
        assert status == 200
        return [one["0020000D"]["Value"][0] for one in json.loads(body)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    need_shared_data()
    folder = tmp_path_factory.mktemp("wado")
    files = folder / "in"
    files.mkdir()
    sent: dict[str, corpus.Item] = {}
    for number, item in enumerate(corpus.items()):
        if not (item.sop_class and item.sop_instance and item.study):
            continue
        if item.sop_instance in sent:
            if item.transfer_syntax == corpus.DEFLATED_LE:
                continue
            item = corpus.with_other_instance(item, number % 1000)
        if item.sop_instance in sent:
            continue
        sent[item.sop_instance] = item
        prefix = file_prefix(Claim(item.sop_class, item.sop_instance, item.transfer_syntax))
        # Some come with a preamble that is a program: nothing of it may come back (T6).
        preamble = b"#!/bin/sh\necho harm\n".ljust(128, b"#") if number % 7 == 0 else bytes(128)
        (files / f"{number:05d}.dcm").write_bytes(preamble + prefix[128:] + item.dataset)
    vesalius("import", files, data=folder / "data", check=False)
    with running_server(folder) as server:
        yield Loaded(server, sent)


def test_every_real_file_comes_back_byte_for_byte_and_with_an_empty_preamble(real: Loaded) -> None:
    found = 0
    for study in real.studies():
        status, kind, body = real.get(f"/studies/{study}", AS_STORED)
        assert status == 200
        for part in split(kind, body):
            assert part.content[:128] == bytes(128)
            syntax, dataset = split_part10(part.content)
            ds = dcmread(BytesIO(part.content), stop_before_pixels=True, force=True, specific_tags=["SOPInstanceUID"])
            item = real.sent[str(ds.file_meta.MediaStorageSOPInstanceUID)]
            assert syntax == item.transfer_syntax and part.type.endswith(syntax)
            assert hashlib.sha256(dataset).digest() == hashlib.sha256(item.dataset).digest(), item.name
            found += 1
    assert found >= 600


def test_every_real_study_comes_in_the_default_form(real: Loaded) -> None:
    turned = whole = 0
    for study in real.studies():
        status, kind, body = real.get(f"/studies/{study}", DEFAULT)
        assert status in (200, 206, 406), study
        whole += status == 200
        if status == 406:
            continue
        for part in split(kind, body):
            if not part.type.endswith(EXPLICIT_LE):
                continue
            syntax, dataset = split_part10(part.content)
            assert syntax == EXPLICIT_LE and dataset
            turned += 1
    assert turned >= 700 and whole >= 85


def test_every_real_image_has_a_picture_or_says_why_not(real: Loaded) -> None:
    shown = 0
    for study in real.studies():
        status, kind, body = real.get(f"/studies/{study}/thumbnail")
        assert status in (200, 404, 406), (study, body[:200])
        if status == 200:
            assert kind == "image/jpeg" and body[:2] == b"\xff\xd8"
            shown += 1
        else:
            assert json.loads(body)["detail"]
    assert shown >= 75


# -- a client that nobody here wrote -------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("wado-small")
    files = folder / "in"
    files.mkdir()
    for series, number in ((1, 1), (1, 2), (2, 1)):
        (files / f"{series}-{number}.dcm").write_bytes(part10(ct(1, series, number, rows=32, columns=32)))
    for number in range(1, 41):
        (files / f"big-{number}.dcm").write_bytes(part10(ct(2, 1, number, rows=512, columns=512)))
    vesalius("import", files, data=folder / "data")
    with running_server(folder) as server:
        yield Loaded(server)


def test_dicomweb_client_does_every_retrieve_transaction(small: Loaded) -> None:
    client = DICOMwebClient(f"{small.server.url}/dicom-web")
    study, series, sop = uid("study", 1), uid("series", 1, 1), uid("instance", 1, 1, 1)
    expected = ct(1, 1, 1, rows=32, columns=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(client.retrieve_study(study)) == 3
        assert len(list(client.iter_series(study, series))) == 2
        ds = client.retrieve_instance(study, series, sop)
        assert ds.PixelData == expected.PixelData
        for syntax in ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "*"):
            ds = client.retrieve_instance(study, series, sop, media_types=(("application/dicom", syntax),))
            got = ds.pixel_array & 0x0FFF
            assert np.array_equal(got, np.frombuffer(expected.PixelData, "<u2").reshape(32, 32) & 0x0FFF), syntax
        (frame,) = client.retrieve_instance_frames(study, series, sop, [1])
        assert frame == expected.PixelData
        for media in ("image/jls", "image/jp2"):
            assert client.retrieve_instance_frames(study, series, sop, [1], media_types=(media,))
        for media, start in (("image/jpeg", b"\xff\xd8"), ("image/png", b"\x89PNG")):
            assert client.retrieve_instance_rendered(study, series, sop, media_types=(media,)).startswith(start)
            rendered = client.retrieve_instance_frames_rendered(study, series, sop, [1], media_types=(media,))
            assert rendered.startswith(start)
        assert client.retrieve_series_rendered(study, series, media_types=("image/gif",)).startswith(b"GIF8")
        metadata = client.retrieve_instance_metadata(study, series, sop)
        # The client says Host without the port, so the address that it is told lacks it.
        address = small.server.url + urlsplit(metadata["7FE00010"]["BulkDataURI"]).path
        assert next(iter(client.retrieve_bulkdata(address))) == expected.PixelData
        (part,) = client.retrieve_bulkdata(address, byte_range=(4, 9))
        assert part == expected.PixelData[4:10]


# -- slow and lost clients -----------------------------------------------------------------------------


def ask(port: int, path: str, accept: str, window: int = 0) -> socket.socket:
    """A connection that has asked and not read."""
    connection = socket.socket()
    if window:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET /dicom-web{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n".encode())
    return connection


def web_process(server: Server) -> psutil.Process:
    """The process that holds the HTTP port, by the load that a request is."""
    family = psutil.Process(server.process.pid).children(recursive=True)
    for process in family:
        try:
            if any(c.laddr and c.laddr.port == server.http_port for c in process.net_connections("tcp")):
                return process
        except psutil.Error:
            continue
    raise AssertionError("no process has the HTTP port")


def settled(process: psutil.Process, quantity: str, limit: int, seconds: float = 10) -> int:
    """The quantity, once it is no more than the limit, or after so long."""
    end = time.monotonic() + seconds
    while (value := int(getattr(process, quantity)())) > limit and time.monotonic() < end:
        time.sleep(0.1)
    return value


def latencies(loaded: Loaded, count: int = 30) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        path = f"/studies/{uid('study', 1)}/series/{uid('series', 1, 1)}/instances/{uid('instance', 1, 1, 1)}/frames/1"
        assert loaded.get(path, OCTETS)[0] == 200
        taken.append(time.perf_counter() - started)
    return taken


def test_sixty_four_slow_readers_hold_up_nobody_and_take_no_memory(small: Loaded) -> None:
    process = web_process(small.server)
    latencies(small, 10)
    alone = statistics.quantiles(latencies(small), n=20)[-1]
    before = process.memory_full_info().uss
    readers = [ask(small.server.http_port, f"/studies/{uid('study', 2)}", AS_STORED, 16 << 10) for _ in range(64)]
    received = {reader.fileno(): 0 for reader in readers}
    stop = threading.Event()

    def crawl() -> None:
        while not stop.wait(0.05):
            for reader in readers:
                received[reader.fileno()] += len(reader.recv(20 << 10))

    crawler = threading.Thread(target=crawl)
    crawler.start()
    try:
        time.sleep(1.0)
        beside = statistics.quantiles(latencies(small), n=20)[-1]
        used = process.memory_full_info().uss - before
        assert min(received.values()) > 20 << 10
    finally:
        stop.set()
        crawler.join()
        for reader in readers:
            reader.close()
    # Each holds about two chunks of half a megabyte; a study of theirs is 20 MB, all of them 1.3 GB.
    assert used < 300 << 20
    # That it at most doubles is measured by the benchmark; on a machine that others use it is not held up at least.
    assert beside < max(4 * alone, 2.0)


@pytest.mark.parametrize("what", ["study", "zip", "turned", "frames"])
def test_clients_that_go_away_leave_nothing_behind(small: Loaded, what: str) -> None:
    process = web_process(small.server)
    instance = f"/studies/{uid('study', 2)}/series/{uid('series', 2, 1)}/instances/{uid('instance', 2, 1, 1)}"
    path, accept = {
        "study": (f"/studies/{uid('study', 2)}", AS_STORED),
        "zip": (f"/studies/{uid('study', 2)}", "application/zip"),
        "turned": (f"/studies/{uid('study', 2)}", f"{DEFAULT}; transfer-syntax=1.2.840.10008.1.2.5"),
        "frames": (instance + "/frames/" + ",".join(["1"] * 100), OCTETS),
    }[what]
    latencies(small, 3)
    files, threads = process.num_fds(), process.num_threads()
    for _ in range(5 if what == "turned" else 60):
        connection = ask(small.server.http_port, path, accept, 16 << 10)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.close()
    # A thread that the pool has begun meanwhile keeps a connection to the index open; there may be four.
    most = files + 4 + 4 * 3
    assert settled(process, "num_fds", most) <= most
    assert process.num_threads() <= threads + 4
    assert latencies(small, 3)


@pytest.mark.slow
def test_a_thousand_lost_clients_leave_no_memory_behind(small: Loaded) -> None:
    process = web_process(small.server)
    sizes = []
    for _ in range(4):
        for _ in range(250):
            connection = ask(small.server.http_port, f"/studies/{uid('study', 2)}", AS_STORED, 16 << 10)
            connection.recv(4096)
            connection.close()
        latencies(small, 3)
        time.sleep(1)
        sizes.append(process.memory_full_info().uss)
    assert sizes[-1] < sizes[1] + (32 << 20)


def test_a_study_comes_whole_to_a_reader_that_is_slow(small: Loaded) -> None:
    connection = ask(small.server.http_port, f"/studies/{uid('study', 2)}", AS_STORED, 64 << 10)
    received = bytearray()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        data = connection.recv(1 << 20)
        if not data:
            break
        received += data
        if received.endswith(b"--\r\n") and len(received) > 40 * 512 * 1024:
            break
    connection.close()
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    kind = next(line for line in head.decode().split("\r\n") if line.lower().startswith("content-type:"))
    assert len(split(kind.partition(": ")[2], body)) == 40


def test_documents_of_this_machine_have_no_way_in(small: Loaded) -> None:
    for path in ("/studies/../../../etc/passwd", "/studies/%2e%2e/%2e%2e/etc", "/studies/1.2/bulkdata/../x"):
        assert small.get(path)[0] in (400, 404)
