"""The group commit, with a store and an index whose failures can be ordered."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.archive import FixedClock, LocalArchive, dataset_of, local_archive
from tests.support.generate import ct, part10
from tests.support.sealing import Held, begin, send

from vesalius.archive.ingest import Ingest, IngestLimits
from vesalius.model.entities import Verdict
from vesalius.model.errors import DuplicateRefused, IndexUnavailable, VolumeReadOnly
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, IMPLICIT_LE


@pytest.fixture
def held(archive: LocalArchive) -> Held:
    return Held(archive.index)


@pytest.fixture
def ingest(archive: LocalArchive, held: Held) -> Ingest:
    return Ingest(archive.blobs, held, clock=FixedClock())  # type: ignore[arg-type]


def test_whatever_waits_becomes_one_batch(archive: LocalArchive, held: Held, ingest: Ingest) -> None:
    futures = [begin(archive, ingest, number) for number in range(1, 21)]
    held.go.set()
    assert {future.result(10).verdict for future in futures} == {Verdict.STORED}
    assert len(held.batches) <= 2
    assert sum(held.batches) == 20
    ingest.close()


def test_equal_instances_of_one_batch_share_one_fate(archive: LocalArchive, held: Held, ingest: Ingest) -> None:
    begin(archive, ingest, 99)
    futures = [begin(archive, ingest, 1) for _ in range(5)]
    held.go.set()
    verdicts = [future.result(10).verdict for future in futures]
    assert sorted(verdict.value for verdict in verdicts) == ["duplicate"] * 4 + ["stored"]
    assert archive.index.totals().instances == 2
    ingest.close()


def test_different_instances_of_one_uid_in_one_batch_have_one_winner(
    archive: LocalArchive, held: Held, ingest: Ingest
) -> None:
    begin(archive, ingest, 99)
    futures = [begin(archive, ingest, 1, seed) for seed in range(4)]
    refused = begin(archive, ingest, 1, 77, refuse_conflicts=True)
    held.go.set()
    verdicts = sorted(future.result(10).verdict.value for future in futures)
    assert verdicts == ["conflict"] * 3 + ["stored"]
    with pytest.raises(DuplicateRefused):
        refused.result(10)
    assert archive.index.totals().conflicts == 3
    ingest.close()


def test_without_index_nothing_is_acknowledged_and_the_same_again_succeeds(
    archive: LocalArchive, held: Held, ingest: Ingest
) -> None:
    held.go.set()
    held.fail = IndexUnavailable("the index is away")
    with pytest.raises(IndexUnavailable):
        begin(archive, ingest).result(10)
    assert archive.index.totals().instances == 0
    held.fail = None
    assert begin(archive, ingest).result(10).verdict is Verdict.STORED
    ingest.close()


@pytest.mark.parametrize(("undone", "kept"), [(True, 0), (False, 3)])
def test_what_is_surely_not_committed_leaves_no_bytes_behind(
    archive: LocalArchive, held: Held, ingest: Ingest, undone: bool, kept: int
) -> None:
    """Senders try again for hours; where a row may have been written after all, its bytes must stay."""
    held.go.set()
    before = begin(archive, ingest, 99).result(10)
    held.fail = IndexUnavailable("the index has no room")
    held.fail.undone = undone
    for number in (1, 2, 2):
        with pytest.raises(IndexUnavailable):
            begin(archive, ingest, number).result(10)
    (pack,) = archive.blobs.packs()
    found = [one.label.sop_instance for one in archive.blobs.scan(pack.name, verify=True)]
    assert (found[0], len(found)) == (before.sop_instance, 1 + kept)
    held.fail = None
    assert begin(archive, ingest).result(10).verdict is Verdict.STORED
    ingest.close()


def test_one_record_that_the_index_chokes_on_fails_alone(archive: LocalArchive, held: Held, ingest: Ingest) -> None:
    held.poison = ct(instance=3).SOPInstanceUID
    begin(archive, ingest, 99)
    futures = {number: begin(archive, ingest, number) for number in range(1, 6)}
    held.go.set()
    for number, future in futures.items():
        if number == 3:
            with pytest.raises(ValueError, match="indexed"):
                future.result(10)
        else:
            assert future.result(10).verdict is Verdict.STORED
    ingest.close()


def test_a_failed_sync_fails_the_whole_batch_but_not_what_was_known_before(
    archive: LocalArchive, held: Held, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.keep(ct(instance=1))

    def broken(members: object) -> None:
        raise VolumeReadOnly("the volume failed")

    monkeypatch.setattr(archive.blobs, "sync", broken)
    begin(archive, ingest, 99)
    known, new, again = (begin(archive, ingest, number) for number in (1, 2, 2))
    held.go.set()
    assert known.result(10).verdict is Verdict.DUPLICATE
    for future in (new, again):
        with pytest.raises(VolumeReadOnly):
            future.result(10)
    assert held.batches == []
    ingest.close()


def test_closing_seals_what_has_arrived_whole(archive: LocalArchive, held: Held, ingest: Ingest) -> None:
    futures = [begin(archive, ingest, number) for number in range(1, 4)]
    threading.Timer(0.05, held.go.set).start()
    ingest.close()
    assert all(future.result(0).verdict is Verdict.STORED for future in futures)


def test_racing_senders_of_one_uid_have_exactly_one_winner(tmp_path: Path) -> None:
    with local_archive(tmp_path) as archive, ThreadPoolExecutor(8) as senders:
        for instance in range(1, 11):
            verdicts = list(
                senders.map(
                    lambda seed, instance=instance: archive.keep(ct(instance=instance, seed=seed)).verdict, range(8)
                )
            )
            assert verdicts.count(Verdict.STORED) == 1
            assert verdicts.count(Verdict.CONFLICT) == 7
        assert archive.index.totals().instances == 10


def test_two_processes_worth_of_committers_agree_on_one_winner(archive: LocalArchive) -> None:
    ingests = [Ingest(archive.blobs, archive.index, clock=FixedClock()) for _ in range(2)]
    for instance in range(1, 21):
        futures = [begin(archive, ingest, instance, seed) for seed, ingest in enumerate(ingests)]
        verdicts = sorted(future.result(10).verdict.value for future in futures)
        assert verdicts == ["conflict", "stored"]
    for ingest in ingests:
        ingest.close()


def test_an_index_that_cannot_be_asked_refuses_and_leaves_no_trace(
    archive: LocalArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(uids: list[str]) -> dict[str, tuple[str, str]]:
        raise IndexUnavailable("the index is away")

    monkeypatch.setattr(archive.index, "known", away)
    with pytest.raises(IndexUnavailable):
        archive.keep(ct())
    assert not any(list(archive.blobs.scan(pack.name)) for pack in archive.blobs.packs())
    monkeypatch.undo()
    assert archive.keep(ct()).verdict is Verdict.STORED


@pytest.mark.parametrize("rows", [16, 600], ids=["in memory", "streamed"])
def test_the_same_instance_in_another_encoding_is_a_duplicate(
    archive: LocalArchive, held: Held, ingest: Ingest, rows: int
) -> None:
    held.go.set()
    ds = ct(rows=rows, columns=rows)
    assert send(ingest, ds, EXPLICIT_LE).result(10).verdict is Verdict.STORED
    before = archive.index.totals()
    assert send(ingest, ds, IMPLICIT_LE, refuse_conflicts=True).result(10).verdict is Verdict.DUPLICATE
    assert archive.index.totals() == before
    assert archive.bytes_of(ds.SOPInstanceUID) == dataset_of(part10(ds))
    ds.StudyDescription = "OTHER"
    assert send(ingest, ds, IMPLICIT_LE).result(10).verdict is Verdict.CONFLICT
    ingest.close()


def test_the_same_instance_in_two_encodings_at_once_is_kept_once(
    archive: LocalArchive, held: Held, ingest: Ingest
) -> None:
    begin(archive, ingest, 99)
    ds = ct(instance=1)
    futures = [send(ingest, ds, syntax) for syntax in (IMPLICIT_LE, EXPLICIT_LE, IMPLICIT_LE)]
    held.go.set()
    assert [future.result(10).verdict for future in futures] == [Verdict.STORED, Verdict.DUPLICATE, Verdict.DUPLICATE]
    assert archive.index.totals().conflicts == 0
    ingest.close()


def test_what_is_too_large_to_compare_is_kept_beside(archive: LocalArchive, held: Held) -> None:
    held.go.set()
    limits = IngestLimits(compared_bytes=100)
    ingest = Ingest(archive.blobs, held, clock=FixedClock(), limits=limits)  # type: ignore[arg-type]
    ds = ct()
    assert send(ingest, ds, EXPLICIT_LE).result(10).verdict is Verdict.STORED
    assert send(ingest, ds, IMPLICIT_LE).result(10).verdict is Verdict.CONFLICT
    ingest.close()
