"""What clients say that they take, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.web.errors import Problem
from vesalius.web.negotiation import (
    MediaType,
    choose,
    choose_encoding,
    flag,
    number,
    parse_content_type,
    parse_media_types,
    single,
    weight_of,
)

JSON, XML = "application/dicom+json", 'multipart/related; type="application/dicom+xml"'


def test_media_types_are_read_with_their_parameters() -> None:
    text = 'multipart/related; Type="application/dicom";transfer-syntax=1.2.840.10008.1.2.4.50; q=0.5, */*;q=0'
    one, anything = parse_media_types(text)
    assert (one.essence, one.part_type, one.q) == ("multipart/related", "application/dicom", 0.5)
    assert one.transfer_syntax == "1.2.840.10008.1.2.4.50"
    assert anything == MediaType("*", "*", (), 0.0)
    assert parse_media_types('a/b; c="d\\"e, f;g"; transfer-syntax=*')[0].get("c") == 'd"e, f;g'
    assert parse_media_types("multipart/related; type=application/dicom")[0].part_type == "application/dicom"
    assert parse_media_types("") == () == parse_media_types(" , ,")


@pytest.mark.parametrize(
    "text", ["a", "a/", "/b", "a/b c/d", "a/b;q=2", "a/b;q=x", "a/b;q=-1", "*/b", 'a/b;c="d', "a b/c", "a/b" * 5000]
)
def test_a_broken_accept_header_is_400(text: str) -> None:
    with pytest.raises(Problem) as found:
        parse_media_types(text)
    assert found.value.status == 400


@given(st.text(max_size=200))
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    try:
        ranges = parse_media_types(text)
    except Problem as problem:
        assert problem.status == 400
    else:
        assert all(0 <= one.q <= 1 for one in ranges)
    choose_encoding(text)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        ("multipart/related", XML),
        ('multipart/related; type="application/*"', XML),
        ('multipart/related; type="*/*"; q=0.1', XML),
        (f"{JSON};q=0.1, {XML};q=0.2", XML),
        (f"{JSON};q=0.2, {XML};q=0.2", JSON),
        (f"*/*, {JSON};q=0", XML),
        (f"*/*;q=0.5, {JSON};q=0.1", XML),
        ("multipart/*;q=0, */*", JSON),
    ],
)
def test_the_offer_that_is_wanted_most_is_chosen(accept: str, chosen: str) -> None:
    assert choose(parse_media_types(accept), (JSON, XML)) == chosen


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", 'multipart/related; type="image/jp2"', "application/dicom"])
def test_what_cannot_be_made_is_406(accept: str) -> None:
    with pytest.raises(Problem) as found:
        choose(parse_media_types(accept), (JSON, XML))
    assert found.value.status == 406 and JSON in found.value.hint


def test_a_more_specific_range_speaks_for_what_it_covers() -> None:
    offer = parse_media_types(XML)[0]
    assert weight_of(offer, parse_media_types(f"*/*;q=0.9, multipart/*;q=0.5, {XML};q=0.1")) == 0.1


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", "identity"), ("gzip", "gzip"), ("gzip, deflate, br", "gzip"), ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"), ("zstd;q=0, gzip;q=0", "identity"), ("*", "zstd"), ("*;q=0, gzip", "gzip"),
        ("identity", "identity"), ("gzip;q=0.5, identity", "identity"), ("gzip;q=7", "identity"),
        ("identity;q=0, *;q=0", "identity"), ("x-gzip", "gzip"), ("GZIP;Q=1", "gzip"), ("gzip;q=0.001", "gzip"),
    ],
)  # fmt: skip
def test_a_content_coding_is_chosen(header: str, coding: str) -> None:
    assert choose_encoding(header) == coding


@pytest.mark.parametrize("text", ["", "a", "a/b, c/d", "*/*", "multipart/*"])
def test_a_body_without_a_media_type_is_415(text: str) -> None:
    with pytest.raises(Problem) as found:
        parse_content_type(text)
    assert found.value.status == 415


def test_parameters_are_checked() -> None:
    given_ = {
        "a": ["1"],
        "b": ["1", "1"],
        "t": ["True"],
        "f": ["false"],
        "x": ["yes"],
        "n": [
            "0",
        ],
        "m": ["٣"],
    }
    assert single(given_, "a") == "1" and single(given_, "none") is None
    assert flag(given_, "t") and not flag(given_, "f") and not flag(given_, "none")
    assert number(given_, "n") == 0 and number(given_, "none") is None
    for read, name in ((single, "b"), (flag, "x"), (flag, "b"), (number, "x"), (number, "m"), (number, "b")):
        with pytest.raises(Problem):
            read(given_, name)
