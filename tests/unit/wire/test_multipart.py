"""Multipart bodies: the same events however the bytes are cut; broken ones are told, not guessed (H1, H2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.wire.multipart import (
    Event,
    MultipartError,
    MultipartLimitError,
    MultipartLimits,
    MultipartParser,
    PartBegins,
    PartData,
    closing,
    encode_part,
)

BOUNDARY = "gc0p4Jq0M2Yt08j34c0p"
Parts = list[tuple[dict[str, str], bytes]]

BODIES = st.one_of(
    st.binary(max_size=300),
    # Bodies that look like delimiters as much as they may.
    st.lists(
        st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--", b"\r\n--gc0p4Jq0", b"--" + BOUNDARY.encode(), b"x"]),
        max_size=12,
    )
    .map(b"".join)
    .filter(lambda body: b"\r\n--" + BOUNDARY.encode() not in b"\r\n" + body),
)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-location", "x-y"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30),
    max_size=3,
)


def parse(data: bytes, cuts: Sequence[int] = (), limits: MultipartLimits | None = None) -> Parts:
    parser = MultipartParser(BOUNDARY, limits)
    events: list[Event] = []
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        # A piece's views are only good until the next one: as a reader, use them at once.
        events += [PartData(bytes(e.data)) if isinstance(e, PartData) else e for e in parser.feed(data[start:end])]
    parser.finish()
    return gather(events)


def gather(events: Sequence[Event]) -> Parts:
    parts: Parts = []
    whole = True
    for event in events:
        if isinstance(event, PartBegins):
            assert whole
            parts.append((dict(event.headers), b""))
            whole = False
        elif isinstance(event, PartData):
            assert event.data
            parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
        else:
            whole = True
    assert whole
    return parts


def body_of(parts: Parts) -> bytes:
    return b"".join(encode_part(BOUNDARY, headers, body) for headers, body in parts) + closing(BOUNDARY)


@given(
    st.lists(st.tuples(HEADERS, BODIES), min_size=1, max_size=4),
    st.lists(st.integers(0, 1500), max_size=20),
    st.booleans(),
    st.binary(max_size=20),
)
def test_any_split_of_the_bytes_gives_the_same_parts(parts: Parts, cuts: list[int], bare: bool, after: bytes) -> None:
    data = body_of(parts) + after
    if bare:
        data = data[2:]  # the first delimiter at the very beginning
    assert parse(data, cuts) == parts


@given(st.lists(st.tuples(HEADERS, BODIES), min_size=1, max_size=3))
def test_byte_by_byte_gives_the_same_parts(parts: Parts) -> None:
    data = body_of(parts)
    assert parse(data, range(len(data))) == parts


def test_a_preamble_and_an_epilogue_are_ignored() -> None:
    data = b"This is a message in MIME format." + body_of([({}, b"abc")]) + b"\r\nthe end"
    assert parse(data) == [({}, b"abc")]


def test_blanks_after_a_boundary_are_allowed() -> None:
    data = f"--{BOUNDARY} \t\r\nA: b\r\n\r\nxyz\r\n--{BOUNDARY}--".encode()
    assert parse(data) == [({"a": "b"}, b"xyz")]


def test_names_are_looked_up_without_case_and_the_first_of_two_counts() -> None:
    data = f"--{BOUNDARY}\r\nContent-TYPE: a/b\r\ncontent-type: c/d\r\n\r\nx\r\n--{BOUNDARY}--".encode()
    assert parse(data) == [({"content-type": "a/b"}, b"x")]


def test_an_empty_part_may_share_its_line_end_with_the_boundary() -> None:
    data = f"--{BOUNDARY}\r\nA: b\r\n\r\n--{BOUNDARY}--".encode()
    assert parse(data) == [({"a": "b"}, b"")]
    assert parse(data, range(len(data))) == [({"a": "b"}, b"")]


@pytest.mark.parametrize("boundary", ["", " ", "x\n", "é" * 3 + "\x00", "a" * 300])
def test_an_illegal_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(MultipartError):
        MultipartParser(boundary)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no boundary here",
        f"--{BOUNDARY}".encode(),
        f"--{BOUNDARY}\r\nA: b\r\n\r\nbroken off".encode(),
        f"--{BOUNDARY}\r\nA: b\r\n\r\nwhole\r\n--{BOUNDARY}".encode(),
        f"--{BOUNDARY}\r\nA: b\r\n\r\nother\r\n--{BOUNDARY}x--".encode(),
        f"--{BOUNDARY}\r\nA b\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\nA: b\r\n folded\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\nA: b\nC: d\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\nA: \0\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}junk\r\nA: b\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\nA: b\n\nx\n--{BOUNDARY}--".encode(),
    ],
)
def test_a_broken_body_is_told(data: bytes) -> None:
    with pytest.raises(MultipartError):
        parse(data)
    with pytest.raises(MultipartError):
        parse(data, range(len(data)))


def test_every_limit_holds() -> None:
    limits = MultipartLimits(parts=3, header_bytes=100, header_lines=3, idle_bytes=50)
    parse(body_of([({}, b"x")] * 3), limits=limits)
    with pytest.raises(MultipartLimitError):
        parse(body_of([({}, b"x")] * 4), limits=limits)
    with pytest.raises(MultipartLimitError):
        parse(body_of([({"a": "x" * 200}, b"x")]), limits=limits)
    with pytest.raises(MultipartLimitError):
        parse(body_of([({str(n): "x" for n in range(5)}, b"x")]), limits=limits)
    with pytest.raises(MultipartLimitError):
        parse(b"p" * 100 + body_of([({}, b"x")]), limits=limits)
    with pytest.raises(MultipartLimitError):
        parse(body_of([({}, b"x")]) + b"e" * 100, limits=limits)
    endless = MultipartParser(BOUNDARY, limits)
    endless.feed(f"--{BOUNDARY}\r\n".encode())
    with pytest.raises(MultipartLimitError):
        for _ in range(200):
            endless.feed(b"A")


def test_a_large_part_is_passed_on_as_it_comes() -> None:
    parser = MultipartParser(BOUNDARY)
    parser.feed(f"--{BOUNDARY}\r\n\r\n".encode())
    piece = b"\r\n-" * 1000 + b"x" * 100_000
    for _ in range(20):
        passed = sum(len(event.data) for event in parser.feed(piece) if isinstance(event, PartData))
        assert passed >= len(piece) - len(BOUNDARY) - 4


def test_what_came_whole_before_an_error_is_passed_on_first() -> None:
    data = body_of([({}, b"good")])[:-4] + b"junk"
    parser = MultipartParser(BOUNDARY)
    assert gather(parser.feed(data + b"\r\n")) == [({}, b"good")]
    for _ in range(2):
        with pytest.raises(MultipartError):
            parser.feed(b"more")
    with pytest.raises(MultipartError):
        parser.finish()
