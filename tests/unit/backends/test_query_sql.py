"""How questions are asked of the database: by index, in short reads, page by page, values only as parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import population

from vesalius.backends import query_sql
from vesalius.backends.database import Database, Row, Transaction, open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.query_sql_text import glob, like, literal_prefix, prefix_end
from vesalius.model.entities import Level, Values
from vesalius.model.matching import wildcard_match
from vesalius.model.query import Options, Query, Root
from vesalius.model.query_parser import parse
from vesalius.ports.index import in_batches

T = TypeVar("T")
STUDIES = 300

PATIENT_ID, NAME, BIRTH, STUDY_UID, ACCESSION, DATE = (
    0x00100020,
    0x00100010,
    0x00100030,
    0x0020000D,
    0x00080050,
    0x00080020,
)
SERIES_UID, SOP_UID, MODALITY = 0x0020000E, 0x00080018, 0x00080060


@dataclass(slots=True)
class _Seen:
    """A transaction that keeps what was asked through it."""

    tx: Transaction
    statements: list[tuple[str, Sequence[Any], int]]

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Row]:
        found = self.tx.rows(sql, params)
        self.statements.append((sql, params, len(found)))
        return found


@dataclass(slots=True)
class Watched:
    """A database that keeps every statement and how many rows it answered."""

    database: Database
    statements: list[tuple[str, Sequence[Any], int]] = field(default_factory=list)
    dialect: Literal["sqlite", "postgresql"] = "sqlite"
    at_once: bool = True

    def lookup(self, fn: Callable[[Any], T]) -> T:
        return self.database.lookup(lambda tx: fn(_Seen(tx, self.statements)))

    def plans(self) -> list[str]:
        """What SQLite says that it does for each statement."""
        return [
            " | ".join(str(row[3]) for row in self.database.lookup(self._explainer(sql, params)))
            for sql, params, _ in self.statements
        ]

    def _explainer(self, sql: str, params: Sequence[Any]) -> Callable[[Transaction], Sequence[Row]]:
        return lambda tx: tx.rows(f"EXPLAIN QUERY PLAN {sql}", params)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('query')}/index.db")
    index = SqlIndex(database)
    made = (population.arrival(values, number=n) for n, values in enumerate(population.population(7, STUDIES)))
    for batch in in_batches(made, 100):
        index.ingest(batch)
    yield database
    index.close()


def ask(values: Values, level: Level = Level.STUDY, root: Root = Root.PATIENT) -> Query:
    return parse(values, root, level, Options(relational=True))


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    ("values", "index"),
    [
        ({PATIENT_ID: ("P3",)}, "ix_patient_patient_id"),
        ({PATIENT_ID: ("P3", "P5")}, "ix_patient_patient_id"),
        ({PATIENT_ID: ("P1*",)}, "ix_patient_patient_id"),
        ({NAME: ("Doe*",)}, "ix_patient_patient_name_folded"),
        ({NAME: ("Doe*",)}, "ix_patient_patient_name_ideographic"),
        ({NAME: ("Doe^John",)}, "ix_patient_patient_name_phonetic"),
        ({NAME: ("=山田*",)}, "ix_patient_patient_name_ideographic"),
        ({BIRTH: ("20200101",)}, "ix_patient_patient_birth_date_norm"),
        ({ACCESSION: ("A1",)}, "ix_study_accession_number"),
        ({DATE: ("20200101-20200131",)}, "ix_study_study_date_norm"),
        ({0x00080090: ("Smith^*",)}, "ix_study_referring_physician_name_folded"),
        ({STUDY_UID: ("1.2.3",)}, "study_instance_uid"),
        ({0x00081032: ({0x00080100: ("T-1",)},)}, "ix_nested_value"),
    ],
)
def test_a_selective_question_uses_its_index_and_scans_no_table(
    database: Database, values: Values, index: str, analysed: bool
) -> None:
    if analysed:
        database.optimise()
    watched = Watched(database)
    answers = [match for page in query_sql.find(watched, ask({**values, 0x00081030: ()})) for match in page]  # type: ignore[arg-type]
    assert answers
    plans = watched.plans()
    assert any(index in plan for plan in plans), plans
    for plan in plans:
        assert not re.search(r"SCAN (patient|study|series|instance|nested|n)\b", plan), plan


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY])
@pytest.mark.parametrize(
    ("values", "index"),
    [
        ({SERIES_UID: ("1.2.3.0",)}, "series_instance_uid"),
        ({SOP_UID: ("1.2.3.0.0", "1.2.4.0.0")}, "sop_instance_uid"),
        ({MODALITY: ("SR",)}, "ix_series_modality"),
        ({MODALITY: ("SR",), 0x00200013: ("1",)}, "ix_series_modality"),
        ({0x00400275: ({0x00401001: ("RP1",)},)}, "ix_nested_value"),
    ],
)
def test_a_selective_condition_below_the_level_is_sought_and_checked_by_keys(
    database: Database, values: Values, index: str, level: Level
) -> None:
    watched = Watched(database)
    assert [match for page in query_sql.find(watched, ask(values, level)) for match in page]  # type: ignore[arg-type]
    plans = watched.plans()
    assert any(index in plan for plan in plans), plans
    for plan in plans:
        assert not re.search(r"SCAN (patient|study|series|instance|nested|n)\b", plan), plan


def test_a_walk_looks_below_by_the_index_of_the_parent_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_sql, "FEW", 0)
    monkeypatch.setattr(query_sql, "MANY", 0)
    watched = Watched(database)
    query = ask({MODALITY: ("CT",), SOP_UID: ("1.2.3.0.0",), 0x00200013: ("1",)})
    assert list(query_sql.find(watched, query))  # type: ignore[arg-type]
    walks = [plan for plan in watched.plans() if "SEARCH study USING INTEGER PRIMARY KEY (rowid>" in plan]
    assert walks
    for plan in walks:
        assert "SEARCH series USING INDEX ix_series_study_ref (study_ref=?)" in plan
        assert "SEARCH instance USING INDEX ix_instance_series_ref (series_ref=?)" in plan
        assert plan.count("CORRELATED SCALAR SUBQUERY") == 2, "no join, whose order the planner would choose"


def test_a_walk_that_looks_into_rows_takes_few_of_them_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_sql, "LOOKED_INTO", (500, 40, 20, 10))
    for level, at_most in ((Level.PATIENT, 10), (Level.STUDY, 20), (Level.SERIES, 40)):
        watched = Watched(database)
        pages = query_sql.find(watched, ask({0x00201041: ("77",)}, level))  # type: ignore[arg-type]
        assert next(pages) == [], "there is a moment to cancel"
        assert list(pages)
        windows = [params for sql, params, _ in watched.statements if ".id > ? AND" in sql]
        assert {until - after for after, until, *_ in windows} <= set(range(at_most + 1))


def test_going_down_and_joining_up_goes_by_keys(database: Database) -> None:
    watched = Watched(database)
    query = ask({STUDY_UID: ("1.2.3",), NAME: ()}, Level.IMAGE)
    assert list(query_sql.find(watched, query))  # type: ignore[arg-type]
    assert not any("SCAN patient" in plan or "SCAN instance" in plan for plan in watched.plans())


def test_a_question_that_selects_nothing_walks_by_primary_keys(database: Database) -> None:
    watched = Watched(database)
    answers = [m for page in query_sql.find(watched, ask({NAME: (), 0x00081030: ("*e*",)})) for m in page]  # type: ignore[arg-type]
    assert answers
    walks = [plan for plan in watched.plans() if "SEARCH study USING INTEGER PRIMARY KEY (rowid>" in plan]
    assert walks
    assert not any("TEMP B-TREE" in plan for plan in watched.plans())


def test_the_first_answer_comes_before_the_last_row_is_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_sql, "FIRST_WINDOW", 20)
    monkeypatch.setattr(query_sql, "WINDOW", 40)
    watched = Watched(database)
    pages = query_sql.find(watched, ask({NAME: ()}))  # type: ignore[arg-type]
    assert next(pages)
    assert sum(count for _, _, count in watched.statements) < STUDIES / 4
    asked = len(watched.statements)
    pages.close()  # type: ignore[attr-defined]
    assert len(watched.statements) == asked  # who goes away is not worked for


def test_every_read_is_short(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FEW": 10, "FIRST_PAGE": 5, "PAGE": 20, "FIRST_WINDOW": 10, "WINDOW": 50, "PARENTS": 5}.items():
        monkeypatch.setattr(query_sql, name, value)
    for values in ({NAME: ("d*",)}, {PATIENT_ID: ("P*",)}, {}, {DATE: ("19990101-",)}):
        watched = Watched(database)
        for _ in query_sql.find(watched, ask(values, Level.IMAGE)):  # type: ignore[arg-type]
            pass
        fetches = [count for sql, _, count in watched.statements if "JOIN" in sql]
        assert max(fetches, default=0) <= 100


@pytest.mark.parametrize("values", [{PATIENT_ID: ("P3",)}, {STUDY_UID: ("1.2.3",)}, {STUDY_UID: ("1.2.3", "1.2.4")}])
def test_few_rows_that_an_index_leads_to_are_answered_at_once(database: Database, values: Values) -> None:
    watched = Watched(database)
    found = query_sql.find_at_once(watched, ask({**values, 0x00081030: ()}))  # type: ignore[arg-type]
    assert found
    assert all(rows <= query_sql.HANDFUL + 1 for _, _, rows in watched.statements)
    assert not any(re.search(r"SCAN (patient|study|series|instance)\b", plan) for plan in watched.plans())


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({}, Level.STUDY),
        ({NAME: ("d*n",)}, Level.STUDY),  # an index only narrows that down
        ({DATE: ("19990101-",)}, Level.STUDY),
        ({MODALITY: ("CT",)}, Level.SERIES),  # names too many
        ({STUDY_UID: tuple(f"1.2.{n}" for n in range(100))}, Level.STUDY),
        ({PATIENT_ID: ("P3",), MODALITY: ("CT",)}, Level.STUDY),  # what lies in a row may be much
        ({PATIENT_ID: ("P3",), 0x00100010: ("nobody*",)}, Level.IMAGE),  # many rows, of which none is meant
    ],
)
def test_what_may_need_many_rows_is_never_answered_at_once(
    database: Database, values: Values, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_sql, "HANDFUL", 2)
    watched = Watched(database)
    assert query_sql.find_at_once(watched, ask(values, level)) is None  # type: ignore[arg-type]
    assert all(rows <= 3 for _, _, rows in watched.statements)


def test_values_travel_as_parameters_only(database: Database) -> None:
    watched = Watched(database)
    evil = "x' OR 1=1 --"
    query = ask({NAME: (evil,), ACCESSION: (evil + "*",), 0x00081032: ({0x00080100: (evil,)},), 0x00101000: (evil,)})
    assert list(query_sql.find(watched, query)) == []  # type: ignore[arg-type]
    assert not any("OR 1=1" in sql or "or 1=1" in sql for sql, _, _ in watched.statements)


def test_no_limit_means_all_and_none_means_none(database: Database) -> None:
    assert list(query_sql.find(database, parse({}, Root.STUDY, Level.STUDY, limit=0))) == []
    assert sum(map(len, query_sql.find(database, parse({}, Root.STUDY, Level.STUDY)))) == STUDIES


@given(st.text(max_size=4), st.text(max_size=6))
def test_a_prefix_is_a_range(prefix: str, text: str) -> None:
    end = prefix_end(prefix)
    in_range = prefix <= text and (end is None or text < end)
    assert in_range == text.startswith(prefix)


_LETTERS = "ab*?[]%_\\^-é山"


@given(st.lists(st.tuples(st.text(_LETTERS, max_size=6), st.text(_LETTERS, max_size=6)), min_size=20, max_size=20))
def test_patterns_mean_the_same_to_sqlite(pairs: list[tuple[str, str]]) -> None:
    import pysqlite3

    connection: Any = pysqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    for pattern, text in pairs:
        asked = (text, glob(pattern), text, like(pattern))
        row = connection.execute("SELECT ? GLOB ?, ? LIKE ? ESCAPE '\\'", asked).fetchone()
        assert row == (wildcard_match(pattern, text),) * 2
        assert pattern.startswith(literal_prefix(pattern))
    connection.close()
