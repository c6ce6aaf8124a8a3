"""The pure parts: dates of FHIR and of the hospital, systems of identifiers and codes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from vesalius.web.fhir import terms, times


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hospital whose clocks are nine hours ahead."""
    monkeypatch.setenv("TZ", "Asia/Tokyo" if os.path.exists("/usr/share/zoneinfo/Asia/Tokyo") else "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_planned_times_get_the_offset_of_the_house_and_come_back_to_its_clocks() -> None:
    assert times.instant("20261124100000") == "2026-11-24T10:00:00+09:00"
    assert times.instant("2026-11-24T01:00:00.000000Z") == "2026-11-24T10:00:00+09:00"
    assert times.read("2026-11-24T01:00:00Z").begin == datetime(2026, 11, 24, 10)
    assert times.read("2026-11-24T10:00:00").begin == datetime(2026, 11, 24, 10)
    assert times.utc(datetime(2026, 11, 24, 10)) == "2026-11-24T01:00:00.000000Z"
    assert times.date_time("20261124", "101112.5") == "2026-11-24T10:11:12+09:00"
    assert times.date_time("20261124", "101112", "-0500") == "2026-11-24T10:11:12-05:00"
    assert times.moment("2026-11-24T10:11:12-05:00") == datetime(2026, 11, 25, 0, 11, 12)


def test_an_offset_that_fhir_cannot_write_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "OLD+7:52:58")
    time.tzset()
    try:
        assert times.instant("18500101000000") == "1850-01-01T07:52:58+00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2024", "2024-01-01T00:00:00", "2025-01-01T00:00:00"),
        ("2024-02", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("2024-12", "2024-12-01T00:00:00", "2025-01-01T00:00:00"),
        ("2024-02-29", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
        ("2024-02-29T10:11", "2024-02-29T10:11:00", "2024-02-29T10:12:00"),
        ("2024-02-29T10:11:12", "2024-02-29T10:11:12", "2024-02-29T10:11:13"),
        ("2024-02-29T10:11:12.25", "2024-02-29T10:11:12.250000", "2024-02-29T10:11:12.260000"),
    ],
)
def test_a_date_names_all_of_its_precision(text: str, begin: str, end: str) -> None:
    span = times.read(text)
    assert (span.begin.isoformat(), span.end.isoformat()) == (begin, end)


@pytest.mark.parametrize(
    "text",
    ["", "24", "2024-2", "2023-02-29", "2024-02-29T25:00", "2024-02-29 10:00", "0001", "9999", "xx2024", "２０２４"],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        times.date_test(text)


def test_what_is_no_date_in_the_records_is_left_out() -> None:
    for text in ("", "2024", "20241301", "garbage", "2024-99-99T00:00:00Z"):
        assert times.instant(text) == ""
        assert times.date(text) == ""
    assert times.date_time("20240115", "999999") == "2024-01-15"
    assert times.date("2024.01.15") == "2024-01-15"


@pytest.mark.parametrize(
    ("issuer", "system"),
    [
        ("HOSP", "urn:vesalius:issuer:HOSP"),
        ("A B|C", "urn:vesalius:issuer:A%20B%7CC"),
        ("1.2.3", "urn:oid:1.2.3"),
        ("http://hospital.example/mrn", "http://hospital.example/mrn"),
        ("urn:oid:1.2.3", "urn:oid:1.2.3"),
        ("", ""),
    ],
)
def test_an_issuer_has_one_system_which_leads_back_to_it(issuer: str, system: str) -> None:
    assert terms.system_of(issuer) == system
    assert issuer in terms.issuers_of(system)


def test_an_authority_of_hl7_is_its_universal_id() -> None:
    assert terms.system_of("HOSP&1.2.3&ISO") == "urn:oid:1.2.3"


@pytest.mark.parametrize("scheme", ["SCT", "DCM", "LN", "99LOCAL", "L", "1.2.3", ""])
def test_a_coding_scheme_has_one_system_which_leads_back_to_it(scheme: str) -> None:
    assert terms.scheme_of(terms.scheme_system(scheme)) == scheme


def test_nothing_that_is_empty_is_sent() -> None:
    made = terms.clean({"a": "", "b": [{}, {"c": " "}], "d": {"e": None, "f": 0, "g": False}, "h": " x "})
    assert made == {"d": {"f": 0, "g": False}, "h": "x"}


def test_names_are_written_for_people() -> None:
    assert terms.person("Doe^Jane^Q^Dr.^Jr.=山田") == "Dr. Jane Q Doe Jr."
    assert terms.person("") == ""
