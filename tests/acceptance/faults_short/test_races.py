"""P15, the short form: the same UID from several associations at once (the long one: tests/faults)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.races import race


@pytest.mark.parametrize("same_content", [True, False])
def test_one_winner_and_no_byte_lost(tmp_path: Path, same_content: bool) -> None:
    report = race(tmp_path, associations=5, races=15, workers=2, same_content=same_content, sizes=(14_000,))
    assert report.conflicts == (0 if same_content else 15 * 4)
