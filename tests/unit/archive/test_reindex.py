"""The index can always be told again: after a crash its tail, from the packs alone everything."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from tests.support.blobs import noise
from tests.support.generate import uid
from tests.support.packs_archive import everything, open_parts, parts_in

from vesalius.archive.reindex import ReindexReport, in_order_of_storing, recover, reindex
from vesalius.backends.blobs_memory import MemoryStore
from vesalius.backends.index_memory import MemoryIndex
from vesalius.model.entities import Arrival, Claim, PackInfo, Provenance, Verdict
from vesalius.model.errors import IndexUnavailable
from vesalius.ports.blobs import MemberLabel


def fill(parts: object, studies: int = 3, instances: int = 4) -> None:
    for study in range(studies):
        for instance in range(instances):
            parts.keep(study=study, series=instance % 2, instance=instance, patient_id=f"P{study % 2}")  # type: ignore[attr-defined]
    parts.keep(study=0, series=0, instance=0, patient_id="P0", seed=99)  # type: ignore[attr-defined]  a conflict


def test_recovery_after_a_clean_end_has_nothing_to_tell(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
    with parts_in(tmp_path) as parts:
        report = recover(parts.blobs, parts.index)
        assert (report.packs, report.told, report.cut_bytes, report.untold, report.failed) == (1, 0, 0, [], [])


def test_recovery_tells_what_the_index_lost(tmp_path: Path) -> None:
    """Instances are durable in the pack; the index goes back in time, as after a power cut."""
    parts = open_parts(tmp_path)
    parts.keep(study=0, instance=1)
    parts.index.close()
    for name in ("index.db", "index.db-wal"):
        if (tmp_path / name).exists():
            (tmp_path / f"saved-{name}").write_bytes((tmp_path / name).read_bytes())
    parts.ingest.close()
    parts.blobs.close()
    parts = open_parts(tmp_path)
    fill(parts)
    before = everything(parts.index)
    parts.kill()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
        if (tmp_path / f"saved-{name}").exists():
            (tmp_path / f"saved-{name}").rename(tmp_path / name)
    with parts_in(tmp_path) as again:
        assert len(again.members()) == 1
        report = recover(again.blobs, again.index)
        assert (report.told, report.stored, report.cut_bytes, report.untold) == (13, 13, 0, [])
        assert everything(again.index) == before
        assert recover(again.blobs, again.index).told == 0
        assert again.keep(study=7).verdict is Verdict.STORED
        assert len({member.pack for member in again.members()}) == 1, "the pack was taken up again"


def test_recovery_cuts_what_is_torn_and_tells_how_much(tmp_path: Path) -> None:
    parts = open_parts(tmp_path)
    parts.keep(study=0, instance=1)
    writer = parts.blobs.begin(
        Claim("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1"), Provenance("c-store")
    )
    writer.write(noise(500_000))
    parts.kill()
    with parts_in(tmp_path) as again:
        report = recover(again.blobs, again.index)
        assert report.told == 0
        assert report.cut_bytes >= 400_000
        assert len(again.members()) == 1


def test_an_instance_that_was_durable_but_unknown_becomes_known(tmp_path: Path) -> None:
    parts = open_parts(tmp_path)
    parts.keep(study=0, instance=1)
    real = parts.index.ingest

    def away(batch: object) -> list[Verdict]:
        raise IndexUnavailable("away")

    parts.index.ingest = away  # type: ignore[method-assign]
    with pytest.raises(IndexUnavailable):
        parts.keep(study=0, instance=2)
    parts.index.ingest = real  # type: ignore[method-assign]
    parts.kill()
    with parts_in(tmp_path) as again:
        assert recover(again.blobs, again.index).stored == 1
        assert len(again.members()) == 2


def test_recovery_leaves_alone_what_others_write(tmp_path: Path) -> None:
    with parts_in(tmp_path) as one, parts_in(tmp_path) as other:
        one.keep(study=0, instance=1)
        assert recover(other.blobs, other.index).told == 0
        one.keep(study=0, instance=2)
        assert len(other.members()) == 2


def test_recovery_names_packs_that_are_gone(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        parts.keep(study=0, instance=1)
        pack = parts.members()[0].pack
    (tmp_path / "packs" / f"{pack}.tar").unlink()
    with parts_in(tmp_path) as parts:
        assert recover(parts.blobs, parts.index).missing == [pack]


def test_recovery_learns_that_a_pack_was_sealed(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        parts.keep(study=0, instance=1)
        (sealed,) = parts.blobs.seal_idle(time.monotonic() + 3600)  # and dies before telling the index
    with parts_in(tmp_path) as parts:
        assert parts.index.packs()[0].state == "open"
        recover(parts.blobs, parts.index)
        (known,) = parts.index.packs()
        assert (known.state, known.sha256, known.indexed_to) == ("sealed", sealed.sha256, sealed.size)


def test_reindex_gives_the_same_index_from_the_packs_alone(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        parts.blobs.seal_idle(time.monotonic() + 3600)
        fill(parts, studies=5, instances=2)
        before = everything(parts.index)
    seen: list[int] = []
    with parts_in(tmp_path, "another.db") as again:
        report = reindex(again.blobs, again.index, progress=lambda now: seen.append(now.members), batch=5)
        assert everything(again.index) == before
        assert isinstance(report, ReindexReport)
        assert (report.packs, report.stored, report.conflicts, report.untold) == (2, 16, 1, [])
        assert seen == sorted(seen)
        assert len(seen) > 3
        assert recover(again.blobs, again.index).told == 0


def test_reindex_keeps_the_first_of_two_contents_current_whatever_pack_it_lies_in(tmp_path: Path) -> None:
    with parts_in(tmp_path) as one, parts_in(tmp_path) as other:
        one.keep(study=9)
        other.keep(study=9)  # a pack each; the one with the greater name may come first in time
        first, second = (one, other) if one.members()[0].pack > other.members()[-1].pack else (other, one)
        assert first.keep(study=0, seed=1).verdict is Verdict.STORED
        assert second.keep(study=0, seed=2).verdict is Verdict.CONFLICT
        before = everything(one.index)
    with parts_in(tmp_path, "another.db") as again:
        reindex(again.blobs, again.index)
        assert everything(again.index) == before


def test_reindex_tells_what_it_cannot_index_and_goes_on(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        fill(parts)
        members = parts.members()
        parts.damage(members[3])
        report = reindex(parts.blobs, parts.index)
        assert [(one.offset, one.reason) for one in report.untold] == [(members[3].header_offset, "damaged")]
        assert len(parts.members()) == len(members) - 1


def test_reindex_reads_damaged_members_from_a_copy(tmp_path: Path) -> None:
    with parts_in(tmp_path, copies=("second",)) as parts:
        fill(parts)
        members = parts.members()
        parts.blobs.copy(members[0].pack, "second", 0, members[-1].end)
        parts.damage(members[3])
        before = everything(parts.index)
        assert reindex(parts.blobs, parts.index).untold == []
        assert everything(parts.index) == before


def put_raw(store: MemoryStore, number: int, data: bytes) -> None:
    claim = Claim("1.2.840.10008.5.1.4.1.1.2", uid(number), "1.2.840.10008.1.2.1")
    writer = store.begin(claim, Provenance("import"))
    writer.write(data)
    label = MemberLabel("1.2", "1.3", claim.sop_instance, claim.sop_class, claim.transfer_syntax, Provenance("import"))
    store.sync([writer.finish(label)])


def test_what_is_no_data_set_is_told_not_indexed() -> None:
    store, index = MemoryStore(), MemoryIndex()
    put_raw(store, 1, b"this is not DICOM at all, whatever the label says")
    report = recover(store, index)
    assert len(report.untold) == 1
    assert report.untold[0].sop_instance == uid(1)
    assert index.totals().instances == 0


class Choosy(MemoryIndex):
    """Chokes on one instance."""

    def ingest(self, batch: list[Arrival]) -> list[Verdict]:  # type: ignore[override]
        if any(arrival.sop_instance == uid("instance", 0, 1, 2) for arrival in batch):
            raise ValueError("cannot be indexed")
        return super().ingest(batch)


def test_one_record_that_the_index_refuses_does_not_take_others_with_it(tmp_path: Path) -> None:
    with parts_in(tmp_path) as parts:
        for instance in range(5):
            parts.keep(study=0, instance=instance)
        index = Choosy()
        report = reindex(parts.blobs, index)
        assert index.totals().instances == 4
        assert [one.reason for one in report.untold] == ["ValueError"]


class Scans:
    """A store that counts how many packs are read at once."""

    def __init__(self, packs: dict[str, list[int]]) -> None:
        self.packs = packs
        self.open = 0
        self.most = 0

    def scan(self, pack: str) -> object:
        self.open += 1
        self.most = max(self.most, self.open)
        template = found_template()
        for at, when in enumerate(self.packs[pack]):
            member = dataclasses.replace(template.member, pack=pack, offset=at)
            yield dataclasses.replace(template, member=member, stored_ns=when * 10**9)
        self.open -= 1


def found_template() -> object:
    store = MemoryStore()
    put_raw(store, 1, b"12345678")
    return next(store.scan(store.packs()[0].name))


def test_packs_are_merged_in_the_order_of_storing_with_few_open_at_once() -> None:
    day = 86_400
    start = 1_767_225_600  # 2026-01-01
    packs = {}
    for number in range(50):
        at = start + number * day
        name = time.strftime("%Y%m%d-%H%M%S-", time.gmtime(at)) + f"{number:016x}"
        packs[name] = [at + 10, at + 2000, at + day + 5000]  # the last lies behind the start of the next pack
    scans = Scans(packs)
    infos = [PackInfo(name, "sealed", 0, 1) for name in packs]
    order = [found.stored_ns for found in in_order_of_storing(scans, infos)]  # type: ignore[arg-type]
    assert order == sorted(order)
    assert len(order) == 150
    assert scans.most <= 3
