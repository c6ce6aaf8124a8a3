"""Deletion in the index, on every back end: what goes, what stays, what is counted (ports/index_deletions.py)."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

import pytest
from tests.support.index_arrivals import arrival, instance_uid, series_uid, study_uid
from tests.support.questions import all_matches

from vesalius.backends.index_memory import MemoryIndex
from vesalius.backends.index_sql import SqlIndex
from vesalius.model.attributes import UNIQUE_KEYS
from vesalius.model.entities import (
    Arrival,
    CopyInfo,
    Level,
    Member,
    NestedValue,
    Note,
    PackInfo,
    Removed,
    Tombstone,
    Values,
    Verdict,
)
from vesalius.model.query import Options, Query, Root
from vesalius.ports.index import Index

MODALITIES, CLASSES = 0x00080061, 0x00080062
COUNTS = {
    Level.PATIENT: (0x00201200, 0x00201202, 0x00201204),
    Level.STUDY: (0x00201206, 0x00201208),
    Level.SERIES: (0x00201209,),
}
TOMB = Member("pack-9", 0, 2560, 900, 2560, 900, "ab" * 32)
AT = "2026-02-03T04:05:06.000000Z"


def tombstone(
    members: Sequence[Removed], *, deletion: str = "d1", kind: str = "deleted", level: Level = Level.STUDY
) -> Tombstone:
    study = members[0].study if members else study_uid(1)
    return Tombstone(deletion, kind, level, study, "", "", AT, "someone", "127.0.0.1", "a reason", tuple(members))


def removed(one: Arrival) -> Removed:
    record = one.record
    return Removed(
        str(record.study["study_instance_uid"]),
        str(record.series["series_instance_uid"]),
        one.sop_instance,
        one.member,
    )


def rows(index: Index, level: Level) -> list[Values]:
    """Every row of a level with its counts and unions, in an order of its own."""
    tags = (UNIQUE_KEYS[level], *COUNTS.get(level, ()), *((MODALITIES, CLASSES) if level is Level.STUDY else ()))
    query = Query(Root.PATIENT, level, (), frozenset(tags), options=Options(relational=True))
    return sorted((dict(sorted(match.values.items())) for match in all_matches(index, query)), key=repr)


def everything(index: Index) -> dict[str, object]:
    """What can be seen of the index, its packs left aside."""
    totals = dataclasses.replace(index.totals(), packs=0)
    return {
        "totals": dataclasses.replace(totals, by_modality={k: n for k, n in totals.by_modality.items() if n}),
        **{level.name: rows(index, level) for level in Level},
        "members": [(stored.sop_instance, state) for stored, state in index.members()],
    }


STUDIES = [
    arrival(1, 1, 1, patient=1, offset=0),
    arrival(1, 1, 2, patient=1, offset=4096),
    arrival(1, 2, 1, patient=1, offset=8192, modality="PT", sop_class="1.2.840.10008.5.1.4.1.1.128"),
    arrival(2, 1, 1, patient=1, offset=12288),
    arrival(3, 1, 1, patient=2, offset=16384),
    arrival(3, 1, 1, patient=2, offset=20480, content="other"),
]


@pytest.mark.parametrize(
    "gone", [[0], [0, 1], [2], [0, 1, 2], [3], [0, 1, 2, 3], [4, 5], [0, 1, 2, 3, 4, 5], []], ids=str
)
def test_what_is_left_is_as_if_the_rest_had_never_come(index: Index, gone: list[int]) -> None:
    index.ingest(STUDIES)
    index.remove(tombstone([removed(STUDIES[number]) for number in gone]), TOMB)
    never = MemoryIndex()
    never.ingest([one for number, one in enumerate(STUDIES) if number not in gone])
    assert everything(index) == everything(never)


def test_kept_names_everything_below_and_the_conflict_copies(index: Index) -> None:
    index.ingest(STUDIES)
    assert index.kept(study_uid(1)) == [removed(one) for one in STUDIES[:3]]
    assert index.kept(study_uid(1), series_uid(1, 1)) == [removed(one) for one in STUDIES[:2]]
    assert index.kept(study_uid(1), series_uid(1, 1), instance_uid(1, 1, 2)) == [removed(STUDIES[1])]
    assert index.kept(study_uid(3)) == [removed(one) for one in STUDIES[4:]]
    assert index.kept("1.2.3") == []
    assert index.kept(study_uid(2), series_uid(1, 1)) == []


def test_what_was_removed_is_known_found_and_selected_no_more_and_can_arrive_again(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.remove(tombstone([removed(one)]), TOMB)
    assert index.known([one.sop_instance]) == {}
    assert list(index.select(Level.STUDY, studies=[study_uid(1)])) == []
    assert list(index.members()) == []
    again = arrival(offset=65536)
    assert index.ingest([again]) == [Verdict.STORED]
    assert [stored.member for stored in index.select(Level.STUDY, studies=[study_uid(1)])] == [again.member]


def test_removing_twice_removes_nothing_that_came_since(index: Index) -> None:
    one, again = arrival(), arrival(offset=65536)
    index.ingest([one])
    index.remove(tombstone([removed(one)]), TOMB)
    index.ingest([again])
    before = everything(index)
    index.remove(tombstone([removed(one)]), TOMB)
    assert everything(index) == before
    assert [(deletion.id, deletion.instances) for deletion in index.deletions()] == [("d1", 1)]
    assert [event.kind for event in index.events(0)] == ["stored", "deleted", "stored"]


def test_a_conflict_copy_that_the_tombstone_does_not_know_becomes_current(index: Index) -> None:
    first, second = arrival(offset=0), arrival(offset=4096, content="other")
    index.ingest([first, second])
    index.remove(tombstone([removed(first)]), TOMB)
    assert [stored.member for stored in index.select(Level.STUDY, studies=[study_uid(1)])] == [second.member]
    totals = index.totals()
    assert (totals.instances, totals.conflicts, totals.bytes) == (1, 0, second.member.dataset_length)
    index.remove(tombstone([removed(second)], deletion="d2"), TOMB)
    assert (index.totals().instances, index.totals().studies, index.totals().bytes) == (0, 0, 0)


def test_removing_only_the_conflict_copy_leaves_the_first(index: Index) -> None:
    first, second = arrival(offset=0), arrival(offset=4096, content="other")
    index.ingest([first, second])
    index.remove(tombstone([removed(second)]), TOMB)
    assert [stored.member for stored in index.select(Level.STUDY, studies=[study_uid(1)])] == [first.member]
    assert (index.totals().instances, index.totals().conflicts) == (1, 0)


def test_notes_nested_values_and_damage_go_with_their_instance(index: Index) -> None:
    nested = (NestedValue(Level.IMAGE, 0x00081140, 0, 0x00081155, "1.2.3"),)
    noted = arrival(1, 1, 1, notes=(Note("odd-length", 0x00100010, "x"),), nested=nested)
    other = arrival(1, 1, 2, notes=(Note("bad-value", 0x00100010, "y"),))
    index.ingest([noted, other])
    index.mark_damaged(noted.member, "", True)
    index.remove(tombstone([removed(noted)]), TOMB)
    assert [note["code"] for note in index.notes()] == ["bad-value"]
    assert index.totals().notes == 1
    assert [state for _, state in index.members()] == ["current"]


def test_a_deletion_is_remembered_with_its_reason_and_members(index: Index) -> None:
    index.ingest(STUDIES)
    going = [removed(one) for one in STUDIES[:3]]
    index.remove(tombstone(going), TOMB)
    (deletion,) = index.deletions()
    assert (deletion.id, deletion.state, deletion.level, deletion.study) == ("d1", "deleted", Level.STUDY, study_uid(1))
    assert (deletion.at, deletion.who, deletion.address, deletion.reason) == (AT, "someone", "127.0.0.1", "a reason")
    assert (deletion.instances, deletion.bytes) == (3, 4500)
    assert index.deleted_members("d1") == going
    assert index.deletions(study=study_uid(1)) == index.deletions(deletion="d1") == [deletion]
    assert index.deletions(study=study_uid(2)) == index.deletions(state="purged") == []
    assert index.deletions(before=AT) == []
    assert index.deletions(before="2026-02-03T04:05:07") == [deletion]
    assert index.is_deleted(study_uid(1))
    assert index.is_deleted(study_uid(1), series_uid(1, 2))
    assert index.is_deleted(study_uid(1), series_uid(1, 1), instance_uid(1, 1, 1))
    assert not index.is_deleted(study_uid(1), series_uid(1, 1), instance_uid(1, 2, 1))
    assert not index.is_deleted(study_uid(2))
    assert index.packs_with_deleted() == {"pack-1"}


def test_several_tombstones_of_one_deletion_add_up_and_are_announced_once(index: Index) -> None:
    index.ingest(STUDIES[:3])
    for one in STUDIES[:3]:
        index.remove(tombstone([removed(one)]), TOMB)
    (deletion,) = index.deletions()
    assert (deletion.instances, deletion.bytes) == (3, 4500)
    assert [event.kind for event in index.events(0)].count("deleted") == 1


def test_a_restored_deletion_is_announced_and_forgotten_as_such(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.remove(tombstone([removed(one)]), TOMB)
    index.ingest([one])
    back = tombstone([removed(one)], kind="restored")
    index.restored(back, TOMB)
    index.restored(back, TOMB)
    assert index.deletions()[0].state == "restored"
    assert not index.is_deleted(study_uid(1))
    assert index.packs_with_deleted() == set()
    events = index.events(0)
    assert [event.kind for event in events] == ["stored", "deleted", "stored", "restored"]
    assert (events[-1].study, events[-1].sender, events[-1].at) == (study_uid(1), "someone", AT)
    index.purged("d1")
    assert index.deletions()[0].state == "restored"


def test_a_purged_deletion_can_not_be_brought_back(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.remove(tombstone([removed(one)]), TOMB)
    index.purged("d1")
    assert index.deletions()[0].state == "purged"
    index.restored(tombstone([removed(one)], kind="restored"), TOMB)
    assert index.deletions()[0].state == "purged"
    assert not index.is_deleted(study_uid(1))


def test_the_index_has_come_to_the_tombstones_end_only_where_all_before_it_is_told(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.remove(tombstone([removed(one)]), TOMB, told=False)
    assert {pack.name: pack.indexed_to for pack in index.packs()}["pack-9"] == 0
    index.remove(tombstone([removed(one)]), TOMB)
    assert {pack.name: pack.indexed_to for pack in index.packs()}["pack-9"] == TOMB.end
    further = dataclasses.replace(TOMB, header_offset=8192, offset=10752, dataset_offset=10752)
    index.restored(tombstone([removed(one)], kind="restored"), further)
    assert {pack.name: pack.indexed_to for pack in index.packs()}["pack-9"] == further.end


def test_a_pack_moves_with_all_that_is_counted_for_it(index: Index) -> None:
    ones = [arrival(1, 1, number, offset=4096 * number) for number in range(1, 4)]
    index.ingest(ones)
    index.save_pack(PackInfo("pack-1", "sealed", 20480, 20480, 3, 0, "ab" * 32))
    index.save_copy(CopyInfo("pack-1", "second", 20480))
    index.mark_damaged(ones[0].member, "second", True)
    index.remove(tombstone([removed(ones[1])]), TOMB)
    before = everything(index)
    moved = [
        dataclasses.replace(one.member, pack="pack-1b", header_offset=at, offset=at + 1536, dataset_offset=at + 2036)
        for one, at in ((ones[0], 0), (ones[2], 4096))
    ]
    new = PackInfo("pack-1b", "sealed", 8192, 8192, 2, 0, "cd" * 32)
    index.move_pack("pack-1", new, [(ones[0].member, moved[0]), (ones[2].member, moved[1])])
    assert everything(index) == before
    assert [stored.member for stored, _ in index.members("pack-1b")] == moved
    assert [pack.name for pack in index.packs()] == ["pack-1b", "pack-9"]
    (found,) = [pack for pack in index.packs() if pack.name == "pack-1b"]
    assert (found.state, found.size, found.indexed_to, found.sha256) == ("sealed", 8192, 8192, "cd" * 32)
    assert index.copies() == []
    index.move_pack("pack-1", new, [])  # again, after a crash: nothing to do
    assert everything(index) == before


def test_clear_forgets_deletions_too(index: Index) -> None:
    index.ingest([arrival()])
    index.remove(tombstone([removed(arrival())]), TOMB)
    index.clear()
    assert index.deletions() == []
    assert index.totals().patients == 0


def test_instances_that_arrive_while_their_series_goes_are_never_lost(
    open_index: Callable[[], SqlIndex],
) -> None:
    """Many rounds of store and delete of the same study from two processes' views: counts are right at the end."""
    storing, deleting = open_index(), open_index()
    failures: list[BaseException] = []
    rounds = 25

    def store() -> None:
        try:
            for number in range(rounds):
                storing.ingest([arrival(1, 1, number + 1, offset=4096 * number), arrival(2, 1, number + 1, pack="p2")])
        except BaseException as error:
            failures.append(error)

    def delete() -> None:
        try:
            for number in range(rounds):
                found = deleting.kept(study_uid(1))
                place = dataclasses.replace(TOMB, header_offset=4096 * number)
                deleting.remove(tombstone(found, deletion=f"d{number}"), place)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=store), threading.Thread(target=delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    left = [stored for stored, _ in storing.members()]
    totals = storing.totals()
    assert totals.instances == len(left)
    in_first = [stored for stored in left if stored.study == study_uid(1)]
    assert len(left) - len(in_first) == rounds
    gone = [one for number in range(rounds) for one in storing.deleted_members(f"d{number}")]
    assert len(gone) + len(in_first) == rounds
    counts = {
        values[0x0020000D][0]: (values[0x00201206][0], values[0x00201208][0]) for values in rows(storing, Level.STUDY)
    }
    assert counts.get(study_uid(1)) == (("1", str(len(in_first))) if in_first else None)
    deleting.remove(tombstone(deleting.kept(study_uid(1)), deletion="last"), TOMB)
    assert deleting.totals().studies == 1
