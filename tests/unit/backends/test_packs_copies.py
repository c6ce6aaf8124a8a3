"""Copies are plain packs: equal to the last byte when sealed, and enough to bring the primary back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from tests.support.blobs import Put, noise, put

from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.model.errors import OutOfResources


def open_store(folder: Path) -> PackStore:
    return PackStore(
        folder / "packs",
        settings=PackSettings(preallocate=1 << 20),
        copies={"second": folder / "second", "third": folder / "third"},
    )


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[PackStore, list[Put]]:
    store = open_store(tmp_path)
    kept = [put(store, noise(size, size), size) for size in (1000, 300_000, 20)]
    pack = kept[0].member.pack
    store.copy(pack, "second", 0, kept[1].member.end)
    (info,) = store.seal_idle(time.monotonic() + 3600)
    assert store.copy(pack, "second", kept[1].member.end, info.size).copied_to > info.size
    return store, kept


def test_a_sealed_copy_is_equal_to_the_last_byte(sealed: tuple[PackStore, list[Put]], tmp_path: Path) -> None:
    names = sorted(path.name for path in (tmp_path / "packs").iterdir())
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == names
    for name in names:
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "packs" / name).read_bytes()


def test_an_open_copy_is_a_tar_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = [put(store, noise(1000, n), n) for n in range(3)]
    store.copy(kept[0].member.pack, "second", 0, kept[1].member.end)
    path = tmp_path / "second" / f"{kept[0].member.pack}.tar"
    done = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 2)


def test_a_lost_primary_is_read_from_the_copy_and_brought_back(
    sealed: tuple[PackStore, list[Put]], tmp_path: Path
) -> None:
    _, kept = sealed
    path = tmp_path / "packs" / f"{kept[0].member.pack}.tar"
    before = path.read_bytes()
    path.unlink()
    (tmp_path / "packs" / f"{kept[0].member.pack}.index.jsonl").unlink()
    fresh = open_store(tmp_path)
    assert [info.state for info in fresh.packs()] == ["sealed"]
    assert [one.member for one in fresh.scan(kept[0].member.pack)] == [one.member for one in kept]
    for one in kept:
        assert fresh.read_verified(one.member) == one.data
        assert fresh.read(one.member, 3, 10) == one.data[3:13]
        assert not fresh.check(one.member)
        assert fresh.repair(one.member)
        assert fresh.check(one.member)
    assert path.read_bytes() == before
    assert (tmp_path / "packs" / f"{kept[0].member.pack}.index.jsonl").exists()


def test_a_lost_copy_is_made_anew_from_its_beginning(sealed: tuple[PackStore, list[Put]], tmp_path: Path) -> None:
    store, kept = sealed
    pack = kept[0].member.pack
    (tmp_path / "second" / f"{pack}.tar").unlink()
    store.copy(pack, "second", kept[2].member.header_offset, kept[2].member.end)
    assert all(store.check(one.member, "second") for one in kept)


def test_a_damaged_header_is_repaired_too(sealed: tuple[PackStore, list[Put]], tmp_path: Path) -> None:
    store, kept = sealed
    path = tmp_path / "packs" / f"{kept[0].member.pack}.tar"
    before = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(kept[1].member.header_offset + 700)
        file.write(b"\xee")
    assert not store.check(kept[1].member)
    assert store.repair(kept[1].member)
    assert path.read_bytes() == before


def test_a_member_damaged_in_the_first_copy_is_repaired_from_the_next(
    sealed: tuple[PackStore, list[Put]], tmp_path: Path
) -> None:
    store, kept = sealed
    pack, member = kept[0].member.pack, kept[1].member
    store.copy(pack, "third", 0, kept[2].member.end)
    for place in ("packs", "second"):
        with (tmp_path / place / f"{pack}.tar").open("r+b") as file:
            file.seek(member.dataset_offset + 1000)
            file.write(b"\xee\xee")
    assert store.read_verified(member) == kept[1].data
    assert store.repair(member)
    assert [store.check(member, place) for place in (None, "second", "third")] == [True, False, True]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("a file where a folder should be")
    store = open_store(tmp_path)
    kept = put(store, noise(10), 1)
    with pytest.raises(OutOfResources):
        store.copy(kept.member.pack, "second", 0, kept.member.end)
    assert store.read_only is None
