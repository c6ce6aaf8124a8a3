"""Open packs: one holder each, taken up again, given back, sealed; and nothing goes into one that is not durable."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.blobs import begin, label_of, noise, put

from vesalius.backends.blobs_packs import PackSettings, PackStore

SETTINGS = PackSettings(preallocate=1 << 20, buffer=32 << 10, write_back=64 << 10)


def open_store(folder: Path, settings: PackSettings = SETTINGS) -> PackStore:
    return PackStore(folder, settings=settings)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_pack_closed_cleanly_is_taken_up_by_the_next_process(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    before = put(first, noise(1000), 1)
    first.close()
    assert names(tmp_path) == [f"{before.member.pack}.left", f"{before.member.pack}.tar"]
    second = open_store(tmp_path)
    after = put(second, noise(1000), 2)
    assert (after.member.pack, after.member.header_offset) == (before.member.pack, before.member.end)
    assert names(tmp_path) == [f"{before.member.pack}.tar"]
    assert [one.member for one in second.scan(before.member.pack, verify=True)] == [before.member, after.member]


def test_a_pack_left_clean_but_written_to_since_is_not_taken_up(tmp_path: Path) -> None:
    """The word left beside a pack may be old: a power cut can bring it back."""
    first = open_store(tmp_path)
    before = put(first, noise(1000), 1)
    first.close()
    pack = before.member.pack
    word = (tmp_path / f"{pack}.left").read_bytes()
    times = (tmp_path / f"{pack}.tar").stat()
    second = open_store(tmp_path)
    after = put(second, noise(1000), 2)
    second.close()
    os.truncate(tmp_path / f"{pack}.tar", times.st_size)
    with (tmp_path / f"{pack}.tar").open("r+b") as file:  # what a power cut may leave of a member
        file.seek(after.member.header_offset)
        file.write(b"x" * 512)
    os.utime(tmp_path / f"{pack}.tar", ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / f"{pack}.left").write_bytes(word)
    assert put(open_store(tmp_path), noise(1000), 3).member.pack != pack


def test_a_pack_into_which_nothing_came_is_removed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = begin(store, 1)
    writer.write(noise(100_000))
    assert len(names(tmp_path)) == 1
    writer.abort()
    store.close()
    assert names(tmp_path) == []


def test_an_idle_pack_without_members_is_removed_not_sealed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    writer = begin(store, 1)
    writer.write(noise(100_000))
    writer.abort()
    assert store.seal_idle(time.monotonic() + 3600) == []
    assert names(tmp_path) == []


def test_unused_space_is_given_back_at_the_end(tmp_path: Path) -> None:
    store = open_store(tmp_path, PackSettings(preallocate=8 << 20))
    kept = put(store, noise(1000), 1)
    path = tmp_path / f"{kept.member.pack}.tar"
    assert path.stat().st_size >= 8 << 20
    assert path.stat().st_blocks * 512 >= 8 << 20
    store.close()
    assert path.stat().st_size == kept.member.end + 1024


def test_a_full_pack_is_sealed_and_another_begun(tmp_path: Path) -> None:
    store = open_store(tmp_path, PackSettings(pack_size=100_000, preallocate=1 << 16))
    kept = [put(store, noise(40_000, number), number) for number in range(5)]
    assert len({one.member.pack for one in kept}) == 2
    sealed = store.seal_idle(time.monotonic())
    assert [info.name for info in sealed] == [kept[0].member.pack]
    assert all(store.check(one.member) for one in kept)
    states = {info.name: info.state for info in store.packs()}
    assert states == {kept[0].member.pack: "sealed", kept[-1].member.pack: "open"}


def test_members_can_be_synced_after_their_pack_was_sealed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = put(store, noise(1000), 1, sync=False)
    store.seal_idle(time.monotonic() + 3600)
    store.sync([kept.member])
    assert store.check(kept.member)


def test_what_earlier_processes_left_is_sealed_in_time(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    kept = put(first, noise(1000), 1)
    first.close()
    second = open_store(tmp_path)
    list(second.recover(kept.member.pack, kept.member.end))
    assert second.seal_idle(time.monotonic()) == []
    later = time.monotonic() + 3600
    list(second.recover(kept.member.pack, kept.member.end))  # looking again does not make it younger
    assert [info.name for info in second.seal_idle(later)] == [kept.member.pack]
    assert names(tmp_path) == [f"{kept.member.pack}.index.jsonl", f"{kept.member.pack}.tar"]


def test_two_stores_on_one_folder_never_share_a_pack(tmp_path: Path) -> None:
    stores = [open_store(tmp_path) for _ in range(3)]
    kept = [put(store, noise(1000, number), number) for number, store in enumerate(stores)]
    assert len({one.member.pack for one in kept}) == 3
    assert all(stores[0].read_verified(one.member) == one.data for one in kept)


def test_a_forked_child_does_not_write_into_its_parents_packs(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from tests.support.blobs import noise, put
from vesalius.backends.blobs_packs import PackStore
store = PackStore(Path({str(tmp_path)!r}))
first = put(store, noise(100), 1)
child = os.fork()
if child == 0:
    mine = put(store, noise(100), 2)
    os._exit(0 if mine.member.pack != first.member.pack else 1)
status = os.waitpid(child, 0)[1]
second = put(store, noise(100), 3)
assert status == 0
assert second.member.header_offset == first.member.end
assert [one.member for one in store.scan(first.member.pack)] == [first.member, second.member]
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_memory_is_bounded_however_many_arrive_side_by_side(tmp_path: Path) -> None:
    settings = PackSettings(preallocate=1 << 16, buffer=32 << 10, buffer_shared=1 << 20, buffer_budget=256 << 10)
    store = open_store(tmp_path, settings)
    writers = [begin(store, number) for number in range(20)]
    for _ in range(10):
        for writer in writers:
            writer.write(noise(20_000))
    waiting = sum(writer._waiting for writer in writers)  # type: ignore[attr-defined]
    assert waiting <= settings.buffer_budget + 20 * settings.buffer
    members = [writer.finish(label_of(number)) for number, writer in enumerate(writers)]
    store.sync(members)
    assert all(store.read_verified(member) == noise(20_000) * 10 for member in members)
    assert store._pool._buffered == 0
    assert store._pool._streaming == 0


def test_instances_that_arrive_together_share_few_packs(tmp_path: Path) -> None:
    """One sync for many: only the first streams, the others wait in memory for the committer's pack."""
    store = open_store(tmp_path)
    writers = [begin(store, number) for number in range(8)]
    for _ in range(10):
        for writer in writers:
            writer.write(noise(20_000))
    members = [writer.finish(label_of(number)) for number, writer in enumerate(writers)]
    assert len({member.pack for member in members}) <= 2


def test_the_name_and_size_of_a_pack_are_synced_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_pwritev = os.fsync, os.pwritev

    def fsync(fd: int) -> None:
        calls.append("fsync " + ("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "pack"))
        real_fsync(fd)

    def pwritev(fd: int, pieces: list[bytes], at: int) -> int:
        calls.append("write")
        return real_pwritev(fd, pieces, at)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "pwritev", pwritev)
    put(open_store(tmp_path), noise(100), 1)
    assert calls == ["fsync pack", "fsync folder", "write"]


def test_what_a_crash_left_of_a_sealing_is_removed_and_the_pack_is_sealed_again(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    kept = put(first, noise(1000), 1).member
    first.close()
    unfinished = tmp_path / f"{kept.pack}.index.jsonl.new"
    unfinished.write_bytes(b'{"pack":"')
    second = open_store(tmp_path)
    assert not list(second.recover(kept.pack, kept.end))
    assert not unfinished.exists()
    (sealed,) = second.seal_idle(time.monotonic() + 3600)
    assert (sealed.name, sealed.members) == (kept.pack, 1)
