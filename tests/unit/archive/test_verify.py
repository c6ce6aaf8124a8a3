"""Every copy is re-read; what is bad is found, repaired from what is good, and never served."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.packs_archive import parts_in

from vesalius.archive.copies import copy_all
from vesalius.archive.verify import VerifyReport, verify
from vesalius.model.errors import DamagedInstance


class Watch:
    """A clock that moves only when someone waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def utc(self) -> str:
        return "2026-03-01T00:00:00.000000Z"

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_a_good_archive_passes(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        for study in range(3):
            parts.keep(study=study)
        copy_all(parts.blobs, parts.index)
        report = verify(parts.blobs, parts.index, clock=Watch())
        assert (report.members, report.copies, report.findings) == (3, 6, [])
        assert report.bytes == 2 * sum(member.length for member in parts.members())
        assert [copy.verified_at for copy in parts.index.copies()] == ["2026-03-01T00:00:00.000000Z"]


def test_bit_rot_without_a_copy_is_reported_and_never_served(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        for study in range(3):
            parts.keep(study=study)
        bad = parts.members()[1]
        parts.damage(bad)
        report = verify(parts.blobs, parts.index, clock=Watch())
        assert [(one.offset, one.place, one.repaired) for one in report.findings] == [(bad.header_offset, "", False)]
        assert (report.repaired, report.damaged) == (0, 1)
        assert [state for _, state in parts.index.members()] == ["current", "damaged", "current"]
        with pytest.raises(DamagedInstance):
            parts.blobs.read_verified(bad)


def test_bit_rot_with_a_copy_is_repaired(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        for study in range(3):
            parts.keep(study=study)
        copy_all(parts.blobs, parts.index)
        members = parts.members()
        parts.damage(members[1])
        parts.damage(members[2], "second")
        report = verify(parts.blobs, parts.index, clock=Watch())
        assert [(one.offset, one.place, one.repaired) for one in report.findings] == [
            (members[1].header_offset, "", True),
            (members[2].header_offset, "second", True),
        ]
        assert all(parts.blobs.check(member, place) for member in members for place in (None, "second"))
        assert [state for _, state in parts.index.members()] == ["current"] * 3
        assert verify(parts.blobs, parts.index, clock=Watch()).findings == []


def test_without_repair_it_only_looks(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        parts.keep(study=1)
        copy_all(parts.blobs, parts.index)
        (member,) = parts.members()
        parts.damage(member)
        report = verify(parts.blobs, parts.index, clock=Watch(), repair=False)
        assert (report.repaired, report.damaged) == (0, 1)
        assert not parts.blobs.check(member)


def test_a_member_put_right_by_hand_is_marked_good_again(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        parts.keep(study=1)
        (member,) = parts.members()
        path = tmp_path / "packs" / f"{member.pack}.tar"
        whole = path.read_bytes()
        parts.damage(member)
        verify(parts.blobs, parts.index, clock=Watch())
        path.write_bytes(whole)
        assert verify(parts.blobs, parts.index, clock=Watch()).findings == []
        assert [state for _, state in parts.index.members()] == ["current"]


def test_a_missing_pack_is_one_finding_for_each_member(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        for study in range(2):
            parts.keep(study=study)
        (tmp_path / "packs" / f"{parts.members()[0].pack}.tar").unlink()
        assert verify(parts.blobs, parts.index, clock=Watch()).damaged == 2


def test_the_pace_is_kept(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        for study in range(5):
            parts.keep(study=study)
        watch = Watch()
        report = verify(parts.blobs, parts.index, clock=watch, pace=1000, wait=watch.wait)
        assert watch.now == pytest.approx(report.bytes / 1000)


def test_it_tells_how_far_it_is_and_can_be_stopped(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        for study in range(5):
            parts.keep(study=study)
        copy_all(parts.blobs, parts.index)
        seen: list[int] = []

        def progress(report: VerifyReport) -> None:
            seen.append(report.members)

        report = verify(parts.blobs, parts.index, clock=Watch(), progress=progress, stop=lambda: len(seen) == 3)
        assert seen == [1, 2, 3]
        assert report.members == 3
        assert [copy.verified_at for copy in parts.index.copies()] == [""]


def test_a_copy_put_right_by_hand_is_marked_good_again(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        parts.keep(study=1)
        copy_all(parts.blobs, parts.index)
        (member,) = parts.members()
        path = tmp_path / "second" / f"{member.pack}.tar"
        whole = path.read_bytes()
        parts.damage(member, "second")
        verify(parts.blobs, parts.index, clock=Watch(), repair=False)
        assert parts.index.damaged() == [(member.pack, member.offset, "second")]
        path.write_bytes(whole)
        assert verify(parts.blobs, parts.index, clock=Watch()).findings == []
        assert parts.index.damaged() == []
