"""P5: SIGKILL under load from ten associations or by STOW-RS, to the whole service and to single workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.kills import kill_rounds, kill_workers

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("VESALIUS_KILLS", "20"))


def test_no_acknowledged_instance_is_lost_when_the_whole_service_is_killed_again_and_again(tmp_path: Path) -> None:
    report = kill_rounds(tmp_path, rounds=ROUNDS, associations=10, workers=2, seconds=(0.2, 3.0), seed=5)
    print(report)
    assert report.kills == ROUNDS
    assert report.stored > ROUNDS * 10
    assert report.slowest_start < 10


def test_no_acknowledged_instance_is_lost_when_single_workers_are_killed(tmp_path: Path) -> None:
    report = kill_workers(tmp_path, kills=ROUNDS, associations=10, workers=3, seed=6)
    print(report)
    assert report.kills == ROUNDS


def test_nothing_that_stow_named_as_stored_is_lost_when_the_service_is_killed(tmp_path: Path) -> None:
    report = kill_rounds(tmp_path, rounds=ROUNDS, associations=3, workers=1, seconds=(0.3, 3.0), seed=8, connections=5)
    print(report)
    assert report.kills == ROUNDS
    assert report.stored_by_stow > ROUNDS * 10
    assert report.stored > 0
