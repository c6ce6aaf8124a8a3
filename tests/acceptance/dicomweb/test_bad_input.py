"""Rows H1 to H8 of the table of malformed inputs: bodies and heads of HTTP, byte by byte."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest
from tests.support.bad_http import GROWTH, JSON, STORE_SIZE, STUDIES, Held, fresh, held_service, told, unharmed
from tests.support.raw_http import RawHttp
from tests.support.stow import BOUNDARY, content_type, files, headers, multipart


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with held_service(tmp_path_factory.mktemp("bad-http")) as made:
        yield made


@pytest.fixture(autouse=True)
def _unharmed(held: Held) -> Iterator[None]:
    with unharmed(held):
        yield


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
