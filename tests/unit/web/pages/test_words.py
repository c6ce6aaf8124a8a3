"""Values are written for people, in their language, and never made up."""

from __future__ import annotations

import time

import pytest

from vesalius.web.pages.messages import Messages
from vesalius.web.pages.words import age, human_bytes, human_date, human_duration, human_moment, human_time, person

ENGLISH, GERMAN = Messages("en"), Messages("de")


@pytest.mark.parametrize(
    ("sent", "english", "german"),
    [
        ("20260131", "31 Jan 2026", "31.01.2026"),
        ("2026.03.05", "5 Mar 2026", "05.03.2026"),
        ("20260231", "20260231", "20260231"),
        ("about 1950", "about 1950", "about 1950"),
        ("", "", ""),
    ],
)
def test_a_date_is_written_as_the_language_does_and_what_is_none_as_it_was_sent(
    sent: str, english: str, german: str
) -> None:
    assert (human_date(sent, ENGLISH), human_date(sent, GERMAN)) == (english, german)


@pytest.mark.parametrize(("sent", "shown"), [("143015.25", "14:30"), ("09", "09:00"), ("noon", "noon"), ("", "")])
def test_a_time_is_hours_and_minutes(sent: str, shown: str) -> None:
    assert human_time(sent) == shown


@pytest.mark.parametrize(
    ("born", "at", "english", "german"),
    [
        ("19700615", "20260614", "55 y", "55 J"),
        ("19700615", "20260615", "56 y", "56 J"),
        ("20240101", "20251231", "23 m", "23 M"),
        ("20260101", "20260110", "9 d", "9 T"),
        ("20260101", "20250101", "", ""),
        ("", "20250101", "", ""),
        ("19700615", "soon", "", ""),
    ],
)
def test_an_age_is_in_the_unit_that_fits_and_unknown_where_it_is(born: str, at: str, english: str, german: str) -> None:
    assert (age(born, at, ENGLISH), age(born, at, GERMAN)) == (english, german)


@pytest.mark.parametrize(
    ("sent", "main", "others"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou", ("山田, 太郎", "やまだ, たろう")),
        ("Doe^Jane^Q^Dr.^PhD", "Doe, Jane Q (Dr., PhD)", ()),
        ("=山田^太郎", "山田, 太郎", ()),
        ("Doe", "Doe", ()),
        ("^^^^", "", ()),
        ("", "", ()),
    ],
)
def test_a_name_keeps_its_scripts(sent: str, main: str, others: tuple[str, ...]) -> None:
    name = person(sent)
    assert (name.main, name.others) == (main, others)
    assert name.whole == " ".join((main, *(f"({other})" for other in others)))


def test_sizes_and_durations_have_the_marks_and_units_of_the_language() -> None:
    assert (human_bytes(1536, ENGLISH), human_bytes(1536, GERMAN)) == ("1.5 KiB", "1,5 KiB")
    assert (human_duration(90_000, ENGLISH), human_duration(90_000, GERMAN)) == ("1 d 1 h", "1 T 1 h")


def test_a_moment_is_by_the_clocks_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert human_moment("2026-01-31T20:15:00+00:00", GERMAN) == "01.02.2026 05:15"
        assert human_moment(0, ENGLISH) == "1 Jan 1970 09:00"
        assert human_moment("never", ENGLISH) == "never"
    finally:
        monkeypatch.undo()
        time.tzset()
