"""No room, no descriptors, a failing disk: the right error, never half a member, and reading goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.blobs import begin, label_of, noise, put

from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.model.errors import OutOfResources, VolumeReadOnly

SETTINGS = PackSettings(preallocate=1 << 20, buffer=32 << 10, write_back=64 << 10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PackStore]:
    made = PackStore(tmp_path / "packs", settings=SETTINGS)
    yield made
    made.close()


def fail(monkeypatch: pytest.MonkeyPatch, name: str, code: int, times: int = 1) -> None:
    """The system call fails that many times, then works again."""
    real: Callable[..., Any] = getattr(os, name)
    left = times

    def call(*arguments: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_failed_sync_acknowledges_nothing_and_is_final(
    store: PackStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    before = put(store, noise(1000), 1)
    kept = [put(store, noise(1000, number), number, sync=False) for number in (2, 3)]
    running = begin(store, 4)
    fail(monkeypatch, "fdatasync", code)
    with pytest.raises(VolumeReadOnly):
        store.sync([one.member for one in kept])
    with pytest.raises(VolumeReadOnly):  # fdatasync would succeed now: after a failure that proves nothing
        store.sync([one.member for one in kept])
    with pytest.raises(VolumeReadOnly):
        begin(store, 5)
    running.write(b"1234")
    with pytest.raises(VolumeReadOnly):
        running.finish(label_of(4))
    running.abort()
    assert store.read_only is not None
    assert store.read_verified(before.member) == before.data
    store.close()
    again = PackStore(tmp_path / "packs", settings=SETTINGS)
    pack = before.member.pack
    assert before.member in [one.member for one in again.recover(pack, 0)]
    assert put(again, noise(10), 9).member.pack != pack, "a suspect pack is not appended to"


@pytest.mark.parametrize(
    ("name", "code", "error"),
    [
        ("pwritev", errno.ENOSPC, OutOfResources),
        ("pwritev", errno.EDQUOT, OutOfResources),
        ("pwritev", errno.EIO, VolumeReadOnly),
        ("pwritev", errno.EROFS, VolumeReadOnly),
        ("posix_fallocate", errno.EIO, VolumeReadOnly),
        ("open", errno.EMFILE, OutOfResources),
        ("open", errno.ENFILE, OutOfResources),
        ("open", errno.ENOSPC, OutOfResources),
        ("open", errno.EIO, VolumeReadOnly),
        ("fsync", errno.EIO, VolumeReadOnly),
        ("fsync", errno.ENOSPC, OutOfResources),
    ],
)
@pytest.mark.parametrize("size", [1000, 200_000])
def test_a_failed_call_gives_the_right_error_and_leaves_no_trace(
    store: PackStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, code: int, error: type, size: int
) -> None:
    fail(monkeypatch, name, code)
    writer = begin(store, 1)
    with pytest.raises(OutOfResources) as raised:
        for at in range(0, size, 10_000):
            writer.write(noise(size)[at : at + 10_000])
        writer.finish(label_of(1))
    assert type(raised.value) is error
    writer.abort()
    monkeypatch.undo()
    assert [one for info in store.packs() for one in store.scan(info.name)] == []
    if error is OutOfResources:
        assert store.read_only is None
        assert store.check(put(store, noise(size), 1).member)
    else:
        with pytest.raises(VolumeReadOnly):
            begin(store, 2)


def test_less_is_reserved_where_there_is_not_room_for_much(store: PackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "posix_fallocate", errno.ENOSPC, times=3)
    assert store.check(put(store, noise(1000), 1).member)


def test_a_pack_that_cannot_be_cut_is_not_used_again(store: PackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(store, noise(100), 1)
    writer = begin(store, 2)
    writer.write(noise(200_000))
    fail(monkeypatch, "ftruncate", errno.EINTR)
    writer.abort()
    later = put(store, noise(100), 3)
    assert later.member.pack != first.member.pack
    assert [one.member for one in store.scan(first.member.pack)] == [first.member]


def test_a_short_write_is_carried_on(store: PackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, at: real(fd, [b"".join(pieces)[:777]], at))
    for size in (1000, 200_000):
        kept = put(store, noise(size), size)
        assert store.check(kept.member)


def statvfs(free: int, inodes: int = 1_000_000) -> Callable[[object], os.statvfs_result]:
    blocks = 100 << 20  # of 4096 bytes
    return lambda _: os.statvfs_result((4096, 4096, blocks, free // 4096, free // 4096, 10**6, inodes, inodes, 0, 255))


@pytest.mark.parametrize(("free", "inodes"), [((256 << 20) - 1, 10**6), (1 << 40, 1000)])
def test_under_the_watermark_nothing_is_taken_until_there_is_room_again(
    store: PackStore, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int
) -> None:
    kept = put(store, noise(1000), 1)
    time.sleep(0.06)  # a look at the free space is good for 50 ms
    monkeypatch.setattr(os, "statvfs", statvfs(free, inodes))
    with pytest.raises(OutOfResources) as raised:
        begin(store, 2)
    assert type(raised.value) is OutOfResources
    assert store.read_verified(kept.member) == kept.data
    monkeypatch.setattr(os, "statvfs", statvfs(1 << 40))
    time.sleep(0.06)
    put(store, noise(1000), 2)


def test_an_instance_that_would_pass_the_watermark_is_refused_while_it_streams(
    store: PackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(store, noise(100), 1)
    writer = begin(store, 2)
    writer.write(noise(200_000))
    time.sleep(0.06)
    monkeypatch.setattr(os, "statvfs", statvfs((256 << 20) + 100_000))
    with pytest.raises(OutOfResources):
        for _ in range(20):
            writer.write(noise(100_000))
    writer.abort()
    assert [one.member for one in store.scan(first.member.pack)] == [first.member]


def test_the_largest_file_size_of_the_process_is_a_limit_like_any_other(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from tests.support.blobs import begin, label_of, noise, put
from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.model.errors import OutOfResources
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
store = PackStore(Path({str(tmp_path)!r}), settings=PackSettings(pack_size=600_000))
kept = []
for number in range(30):
    writer = begin(store, number)
    try:
        for _ in range(number % 3 * 5 + 1):
            writer.write(noise(70_000, number))
        member = writer.finish(label_of(number))
    except OutOfResources:
        writer.abort()
    else:
        store.sync([member])
        kept.append(member)
assert store.read_only is None
assert 10 < len(kept) < 30, len(kept)
assert all(store.check(member) for member in kept)
found = [one.member for info in store.packs() for one in store.scan(info.name, verify=True)]
assert len(found) == len(kept) and set(found) == set(kept)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system: root only")
def test_a_full_disk_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", mount], check=False)
    if done.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        store = PackStore(mount / "packs", settings=PackSettings(watermark=0, pack_size=1 << 20))
        kept = []
        refused = 0
        for number in range(200):
            writer = None
            try:
                writer = begin(store, number)
                writer.write(noise(150_000, number))
                member = writer.finish(label_of(number))
                store.sync([member])
                kept.append(member)
            except OutOfResources as error:
                assert type(error) is OutOfResources
                refused += 1
                if writer is not None:
                    writer.abort()
        assert refused and len(kept) > 30
        assert store.read_only is None
        assert all(store.check(member) for member in kept)
        found = [one.member for info in store.packs() for one in store.scan(info.name, verify=True)]
        assert len(found) == len(kept)
        subprocess.run(["mount", "-o", "remount,size=32m", mount], check=True)
        time.sleep(0.06)
        assert store.check(put(store, noise(150_000), "again").member)
        store.close()
    finally:
        subprocess.run(["umount", "-l", mount], check=True)
