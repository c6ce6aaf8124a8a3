"""Many writers at once, and servers that go away: what `Index.ingest` promises then, on both databases."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.index_arrivals import arrival, instance_uid, study_uid
from tests.support.postgres import PostgresServer

from vesalius.backends.database import open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.model.entities import Arrival, Level, Verdict
from vesalius.model.errors import IndexUnavailable

ROOT = Path(__file__).parents[2]
STUDIES, SERIES, INSTANCES = 3, 3, 4


def shuffled(seed: int) -> list[Arrival]:
    """The same new patients, studies, series and instances for every writer, each in its own order and pack."""
    keys = [(s, e, i) for s in range(STUDIES) for e in range(SERIES) for i in range(INSTANCES)]
    random.Random(seed).shuffle(keys)
    modalities = ("CT", "MR", "US")
    return [
        arrival(s, e, i, patient=s % 2, pack=f"pack-{seed}", offset=n * 4096, modality=modalities[e])
        for n, (s, e, i) in enumerate(keys)
    ]


def feed(index: SqlIndex, seed: int) -> list[Verdict]:
    """One association: batches of odd sizes."""
    arrivals, verdicts = shuffled(seed), []
    chance = random.Random(seed)
    while arrivals:
        size = chance.randint(1, 5)
        verdicts += index.ingest(arrivals[:size])
        del arrivals[:size]
    return verdicts


def assert_exactly_one_of_each(index: SqlIndex, verdicts: list[Verdict]) -> None:
    total = STUDIES * SERIES * INSTANCES
    assert verdicts.count(Verdict.STORED) == total
    assert set(verdicts) <= {Verdict.STORED, Verdict.DUPLICATE}
    totals = index.totals()
    assert (totals.patients, totals.studies, totals.series) == (2, STUDIES, STUDIES * SERIES)
    assert (totals.instances, totals.conflicts) == (total, 0)
    database = index._database
    counted = database.lookup(
        lambda tx: tx.rows(
            "SELECT study_instance_uid, number_of_study_related_instances, number_of_study_related_series, "
            "modalities_in_study FROM study ORDER BY 1"
        )
    )
    expected = [(study_uid(s), SERIES * INSTANCES, SERIES, "CT\\MR\\US") for s in range(STUDIES)]
    assert [tuple(row) for row in counted] == expected
    patients = database.lookup(
        lambda tx: tx.rows("SELECT number_of_patient_related_studies, number_of_patient_related_instances FROM patient")
    )
    assert sorted(tuple(row) for row in patients) == [(1, SERIES * INSTANCES), (2, 2 * SERIES * INSTANCES)]
    outbox = database.lookup(lambda tx: tx.rows("SELECT kind, sop_instance FROM outbox"))
    assert len(outbox) == len({tuple(row) for row in outbox}) == total, "one announcement for each, none twice"


def test_first_instances_from_many_threads_make_exactly_one_row_each(sql_index: SqlIndex) -> None:
    results: dict[int, list[Verdict]] = {}
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        start.wait()
        results[seed] = feed(sql_index, seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_exactly_one_of_each(sql_index, [verdict for verdicts in results.values() for verdict in verdicts])


_PROCESS = """
import sys
from tests.contract.test_index_races import feed
from vesalius.backends.database import open_database
from vesalius.backends.index_sql import SqlIndex
index = SqlIndex(open_database(sys.argv[1]))
sys.stdin.readline()
print(" ".join(verdict.name for verdict in feed(index, int(sys.argv[2]))))
index.close()
"""


def test_first_instances_from_many_processes_make_exactly_one_row_each(
    database_url: str, open_index: Callable[[], SqlIndex]
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, database_url, str(seed)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]  # all open at once, so they race for the migrations too
    answers = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        answers.append(process.communicate()[0].split())
        assert process.returncode == 0
    verdicts = [Verdict[word] for words in answers for word in words]
    assert_exactly_one_of_each(open_index(), verdicts)


def test_one_instance_with_many_contents_has_one_current_and_keeps_the_rest(sql_index: SqlIndex) -> None:
    verdicts: list[Verdict] = []

    def work(writer: int) -> None:
        verdicts.extend(sql_index.ingest([arrival(content=f"{writer % 4}", pack=f"pack-{writer}")]))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdict.name for verdict in verdicts) == ["CONFLICT"] * 3 + ["DUPLICATE"] * 4 + ["STORED"]
    assert sorted(state for _, state in sql_index.members()) == ["conflict"] * 3 + ["current"]


def test_what_a_process_remembers_survives_that_another_forgets_everything(
    open_index: Callable[[], SqlIndex],
) -> None:
    one, other = open_index(), open_index()
    description = {"study_description": "HEAD"}
    one.ingest([arrival(1, 1, 1, study_values=description)])
    other.clear()
    other.ingest([arrival(9, 1, 1), arrival(1, 1, 2, offset=4096)])
    one.ingest([arrival(1, 1, 3, offset=8192, study_values=description)])
    found = one._database.lookup(lambda tx: tx.rows("SELECT study_description FROM study WHERE id = 2 OR id > 2"))
    assert "HEAD" in {row[0] for row in found}
    assert one.totals().instances == 3


def test_a_batch_that_fails_leaves_no_trace(sql_index: SqlIndex) -> None:
    broken = arrival(2, 1, 1, offset=4096, instance_values={"rows": "not a number at all"})
    if sql_index._database.dialect == "sqlite":
        broken = arrival(2, 1, 1, offset=4096, instance_values={"image_comments": object()})
    with pytest.raises((ValueError, IndexUnavailable)):
        sql_index.ingest([arrival(1, 1, 1), broken])
    assert sql_index.totals().instances == 0
    assert list(sql_index.members()) == []
    assert sql_index.ingest([arrival(1, 1, 1)]) == [Verdict.STORED]


def test_the_outbox_tells_what_was_stored_and_who_sent_it(sql_index: SqlIndex) -> None:
    one = arrival()
    sql_index.ingest([one])
    sql_index.ingest([arrival(content="other", offset=4096), one])
    rows = sql_index._database.lookup(
        lambda tx: tx.rows("SELECT kind, study, series, sop_instance, at, sender FROM outbox ORDER BY id")
    )
    rest = (study_uid(1), f"{study_uid(1)}.1", instance_uid(1, 1, 1), "2026-01-02T03:04:05.000006Z", "SCU")
    assert [tuple(row) for row in rows] == [("stored", *rest), ("conflict", *rest)]


# -- a PostgreSQL server that goes away


def test_ingest_goes_on_after_the_server_crashed_and_came_back(postgres: PostgresServer) -> None:
    index = SqlIndex(open_database(postgres.create("crash")))
    index.ingest([arrival(1, 1, 1)])
    postgres.restart("immediate")
    try:
        index.ingest([arrival(1, 1, 2)])
    except IndexUnavailable:
        pass
    assert index.ingest([arrival(1, 1, 2)])[0] in (Verdict.STORED, Verdict.DUPLICATE)
    assert index.ingest([arrival(1, 1, 3)]) == [Verdict.STORED]
    assert len(list(index.select(Level.STUDY, studies=[study_uid(1)]))) == 3, "nothing acknowledged is lost"
    index.close()


def test_a_server_that_is_down_is_index_unavailable_until_it_is_back(postgres: PostgresServer) -> None:
    index = SqlIndex(open_database(postgres.create("down")))
    index.ingest([arrival(1, 1, 1)])
    postgres.stop("immediate")
    try:
        for call in (index.ping, lambda: index.known(["1.2"]), lambda: index.ingest([arrival(1, 1, 2)]), index.totals):
            with pytest.raises(IndexUnavailable) as caught:
                call()
            assert "P1" not in str(caught.value)
    finally:
        postgres.start()
    index.ping()
    assert index.ingest([arrival(1, 1, 2)]) == [Verdict.STORED]
    index.close()
