"""Command sets: read back as written, as a second implementation writes them, and refused when broken (D1)."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode as other_decode
from pynetdicom.dsutils import encode as other_encode
from tests.unit.wire import strategies

from vesalius.wire import dimse_commands as dc
from vesalius.wire import dimse_requests as dr
from vesalius.wire.dimse_commands import Command, CommandField, SubOperations, Tag
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"

REQUESTS = [
    dr.c_echo_rq(1),
    dr.c_store_rq(2, CT, "1.2.3"),
    dr.c_store_rq(
        3, CT, "1.2.3.4", priority=dc.Priority.HIGH, move_originator_aet="MOVER", move_originator_message_id=9
    ),
    dr.c_find_rq(4, FIND),
    dr.c_get_rq(5, "1.2.840.10008.5.1.4.1.2.2.3", priority=2),
    dr.c_move_rq(6, "1.2.840.10008.5.1.4.1.2.2.2", "DESTINATION"),
    dr.c_cancel_rq(6),
    dr.n_event_report_rq(7, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", 1),
    dr.n_get_rq(8, "1.2.3", "1.2.4", (0x00100010, 0x00100020)),
    dr.n_set_rq(9, "1.2.3", "1.2.4"),
    dr.n_action_rq(10, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", 1),
    dr.n_create_rq(11, "1.2.3"),
    dr.n_delete_rq(12, "1.2.3", "1.2.4"),
]
ANSWERED = [request for request in REQUESTS if request.message_id]


@pytest.mark.parametrize("command", [*REQUESTS, *(dc.response(rq, 0) for rq in ANSWERED)], ids=lambda c: c.name)
def test_every_command_survives_and_equals_what_a_second_implementation_writes(command):
    raw = command.encode()
    assert dc.decode(raw) == command
    dataset = other_decode(BytesIO(raw), is_implicit_vr=True, is_little_endian=True)
    assert dataset.CommandGroupLength == len(raw) - 12
    assert other_encode(dataset, is_implicit_vr=True, is_little_endian=True) == raw


values = {
    "US": strategies.u16,
    "UI": strategies.uids,
    "AE": strategies.aets,
    "LO": strategies.aets,
    "AT": st.lists(strategies.u32, min_size=1, max_size=5).map(tuple),
}


@st.composite
def commands(draw):
    from vesalius.wire.dimse_elements import VR

    tags = draw(st.sets(st.sampled_from(sorted(set(VR) - {Tag.CommandGroupLength}))))
    tags |= {Tag.CommandField, Tag.CommandDataSetType}
    return Command({tag: draw(values[VR[tag]]) for tag in tags})


@given(commands())
def test_any_command_set_survives_a_round_trip(command):
    assert dc.decode(command.encode()) == command


def test_the_properties_name_what_the_elements_hold():
    command = dc.decode(REQUESTS[2].encode())
    assert command.field == CommandField.C_STORE_RQ
    assert command.name == "C-STORE-RQ"
    assert not command.is_response
    assert command.has_dataset
    assert (command.message_id, command.affected_class, command.affected_instance) == (3, CT, "1.2.3.4")
    assert (command.priority, command.move_originator_aet, command.move_originator_message_id) == (1, "MOVER", 9)
    assert command.status is None
    assert command.message_id_responded is None
    assert dr.c_move_rq(6, FIND, "DESTINATION").move_destination == "DESTINATION"
    assert not dr.c_cancel_rq(6).has_dataset


def test_counts_are_those_of_the_standard_and_a_final_response_has_no_remaining():
    move = dr.c_move_rq(6, FIND, "D")
    pending = dc.response(move, 0xFF00, counts=SubOperations(3, 2, 1, 0))
    assert (pending.remaining, pending.completed, pending.failed, pending.warning) == (3, 2, 1, 0)
    final = dc.response(move, 0xB000, has_dataset=True, counts=SubOperations(None, 2, 1, 0))
    assert final.remaining is None
    assert Tag.NumberOfRemainingSuboperations not in final.elements
    assert final.has_dataset
    huge = dc.response(move, 0xFF00, counts=SubOperations(70_000, 70_000, 0, 0))
    assert dc.decode(huge.encode()).remaining == 0xFFFF


def test_an_error_comment_is_cut_and_safe():
    store = dr.c_store_rq(1, CT, "1.2.3")
    answer = dc.response(store, 0xA900, offending=(0x0020000D,), comment="naïve\n\\" + "x" * 100, error_id=7)
    heard = dc.decode(answer.encode())
    assert heard.error_comment == ("na?ve??" + "x" * 100)[:64]
    assert heard.offending == (0x0020000D,)
    assert heard.error_id == 7
    assert heard.affected_instance == "1.2.3"


def test_an_unknown_operation_can_still_be_answered_d2():
    strange = Command({Tag.CommandField: 0x7777, Tag.MessageID: 5, Tag.CommandDataSetType: dc.NO_DATA_SET})
    assert dc.response(dc.decode(strange.encode()), 0x0211).field == 0xF777
    assert strange.name == "7777H"
    with pytest.raises(LocalProtocolError):
        dc.response(dr.c_cancel_rq(1), 0)


def explicit_vr() -> bytes:
    ds = Dataset()
    ds.CommandGroupLength = 30
    ds.CommandField = 0x30
    ds.MessageID = 1
    ds.CommandDataSetType = 0x0101
    return other_encode(ds, is_implicit_vr=False, is_little_endian=True)


ECHO = dr.c_echo_rq(1).encode()


@pytest.mark.parametrize(
    ("what", "raw"),
    [
        ("empty", b""),
        ("cut in a value", ECHO[:-1]),
        ("cut in a header", ECHO[:-7]),
        ("explicit VR", explicit_vr()),
        ("no command field", Command({Tag.MessageID: 1, Tag.CommandDataSetType: 0x0101}).encode()),
        ("no data set type", Command({Tag.MessageID: 1, Tag.CommandField: 0x30}).encode()),
        ("other group", ECHO + bytes.fromhex("0800050000000000")),
        ("element twice", ECHO + ECHO[12:]),
        ("number of 4 bytes", ECHO.replace(b"\x10\x01\x02\0\0\0\x01\0", b"\x10\x01\x04\0\0\0\x01\0\0\0")),
        ("4 GB element", bytes.fromhex("00000001fffffffe")),
    ],
)
def test_a_broken_command_set_is_the_peers_fault_d1(what, raw):
    with pytest.raises(RemoteProtocolError) as caught:
        dc.decode(raw)
    assert (caught.value.source, caught.value.reason) == (0, 0)


def test_a_wrong_group_length_alone_is_accepted_d1():
    assert dc.decode(ECHO[:8] + b"\xff\xff\0\0" + ECHO[12:]) == dr.c_echo_rq(1)
    assert dc.decode(ECHO[12:]) == dr.c_echo_rq(1)


def test_elements_outside_the_table_are_skipped_and_padding_is_trimmed():
    extra = bytes.fromhex("0000010004000000") + b"abcd"
    assert dc.decode(ECHO + extra) == dr.c_echo_rq(1)
    spaced = ECHO.replace(b"1.2.840.10008.1.1\0", b"1.2.840.10008.1.1 ")
    assert dc.decode(spaced) == dr.c_echo_rq(1)


@pytest.mark.parametrize(
    "elements",
    [
        {Tag.MessageID: 70000},
        {Tag.MessageID: "1"},
        {Tag.MoveDestination: "Ω"},
        {0x00000001: 4},
        {Tag.OffendingElement: (-1,)},
    ],
)
def test_what_cannot_be_encoded_is_our_own_fault(elements):
    with pytest.raises(LocalProtocolError):
        Command(elements).encode()


def test_the_repr_shows_no_text_of_the_peer():
    answer = dc.response(dr.c_echo_rq(1), 0x0110, comment="DOE^JOHN")
    assert "DOE" not in repr(answer)
