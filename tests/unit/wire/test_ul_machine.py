"""Every cell of the state table through the machine, and the behaviours that the table alone does not show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.machines import (
    AC,
    DATA,
    INFO,
    INVALID,
    PATHS,
    RECEIVED,
    RQ,
    happen,
    machine,
    sent,
)

from vesalius.wire.errors import LocalProtocolError
from vesalius.wire.ul_codec import encode
from vesalius.wire.ul_events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    Close,
    Connect,
    ConnectionLost,
    DataReceived,
    Indicate,
    ReleaseConfirmed,
    ReleaseRequested,
    Send,
    StartTimer,
    StopTimer,
)
from vesalius.wire.ul_machine import UpperLayer
from vesalius.wire.ul_pdus import (
    PDV,
    Abort,
    AcceptedContext,
    AssociateRJ,
    ContextResult,
    PDataTF,
    ReleaseRP,
    ReleaseRQ,
)
from vesalius.wire.ul_table import ACTIONS, EXTENSIONS, STANDARD, TABLE, Cause, Role, State

LOCAL_CAUSES = {
    Cause.EVT1,
    Cause.EVT2,
    Cause.EVT5,
    Cause.EVT7,
    Cause.EVT8,
    Cause.EVT9,
    Cause.EVT11,
    Cause.EVT14,
    Cause.EVT15,
}
TIMED = {State.STA2, State.STA5, State.STA7, State.STA13}

# What each action must bring about, timers aside: read from PS3.8 Tables 9-6 to 9-9, not from the machine.
WHAT = {
    "AE-1": [Connect],
    "AE-2": [b"\x01"],
    "AE-3": [AssociationAccepted],
    "AE-4": [AssociationRejected, Close],
    "AE-5": [],
    "AE-6": [AssociationRequested],
    "AE-7": [b"\x02"],
    "AE-8": [b"\x03"],
    "DT-1": [b"\x04"],
    "DT-2": [DataReceived],
    "AR-1": [b"\x05"],
    "AR-2": [ReleaseRequested],
    "AR-3": [ReleaseConfirmed, Close],
    "AR-4": [b"\x06"],
    "AR-5": [],
    "AR-6": [DataReceived],
    "AR-7": [b"\x04"],
    "AR-8": [ReleaseRequested],
    "AR-9": [b"\x06"],
    "AR-10": [ReleaseConfirmed],
    "AA-1": [b"\x07"],
    "AA-2": [Close],
    "AA-3": [Aborted, Close],
    "AA-4": [ConnectionLost],
    "AA-5": [],
    "AA-6": [],
    "AA-7": [b"\x07"],
    "AA-8": [b"\x07", Aborted],
}
STARTS = {"AE-2", "AE-5", "AE-8", "AR-1", "AR-4", "AA-1", "AA-8"}  # AE-2, AR-1: for the extensions


def kinds(effects):
    """Effects without timers: first byte of what is sent, type of what is indicated, type of the rest."""
    out = []
    for effect in effects:
        if isinstance(effect, Send):
            out.append(effect.data[:1])
        elif isinstance(effect, Indicate):
            out.append(type(effect.event))
        elif not isinstance(effect, StartTimer | StopTimer):
            out.append(type(effect))
    return out


CELLS = [
    pytest.param(role, cause, state, id=f"{cause.value}-{state.value}-{role.value}")
    for (role, state) in PATHS
    for cause in Cause
]


def test_the_cells_driven_are_all_247():
    assert len({(cause, state) for _, state in PATHS for cause in Cause}) == 247


def may_happen(role, cause, state):
    """Evt2 and Evt5 are one input, told apart by the role: the other role's cannot be put in."""
    return (cause, role) not in {(Cause.EVT2, Role.ACCEPTOR), (Cause.EVT5, Role.REQUESTOR)}


@pytest.mark.parametrize(("role", "cause", "state"), CELLS)
def test_every_cell_of_the_table_does_what_the_standard_says(role, cause, state):
    upper = machine(role, state)
    action = STANDARD.get((cause, state))
    extended = {(e.cause, e.state): e.action for e in EXTENSIONS}.get((cause, state))
    if not may_happen(role, cause, state):
        return
    if action is None and extended is None:
        if cause in LOCAL_CAUSES:
            with pytest.raises(LocalProtocolError):
                happen(upper, cause)
        else:
            assert happen(upper, cause) == []
        assert upper.state is state
        return
    effects = happen(upper, cause)
    if extended:
        assert kinds(effects) == [ConnectionLost, Close]
        assert upper.state is State.STA1
        return
    assert kinds(effects) == WHAT[action]
    expected = ACTIONS[action].next_states[0]
    if action == "AR-8" and role is Role.ACCEPTOR:
        expected = State.STA10
    assert upper.state is expected
    # ARTIM runs in its states and nowhere else.
    running = state in TIMED
    for effect in effects:
        running = {StartTimer: True, StopTimer: False}.get(type(effect), running)
    assert running == (upper.state in TIMED)
    assert (StartTimer() in effects) == (action in STARTS or action == "AR-6")


def abort_codes(effects):
    data = sent(effects)
    assert data[0] == 7
    return data[8], data[9]


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("U3", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("U4", bytes.fromhex("16030100f0010000ec0303") + bytes(200)),
        ("U6 P-DATA", encode(DATA)),
        ("U6 RELEASE-RQ", encode(ReleaseRQ())),
        ("U6 RELEASE-RP", encode(ReleaseRP())),
        ("U6 AC", encode(AC)),
        ("U6 RJ", encode(AssociateRJ(1, 1, 1))),
        ("U16", bytes.fromhex("0100ffffffff")),
        ("U16 cap", bytes.fromhex("010000100001")),
        ("U17", bytes.fromhex("010000000004") + bytes(4)),
    ],
)
def test_anything_but_a_request_first_is_aborted_0_0_and_then_closed_by_artim(what, data):
    upper = machine(Role.ACCEPTOR, State.STA2)
    effects = upper.receive(data)
    assert abort_codes(effects) == (0, 0)
    assert StartTimer() in effects
    assert upper.fault is not None
    assert kinds(upper.timer_expired()) == [Close]


def test_the_fault_hints_at_the_other_protocol():
    upper = machine(Role.ACCEPTOR, State.STA2)
    upper.receive(bytes.fromhex("16030100f001"))
    assert "TLS" in upper.fault.message
    upper = machine(Role.ACCEPTOR, State.STA2)
    upper.receive(b"GET / HTTP/1.1\r\n")
    assert "HTTP" in upper.fault.message


def test_an_abort_first_closes_in_silence():
    upper = machine(Role.ACCEPTOR, State.STA2)
    assert kinds(upper.receive(encode(Abort(0, 0)))) == [Close]


def test_silence_is_closed_by_artim_without_a_byte_u1():
    upper = UpperLayer(Role.ACCEPTOR)
    assert upper.connected() == [StartTimer()]
    effects = upper.timer_expired()
    assert kinds(effects) == [Close]
    assert sent(effects) == b""


def test_a_request_byte_by_byte_does_not_restart_artim_u2():
    upper = UpperLayer(Role.ACCEPTOR)
    upper.connected()
    for byte in encode(RQ)[:-1]:
        assert upper.receive(bytes([byte])) == []
    assert kinds(upper.timer_expired()) == [Close]
    assert upper.receive(encode(RQ)[-1:]) == []


def test_a_late_expiry_after_the_timer_was_stopped_is_ignored():
    upper = machine(Role.ACCEPTOR, State.STA6)
    assert upper.timer_expired() == []
    assert upper.state is State.STA6


@pytest.mark.parametrize("kind", [0x00, 0x08, 0xFF])
def test_unrecognized_pdus_are_aborted_2_1_u9(kind):
    upper = machine(Role.ACCEPTOR, State.STA6)
    assert abort_codes(upper.receive(bytes([kind, 0, 0, 0, 0, 0]))) == (2, 1)


@pytest.mark.parametrize("pdu", [RQ, AC, AssociateRJ(1, 1, 1), ReleaseRP()])
def test_unexpected_pdus_are_aborted_2_2_u8(pdu):
    upper = machine(Role.ACCEPTOR, State.STA6)
    effects = upper.receive(encode(pdu))
    assert abort_codes(effects) == (2, 2)
    indicated = [e.event for e in effects if isinstance(e, Indicate)]
    assert indicated[0].by_us
    assert indicated[0].detail


def test_a_protocol_version_without_bit_0_is_rejected_1_2_2_u11():
    upper = machine(Role.ACCEPTOR, State.STA2)
    effects = upper.receive(encode(replace(RQ, protocol_version=0xFFFE)))
    assert sent(effects) == bytes.fromhex("030000000004") + bytes([0, 1, 2, 2])
    assert upper.state is State.STA13
    upper = machine(Role.ACCEPTOR, State.STA2)
    upper.receive(encode(replace(RQ, protocol_version=0x8003)))
    assert upper.state is State.STA3


@pytest.mark.parametrize("length", range(1, 12))
def test_an_impossible_maximum_length_is_aborted_2_6_u24(length):
    upper = machine(Role.ACCEPTOR, State.STA2)
    bad = replace(RQ, user_information=replace(INFO, maximum_length=length))
    assert abort_codes(upper.receive(encode(bad))) == (2, 6)
    upper = machine(Role.REQUESTOR, State.STA5)
    bad_ac = replace(AC, user_information=replace(INFO, maximum_length=length))
    assert abort_codes(upper.receive(encode(bad_ac))) == (2, 6)


@pytest.mark.parametrize(("theirs", "usable"), [(0, 1 << 20), (12, 12), (16384, 16384), (0xFFFFFFFF, 1 << 20)])
def test_no_limit_means_our_own_cap_u23(theirs, usable):
    upper = machine(Role.ACCEPTOR, State.STA2)
    upper.receive(encode(replace(RQ, user_information=replace(INFO, maximum_length=theirs))))
    assert upper.peer_maximum == usable


def test_p_data_longer_than_our_maximum_is_aborted_2_6_before_its_body_u26():
    upper = machine(Role.ACCEPTOR, State.STA6, maximum_length=4096)
    assert abort_codes(upper.receive(bytes.fromhex("040000001001"))) == (2, 6)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="no-pdv"),
        pytest.param("00000000", id="length-0-cut"),
        pytest.param("000000000103", id="length-0"),
        pytest.param("0000000101", id="length-1-cut"),
        pytest.param("000000010103", id="length-1"),
        pytest.param("000000040103aabb00", id="odd-remainder"),
        pytest.param("000000080103aabb", id="past-the-end"),
        pytest.param("ffffffff0103aabb", id="four-gigabytes"),
    ],
)
def test_pdvs_that_do_not_fill_their_pdu_are_aborted_2_6_u27(body):
    raw = bytes.fromhex(body)
    upper = machine(Role.ACCEPTOR, State.STA6)
    data = b"\x04\x00" + len(raw).to_bytes(4, "big") + raw
    assert abort_codes(upper.receive(data)) == (2, 6)


@pytest.mark.parametrize("state", [State.STA6, State.STA7])
def test_a_pdv_on_a_context_not_accepted_is_aborted_2_6_u28(state):
    upper = machine(Role.ACCEPTOR, state)
    assert abort_codes(upper.receive(encode(PDataTF((PDV(3, True, True, b"xx"),))))) == (2, 6)


def test_p_data_after_the_peers_release_request_is_aborted_and_after_ours_accepted_u32():
    upper = machine(Role.ACCEPTOR, State.STA8)
    assert abort_codes(upper.receive(encode(DATA))) == (2, 2)
    upper = machine(Role.ACCEPTOR, State.STA7)
    effects = upper.receive(encode(DATA))
    assert kinds(effects) == [DataReceived]
    assert StartTimer() in effects


def test_after_an_abort_pdus_are_ignored_but_a_request_is_aborted_again_u10():
    upper = machine(Role.ACCEPTOR, State.STA13)
    assert upper.receive(encode(DATA) + encode(ReleaseRQ()) + encode(AC)) == []
    assert abort_codes(upper.receive(encode(RQ))) == (2, 2)
    assert abort_codes(upper.receive(INVALID)) == (2, 1)
    assert kinds(upper.timer_expired()) == [Close]
    assert upper.receive(encode(RQ)) == []


def test_a_release_collision_ends_in_the_order_of_the_table_u33():
    requestor, acceptor = machine(Role.REQUESTOR, State.STA6), machine(Role.ACCEPTOR, State.STA6)
    to_acceptor, to_requestor = sent(requestor.release()), sent(acceptor.release())
    assert kinds(requestor.receive(to_requestor)) == [ReleaseRequested]
    assert kinds(acceptor.receive(to_acceptor)) == [ReleaseRequested]
    assert (requestor.state, acceptor.state) == (State.STA9, State.STA10)
    with pytest.raises(LocalProtocolError):
        acceptor.release_reply()  # the requestor answers first
    assert kinds(acceptor.receive(sent(requestor.release_reply()))) == [ReleaseConfirmed]
    effects = requestor.receive(sent(acceptor.release_reply()))
    assert kinds(effects) == [ReleaseConfirmed, Close]
    assert (requestor.state, acceptor.state) == (State.STA1, State.STA13)
    assert upper_is_done(acceptor)


def upper_is_done(upper):
    """The peer closed: no event is left over."""
    return kinds(upper.connection_closed()) == [] and upper.state is State.STA1


def test_a_local_abort_says_what_it_was_told_to_say():
    upper = machine(Role.ACCEPTOR, State.STA6)
    assert abort_codes(upper.abort()) == (0, 0)
    upper = machine(Role.ACCEPTOR, State.STA3)
    assert abort_codes(upper.abort(2, 6)) == (2, 6)


def test_a_peer_that_never_answers_is_given_up_by_artim():
    for state in (State.STA5, State.STA7):
        upper = machine(Role.REQUESTOR, state)
        effects = upper.timer_expired()
        assert kinds(effects) == [ConnectionLost, Close]
        assert upper.state is State.STA1


def test_contexts_that_were_not_proposed_are_not_accepted_by_an_answer():
    upper = machine(Role.REQUESTOR, State.STA5)
    extra = (*AC.contexts, AcceptedContext(3, ContextResult.ACCEPTANCE, "1.2.840.10008.1.2"))
    upper.receive(encode(replace(AC, contexts=extra)))
    assert upper.accepted_contexts == {1}


def test_a_message_is_sent_only_on_an_accepted_context_in_a_state_that_allows_it():
    upper = machine(Role.ACCEPTOR, State.STA6)
    with pytest.raises(LocalProtocolError):
        upper.send_message(3, b"cc")
    upper.receive(encode(ReleaseRQ()))
    assert upper.send_message(1, b"cc")  # AR-7: answers may still go out in Sta8
    upper.release_reply()
    with pytest.raises(LocalProtocolError):
        upper.send_message(1, b"cc")


def test_a_streamed_message_stops_where_the_association_was_aborted():
    upper = machine(Role.ACCEPTOR, State.STA6)
    stream = upper.stream_message(1, b"cc", (bytes(300_000) for _ in range(10)))
    assert sent(next(stream))
    upper.abort()
    with pytest.raises(LocalProtocolError):
        next(stream)


def test_a_pdu_that_the_peer_would_not_take_is_never_sent():
    upper = machine(Role.ACCEPTOR, State.STA6)
    with pytest.raises(LocalProtocolError):
        upper.send_pdvs((PDV(1, False, True, bytes(16384)),))
    assert upper.send_pdvs((PDV(1, False, True, bytes(16378)),))


def test_everything_received_after_the_connection_is_gone_is_ignored():
    upper = machine(Role.ACCEPTOR, State.STA6)
    assert kinds(upper.connection_closed()) == [ConnectionLost]
    assert upper.receive(encode(RQ)) == []
    assert upper.connection_closed() == []


def test_valid_pdus_before_a_broken_one_count():
    upper = machine(Role.ACCEPTOR, State.STA6)
    assert kinds(upper.receive(encode(DATA) + INVALID)) == [DataReceived, b"\x07", Aborted]


def test_the_short_cut_for_data_does_what_the_table_says():
    assert TABLE[Cause.EVT10, State.STA6] == "DT-2"
    upper = machine(Role.ACCEPTOR, State.STA6)
    assert upper.receive(encode(DATA)) == [Indicate(DataReceived(DATA.pdvs))]
    assert upper.state is State.STA6


@given(
    st.sampled_from(sorted(PATHS, key=str)),
    st.lists(st.sampled_from(sorted(RECEIVED.values())), max_size=6),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_any_split_of_the_bytes_gives_the_same_effects(start, stream, sizes):
    """Whatever the state, whatever comes, and however it is cut."""
    data = b"".join(stream)
    whole, pieces = machine(*start), machine(*start)
    expected = whole.receive(data)
    effects, position, turn = [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        effects += pieces.receive(data[position : position + size])
        position += size
        turn += 1
    assert effects == expected
    assert pieces.state is whole.state
