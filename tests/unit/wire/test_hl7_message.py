"""Messages: cut as the standard and reality write them, bounded, and the same as two other libraries read."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from typing import Any

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hl7_data import REAL, real_text

from vesalius.standard.hl7_tables import Condition
from vesalius.wire.hl7_message import (
    BadMessage,
    Message,
    MessageLimits,
    build,
    lines_of,
    parse,
    repeated,
)

HEAD = "MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5"


def _bad(text: str, limits: MessageLimits | None = None) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        parse(text, limits) if limits else parse(text)
    return caught.value


def test_values_are_found_by_their_place() -> None:
    message = parse(HEAD + "\rPID|1||12^^^H&1.2.3&ISO^MR~34^^^S||Doe&van^Jane|||F\rOBX|1\rOBX|2|ST\r")
    pid = message.all("PID")[0]
    assert pid.value(3) == "12"
    assert pid.value(3, 4) == "H"
    assert pid.value(3, 4, 2) == "1.2.3"
    assert pid.value(3, 1, repetition=2) == "34"
    assert (pid.value(5), pid.value(5, 1, 2), pid.value(5, 2)) == ("Doe", "van", "Jane")
    assert (pid.value(3, 9), pid.value(99), pid.value(3, 1, 5), pid.value(3, repetition=9)) == ("", "", "", "")
    assert [segment.occurrence for segment in message.all("OBX")] == [1, 2]
    assert str(message.all("OBX")[1].place(5, 2)) == "OBX(2)-5.2"
    assert (message.type, message.event, message.control_id) == ("ADT", "A01", "1")
    assert message.msh.value(1) == "|"
    assert message.msh.value(2) == "^~\\&"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r", "\n\n", "\r\n\r\n", "  \r", "\n\r"])
def test_every_end_of_a_segment_that_occurs_is_read(end: str) -> None:
    message = parse(end.join([HEAD, "PID|1||12", "PV1|1|I", ""]))
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "PV1"]
    assert message.value("PV1", 2) == "I"


def test_a_line_feed_inside_a_segment_of_a_message_with_cr_is_text_and_makes_no_segment() -> None:
    message = parse(HEAD + "\rNTE|1||two\nPID|9||666\rPID|1||12\r")
    assert [segment.name for segment in message.segments] == ["MSH", "NTE", "PID"]
    assert message.value("PID", 3) == "12"
    assert message.value("NTE", 3) == "two\nPID"
    assert message.value("NTE", 5) == ""
    assert message.value("NTE", 4) == "9"


def test_msh_inside_a_field_is_text() -> None:
    """Mount Sinai Hospital calls itself MSH (L11)."""
    message = parse("MSH|^~\\&|MSH|MSH|X|MSH|2026||ADT^A01|MSH|P|2.3\rPV1|1|O|MSH||MSH|MSH^MSH\r")
    assert len(message.segments) == 2
    assert message.control_id == "MSH"
    assert message.value("PV1", 6, 2) == "MSH"


@pytest.mark.parametrize(
    "text",
    [
        "", "M", "MSH", "MSH|", "MSH|^~\\", "PID|1||12\rMSH|^~\\&|", "<xml/>", "MSH|||||||||||||", "MSH^^~\\&^a^b",
        "MSHa^~\\&a", "MSH |^~\\&|", "MSH||~\\&|a", "MSH|^^\\&|a|b", "MSH|^~\\&#$!|a", "MSH|é~\\&|a",
    ],
)  # fmt: skip
def test_what_does_not_begin_with_a_header_is_no_message(text: str) -> None:
    assert _bad(text).condition in (Condition.SEGMENT_SEQUENCE, Condition.DATA_TYPE)


def test_other_delimiters_than_the_usual_are_taken_from_the_header() -> None:
    message = parse("MSH#@*!%#A#B#C#D#2026##ADT@A01#7#P#2.5\rPID#1##1@2@3@H%o*9#x#Doe!S!a@J\r")
    assert message.event == "A01"
    assert message.value("PID", 3, 4, 2) == "o"
    assert message.value("PID", 5) == "Doe@a"
    assert message.all("PID")[0].value(3, repetition=2) == "9"


@pytest.mark.parametrize("line", ["pid|1", "PI", "PIDX1", "|||", "12345", "MSH|^~\\&|again", "\x01\x02\x03"])
def test_a_line_that_is_no_segment_is_refused(line: str) -> None:
    assert _bad(f"{HEAD}\r{line}\r").condition is Condition.SEGMENT_SEQUENCE


@pytest.mark.parametrize("control", ["\x0b", "\x1c"])
def test_framing_characters_inside_are_refused(control: str) -> None:
    assert _bad(f"{HEAD}\rPID|1||12{control}MSH|^~\\&|\r").condition is Condition.DATA_TYPE


def test_limits_hold_and_say_where() -> None:
    limits = MessageLimits(segments=3, fields=20, repetitions=4, field_chars=50)
    assert _bad(HEAD + "\r" + "OBX|1\r" * 3, limits).condition is Condition.DATA_TYPE
    assert str(_bad(f"{HEAD}\rPID|" + "|" * 20, limits).place) == "PID"
    assert str(_bad(f"{HEAD}\rPID|1||" + "a~" * 4, limits).place) == "PID-3"
    assert str(_bad(f"{HEAD}\rPID|1|" + "x" * 51, limits).place) == "PID-2"
    assert parse(f"{HEAD}\rPID|1|{'x' * 50}|a~b~c~d\r", limits).value("PID", 2) == "x" * 50


def test_a_message_with_a_hundred_thousand_repetitions_is_refused_at_once() -> None:
    assert str(_bad(f"{HEAD}\rPID|1||" + "a~" * 100_000).place) == "PID-3"
    assert _bad(f"{HEAD}\rNTE|1||" + "x" * (10 << 20)).condition is Condition.DATA_TYPE


values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=12)
components = st.lists(values, min_size=1, max_size=4)
fields = st.dictionaries(st.integers(1, 12), st.lists(components, min_size=1, max_size=3), max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["PID", "OBX", "ZZ9"]), fields), max_size=4))
def test_what_is_built_is_read_again(segments: list[tuple[str, dict[int, list[list[str]]]]]) -> None:
    made = [build("MSH", {1: "", 9: ("ADT", "A01"), 10: "1"})]
    made += [build(name, {at: repeated(reps) for at, reps in told.items()}) for name, told in segments]
    read = parse(Message(made).text())
    assert len(read.segments) == len(made)
    for segment, (_, told) in zip(read.segments[1:], segments, strict=True):
        for at, reps in told.items():
            for number, parts in enumerate(reps, 1):
                for position, value in enumerate(parts, 1):
                    found = segment.value(at, position, repetition=number)
                    assert found == value or (found, value.strip(" ")) == (value.rstrip(" "), found)


# -- oracles -----------------------------------------------------------------------------------------------------------


def _ours(text: str) -> list[list[str]]:
    return [[segment.name, *segment.raw] for segment in parse(text).segments]


def _theirs(text: str) -> list[list[str]]:
    """As python-hl7 reads it, field by field as written."""
    parsed: Any = hl7.parse("\r".join(lines_of(text.removeprefix("\ufeff"))) + "\r")
    found = []
    for segment in parsed:
        fields = [str(field) for field in segment]
        found.append([fields[0], *fields[1:]])
    return found


@pytest.mark.parametrize("name", REAL)
def test_real_messages_are_cut_as_python_hl7_cuts_them(name: str) -> None:
    text = real_text(name)
    assert _ours(text) == _theirs(text)


@pytest.mark.parametrize("name", REAL)
def test_every_component_of_real_messages_is_what_python_hl7_finds(name: str) -> None:
    text = real_text(name)
    message = parse(text)
    parsed: Any = hl7.parse("\r".join(lines_of(text.removeprefix("\ufeff"))) + "\r")
    compared = 0
    for segment, other in zip(message.segments, parsed, strict=True):
        if segment.name == "MSH":
            continue
        for number in range(1, len(segment.raw) + 1):
            for repetition, written in enumerate(segment.repetitions(number), 1):
                for component in range(1, written.count("^") + 2):
                    found = segment.value(number, component, repetition=repetition)
                    try:
                        expected = other.extract_field(1, number, repetition, component, 1)
                    except LookupError:
                        expected = ""
                    if "\\" not in written:
                        assert found == (expected or "").rstrip(" ") or found == (expected or "")
                        compared += 1
    assert compared > 10


@pytest.mark.parametrize("name", REAL)
def test_real_messages_are_cut_as_hl7apy_cuts_them(name: str) -> None:
    from hl7apy.parser import parse_message

    text = real_text(name).removeprefix("\ufeff")
    message = parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            other = parse_message("\r".join(lines_of(text)) + "\r", find_groups=False, force_validation=False)
        except Exception as error:
            pytest.skip(f"hl7apy does not read it: {type(error).__name__}")
    segments = [segment for segment in other.children if segment.name]
    assert [segment.name for segment in segments] == [segment.name for segment in message.segments]
    for ours, theirs in zip(message.segments, segments, strict=True):
        raw = ours.raw[1:] if ours.name == "MSH" else ours.raw
        kept, written = _leaves(theirs.to_er7()), _leaves("|".join([ours.name, *raw]))
        assert not kept - written
        assert (written - kept).total() <= 3, "its tables leave out what a version does not have any more"


def _leaves(line: str) -> Counter[str]:
    """All values of a segment: hl7apy puts withdrawn fields to the end and reads numbers as numbers."""
    found = (leaf.strip() for leaf in re.split(r"[|~^&]", line))
    return Counter(leaf.lstrip("0") if leaf.isdigit() else leaf for leaf in found if leaf)


@given(st.lists(st.tuples(st.sampled_from(["PID", "OBX", "NTE"]), fields), min_size=1, max_size=3))
def test_generated_messages_are_read_by_python_hl7_as_they_were_meant(
    segments: list[tuple[str, dict[int, list[list[str]]]]],
) -> None:
    made = [build("MSH", {1: "", 9: ("ADT", "A01"), 10: "1", 12: "2.5"})]
    made += [build(name, {at: repeated(reps) for at, reps in told.items()}) for name, told in segments]
    text = Message(made).text()
    assert _ours(text) == _theirs(text)
