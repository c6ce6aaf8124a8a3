"""Further places follow the packs as they grow; one that fails does not hold up the others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.packs_archive import parts_in

from vesalius.archive.copies import copy_all, lags
from vesalius.model.entities import PackInfo
from vesalius.model.errors import OutOfResources


def test_copies_follow_as_packs_grow(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second", "third")) as parts:
        for turn in range(3):
            parts.keep(study=turn)
            report = copy_all(parts.blobs, parts.index)
            assert report.packs == 2
            for member in parts.members():
                assert all(parts.blobs.check(member, place) for place in ("second", "third"))
        assert copy_all(parts.blobs, parts.index).packs == 0
        (pack,) = parts.index.packs()
        assert [copy.copied_to for copy in parts.index.copies()] == [pack.indexed_to, pack.indexed_to]


def test_a_sealed_pack_is_copied_to_its_last_byte(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        parts.keep(study=1)
        copy_all(parts.blobs, parts.index)
        for info in parts.blobs.seal_idle(time.monotonic() + 3600):
            parts.index.save_pack(info)
        assert copy_all(parts.blobs, parts.index).packs == 1
        assert copy_all(parts.blobs, parts.index).packs == 0
        names = sorted(path.name for path in (tmp_path / "packs").iterdir())
        assert [name.partition(".")[2] for name in names] == ["index.jsonl", "tar"]
        for name in names:
            assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "packs" / name).read_bytes()


def test_what_is_not_yet_indexed_is_not_copied(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        parts.keep(study=1)
        (member,) = parts.members()
        reception = parts.ingest.receive(*_claim())
        reception.write(b"\0" * 300_000)
        copy_all(parts.blobs, parts.index)
        assert (tmp_path / "second" / f"{member.pack}.tar").stat().st_size == member.end + 1024
        reception.abort()


def _claim() -> tuple[object, object]:
    from tests.support.archive import claim_of
    from tests.support.generate import ct

    from vesalius.model.entities import Provenance

    return claim_of(ct(study=5)), Provenance("c-store")


def test_a_place_that_fails_does_not_hold_up_the_others_and_catches_up(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second", "third")) as parts:
        (tmp_path / "second").write_text("a disk that is away")
        parts.keep(study=1)
        with pytest.raises(OutOfResources):
            copy_all(parts.blobs, parts.index)
        (member,) = parts.members()
        assert parts.blobs.check(member, "third")
        (tmp_path / "second").unlink()
        copy_all(parts.blobs, parts.index)
        assert parts.blobs.check(member, "second")


def test_without_further_places_there_is_nothing_to_do(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        parts.keep(study=1)
        assert copy_all(parts.blobs, parts.index).packs == 0


@pytest.mark.parametrize(
    ("state", "copied_to", "expected"),
    [("open", 0, True), ("open", 90, False), ("sealed", 90, True), ("sealed", 100, True), ("sealed", 1124, False)],
)
def test_what_a_copy_lacks(state: str, copied_to: int, expected: bool) -> None:
    assert lags(PackInfo("p", state, indexed_to=90, size=100), copied_to) is expected
