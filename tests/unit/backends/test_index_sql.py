"""Parts of the SQL index that need no database, and what it costs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.support.index_arrivals import arrival, instance_uid, study_uid

from vesalius.backends.database import Database, Transaction, open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.rows import layout, pack_frames, patient_identity
from vesalius.model.attributes import FINGERPRINT
from vesalius.model.entities import Level, PixelLayout

offsets = st.integers(min_value=0, max_value=2**40)


@given(offsets, st.lists(st.tuples(offsets, offsets), max_size=50))
def test_any_frame_table_comes_back_from_its_bytes(start: int, frames: list[tuple[int, int]]) -> None:
    pixels = PixelLayout(0x7FE00010, start, 1, True, tuple(frames))
    assert layout(0x7FE00010, start, 1, True, pack_frames(pixels)) == pixels


def test_a_thousand_frames_in_a_row_take_four_bytes_each() -> None:
    frames = tuple((100 + 150_000 * number, 150_000) for number in range(1000))
    packed = pack_frames(PixelLayout(0x7FE00010, 100, 1, True, frames))
    assert packed is not None
    assert len(packed) == 4000


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_identities_are_equal_only_for_the_same_id_and_issuer(a: str, b: str, c: str, d: str) -> None:
    one = patient_identity({"patient_id": a, "issuer_of_patient_id": b}, "1.2")
    other = patient_identity({"patient_id": c, "issuer_of_patient_id": d}, "1.2")
    if a and c:
        assert (one == other) == ((a, b) == (c, d))
    elif a or c:
        assert one != other


class Counting:
    """A database that counts the visits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lookups = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    def lookup(self, fn: object) -> object:
        self.lookups += 1
        return self._database.lookup(fn)  # type: ignore[arg-type]


def test_four_hundred_instances_are_selected_in_a_handful_of_queries(tmp_path: Path) -> None:
    database = Counting(open_database(f"sqlite:///{tmp_path}/index.db"))
    index = SqlIndex(database)  # type: ignore[arg-type]
    index.ingest([arrival(1, series, number) for series in range(4) for number in range(100)])
    database.lookups = 0
    assert len(list(index.select(Level.STUDY, studies=[study_uid(1)]))) == 400
    assert database.lookups <= 3
    index.close()


def test_an_instance_of_a_known_series_costs_ten_statements(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    index = SqlIndex(database)
    index.ingest([arrival(1, 1, 1)])
    statements: list[str] = []
    database._raw.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    index.ingest([arrival(1, 1, 2)])
    assert len(statements) <= 12, "\n".join(statements)
    index.close()


def test_a_changed_attribute_table_is_noticed_until_the_index_is_cleared(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    index = SqlIndex(database)
    assert not index.outdated()
    database.write(lambda connection: connection.exec_driver_sql("UPDATE meta SET value = 'older'"))
    assert index.outdated()
    index.clear()
    assert not index.outdated()
    rows = database.lookup(lambda tx: tx.rows("SELECT value FROM meta"))
    assert [row[0] for row in rows] == [FINGERPRINT]
    index.close()


def test_totals_do_not_count_rows(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    index = SqlIndex(database)
    index.ingest([arrival(1, 1, number) for number in range(50)])

    def plan(tx: Transaction) -> str:
        return " ".join(str(row[3]) for row in tx.rows("EXPLAIN QUERY PLAN SELECT SUM(new_instances) FROM pack"))

    assert "pack" in database.lookup(plan)
    assert index.totals().instances == 50
    index.close()


def test_names_with_nul_and_rare_characters_are_kept_on_postgresql_too(tmp_path: Path) -> None:
    index = SqlIndex(open_database(f"sqlite:///{tmp_path}/index.db"))
    values = {"patient_name": "山田^太郎\U0001f600", "patient_id": "x'\";--\\%"}
    index.ingest([arrival(1, 1, 1, patient_values=values)])
    (found,) = index.select(Level.IMAGE, instances=[instance_uid(1, 1, 1)])
    assert found.patient_id == "x'\";--\\%"
    assert len(list(index.select(Level.PATIENT, patient_id="x'\";--\\%"))) == 1
    index.close()
