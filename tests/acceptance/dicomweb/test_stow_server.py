"""STOW-RS on the real service: connections, limits, large bodies, and what other people's clients make of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from tests.acceptance.limits.test_large_objects import EXPLICIT, LIMIT, MULTI_FRAME, Large, Watch
from tests.support.dcmtk import run
from tests.support.elements import explicit
from tests.support.generate import ct, part10, uid
from tests.support.raw_http import RawHttp
from tests.support.server import Server, listing, running_server
from tests.support.stow import BOUNDARY, content_type, failed, files, headers, others, stored

from vesalius.model.entities import Claim
from vesalius.model.file_meta import file_prefix
from vesalius.wire.multipart import closing

PATH = "/dicom-web/studies"
CONFIG = "[web]\nupload_idle = 0.8\nstore_size = 4294967296\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("stow"), config=CONFIG) as running:
        yield running


_numbers = iter(range(1, 10_000))


def file(study: object = "s") -> tuple[str, bytes]:
    ds = ct(study=study, series=1, instance=next(_numbers))
    return str(ds.SOPInstanceUID), part10(ds)


def known(server: Server, study: object = "s") -> set[str]:
    with urllib.request.urlopen(f"{server.url}{PATH}/{uid('study', study)}/instances?limit=1000") as answer:
        return {item["00080018"]["Value"][0] for item in json.loads(answer.read() or b"[]")}


def alive(server: Server) -> bool:
    started = time.monotonic()
    return server.get("/health")[0] == 200 and time.monotonic() - started < 1.0


# -- connections ---------------------------------------------------------------------------------


def test_requests_follow_each_other_on_one_connection(server: Server) -> None:
    with RawHttp(server.http_port) as http:
        for _ in range(3):
            name, data = file()
            http.request("POST", PATH, headers(), files(data))
            answer = http.answer(look=False)
            assert answer.status == 200 and stored(answer.body) == {name}


def test_a_body_in_chunks_of_any_size_is_the_same(server: Server) -> None:
    name, data = file()
    whole = files(data)
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, headers(), [whole[at : at + 97] for at in range(0, len(whole), 97)])
        assert stored(http.answer(look=False).body) == {name}


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Content-Length": str(5 << 30)}, 413),
        ({"Content-Length": "1000000", "Content-Encoding": "gzip"}, 415),
        ({"Content-Length": "1000000", "Content-Type": "image/png"}, 415),
        ({"Content-Length": "1000000", "Accept": "image/png"}, 406),
        ({"Content-Length": "1000000", "Content-Type": "multipart/related; type=application/dicom"}, 400),
    ],
)
def test_h4_h6_what_is_refused_is_answered_without_its_body(server: Server, more: dict[str, str], status: int) -> None:
    started = time.monotonic()
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, {**headers(), **more}, b"")
        answer = http.answer(look=False)
    assert answer.status == status
    assert time.monotonic() - started < 1
    assert json.loads(answer.body)["title"]
    assert alive(server)


def test_h5_a_sender_that_stalls_is_408_and_its_slot_is_free(server: Server) -> None:
    name, data = file()
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, {**headers(), "Content-Length": "100000"}, b"")
        http.send(files(data)[:-100])
        started = time.monotonic()
        answer = http.answer()
        assert answer.status == 408 and answer.closed
        assert 0.5 < time.monotonic() - started < 3
    assert name not in known(server)


def test_h5_a_sender_that_trickles_is_ended(server: Server) -> None:
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, {**headers(), "Content-Length": "100000"}, b"")
        started = time.monotonic()
        try:
            http.send(*[b"x"] * 60, pause=0.05)
            assert http.answer().status == 408
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was told and closed before the last drop
        assert time.monotonic() - started < 5
    assert alive(server)


def test_a_sender_that_goes_away_leaves_what_came_whole_and_nothing_else(server: Server) -> None:
    first, second = file("away"), file("away")
    whole = files(first[1], second[1])
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, {**headers(), "Content-Length": str(len(whole))}, b"")
        http.send(whole[:-300])
        time.sleep(0.2)
    end = time.monotonic() + 5
    while first[0] not in known(server, "away") and time.monotonic() < end:
        time.sleep(0.05)
    assert known(server, "away") == {first[0]}


def test_many_senders_at_once_are_all_stored(server: Server) -> None:
    failures: list[object] = []

    def send(number: int) -> None:
        made = [ct(study=f"crowd-{number}", series=1, instance=at, rows=64, columns=64) for at in range(10)]
        with RawHttp(server.http_port) as http:
            http.request("POST", PATH, headers(), files(*map(part10, made)))
            answer = http.answer(look=False)
        if answer.status != 200 or stored(answer.body) != {ds.SOPInstanceUID for ds in made}:
            failures.append((answer.status, answer.body))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(len(known(server, f"crowd-{number}")) == 10 for number in range(8))


# -- large and hostile ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size",
    [200 << 20, pytest.param(1 << 30, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
    ids=["200 MB", "1 GB"],
)
def test_a_large_object_streams_in_with_bounded_memory(size: int, tmp_path: Path) -> None:
    large = Large(size)

    def body() -> Iterator[bytes]:
        chunks = large.chunks()
        head = next(chunks)
        yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield file_prefix(Claim(MULTI_FRAME, large.instance, EXPLICIT))
        yield head
        yield from chunks
        yield closing(BOUNDARY)

    with running_server(tmp_path) as server:
        with Watch(server) as watch:
            with RawHttp(server.http_port, timeout=300) as http:
                http.request("POST", PATH, headers(), body())
                answer = http.answer(look=False)
            assert answer.status == 200 and stored(answer.body) == {large.instance}
        assert watch.peak < LIMIT
        kept = listing("find", "--level", "image", f"StudyInstanceUID={large.study}", data=server.data)
        assert len(kept) == 1
    digest = hashlib.sha256()
    (pack,) = (tmp_path / "data" / "packs").glob("*.tar")
    with pack.open("rb") as file:
        at = file.read(8192).index(b"DICM") - 128 + len(file_prefix(Claim(MULTI_FRAME, large.instance, EXPLICIT)))
        file.seek(at)
        left = large.length
        while left:
            data = file.read(min(left, 1 << 20))
            digest.update(data)
            left -= len(data)
    assert digest.hexdigest() == large.digest


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_request_of_ten_gigabytes_streams_in_with_bounded_memory(tmp_path: Path) -> None:
    """Ten instances of a gigabyte in one body that nobody, neither client nor server, ever holds."""
    objects = [Large(1 << 30, number=number) for number in range(10)]
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for number, large in enumerate(objects):
            chunks = large.chunks()
            head = next(chunks)
            yield (b"\r\n" if number else b"") + f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            yield file_prefix(Claim(MULTI_FRAME, large.instance, EXPLICIT)) + head
            for chunk in chunks:
                sent += len(chunk)
                yield chunk
        yield closing(BOUNDARY)

    try:
        with running_server(tmp_path) as server:
            with Watch(server) as watch:
                with RawHttp(server.http_port, timeout=900) as http:
                    http.request("POST", PATH, headers(), body())
                    answer = http.answer(look=False)
                assert answer.status == 200 and stored(answer.body) == {large.instance for large in objects}
            assert sent == 10 << 30
            assert watch.peak < LIMIT
            for large in objects[::5]:
                digest = hashlib.sha256()
                target = f"{server.url}{PATH}/{large.study}/series/{large.series}/instances/{large.instance}"
                request = urllib.request.Request(target, headers={"Accept": "application/dicom; transfer-syntax=*"})
                with urllib.request.urlopen(request, timeout=300) as file:
                    file.read(len(file_prefix(Claim(MULTI_FRAME, large.instance, EXPLICIT))))
                    while data := file.read(1 << 20):
                        digest.update(data)
                assert digest.hexdigest() == large.digest
    finally:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)  # pytest would keep ten gigabytes for three runs


def test_t7_a_deflate_bomb_is_refused_in_bounded_memory(server: Server) -> None:
    deflated = "1.2.840.10008.1.2.1.99"
    ds = ct(study="bomb", instance=1)
    ds.PixelData = b""
    head = part10(ds)
    start = 144 + int.from_bytes(head[140:144], "little")
    plain = head[start : head.rindex(b"\xe0\x7f\x10\x00")]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(plain + explicit(0x7FE00010, "OB", b"", 512 << 20)[:12])
    for _ in range(512):
        data += packer.compress(bytes(1 << 20))
    data += packer.flush()
    assert len(data) < 1 << 20
    bomb = file_prefix(Claim(ds.SOPClassUID, ds.SOPInstanceUID, deflated)) + data
    with Watch(server) as watch:
        before = watch.look()
        with RawHttp(server.http_port) as http:
            http.request("POST", PATH, headers(), files(bomb))
            answer = http.answer(look=False)
    assert answer.status in (409, 413)
    (reason,) = failed(answer.body).values()
    assert reason >> 8 == 0xA7 or reason >> 12 == 0xC
    assert watch.peak - before < 64 << 20
    assert alive(server)


@pytest.mark.parametrize("row", range(12))
def test_hostile_bodies_never_hurt(server: Server, row: int) -> None:
    bodies = [
        b"",
        b"--" * 100_000,
        f"--{BOUNDARY}\r\n".encode() * 10_000,
        f"--{BOUNDARY}\r\n\r\n".encode() * 2_000 + closing(BOUNDARY),
        files(b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00OB\0\0" + b"\xff\xff\xff\xff"),
        files(b"DICM" * 100_000),
        files(file_prefix(Claim("1.2", "3.4", "5.6")) + b"\xff" * 1000),
        files(*[b"x"] * 500),
        files(part10(ct(instance=1))).replace(b"\r\n", b"\n"),
        b"\r\n" * 50_000,
        files(part10(ct(instance=1)))[:-30] + b"\r\n--" + BOUNDARY.encode() + b"garbage",
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n folded: yes\r\n\r\nx".encode() + closing(BOUNDARY),
    ]
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, headers(), bodies[row])
        answer = http.answer(look=False)
    assert 400 <= answer.status < 500
    assert alive(server)


# -- other people's clients ----------------------------------------------------------------------


def test_dicomweb_client_stores_and_deletes(server: Server) -> None:
    client = DICOMwebClient(f"{server.url}/dicom-web", chunk_size=10_000)
    made: list[Dataset] = []
    for number in range(3):
        path = part10(ct(study="client", series=1, instance=number, rows=64, columns=64))
        from io import BytesIO

        made.append(dcmread(BytesIO(path)))
    answer = client.store_instances(made)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [
        ds.SOPInstanceUID for ds in made
    ]
    assert "FailedSOPSequence" not in answer
    again = client.store_instances(made, study_instance_uid=made[0].StudyInstanceUID)
    assert len(again.ReferencedSOPSequence) == 3
    back = client.retrieve_instance(made[1].StudyInstanceUID, made[1].SeriesInstanceUID, made[1].SOPInstanceUID)
    assert back.PixelData == made[1].PixelData
    client.delete_instance(made[0].StudyInstanceUID, made[0].SeriesInstanceUID, made[0].SOPInstanceUID)
    assert len(known(server, "client")) == 2
    client.delete_series(made[0].StudyInstanceUID, made[0].SeriesInstanceUID)
    assert known(server, "client") == set()


def test_what_came_by_stow_is_read_by_dcmtk(server: Server, tmp_path: Path) -> None:
    name, data = file("dcmtk")
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, headers(), files(data))
        assert http.answer(look=False).status == 200
    run("getscu", "-S", "-aec", "VESALIUS", "-k", "QueryRetrieveLevel=STUDY", "-k",
        f"StudyInstanceUID={uid('study', 'dcmtk')}", "-od", tmp_path, "127.0.0.1", str(server.dimse_port))  # fmt: skip
    (got,) = tmp_path.iterdir()
    assert dcmread(got).SOPInstanceUID == name


def test_curl_multipart_is_understood(server: Server) -> None:
    """As curl and many scripts write it: no preamble, a blank line of headers, the type without quotes."""
    name, data = file()
    body = b"--abc\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--abc--"
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, {"Content-Type": "multipart/related; type=application/dicom; boundary=abc"}, body)
        answer = http.answer(look=False)
    assert answer.status == 200 and stored(answer.body) == {name}


def test_no_name_of_a_patient_is_in_the_log(server: Server) -> None:
    ds = ct(study="log", instance=1, patient_name="Geheim^Person", patient_id="GEHEIM-1")
    with RawHttp(server.http_port) as http:
        http.request("POST", PATH, headers(), files(part10(ds), b"junk", part10(ds)[:-100]))
        answer = http.answer(look=False)
    assert answer.status == 202 and others(answer.body)
    assert "geheim" not in server.log_text().lower()
    assert content_type() in headers()["Content-Type"]
