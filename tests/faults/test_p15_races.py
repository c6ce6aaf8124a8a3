"""P15: one SOP Instance UID from many associations and workers at the same moment: one winner, the others on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer, postgres  # noqa: F401
from tests.support.races import race

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_content_at_once_is_kept_once(tmp_path: Path, workers: int) -> None:
    report = race(tmp_path, associations=10, races=120, workers=workers, same_content=True)
    print(report)
    assert report.conflicts == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_different_contents_at_once_have_one_winner_and_lose_no_byte(tmp_path: Path, workers: int) -> None:
    report = race(tmp_path, associations=6, races=80, workers=workers, same_content=False)
    print(report)
    assert report.conflicts == 80 * 5


def test_races_on_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:  # noqa: F811
    url = postgres.create("races")
    report = race(tmp_path, associations=6, races=60, workers=3, same_content=False, database=url)
    print(report)
    assert report.conflicts == 60 * 5
