"""Data types, character sets, errors and acknowledgements, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.dimse.errors import STATUS_OF
from vesalius.hl7 import charsets, values
from vesalius.hl7.config import Hl7Settings, Source, source_of
from vesalius.hl7.faults import CONDITION_OF, Fault, fault_of
from vesalius.hl7.raw import digest_of
from vesalius.hl7.replies import generic, reply
from vesalius.model.errors import BadRecord
from vesalius.standard.hl7_tables import CHARSETS, Ack, Condition
from vesalius.wire.hl7_escapes import STANDARD
from vesalius.wire.hl7_message import BadMessage, Place, parse

HERE = Place("PID", 1, 7)
AT = "2026-11-24T08:00:00.000000Z"


def test_every_error_of_the_tree_has_a_condition_and_no_other_has() -> None:
    assert set(CONDITION_OF) == set(STATUS_OF)


def test_an_error_from_outside_the_tree_keeps_its_text_to_itself() -> None:
    fault = fault_of(ValueError("Doe^Jane"))
    assert fault == Fault(Condition.INTERNAL)
    assert "Doe" not in str(fault)
    assert fault_of(BadRecord("no day")).condition is Condition.DATA_TYPE


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ""), ("20261124", "20261124000000"), ("202611240930", "20261124093000"),
        ("20261124093015.1234+0100", "20261124093015"), ('""', ""), (" 20261124 ", "20261124000000"),
    ],
)  # fmt: skip
def test_moments_are_read_as_the_clock_on_the_wall(text: str, meant: str) -> None:
    assert values.moment(text, HERE) == meant


@pytest.mark.parametrize(
    "text", ["2026", "202611", "2026112", "tomorrow", "20261301", "20260230", "2026-11-24", "9" * 15]
)
def test_what_is_no_moment_is_an_error(text: str) -> None:
    with pytest.raises(BadMessage) as caught:
        values.moment(text, HERE)
    assert (caught.value.condition, caught.value.place) == (Condition.DATA_TYPE, HERE)


@given(st.text(max_size=20))
def test_no_text_becomes_a_day_that_does_not_exist(text: str) -> None:
    try:
        found = values.day(text, HERE)
    except BadMessage:
        return
    assert found == "" or (len(found) == 8 and found.isdigit())


@pytest.mark.parametrize(
    ("amount", "unit", "minutes"),
    [("20", "", 20), ("20", "min", 20), ("600", "s", 10), ("2", "hr", 120), ("", "", 0), ("x", "", 0), ("-3", "", 0),
     ("nan", "", 0), ("1e9", "", 0)],
)  # fmt: skip
def test_durations_are_minutes(amount: str, unit: str, minutes: int) -> None:
    assert values.minutes(amount, unit) == minutes


@pytest.mark.parametrize(
    ("repetitions", "chosen"),
    [
        (["1^^^A^SS", "2^^^B^MR"], "2"),
        (["1^^^A^SS", "2^^^B"], "2"),
        (["1^^^A^SS", "2^^^B^PI", "3^^^C^MR"], "3"),
        (["1^^^A^SS"], "1"),
        (["^^^A^MR", "2^^^B^SS"], "2"),
    ],
)
def test_the_patient_id_is_chosen_by_its_type(repetitions: list[str], chosen: str) -> None:
    found = values.patient_identifier(repetitions, STANDARD)
    assert found is not None
    assert found.value == chosen


@given(st.lists(st.text(max_size=10), min_size=1, max_size=8))
def test_a_name_has_at_most_three_groups_of_five_components_whatever_it_is_made_of(parts: list[str]) -> None:
    found = values.person_name(["^".join(parts)], STANDARD)
    assert found.count("=") <= 2
    assert all(group.count("^") <= 4 for group in found.split("="))
    assert "\\" not in found


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=8), min_size=1, max_size=5))
def test_a_name_goes_out_as_it_came_in(parts: list[str]) -> None:
    name = "^".join(parts)
    (family, given_, middle, suffix, prefix, *_) = values.xpn(name)[0]
    assert values.person_name(["^".join((family, given_, middle, suffix, prefix))], STANDARD) == name


# -- character sets


@given(st.text(max_size=30), st.sampled_from(sorted(CHARSETS)))
def test_text_goes_out_in_a_character_set_that_reads_as_the_same_text(text: str, name: str) -> None:
    raw, used = charsets.encode(text, name)
    assert charsets.decode(raw, [used], name).removeprefix("\ufeff") == text.removeprefix("\ufeff")


@given(st.binary(max_size=40), st.sampled_from(["", *sorted(CHARSETS), "ISO IR6~ISO IR87~ISO IR159", "nonsense"]))
def test_bytes_are_read_or_refused_and_nothing_else(raw: bytes, declared: str) -> None:
    try:
        text = charsets.decode(raw, declared.split("~"), "UNICODE UTF-8")
    except BadMessage as error:
        assert error.place == Place("MSH", field=18)
    else:
        assert "\ufffd" not in text or b"\xef\xbf\xbd" in raw


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "iso-8859-1", "ISO8859/15", "8859/1", "iso ir 87", "ASCII"])
def test_other_spellings_are_known(name: str) -> None:
    assert charsets.term_of(name) is not None


# -- who sends


def test_sources_are_told_by_name_facility_and_address() -> None:
    named = Source(name="A", application="HIS", facility="F", addresses=("10.0.0.0/8", "::1"))
    settings = Hl7Settings(sources=(named,))
    assert source_of(settings, "HIS", "F", "10.9.9.9") is named
    assert source_of(settings, "HIS", "F", "::1") is named
    assert source_of(settings, "HIS", "F", "::ffff:10.1.1.1") is named
    for wrong in (("X", "F", "10.9.9.9"), ("HIS", "X", "10.9.9.9"), ("HIS", "F", "11.0.0.1"), ("HIS", "F", "nowhere")):
        assert source_of(settings, *wrong) is None
    anybody = source_of(Hl7Settings(allow_unknown=True), "X", "Y", "127.0.0.1")
    assert anybody is not None
    assert not anybody.merges


def test_the_digest_leaves_out_when_a_message_was_sent_and_nothing_else() -> None:
    one = b"MSH|^~\\&|A|B|C|D|20261124||ADT^A04|1|P|2.5\rPID|1||1\r"
    assert digest_of(one) == digest_of(one.replace(b"20261124", b"20261125"))
    assert digest_of(one) == digest_of(one + b"\n")
    for other in (one.replace(b"|1|P", b"|2|P"), one.replace(b"|B|", b"|X|"), one.replace(b"PID|1||1", b"PID|1||2")):
        assert digest_of(one) != digest_of(other)


# -- acknowledgements


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["2.1", "2.3", "2.5.1", "2.8", "9"]))
def test_an_acknowledgement_is_a_whole_message_whatever_the_header_said(name: str, control: str, version: str) -> None:
    from vesalius.wire.hl7_message import Message, build

    asked = parse(Message([build("MSH", {3: name, 5: name, 9: ("ADT", "A04"), 10: control, 12: version})]).text())
    fault = Fault(Condition.UNKNOWN_KEY, Place("PID", 1, 3), "nobody")
    raw = reply(asked, Ack.AE, [fault], settings=Hl7Settings(), at=AT, control_id="X1")
    answer = parse(raw.decode())
    assert [segment.name for segment in answer.segments] == ["MSH", "MSA", "ERR"]
    assert answer.value("MSA", 1) == "AE"
    assert answer.value("MSA", 2) == asked.control_id
    assert answer.msh.value(5).strip() == asked.msh.value(3).strip()


def test_a_generic_answer_is_whole_and_has_a_control_id_of_its_own() -> None:
    answer = parse(
        generic(Fault(Condition.SEGMENT_SEQUENCE, None, "no"), settings=Hl7Settings(), at=AT, control_id="X9").decode()
    )
    assert (answer.control_id, answer.value("MSA", 1), answer.value("ERR", 3)) == ("X9", "AR", "100")
