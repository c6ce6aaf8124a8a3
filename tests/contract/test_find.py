"""The same questions against every index: each answers as the oracle of the matching rules does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
from vesalius.model.entities import Level, Values
from vesalius.model.errors import IdentifierMismatch, LimitExceeded, UnableToProcess
from vesalius.model.query import Match, Options, Query, Root
from vesalius.model.query_parser import parse
from vesalius.ports.index import Index, in_batches

SEEDS = (1, 2)
STUDIES = 60
Population = tuple[Index, MemoryIndex]


def fill(index: Index, seed: int) -> None:
    made = (population.arrival(values, number=n) for n, values in enumerate(population.population(seed, STUDIES)))
    for batch in in_batches(made, 40):
        index.ingest(batch)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SEEDS)
def filled(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Population]:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('find')}/index.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create(f"find_{request.param}")
    index, twin = SqlIndex(open_database(url)), MemoryIndex()
    fill(index, request.param)
    fill(twin, request.param)
    yield index, twin
    index.close()


def answers(index: Index, query: Query) -> list[Match]:
    return all_matches(index, query)


def plain(matches: list[Match]) -> list[str]:
    return sorted(repr(sorted(match.values.items())) for match in matches)


_NAME_QUERIES = (
    *population.NAMES, "doe*", "DOE^*", "*john*", "d?e", "=山*", "山*", "*=山田*", "==や*", "muller^jorg", "smith^jon",
    "mary", "50%*", "*[[]*", "*[a-z]", "*_off*", "и*", "*^*", "?*", "Wang*=王*", "*=", "smyth^*",
)  # fmt: skip
_TEXT_QUERIES = (
    *population.TEXTS,
    "HEAD*", "*%*", "*[1]", "*_", "a?b", "Abd?men", "*\uffff", "\uffff*", "*", "x*", "?", "h*d", '""',
)  # fmt: skip
_DATE_QUERIES = ("20200101", "20200101-", "-20200101", "20200101-20200131", "20200131", "20240229", '""', "*")
_TIME_QUERIES = ("10", "1015", "101500", "09-12", "-0030", "2300-", "103000.5", "235959.999999", "22-06", '""')
_DATETIME_QUERIES = (
    "2020", "20200101-20200102", "202001010900-20200101", "20200102-", "-20200102003000+0100", "20200102043000+0000",
)  # fmt: skip


def _texts(*values: str, most: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=most).map(tuple)


def _items(*keys: tuple[int, tuple[str, ...]]) -> st.SearchStrategy[tuple[Values, ...]]:
    item = st.fixed_dictionaries({}, optional={tag: _texts(*values) for tag, values in keys})
    return st.lists(item, max_size=1).map(tuple)


_uids = _texts(*(f"1.2.{number}" for number in range(0, STUDIES, 5)), "1.9", most=5)
KEYS: dict[int, st.SearchStrategy[tuple[str, ...] | tuple[Values, ...]]] = {
    0x00100020: _texts("P1", "P2", "P*", "*1", "p1", "", '""', "P?", most=3),
    0x00100021: _texts("HOSP", "H*", '""'),
    0x00100010: _texts(*_NAME_QUERIES, '""', most=2),
    0x00100030: _texts(*_DATE_QUERIES),
    0x00100032: _texts(*_TIME_QUERIES),
    0x00100040: _texts("M", "F", "", "?", '""'),
    0x00101000: _texts("O1", "O*", "O*3", "*1*2", "?", '""', most=2),
    0x00101001: _texts(*_NAME_QUERIES, '""'),
    0x00201200: _texts("1", "2", "03"),
    0x00201204: _texts("3", "4"),
    0x0020000D: _uids,
    0x00080020: _texts(*_DATE_QUERIES),
    0x00080030: _texts(*_TIME_QUERIES),
    0x00080201: _texts("+0100", "-0500", "+0000"),
    0x00080050: _texts("A1", "a1", "A*", "B1?", "*", '""', most=3),
    0x00080090: _texts(*_NAME_QUERIES, most=2),
    0x00081030: _texts(*_TEXT_QUERIES, most=2),
    0x00081060: _texts(*_NAME_QUERIES, '""'),
    0x00101030: _texts("70", "70.50", "1e9", '""'),
    0x00080061: _texts("CT", "MR", "S?", "*", "C*R", "", '""', most=2),
    0x00080062: _texts(population.CT, population.MR),
    0x00201206: _texts("1", "2"),
    0x00081032: _items(
        (0x00080100, ("T-1", "T*", '""', "X*1", "")), (0x00080102, ("SRT", "")), (0x00080104, ("HEAD*", '""'))
    ),
    0x0020000E: _texts("1.2.0.0", "1.2.5.1"),
    0x00080060: _texts("CT", "SR", "", '""', most=2),
    0x00200011: _texts("1", "2", '""'),
    0x00081070: _texts(*_NAME_QUERIES, most=2),
    0x00400244: _texts(*_DATE_QUERIES),
    0x00400245: _texts(*_TIME_QUERIES),
    0x00400275: _items((0x00401001, ("RP1", "R*", '""')), (0x00400009, ("SPS1", "SPS2"))),
    0x00080018: _texts("1.2.0.0.0", "1.2.10.0.1", "1.2.15.0.0", most=3),
    0x00080016: _texts(population.CT),
    0x00200013: _texts("1", "3", '""'),
    0x00080008: _texts("AXIAL", "A*B", "ORIG*", "*L*L*", most=2),
    0x0008002A: _texts(*_DATETIME_QUERIES, '""'),
    0x00080023: _texts(*_DATE_QUERIES),
    0x00080033: _texts(*_TIME_QUERIES),
    0x00280010: _texts("16", "512"),
    0x00201041: _texts("1.5", "-3.0"),
}  # fmt: skip

_options = st.builds(Options, st.just(True), *(st.booleans() for _ in range(5)))
_identifiers = st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=4, unique=True).flatmap(
    lambda tags: st.fixed_dictionaries({tag: KEYS[tag] for tag in tags})
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_identifiers, st.sampled_from(list(Level)), _options)
def test_any_question_is_answered_as_the_oracle_answers_it(
    filled: Population, values: Values, level: Level, options: Options
) -> None:
    try:
        query = parse(values, Root.PATIENT, level, options)
    except (UnableToProcess, IdentifierMismatch, LimitExceeded):
        return
    index, twin = filled
    assert plain(answers(index, query)) == plain(answers(twin, query))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_identifiers, st.sampled_from(list(Level)), st.integers(0, 8), st.integers(0, 8))
def test_walking_finds_what_seeking_finds_and_a_part_is_a_part_of_the_whole(
    filled: Population, values: Values, level: Level, limit: int, offset: int
) -> None:
    try:
        query = parse(values, Root.PATIENT, level, Options(relational=True))
        part = parse(values, Root.PATIENT, level, Options(relational=True), limit=limit, offset=offset)
    except UnableToProcess:
        return
    index, _ = filled
    whole = answers(index, query)
    assert answers(index, part) == whole[offset : offset + limit]
    assert answers(index, query) == whole
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FEW": 0, "MANY": 0, "FIRST_WINDOW": 3, "WINDOW": 7, "PAGE": 4}.items():
            patch.setattr(query_sql, name, value)
        assert plain(answers(index, query)) == plain(whole)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FEW": 0, "FIRST_PAGE": 1, "PAGE": 2, "PARENTS": 2}.items():
            patch.setattr(query_sql, name, value)
        assert plain(answers(index, query)) == plain(whole)


def test_a_hundred_thousand_uids_are_answered(filled: Population) -> None:
    index, twin = filled
    uids = tuple(f"1.2.{number}" for number in range(100_000))
    query = parse({0x0020000D: uids, 0x00100010: ()}, Root.STUDY, Level.STUDY)
    assert len(answers(index, query)) == STUDIES
    series = parse({0x0020000D: ("1.2.1",), 0x0020000E: (*uids, "1.2.1.0")}, Root.STUDY, Level.SERIES)
    assert plain(answers(index, series)) == plain(answers(twin, series)) != []


def test_items_hold_the_keys_that_were_asked_for(filled: Population) -> None:
    index, _ = filled
    query = parse({0x00081032: ({0x00080100: ("T-1",)},)}, Root.STUDY, Level.STUDY)
    for match in answers(index, query):
        for item in match.values[0x00081032]:
            assert isinstance(item, dict)
            assert set(item) == {0x00080100}


def test_the_memory_twin_answers_the_hierarchy() -> None:
    twin = MemoryIndex()
    fill(twin, 1)
    query = parse({0x0020000D: ("1.2.1",), 0x0020000E: ()}, Root.STUDY, Level.SERIES)
    assert {match.values[0x0020000D] for match in answers(twin, query)} == {("1.2.1",)}


def test_a_database_file_is_where_it_was_asked_for(tmp_path: Path) -> None:
    index = SqlIndex(open_database(f"sqlite:///{tmp_path}/index.db"))
    assert answers(index, parse({}, Root.STUDY, Level.STUDY)) == []
    index.close()
