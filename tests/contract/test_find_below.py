"""Questions with keys below the level that they ask for, as relational queries may hold them (PS3.4 C.4.1.2.2.1).

The oracle here knows no index: it reads the data sets that went in, one by one, and says what lies in what.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import population
from tests.support.postgres import PostgresServer
from tests.support.questions import all_matches

from vesalius.backends import query_sql
from vesalius.backends.database import open_database
from vesalius.backends.index_memory import MemoryIndex
from vesalius.backends.index_sql import SqlIndex
from vesalius.model.attributes import BY_TAG, UNIQUE_KEYS
from vesalius.model.entities import Level, Values
from vesalius.model.errors import UnableToProcess
from vesalius.model.query import Options, Query, Root
from vesalius.model.query_parser import parse
from vesalius.ports.index import Index, in_batches

STUDIES = 60
PATIENT, STUDY, SERIES, SOP = (UNIQUE_KEYS[level] for level in Level)
ISSUER = 0x00100021
MODALITY, BODY_PART, IMAGE_TYPE, OPERATORS = 0x00080060, 0x00180015, 0x00080008, 0x00081070
RELATIONAL = Options(relational=True)
PAIRS = [(high, low) for low in Level for high in Level if high < low]
# Values that the data sets really hold and that only mean themselves, with the keys that may be asked for by them.
PLAIN = (STUDY, SERIES, SOP, MODALITY, BODY_PART, 0x00080016, 0x00280010)
FORCED_WALK = {"FEW": 0, "MANY": 0, "FIRST_WINDOW": 3, "WINDOW": 7, "PAGE": 4}
FORCED_SEEK = {"FEW": 0, "FIRST_PAGE": 1, "PAGE": 2, "PARENTS": 2}


def rows() -> list[Values]:
    """Data sets, one an instance: every patient has an ID, every series a body part."""
    rng = random.Random(11)
    parts: dict[str, str] = {}
    made = []
    for values in population.population(5, STUDIES):
        part = parts.setdefault(str(values[SERIES][0]), rng.choice(("HEAD", "CHEST", "KNEE")))
        patient = values[PATIENT] if values[PATIENT][0] else ("P0",)
        made.append({**values, BODY_PART: (part,), PATIENT: patient, ISSUER: ("",)})
    return made


ROWS = rows()


@pytest.fixture(scope="module", params=["memory", "sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    index: Index
    if request.param == "memory":
        index = MemoryIndex()
    elif request.param == "sqlite":
        index = SqlIndex(open_database(f"sqlite:///{tmp_path_factory.mktemp('below')}/index.db"))
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        index = SqlIndex(open_database(server.create("find_below")))
    for batch in in_batches((population.arrival(values, number=n) for n, values in enumerate(ROWS)), 40):
        index.ingest(batch)
    yield index
    index.close()


def found(index: Index, query: Query) -> list[str]:
    """The unique keys of the answers, each entity once."""
    uids = [str(match.values[UNIQUE_KEYS[query.level]][0]) for match in all_matches(index, query)]
    assert len(uids) == len(set(uids))
    return sorted(uids)


def every_way(index: Index, query: Query) -> list[str]:
    """The same by the way that is chosen, by walking and by seeking through many."""
    chosen = found(index, query)
    if isinstance(index, MemoryIndex):
        return chosen
    for figures in (FORCED_WALK, FORCED_SEEK):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in figures.items():
                patch.setattr(query_sql, name, value)
            assert found(index, query) == chosen
    return chosen


def holders(level: Level, satisfies: Callable[[Values], bool]) -> list[str]:
    """Who has an instance that satisfies something, read from the data sets."""
    return sorted({str(values[UNIQUE_KEYS[level]][0]) for values in ROWS if satisfies(values)})


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PAIRS), st.lists(st.sampled_from(ROWS), min_size=1, max_size=3), st.data())
def test_one_path_satisfies_all_that_is_asked_below(
    filled: Index, pair: tuple[Level, Level], like: list[Values], data: st.DataObject
) -> None:
    high, low = pair
    keys = [tag for tag in PLAIN if high < BY_TAG[tag].level <= low]
    tags = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True))
    # Each value from a data set of its own: most often several rows hold one each and none holds all.
    asked: Values = {tag: data.draw(st.sampled_from(like))[tag] or ("",) for tag in tags}
    query = parse(asked, Root.PATIENT, high, RELATIONAL)
    wanted = [(tag, value) for tag, value in asked.items() if value != ("",)]
    assert every_way(filled, query) == holders(high, lambda row: all(row[tag] == value for tag, value in wanted))


_SEQUENCE = 0x00400275
LOWER: dict[int, st.SearchStrategy[tuple[str, ...] | tuple[Values, ...]]] = {
    0x00081030: st.sampled_from((("HEAD",), ("H*",))),
    MODALITY: st.sampled_from((("CT",), ("CT", "MR"), ("?R",), ('""',))),
    BODY_PART: st.sampled_from((("HEAD",), ("*E*",))),
    OPERATORS: st.sampled_from((("doe*",), ("smith^jon",), ('""',))),
    0x00400244: st.sampled_from((("20200101-",), ("20200101-20200131",))),
    0x00400245: st.sampled_from((("10",), ("0900-1200",))),
    _SEQUENCE: st.sampled_from((({0x00401001: ("R*",), 0x00400009: ("SPS1",)},), ({0x00401001: ('""',)},))),
    0x00080201: st.sampled_from((("+0100",), ("-0500",))),
    IMAGE_TYPE: st.sampled_from((("*L*L*",), ("A*B",), ("AXIAL", "LOCALIZER"))),
    0x00200013: st.sampled_from((("1",), ('""',))),
    0x00080023: st.sampled_from((("20200101-",), ("-20200101",))),
    0x00080033: st.sampled_from((("10",), ("2300-",))),
}
_options = st.builds(Options, st.just(True), *(st.booleans() for _ in range(5)))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(PAIRS),
    st.lists(st.sampled_from(sorted(LOWER)), min_size=1, max_size=4, unique=True).flatmap(
        lambda tags: st.fixed_dictionaries({tag: LOWER[tag] for tag in tags})
    ),
    _options,
)
def test_who_answers_is_who_holds_an_answer_of_the_lower_level(
    filled: Index, pair: tuple[Level, Level], values: Values, options: Options
) -> None:
    """Every kind of matching: at the lower level the same keys lie at the level or above it, which needs no looking
    below, and whoever holds one of those answers is the answer."""
    high, low = pair
    keys = {tag: value for tag, value in values.items() if BY_TAG[tag].level <= low}
    try:
        query = parse(keys, Root.PATIENT, high, options)
    except UnableToProcess:
        return
    below = parse(keys, Root.PATIENT, low, options)
    expected = {str(match.values[UNIQUE_KEYS[high]][0]) for match in all_matches(filled, below)}
    assert every_way(filled, query) == sorted(expected)


def test_the_conditions_on_series_hold_in_one_series(filled: Index) -> None:
    for modality in ("CT", "MR", "SR"):
        for part in ("HEAD", "CHEST", "KNEE"):
            query = parse({MODALITY: (modality,), BODY_PART: (part,)}, Root.STUDY, Level.STUDY, RELATIONAL)
            apart = set(holders(Level.STUDY, lambda row, m=modality: row[MODALITY] == (m,)))  # type: ignore[misc]
            apart &= set(holders(Level.STUDY, lambda row, p=part: row[BODY_PART] == (p,)))  # type: ignore[misc]
            one = holders(Level.STUDY, lambda row, m=modality, p=part: row[MODALITY] == (m,) and row[BODY_PART] == (p,))  # type: ignore[misc]
            assert every_way(filled, query) == one
            assert set(one) <= apart


def test_the_instance_lies_in_the_series_that_was_asked_for(filled: Index) -> None:
    row, other = next(
        (one, two) for one in ROWS for two in ROWS if one[STUDY] == two[STUDY] and one[SERIES] != two[SERIES]
    )
    same = parse({SERIES: row[SERIES], SOP: row[SOP]}, Root.STUDY, Level.STUDY, RELATIONAL)
    assert every_way(filled, same) == [row[STUDY][0]]
    crossed = parse({SERIES: other[SERIES], SOP: row[SOP]}, Root.STUDY, Level.STUDY, RELATIONAL)
    assert every_way(filled, crossed) == []


def test_a_long_list_below_the_level_is_answered(filled: Index) -> None:
    uids = tuple(f"1.9.{number}" for number in range(3000)) + tuple(str(row[SOP][0]) for row in ROWS[:40])
    query = parse({SOP: uids}, Root.STUDY, Level.STUDY, RELATIONAL)
    assert found(filled, query) == sorted({str(row[STUDY][0]) for row in ROWS[:40]})


def test_a_part_of_the_answers_is_a_part_of_the_whole(filled: Index) -> None:
    query = parse({MODALITY: ("CT",), IMAGE_TYPE: ("*X*L",)}, Root.STUDY, Level.STUDY, RELATIONAL)

    def uids(query: Query) -> list[str]:
        return [str(match.values[STUDY][0]) for match in all_matches(filled, query)]

    whole = uids(query)
    assert len(whole) > 5
    assert uids(replace(query, offset=2, limit=3)) == whole[2:5]
    assert uids(replace(query, newest_first=True, limit=4)) == whole[::-1][:4]


def test_an_answer_holds_nothing_from_below_its_level(filled: Index) -> None:
    query = parse({MODALITY: ("CT",), 0x00080020: ()}, Root.STUDY, Level.STUDY, RELATIONAL)
    matches = all_matches(filled, query)
    assert matches
    assert {tag for match in matches for tag in match.values} == {STUDY, 0x00080020}


def test_a_conflict_copy_proves_nothing(index: Index) -> None:
    first = ROWS[0]
    for place, number in enumerate(("1", "77")):
        index.ingest([population.arrival({**first, 0x00200013: (number,)}, number=place)])
    for number, expected in (("1", [str(first[STUDY][0])]), ("77", [])):
        assert found(index, parse({0x00200013: (number,)}, Root.STUDY, Level.STUDY, RELATIONAL)) == expected
        asked: Values = {0x00200013: (number,), SOP: first[SOP]}
        assert found(index, parse(asked, Root.STUDY, Level.STUDY, RELATIONAL)) == expected
