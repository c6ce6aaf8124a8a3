"""Deletion as a promise: gone at once, back within the window, the same after any crash and any reindex."""

from __future__ import annotations

import dataclasses
import random
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.generate import ct, uid
from tests.support.packs_archive import Parts, everything, open_parts, parts_in

from vesalius.archive.delete import CannotUndelete, Delete, moment
from vesalius.archive.purge import purge
from vesalius.archive.reindex import recover, reindex
from vesalius.model.entities import Level, Verdict
from vesalius.model.errors import (
    CannotUnderstand,
    DamagedInstance,
    IndexUnavailable,
    NoSuchInstance,
    VolumeReadOnly,
)

WINDOW = 30 * 86400.0
BEGIN = "2026-01-31T10:15:00.000000Z"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = BEGIN

    def utc(self) -> str:
        self.now = moment(self.now, 1.0)
        return self.now

    def monotonic(self) -> float:
        return 0.0

    def pass_by(self, seconds: float) -> None:
        self.now = moment(self.now, seconds)


def verbs(parts: Parts, clock: Clock | None = None, window: float = WINDOW) -> Delete:
    return Delete(parts.index, parts.blobs, parts.ingest, clock or Clock(), window=window)


def study(number: object) -> str:
    return uid("study", number)


def delete(parts: Parts, number: object, **how: Any) -> str:
    return verbs(parts).delete(study(number), reason="a test", who="tester", **how).id


def fill(parts: Parts, studies: int = 3, instances: int = 4, **how: Any) -> None:
    for number in range(studies):
        for instance in range(instances):
            parts.keep(study=number, series=instance % 2, instance=instance, patient_id=f"P{number % 2}", **how)


def seen(parts: Parts) -> list[object]:
    """What an index shows, places left aside."""
    answers = everything(parts.index)
    answers[4] = [(stored.sop_instance, stored.member.sha256, state) for stored, state in answers[4]]  # type: ignore
    answers[4].sort()  # type: ignore[attr-defined]
    return answers


# -- the verbs -----------------------------------------------------------------------------------


def test_a_deletion_is_gone_for_every_question_and_its_bytes_stay(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        members = [one.member for one in parts.index.kept(study(1))]
        data = [parts.blobs.read_verified(member) for member in members]
        made = verbs(parts).delete(study(1), reason="why", who="me", address="192.0.2.1")
        assert (made.level, made.instances, made.state, made.reason, made.who) == (
            Level.STUDY,
            4,
            "deleted",
            "why",
            "me",
        )
        assert list(parts.index.select(Level.STUDY, studies=[study(1)])) == []
        assert parts.index.totals().studies == 2
        assert [parts.blobs.read_verified(member) for member in members] == data


def test_what_cannot_be_deleted_is_told(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, 1)
        with pytest.raises(NoSuchInstance):
            verbs(parts).delete("1.2.3", reason="x", who="x")
        with pytest.raises(NoSuchInstance):
            verbs(parts).delete(study(0), "1.2.3", reason="x", who="x")
        with pytest.raises(CannotUnderstand):
            verbs(parts).delete("../etc", reason="x", who="x")
        with pytest.raises(CannotUnderstand):
            verbs(parts).delete(study(0), reason="x" * 5000, who="x")
        assert parts.index.deletions() == []


def test_undelete_brings_everything_back_as_it_was(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        parts.keep(study=1, series=0, instance=0, patient_id="P1", seed=9)  # a conflict copy
        before = seen(parts)
        deletion = delete(parts, 1)
        assert seen(parts) != before
        assert verbs(parts).undelete(deletion, who="me").state == "restored"
        assert seen(parts) == before
        with pytest.raises(CannotUndelete):
            verbs(parts).undelete(deletion, who="me")
        with pytest.raises(NoSuchInstance):
            verbs(parts).undelete("0" * 32, who="me")


def test_after_the_window_nothing_comes_back(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, 1)
        clock = Clock()
        made = verbs(parts, clock).delete(study(0), reason="x", who="x")
        clock.pass_by(WINDOW)
        with pytest.raises(CannotUndelete):
            verbs(parts, clock).undelete(made.id, who="me")


def test_a_damaged_instance_keeps_its_deletion_from_being_taken_back_in_part(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, 1)
        parts.damage(parts.members()[2])
        deletion = delete(parts, 0)
        with pytest.raises(DamagedInstance):
            verbs(parts).undelete(deletion, who="me")
        assert parts.index.totals().instances == 0
        assert parts.index.deletions()[0].state == "deleted"


def test_storing_again_after_deletion_is_a_new_arrival(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, 1)
        before = seen(parts)
        old = set(parts.members())
        delete(parts, 0)
        assert parts.keep(study=0, series=0, instance=0, patient_id="P0").verdict is Verdict.STORED
        fill(parts, 1)
        assert seen(parts) == before
        assert not old & set(parts.members())


def test_a_deletion_larger_than_one_tombstone_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesalius.archive.delete.MOST_MEMBERS", 3)
    with parts_in(tmp_path) as parts:
        fill(parts, 1, 10)
        before = seen(parts)
        deletion = delete(parts, 0)
        assert parts.index.totals().instances == 0
        assert parts.index.deletions()[0].instances == 10
        verbs(parts).undelete(deletion, who="me")
        assert seen(parts) == before


def test_tar_shows_the_tombstone_beside_the_images(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, 1)
        pack = parts.members()[0].pack
        deletion = delete(parts, 0)
        fill(parts, 1)
        with tarfile.open(tmp_path / "packs" / f"{pack}.tar") as tar:
            names = tar.getnames()
            (name,) = [name for name in names if name.startswith("vesalius-tombstones/")]
            body = tar.extractfile(name)
            assert deletion in name and body is not None and b"a test" in body.read()
        assert len(names) == 9


# -- crashes -------------------------------------------------------------------------------------


def test_a_crash_between_tombstone_and_index_is_completed_by_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = open_parts(tmp_path)
    fill(parts)

    def die(*_args: object, **_how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts.index, "remove", die)
    with pytest.raises(KeyboardInterrupt):
        delete(parts, 1)
    parts.kill()
    with parts_in(tmp_path) as again:
        assert again.index.totals().studies == 3
        recover(again.blobs, again.index)
        assert again.index.totals().studies == 2
        assert [one.reason for one in again.index.deletions()] == ["a test"]
        before = seen(again)
        recover(again.blobs, again.index)
        assert seen(again) == before
        verbs(again).undelete(again.index.deletions()[0].id, who="me")
        assert again.index.totals().studies == 3


def test_a_crash_in_the_middle_of_an_undelete_is_completed_by_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = open_parts(tmp_path)
    fill(parts)
    before = seen(parts)
    deletion = delete(parts, 1)

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts.index, "ingest", die)
    with pytest.raises(KeyboardInterrupt):
        verbs(parts).undelete(deletion, who="me")
    parts.kill()
    with parts_in(tmp_path) as again:
        recover(again.blobs, again.index)
        assert seen(again) == before
        assert again.index.deletions()[0].state == "restored"


def test_an_index_that_is_away_hears_of_the_deletion_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        real = parts.index.remove
        away = True

        def remove(*args: Any, **how: Any) -> None:
            if away:
                raise IndexUnavailable("away")
            real(*args, **how)

        monkeypatch.setattr(parts.index, "remove", remove)
        with pytest.raises(IndexUnavailable):
            delete(parts, 1)
        with pytest.raises(IndexUnavailable):
            parts.keep(study=7, instance=1)
        away = False
        parts.keep(study=7, instance=1)
        assert [one.reason for one in parts.index.deletions()] == ["a test"]
        assert list(parts.index.select(Level.STUDY, studies=[study(1)])) == []


def test_a_tombstone_that_cannot_be_synced_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        before = seen(parts)

        def fail(_fd: int) -> None:
            raise OSError(5, "I/O error")

        monkeypatch.setattr("os.fdatasync", fail)
        with pytest.raises(VolumeReadOnly):
            delete(parts, 1)
        assert seen(parts) == before


@pytest.mark.parametrize("lost", ["everything", "since the deletion"])
def test_recovery_of_a_lost_index_honours_what_was_deleted_and_what_came_since(tmp_path: Path, lost: str) -> None:
    parts = open_parts(tmp_path)
    fill(parts)
    saved = None
    if lost == "since the deletion":
        parts.index.optimise()
        parts.index.close()
        saved = (tmp_path / "index.db").read_bytes()
        parts.ingest.close()
        parts.blobs.close()
        parts = open_parts(tmp_path)
        recover(parts.blobs, parts.index)
    kept = delete(parts, 1)
    delete(parts, 2)
    parts.keep(study=2, series=0, instance=0, patient_id="P0")  # again: a new arrival
    verbs(parts).undelete(kept, who="me")
    delete(parts, 0, series=uid("series", 0, 1))
    before, deletions = seen(parts), parts.index.deletions()
    parts.kill()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    if saved is not None:
        (tmp_path / "index.db").write_bytes(saved)
    with parts_in(tmp_path) as again:
        report = recover(again.blobs, again.index)
        assert (report.untold, report.failed) == ([], [])
        assert seen(again) == before
        assert again.index.deletions() == deletions
        assert recover(again.blobs, again.index).told == 0


def test_reindex_tells_the_living_and_the_deletions(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        back = delete(parts, 1)
        delete(parts, 2)
        parts.keep(study=2, series=0, instance=0, patient_id="P0", seed=5)
        verbs(parts).undelete(back, who="me")
        before = seen(parts)
        deletions = {one.id: one for one in parts.index.deletions()}
        for _ in range(2):
            report = reindex(parts.blobs, parts.index)
            assert report.untold == []
            assert seen(parts) == before
            assert {one.id: one for one in parts.index.deletions()} == deletions
        assert recover(parts.blobs, parts.index).told == 0
        parts.keep(study=9, instance=1)
        verbs(parts).undelete(next(one.id for one in deletions.values() if one.state == "deleted"), who="me")
        # The old content comes back beside the new one, which stays current.
        assert parts.index.totals().conflicts == 1


def test_reindex_agrees_on_which_of_two_contents_is_current(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        parts.keep(study=0, instance=1)
        deletion = delete(parts, 0)
        second = parts.keep(study=0, instance=1, seed=4)
        verbs(parts).undelete(deletion, who="me")
        current = parts.index.known([second.sop_instance])
        before = seen(parts)
        reindex(parts.blobs, parts.index)
        assert parts.index.known([second.sop_instance]) == current
        assert seen(parts) == before


# -- after the window ----------------------------------------------------------------------------


def run_purge(parts: Parts, clock: Clock, share: float = 0.5, linger: float = 0.0) -> Any:
    return purge(parts.blobs, parts.index, clock=clock, window=WINDOW, compact_dead=share, linger=linger)


def seal(parts: Parts) -> None:
    for pack in parts.blobs.seal_idle(time.monotonic() + 3600):
        parts.index.save_pack(pack)


def test_bytes_are_destroyed_after_the_window_and_only_then(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        fill(parts, rows=64, columns=64)
        clock = Clock()
        gone = [one.member for one in parts.index.kept(study(1))]
        made = verbs(parts, clock).delete(study(1), reason="x", who="x")
        (pack,) = {member.pack for member in gone}
        assert run_purge(parts, clock).purged == []
        clock.pass_by(WINDOW + 120)
        report = run_purge(parts, clock)
        assert (report.purged, report.waiting) == ([], [made.id])  # its pack is open still
        seal(parts)
        parts.blobs.copy(pack, "second", 0, parts.index.packs()[0].size)
        report = run_purge(parts, clock)
        assert report.purged == [made.id]
        assert report.freed == sum(member.dataset_length for member in gone)
        for folder in ("packs", "second"):
            raw = (tmp_path / folder / f"{pack}.tar").read_bytes()
            for member in gone:
                assert raw[member.dataset_offset : member.dataset_offset + member.dataset_length].count(0) == (
                    member.dataset_length
                )
        assert parts.index.deletions()[0].state == "purged"
        with pytest.raises(CannotUndelete):
            verbs(parts, clock).undelete(made.id, who="me")
        for member in parts.members():
            assert parts.blobs.check(member) and parts.blobs.check(member, "second")
        before = seen(parts)
        assert reindex(parts.blobs, parts.index).untold == []
        assert seen(parts) == before
        assert run_purge(parts, clock).purged == [made.id]  # the new index does not know that it is done


def test_a_living_member_is_never_destroyed_whatever_a_tombstone_says(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, 1)
        clock = Clock()
        deletion = verbs(parts, clock).delete(study(0), reason="x", who="x")
        members = parts.index.deleted_members(deletion.id)
        # As if an undelete had died before its last word.
        from vesalius.archive.tombstones import restore
        from vesalius.model.entities import Tombstone

        restore(
            parts.blobs,
            parts.index,
            Tombstone(deletion.id, "restored", Level.STUDY, study(0), "", "", BEGIN, "", "", "", tuple(members)),
        )
        clock.pass_by(WINDOW + 120)
        seal(parts)
        run_purge(parts, clock)
        assert all(parts.blobs.check(member) for member in parts.members())
        assert len(parts.members()) == 4


def test_a_pack_that_is_mostly_dead_is_made_anew(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts, rows=64, columns=64)
        clock = Clock()
        data = {one.sop_instance: parts.blobs.read_verified(one.member) for one in parts.index.kept(study(2))}
        old = parts.members()[0].pack
        for number in (0, 1):
            verbs(parts, clock).delete(study(number), reason="x", who="x")
        clock.pass_by(WINDOW + 120)
        seal(parts)
        before, size = seen(parts), parts.index.packs()[0].size
        report = run_purge(parts, clock)
        assert len(report.purged) == 2 and report.compacted == [old]
        assert seen(parts) == before
        kept = parts.index.kept(study(2))
        assert {one.sop_instance: parts.blobs.read_verified(one.member) for one in kept} == data
        (new,) = parts.index.packs()
        assert new.name != old and new.size < size / 2
        assert (tmp_path / "packs" / f"{old}.tar").exists()  # somebody may be reading it
        assert run_purge(parts, clock).removed == [old]
        assert not list((tmp_path / "packs").glob(f"{old}*"))
        with tarfile.open(tmp_path / "packs" / f"{new.name}.tar") as tar:
            assert len(tar.getnames()) == 6  # four living, two tombstones
        reindex(parts.blobs, parts.index)
        assert seen(parts) == before
        assert len(parts.index.deletions()) == 2
        assert recover(parts.blobs, parts.index).missing == []


def test_a_pack_with_something_that_can_come_back_is_left_alone(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        clock = Clock()
        for number in (0, 1):
            verbs(parts, clock).delete(study(number), reason="x", who="x")
        clock.pass_by(WINDOW + 120)
        late = verbs(parts, clock).delete(study(2), sop_instance="", reason="x", who="x")
        seal(parts)
        assert run_purge(parts, clock).compacted == []
        verbs(parts, clock).undelete(late.id, who="me")
        assert parts.index.totals().instances == 4
        seal(parts)
        assert len(run_purge(parts, clock).compacted) == 1
        run_purge(parts, clock)
        before = seen(parts)
        reindex(parts.blobs, parts.index)  # what came back has moved since
        assert seen(parts) == before


@pytest.mark.parametrize("step", ["retire", "move_pack"])
def test_a_compaction_that_was_broken_off_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    parts = open_parts(tmp_path)
    fill(parts)
    clock = Clock()
    for number in (0, 1):
        verbs(parts, clock).delete(study(number), reason="x", who="x")
    clock.pass_by(WINDOW + 120)
    seal(parts)
    before = seen(parts)

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts.blobs if step == "retire" else parts.index, step, die)
    with pytest.raises(KeyboardInterrupt):
        run_purge(parts, clock)
    parts.kill()
    with parts_in(tmp_path) as again:
        report = recover(again.blobs, again.index)
        assert (report.missing, report.failed, report.untold) == ([], [], [])
        assert seen(again) == before
        assert all(again.blobs.check(member) for member in again.members())
        for _ in range(3):
            run_purge(again, clock)
            assert seen(again) == before
            assert all(again.blobs.check(member) for member in again.members())
        assert len(list((tmp_path / "packs").glob("*.tar"))) == 1
        assert len(again.index.packs()) == 1
        reindex(again.blobs, again.index)
        assert seen(again) == before


@pytest.mark.parametrize("seed", range(6))
def test_a_random_history_is_told_the_same_by_its_packs(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with parts_in(tmp_path) as parts:
        clock = Clock()
        for _ in range(60):
            number = rng.randrange(3)
            act = rng.random()
            if act < 0.6:
                parts.keep(
                    study=number,
                    series=rng.randrange(2),
                    instance=rng.randrange(4),
                    patient_id="P",
                    seed=rng.randrange(2),
                )
            elif act < 0.85:
                series = uid("series", number, rng.randrange(2)) if rng.random() < 0.5 else ""
                try:
                    verbs(parts, clock).delete(study(number), series, reason="x", who="x")
                except NoSuchInstance:
                    continue
            else:
                for one in parts.index.deletions(state="deleted")[:1]:
                    verbs(parts, clock).undelete(one.id, who="me")
            if rng.random() < 0.1:
                seal(parts)
        before = seen(parts)[4:6]
        counts = dataclasses.asdict(parts.index.totals())
        reindex(parts.blobs, parts.index)
        assert seen(parts)[4:6] == before
        again = dataclasses.asdict(parts.index.totals())
        for name in ("patients", "studies", "series", "instances", "bytes", "conflicts"):
            assert again[name] == counts[name], name


def test_bytes_that_a_lost_answer_left_twice_do_not_come_back_from_the_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parts_in(tmp_path) as parts:
        real = parts.index.ingest

        def away(_batch: object) -> None:
            raise IndexUnavailable("away")

        monkeypatch.setattr(parts.index, "ingest", away)
        with pytest.raises(IndexUnavailable):
            parts.keep(study=0, instance=1)  # durable, unknown, unacknowledged
        monkeypatch.setattr(parts.index, "ingest", real)
        parts.keep(study=0, instance=1)  # its sender sends it again
        deletion = delete(parts, 0)
        reindex(parts.blobs, parts.index)
        assert parts.members() == []
        verbs(parts).undelete(deletion, who="me")
        assert len(parts.members()) == 1
        reindex(parts.blobs, parts.index)
        assert len(parts.members()) == 1


def test_generated_uids_are_what_these_tests_think() -> None:
    ds = ct(study=1, series=2, instance=3)
    assert (ds.StudyInstanceUID, ds.SeriesInstanceUID) == (uid("study", 1), uid("series", 1, 2))
