"""The oracle's own rules, each by example; wildcards also against a second, slower statement of them."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.patience import assert_within

from vesalius.model.entities import Values
from vesalius.model.matching import matches, wildcard_match
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse

NAME, DATE, TIME, ZONE, STUDY_UID = 0x00100010, 0x00080020, 0x00080030, 0x00080201, 0x0020000D
DESCRIPTION, BIRTH, MODALITIES, WEIGHT, INSTANCES = 0x00081030, 0x00100030, 0x00080061, 0x00101030, 0x00201208
REQUESTED, CODE, DESIGNATOR = 0x00321064, 0x00080100, 0x00080102
ALL = Options(combined_datetime=True, empty_value_matching=True, multiple_value_matching=True)


def asks(stored: Values, wanted: Values, options: Options = ALL) -> bool:
    return matches(stored, parse({0x00080052: ("STUDY",), **wanted}, Root.STUDY, None, options))


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_match_as_a_regular_expression_says(pattern: str, text: str) -> None:
    expected = re.fullmatch("".join({"*": ".*", "?": "."}.get(c, c) for c in pattern), text) is not None
    assert wildcard_match(pattern, text) == expected
    assert fnmatch.fnmatchcase(text, pattern) == expected


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    assert not wildcard_match("*a" * 2000 + "*b", "a" * 10_000)
    assert not wildcard_match("*?a" * 30 + "b", "a" * 10_000)
    assert_within(began, 1)


@pytest.mark.parametrize(
    ("stored", "wanted", "answer"),
    [
        ("Doe^John", "doe^john", True),
        ("Doe^John", "Doe", False),
        ("Doe", "Doe^", True),
        ("Doe^John", "do?^*", True),
        ("Doe", "doe^*", True),
        ("Yamada=山田", "山田", True),
        ("Yamada=山田", "=山*", True),
        ("Yamada=山田", "山*=", True),  # a trailing delimiter is padding
        ("Yamada=山田", "山*==x", False),
        ("=山田=やまだ", "yama*", False),
        ("Yamada=山田", "*=山田", True),
        ("=山田", "*=山田", True),
        ("Doe [1]^%_", "doe [[]*", False),
        ("Doe [1]^%_", "doe [1]^%_", True),
    ],
)
def test_names(stored: str, wanted: str, answer: bool) -> None:
    assert asks({NAME: (stored,)}, {NAME: (wanted,)}) is answer


def test_a_name_matches_by_sound_when_that_was_negotiated() -> None:
    fuzzy = Options(fuzzy_names=True)
    assert asks({NAME: ("Smith^John^Q",)}, {NAME: ("smyth^jon",)}, fuzzy)
    assert not asks({NAME: ("Smith^John",)}, {NAME: ("Smyth^Jon",)})
    assert not asks({NAME: ("Smith^John",)}, {NAME: ("Smyth^Mary",)}, fuzzy)


def test_case_matters_except_in_names() -> None:
    assert asks({DESCRIPTION: ("Head CT",)}, {DESCRIPTION: ("Head*",)})
    assert not asks({DESCRIPTION: ("Head CT",)}, {DESCRIPTION: ("head*",)})


@pytest.mark.parametrize(
    ("stored", "wanted", "answer"),
    [
        ("20200131", "20200131", True),
        ("2020.01.31", "20200131", True),
        ("20200131", "20200101-20200131", True),
        ("20200131", "-20200130", False),
        ("20200131", "20200131-", True),
        ("20201301", "20200101-", False),
        ("", "20200101-", False),
    ],
)
def test_dates(stored: str, wanted: str, answer: bool) -> None:
    assert asks({DATE: (stored,) if stored else ()}, {DATE: (wanted,)}) is answer


@pytest.mark.parametrize(
    ("stored", "wanted", "answer"),
    [
        ("103000.25", "103000", True),
        ("1030", "10", True),
        ("105959.999", "09-10", True),
        ("110000", "09-10", False),
        ("10:30:00", "1030", True),
        ("noon", "00-23", False),
    ],
)
def test_times_are_as_wide_as_they_are_precise(stored: str, wanted: str, answer: bool) -> None:
    assert asks({TIME: (stored,)}, {TIME: (wanted,)}) is answer


def test_a_date_and_a_time_are_one_span_only_when_negotiated() -> None:
    wanted: Values = {DATE: ("20200101-20200103",), TIME: ("1800-0800",)}
    inside, outside = {DATE: ("20200102",), TIME: ("1200",)}, {DATE: ("20200101",), TIME: ("1200",)}
    assert asks(inside, wanted)
    assert not asks(outside, wanted)
    apart: Values = {DATE: ("20200101-20200103",), TIME: ("0800-1000",)}
    assert not asks(inside, apart, Options())
    assert asks(inside, apart)


def test_dates_and_times_are_read_in_the_zone_of_the_question() -> None:
    stored: Values = {DATE: ("20200101",), TIME: ("233000",), ZONE: ("-0500",)}  # 04:30 UTC of the 2nd
    assert asks(stored, {DATE: ("20200102",), ZONE: ("+0100",)})
    assert not asks(stored, {DATE: ("20200101",), ZONE: ("+0100",)})
    assert asks(stored, {DATE: ("20200101",)})
    assert asks(stored, {TIME: ("05-06",), ZONE: ("+0100",)})
    assert asks({**stored, ZONE: ()}, {DATE: ("20200101",), ZONE: ("+0100",)})


def test_numbers_match_by_value() -> None:
    assert asks({INSTANCES: ("7",)}, {INSTANCES: ("+07",)})
    assert asks({WEIGHT: ("70.50",)}, {WEIGHT: ("70.5",)})


def test_any_of_several_values_matches() -> None:
    assert asks({MODALITIES: ("CT", "SR")}, {MODALITIES: ("SR",)})
    assert asks({MODALITIES: ("CT", "SR")}, {MODALITIES: ("M*", "C?")})
    assert not asks({MODALITIES: ("CT", "SR")}, {MODALITIES: ("T*S",)})


def test_what_is_empty_matches_only_everything_or_the_question_for_nothing() -> None:
    assert asks({DESCRIPTION: ()}, {DESCRIPTION: ()})
    assert asks({DESCRIPTION: ()}, {DESCRIPTION: ("*",)})
    assert not asks({DESCRIPTION: ()}, {DESCRIPTION: ("*x",)})
    assert asks({DESCRIPTION: ()}, {DESCRIPTION: ('""',)})
    assert not asks({DESCRIPTION: ("x",)}, {DESCRIPTION: ('""',)})
    assert asks({DESCRIPTION: ('""',)}, {DESCRIPTION: ('""',)}, Options())


def test_one_item_must_match_every_key_of_a_sequence() -> None:
    stored: Values = {REQUESTED: ({CODE: ("A",), DESIGNATOR: ("X",)}, {CODE: ("B",), DESIGNATOR: ("Y",)})}
    assert asks(stored, {REQUESTED: ({CODE: ("B",), DESIGNATOR: ("Y",)},)})
    assert not asks(stored, {REQUESTED: ({CODE: ("A",), DESIGNATOR: ("Y",)},)})
    assert asks(stored, {REQUESTED: ({CODE: ()},)})
    assert asks(stored, {REQUESTED: ()})
