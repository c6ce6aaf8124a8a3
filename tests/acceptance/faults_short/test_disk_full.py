"""P4, the short form: a store of 64 MB fills up (the long one: tests/faults)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.cutter import small_volume
from tests.support.fill import fill

pytestmark = pytest.mark.root


def test_a_full_store_refuses_and_stores_again_without_a_restart(tmp_path: Path) -> None:
    with small_volume(tmp_path, "volume", 64 << 20) as volume:
        report = fill(tmp_path, packs=volume / "packs", volume=volume, associations=4, size=600_000, restart=False)
    assert report.refused
    assert report.free_at_refusal > 1 << 20  # a watermark, not the last byte
