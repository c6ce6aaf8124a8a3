"""From identifiers to questions: what is understood, what is refused, and with which tag (bad-input D17 to D20)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.model.attributes import ATTRIBUTES, BY_TAG
from vesalius.model.entities import Level, Values
from vesalius.model.errors import IdentifierMismatch, LimitExceeded, UnableToProcess
from vesalius.model.query import (
    DateTimeRange,
    IsEmpty,
    ItemMatches,
    OneOf,
    Options,
    Range,
    Root,
    SoundsLike,
    Wildcard,
)
from vesalius.model.query_parser import parse

LEVEL, PATIENT_ID, NAME, STUDY_UID, SERIES_UID, SOP_UID = (
    0x00080052,
    0x00100020,
    0x00100010,
    0x0020000D,
    0x0020000E,
    0x00080018,
)
DATE, TIME, ACCESSION, MODALITY = 0x00080020, 0x00080030, 0x00080050, 0x00080060


def study(**_: object) -> Values:
    return {LEVEL: ("STUDY",)}


def condition(tag: int, *values: str, options: Options = Options()) -> object:  # noqa: B008 - frozen
    return dict(parse({LEVEL: ("STUDY",), tag: values}, Root.STUDY, None, options).conditions).get(tag)


@pytest.mark.parametrize("sent", [(), ("",), ("PLANET",), ("STUDY", "SERIES"), ("study",)])
def test_a_level_that_is_missing_or_unknown_is_refused(sent: tuple[str, ...]) -> None:
    with pytest.raises(IdentifierMismatch) as refused:
        parse({LEVEL: sent}, Root.STUDY)
    assert refused.value.offending == (LEVEL,)


@pytest.mark.parametrize(
    ("root", "level"),
    [(Root.STUDY, "PATIENT"), (Root.PATIENT_STUDY_ONLY, "SERIES"), (Root.PATIENT_STUDY_ONLY, "IMAGE")],
)
def test_a_level_that_the_model_does_not_have_is_refused(root: Root, level: str) -> None:
    with pytest.raises(IdentifierMismatch):
        parse({LEVEL: (level,)}, root)


@pytest.mark.parametrize(
    ("root", "level", "keys", "missing"),
    [
        (Root.PATIENT, "STUDY", {}, PATIENT_ID),
        (Root.PATIENT, "STUDY", {PATIENT_ID: ("P*",)}, PATIENT_ID),
        (Root.PATIENT, "SERIES", {PATIENT_ID: ("P",)}, STUDY_UID),
        (Root.STUDY, "SERIES", {}, STUDY_UID),
        (Root.STUDY, "SERIES", {STUDY_UID: ("1.2", "1.3")}, STUDY_UID),
        (Root.STUDY, "IMAGE", {STUDY_UID: ("1.2",), SERIES_UID: ()}, SERIES_UID),
    ],
)
def test_hierarchical_questions_name_every_level_above(root: Root, level: str, keys: Values, missing: int) -> None:
    with pytest.raises(IdentifierMismatch) as refused:
        parse({LEVEL: (level,), **keys}, root)
    assert refused.value.offending == (missing,)
    assert parse({LEVEL: (level,), **keys}, root, None, Options(relational=True)).level is Level[level]


def test_every_answer_holds_the_unique_keys_down_to_its_level() -> None:
    query = parse({LEVEL: ("IMAGE",)}, Root.PATIENT, None, Options(relational=True))
    assert {PATIENT_ID, STUDY_UID, SERIES_UID, SOP_UID} <= query.returns
    assert PATIENT_ID not in parse({LEVEL: ("STUDY",)}, Root.STUDY).returns


def test_keys_that_are_unknown_or_below_the_level_are_named() -> None:
    query = parse({LEVEL: ("STUDY",), MODALITY: ("CT",), 0x00091001: ("x",), 0x00080000: ("4",)}, Root.STUDY)
    assert query.unsupported == (MODALITY, 0x00091001)
    assert query.conditions == ()


def test_keys_below_the_level_match_where_relational_queries_are_negotiated() -> None:
    relational = Options(relational=True)
    keys: Values = {LEVEL: ("STUDY",), MODALITY: ("CT",), SOP_UID: ("1.2.3", "1.2.4"), 0x0008103E: ("*",), DATE: ()}
    query = parse(keys, Root.STUDY, None, relational)
    assert dict(query.conditions) == {MODALITY: OneOf(("CT",)), SOP_UID: OneOf(("1.2.3", "1.2.4"))}
    assert query.returns == {STUDY_UID, DATE}, "an answer holds nothing from below its level"
    assert query.unsupported == (0x0008103E,), "what matches everything is only asked for"
    assert parse(keys, Root.STUDY).unsupported == (MODALITY, SOP_UID, 0x0008103E)
    only_asked = parse({LEVEL: ("STUDY",), MODALITY: (), SERIES_UID: ("",), SOP_UID: ()}, Root.STUDY, None, relational)
    assert only_asked.unsupported == (MODALITY, SERIES_UID, SOP_UID)


def test_keys_below_the_level_are_read_as_strictly_as_any() -> None:
    with pytest.raises(UnableToProcess) as refused:
        parse({LEVEL: ("STUDY",), SERIES_UID: ("1.2.x",)}, Root.STUDY, None, Options(relational=True))
    assert refused.value.offending == (SERIES_UID,)


def test_keys_of_levels_that_the_model_lacks_are_named() -> None:
    keys: Values = {LEVEL: ("PATIENT",), STUDY_UID: ("1.2",), MODALITY: ("CT",)}
    query = parse(keys, Root.PATIENT_STUDY_ONLY, None, Options(relational=True))
    assert dict(query.conditions) == {STUDY_UID: OneOf(("1.2",))}
    assert query.unsupported == (MODALITY,)


def test_a_sequence_below_the_level_matches_and_is_not_answered() -> None:
    keys: Values = {LEVEL: ("STUDY",), 0x00400275: ({0x00401001: ("RP1",), 0x00400009: ()},)}
    query = parse(keys, Root.STUDY, None, Options(relational=True))
    assert dict(query.conditions) == {0x00400275: ItemMatches(((0x00401001, OneOf(("RP1",))),))}
    assert query.item_returns == ()
    assert query.unsupported == ()


def test_the_kind_of_matching_follows_from_value_and_vr() -> None:
    assert condition(ACCESSION) is None
    assert condition(ACCESSION, "*") is None
    assert condition(ACCESSION, " A1 ") == OneOf(("A1",))
    assert condition(ACCESSION, "A**1") == Wildcard(("A*1",))
    assert condition(NAME, "DOE^JANE^^") == OneOf(("doe^jane",))
    assert condition(NAME, "Doe*") == Wildcard(("doe*",))
    assert condition(NAME, "Doe", options=Options(fuzzy_names=True)) == SoundsLike(("T",))
    assert condition(NAME, "Do*", options=Options(fuzzy_names=True)) == Wildcard(("do*",))
    assert condition(STUDY_UID, "1.2", "1.3", "1.2") == OneOf(("1.2", "1.3"))
    assert condition(DATE, "20200101-") == Range("20200101", None)
    assert condition(DATE, "2020.01.01") == Range("20200101", "20200101")
    assert condition(TIME, "10") == Range("100000.000000", "105959.999999")
    assert condition(0x00201208, "007") == OneOf(("7",))
    assert condition(ACCESSION, '""', options=Options(empty_value_matching=True)) == IsEmpty()
    assert condition(ACCESSION, '""') == OneOf(('""',))


def test_a_sequence_key_asks_one_item() -> None:
    code = 0x00080100
    query = parse({LEVEL: ("STUDY",), 0x00081032: ({code: ("X*",), 0x00080104: (), 0x00091001: ("?",)},)}, Root.STUDY)
    assert dict(query.conditions)[0x00081032] == ItemMatches(((code, Wildcard(("X*",))),))
    assert query.item_returns == ((0x00081032, frozenset((code, 0x00080104))),)
    assert query.unsupported == (0x00091001,)
    with pytest.raises(UnableToProcess):
        parse({LEVEL: ("STUDY",), 0x00081032: ({}, {})}, Root.STUDY)
    with pytest.raises(UnableToProcess):
        parse({LEVEL: ("STUDY",), ACCESSION: ({},)}, Root.STUDY)


def test_a_pair_of_ranges_is_one_span_when_negotiated() -> None:
    values: Values = {LEVEL: ("STUDY",), DATE: ("20200101-20200102",), TIME: ("22-06",)}
    query = parse(values, Root.STUDY, None, Options(combined_datetime=True))
    assert query.conditions == ((DATE, DateTimeRange(DATE, TIME, "20200101220000.000000", "20200102065959.999999")),)
    with pytest.raises(UnableToProcess):
        parse(values, Root.STUDY)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (DATE, "20200201-20200101"),
        (DATE, "20201301"),
        (DATE, "202001*"),
        (DATE, "-"),
        (DATE, "20200101-20200102-20200103"),
        (TIME, "2500"),
        (TIME, "22-01"),
        (STUDY_UID, "1.2.x"),
        (STUDY_UID, "1" * 65),
        (STUDY_UID, "1.2.*"),
        (0x00201208, "many"),
        (0x00101030, "heavy"),
        (0x00080201, "CET"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_its_tag(tag: int, value: str) -> None:
    with pytest.raises(UnableToProcess) as refused:
        parse({LEVEL: ("STUDY",), tag: (value,)}, Root.STUDY)
    assert refused.value.offending == (tag,)
    assert value not in refused.value.message


def test_a_hundred_thousand_uids_are_understood() -> None:
    uids = tuple(f"1.2.{number}" for number in range(100_000))
    assert condition(STUDY_UID, *uids) == OneOf(uids)


@pytest.mark.parametrize("tag", [NAME, ACCESSION])
def test_ten_thousand_wildcards_are_too_many(tag: int) -> None:
    for values in (("*a" * 10_000,), ("?" * 10_000,), tuple(f"{number}*" for number in range(10_000))):
        with pytest.raises(LimitExceeded):
            parse({LEVEL: ("STUDY",), tag: values}, Root.STUDY)


_VALUE = st.one_of(
    st.tuples(st.text(max_size=12)),
    st.tuples(st.sampled_from(["*", "a*", "20200101-", "1.2.3", "12", '""', "Doe^*", "=", "^", "-", "+0100"])),
    st.just(()),
    st.tuples(st.dictionaries(st.sampled_from([0x00080100, 0x00080102, 0x00400008]), st.tuples(st.text(max_size=5)))),
)


@given(st.dictionaries(st.sampled_from([row.tag for row in ATTRIBUTES]), _VALUE, max_size=4), st.booleans())
def test_whatever_is_sent_is_a_question_or_a_named_refusal(values: Values, everything: bool) -> None:
    options = Options(*(everything,) * 6)
    try:
        query = parse({**values, LEVEL: ("IMAGE",)}, Root.PATIENT, None, options)
    except (IdentifierMismatch, UnableToProcess) as refused:
        assert refused.offending
    except LimitExceeded:
        pass
    else:
        assert query.returns <= BY_TAG.keys()
