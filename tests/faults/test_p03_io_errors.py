"""P3: the n-th system call of a C-STORE fails, once or from then on: no success without durability, all else lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.errors_injected import ErrorPoint, fail_everywhere, points_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]

MOST = 1000 if os.environ.get("VESALIUS_ALL_POINTS") == "1" else 5


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT", "EMFILE"])
@pytest.mark.parametrize("size", [14_000, 1_500_000], ids=["small", "streamed"])
def test_a_store_that_meets_an_error_is_refused_or_durable(
    tmp_path: Path, error: str, persistent: bool, size: int
) -> None:
    points = points_of(tmp_path / "reference", size, error, persistent=persistent, most=MOST)
    report = fail_everywhere(tmp_path, points, size)
    print(report)
    assert report.met >= len(points) * 0.7


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT", "EMFILE"])
def test_the_first_instance_of_all_meets_an_error(tmp_path: Path, error: str) -> None:
    points = points_of(tmp_path / "reference", 14_000, error, persistent=False, most=MOST, warm=False)
    report = fail_everywhere(tmp_path, points, 14_000, warm=False)
    print(report)
    assert report.refused


def test_a_failed_sync_turns_the_store_read_only_until_it_is_started_again(tmp_path: Path) -> None:
    for call in ("fdatasync",):
        report = fail_everywhere(
            tmp_path / call, [ErrorPoint("committer", call, 1, "EIO", persistent=False, on_packs=True)], 14_000
        )
        assert report.read_only == 1
        assert report.refused == 1
