"""Rows H1 to H28 of the table of malformed inputs: HTTP over real sockets, byte by byte.

After every row the same process answers a good request at once, and the archive holds what it held, unless the answer
said that something was stored. What the memory of the service did meanwhile is looked at after the last one.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from tests.acceptance.limits.test_large_objects import Watch
from tests.support.generate import ct, part10, uid
from tests.support.raw_http import RawAnswer, RawHttp
from tests.support.server import Server, running_server, vesalius
from tests.support.stow import BOUNDARY, content_type, failed, files, headers, multipart, others, stored

STUDIES = "/dicom-web/studies"
STUDY, SERIES, INSTANCE = uid("study", 1), uid("series", 1, 1), uid("instance", 1, 1, 1)
PATH = f"{STUDIES}/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
STORE_SIZE = 8 << 20
CONFIG = f"[web]\nupload_idle = 1.0\nstore_size = {STORE_SIZE}\nbody_size = 1048576\nresults = 20\n"
JSON, XML = "application/dicom+json", "application/dicom+xml"
OCTETS = 'multipart/related; type="application/octet-stream"'
GROWTH = 250 << 20  # bytes of the whole service over all rows


@dataclass
class Held:
    """The service, and what must not change."""

    server: Server
    process: psutil.Process
    watch: Watch
    counted: int
    started: int = 0
    stored: set[str] = field(default_factory=set)

    def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, body: Any = b"", *, look: bool = False
    ) -> RawAnswer:
        """One request of one connection; with `look` also whether the server ends it."""
        with RawHttp(self.server.http_port) as http:
            http.request(method, path, fields or {}, body)
            return http.answer(look=look)

    def raw(self, data: bytes | Iterable[bytes], wait: float = 20.0) -> list[tuple[int, bytes]]:
        """Every answer to these bytes, until the server ends the connection or is silent."""
        with socket.create_connection(("127.0.0.1", self.server.http_port), 20) as connection:
            received = b""
            try:
                for piece in (data,) if isinstance(data, bytes) else data:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was told and closed before the last byte
            connection.settimeout(wait)
            try:
                while piece := connection.recv(65536):
                    received += piece
                    if _whole(received):
                        connection.settimeout(0.4)
            except (TimeoutError, ConnectionResetError):
                pass
            return answers(received)


def _whole(received: bytes) -> bool:
    return b"\r\n\r\n" in received and bool(answers(received))


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer that is whole."""
    found = []
    while received.startswith(b"HTTP/1.1 "):
        head, _, rest = received.partition(b"\r\n\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        size = int(fields.get(b"content-length", b"0"))
        if len(rest) < size:
            break
        found.append((int(head[9:12]), rest[:size]))
        received = rest[size:]
    return found


def count(server: Server) -> int:
    """Instances that are known."""
    status, text = server.get(f"{STUDIES}?includefield=NumberOfStudyRelatedInstances&limit=20")
    assert status == 200
    return sum(int(one["00201208"]["Value"][0]) for one in json.loads(text))


def web_process(server: Server) -> psutil.Process:
    for process in psutil.Process(server.process.pid).children(recursive=True):
        if any(c.laddr and c.laddr.port == server.http_port for c in process.net_connections("tcp")):
            return process
    raise AssertionError("no process has the HTTP port")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = tmp_path_factory.mktemp("bad-http")
    (folder / "in").mkdir()
    for number in (1, 2):
        (folder / "in" / f"{number}.dcm").write_bytes(part10(ct(1, 1, number)))
    vesalius("import", folder / "in", data=folder / "data")
    with running_server(folder, config=CONFIG) as server, Watch(server) as watch:
        server.get(STUDIES)
        made = Held(server, web_process(server), watch, count(server), watch.look())
        yield made
        assert watch.peak - made.started < GROWTH
        assert made.process.is_running() and made.process == web_process(server)


@pytest.fixture(autouse=True)
def _unharmed(held: Held) -> Iterator[None]:
    before = count(held.server)
    held.stored.clear()
    yield
    started = time.monotonic()
    assert held.server.get("/health")[0] == 200
    assert time.monotonic() - started < 5  # a second on a machine that does nothing else
    assert held.process.is_running()
    assert count(held.server) == before + len(held.stored)


def fresh(study: object = 1) -> tuple[str, bytes]:
    """An instance that nobody has yet."""
    ds = ct(study, 1, next(_numbers))
    return str(ds.SOPInstanceUID), part10(ds)


_numbers = iter(range(100, 10_000))


def told(answer: RawAnswer) -> dict[str, str]:
    """What is wrong, in the one form that errors have."""
    body: dict[str, str] = json.loads(answer.body)
    assert set(body) == {"title", "detail", "hint"} and body["detail"]
    return body


# -- H1 to H6: bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/related; type="application/dicom"',
        'multipart/related; type="application/dicom"; boundary=other',
        'multipart/related; type="application/dicom"; boundary=""',
        f'multipart/related; type="application/dicom"; boundary={"b" * 300}',
    ],
)
def test_h1_a_body_whose_boundary_is_missing_or_another(held: Held, kind: str) -> None:
    answer = held.ask("POST", STUDIES, {"Content-Type": kind}, files(fresh()[1]))
    assert answer.status == 400 and told(answer)


def test_h1_a_body_without_its_end(held: Held) -> None:
    whole = files(fresh()[1])
    answer = held.ask("POST", STUDIES, headers(), whole[: whole.rindex(b"\r\n--")])
    assert answer.status == 400


@pytest.mark.parametrize("body", [b"", f"--{BOUNDARY}--\r\n".encode(), b"\r\n"])
def test_h2_no_part_at_all(held: Held, body: bytes) -> None:
    assert held.ask("POST", STUDIES, headers(), body).status == 400


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("image/png", None),
        ("text/plain", None),
        ("", None),
        ("multipart/form-data; boundary=" + BOUNDARY, None),
        (content_type("image/png"), None),
        (content_type(), "image/png"),
        (content_type(JSON), "application/dicom"),
    ],
)
def test_h3_a_media_type_that_is_not_stored(held: Held, kind: str, part: str | None) -> None:
    body = files(fresh()[1]) if part is None else multipart([(part, fresh()[1])])
    answer = held.ask("POST", STUDIES, {"Content-Type": kind} if kind else {}, body)
    assert answer.status == 415 and told(answer)


def test_h4_t8_a_length_beyond_the_limit_is_413_before_a_byte_of_it(held: Held) -> None:
    started = time.monotonic()
    for size in (STORE_SIZE + 1, 4294967296, 10**18):
        answer = held.ask("POST", STUDIES, {**headers(), "Content-Length": str(size)}, look=True)
        assert answer.status == 413 and answer.closed
    assert time.monotonic() - started < 10


def test_h4_chunks_without_end_are_413_at_the_limit(held: Held) -> None:
    def endless() -> Iterator[bytes]:
        yield f"POST {STUDIES} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n".encode()
        yield f"Content-Type: {content_type()}\r\n\r\n".encode()
        head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + fresh()[1][:2000]
        yield b"%x\r\n%b\r\n" % (len(head), head)
        for _ in range(2000):
            yield b"10000\r\n" + bytes(65536) + b"\r\n"

    found = held.raw(endless())
    assert [status for status, _ in found] in ([413], [])  # a reset may overtake the answer
    assert held.watch.peak - held.started < GROWTH


def test_h5_a_body_that_stalls(held: Held) -> None:
    with RawHttp(held.server.http_port) as http:
        http.request("POST", STUDIES, {**headers(), "Content-Length": "100000"}, b"")
        http.send(files(fresh()[1])[:400])
        answer = http.answer()
        assert answer.status == 408 and answer.closed


def test_h5_many_that_stall_hold_up_nobody(held: Held) -> None:
    waiting = [RawHttp(held.server.http_port) for _ in range(100)]
    for number, http in enumerate(waiting):
        if number % 2:
            http.request("POST", STUDIES, {**headers(), "Content-Length": "100000"}, b"")
        else:
            http.send(b"GET / HTTP/1.1\r\nHost: loc")
    started = time.monotonic()
    assert held.ask("GET", STUDIES).status == 200
    assert time.monotonic() - started < 5
    for http in waiting[1::2]:
        assert http.answer(look=False).status == 408
    for http in waiting:
        http.socket.close()


@pytest.mark.slow
def test_h5_headers_that_trickle_end_after_half_a_minute(held: Held) -> None:
    with RawHttp(held.server.http_port) as http:
        started = time.monotonic()
        http.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        while time.monotonic() - started < 90:
            try:
                http.send(b"x")
            except OSError:
                break
            if http.ended(1.0):
                break
        assert 20 < time.monotonic() - started < 60


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"])
def test_h6_a_body_in_a_content_coding(held: Held, coding: str) -> None:
    answer = held.ask("POST", STUDIES, {**headers(), "Content-Encoding": coding}, files(fresh()[1]))
    assert answer.status == 415 and answer.headers["accept-encoding"] == "identity"


# -- H7, H8: heads -------------------------------------------------------------------------------------

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length : 5\r\n",
        b"X: a\r\n Content-Length: 5\r\n",
        b" Content-Length: 5\r\n",
        b"X: a\0b\r\n",
        b"X\0: a\r\n",
        b"X: a\rContent-Length: 5\r\n",
        b"X(y): a\r\n",
        b": a\r\n",
        b"no colon\r\n",
    ],
)
def test_h7_what_two_servers_could_read_in_two_ways_is_refused_and_ends_the_connection(
    held: Held, lengths: bytes
) -> None:
    found = held.raw(HEAD + lengths + b"\r\n" + b"0\r\n\r\n" + HIDDEN)
    # One answer, and never one to the request that hides behind: what follows is not read at all.
    assert [status for status, _ in found] == [400]


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nX: a\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_h7_chunks_beside_a_length_end_the_connection(held: Held, lengths: bytes) -> None:
    """RFC 9112 6.1: it may be taken by its chunks alone, but what follows must not be read as a request."""
    assert [status for status, _ in held.raw(HEAD + lengths + b"\r\n0\r\n\r\n" + HIDDEN)] == [415]
    get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    assert [status for status, _ in held.raw(get + lengths + b"\r\n0\r\n\r\n" + HIDDEN)] == [200]


@pytest.mark.parametrize(
    "chunks",
    [
        b"5;\n\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5" + b";x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_h7_chunks_that_break_their_grammar_end_the_connection(held: Held, chunks: bytes) -> None:
    head = HEAD + f"Content-Type: {content_type()}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    found = [status for status, _ in held.raw(head + chunks + HIDDEN)]
    assert 404 not in found and len(found) <= 1 and all(400 <= status < 500 for status in found)


def test_h7_a_bare_line_feed_ends_a_line_and_hides_nothing(held: Held) -> None:
    """RFC 9112 2.2 lets a recipient take LF for CRLF; the HTTP server does. What counts is what it makes of it."""
    path = STUDIES.encode()
    # The whole head with LF: it means what it says, once.
    assert [s for s, _ in held.raw(b"GET " + path + b" HTTP/1.1\nHost: localhost\n\n")] == [200]
    # A length behind LF is a length: five bytes are the body of the first request, and the next one is the next.
    body = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nX: a\nContent-Length: 5\r\n\r\nhello"
    assert [s for s, _ in held.raw(body + HIDDEN)][:1] == [415]
    # A second length behind LF is a second length.
    found = held.raw(HEAD + b"Content-Length: 5\r\nX: a\nContent-Length: 6\r\n\r\nhello" + HIDDEN)
    assert [s for s, _ in found] == [400]
    # And an end of the head by LF alone is the end: what follows is a request of its own, not part of the first.
    assert [
        s
        for s, _ in held.raw(
            b"GET " + path + b" HTTP/1.1\r\nHost: localhost\n\nGET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
    ] == [
        200,
        404,
    ]


@pytest.mark.parametrize(
    "host", [b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b'Host: a"<script>\r\n', b"Host: a/../b\r\n"]
)
def test_h7_a_host_that_is_none_or_two(held: Held, host: bytes) -> None:
    assert [s for s, _ in held.raw(b"GET /health HTTP/1.1\r\n" + host + b"\r\n")] == [400]


@pytest.mark.parametrize(
    ("request_head", "statuses"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n", (431,)),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(10_000)) + b"\r\n",
            (431,),
        ),
        (b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414, 431)),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414,)),
        (b"A" * 100_000, (400, 431)),
        (b"\0" * 100, (400,)),
        (b"GET / HTTP/9.9\r\n\r\n", (400, 505)),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(100), (400,)),
        (struct.pack(">BBI", 1, 0, 200) + bytes(200), (400,)),  # an association request of DICOM
    ],
    ids=["header", "headers", "address", "address of 70 KB", "method", "zeros", "version", "TLS", "DICOM"],
)
def test_h8_heads_beyond_every_measure(held: Held, request_head: bytes, statuses: tuple[int, ...]) -> None:
    found = [status for status, _ in held.raw(request_head)]
    assert len(found) <= 1 and all(status in statuses for status in found)  # a reset may overtake the answer


# -- H9 to H12: STOW-RS --------------------------------------------------------------------------------


def test_h9_instances_of_another_study(held: Held) -> None:
    name, data = fresh(2)
    answer = held.ask("POST", f"{STUDIES}/{STUDY}", headers(), files(data))
    assert answer.status == 409 and failed(answer.body) == {name: 0xA900}
    mine, own = fresh(1)
    held.stored.add(mine)
    answer = held.ask("POST", f"{STUDIES}/{STUDY}", headers(), files(data, own))
    assert answer.status == 202 and failed(answer.body) == {name: 0xA900} and stored(answer.body) == {mine}


def test_h10_three_good_ones_and_one_that_is_cut(held: Held) -> None:
    made = [fresh() for _ in range(4)]
    held.stored.update(name for name, _ in made[:3])
    answer = held.ask("POST", STUDIES, headers(), files(*(data for _, data in made[:3]), made[3][1][:-100]))
    assert answer.status == 202 and stored(answer.body) == held.stored
    reasons = [*failed(answer.body).values(), *others(answer.body)]
    assert len(reasons) == 1 and reasons[0] >> 12 == 0xC


def test_h11_what_is_not_stored_here_has_its_own_reason(held: Held) -> None:
    ds = ct(1, 1, next(_numbers))
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.2.2.1"  # a query is nothing that is stored
    answer = held.ask("POST", STUDIES, headers(), files(part10(ds)))
    assert answer.status == 409 and failed(answer.body) == {ds.SOPInstanceUID: 0x0122}
    name, data = fresh()
    meta = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0", 1)
    answer = held.ask("POST", STUDIES, headers(), files(meta))
    assert answer.status == 409 and failed(answer.body) == {name: 0xC122}


def as_json(number: int, uri: str) -> tuple[str, bytes]:
    ds = ct(1, 1, number)
    made = ds.to_json_dict(bulk_data_threshold=1 << 30)
    made["7FE00010"] = {"vr": "OW", "BulkDataURI": uri}
    return str(ds.SOPInstanceUID), json.dumps([made]).encode()


def test_h12_bulk_data_that_are_missing_or_elsewhere_are_never_fetched(held: Held) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        port = canary.getsockname()[1]
        for uri in ("nowhere", f"http://127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x", "file:///etc/passwd"):
            name, metadata = as_json(next(_numbers), uri)
            answer = held.ask("POST", STUDIES, headers(JSON), multipart([(JSON, metadata)]))
            assert answer.status == 409 and failed(answer.body) == {name: 0xC000}
        with pytest.raises(TimeoutError):
            canary.accept()


def test_h12_t10_xml_with_a_document_type(held: Held) -> None:
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        external = f'<!ENTITY x SYSTEM "http://127.0.0.1:{canary.getsockname()[1]}/x">'
        for declared in ("", external, '<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY a0 "lol">' + bomb):
            body = f'<?xml version="1.0"?><!DOCTYPE x [{declared}]><NativeDicomModel>&x;&a9;</NativeDicomModel>'
            answer = held.ask("POST", STUDIES, headers(XML), multipart([(XML, body.encode())]))
            assert answer.status == 400 and b"root:" not in answer.body
        with pytest.raises(TimeoutError):
            canary.accept()


# -- H13 to H25: addresses and parameters --------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["x", "1.2.a", "1..2", "-1", "1.2." + "3" * 70, "%2e%2e", "%00", "1.2%2f..%2f..%2fetc", "1.2;x"]
)
def test_h13_a_uid_that_is_none(held: Held, bad: str) -> None:
    for path in ("", "/metadata", "/series", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata"):
        assert held.ask("GET", f"{STUDIES}/{bad}{path}").status in ((400, 404) if "%2" in bad else (400,)), path
    assert held.ask("DELETE", f"{STUDIES}/{bad}?reason=x").status in (400, 404)
    assert held.ask("GET", f"/wado?requestType=WADO&studyUID={bad}&seriesUID=1.2&objectUID=1.2").status == 400


def test_h14_what_is_unknown_is_404_and_what_was_deleted_410(held: Held) -> None:
    unknown = uid("unknown")
    for path in ("", "/metadata", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata", f"/series/{SERIES}"):
        assert held.ask("GET", f"{STUDIES}/{unknown}{path}").status == 404, path
    name, data = fresh("gone")
    held.stored.add(name)
    assert held.ask("POST", STUDIES, headers(), files(data)).status == 200
    gone = f"{STUDIES}/{uid('study', 'gone')}"
    assert held.ask("DELETE", f"{gone}?reason=test").status == 200
    held.stored.clear()
    for path in ("", "/metadata", "/bulkdata", "/pixeldata", "/rendered"):
        assert held.ask("GET", gone + path).status == 410, path


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        ("0", 400), ("-1", 400), ("a", 400), ("1,,2", 400), ("1,", 400), ("", 404), ("1.5", 400), ("%31", 200),
        ("٣", 400),
        ("1000000000", 404), ("2", 404), ("99999999999999999999", 400), (",".join(["1"] * 100_000), 414),
        (",".join(["1"] * 10_001), 400),
    ],
)  # fmt: skip
def test_h15_numbers_of_frames(held: Held, frames: str, status: int) -> None:
    from urllib.parse import quote

    address = f"{PATH}/frames/{quote(frames, safe=',%')}"
    answer = held.raw(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nAccept: {OCTETS}\r\n\r\n".encode())
    assert [found for found, _ in answer] == [status]


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("", "text/html", 406), ("", "application/dicom; q=0", 406), ("", "*/*; q=0", 406), ("", "a/b; c=\"", 400),
        ("", "multipart/related; type=\"image/png\"", 406), ("", "application", 400), ("", "*/dicom", 400),
        ("/metadata", "image/png", 406), ("/metadata", "application/dicom+json; q=2", 400),
        ("/metadata", "," * 9000, 400),
        ("/metadata", "application/dicom+json; q=0, application/json", 200), ("/frames/1", "image/png", 406),
        ("/frames/1", "text/html, application/octet-stream; q=0.1", 200), ("/rendered", "application/pdf", 406),
        ("/thumbnail", "text/html", 406), ("/bulkdata/7FE00010", "image/png", 406), ("/bulkdata", "text/html", 406),
        ("/pixeldata", "text/html", 406),
    ],
)  # fmt: skip
def test_h16_accept_headers(held: Held, path: str, accept: str, status: int) -> None:
    assert held.ask("GET", PATH + path, {"Accept": accept}).status == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        # H17
        ("limit=-1", 400), ("limit=abc", 400), ("limit=1e3", 400), ("offset=-1", 400), ("limit=1000000000000", 200),
        ("offset=1000000000000", 200), ("offset=99999999999999999999999", 400),
        # H18
        ("NoSuchKeyword=1", 400), ("includefield=NoSuchKeyword", 400), ("00091001=1", 200),
        ("includefield=00091001", 200),
        (".".join(["00400275"] * 50) + "=1", 400), ("0010=1", 400),
        # H19
        ("fuzzymatching=maybe", 400), ("fuzzymatching=true", 200),
        # H20
        ("limit=1&limit=2", 400), ("PatientID=a&PatientID=b", 400), ("PatientID=a&00100020=b", 400),
        ("StudyInstanceUID=1.2&StudyInstanceUID=1.3", 200), ("includefield=PatientID&includefield=StudyID", 200),
        # H21
        ("StudyDate=20240201-20240101", 400), ("StudyDate=20231301", 400), ("StudyTime=2300-0100", 400),
        ("StudyDate=2024-01-01", 400),
        # and what SQL, files or terminals would make of it
        ("PatientName=%27;DROP TABLE study;--".replace(" ", "%20"), 200), ("PatientName=%00", 200),
        ("PatientID=%ff%fe", 200),
        ("PatientName=" + "*" * 1000, 200), ("PatientName=" + "a*" * 500, 413),
    ],
)  # fmt: skip
def test_h17_to_h21_questions(held: Held, query: str, status: int) -> None:
    started = time.monotonic()
    answer = held.ask("GET", f"{STUDIES}?{query}")
    assert answer.status in (status, 400 if "%0" in query or "*" * 9 in query else status)
    assert time.monotonic() - started < 5
    if status == 200 and query.startswith("limit"):
        assert len(json.loads(answer.body)) <= 20
    if "00091001=" in query:
        assert answer.headers["warning"].startswith("299 ")


@pytest.mark.parametrize(
    ("asked", "path", "status"),
    [
        ("bytes=0-3", "/bulkdata/7FE00010", 206), ("bytes=9999-", "/bulkdata/7FE00010", 416),
        ("bytes=abc", "/bulkdata/7FE00010", 416), ("bytes=-0", "/bulkdata/7FE00010", 416),
        ("bytes=" + ",".join(["0-0"] * 1000), "/bulkdata/7FE00010", 200), ("seconds=1-2", "/bulkdata/7FE00010", 200),
        ("bytes=0-3", "/metadata", 200), ("bytes=0-3", "", 200), ("bytes=0-3", "/rendered", 200),
    ],
)  # fmt: skip
def test_h22_ranges(held: Held, asked: str, path: str, status: int) -> None:
    accept = "application/dicom" if not path else "*/*"
    answer = held.ask("GET", PATH + path, {"Range": asked, "Accept": accept})
    assert answer.status == status


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "DELETE", "PROPFIND", "FOO"])
def test_h23_methods_that_a_resource_has_not(held: Held, method: str) -> None:
    answer = held.ask(method, STUDIES)
    assert answer.status == 405 and {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    # A request is never told back: TRACE would give a script what it may not read.
    assert b"localhost" not in answer.body


def test_h23_other_cases_and_detours_are_other_addresses(held: Held) -> None:
    for path in ("/DICOM-WEB/studies", "/dicom-web/Studies", "/dicom-web/studies/", "/dicom-web//studies",
                 "//dicom-web/studies",
                 "/dicom-web/../health", "/dicom-web/%2e%2e/health",
                 "/dicom-web/studies/..%2f..%2fhealth", "/./health"):  # fmt: skip
        assert held.ask("GET", path).status in (400, 404), path


@pytest.mark.parametrize(
    "query",
    ["viewport=1e9,1e9", "viewport=100000,100000", "viewport=16384,16384", "viewport=0,0", "viewport=1", "viewport=a,b",
     "viewport=-1,5", "viewport=1,1,0,0,0,0", "window=1", "window=a,b,linear", "window=1,0,linear", "window=1,2,cubic",
     "window=nan,1,linear", "window=inf,inf,sigmoid", "quality=0", "quality=101", "quality=x", "annotation=everything",
     "presentationUID=x", "iccprofile=maybe"],
)  # fmt: skip
def test_h25_pictures_that_make_no_sense(held: Held, query: str) -> None:
    assert held.ask("GET", f"{PATH}/rendered?{query}").status == 400
    assert held.ask("GET", f"{PATH}/frames/1/rendered?{query}").status == 400


# -- H27, H28 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        (b'[{"00280010": {"vr": "LO", "Value": ["x"]}}]', 400),
        (b'[{"00280010": {"vr": "US", "Value": ["twelve"]}}]', 400),
        (b'[{"7FE00010": {"vr": "OW", "InlineBinary": "' + b"A" * (2 << 20) + b'"}}]', 413),
        (b"[" * 100_000, 400),
        (b'{"00081140": {"vr": "SQ", "Value": [' * 10_000, 400),
        (b'[{"00080018": {"vr": "UI", "Value": ["1.2"]}, "00080018": {"vr": "UI", "Value": ["1.3"]}}]', 400),
        (b'[{"00280010": {"vr": "US", "Value": [NaN]}}]', 400),
        (b'[{"00280010": {"vr": "US", "Value": [1e999]}}]', 400),
        (b"null", 400), (b"", 400), (b"\xff\xfe[]", 400),
    ],
)  # fmt: skip
def test_h27_metadata_that_break_the_rules(held: Held, metadata: bytes, status: int) -> None:
    assert held.ask("POST", STUDIES, headers(JSON), multipart([(JSON, metadata)])).status == status


GONE: dict[str, Callable[[], bytes]] = {
    "study": lambda: f"GET {STUDIES}/{STUDY} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode(),
    "bulk data": lambda: f"GET {STUDIES}/{STUDY}/bulkdata HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "metadata": lambda: f"GET {STUDIES}/{STUDY}/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "store": lambda: (
        f"POST {STUDIES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type()}\r\nContent-Length: 9000\r\n\r\n"
    ).encode() + files(fresh()[1])[:500],
    "head": lambda: b"GET /dicom-web/st",
}  # fmt: skip


@pytest.mark.parametrize("what", GONE)
def test_h28_a_hundred_clients_that_vanish_leave_nothing_behind(held: Held, what: str) -> None:
    descriptors, threads = held.process.num_fds(), held.process.num_threads()
    vanish(held, what, 100)
    # A thread of the pools that worked for the first time has the index open from now on.
    assert held.process.num_fds() <= descriptors + POOLED
    assert held.process.num_threads() <= threads + POOLED


@pytest.mark.slow
def test_h28_clients_that_vanish_by_the_thousand_cost_no_memory(held: Held) -> None:
    descriptors, threads = held.process.num_fds(), held.process.num_threads()
    for what in GONE:
        vanish(held, what, 200)
    before = held.process.memory_info().rss
    for _ in range(3):
        for what in GONE:
            vanish(held, what, 200)
    assert held.process.memory_info().rss - before < 32 << 20
    assert held.process.num_fds() <= descriptors + POOLED
    assert held.process.num_threads() <= threads + POOLED


def vanish(held: Held, what: str, count: int) -> None:
    """So many clients that ask and leave; until the service knows that they did."""
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", held.server.http_port), 20)
        connection.sendall(GONE[what]())
        if number % 2:  # a reset instead of an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    end = time.monotonic() + 60
    while connected(held.process) and time.monotonic() < end:
        time.sleep(0.1)
    assert connected(held.process) == 0


POOLED = 48  # threads of both pools at most, with what each of them keeps open


def connected(process: psutil.Process) -> int:
    """Connections of a process, without those that it listens on."""
    return sum(1 for one in process.net_connections("tcp") if one.status != psutil.CONN_LISTEN)


def test_t14_t15_what_a_name_holds_comes_out_as_text_and_never_into_the_log(held: Held) -> None:
    names = ["<script>alert(1)</script>", "a\x1b[2Jb", '"},{"level":"x', "=1+1", "\u202eevil", "{{7*7}}", "%n%s"]
    for number, name in enumerate(names):
        ds = ct(f"xss{number}", 1, 1, patient_name=name, patient_id=f"T14-{number}")
        held.stored.add(str(ds.SOPInstanceUID))
        assert held.ask("POST", STUDIES, headers(), files(part10(ds))).status in (200, 202)
    answer = held.ask("GET", f"{STUDIES}?PatientID=T14-*")
    assert len(json.loads(answer.body)) == len(names)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    log = held.server.log_text()
    for line in log.splitlines():
        if line.startswith("{"):
            json.loads(line)
    assert not any(name in log for name in ("alert(1)", "evil", "T14-", "\x1b[2J"))
    assert os.path.getsize(held.server.log) < 10 << 20
