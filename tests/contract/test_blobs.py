"""What every blob store promises (ports/blobs.py), proved on the packs and on their twin in memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.blobs import Put, begin, label_of, noise, put
from xxhash import xxh3_128_hexdigest

from vesalius.backends.blobs_memory import MemoryStore
from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.model.entities import Level, Member, PackInfo, Removed, Tombstone
from vesalius.model.errors import DamagedInstance, VesaliusError
from vesalius.ports.blobs import BlobStore

Damage = Callable[[BlobStore, Member, str | None], None]


def damage(store: BlobStore, member: Member, place: str | None = None) -> None:
    """Change one byte of a data set behind the store's back."""
    if isinstance(store, MemoryStore):
        store.damage(member, place)
        return
    assert isinstance(store, PackStore)
    path = Path(store._reader.path(member.pack, place or ""))
    with path.open("r+b") as file:
        file.seek(member.dataset_offset)
        byte = file.read(1)
        file.seek(member.dataset_offset)
        file.write(bytes([byte[0] ^ 0xFF]))


@pytest.fixture(params=["packs", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    made: BlobStore
    if request.param == "memory":
        made = MemoryStore(places=("second",))
    else:
        settings = PackSettings(preallocate=1 << 20, buffer=64 << 10, write_back=128 << 10)
        made = PackStore(tmp_path / "packs", settings=settings, copies={"second": tmp_path / "second"})
    yield made
    made.close()


SIZES = [0, 1, 511, 512, 14_000, 65_536, 525_000, 3_000_001]


@pytest.mark.parametrize("size", SIZES)
def test_what_went_in_comes_out(store: BlobStore, size: int) -> None:
    kept = put(store, noise(size))
    assert store.read_verified(kept.member) == kept.data
    assert b"".join(store.stream_verified(kept.member, 100_000)) == kept.data
    assert store.check(kept.member)
    assert kept.member.dataset_length == size
    assert kept.member.sha256 == hashlib.sha256(kept.data).hexdigest()


def test_a_part_is_one_read(store: BlobStore) -> None:
    kept = put(store, noise(300_000))
    assert store.read(kept.member, 123_456, 1000) == kept.data[123_456:124_456]
    assert store.read(kept.member, 299_990, 1000) == kept.data[299_990:]


@pytest.mark.parametrize("size", [0, 1, 5000, 600_000])
def test_the_whole_is_read_to_where_it_is_wanted(store: BlobStore, size: int) -> None:
    kept = put(store, noise(size))
    room = bytearray(b"x" * (size + 20))
    store.read_verified_into(kept.member, memoryview(room)[10 : 10 + size])
    assert room == b"x" * 10 + kept.data + b"x" * 10


def test_any_way_of_cutting_the_stream_gives_the_same_member(store: BlobStore) -> None:
    data = noise(200_000)
    digests = {
        put(store, data, number, piece=piece).member.sha256 for number, piece in enumerate((1000, 65_537, 200_000))
    }
    assert digests == {hashlib.sha256(data).hexdigest()}


def test_a_buffer_may_be_used_again_after_write(store: BlobStore) -> None:
    writer = begin(store, 1)
    buffer = bytearray(b"first...")
    writer.write(memoryview(buffer))
    buffer[:] = b"second.."
    writer.write(buffer)
    assert writer.dataset_length == 16
    assert writer.sha256() == hashlib.sha256(b"first...second..").hexdigest()
    buffer[:] = b"third..."
    assert store.read_verified(writer.finish(label_of(1))) == b"first...second.."


def test_pieces_of_a_larger_piece_are_kept_as_they_were_written(store: BlobStore) -> None:
    whole = noise(200_000)
    writer = begin(store, 1)
    for start, end in ((0, 150_000), (150_000, 150_100), (150_100, 200_000)):
        writer.write(memoryview(whole)[start:end])
    assert writer.content() == whole
    assert store.read_verified(writer.finish(label_of(1))) == whole


def test_hastening_changes_nothing_that_is_read_or_written_after_it(store: BlobStore) -> None:
    kept = []
    for number, size in enumerate((10, 5_000, 300_000, 700)):
        data = noise(size)
        kept.append((put(store, data, number).member, data))
        store.hasten(kept[-1][0])
    store.sync([member for member, _ in kept])
    for member, data in kept:
        store.hasten(member)
        assert store.read_verified(member) == data
    assert [one.member for one in store.scan(kept[0][0].pack)] == [member for member, _ in kept]


def test_members_follow_each_other_and_are_found_by_a_scan(store: BlobStore) -> None:
    kept = [put(store, noise(size), number) for number, size in enumerate(SIZES)]
    found = list(store.scan(kept[0].member.pack))
    assert [one.member for one in found] == [one.member for one in kept]
    assert [one.label for one in found] == [one.label for one in kept]
    assert [one.stored_ns for one in found] == sorted(one.stored_ns for one in found)
    assert [one.member for one in store.scan(kept[0].member.pack, kept[3].member.header_offset, verify=True)] == [
        one.member for one in kept[3:]
    ]


@pytest.mark.parametrize("size", [100, 400_000])
def test_an_aborted_instance_leaves_no_trace(store: BlobStore, size: int) -> None:
    first = put(store, noise(1000), 1)
    writer = begin(store, 2)
    writer.write(noise(size))
    writer.abort()
    writer.abort()
    second = put(store, noise(2000), 3)
    assert second.member.header_offset == first.member.end
    assert [one.member for one in store.scan(first.member.pack)] == [first.member, second.member]


def test_an_instance_ends_once(store: BlobStore) -> None:
    writer = begin(store, 1)
    writer.write(b"12345678")
    writer.finish(label_of(1))
    with pytest.raises(VesaliusError):
        writer.finish(label_of(1))
    aborted = begin(store, 2)
    aborted.abort()
    with pytest.raises(VesaliusError):
        aborted.finish(label_of(2))


def test_instances_arrive_side_by_side(store: BlobStore) -> None:
    writers = [begin(store, number) for number in range(5)]
    data = [noise(size, number) for number, size in enumerate((10, 200_000, 90_000, 400_000, 150_000))]
    for at in range(0, 400_000, 50_000):
        for writer, whole in zip(writers, data, strict=True):
            writer.write(whole[at : at + 50_000])
    members = [writer.finish(label_of(number)) for number, writer in enumerate(writers)]
    store.sync(members)
    assert [store.read_verified(member) for member in members] == data


def test_threads_read_while_others_write(store: BlobStore) -> None:
    kept = [put(store, noise(70_000, number), number) for number in range(4)]
    failures: list[object] = []

    def read() -> None:
        for _ in range(30):
            failures.extend(one for one in kept if store.read_verified(one.member) != one.data)

    def write(base: int) -> None:
        for number in range(10):
            one = put(store, noise(100_000, base + number), base + number)
            if store.read_verified(one.member) != one.data:
                failures.append(one)

    threads = [threading.Thread(target=read) for _ in range(3)]
    threads += [threading.Thread(target=write, args=(base,)) for base in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_damaged_member_is_never_served(store: BlobStore) -> None:
    kept = put(store, noise(5000))
    damage(store, kept.member)
    assert not store.check(kept.member)
    with pytest.raises(DamagedInstance):
        store.read_verified(kept.member)
    with pytest.raises(DamagedInstance):
        store.read_verified_into(kept.member, memoryview(bytearray(5000)))
    with pytest.raises(DamagedInstance):
        list(store.stream_verified(kept.member, 1000))
    with pytest.raises(DamagedInstance):
        store.read(kept.member, 0, 10)
    assert not store.repair(kept.member)


def test_a_quick_checksum_is_made_at_receipt_and_found_again_by_a_scan(store: BlobStore) -> None:
    kept = put(store, noise(300_000))
    assert kept.member.xxh3 == xxh3_128_hexdigest(kept.data)
    assert [found.member.xxh3 for found in store.scan(kept.member.pack)] == [kept.member.xxh3]


@pytest.mark.parametrize("size", [5000, 3_000_001])
@pytest.mark.parametrize("checksum", ["", "00" * 16])
def test_the_digest_of_record_has_the_last_word(store: BlobStore, size: int, checksum: str) -> None:
    kept = put(store, noise(size))
    member = replace(kept.member, xxh3=checksum)  # of an instance from before there were any; damaged in the index
    assert store.read_verified(member) == kept.data
    assert b"".join(store.stream_verified(member, 100_000)) == kept.data


def test_a_check_asks_the_digest_of_record_whatever_the_checksum_says(store: BlobStore) -> None:
    kept = put(store, noise(5000))
    damage(store, kept.member)
    forged = bytes([kept.data[0] ^ 0xFF]) + kept.data[1:]
    assert not store.check(replace(kept.member, xxh3=xxh3_128_hexdigest(forged)))


def test_a_copy_serves_where_the_primary_is_damaged_and_repairs_it(store: BlobStore) -> None:
    kept = [put(store, noise(size), number) for number, size in enumerate((5000, 400_000))]
    pack, end = kept[0].member.pack, kept[-1].member.end
    assert store.places() == ("second",)
    assert store.copy(pack, "second", 0, end).copied_to == end
    for one in kept:
        damage(store, one.member)
        assert not store.check(one.member)
        assert store.check(one.member, "second")
        assert store.read_verified(one.member) == one.data
        into = bytearray(len(one.data))
        store.read_verified_into(one.member, memoryview(into))
        assert into == one.data
        assert b"".join(store.stream_verified(one.member, 1000)) == one.data
        assert store.read(one.member, 17, 100) == one.data[17:117]
        assert store.repair(one.member)
        assert store.check(one.member)
        damage(store, one.member, "second")
        assert not store.check(one.member, "second")
        assert store.read_verified(one.member) == one.data


def test_a_copy_grows_with_its_pack(store: BlobStore) -> None:
    first = put(store, noise(5000), 1)
    store.copy(first.member.pack, "second", 0, first.member.end)
    second = put(store, noise(6000), 2)
    assert not store.check(second.member, "second")
    store.copy(first.member.pack, "second", first.member.end, second.member.end)
    assert store.check(first.member, "second")
    assert store.check(second.member, "second")


def test_an_idle_pack_is_sealed_and_still_read(store: BlobStore) -> None:
    kept = [put(store, noise(3000, number), number) for number in range(3)]
    assert store.seal_idle(time.monotonic()) == []
    (info,) = store.seal_idle(time.monotonic() + 3600)
    assert (info.name, info.state, info.members) == (kept[0].member.pack, "sealed", 3)
    assert info.size == info.indexed_to == kept[-1].member.end
    assert len(info.sha256) == 64
    (listed,) = store.packs()
    assert (listed.state, listed.size, listed.sha256) == ("sealed", info.size, info.sha256)
    assert all(store.read_verified(one.member) == one.data for one in kept)
    later = put(store, noise(10), 9)
    assert later.member.pack != info.name
    assert store.copy(info.name, "second", 0, info.size).copied_to > info.size
    assert [one.member for one in store.scan(info.name)] == [one.member for one in kept]


def test_discarded_bytes_are_counted_as_dead(store: BlobStore) -> None:
    kept = put(store, noise(3000), 1)
    lost = put(store, noise(3000), 2)
    store.discard(lost.member)
    (info,) = store.seal_idle(time.monotonic() + 3600)
    assert info.dead_bytes == lost.member.end - lost.member.header_offset
    assert store.read_verified(kept.member) == kept.data


def test_members_that_surely_nothing_refers_to_may_be_taken_back_from_the_last_on(store: BlobStore) -> None:
    kept, *lost = [put(store, noise(3000, number), number) for number in range(3)]
    for one in reversed(lost):
        store.discard(one.member, undone=True)
    after = put(store, noise(3000), 9)
    assert store.read_verified(kept.member) == kept.data
    assert store.read_verified(after.member) == after.data


def test_a_member_that_is_not_the_last_stays_in_its_place(store: BlobStore) -> None:
    lost, kept = put(store, noise(3000), 1), put(store, noise(3000), 2)
    store.discard(lost.member, undone=True)
    assert store.read_verified(kept.member) == kept.data


def test_one_sync_serves_many(store: BlobStore) -> None:
    kept = [put(store, noise(3000, number), number, sync=False) for number in range(20)]
    store.sync([one.member for one in kept])
    assert len({one.member.pack for one in kept}) == 1


# -- deletion


def tombstone_of(*kept: Put, kind: str = "deleted") -> Tombstone:
    label = kept[0].label
    members = tuple(Removed(one.label.study, one.label.series, one.label.sop_instance, one.member) for one in kept)
    return Tombstone(
        "0" * 31 + "1", kind, Level.STUDY, label.study, "", "", "2026-03-02T00:00:00.000000Z",
        "someone \ud800", "192.0.2.8", 'a "reason" with ümlauts', members,
    )  # fmt: skip


def sealed(store: BlobStore) -> PackInfo:
    (info,) = store.seal_idle(time.monotonic() + 3600)
    return info


def test_a_tombstone_is_a_member_that_says_what_is_deleted(store: BlobStore) -> None:
    kept = [put(store, noise(3000, number), number) for number in range(3)]
    wanted = tombstone_of(*kept[:2])
    member = store.tombstone(wanted)
    later = put(store, noise(100), 9)
    assert member.header_offset == kept[-1].member.end and later.member.header_offset == member.end
    for verify in (False, True):
        found = list(store.scan(member.pack, verify=verify))
        assert [one.is_instance for one in found] == [True, True, True, False, True]
        told = found[3].tombstone
        assert found[3].member == member and told is not None
        assert (told.id, told.kind, told.level, told.members) == (wanted.id, "deleted", Level.STUDY, wanted.members)
        assert (told.reason, told.address, told.at) == (wanted.reason, wanted.address, wanted.at)
    assert next(store.scan(member.pack, member.header_offset)).tombstone is not None
    assert sealed(store).tombstones == 1
    assert store.packs()[0].tombstones == 1


def test_nothing_is_destroyed_in_a_pack_that_is_still_open(store: BlobStore) -> None:
    kept = put(store, noise(3000))
    assert store.purge(kept.member.pack, [kept.member]) is None
    assert store.read_verified(kept.member) == kept.data


def test_destroyed_bytes_are_zeros_in_every_place_and_the_others_are_whole(store: BlobStore) -> None:
    kept = [put(store, noise(size, number), number) for number, size in enumerate((3000, 300_000, 10, 70_000))]
    info = sealed(store)
    store.copy(info.name, "second", 0, info.size)
    gone, left = [kept[1], kept[2]], [kept[0], kept[3]]
    for _ in range(2):  # again does no harm and counts nothing twice
        after = store.purge(info.name, [one.member for one in gone])
        assert after is not None
        assert after.dead_bytes == sum(one.member.end - one.member.header_offset for one in gone)
        assert (after.size, after.members, after.state) == (info.size, info.members, "sealed")
        assert after.sha256 != info.sha256
    assert store.packs()[0] == after
    for one in gone:
        assert not store.check(one.member) and not store.check(one.member, "second")
        with pytest.raises(DamagedInstance):
            store.read_verified(one.member)
    for one in left:
        assert store.check(one.member) and store.check(one.member, "second")
        assert store.read_verified(one.member) == one.data
    assert [one.member for one in store.scan(info.name)] == [one.member for one in kept]
    dead = {one.member.header_offset for one in gone}
    assert [one.member for one in store.recover(info.name, 0, None, dead)] == [one.member for one in left]


def test_compaction_keeps_the_living_and_the_tombstones_in_their_order(store: BlobStore) -> None:
    kept = [put(store, noise(size, number), number) for number, size in enumerate((3000, 300_000, 10, 70_000))]
    store.tombstone(tombstone_of(kept[1]))
    info = sealed(store)
    before = {one.member: one for one in store.scan(info.name)}
    living = [kept[0].member, kept[3].member]
    for _ in range(2):  # a compaction that was broken off is done over itself
        new, moves = store.compact(info.name, living)
        assert new.name != info.name and new.size < info.size
        assert (new.state, new.indexed_to, new.members, new.tombstones) == ("sealed", new.size, 3, 1)
        assert [old for old, _ in moves] == living
        for old, member in moves:
            assert store.check(member) and member.sha256 == old.sha256 and member.pack == new.name
        found = list(store.scan(new.name))
        assert [one.is_instance for one in found] == [True, True, False]
        assert found[-1].tombstone is not None
        for (old, _), one in zip(moves, found, strict=False):
            assert (one.label, one.stored_ns) == (before[old].label, before[old].stored_ns)
    assert store.read_verified(moves[1][1]) == kept[3].data
    assert store.read_verified(kept[3].member) == kept[3].data  # the old pack stays until it is removed


def test_a_retired_pack_is_read_but_not_listed_and_removed_everywhere(store: BlobStore) -> None:
    kept = put(store, noise(3000))
    info = sealed(store)
    store.copy(info.name, "second", 0, info.size)
    store.retire(info.name)
    assert store.packs() == [] and list(store.retired()) == [info.name]
    assert store.read_verified(kept.member) == kept.data
    store.retire(info.name, False)
    assert [pack.name for pack in store.packs()] == [info.name] and not store.retired()
    store.retire(info.name)
    store.remove_pack(info.name)
    assert store.packs() == [] and not store.retired()
    assert list(store.scan(info.name)) == []
    assert not store.check(kept.member) and not store.check(kept.member, "second")


def test_what_is_read_at_once_is_what_is_read_and_nothing_else(store: BlobStore) -> None:
    kept = put(store, noise(70_000))
    assert store.read(kept.member, 0, 10) == kept.data[:10]
    for offset, length in ((0, 1), (5, 60_000), (69_999, 1)):
        assert store.read_at_once(kept.member, offset, length) in (kept.data[offset : offset + length], None)
        into = bytearray(length)
        if store.read_into_at_once(kept.member, offset, memoryview(into)):
            assert into == kept.data[offset : offset + length]
    assert not store.read_into_at_once(kept.member, 69_990, memoryview(bytearray(11)))


def test_a_damaged_member_is_never_read_at_once(store: BlobStore) -> None:
    kept = put(store, noise(70_000))
    store.sync([kept.member])
    damage(store, kept.member)
    assert not store.check(kept.member)
    assert store.read_at_once(kept.member, 0, 100) is None  # the whole is known as bad
    assert not store.read_into_at_once(kept.member, 0, memoryview(bytearray(100)))
