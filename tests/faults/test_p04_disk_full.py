"""P4: the store's volume, the index's volume and the inodes run out; then there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cutter import small_volume
from tests.support.fill import fill

pytestmark = [pytest.mark.faults, pytest.mark.root, pytest.mark.timeout(600)]


def test_a_full_store_refuses_and_stores_again_without_a_restart(tmp_path: Path) -> None:
    with small_volume(tmp_path, "volume", 64 << 20) as volume:
        report = fill(tmp_path, packs=volume / "packs", volume=volume, associations=4)
    print(report)


def test_a_full_index_volume_refuses_and_stores_again_without_a_restart(tmp_path: Path) -> None:
    with small_volume(tmp_path, "volume", 24 << 20) as volume:
        report = fill(tmp_path, data=volume / "data", packs=tmp_path / "packs", volume=volume, associations=4)
    print(report)


def test_store_and_index_on_one_full_volume(tmp_path: Path) -> None:
    with small_volume(tmp_path, "volume", 64 << 20) as volume:
        report = fill(tmp_path, data=volume / "data", packs=volume / "data" / "packs", volume=volume, associations=4)
    print(report)


def test_a_store_without_inodes_refuses_and_stores_again_without_a_restart(tmp_path: Path) -> None:
    with small_volume(tmp_path, "volume", 256 << 20, inodes=60) as volume:
        report = fill(tmp_path, packs=volume / "packs", volume=volume, associations=2, by_files=True)
    print(report)
