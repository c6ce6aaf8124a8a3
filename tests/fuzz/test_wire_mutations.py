"""Mutated and random bytes never get more out of the wire than an abort, and never make it allocate past its caps."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire import strategies
from tests.unit.wire.machines import PATHS, RECEIVED, machine
from tests.unit.wire.test_ul_codec import FULL_AC, FULL_RQ

from vesalius.wire import dimse_commands as dc
from vesalius.wire.dimse_messages import Assembler
from vesalius.wire.errors import RemoteProtocolError
from vesalius.wire.ul_codec import Decoder, encode
from vesalius.wire.ul_events import DataReceived, Indicate
from vesalius.wire.ul_negotiation import Offer, Service, negotiate
from vesalius.wire.ul_pdus import AssociateAC, AssociateRJ, AssociateRQ, PDataTF
from vesalius.wire.ul_table import Role, State

SEEDS = [encode(FULL_RQ), encode(FULL_AC), *RECEIVED.values()]
OFFER = Offer(
    service=lambda uid, common: Service(("1.2.840.10008.1.2",), others=lambda uid: True, scp=True),
    called=lambda aet: True,
    calling=lambda aet: True,
    implementation_class_uid="1.2",
    implementation_version="V",
)


def mutate(rng: random.Random, raw: bytes) -> bytes:
    """Flip, cut, double, splice and stretch, mostly in the length fields' neighbourhood."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        if not data:
            break
        position = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[position] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 1:
            del data[position : position + rng.randint(1, 8)]
        elif kind == 2:
            data[position:position] = data[position : position + rng.randint(1, 40)]
        elif kind == 3:
            data[position : position + 2] = rng.randrange(65536).to_bytes(2, "big")
        else:
            data[position:position] = rng.randbytes(rng.randint(1, 8))
    return bytes(data)


def fix_length(raw: bytes) -> bytes:
    """The PDU length made right, so that the mutation gets past the framing."""
    return raw[:2] + (len(raw) - 6).to_bytes(4, "big") + raw[6:] if len(raw) >= 6 else raw


@pytest.mark.parametrize("seed", range(20))
def test_mutated_pdus_give_pdus_or_errors_and_nothing_else(seed):
    rng = random.Random(seed)
    for _ in range(500):
        raw = mutate(rng, rng.choice(SEEDS))
        raw = fix_length(raw) if rng.random() < 0.7 else raw
        for pdu in Decoder().feed(raw):
            if isinstance(pdu, RemoteProtocolError):
                assert (pdu.source, pdu.reason) in {(2, 1), (2, 6)}
            elif isinstance(pdu, AssociateRQ):
                # What was understood is also answered, and the answer can be sent.
                answer = negotiate(pdu, OFFER)
                assert isinstance(answer, AssociateAC | AssociateRJ)
                assert encode(answer)


@pytest.mark.parametrize("seed", range(5))
def test_no_state_of_the_machine_is_brought_down_by_mutated_streams(seed):
    rng = random.Random(seed)
    for _ in range(40):
        for start in PATHS:
            upper = machine(*start)
            for _ in range(3):
                raw = mutate(rng, rng.choice(SEEDS))
                upper.receive(fix_length(raw) if rng.random() < 0.7 else raw)
            upper.timer_expired()
            upper.connection_closed()
            assert upper.state is State.STA1


@settings(max_examples=300)
@given(st.sampled_from(sorted(PATHS, key=str)), st.binary(max_size=200))
def test_random_bytes_end_in_a_state_of_the_table(start, raw):
    upper = machine(*start)
    upper.receive(raw)
    assert upper.state in State


@given(st.binary(max_size=300))
def test_random_bytes_as_a_command_set_are_a_command_or_the_peers_fault(raw):
    try:
        command = dc.decode(raw)
    except RemoteProtocolError:
        return
    assert isinstance(command.field, int)
    assert dc.decode(command.encode()) == command


@given(st.lists(strategies.pdvs, max_size=20))
def test_random_fragments_are_messages_or_the_peers_fault(pdvs):
    assembler = Assembler()
    try:
        assembler.feed_pdvs(pdvs)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)


def test_memory_stays_within_the_caps_whatever_arrives():
    """A megabyte of hostile PDUs in every form costs a small multiple of the cap, and nothing stays behind."""
    cap = 1 << 20
    one_byte = b"\0\0\0\x03\1\0x"
    streams = [
        b"\x04\0" + (len(one_byte) * 149_000).to_bytes(4, "big") + one_byte * 149_000,
        b"\x01\0" + cap.to_bytes(4, "big") + encode(FULL_RQ)[6:74] + b"\x7f\0\0\0" * (cap // 4 - 17),
        b"\x01\0" + cap.to_bytes(4, "big") + encode(FULL_RQ)[6:74] + b"\x20\0\xff\xf8" + b"\1\0\0\0" + bytes(cap - 76),
        bytes.fromhex("0400000fffff") + bytes(cap),
    ]
    upper = machine(Role.ACCEPTOR, State.STA6)
    tracemalloc.start()
    try:
        for stream in streams:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for position in range(0, len(stream), 65536):
                upper.receive(stream[position : position + 65536])
            peak = tracemalloc.get_traced_memory()[1]
            assert peak - before < 32 * cap
        assert tracemalloc.get_traced_memory()[0] < 4 * cap
    finally:
        tracemalloc.stop()


def test_a_stream_of_valid_data_among_noise_is_read_until_the_noise():
    upper = machine(Role.ACCEPTOR, State.STA6)
    good = RECEIVED[next(cause for cause in RECEIVED if cause.value == "Evt10")]
    effects = upper.receive(good * 5 + b"\xaa" * 50 + good)
    data = [e for e in effects if isinstance(e, Indicate) and isinstance(e.event, DataReceived)]
    assert len(data) == 5
    assert isinstance(Decoder().feed(good)[0], PDataTF)
