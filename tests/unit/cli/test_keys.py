"""Keys of a query as people write them."""

from __future__ import annotations

import pytest

from vesalius.cli.keys import DEFAULT_KEYS, as_row, parse_keys, tag_of_key
from vesalius.model.attributes import BY_TAG
from vesalius.model.errors import SettingsError


@pytest.mark.parametrize("text", ["PatientID", "0010,0020", "00100020", "(0010,0020)", "0010,0020 "])
def test_a_key_is_a_keyword_or_a_tag(text: str) -> None:
    assert tag_of_key(text) == 0x00100020


def test_an_unknown_keyword_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        tag_of_key("PatientNam")
    assert "PatientName" in caught.value.hint


def test_values_may_hold_equal_signs_and_several_are_joined_by_a_backslash() -> None:
    assert parse_keys(["PatientName=A=B", "ModalitiesInStudy=CT\\MR", "StudyDate"]) == {
        0x00100010: ("A=B",),
        0x00080061: ("CT", "MR"),
        0x00080020: (),
    }


def test_a_dot_reaches_into_a_sequence() -> None:
    keys = ["RequestAttributesSequence.ScheduledProcedureStepID=S1", "RequestAttributesSequence.RequestedProcedureID"]
    assert parse_keys(keys) == {0x00400275: ({0x00400009: ("S1",), 0x00401001: ()},)}
    with pytest.raises(SettingsError, match="no sequence"):
        parse_keys(["PatientID.StudyDate=1"])


def test_an_answer_becomes_a_row_by_keyword() -> None:
    answer = {0x00100020: ("1",), 0x00080061: ("CT", "MR"), 0x00080020: (), 0x00400275: ({0x00400009: ("S",)},)}
    assert as_row(answer) == {
        "StudyDate": "",
        "ModalitiesInStudy": ["CT", "MR"],
        "PatientID": "1",
        "RequestAttributesSequence": [{"ScheduledProcedureStepID": "S"}],
    }


def test_what_is_asked_for_by_default_is_kept_by_the_index_at_that_level() -> None:
    for level, names in DEFAULT_KEYS.items():
        for name in names:
            assert BY_TAG[tag_of_key(name)].level <= level, name
