from __future__ import annotations

import pytest
from tests.support.archive import LocalArchive
from tests.support.generate import ct, uid

from vesalius.archive.search import Search, unique_keys
from vesalius.model.entities import Level, Values
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse

LEVEL, RETRIEVE_AET, AVAILABILITY = 0x00080052, 0x00080054, 0x00080056
PATIENT_NAME, PATIENT_ID, STUDY, SERIES, IMAGE = 0x00100010, 0x00100020, 0x0020000D, 0x0020000E, 0x00080018


def find(archive: LocalArchive, root: Root, values: Values) -> list[Values]:
    query = parse(values, root, None, Options())
    return [answer for page in Search(archive.index, "VESALIUS").find(query) for answer in page]


@pytest.mark.parametrize(
    ("root", "level", "tags"),
    [
        (Root.PATIENT, Level.PATIENT, (PATIENT_ID,)),
        (Root.PATIENT, Level.IMAGE, (PATIENT_ID, STUDY, SERIES, IMAGE)),
        (Root.STUDY, Level.STUDY, (STUDY,)),
        (Root.STUDY, Level.SERIES, (STUDY, SERIES)),
    ],
)
def test_unique_keys_go_from_the_root_down(root: Root, level: Level, tags: tuple[int, ...]) -> None:
    assert unique_keys(root, level) == tags


def test_an_answer_says_its_level_where_to_retrieve_from_and_that_it_is_online(archive: LocalArchive) -> None:
    archive.keep(ct())
    (answer,) = find(archive, Root.STUDY, {LEVEL: ("STUDY",), PATIENT_NAME: ("doe*",), STUDY: ()})
    assert answer == {
        LEVEL: ("STUDY",),
        RETRIEVE_AET: ("VESALIUS",),
        AVAILABILITY: ("ONLINE",),
        PATIENT_NAME: ("Doe^Jane",),
        STUDY: (uid("study", 1),),
    }


def test_unique_keys_up_the_tree_are_answered_though_not_asked_for(archive: LocalArchive) -> None:
    archive.keep(ct())
    values: Values = {
        LEVEL: ("IMAGE",),
        PATIENT_ID: ("PID-1",),
        STUDY: (uid("study", 1),),
        SERIES: (uid("series", 1, 1),),
    }
    (answer,) = find(archive, Root.PATIENT, values)
    assert answer[IMAGE] == (uid("instance", 1, 1, 1),)
    assert {PATIENT_ID, STUDY, SERIES} <= answer.keys()


def test_a_key_without_value_is_answered_empty(archive: LocalArchive) -> None:
    archive.keep(ct())
    (answer,) = find(archive, Root.STUDY, {LEVEL: ("STUDY",), 0x00081060: (), STUDY: ()})
    assert answer[0x00081060] == ()


def test_nothing_found_is_no_answer(archive: LocalArchive) -> None:
    assert find(archive, Root.STUDY, {LEVEL: ("STUDY",), PATIENT_ID: ("nobody",)}) == []
