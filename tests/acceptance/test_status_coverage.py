"""Status coverage: each status that the archive says it answers is produced by a test (service-answers F.1, F.5).

`PRODUCED` names that test for each line of `dimse/answers.py`; a line without one, or a test that is gone or says
nothing of the status, fails here. The other way round, the observer of the tests (`dimse_site.Seen`) fails on a status
that is answered and not listed. The tests below produce what no other does.
"""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from tests.acceptance.bad_input.test_away import AwayIndex
from tests.acceptance.bad_input.test_dimse import CONTEXTS, FIND, GET, INSTANCE, MOVE, STORE, STUDY_KEYS, identifier
from tests.support.dimse_site import attacked, dataset_of
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import (
    CT,
    RawPeer,
    cancel_rq,
    command_set,
    context,
    find_rq,
    get_rq,
    item,
    move_rq,
    store_rq,
    us,
)
from tests.support.raw_dicom import uid as ui

from vesalius.dimse.answers import ANSWERS, is_listed
from vesalius.dimse.errors import STATUS_OF
from vesalius.standard.statuses import SUCCESS

HERE = "test_status_coverage.py"
DIMSE, AWAY = "bad_input/test_dimse.py", "bad_input/test_away.py"
COMMITMENT = "commitment/test_bad_requests.py"
N_AWAY = (COMMITMENT, "test_a_database_that_is_away_is_0213_and_a_fault_of_ours_0110_without_its_text")
NO_RESULT = (COMMITMENT, "test_what_was_not_asked_or_is_no_result_is_refused_with_its_status")
PERFORMED = "mpps/test_statuses.py"
P_AWAY = (PERFORMED, "test_a_database_that_is_away_is_0213_and_a_fault_of_ours_0110_without_its_text")
P_GET = (PERFORMED, "test_n_get_gives_what_is_asked_for_and_lists_what_is_not_known")
P_END = (PERFORMED, "test_what_is_of_type_1_at_the_end_must_have_come_by_then")
P_OTHER = (PERFORMED, "test_t22_another_application_entity_changes_nothing_and_reads_what_its_worklist_shows")
UPS = "ups/test_over_dimse.py"
U_LOCK = (UPS, "test_the_lock_belongs_to_its_performer")
U_CREATE = (UPS, "test_creation_has_its_rules")
U_SET = (UPS, "test_what_is_scheduled_is_set_without_a_key_only")
U_CANCEL = (UPS, "test_a_cancel_is_done_told_or_refused")
U_UNKNOWN = (UPS, "test_unknown_workitems_receivers_and_well_known_instances")
INCOMPLETE = (COMMITMENT, "test_a_notification_that_lacks_something_is_refused_with_the_element")
MOVING, QUERIES = "retrieve/test_move.py", "associations/test_find.py"
FAULT = (AWAY, "test_a_fault_of_our_own_is_a_failure_without_its_text")
RIGHTS = (DIMSE, "test_d14_without_the_right_every_service_answers_0124")
NO_IDENTIFIER = (DIMSE, "test_a_query_without_identifier_is_answered_0212")
NO_DATA_SET = (HERE, "test_a_retrieve_whose_identifier_is_no_data_set_is_c000")
DATABASE_AWAY = (AWAY, "test_a_database_that_is_away_is_out_of_resources")
NAMES_NOTHING = (DIMSE, "test_d17_a_retrieve_that_names_nothing_is_answered_a900")

PRODUCED: dict[tuple[str, int], tuple[str, str]] = {
    ("any", 0x0122): (DIMSE, "test_d5_a_request_on_a_context_of_another_class_is_answered_0122"),
    ("any", 0x0210): (DIMSE, "test_d4_a_message_id_that_is_still_open_is_answered_0210"),
    ("any", 0x0211): (DIMSE, "test_d2_d28_an_operation_not_offered_is_answered_0211"),
    ("C-ECHO", 0x0000): (DIMSE, "test_d1_a_wrong_group_length_alone_is_accepted"),
    ("C-STORE", 0x0000): (DIMSE, "test_d15_the_same_instance_again_is_a_success_and_writes_nothing"),
    ("C-STORE", 0x0117): (DIMSE, "test_d7_an_illegal_instance_uid_is_answered_0117"),
    ("C-STORE", 0x0122): (HERE, "test_a_class_that_its_proposer_declares_to_be_storage_is_kept_and_else_0122"),
    ("C-STORE", 0x0124): RIGHTS,
    ("C-STORE", 0x0212): (DIMSE, "test_d6_a_store_without_data_set_is_answered_0212"),
    ("C-STORE", 0xA700): (DIMSE, "test_d13_out_of_resources_is_answered_a700_and_the_association_stays"),
    ("C-STORE", 0xA900): (DIMSE, "test_d8_a_data_set_of_another_instance_or_class_is_answered_a900_with_the_element"),
    ("C-STORE", 0xC000): (HERE, "test_noise_is_c000"),
    ("C-STORE", 0xC001): (HERE, "test_a_fault_while_storing_is_c001_and_leaves_no_trace"),
    ("C-STORE", 0xC111): (DIMSE, "test_d16_other_content_is_kept_beside_the_first_or_refused_by_policy"),
    ("C-FIND", 0x0000): (DIMSE, "test_d19_unsupported_keys_are_told_by_ff01_and_neither_matched_nor_returned"),
    ("C-FIND", 0xFF00): (DIMSE, "test_d4_a_message_id_that_is_still_open_is_answered_0210"),
    ("C-FIND", 0xFF01): (DIMSE, "test_d19_unsupported_keys_are_told_by_ff01_and_neither_matched_nor_returned"),
    ("C-FIND", 0xFE00): (QUERIES, "test_cancel_works_within_a_second_while_pages_are_slow"),
    ("C-FIND", 0x0124): RIGHTS,
    ("C-FIND", 0x0212): NO_IDENTIFIER,
    ("C-FIND", 0xA700): (DIMSE, "test_an_identifier_over_the_cap_is_answered_a700"),
    ("C-FIND", 0xA900): (DIMSE, "test_d17_an_identifier_that_does_not_fit_its_model_is_answered_a900"),
    ("C-FIND", 0xC000): (HERE, "test_a_value_that_cannot_be_read_is_c000"),
    ("C-FIND", 0xC001): FAULT,
    ("C-MOVE", 0x0000): (MOVING, "test_a_pending_comes_every_second_while_the_receiver_takes_its_time"),
    ("C-MOVE", 0xFF00): (HERE, "test_a_move_of_an_instance_tells_that_it_goes_on"),
    ("C-MOVE", 0xFE00): (MOVING, "test_cancel_ends_with_fe00_and_counts_within_a_second"),
    ("C-MOVE", 0xB000): (MOVING, "test_all_failed_is_a702_and_some_failed_is_b000_with_the_list"),
    ("C-MOVE", 0x0124): (DIMSE, "test_d21_a_destination_that_this_caller_may_not_name_is_answered_0124"),
    ("C-MOVE", 0x0212): NO_IDENTIFIER,
    ("C-MOVE", 0xA701): DATABASE_AWAY,
    ("C-MOVE", 0xA702): (MOVING, "test_all_failed_is_a702_and_some_failed_is_b000_with_the_list"),
    ("C-MOVE", 0xA801): (DIMSE, "test_d21_an_unknown_destination_is_answered_a801"),
    ("C-MOVE", 0xA900): NAMES_NOTHING,
    ("C-MOVE", 0xC000): NO_DATA_SET,
    ("C-MOVE", 0xC001): FAULT,
    ("C-GET", 0x0000): (DIMSE, "test_d22_nothing_found_is_a_success_with_zero_completed"),
    ("C-GET", 0xFF00): (HERE, "test_a_get_tells_that_it_goes_on_and_ends_with_fe00_when_cancelled"),
    ("C-GET", 0xFE00): (HERE, "test_a_get_tells_that_it_goes_on_and_ends_with_fe00_when_cancelled"),
    ("C-GET", 0xB000): (DIMSE, "test_d23_a_get_that_can_send_some_is_answered_b000"),
    ("C-GET", 0x0124): RIGHTS,
    ("C-GET", 0x0212): NO_IDENTIFIER,
    ("C-GET", 0xA701): DATABASE_AWAY,
    ("C-GET", 0xA702): (DIMSE, "test_d23_a_get_without_the_scp_role_is_answered_a702"),
    ("C-GET", 0xA900): NAMES_NOTHING,
    ("C-GET", 0xC000): NO_DATA_SET,
    ("C-GET", 0xC001): FAULT,
    ("N-ACTION", 0x0000): (COMMITMENT, "test_a_good_request_is_0000_and_durable"),
    ("N-ACTION", 0x0110): (COMMITMENT, "test_a_request_that_cannot_be_read_is_0110_and_one_over_the_cap_0213"),
    ("N-ACTION", 0x0112): (COMMITMENT, "test_d24_action_type_2_is_0123_and_another_instance_is_0112"),
    ("N-ACTION", 0x0115): (COMMITMENT, "test_d24_what_is_missing_is_0115_with_the_element_and_nothing_is_kept"),
    ("N-ACTION", 0x0123): (COMMITMENT, "test_d24_action_type_2_is_0123_and_another_instance_is_0112"),
    ("N-ACTION", 0x0124): (COMMITMENT, "test_without_its_right_each_is_0124"),
    ("N-ACTION", 0x0213): N_AWAY,
    ("N-EVENT-REPORT", 0x0000): (COMMITMENT, "test_a_result_is_taken_whatever_the_roles_and_again_and_once"),
    ("N-EVENT-REPORT", 0x0110): N_AWAY,
    ("N-EVENT-REPORT", 0x0112): NO_RESULT,
    ("N-EVENT-REPORT", 0x0113): NO_RESULT,
    ("N-EVENT-REPORT", 0x0115): NO_RESULT,
    ("N-EVENT-REPORT", 0x0213): N_AWAY,
    ("N-CREATE", 0x0000): (COMMITMENT, "test_a_notification_is_kept_once_under_its_uid_or_one_made_for_it"),
    ("N-CREATE", 0x0106): INCOMPLETE,
    ("N-CREATE", 0x0110): N_AWAY,
    ("N-CREATE", 0x0111): (COMMITMENT, "test_a_notification_is_kept_once_under_its_uid_or_one_made_for_it"),
    ("N-CREATE", 0x0117): INCOMPLETE,
    ("N-CREATE", 0x0120): INCOMPLETE,
    ("N-CREATE", 0x0121): INCOMPLETE,
    ("N-CREATE", 0x0124): (COMMITMENT, "test_without_its_right_each_is_0124"),
    ("N-CREATE", 0x0213): N_AWAY,
    ("N-SET", 0x0000): P_END,
    ("N-SET", 0x0106): (PERFORMED, "test_a_status_that_is_none_is_0106_and_an_empty_one_0121"),
    ("N-SET", 0x0107): (PERFORMED, "test_d27_what_may_not_be_set_stays_and_is_listed_with_0107"),
    ("N-SET", 0x0110): (PERFORMED, "test_d27_a_final_state_is_final_and_says_so_in_the_words_of_the_clause"),
    ("N-SET", 0x0112): (PERFORMED, "test_d27_an_unknown_step_is_0112"),
    ("N-SET", 0x0120): P_END,
    ("N-SET", 0x0121): P_END,
    ("N-SET", 0x0124): P_OTHER,
    ("N-SET", 0x0213): P_AWAY,
    ("N-GET", 0x0000): P_GET,
    ("N-GET", 0x0001): P_GET,
    ("N-GET", 0x0110): P_AWAY,
    ("N-GET", 0x0112): P_GET,
    ("N-GET", 0x0124): (PERFORMED, "test_without_the_right_each_is_0124"),
    ("N-GET", 0x0213): P_AWAY,
    **{("N-ACTION", status): U_LOCK for status in (0xB306, 0xC300, 0xC301, 0xC302, 0xC303, 0xC304, 0xC310, 0xC311)},
    **{("N-ACTION", status): U_CANCEL for status in (0xB304, 0xC312)},
    **{("N-ACTION", status): U_UNKNOWN for status in (0xC307, 0xC308, 0xC314)},
    **{("N-CREATE", status): U_CREATE for status in (0xB300, 0xC309)},
    **{("N-SET", status): U_LOCK for status in (0xC300, 0xC301)},
    **{("N-SET", status): U_SET for status in (0xB305, 0xC310)},
    ("N-SET", 0xC307): U_UNKNOWN,
    ("N-GET", 0xC307): U_UNKNOWN,
}


def _source(file: str, name: str) -> str:
    text = (Path(__file__).parent / file).read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            lines = text.splitlines()
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            return "\n".join(lines[first - 1 : node.end_lineno])
    raise AssertionError(f"{file} has no {name}")


def test_every_status_of_every_service_has_its_test() -> None:
    listed = {(service, status) for service, answers in ANSWERS.items() for status in answers}
    assert listed - PRODUCED.keys() == set(), "answered, and no test produces it"
    assert PRODUCED.keys() - listed == set(), "produced, and not in dimse/answers.py"


@pytest.mark.parametrize(
    ("service", "status"), PRODUCED, ids=lambda value: value if isinstance(value, str) else f"{value:04X}"
)
def test_the_test_is_there_and_speaks_of_the_status(service: str, status: int) -> None:
    source = _source(*PRODUCED[service, status])
    words = [f"0x{status:04X}"] if status != SUCCESS else ["== 0", ", 0)"]
    if PRODUCED[service, status] == FAULT:
        words = ["== 0xC001"]
    assert any(word in source for word in words), f"{PRODUCED[service, status]} says nothing of {status:04X}"


def test_every_error_of_the_tree_that_an_edge_can_meet_has_a_listed_status() -> None:
    """What DIMSE never meets: errors of a look-up by UID, of the bytes of one sub-operation, of a command line."""
    never = {"NoSuchInstance", "DamagedInstance", "CannotTranscode", "SettingsError", "PeerUnreachable"}
    for error, status in STATUS_OF.items():
        if error.__name__ not in never:
            assert any(is_listed(service, status) for service in ANSWERS), error


# -- what no other test produces --------------------------------------------------------------------------------------


async def test_noise_is_c000(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(STORE, store_rq(CT, INSTANCE), b"this is no data set at all, not by any transfer syntax")
        assert (await peer.message()).status == 0xC000
        await peer.release()


async def test_a_fault_while_storing_is_c001_and_leaves_no_trace(tmp_path: Path) -> None:
    index = AwayIndex()
    async with attacked(tmp_path, index=index) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        index.trouble = RuntimeError("Doe^Jane broke it")
        peer.send_message(STORE, store_rq(CT, INSTANCE), dataset_of(part10(ct())))
        answer = await peer.message()
        assert answer.status == 0xC001
        assert "Doe" not in answer.text(0x902)
        index.trouble = None
        assert site.stored() == 0
        await peer.release()


async def test_a_class_that_its_proposer_declares_to_be_storage_is_kept_and_else_0122(tmp_path: Path) -> None:
    """By common extended negotiation a class that no table knows is storage (PS3.4 B.3.1.3)."""
    strange, verification = "1.2.840.10008.5.1.4.34.999", "1.2.840.10008.1.1"
    service = b"1.2.840.10008.4.2"
    body = len(strange).to_bytes(2, "big") + strange.encode() + len(service).to_bytes(2, "big") + service + b"\0\0"
    common = b"\x57\x00" + len(body).to_bytes(2, "big") + body
    async with attacked(tmp_path) as site:
        contexts = [context(1, verification, ["1.2.840.10008.1.2"]), context(3, strange, ["1.2.840.10008.1.2.1"])]
        peer = await RawPeer.associated(site.port, contexts, extra=common)
        peer.send_message(3, store_rq(strange, INSTANCE), dataset_of(part10(ct(SOPClassUID=strange))))
        assert (await peer.message()).status == 0
        peer.send_message(1, store_rq(verification, INSTANCE), dataset_of(part10(ct(SOPClassUID=verification))))
        assert (await peer.message()).status == 0x0122
        assert site.stored() == 1
        await peer.release()


async def test_a_value_that_cannot_be_read_is_c000(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(FIND, find_rq(), identifier("STUDY", (0x00080020, b"20231345")))
        assert (await peer.message()).status == 0xC000
        await peer.release()


@pytest.mark.parametrize(("number", "command"), [(MOVE, move_rq("DEST")), (GET, get_rq())], ids=["move", "get"])
async def test_a_retrieve_whose_identifier_is_no_data_set_is_c000(tmp_path: Path, number: int, command: bytes) -> None:
    async with attacked(tmp_path) as site:
        site.add_peer("DEST", 1)
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(number, command, b"\x08\x00\x52\x00\xff\xff\x00\x00STUDY")
        assert (await peer.message()).status == 0xC000
        await peer.release()


async def test_a_move_of_an_instance_tells_that_it_goes_on(tmp_path: Path) -> None:
    async with attacked(tmp_path, pending_interval=0.1, connect=1.0) as site:
        site.keep(ct())
        silent = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        site.add_peer("SILENT", silent.sockets[0].getsockname()[1])
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(MOVE, move_rq("SILENT"), STUDY_KEYS)
        answer = await peer.message()
        assert answer.status == 0xFF00
        while answer.status == 0xFF00:
            answer = await peer.message()
        assert answer.status == 0xA702
        silent.close()
        await peer.release()


async def test_a_get_tells_that_it_goes_on_and_ends_with_fe00_when_cancelled(tmp_path: Path) -> None:
    async with attacked(tmp_path, pending_interval=0.1) as site:
        for number in (1, 2, 3):
            site.keep(ct(instance=number))
        role = len(CT).to_bytes(2, "big") + CT.encode() + b"\0\1"
        peer = await RawPeer.associated(site.port, CONTEXTS, extra=item(0x54, role))
        peer.send_message(GET, get_rq(message_id=9), STUDY_KEYS)
        request = await peer.message()
        assert request.number(0x100) == 1
        answer = await peer.message()
        assert answer.status == 0xFF00
        peer.send_message(GET, cancel_rq(9))
        instance = uid("instance", 1, 1, 1)
        done = {0x2: ui(CT), 0x100: us(0x8001), 0x120: us(request.number(0x110)), 0x800: us(0x0101), 0x900: us(0)}
        peer.send_message(STORE, command_set(done | {0x1000: ui(instance)}))
        while answer.status == 0xFF00:
            answer = await peer.message()
        assert answer.status == 0xFE00
        assert (answer.number(0x1020), answer.number(0x1021)) == (2, 1)
        await peer.release()
