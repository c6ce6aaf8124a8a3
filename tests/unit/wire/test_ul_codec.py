"""The codec agrees with itself, with a second implementation and with the standard's field layouts."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom import pdu as other
from tests.unit.wire import strategies
from tests.unit.wire.machines import AC, INFO, RQ

from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_codec import Decoder, DecoderLimits, encode
from vesalius.wire.ul_pdus import (
    PDV,
    Abort,
    AcceptedContext,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PDataTF,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

OTHERS = {
    AssociateRQ: other.A_ASSOCIATE_RQ,
    AssociateAC: other.A_ASSOCIATE_AC,
    AssociateRJ: other.A_ASSOCIATE_RJ,
    PDataTF: other.P_DATA_TF,
    ReleaseRQ: other.A_RELEASE_RQ,
    ReleaseRP: other.A_RELEASE_RP,
    Abort: other.A_ABORT_RQ,
}

FULL_RQ = AssociateRQ(
    "VESALIUS",
    "CALLING AE",
    (
        ProposedContext(1, "1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")),
        ProposedContext(255, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",)),
    ),
    UserInformation(
        maximum_length=16382,
        implementation_class_uid="1.2.826.0.1.3680043.9.3811.3.0.4",
        implementation_version="PEER_304",
        async_window=AsyncWindow(5, 1),
        roles=(RoleSelection("1.2.840.10008.5.1.4.1.1.2", False, True),),
        extended=(ExtendedNegotiation("1.2.840.10008.5.1.4.1.2.2.1", b"\1\1\0\1"),),
        common_extended=(
            CommonExtendedNegotiation("1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.4.2", ("1.2.840.10008.5.1.4",)),
        ),
        identity=UserIdentity(2, True, b"user", b"passcode"),
    ),
)
FULL_AC = AssociateAC(
    "VESALIUS",
    "CALLING AE",
    (
        AcceptedContext(1, ContextResult.ACCEPTANCE, "1.2.840.10008.1.2.1"),
        AcceptedContext(255, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, "1.2.840.10008.1.2"),
    ),
    UserInformation(
        maximum_length=0,
        implementation_class_uid="1.2.3",
        implementation_version="X",
        async_window=AsyncWindow(1, 1),
        roles=(RoleSelection("1.2.840.10008.5.1.4.1.1.2", False, True),),
        extended=(ExtendedNegotiation("1.2.840.10008.5.1.4.1.2.2.1", b"\1"),),
        identity_response=b"token",
    ),
)


def decode(raw, limits=None):
    """Everything in a stream of whole PDUs."""
    return Decoder(limits).feed(raw)


def only(raw):
    """The one PDU or error that `raw` holds."""
    (pdu,) = decode(raw)
    return pdu


@given(strategies.pdus)
def test_every_pdu_survives_a_round_trip(pdu):
    assert only(encode(pdu)) == pdu


@pytest.mark.parametrize(
    "pdu",
    [
        FULL_RQ,
        FULL_AC,
        RQ,
        AC,
        AssociateRJ(1, 1, 7),
        AssociateRJ(2, 3, 2),
        ReleaseRQ(),
        ReleaseRP(),
        Abort(0, 0),
        Abort(2, 6),
        PDataTF((PDV(1, True, True, b"abcd"), PDV(1, False, False, b"efgh"), PDV(1, False, True, b""))),
    ],
    ids=lambda pdu: type(pdu).__name__,
)
def test_our_bytes_are_what_a_second_implementation_reads_and_writes(pdu):
    raw = encode(pdu)
    twin = OTHERS[type(pdu)]()
    twin.decode(raw)
    assert twin.encode() == raw


def test_a_second_implementation_reads_the_same_values():
    twin = other.A_ASSOCIATE_RQ()
    twin.decode(encode(FULL_RQ))
    assert twin.called_ae_title == "VESALIUS"
    assert twin.calling_ae_title == "CALLING AE"
    info = twin.user_information
    assert info.maximum_length == 16382
    assert info.async_ops_window.maximum_number_operations_invoked == 5
    (role,) = info.role_selection.values()
    assert (role.scu_role, role.scp_role) == (0, 1)
    (extended,) = info.ext_neg
    assert extended.app_info == b"\1\1\0\1"
    (common,) = info.common_ext_neg
    assert common.service_class_uid == "1.2.840.10008.4.2"
    assert list(common.related_general_sop_class_identification) == ["1.2.840.10008.5.1.4"]
    assert info.user_identity.primary_field == b"user"
    assert info.user_identity.secondary_field == b"passcode"
    contexts = {c.context_id: (c.abstract_syntax, tuple(c.transfer_syntax)) for c in twin.presentation_context}
    assert contexts == {c.context_id: (c.abstract_syntax, c.transfer_syntaxes) for c in FULL_RQ.contexts}


BAD = bytes.fromhex("6300000000026162")


@settings(max_examples=200)
@given(st.lists(strategies.pdus | st.sampled_from((b"GET / ", BAD)), max_size=6), st.randoms(use_true_random=False))
def test_any_split_of_the_stream_gives_the_same_pdus(pdus, rng: random.Random):
    stream = b"".join(pdu if isinstance(pdu, bytes) else encode(pdu) for pdu in pdus)
    whole = [_plain(pdu) for pdu in decode(stream)]
    decoder = Decoder()
    pieces, position = [], 0
    while position < len(stream):
        size = rng.choice((1, 2, 5, 6, 7, 100, 3000, 10000))
        pieces += decoder.feed(stream[position : position + size])
        position += size
    assert [_plain(pdu) for pdu in pieces] == whole


def _plain(pdu):
    """With the data of views compared by value."""
    if isinstance(pdu, PDataTF):
        return tuple((*pdv[:3], bytes(pdv.data)) for pdv in pdu.pdvs)
    return repr(pdu)


def test_data_stay_valid_where_the_driver_reuses_its_buffer():
    raw = bytearray(encode(PDataTF((PDV(1, False, True, b"\x5a" * 9000),))))
    pdu = only(memoryview(raw))
    raw[:] = bytes(len(raw))
    assert bytes(pdu.pdvs[0].data) == b"\x5a" * 9000


def test_long_fragments_are_views_and_not_copies():
    stream = encode(PDataTF((PDV(1, True, True, b"c" * 100), PDV(1, False, False, b"x" * 10_000))))
    decoder = Decoder()
    room = decoder.room()
    room[: len(stream)] = stream
    (pdu,) = decoder.filled(len(stream))
    assert isinstance(pdu.pdvs[0].data, bytes)
    assert isinstance(pdu.pdvs[1].data, memoryview)
    assert pdu.pdvs[1].data.obj is room.obj


@settings(max_examples=100)
@given(st.lists(strategies.pdus | st.sampled_from((b"GET / ", BAD)), max_size=6), st.randoms(use_true_random=False))
def test_bytes_read_into_the_room_give_the_same_pdus(pdus, rng: random.Random):
    stream = b"".join(pdu if isinstance(pdu, bytes) else encode(pdu) for pdu in pdus)
    decoder, found, position = Decoder(), [], 0
    while position < len(stream):
        room = decoder.room()
        size = min(len(room), len(stream) - position, rng.choice((1, 5, 6, 7, 3000, 100_000)))
        room[:size] = stream[position : position + size]
        found += [_plain(pdu) for pdu in decoder.filled(size)]
        position += size
        if rng.random() < 0.2:
            decoder.relax()
    assert found == [_plain(pdu) for pdu in decode(stream)]


def test_the_room_grows_with_what_has_come_and_is_let_go_of_at_rest():
    decoder, largest = Decoder(), PDataTF((PDV(1, False, False, bytes((1 << 20) - 6)),))
    stream, position = encode(largest) * 3, 0
    first = len(decoder.room())
    assert first < 64 << 10
    while position < len(stream):
        room = decoder.room()
        size = min(len(room), len(stream) - position)
        assert 0 < len(room) <= max(264 << 10, position * 2 + first)
        room[:size] = stream[position : position + size]
        decoder.filled(size)
        position += size
    decoder.relax()
    assert len(decoder.room()) == first


def test_a_pdu_after_a_bad_one_is_read_from_where_the_bad_one_ends():
    bad = b"\x63\x00\x00\x00\x00\x05abcde"
    first, second = decode(bad + encode(Abort(0, 0)))
    assert (first.source, first.reason) == (2, 1)
    assert second == Abort(0, 0)


@pytest.mark.parametrize("kind", ["03", "05", "06", "07"])
@pytest.mark.parametrize("length", [0, 3, 5, 0xFFFFFFFF])
def test_the_short_pdus_have_exactly_their_length(kind, length):
    raw = bytes.fromhex(kind + "00") + length.to_bytes(4, "big")
    assert only(raw).reason == 6


def test_reserved_fields_are_not_tested():
    raw = bytearray(encode(RQ))
    raw[1] = 0xFF
    raw[8:10] = b"\xff\xff"
    raw[42:74] = b"\xff" * 32
    assert only(bytes(raw)) == RQ
    assert only(bytes.fromhex("05ff00000004ffffffff")) == ReleaseRQ()
    assert only(bytes.fromhex("07ff00000004ffff0206")) == Abort(2, 6)
    assert only(bytes.fromhex("040000000008 00000004 01 fe aabb")).pdvs == (PDV(1, False, True, b"\xaa\xbb"),)


def with_item(pdu, item: bytes, *, inside_user_information: bool) -> bytes:
    """The encoded PDU with one more item at its end."""
    raw = bytearray(encode(pdu))
    if inside_user_information:
        start = raw.rindex(b"\x50\x00")
        raw[start + 2 : start + 4] = (int.from_bytes(raw[start + 2 : start + 4], "big") + len(item)).to_bytes(2, "big")
    raw += item
    raw[2:6] = (len(raw) - 6).to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize("inside", [False, True])
def test_unknown_items_and_sub_items_are_skipped_u25(inside):
    assert only(with_item(RQ, bytes.fromhex("7f000003aabbcc"), inside_user_information=inside)) == RQ


def test_a_maximum_length_that_is_missing_is_no_limit():
    without = bytearray(encode(RQ).replace(bytes.fromhex("5100000400004000"), b""))
    item = without.rindex(b"\x50\x00")
    without[item + 3] -= 8
    without[2:6] = (len(without) - 6).to_bytes(4, "big")
    assert only(bytes(without)).user_information == replace(INFO, maximum_length=0)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("no context", lambda raw: cut_item(raw, 0x20)),
        ("no application context", lambda raw: cut_item(raw, 0x10)),
        ("no user information", lambda raw: cut_item(raw, 0x50)),
        ("id 0", lambda raw: raw.replace(b"\x01\x00\x00\x000\x00", b"\x00\x00\x00\x000\x00")),
        ("id even", lambda raw: raw.replace(b"\x01\x00\x00\x000\x00", b"\x02\x00\x00\x000\x00")),
        ("item past the end", lambda raw: raw.replace(b"\x10\x00\x00\x15", b"\x10\x00\xff\x15")),
        ("sub-item past its item", lambda raw: raw.replace(b"0\x00\x00\x11", b"0\x00\x00\xff")),
        ("maximum length of 3 bytes", lambda raw: raw.replace(b"\x51\x00\x00\x04", b"\x51\x00\x00\x03")),
    ],
)
def test_a_broken_request_is_invalid_u17_u18_u19(what, change):
    raw = change(encode(RQ))
    assert raw != encode(RQ)
    assert isinstance(only(raw), RemoteProtocolError)


def cut_item(raw: bytes, kind: int) -> bytes:
    """The request without its first item of a type."""
    position = 74
    while raw[position] != kind:
        position += 4 + int.from_bytes(raw[position + 2 : position + 4], "big")
    end = position + 4 + int.from_bytes(raw[position + 2 : position + 4], "big")
    body = raw[6:position] + raw[end:]
    return raw[:2] + len(body).to_bytes(4, "big") + body


def test_a_context_id_there_twice_is_invalid():
    twice = replace(RQ, contexts=RQ.contexts * 2)
    assert isinstance(only(encode(twice)), RemoteProtocolError)


def test_128_contexts_of_60_transfer_syntaxes_are_read_u21():
    syntaxes = tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(60))
    contexts = tuple(ProposedContext(2 * n + 1, f"1.2.840.10008.5.1.4.1.1.{n}", syntaxes) for n in range(128))
    large = replace(RQ, contexts=contexts)
    assert len(encode(large)) > 200_000
    assert only(encode(large)) == large


def test_padding_of_uids_and_titles_is_trimmed_u22():
    raw = encode(RQ)
    raw = raw.replace(b"@\x00\x00\x111.2.840.10008.1.2", b"@\x00\x00\x121.2.840.10008.1.2\x00")
    raw = raw.replace(b" \x00\x00\x2e", b" \x00\x00\x2f").replace(b"CALLED          ", b"  CALLED\0\0\0\0\0\0\0\0")
    raw = raw[:2] + (len(raw) - 6).to_bytes(4, "big") + raw[6:]
    assert only(raw) == RQ


def test_a_result_that_is_not_defined_is_no_acceptance():
    raw = encode(AC).replace(b"\x21\x00\x00\x19\x01\x00\x00\x00", b"\x21\x00\x00\x19\x01\x00\x09\x00")
    assert only(raw).contexts[0].result is ContextResult.NO_REASON


def test_too_many_sub_items_are_invalid():
    many = replace(RQ, user_information=replace(INFO, roles=(RoleSelection("1.2", True, True),) * 1025))
    assert isinstance(only(encode(many)), RemoteProtocolError)


@pytest.mark.parametrize(
    "pdu",
    [
        replace(RQ, called_aet="SEVENTEEN LETTERS"),
        replace(RQ, calling_aet="Ω"),
        replace(RQ, contexts=(ProposedContext(256, "1.2", ("1.2",)),)),
        replace(RQ, contexts=(ProposedContext(1, "1" * 70000, ("1.2",)),)),
        AssociateRJ(256, 1, 1),
        PDataTF((PDV(300, True, True, b""),)),
    ],
)
def test_what_cannot_be_encoded_is_our_own_fault(pdu):
    with pytest.raises(LocalProtocolError):
        encode(pdu)


def test_a_great_length_allocates_nothing_u3_u16():
    decoder = Decoder(DecoderLimits(p_data=1 << 20))
    garbage = bytes(65536)
    tracemalloc.start()
    try:
        for head in ("474554202f20", "0100ffffffff", "0400ffffffff"):
            assert isinstance(decoder.feed(bytes.fromhex(head))[0], RemoteProtocolError)
            for _ in range(100):
                assert decoder.feed(garbage) == []
            decoder = Decoder(DecoderLimits(p_data=1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_request_byte_by_byte_is_kept_in_its_own_size_u2():
    decoder = Decoder()
    body = bytes(1 << 18)
    decoder.feed(b"\x01\x00" + (1 << 20).to_bytes(4, "big"))
    tracemalloc.start()
    try:
        for byte in body[:100_000]:
            decoder.feed(bytes([byte]))
        assert tracemalloc.get_traced_memory()[1] < 400_000
    finally:
        tracemalloc.stop()


def test_a_million_one_byte_fragments_take_linear_work_u31():
    pdvs = tuple(PDV(1, False, False, b"x") for _ in range(18_000))
    stream = encode(PDataTF(pdvs)) * 14
    decoder = Decoder()
    count = 0
    for start in range(0, len(stream), 65536):
        for pdu in decoder.feed(stream[start : start + 65536]):
            count += len(pdu.pdvs)
    assert count == 14 * 18_000
