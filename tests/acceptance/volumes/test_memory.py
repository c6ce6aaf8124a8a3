"""A CT of 2,000 slices as HU in less than one and a half times its own size, under a limit that ends who takes more."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.large_ct import OWN, SIDE, SLICES, loaded, write_large_ct


@pytest.mark.slow
def test_a_ct_of_two_thousand_slices_takes_less_than_one_and_a_half_times_its_own_size(tmp_path: Path) -> None:
    write_large_ct(tmp_path / "ct")
    found = loaded(tmp_path / "ct", OWN * 3 // 2)
    assert found["shape"] == [SLICES, SIDE, SIDE] and found["unit"] == "HU" and found["value"] == -1024.0
    assert found["padding"] == SLICES * SIDE
    assert found["peak"] < 1.5 * OWN
