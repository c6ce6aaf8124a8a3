"""The contract of `ports.index.Index`, on every back end."""

from __future__ import annotations

import dataclasses

import pytest
from tests.support.index_arrivals import arrival, instance_uid, name_values, series_uid, study_uid
from tests.support.questions import all_matches

from vesalius.model.attributes import UNIQUE_KEYS
from vesalius.model.entities import (
    CopyInfo,
    Level,
    NativeFrames,
    NestedValue,
    Note,
    PackInfo,
    Peer,
    PixelLayout,
    StoredInstance,
    Values,
    Verdict,
)
from vesalius.model.query import ItemMatches, OneOf, Options, Query, Root
from vesalius.ports.index import Index

PATIENT_ID, PATIENT_NAME, SEX = 0x00100020, 0x00100010, 0x00100040
STUDY, SERIES, SOP = 0x0020000D, 0x0020000E, 0x00080018
MODALITIES, CLASSES, STUDY_SERIES, STUDY_INSTANCES = 0x00080061, 0x00080062, 0x00201206, 0x00201208
PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES, SERIES_INSTANCES = 0x00201200, 0x00201202, 0x00201204, 0x00201209
DESCRIPTION, REQUEST, ACCESSION = 0x00081030, 0x00400275, 0x00080050


def ask(index: Index, level: Level, *returns: int, **conditions: str) -> list[Values]:
    query = Query(
        root=Root.STUDY,
        level=level,
        conditions=tuple((int(tag, 16), OneOf((value,))) for tag, value in conditions.items()),
        returns=frozenset((UNIQUE_KEYS[level], *returns)),
        options=Options(relational=True),
    )
    return [match.values for match in all_matches(index, query)]


def number(values: Values, tag: int) -> int:
    return int(str(values[tag][0]))


# -- arriving


def test_an_instance_that_arrived_is_known_found_and_selected(index: Index) -> None:
    one = arrival()
    assert index.ingest([one]) == [Verdict.STORED]
    assert index.known([one.sop_instance, "1.2.3"]) == {one.sop_instance: (one.member.sha256, study_uid(1))}
    assert ask(index, Level.IMAGE) == [{SOP: (one.sop_instance,)}]
    assert list(index.select(Level.IMAGE, instances=[one.sop_instance])) == [
        StoredInstance(
            patient_id="P1",
            study=study_uid(1),
            series=series_uid(1, 1),
            sop_class=one.sop_class,
            sop_instance=one.sop_instance,
            transfer_syntax=one.transfer_syntax,
            member=one.member,
        )
    ]


def test_nothing_is_known_of_an_empty_index(index: Index) -> None:
    assert index.known([]) == {}
    assert index.known(["1.2.3"]) == {}
    assert index.ingest([]) == []
    assert index.totals().instances == 0
    assert list(index.select(Level.STUDY, studies=["1.2"])) == []
    assert list(index.members()) == []


@pytest.mark.parametrize("together", [True, False])
def test_the_same_content_again_is_a_duplicate_and_writes_nothing(index: Index, together: bool) -> None:
    one = arrival(notes=(Note("odd-length", SOP, "x"),))
    again = dataclasses.replace(one, member=dataclasses.replace(one.member, header_offset=8192, offset=9728))
    verdicts = index.ingest([one, again]) if together else index.ingest([one]) + index.ingest([again])
    assert verdicts == [Verdict.STORED, Verdict.DUPLICATE]
    assert len(list(index.members())) == 1
    assert len(index.notes()) == 1
    assert index.totals().instances == 1


@pytest.mark.parametrize("together", [True, False])
def test_other_content_is_kept_beside_the_first_which_stays_current(index: Index, together: bool) -> None:
    one, other = arrival(), arrival(content="other", offset=8192)
    verdicts = index.ingest([one, other]) if together else index.ingest([one]) + index.ingest([other])
    assert verdicts == [Verdict.STORED, Verdict.CONFLICT]
    assert [found.member for found in index.select(Level.IMAGE, instances=[one.sop_instance])] == [one.member]
    assert [(found.member, state) for found, state in index.members()] == [
        (one.member, "current"),
        (other.member, "conflict"),
    ]
    assert len(ask(index, Level.IMAGE)) == 1
    assert index.known([one.sop_instance])[one.sop_instance][0] == one.member.sha256
    assert [note["code"] for note in index.notes()] == ["conflict"]
    assert (index.totals().instances, index.totals().conflicts) == (1, 1)


def test_a_conflict_copy_that_comes_again_is_a_duplicate(index: Index) -> None:
    index.ingest([arrival(), arrival(content="other", offset=8192)])
    assert index.ingest([arrival(content="other", offset=16384)]) == [Verdict.DUPLICATE]
    assert index.ingest([arrival(content="third", offset=16384)]) == [Verdict.CONFLICT]
    assert [state for _, state in index.members()] == ["current", "conflict", "conflict"]


def test_a_conflict_copy_makes_no_study_appear(index: Index) -> None:
    index.ingest([arrival()])
    elsewhere = arrival(2, 1, 1, content="other", offset=8192)
    elsewhere = dataclasses.replace(elsewhere, sop_instance=instance_uid(1, 1, 1))
    assert index.ingest([elsewhere]) == [Verdict.CONFLICT]
    assert ask(index, Level.STUDY) == [{STUDY: (study_uid(1),)}]
    assert len(ask(index, Level.SERIES)) == 1


def test_a_batch_of_many_studies_makes_all_rows(index: Index) -> None:
    batch = [
        arrival(s, e, i, offset=((s * 3 + e) * 3 + i) * 4096) for s in range(4) for e in range(3) for i in range(3)
    ]
    assert index.ingest(batch) == [Verdict.STORED] * 36
    totals = index.totals()
    assert (totals.patients, totals.studies, totals.series, totals.instances) == (4, 4, 12, 36)
    assert totals.by_modality == {"CT": 36}
    assert totals.bytes == 36 * 1500
    assert [values[STUDY][0] for values in ask(index, Level.STUDY)] == [study_uid(s) for s in range(4)]


def test_the_pack_is_indexed_to_the_end_of_its_last_member(index: Index) -> None:
    one, two, other = arrival(), arrival(number=2), arrival(2, pack="pack-2")
    index.ingest([two, one, other])
    assert {pack.name: pack.indexed_to for pack in index.packs()} == {
        "pack-1": two.member.end,
        "pack-2": other.member.end,
    }


def test_pixels_and_their_frame_table_come_back(index: Index) -> None:
    layout = PixelLayout(0x7FE00010, 900, 12_345, True, ((908, 4000), (4908, 300_000), (400_000, 0), (10, 7)))
    native = PixelLayout(0x7FE00010, 900, 524_288, False)
    known = PixelLayout(0x7FE00010, 900, 1 << 33, False, native=NativeFrames(1 << 20, 1 << 16, 16))
    index.ingest([arrival(number=number, pixels=pixels) for number, pixels in enumerate((layout, native, known), 1)])
    assert [found.pixels for found in index.select(Level.STUDY, studies=[study_uid(1)])] == [layout, native, known]


# -- rows above


def test_counters_and_summaries_follow_every_arrival(index: Index) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    index.ingest([arrival(1, 1, 1, patient=7)])
    index.ingest([arrival(1, 1, 2, patient=7), arrival(1, 2, 1, patient=7, modality="MR", sop_class=mr, offset=8192)])
    index.ingest([arrival(2, 1, 1, patient=7, offset=16384)])
    (first, second) = ask(index, Level.STUDY, MODALITIES, CLASSES, STUDY_SERIES, STUDY_INSTANCES)
    assert first[MODALITIES] == ("CT", "MR")
    assert first[CLASSES] == ("1.2.840.10008.5.1.4.1.1.2", mr)
    assert (number(first, STUDY_SERIES), number(first, STUDY_INSTANCES)) == (2, 3)
    assert (number(second, STUDY_SERIES), number(second, STUDY_INSTANCES)) == (1, 1)
    (patient,) = ask(index, Level.PATIENT, PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES)
    assert [number(patient, tag) for tag in (PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES)] == [2, 3, 4]
    series = ask(index, Level.SERIES, SERIES_INSTANCES)
    assert [number(values, SERIES_INSTANCES) for values in series] == [2, 1, 1]


def test_the_same_patient_id_of_two_issuers_is_two_patients(index: Index) -> None:
    for study, issuer in ((1, "HERE"), (2, "THERE"), (3, None)):
        index.ingest([arrival(study, patient=7, offset=study * 4096, patient_values={"issuer_of_patient_id": issuer})])
    assert index.totals().patients == 3


def test_studies_without_a_patient_id_have_a_patient_each(index: Index) -> None:
    for study in (1, 2):
        index.ingest([arrival(study, 1, 1, offset=study * 8192, patient_values={"patient_id": None})])
        index.ingest([arrival(study, 1, 2, offset=study * 8192 + 4096, patient_values={"patient_id": ""})])
    assert index.totals().patients == 2


def test_an_empty_value_is_filled_and_a_first_value_stays(index: Index) -> None:
    index.ingest([arrival(number=1, study_values={"study_description": ""})])
    index.ingest([arrival(number=2, study_values={"study_description": "HEAD"}, patient_values={"patient_sex": "F"})])
    index.ingest([arrival(number=3, study_values={"study_description": "OTHER"}, patient_values={"patient_sex": "M"})])
    ((values),) = ask(index, Level.STUDY, DESCRIPTION, SEX)
    assert (values[DESCRIPTION], values[SEX]) == (("HEAD",), ("F",))


def test_a_value_is_filled_within_one_batch(index: Index) -> None:
    index.ingest([arrival(number=1), arrival(number=2, study_values={"study_description": "HEAD"})])
    assert ask(index, Level.STUDY, DESCRIPTION)[0][DESCRIPTION] == ("HEAD",)


def test_a_series_instance_uid_used_in_two_studies_is_found_in_both(index: Index) -> None:
    shared = {"series_instance_uid": series_uid(1, 1)}
    index.ingest([arrival(1, 1, 1), arrival(2, 1, 1, offset=4096, series_values=shared)])
    assert index.totals().series == 2
    assert [values[STUDY] for values in ask(index, Level.SERIES, STUDY)] == [(study_uid(1),), (study_uid(2),)]
    chosen = index.select(Level.SERIES, studies=[study_uid(2)], series=[series_uid(1, 1)])
    assert [found.sop_instance for found in chosen] == [instance_uid(2, 1, 1)]


def test_values_inside_sequences_are_matched(index: Index) -> None:
    sequence = (NestedValue(Level.SERIES, REQUEST, 0, ACCESSION, "R-77"),)
    text = '[{"00080050":["R-77"]}]'
    index.ingest(
        [arrival(1), arrival(2, offset=4096, nested=sequence, series_values={"request_attributes_sequence": text})]
    )
    query = Query(
        root=Root.STUDY,
        level=Level.SERIES,
        conditions=((REQUEST, ItemMatches(((ACCESSION, OneOf(("R-77",))),))),),
        returns=frozenset((SERIES,)),
        options=Options(relational=True),
    )
    assert [match.values[SERIES] for match in all_matches(index, query)] == [(series_uid(2, 1),)]


# -- selecting


def test_a_selection_comes_in_order_of_study_series_and_number(index: Index) -> None:
    wanted = [(s, e, i) for s in (1, 2) for e in (1, 2) for i in (1, 2, 10)]
    shuffled = [wanted[(7 * k + 3) % 12] for k in range(12)]
    index.ingest([arrival(s, e, i, patient=1, offset=k * 4096) for k, (s, e, i) in enumerate(shuffled)])
    in_order = [instance_uid(*key) for key in wanted]
    assert [f.sop_instance for f in index.select(Level.PATIENT, patient_id="P1")] == in_order
    assert [f.sop_instance for f in index.select(Level.STUDY, studies=[study_uid(2), study_uid(1)])] == in_order
    assert [f.sop_instance for f in index.select(Level.STUDY, studies=[study_uid(2)])] == in_order[6:]
    assert [f.sop_instance for f in index.select(Level.SERIES, series=[series_uid(1, 2)])] == in_order[3:6]
    some = [in_order[11], in_order[0], "1.2.3"]
    assert [f.sop_instance for f in index.select(Level.IMAGE, instances=some)] == [in_order[0], in_order[11]]


def test_all_keys_of_a_selection_must_hold(index: Index) -> None:
    index.ingest([arrival(1), arrival(2, offset=4096)])
    uid = instance_uid(1, 1, 1)
    keys = {"studies": [study_uid(1)], "series": [series_uid(1, 1)], "instances": [uid]}
    assert [f.sop_instance for f in index.select(Level.IMAGE, patient_id="P1", **keys)] == [uid]
    assert list(index.select(Level.IMAGE, patient_id="P2", **keys)) == []
    assert list(index.select(Level.IMAGE, studies=[study_uid(2)], instances=[uid])) == []
    assert list(index.select(Level.IMAGE, series=[series_uid(2, 1)], instances=[uid])) == []


def test_a_selection_longer_than_a_page_is_complete(index: Index) -> None:
    index.ingest([arrival(1, 1, number) for number in range(1, 1201)])
    chosen = list(index.select(Level.STUDY, studies=[study_uid(1)]))
    assert [found.sop_instance for found in chosen] == [instance_uid(1, 1, number) for number in range(1, 1201)]
    assert len(list(index.members("pack-1"))) == 1200


def test_a_list_of_a_hundred_thousand_uids_is_answered(index: Index) -> None:
    index.ingest([arrival(1, 1, number) for number in range(1, 11)])
    many = [instance_uid(1, 1, number) for number in range(1, 100_001)]
    assert len(list(index.select(Level.IMAGE, instances=many))) == 10


# -- packs, copies, damage


def test_packs_and_copies_are_remembered(index: Index) -> None:
    sealed = PackInfo("p", "sealed", 0, 9000, 3, 512, "ab" * 32)
    index.save_pack(sealed)
    index.save_pack(dataclasses.replace(sealed, indexed_to=9000))
    index.save_pack(dataclasses.replace(sealed, dead_bytes=1024))
    assert index.packs() == [PackInfo("p", "sealed", 9000, 9000, 3, 1024, "ab" * 32)]
    index.save_copy(CopyInfo("p", "disk2", 100))
    index.save_copy(CopyInfo("p", "disk3", 50))
    index.save_copy(CopyInfo("p", "disk2", 200, "2026-01-02"))
    assert index.copies() == [CopyInfo("p", "disk2", 200, "2026-01-02"), CopyInfo("p", "disk3", 50)]
    assert index.copies("disk3") == [CopyInfo("p", "disk3", 50)]


def test_members_come_in_order_of_pack_and_offset(index: Index) -> None:
    index.ingest([arrival(1, 1, 3, pack="b"), arrival(1, 1, 2, pack="b"), arrival(1, 1, 1, pack="c")])
    index.ingest([arrival(1, 1, 9, pack="a")])
    places = [(found.member.pack, found.member.offset) for found, _ in index.members()]
    assert places == sorted(places)
    assert [found.sop_instance for found, _ in index.members("b")] == [instance_uid(1, 1, 2), instance_uid(1, 1, 3)]
    assert list(index.members("nowhere")) == []


def test_damage_is_remembered_until_it_is_repaired(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.mark_damaged(one.member, "", True)
    index.mark_damaged(one.member, "", True)
    assert [state for _, state in index.members()] == ["damaged"]
    assert len(list(index.select(Level.IMAGE, instances=[one.sop_instance]))) == 1
    index.mark_damaged(one.member, "", False)
    assert [state for _, state in index.members()] == ["current"]


def test_damage_of_a_further_place_leaves_the_instance_current(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.mark_damaged(one.member, "disk2", True)
    assert [state for _, state in index.members()] == ["current"]


def test_a_damaged_instance_is_healed_by_the_same_content(index: Index) -> None:
    one = arrival()
    index.ingest([one])
    index.mark_damaged(one.member, "", True)
    assert index.known([one.sop_instance]) == {}, "so that its bytes are taken again"
    again = arrival(offset=40960, pack="pack-2")
    assert index.ingest([again]) == [Verdict.STORED]
    assert [(found.member, state) for found, state in index.members()] == [(again.member, "current")]
    assert index.totals().instances == 1
    assert "healed" in {note["code"] for note in index.notes()}


# -- notes


def test_notes_are_kept_newest_first(index: Index) -> None:
    index.ingest([arrival(1, notes=(Note("odd-length", 0x00080050, "first"),))])
    index.ingest([arrival(2, offset=4096, notes=(Note("bad-value", 0x00080020, "second"),))])
    notes = index.notes()
    assert [note["text"] for note in notes] == ["second", "first"]
    assert notes[1] == {
        "at": "2026-01-02T03:04:05.000006Z",
        "code": "odd-length",
        "tag": "00080050",
        "text": "first",
        "study": study_uid(1),
        "series": series_uid(1, 1),
        "sop_instance": instance_uid(1, 1, 1),
        "sender": "SCU",
    }
    assert [note["text"] for note in index.notes(study_uid(1))] == ["first"]
    assert len(index.notes(limit=1)) == 1


def test_a_study_under_another_patient_is_noted_once_and_stays(index: Index) -> None:
    index.ingest([arrival(1, 1, 1, patient=1)])
    index.ingest([arrival(1, 1, 2, patient=2), arrival(1, 1, 3, patient=2)])
    index.ingest([arrival(1, 1, 4, patient=1), arrival(1, 1, 5, patient=2)])
    assert [note["code"] for note in index.notes()] == ["study-patient-mismatch"]
    assert ask(index, Level.STUDY, PATIENT_ID) == [{STUDY: (study_uid(1),), PATIENT_ID: ("P1",)}]
    assert index.totals().patients == 1
    assert index.totals().instances == 5


@pytest.mark.parametrize(
    "other", [name_values("Else^Someone"), {"patient_birth_date": "19800101", "patient_birth_date_norm": "19800101"}]
)
def test_another_name_or_birth_date_of_one_patient_is_noted_and_the_first_stays(
    index: Index, other: dict[str, str]
) -> None:
    index.ingest([arrival(1, patient=1)])
    index.ingest([arrival(2, patient=1, offset=4096, patient_values=other | {"patient_sex": "O"})])
    assert [(note["code"], note["study"]) for note in index.notes()] == [("patient-mismatch", study_uid(2))]
    ((values),) = ask(index, Level.PATIENT, PATIENT_NAME, SEX)
    assert values[PATIENT_NAME] == ("Person1^Some",)
    assert values[SEX] == (), "what may be another person's value fills nothing"


def test_a_name_that_differs_in_case_and_padding_is_the_same(index: Index) -> None:
    index.ingest([arrival(1, patient=1)])
    index.ingest([arrival(2, patient=1, offset=4096, patient_values=name_values("PERSON1^some^"))])
    assert index.notes() == []


# -- peers


def test_peers_are_kept_changed_and_removed(index: Index) -> None:
    one = Peer("ws1", "10.0.0.1", 104, "WS1", frozenset({"query", "retrieve"}), ("ws2", "*"), True, True, "desk")
    two = Peer("ct", "10.0.0.2", 11112, "CT")
    index.save_peer(one)
    index.save_peer(two)
    assert index.peers() == [two, one]
    moved = dataclasses.replace(one, host="10.0.0.9", rights=frozenset(), move_to=())
    index.save_peer(moved)
    assert index.peers() == [two, moved]
    assert index.remove_peer("ws1") is True
    assert index.remove_peer("ws1") is False
    assert index.peers() == [two]


# -- the whole


def test_clear_forgets_all_but_the_peers(index: Index) -> None:
    index.save_peer(Peer("ct", "10.0.0.2", 11112, "CT"))
    one = arrival(notes=(Note("x", 1, "y"),))
    index.ingest([one])
    index.save_copy(CopyInfo("pack-1", "disk2", 100))
    index.clear()
    assert [peer.name for peer in index.peers()] == ["ct"]
    assert (index.packs(), index.copies(), index.notes(), list(index.members())) == ([], [], [], [])
    assert index.known([one.sop_instance]) == {}
    assert ask(index, Level.PATIENT) == []
    assert index.ingest([one]) == [Verdict.STORED]
    assert (index.totals().patients, index.totals().instances) == (1, 1)


def test_ping_and_optimise_answer(index: Index) -> None:
    index.ingest([arrival()])
    index.ping()
    index.optimise()
    assert len(ask(index, Level.IMAGE)) == 1
