"""The list of studies: what was typed is understood by its form, and a page of it is what the address says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.web.pages.listing import (
    ACCESSION,
    DATE,
    DESCRIPTION,
    NAME,
    PAGE,
    PATIENT_ID,
    STUDY_ID,
    STUDY_UID,
    Asked,
    Studies,
    asked_from,
    date_in,
    name_pattern,
    questions,
)

PEOPLE = (
    ("a", "Müller^Käthe", "P-1", "20240131", "CT HEAD"),
    ("b", "Miller^John", "P-2", "20230501", "CT CHEST"),
    ("c", "Smith^Muriel", "P-3", "20250101", "KNEE müllner view"),
    ("d", "", "", "", ""),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("listing")) as made:
        for study, name, patient, date, description in PEOPLE:
            made.archive.keep(
                ct(study, 1, 1, patient_id=patient, patient_name=name, StudyDate=date, StudyDescription=description,
                   AccessionNumber=f"A{study}")
            )  # fmt: skip
        yield made


def found(made: Web, **asked: object) -> list[str]:
    listing = Studies(made.ctx.search, made.ctx.view.query).find(Asked(**asked))  # type: ignore[arg-type]
    names = {uid("study", study): study for study, *_ in PEOPLE}
    return [names[row.uid] for row in listing.rows]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-01-31", "20260131"),
        ("20260131", "20260131"),
        ("31.1.2026", "20260131"),
        ("31.13.2026", None),
        ("2026-02-30", None),
        ("4711", None),
    ],
)
def test_a_day_is_known_by_its_form(text: str, day: str | None) -> None:
    assert date_in(text) == day


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("smith jo", "smith*^jo*"),
        ("smith, jo", "smith*^jo*"),
        ("smith^jo", "smith*^jo*"),
        ("smith", "smith*"),
        (" ", ""),
    ],
)
def test_words_are_the_beginnings_of_the_parts_of_a_name(text: str, pattern: str) -> None:
    assert name_pattern(text) == pattern


def test_a_uid_is_looked_for_as_one_and_a_day_as_a_day() -> None:
    assert questions(Asked(q="1.2.840.1")) == ([{STUDY_UID: ("1.2.840.1",)}], [])
    quick, slow = questions(Asked(q="2026-01-31"))
    assert {DATE: ("20260131",)} in quick and any(DESCRIPTION in one for one in slow)
    quick, slow = questions(Asked(q="smith jo"))
    assert [next(iter(one)) for one in quick] == [PATIENT_ID, ACCESSION, STUDY_ID, NAME, NAME]
    assert {NAME: ("jo*^smith*",)} in quick, "given name first"


def test_an_address_that_makes_no_sense_opens_all_the_same() -> None:
    asked = asked_from({"q": "a*\x00b", "since": "yesterday", "until": "2026-02-30", "sort": "'; drop", "page": "-3"})
    assert asked == Asked(q="a  b")
    assert asked_from({"page": "99999999999"}).page == 200
    assert asked_from({"sort": "name", "dir": "desc", "page": "2"}).address()["dir"] == "desc"


@pytest.mark.parametrize(
    ("text", "studies"),
    [
        ("m", ["c", "a", "b"]),
        ("mül", ["c", "a"]),  # and in a description
        ("knee", ["c"]),
        ("MULLER", ["a"]),
        ("käthe müller", ["a"]),
        ("p-2", ["b"]),
        ("P-2", ["b"]),
        ("Ac", ["c"]),
        ("2024-01-31", ["a"]),
        (uid("study", "b"), ["b"]),
        (uid("series", "b", 1), ["b"]),
        (uid("instance", "b", 1, 1), ["b"]),
        ("nobody", []),
    ],
)
def test_one_box_takes_anything(filled: Web, text: str, studies: list[str]) -> None:
    if text == "m":
        assert set(found(filled, q=text)) >= {"a", "b"}
    else:
        assert found(filled, q=text) == studies


def test_without_words_the_newest_arrival_is_first(filled: Web) -> None:
    assert found(filled) == ["d", "c", "b", "a"]


def test_sorting_puts_what_is_empty_last_either_way(filled: Web) -> None:
    assert found(filled, sort="date") == ["b", "a", "c", "d"]
    assert found(filled, sort="date", descending=True) == ["c", "a", "b", "d"]
    assert found(filled, sort="name")[-1] == "d"


def test_filters_narrow_what_was_typed(filled: Web) -> None:
    assert found(filled, since="2024-01-01", until="2024-12-31") == ["a"]
    assert found(filled, q="m", since="2024-06-01") == ["c"]
    assert found(filled, description="knee") == ["c"]
    assert found(filled, name="mil") == ["b"]
    assert found(filled, modality="MR") == []


def test_pages_follow_each_other_without_gap_or_repetition(tmp_path: Path) -> None:
    with web(tmp_path) as made:
        for number in range(PAGE + 3):
            made.archive.keep(ct(f"many-{number}", 1, 1, patient_id=f"M-{number}"))
        studies = Studies(made.ctx.search, made.ctx.view.query)
        first, second = (studies.find(Asked(page=page)) for page in (1, 2))
        assert (len(first.rows), first.more, first.count) == (PAGE, True, None)
        assert (len(second.rows), second.more, second.count) == (3, False, PAGE + 3)
        assert len({row.uid for row in (*first.rows, *second.rows)}) == PAGE + 3
        assert studies.find(Asked(q="M-", page=2)).count == PAGE + 3
