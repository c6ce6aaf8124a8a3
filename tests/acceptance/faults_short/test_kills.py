"""P5, the short form: SIGKILL under load (the long one: tests/faults)."""

from __future__ import annotations

from pathlib import Path

from tests.support.kills import kill_rounds


def test_no_acknowledged_instance_is_lost_when_the_service_is_killed(tmp_path: Path) -> None:
    report = kill_rounds(tmp_path, rounds=2, associations=10, workers=2, seconds=(0.3, 0.8), seed=7)
    assert report.kills == 2
    assert report.stored


def test_nothing_that_stow_named_as_stored_is_lost_when_the_service_is_killed(tmp_path: Path) -> None:
    report = kill_rounds(tmp_path, rounds=2, associations=2, workers=1, seconds=(0.8, 1.5), seed=9, connections=5)
    assert report.kills == 2
    assert report.stored_by_stow
