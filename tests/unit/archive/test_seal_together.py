"""What comes together with others: written as it comes, made durable and known with them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from tests.support.archive import FixedClock, LocalArchive, dataset_of
from tests.support.commitments import until
from tests.support.generate import ct, part10
from tests.support.sealing import Held, begin, send

from vesalius.archive import seal
from vesalius.archive.ingest import Ingest
from vesalius.model.entities import Member, Receipt, Verdict
from vesalius.model.errors import DuplicateRefused, IndexUnavailable, OutOfResources, VolumeReadOnly
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, IMPLICIT_LE


@pytest.fixture
def held(archive: LocalArchive, monkeypatch: pytest.MonkeyPatch) -> Held:
    """An index that answers at once; nothing is sealed because of the time that passes."""
    monkeypatch.setattr(seal, "PATIENCE", 60.0)
    held = Held(archive.index)
    held.go.set()
    return held


@pytest.fixture
def ingest(archive: LocalArchive, held: Held) -> Iterator[Ingest]:
    ingest = Ingest(archive.blobs, held, clock=FixedClock())  # type: ignore[arg-type]
    yield ingest
    ingest.close()


def written(archive: LocalArchive) -> list[str]:
    """SOP Instance UIDs of whole members in the packs, indexed or not."""
    return [
        one.label.sop_instance for pack in archive.blobs.packs() for one in archive.blobs.scan(pack.name, verify=True)
    ]


def away(sop_instances: object) -> dict[str, tuple[str, str]]:
    raise IndexUnavailable("the index is away")


def assert_refused(futures: list[Future[Receipt]], error: type[Exception]) -> None:
    for future in futures:
        with pytest.raises(error):
            future.result(10)


def uids(*numbers: int) -> list[str]:
    return [str(ct(instance=number).SOPInstanceUID) for number in numbers]


def test_what_comes_together_waits_until_somebody_waits_for_it(
    archive: LocalArchive, held: Held, ingest: Ingest
) -> None:
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2, 3)]
    with pytest.raises(TimeoutError):
        futures[0].result(0.1)
    ingest.hurry()
    assert {future.result(10).verdict for future in futures} == {Verdict.STORED}
    assert held.batches == [3]


def test_it_is_written_and_on_its_way_to_the_disk_while_it_waits(
    archive: LocalArchive, held: Held, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hastened: list[Member] = []
    monkeypatch.setattr(archive.blobs, "hasten", hastened.append)
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2)]
    until(lambda: len(hastened) == 2)
    assert written(archive) == uids(1, 2)
    assert not any(future.done() for future in futures), "nothing is promised yet"
    assert archive.index.totals().instances == 0
    ingest.hurry()
    assert {future.result(10).verdict for future in futures} == {Verdict.STORED}
    assert [one.member for one in archive.everything()] == hastened


def test_one_that_is_waited_for_takes_the_others_along(archive: LocalArchive, held: Held, ingest: Ingest) -> None:
    others = [begin(archive, ingest, number, together=True) for number in (1, 2)]
    assert begin(archive, ingest, 3).result(10).verdict is Verdict.STORED
    assert [future.result(10).verdict for future in others] == [Verdict.STORED] * 2
    assert held.batches == [3]


def test_enough_company_is_not_kept_waiting(archive: LocalArchive, ingest: Ingest) -> None:
    futures = [begin(archive, ingest, number, together=True) for number in range(1, seal.COMPANY + 1)]
    assert {future.result(10).verdict for future in futures} == {Verdict.STORED}


def test_nobody_waits_for_company_for_ever(
    archive: LocalArchive, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "PATIENCE", 0.02)
    assert begin(archive, ingest, together=True).result(10).verdict is Verdict.STORED
    ingest.hurry()  # there is nothing left to hurry with
    assert begin(archive, ingest, 2).result(10).verdict is Verdict.STORED


def test_what_still_waits_for_company_is_sealed_when_the_archive_closes(archive: LocalArchive, ingest: Ingest) -> None:
    future = begin(archive, ingest, together=True)
    ingest.close()
    assert future.result(10).verdict is Verdict.STORED


def test_what_is_known_is_not_written_again(archive: LocalArchive, ingest: Ingest) -> None:
    archive.keep(ct(instance=1))
    again, other = (begin(archive, ingest, 1, seed, together=True) for seed in (0, 5))
    refused = begin(archive, ingest, 1, 6, together=True, refuse_conflicts=True)
    ingest.hurry()
    assert (again.result(10).verdict, other.result(10).verdict) == (Verdict.DUPLICATE, Verdict.CONFLICT)
    with pytest.raises(DuplicateRefused):
        refused.result(10)
    assert written(archive) == uids(1, 1)


@pytest.mark.parametrize("rows", [16, 600])
def test_one_uid_twice_in_one_request_is_kept_once_in_whatever_encoding(
    archive: LocalArchive, ingest: Ingest, rows: int
) -> None:
    """The first is in its pack already when the second is compared with it."""
    ds = ct(instance=1, rows=rows, columns=rows)
    futures = [send(ingest, ds, syntax, together=True) for syntax in (EXPLICIT_LE, EXPLICIT_LE, IMPLICIT_LE)]
    ds.StudyDescription = "OTHER"
    other = send(ingest, ds, EXPLICIT_LE, together=True)
    ingest.hurry()
    assert [future.result(10).verdict for future in futures] == [
        Verdict.STORED,
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
    ]
    assert other.result(10).verdict is Verdict.CONFLICT
    assert archive.index.totals().instances == 1
    assert written(archive) == uids(1, 1)


def test_without_index_nothing_is_written_ahead_and_the_same_again_succeeds(
    archive: LocalArchive, held: Held, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "known", away)
    future = begin(archive, ingest, together=True)
    ingest.hurry()
    with pytest.raises(IndexUnavailable):
        future.result(10)
    assert written(archive) == []
    monkeypatch.undo()
    assert begin(archive, ingest).result(10).verdict is Verdict.STORED


def test_an_index_that_cannot_be_asked_any_more_leaves_nothing_of_what_was_written_ahead(
    archive: LocalArchive, held: Held, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2)]
    until(lambda: len(written(archive)) == 2)
    monkeypatch.setattr(held, "known", away)
    futures.append(begin(archive, ingest, 3, together=True))
    ingest.hurry()
    assert_refused(futures, IndexUnavailable)
    assert written(archive) == []
    monkeypatch.undo()
    assert begin(archive, ingest).result(10).verdict is Verdict.STORED


def test_bytes_are_taken_back_in_the_order_of_the_pack(archive: LocalArchive, held: Held, ingest: Ingest) -> None:
    """The second of two with one UID is written at the end, behind what came after it."""
    futures = [begin(archive, ingest, number, seed, together=True) for number, seed in ((1, 0), (1, 5), (2, 0))]
    until(lambda: len(written(archive)) == 2)
    held.fail = IndexUnavailable("the index has no room")
    held.fail.undone = True
    ingest.hurry()
    assert_refused(futures, IndexUnavailable)
    assert written(archive) == []


@pytest.mark.parametrize(("undone", "kept"), [(True, 0), (False, 3)])
def test_an_index_that_goes_away_in_between_is_told_nothing_and_nothing_is_acknowledged(
    archive: LocalArchive, held: Held, ingest: Ingest, undone: bool, kept: int
) -> None:
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2, 3)]
    until(lambda: len(written(archive)) == 3)
    held.fail = IndexUnavailable("the index has no room")
    held.fail.undone = undone
    ingest.hurry()
    assert_refused(futures, IndexUnavailable)
    assert len(written(archive)) == kept
    held.fail = None
    assert begin(archive, ingest).result(10).verdict is Verdict.STORED


def test_one_that_cannot_be_written_fails_alone_and_leaves_no_trace(
    archive: LocalArchive, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure, calls = archive.blobs._pool.ensure, []

    def full(pack: object, upto: int) -> None:
        calls.append(upto)
        if len(calls) == 2:
            raise OutOfResources("the store's volume is full up to its watermark")
        ensure(pack, upto)  # type: ignore[arg-type]

    begin(archive, ingest, 9).result(10)
    monkeypatch.setattr(archive.blobs._pool, "ensure", full)
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2, 3)]
    ingest.hurry()
    with pytest.raises(OutOfResources):
        futures[1].result(10)
    assert [futures[place].result(10).verdict for place in (0, 2)] == [Verdict.STORED] * 2
    assert written(archive) == uids(9, 1, 3)


def test_a_failed_sync_fails_what_was_written_ahead(
    archive: LocalArchive, held: Held, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(members: object) -> None:
        raise VolumeReadOnly("the volume failed")

    monkeypatch.setattr(archive.blobs, "sync", broken)
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2)]
    ingest.hurry()
    assert_refused(futures, VolumeReadOnly)
    assert held.batches == []
    assert archive.index.totals().instances == 0


def test_what_is_done_between_batches_comes_after_what_was_written_ahead(archive: LocalArchive, ingest: Ingest) -> None:
    futures = [begin(archive, ingest, number, together=True) for number in (1, 2)]
    assert ingest.between(lambda: archive.index.totals().instances).result(10) == 2
    assert all(future.done() for future in futures)


def test_many_are_kept_byte_for_byte(archive: LocalArchive, ingest: Ingest) -> None:
    sets = [ct(instance=number, rows=number % 7 * 100 + 1, columns=300) for number in range(1, 41)]
    futures = [send(ingest, ds, EXPLICIT_LE, together=True) for ds in sets]
    ingest.hurry()
    assert {future.result(10).verdict for future in futures} == {Verdict.STORED}
    for ds in sets:
        assert archive.bytes_of(ds.SOPInstanceUID) == dataset_of(part10(ds))
