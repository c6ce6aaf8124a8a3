"""Messages are cut within the peer's maximum and put together again in bounded memory (D1, U27 to U31)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.wire import dimse_requests as dr
from vesalius.wire.dimse_messages import MAXIMUM_COMMAND, Assembler, CommandReceived, DataReceived, fragments
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_codec import Decoder, DecoderLimits
from vesalius.wire.ul_pdus import PDV

STORE = dr.c_store_rq(1, "1.2.840.10008.5.1.4.1.1.2", "1.2.3")
ECHO = dr.c_echo_rq(2)


def pdus_of(chunks, limit=1 << 20):
    decoder = Decoder(DecoderLimits(p_data=limit))
    return [pdu for chunk in chunks for pdu in decoder.feed(chunk)]


def assembled(chunks, limit=1 << 20):
    """(commands, data) of everything in the chunks."""
    assembler = Assembler()
    commands, data, ends = [], b"", 0
    for pdu in pdus_of(chunks, limit):
        for part in assembler.feed_pdvs(pdu.pdvs):
            if isinstance(part, CommandReceived):
                commands.append(part.command)
            else:
                data += part.data
                ends += part.is_last
    return commands, data, ends


@given(
    st.binary(max_size=5000),
    st.integers(12, 400),
    st.integers(1, 2000),
    st.none() | st.lists(st.integers(0, 700), min_size=1),
)
def test_any_message_survives_within_any_maximum(data, peer_maximum, chunk, cuts):
    dataset = data
    if cuts is not None:
        ends = [0, *itertools.takewhile(lambda end: end < len(data), itertools.accumulate(cuts)), len(data)]
        dataset = iter([data[a:b] for a, b in itertools.pairwise(ends)])
    chunks = list(fragments(5, STORE.encode(), dataset, peer_maximum, chunk=chunk))
    pdus = pdus_of(chunks, peer_maximum)
    for pdu in pdus:
        (pdv,) = pdu.pdvs
        assert pdv.context_id == 5
        assert pdv.is_last or len(pdv.data) % 2 == 0
    assert sum(pdu.pdvs[0].is_last for pdu in pdus) == 2
    assert assembled(chunks, peer_maximum) == ([STORE], data, 1)


def test_a_small_message_is_one_send():
    assert len(list(fragments(1, STORE.encode(), bytes(14_000), 16384))) == 1
    assert len(list(fragments(1, ECHO.encode(), None, 16384))) == 1


def test_a_large_message_is_few_sends_of_about_a_chunk():
    chunks = list(fragments(1, STORE.encode(), bytes(10_000_000), 131072))
    assert len(chunks) == 20
    assert max(map(len, chunks)) < 600_000
    streamed = list(fragments(1, STORE.encode(), (bytes(100_000) for _ in range(100)), 131072))
    assert b"".join(streamed) == b"".join(chunks)


def test_a_stream_is_pulled_no_faster_than_it_is_sent():
    pulled = 0

    def pieces():
        nonlocal pulled
        for _ in range(1000):
            pulled += 1
            yield bytes(100_000)

    stream = fragments(1, STORE.encode(), pieces(), 131072)
    next(stream)
    assert pulled < 10


def test_an_empty_data_set_is_one_empty_last_fragment():
    for dataset in (b"", iter(()), iter((b"",))):
        chunks = list(fragments(1, STORE.encode(), dataset, 16384))
        assert assembled(chunks) == ([STORE], b"", 1)


@pytest.mark.parametrize("peer_maximum", [0, 1, 7, 11])
def test_an_impossible_maximum_neither_loops_nor_divides_by_zero_u24(peer_maximum):
    with pytest.raises(LocalProtocolError):
        fragments(1, ECHO.encode(), None, peer_maximum)


def command(raw=None, *, context_id=1, is_last=True):
    return PDV(context_id, True, is_last, STORE.encode() if raw is None else raw)


def data(raw=b"xx", *, context_id=1, is_last=False):
    return PDV(context_id, False, is_last, raw)


@pytest.mark.parametrize(
    ("row", "pdvs"),
    [
        ("U29 data first", [data()]),
        ("U29 data after a command without data set", [command(ECHO.encode()), data()]),
        ("U29 command inside data", [command(), data(), command()]),
        ("U29 interleaved command", [command(is_last=False), command(context_id=3)]),
        ("U29 interleaved data", [command(), data(context_id=3)]),
        ("U29 data before the command's end", [command(b"", is_last=False), data()]),
        ("U30", [command(bytes(30_000), is_last=False)] * 3),
        ("D1", [command(b"\0\0")]),
    ],
)
def test_a_message_that_breaks_the_rules_is_aborted_0_0(row, pdvs):
    assembler = Assembler()
    with pytest.raises(RemoteProtocolError) as caught:
        for pdv in pdvs:
            assembler.feed(pdv)
    assert (caught.value.source, caught.value.reason) == (0, 0)


def test_a_command_without_end_is_stopped_at_its_bound_u30():
    assembler = Assembler()
    held = 0
    with pytest.raises(RemoteProtocolError):
        while held < 1 << 20:
            assembler.feed(command(bytes(1000), is_last=False))
            held += 1000
    assert held <= MAXIMUM_COMMAND


def test_messages_follow_each_other_on_different_contexts():
    assembler = Assembler()
    parts = assembler.feed_pdvs(
        (command(), data(), data(b"", is_last=True), command(ECHO.encode(), context_id=3), command(context_id=5))
    )
    assert [type(part) for part in parts] == [CommandReceived, DataReceived, CommandReceived, CommandReceived]
    assert bytes(parts[1].data) == b"xx"
    assert parts[1].is_last
    assert [part.context_id for part in parts] == [1, 1, 3, 5]


def test_one_byte_fragments_are_joined_before_they_are_handed_on_u31():
    assembler = Assembler()
    assembler.feed(command())
    (part,) = assembler.feed_pdvs(tuple(data(b"x") for _ in range(100_000)))
    assert part == DataReceived(1, b"x" * 100_000, False)
    (end,) = assembler.feed(data(b"", is_last=True))
    assert end == DataReceived(1, b"", True)


def test_a_command_in_pieces_is_put_together():
    raw = STORE.encode()
    assembler = Assembler()
    for position in range(len(raw) - 1):
        assert assembler.feed(command(raw[position : position + 1], is_last=False)) == []
    (received,) = assembler.feed(command(raw[-1:]))
    assert received.command == STORE


def test_a_single_data_fragment_is_handed_on_without_a_copy():
    assembler = Assembler()
    assembler.feed(command())
    view = memoryview(bytes(10_000))
    (part,) = assembler.feed(data(view, is_last=True))
    assert part.data is view
