"""A study among the others of its patient, on a line of time; another issuer's patient is another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.web.pages.listing import Row
from vesalius.web.pages.patient import WIDTH, time_line


def row(study: str, date: str, modality: str = "CT") -> Row:
    return Row(study, "", "P", "", "", date, "", (modality,) if modality else (), "", "", "", 1, 1, "")


def test_studies_stand_by_their_dates_in_a_lane_for_each_modality() -> None:
    line = time_line([row("c", "20260101"), row("b", "20230101", "MR"), row("a", "20200101", ""), row("x", "soon")])
    assert line is not None
    assert [name for name, _ in line.lanes] == ["?", "CT", "MR"]
    assert [mark.study.uid for mark in line.marks] == ["a", "b", "c"]
    left, middle, right = (mark.x for mark in line.marks)
    assert 0 < left < right < WIDTH and middle == pytest.approx((left + right) / 2, abs=1)
    assert [year for year, _ in line.ticks] == ["2021", "2022", "2023", "2024", "2025", "2026"]


def test_a_line_of_one_point_is_none() -> None:
    assert time_line([row("a", "20200101"), row("b", "")]) is None
    same = time_line([row("a", "20200101"), row("b", "20200101")])
    assert same is not None and same.marks[0].x == same.marks[1].x and same.ticks == ()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("patient")) as made:
        for study, patient, date, issuer in (
            ("now", "P", "20260101", ""),
            ("before", "P", "20240101", ""),
            ("elsewhere", "P", "20250101", "OTHER"),
            ("star", "P*", "20250101", ""),
            ("none", "", "20250101", ""),
            ("nobody", "", "20250102", ""),
        ):
            made.archive.keep(
                ct(study, 1, 1, patient_id=patient, StudyDate=date, StudyDescription=f"about {study}",
                   IssuerOfPatientID=issuer)
            )  # fmt: skip
        yield made


@pytest.mark.parametrize(
    ("study", "shown"),
    [("now", {"now", "before"}), ("elsewhere", {"elsewhere"}), ("star", {"star"}), ("none", {"none"})],
)
def test_the_priors_are_those_of_the_same_patient_of_the_same_issuer(served: Web, study: str, shown: set[str]) -> None:
    text = served.ask(f"/studies/{uid('study', study)}").text
    everyone = ("now", "before", "elsewhere", "star", "none", "nobody")
    assert {name for name in everyone if f"about {name}" in text} == shown
    assert ('class="timeline"' in text) is (len(shown) > 1)
