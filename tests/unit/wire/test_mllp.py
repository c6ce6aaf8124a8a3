"""Framing: the same blocks however the bytes were cut, nothing lost, nothing invented."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.wire.mllp import BlockReader, TooLong, block

contents = st.binary(max_size=60).filter(lambda raw: b"\x0b" not in raw and b"\x1c" not in raw)
noise = st.binary(max_size=20).filter(lambda raw: b"\x0b" not in raw)


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def _read(pieces: list[bytes], limit: int = 1000) -> tuple[list[bytes], int, bool, bool]:
    reader = BlockReader(limit)
    found: list[bytes] = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
    except TooLong as error:
        return [*found, *error.blocks], reader.dropped, reader.inside, True
    return found, reader.dropped, reader.inside, False


@given(st.lists(st.tuples(noise, contents), max_size=5), st.lists(st.integers(0, 400), max_size=30))
def test_blocks_come_out_as_they_went_in_whatever_stands_between_and_however_it_is_cut(
    blocks: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(before + block(content) for before, content in blocks)
    found, _, inside, too_long = _read(_cut(data, cuts))
    assert found == [content for _, content in blocks]
    assert not inside
    assert not too_long


@given(
    st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"a", b"MSH|", b"\n", b"\x00"]), max_size=40).map(
        b"".join
    ),
    st.lists(st.integers(0, 150), max_size=20),
    st.sampled_from([3, 7, 1000]),
)
def test_any_bytes_give_the_same_events_however_they_are_cut(data: bytes, cuts: list[int], limit: int) -> None:
    whole = _read([data], limit)
    pieces = _read(_cut(data, cuts), limit)
    one_by_one = _read([data[at : at + 1] for at in range(len(data))], limit)
    assert (whole[0], whole[2:]) == (pieces[0], pieces[2:]) == (one_by_one[0], one_by_one[2:])
    if not whole[3]:
        assert whole[1] == pieces[1] == one_by_one[1]


def test_a_block_of_the_limit_is_taken_and_one_of_a_byte_more_is_not() -> None:
    assert _read([block(b"x" * 10)], limit=10)[0] == [b"x" * 10]
    assert _read([b"\x0b" + b"x" * 10 + b"\x1c"], limit=10) == ([], 0, True, False)
    assert _read([block(b"x" * 11)], limit=10)[3]
    assert _read([b"\x0b" + b"x" * 11], limit=10)[3], "nobody waits for the end of what is too long already"


def test_what_ended_before_a_block_that_is_too_long_is_not_lost() -> None:
    found, _, _, too_long = _read([block(b"one") + block(b"two") + b"\x0b" + b"x" * 99], limit=10)
    assert (found, too_long) == ([b"one", b"two"], True)


def test_bytes_outside_blocks_are_counted_and_line_ends_are_not() -> None:
    reader = BlockReader(100)
    assert reader.feed(b"GET /\r\n" + block(b"a") + b"\r\n" + block(b"b")) == [b"a", b"b"]
    assert reader.dropped == 5


def test_a_lone_fs_ends_nothing() -> None:
    assert _read([b"\x0babc\x1cdef\x1c\r"])[0] == [b"abc\x1cdef"]


@pytest.mark.parametrize("content", [b"a\x0bb", b"a\x1cb"])
def test_content_that_would_break_its_frame_is_not_framed(content: bytes) -> None:
    with pytest.raises(ValueError):
        block(content)
