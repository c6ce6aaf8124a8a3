"""Caches that forget, never lie and never fail."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vesalius.web import cache
from vesalius.web.cache import DiskCache, MemoryCache


def test_memory_holds_the_most_recently_used() -> None:
    held = MemoryCache(100)
    for name in "abcd":
        held.put(b"x" * 25, name)
    assert held.get("a") is not None
    held.put(b"y" * 25, "e")
    assert held.get("b") is None and held.get("a") is not None and held.get("e") == b"y" * 25


def test_memory_does_not_hold_what_would_push_out_everything_else() -> None:
    held = MemoryCache(100)
    held.put(b"x" * 20, "a")
    held.put(b"y" * 26, "b")
    assert held.get("b") is None and held.get("a") is not None
    held.put(b"z" * 25, "a")
    assert held.get("a") == b"z" * 25


def test_the_disk_keeps_pieces_for_others(tmp_path: Path) -> None:
    DiskCache(tmp_path / "c", 1000).put(b"piece", "k", "1")
    other = DiskCache(tmp_path / "c", 1000)
    assert other.get("k", "1") == b"piece" and other.get("k1") is None


def test_what_is_too_much_or_too_old_is_removed_least_recently_used_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SWEEP", 1)
    kept = DiskCache(tmp_path, 250)
    now = time.time()
    for number in range(3):
        kept.put(b"x" * 100, str(number))
        for path in tmp_path.iterdir():
            os.utime(path, (now - 100, now - 100)) if path.stat().st_mtime > now - 50 else None
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        os.utime(path, (now - 30 * 86400, now - 30 * 86400))
    kept.put(b"y", "fresh")
    assert kept.get("fresh") == b"y" and len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_does_not_work_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = DiskCache(tmp_path / "file" / "c", 1000)
    broken.put(b"piece", "k")
    assert broken.get("k") is None
    assert DiskCache(tmp_path, 0).get("k") is None and DiskCache(None, 1000).get("k") is None
