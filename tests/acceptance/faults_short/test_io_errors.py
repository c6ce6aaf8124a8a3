"""P3, the short form: some system calls of a C-STORE fail (all of them: tests/faults)."""

from __future__ import annotations

from pathlib import Path

from tests.support.errors_injected import ErrorPoint, fail_everywhere


def test_a_failed_sync_is_refused_and_turns_the_store_read_only(tmp_path: Path) -> None:
    points = [ErrorPoint("committer", "fdatasync", 1, "EIO", persistent=False, on_packs=True)]
    report = fail_everywhere(tmp_path, points, 14_000)
    assert report.refused == 1
    assert report.read_only == 1


def test_no_room_is_refused_and_passes(tmp_path: Path) -> None:
    points = [
        ErrorPoint("committer", "pwritev2", 1, "ENOSPC", persistent=True),
        ErrorPoint("committer", "pwrite64", 2, "ENOSPC", persistent=True),  # the index
    ]
    report = fail_everywhere(tmp_path, points, 14_000)
    assert report.refused == 2
    assert report.read_only == 0
