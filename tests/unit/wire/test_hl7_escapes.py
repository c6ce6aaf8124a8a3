"""Escape sequences: what is written is read again, and nothing read is ever structure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.wire.hl7_escapes import STANDARD, Delimiters, decode, encode
from vesalius.wire.hl7_message import Message, Segment, build, parse

OTHER = Delimiters("#", "@", "*", "!", "%")


@given(st.text(), st.sampled_from([STANDARD, OTHER]))
def test_text_is_read_as_it_was_written(text: str, delimiters: Delimiters) -> None:
    written = encode(text, delimiters)
    assert decode(written, delimiters) == text
    structure = {delimiters.field, delimiters.component, delimiters.repetition, delimiters.subcomponent}
    assert not set(written.replace(delimiters.escape, "")) & (structure | set("\r\n\x0b\x1c"))


@given(st.text(), st.text())
def test_no_text_adds_a_segment_or_a_field_to_a_message(first: str, second: str) -> None:
    msh = build("MSH", {1: "", 9: ("ADT", "A01"), 10: "1"})
    made = Message([msh, build("PID", {5: (first, second), 8: "F"})])
    read = parse(made.text())
    assert [segment.name for segment in read.segments] == ["MSH", "PID"]
    assert read.value("PID", 8) == "F"
    assert (read.value("PID", 5, 1), read.value("PID", 5, 2)) == (first, second)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"line\.br\next", "line\nnext"),
        (r"\.sp2\x", "\n\nx"),
        (r"\H\loud\N\ quiet", "loud quiet"),
        (r"\X0D\PID", "\rPID"),
        (r"\X0d0A\x", "\r\nx"),
        (r"\XC3A9\t\XE9\ ", "é" + "té "),
        (r"a\Zxx\b", r"a\Zxx\b"),
        (r"a\Z1\F\E\b", r"a\Z1\F" + "\\b"),
        (r"\C2842\x", r"\C2842\x"),
        ("C:\\temp", "C:\\temp"),
        ("C:\\temp\\x", "C:\\temp\\x"),
        ("\\", "\\"),
        (r"\\F\x", "\\|x"),
        ("", ""),
    ],
)
def test_each_kind_of_sequence_means_what_the_standard_says_or_stays(written: str, meant: str) -> None:
    assert decode(written) == meant


def test_the_delimiters_are_those_of_the_message() -> None:
    assert decode("a!F!b!S!c!T!", OTHER) == "a#b@c%"
    assert decode(r"a\F\b", OTHER) == r"a\F\b"


def test_without_an_escape_character_nothing_is_decoded_and_nothing_written() -> None:
    none = Delimiters(escape="", subcomponent="")
    assert decode(r"a\F\b", none) == r"a\F\b"
    with pytest.raises(ValueError):
        encode("a|b", none)


def test_a_value_that_decodes_to_delimiters_is_not_cut_again() -> None:
    segment = Segment("PID", ["", "", "", "", r"A\S\B\R\C\F\D^E"])
    assert segment.value(5) == "A^B~C|D"
    assert segment.value(5, 2) == "E"
