"""What was met before is taken in one step: faster, and never another header."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.data import need_shared_data
from tests.support.elements import dicom_files, explicit, implicit, item, split_part10

from vesalius.model import elements_runs
from vesalius.model.elements import Header, HeaderLimits, read_header
from vesalius.model.elements_runs import MOST_RUNS, MOST_SEQUENCES, Run, runs_of
from vesalius.model.encodings import Mode
from vesalius.model.errors import CannotUnderstand, LimitExceeded, VesaliusError
from vesalius.standard.transfer_syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

PATIENT = (
    explicit(0x00100010, "PN", b"Doe^J "),
    explicit(0x00100020, "LO", b"ID"),
    explicit(0x00100030, "DA", b"19700101"),
    explicit(0x00100040, "CS", b"F "),
)
PIXELS = explicit(0x7FE00010, "OW", b"\0\0")
PLACE = (explicit(0x00200013, "IS", b"1 "), explicit(0x00200011, "IS", b"3 "), explicit(0x00201041, "DS", b"-151.25 "))


@pytest.fixture(autouse=True)
def nothing_met() -> Iterator[None]:
    runs_of.cache_clear()
    yield
    runs_of.cache_clear()


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many elements each run that was tried has proved."""
    proved: list[int] = []
    made = Run.__init__

    def make(self: Run, *args: object) -> None:
        made(self, *args)  # type: ignore[arg-type]
        inner = self.unpack

        def unpack(buffer: bytes, pos: int) -> tuple[bytes, ...]:
            fields: tuple[bytes, ...] = inner(buffer, pos)
            proved.append(self.proved(fields[::2]))
            return fields

        self.unpack = unpack

    monkeypatch.setattr(Run, "__init__", make)
    return proved


def outcome(data: bytes, syntax: str, limits: HeaderLimits) -> Header | tuple[type, str, tuple[int, ...]]:
    try:
        return read_header(data, syntax, limits)
    except VesaliusError as error:
        return type(error), error.message, tuple(error.offending)


def test_a_run_is_taken_in_one_step_when_it_comes_for_the_third_time(unpacked: list[int]) -> None:
    data = b"".join(PATIENT) + PIXELS
    headers = [read_header(data, EXPLICIT_LE) for _ in range(3)]
    assert unpacked == [4]
    assert headers[0] == headers[1] == headers[2]
    assert list(headers[2].elements) == [0x00100010, 0x00100020, 0x00100030, 0x00100040]


def test_values_are_those_of_this_data_set_and_not_of_the_one_met_before(unpacked: list[int]) -> None:
    data = b"".join(PATIENT) + PIXELS
    for _ in range(2):
        read_header(data, EXPLICIT_LE)
    other = read_header(data.replace(b"Doe^J ", b"Roe^K ").replace(b"ID", b"XY"), EXPLICIT_LE)
    assert unpacked == [4]
    assert (other.text(0x00100010), other.text(0x00100020)) == ("Roe^K", "XY")


def test_another_length_ends_the_run_and_the_rest_is_learnt_as_a_run_of_its_own(unpacked: list[int]) -> None:
    rest = (*PATIENT[2:], *(explicit(0x00100000 + tag, "LO", b"text") for tag in (0x1000, 0x1040, 0x2110)), PIXELS)
    usual, longer = b"".join(PATIENT[:2] + rest), b"".join((PATIENT[0], explicit(0x00100020, "LO", b"ID123456"), *rest))
    for _ in range(2):
        read_header(usual, EXPLICIT_LE)
    first, second, third = (read_header(longer, EXPLICIT_LE) for _ in range(3))
    assert first == second == third
    assert third.text(0x00100020) == "ID123456"
    assert third.text(0x00102110) == "text"
    assert unpacked == [1, 1, 1, 5], "one element of the old run each time, and in the end the rest in one step"


def test_the_same_head_with_another_vr_is_not_the_same_element() -> None:
    for _ in range(3):
        read_header(b"".join(PATIENT) + PIXELS, EXPLICIT_LE)
    data = b"".join((PATIENT[0], explicit(0x00100020, "SH", b"ID"), *PATIENT[2:]))
    header = read_header(data, EXPLICIT_LE)
    assert header.elements[0x00100020] == ("SH", b"ID")
    assert [(note.code, note.tag) for note in header.notes] == [("vr-mismatch", 0x00100020)]


def test_what_is_out_of_order_is_noted_each_time() -> None:
    data = b"".join(PLACE)
    notes = [[(note.code, note.tag) for note in read_header(data, EXPLICIT_LE).notes] for _ in range(4)]
    assert notes == [[("tag-order", 0x00200011)]] * 4


def test_a_run_that_comes_a_second_time_in_one_data_set_is_refused_as_ever() -> None:
    for _ in range(3):
        read_header(b"".join(PATIENT) + PIXELS, EXPLICIT_LE)
    with pytest.raises(CannotUnderstand, match="occurs twice"):
        read_header(b"".join(PATIENT * 2), EXPLICIT_LE)


def test_a_run_that_is_cut_off_is_refused_as_ever() -> None:
    data = b"".join(PATIENT) + PIXELS
    for _ in range(3):
        read_header(data, EXPLICIT_LE)
    for cut in range(1, len(data)):
        warm = outcome(data[:cut], EXPLICIT_LE, HeaderLimits())
        runs_of.cache_clear()
        assert warm == outcome(data[:cut], EXPLICIT_LE, HeaderLimits())
        for _ in range(2):
            read_header(data, EXPLICIT_LE)


def test_encodings_and_limits_do_not_share_what_was_met() -> None:
    small = HeaderLimits(value_bytes=4)
    data = b"".join(implicit(0x00100000 + tag, b"12345678") for tag in (0x10, 0x20, 0x30, 0x40))
    for _ in range(3):
        assert len(read_header(data, IMPLICIT_LE).elements) == 4
    assert read_header(data, IMPLICIT_LE, small).skipped.keys() == {0x00100010, 0x00100020, 0x00100030, 0x00100040}
    big = b"".join(explicit(0x00100000 + tag, "LO", b"12345678", order=">") for tag in (0x20, 0x1000, 0x1001, 0x2110))
    for _ in range(3):
        assert list(read_header(big, EXPLICIT_BE).elements) == [0x00100020, 0x00101000, 0x00101001, 0x00102110]


def nest(levels: int) -> bytes:
    data = explicit(0x00080100, "SH", b"CODE")
    for _ in range(levels):
        data = explicit(0x00081140, "SQ", item(data))
    return data


def test_a_sequence_that_was_met_before_is_held_without_another_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    data = nest(3)
    first = read_header(data, EXPLICIT_LE)
    monkeypatch.setattr("vesalius.model.elements_walk.Nest.begin", None)  # walking it would fail
    assert read_header(data, EXPLICIT_LE) == first
    assert first.items(0x00081140)[0][0x00081140]


def test_a_sequence_counts_against_the_limits_whether_met_before_or_not() -> None:
    code = item(explicit(0x00080100, "SH", b"CODE"))
    data = explicit(0x00081110, "SQ", code * 4) + explicit(0x00081140, "SQ", code * 4)
    limits = HeaderLimits(elements=13)
    for _ in range(3):
        with pytest.raises(LimitExceeded, match="too many elements"):
            read_header(data, EXPLICIT_LE, limits)


def test_a_sequence_is_as_deep_as_the_limits_of_its_reader_allow() -> None:
    data = nest(6)
    for _ in range(2):
        read_header(data, EXPLICIT_LE)
    with pytest.raises(CannotUnderstand, match="nested too deep"):
        read_header(data, EXPLICIT_LE, HeaderLimits(depth=4))


def test_what_is_kept_has_a_bound_whatever_is_sent() -> None:
    runs = runs_of(Mode.EXPLICIT_LE, HeaderLimits().value_bytes, HeaderLimits().depth)
    for number in range(3 * MOST_RUNS):
        head = explicit(0x00100010, "PN", b"x" * (2 * (number % 30000)))
        code = explicit(0x00081140, "SQ", item(explicit(0x00080100, "SH", b"%08d" % number)))
        for _ in range(2):
            read_header(code + head + b"".join(PATIENT[1:]), EXPLICIT_LE)
    assert len(runs._runs) <= MOST_RUNS
    assert len(runs._sequences) <= MOST_SEQUENCES


def test_every_real_file_has_the_same_header_whatever_was_met_before() -> None:
    """Read in order, twice: each time as from nothing."""
    real = [(syntax or IMPLICIT_LE, data) for _, (syntax, data) in
            ((name, split_part10(file)) for name, file in dicom_files(need_shared_data()))]  # fmt: skip
    limits = HeaderLimits()
    cold = []
    for syntax, data in real:
        runs_of.cache_clear()
        cold.append(outcome(data, syntax, limits))
    runs_of.cache_clear()
    for _ in range(2):
        for (syntax, data), expected in zip(real, cold, strict=True):
            warm = outcome(data, syntax, limits)
            assert warm == expected
            if isinstance(warm, Header) and isinstance(expected, Header):
                assert list(warm.elements) == list(expected.elements)
    assert len(elements_runs.runs_of(Mode.EXPLICIT_LE, limits.value_bytes, limits.depth)._runs) > 50
