"""Databases as the index sees them: transactions, failures, processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.postgres import PostgresServer

from vesalius.backends import database_sqlite
from vesalius.backends.database import Database, Transaction, numbered, open_database, upsert
from vesalius.backends.schema import meta, note
from vesalius.model.errors import IndexUnavailable, SettingsError


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/index.db"
        return
    yield request.getfixturevalue("shared_postgres_url")


@pytest.fixture(scope="module")
def shared_postgres_url(postgres: PostgresServer) -> str:
    return postgres.create("database_shared")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = open_database(url)
    for table in ("meta", "note"):  # a new database for each test takes a second
        made.write(lambda connection, table=table: connection.exec_driver_sql(f"DELETE FROM {table}"))
    yield made
    made.close()


def value_of(database: Database, key: str) -> str | None:
    statement = sa.select(meta.c.value).where(meta.c.key == key)
    return database.read(lambda connection: connection.execute(statement).scalar())


def put(database: Database, key: str, value: str, *, durable: bool = True) -> None:
    database.write(lambda connection: upsert(connection, meta, {"key": key, "value": value}), durable=durable)


def test_what_was_written_is_read(database: Database) -> None:
    put(database, "a", "1")
    put(database, "a", "2", durable=False)
    assert value_of(database, "a") == "2"


def test_a_failing_function_leaves_no_trace(database: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.execute(sa.insert(meta).values(key="a", value="1"))
        raise ZeroDivisionError

    def fail_bare(tx: Transaction) -> None:
        tx.run("INSERT INTO meta (key, value) VALUES (?, ?)", ("a", "1"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(fail)
    with pytest.raises(ZeroDivisionError):
        database.transaction(fail_bare, durable=False)
    assert value_of(database, "a") is None
    put(database, "a", "3")
    assert value_of(database, "a") == "3"


def test_a_failure_names_its_kind_and_never_a_value(database: Database) -> None:
    def broken(tx: Transaction) -> None:
        tx.run("INSERT INTO nowhere (key) VALUES (?)", ("Doe^John",))

    def twice(connection: sa.Connection) -> None:
        for _ in range(2):
            connection.execute(sa.insert(meta).values(key="Doe^John", value="1"))

    for call in (lambda: database.transaction(broken, durable=False), lambda: database.write(twice)):
        with pytest.raises(IndexUnavailable) as caught:
            call()
        assert "Error" in str(caught.value)
        assert "Doe" not in repr(caught.value)
        assert caught.value.__cause__ is None


def test_a_failure_before_the_commit_is_undone_for_certain(database: Database) -> None:
    with pytest.raises(IndexUnavailable) as caught:
        database.transaction(lambda tx: tx.run("INSERT INTO nowhere (key) VALUES (?)", ("a",)), durable=False)
    assert caught.value.undone


def test_rows_in_takes_any_number_of_values(database: Database) -> None:
    for key in "abc":
        put(database, key, key.upper())
    sql = "SELECT value FROM meta WHERE key IN (?) ORDER BY value"
    for keys in (["a"], ["a", "c"], ["a", "b", *map(str, range(40_000))], ['"', "'", "\\", "é"]):
        found = database.lookup(lambda tx, keys=keys: [row[0] for row in tx.rows_in(sql, keys)])
        assert found == [key.upper() for key in keys if key in ("a", "b", "c")]


def test_insert_answers_ids_in_order_and_none_for_a_taken_key(database: Database) -> None:
    names = ("at", "code", "tag", "text", "study", "series", "sop_instance", "sender")

    def work(tx: Transaction) -> list[int | None]:
        rows = [("", code, 1, "", "", "", "", "") for code in "xyz"]
        first = tx.insert(note, names, rows[:1], ("code",))
        return first + tx.insert(note, names, rows[1:], ("code",))

    ids = database.transaction(work, durable=False)
    assert None not in ids
    assert ids == sorted(ids)
    rows = database.lookup(lambda tx: tx.rows("SELECT id FROM note ORDER BY code"))
    assert [row[0] for row in rows] == ids


def test_readers_and_writers_of_many_threads_get_along(database: Database) -> None:
    put(database, "n", "0")
    failures: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            for number in range(20):
                put(database, f"{writer}", str(number), durable=False)
                assert value_of(database, f"{writer}") == str(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_read_sees_one_moment(database: Database, url: str) -> None:
    put(database, "a", "1")
    other = open_database(url)

    def work(connection: sa.Connection) -> tuple[str, str]:
        sql = "SELECT value FROM meta WHERE key = 'a'"
        before = connection.exec_driver_sql(sql).scalar_one()
        put(other, "a", "2")
        return before, connection.exec_driver_sql(sql).scalar_one()

    assert database.read(work) == ("1", "1")
    assert value_of(database, "a") == "2"
    other.close()


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    database.close()
    with pytest.raises(IndexUnavailable, match="closed"):
        value_of(database, "a")


def test_a_database_is_not_carried_over_a_fork(database: Database) -> None:
    put(database, "a", "1")
    pid = os.fork()
    if pid == 0:
        try:
            value_of(database, "a")
        except IndexUnavailable:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert value_of(database, "a") == "1"


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "index.db", "postgresql://h:port/x"])
def test_a_url_that_names_no_database_of_ours_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_database(url)
    assert caught.value.hint


def test_a_server_that_is_not_there_is_index_unavailable() -> None:
    with pytest.raises(IndexUnavailable):
        open_database("postgresql://nobody@127.0.0.1:1/none")


def test_placeholders_are_numbered_for_postgresql() -> None:
    assert numbered("a = ? AND b = ?") == "a = $1 AND b = $2"
    assert numbered("SELECT 1") == "SELECT 1"


# -- SQLite


def test_sqlite_writes_ahead_and_syncs_what_packs_cannot_replay(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    seen = []
    for durable in (True, False, True):
        database.transaction(lambda tx: seen.append(tx.rows("PRAGMA synchronous")[0][0]), durable=durable)
    mode = database.lookup(lambda tx: tx.rows("PRAGMA journal_mode")[0][0])
    database.close()
    assert (mode, seen) == ("wal", [2, 1, 2]), "FULL, NORMAL, FULL"


def test_nobody_else_may_read_the_files_of_the_index(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    put(database, "a", "1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    database.close()
    assert modes == dict.fromkeys(("index.db", "index.db-wal", "index.db-shm", "index.db.lock"), 0o600)


def test_threads_that_ended_leave_no_connection_behind(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    for _ in range(20):
        thread = threading.Thread(target=value_of, args=(database, "a"))
        thread.start()
        thread.join()
    fds = [path for path in Path("/proc/self/fd").iterdir() if path.exists()]
    open_files = [os.readlink(path) for path in fds if path.exists()]
    database.close()
    assert open_files.count(f"{tmp_path}/index.db") <= 5


def test_sqlite_brings_its_own_library_without_the_wal_race() -> None:
    import pysqlite3

    assert tuple(map(int, pysqlite3.sqlite_version.split("."))) > (3, 51, 2)


_HOLD = """
import sys, time
from vesalius.backends.database import open_database
database = open_database(sys.argv[1])
def work(tx):
    tx.run("INSERT INTO meta (key, value) VALUES ('other', '1')")
    print("holding", flush=True)
    time.sleep(0.4)
database.transaction(work, durable=False)
database.close()
"""


def test_a_writer_waits_for_the_writer_of_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/index.db"
    database = open_database(url)
    other = subprocess.Popen([sys.executable, "-c", _HOLD, url], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "holding\n"
    assert value_of(database, "other") is None, "readers do not wait"
    put(database, "mine", "1")
    assert value_of(database, "other") == "1"
    assert other.wait() == 0
    other.stdout.close()
    database.close()


def test_the_log_is_brought_back_beside_the_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_sqlite, "CHECKPOINT_CHANGES", 50)
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    for number in range(3000):
        put(database, f"{number}", "x" * 100, durable=False)
    log = tmp_path / "index.db-wal"
    assert log.stat().st_size < 10 << 20, "3,000 commits of three pages and more would be 40 MB without"
    database.close()
    assert not log.exists()
    with sqlite3.connect(f"{tmp_path}/index.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("SELECT COUNT(*) FROM meta").fetchone()[0] >= 3000


def test_a_process_killed_in_a_transaction_leaves_the_database_whole(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/index.db"
    other = subprocess.Popen([sys.executable, "-c", _HOLD, url], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "holding\n"
    other.kill()
    other.wait()
    other.stdout.close()
    database = open_database(url)
    assert value_of(database, "other") is None
    put(database, "mine", "1")
    database.close()


def test_a_full_or_unwritable_disk_is_index_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndexUnavailable):
        open_database(f"sqlite:///{tmp_path}/file/index.db")
