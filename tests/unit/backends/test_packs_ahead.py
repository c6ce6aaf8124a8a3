"""Zeros written ahead are invisible: to readers, to recovery, and above all to those who write at the same time."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.support.blobs import begin, label_of, noise, put

from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.backends.packs_ahead import write_ahead

SETTINGS = PackSettings(preallocate=1 << 20, zero_ahead=8 << 20, buffer=32 << 10, write_back=64 << 10)


def ahead(store: PackStore) -> int:
    return write_ahead(store._pool, time.monotonic() + 1)


@pytest.fixture
def store(tmp_path: Path) -> PackStore:
    made = PackStore(tmp_path, settings=SETTINGS)
    put(made, noise(1000), "first")
    if ahead(made) == 0:
        pytest.skip("no direct writes here")
    return made


def test_only_a_pack_that_rests_and_lacks_zeros_gets_them(tmp_path: Path) -> None:
    store = PackStore(tmp_path, settings=SETTINGS)
    assert ahead(store) == 0
    put(store, noise(1000), 1)
    assert write_ahead(store._pool, time.monotonic()) == 0
    if ahead(store) == 0:
        pytest.skip("no direct writes here")
    assert ahead(store) == 0
    writer = begin(store, 2)
    writer.write(noise(6 << 20))
    assert ahead(store) == 0, "in use"
    writer.finish(label_of(2))
    assert ahead(store) >= 4 << 20


def test_what_is_written_into_zeros_is_kept_like_everything_else(store: PackStore, tmp_path: Path) -> None:
    kept = [put(store, noise(size, size), size) for size in (0, 1, 4096, 14_000, 525_000, 3_000_000)]
    assert all(store.read_verified(one.member) == one.data for one in kept)
    path = tmp_path / f"{kept[0].member.pack}.tar"
    done = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 7)


def test_zeros_are_cut_off_when_a_pack_is_closed_or_sealed(store: PackStore, tmp_path: Path) -> None:
    kept = put(store, noise(1000), 1)
    path = tmp_path / f"{kept.member.pack}.tar"
    assert path.stat().st_size >= 8 << 20
    store.close()
    assert path.stat().st_size == kept.member.end + 1024
    again = PackStore(tmp_path, settings=SETTINGS)
    kept = put(again, noise(1000), 2)
    assert ahead(again) > 0
    again.seal_idle(time.monotonic() + 3600)
    assert ahead(again) == 0
    assert path.stat().st_size == kept.member.end + 1024


def test_recovery_sees_no_torn_tail_in_zeros(store: PackStore, tmp_path: Path) -> None:
    kept = put(store, noise(1000), 1)
    for pack in store._pool._held.values():
        os.close(pack.fd)
    again = PackStore(tmp_path, settings=SETTINGS)
    cut: list[int] = []
    assert [one.member for one in again.recover(kept.member.pack, kept.member.header_offset, cut.append)] == [
        kept.member
    ]
    assert list(again.recover(kept.member.pack, kept.member.end, cut.append)) == []
    assert cut == []
    assert put(again, noise(10), 2).member.header_offset == kept.member.end


def test_writing_ahead_never_touches_what_is_being_written(tmp_path: Path) -> None:
    """Writers, some of which give up, race with zeros for the same pack."""
    store = PackStore(tmp_path, settings=PackSettings(preallocate=1 << 20, zero_ahead=8 << 20, buffer=32 << 10))
    kept = []
    over = threading.Event()

    def zeros() -> None:
        while not over.is_set():
            ahead(store)

    def writes(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(60):
            name = f"{seed}-{number}"
            data = noise(chance.choice((100, 14_000, 300_000, 1_500_000)), name)
            writer = begin(store, name)
            for at in range(0, len(data), 100_000):
                writer.write(data[at : at + 100_000])
            if chance.random() < 0.2:
                writer.abort()
            else:
                kept.append((writer.finish(label_of(name)), data))

    threads = [threading.Thread(target=zeros), *(threading.Thread(target=writes, args=(seed,)) for seed in (1, 2))]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    over.set()
    threads[0].join()
    store.sync([member for member, _ in kept])
    assert all(store.read_verified(member) == data for member, data in kept)
    found = [one.member for info in store.packs() for one in store.scan(info.name, verify=True)]
    assert sorted(found, key=repr) == sorted((member for member, _ in kept), key=repr)


def test_without_direct_writes_nothing_is_written_ahead(store: PackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, noise(6 << 20), 1)

    def refuse(fd: int, data: object, at: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert ahead(store) == 0
    monkeypatch.undo()
    assert store.read_only is None
    put(store, noise(1000), 2)
