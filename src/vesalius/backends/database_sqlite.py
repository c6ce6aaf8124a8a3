"""SQLite in WAL mode: many readers beside one writer, across threads and processes.

Theory. SQLite lets one connection write at a time and makes the others poll with sleeps. Here writers
queue instead: threads on a lock, processes on an flock of `<database>.lock`, both woken by the kernel.
Each process keeps one connection that writes and one that reads for each thread.

A check-point (copying the log back into the database) syncs both files. Left to SQLite it would run
inside whichever commit passes the threshold, so the automatic one is only a backstop far away, and a
thread does it: first beside the writers, until little is left, then that rest under the writers' lock, after
which the next writer begins the log anew. The log is not truncated: overwriting is cheaper than growing.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import pysqlite3
import sqlalchemy as sa
import structlog
from sqlalchemy.pool import NullPool

from vesalius.backends.database import Progress, Row, Transaction, failures_translated, in_list
from vesalius.model.errors import IndexUnavailable

T = TypeVar("T")

_log = structlog.get_logger(__name__)

# Changed rows after which the check-point thread is woken: a log of 30 to 40 MB when instances come one by one.
# Large enough that pages written many times are copied once, small enough that opening after a crash replays it
# in a tenth of a second.
CHECKPOINT_CHANGES = 8000
CHECKPOINT_ROUNDS = 4
SMALL_REST_PAGES = 300
BACKSTOP_PAGES = 65536
LOG_KEPT_BYTES = 64 << 20
BUSY_MS = 30_000
WRITER_CACHE_KIB = 64 << 10
READER_CACHE_KIB = 8 << 10
MAPPED_BYTES = 256 << 20

_FAILURES = (pysqlite3.Error,)


class SqliteDatabase:
    """A `Database` in one file (see `backends/database.py`)."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._pid = os.getpid()
        self._writing = threading.Lock()
        self._checkpointed_at = 0
        self._synchronous = ""
        self._local = threading.local()
        self._readers: list[tuple[threading.Thread, sa.Connection]] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self._lock_fd = -1
        with failures_translated(_FAILURES):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not self._path.exists():  # patient data: for nobody else; the log takes the same mode
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._engine = sa.create_engine(
                "sqlite://",
                module=pysqlite3,
                creator=self._connect,
                poolclass=NullPool,
                hide_parameters=True,
            )
            sa.event.listen(self._engine, "begin", _begin)
            with self._turn():
                self._writer = self._engine.connect().execution_options(vesalius_begin="BEGIN IMMEDIATE")
                raw: Any = self._writer.connection.driver_connection
                raw.execute("PRAGMA journal_mode = WAL").fetchall()
                raw.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}").fetchall()
                self._raw = raw
        self._transaction = SqliteTransaction(self._raw)
        self._wake = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint_forever, name="sqlite-checkpoint", daemon=True)
        self._checkpointer.start()

    def read(self, fn: Callable[[sa.Connection], T]) -> T:
        """Run `fn` on this thread's reading connection, in one snapshot."""
        with failures_translated(_FAILURES):
            connection = self._reader()
            with connection.begin():
                return fn(connection)

    def write(self, fn: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Run `fn` on the writing connection, alone among all processes."""
        with failures_translated(_FAILURES), self._turn():
            self._set_synchronous(durable)
            with self._writer.begin():
                result = fn(self._writer)
            self._wake_checkpointer()
        return result

    def transaction(self, fn: Callable[[Transaction], T], *, durable: bool) -> T:
        """Run `fn` on the bare writing connection, alone among all processes."""
        progress = Progress()
        with failures_translated(_FAILURES, progress=progress), self._turn():
            self._set_synchronous(durable)
            raw = self._raw
            raw.execute("BEGIN IMMEDIATE")
            try:
                result = fn(self._transaction)
                progress.committing = True
                raw.execute("COMMIT")
            except BaseException:
                if raw.in_transaction:
                    with contextlib.suppress(pysqlite3.Error):
                        raw.execute("ROLLBACK")
                raise
            self._wake_checkpointer()
        return result

    @property
    def at_once(self) -> bool:
        """See `Database.at_once`: readers of a log wait neither for the writer nor for each other."""
        return True

    def lookup(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` on this thread's bare reading connection; each statement sees its own snapshot."""
        with failures_translated(_FAILURES):
            self._reader()
            transaction: SqliteTransaction = self._local.transaction
            return fn(transaction)

    def optimise(self) -> None:
        """`PRAGMA optimize` with a bounded sample, then a check-point."""
        with failures_translated(_FAILURES), self._turn():
            # 0x10002: look at every table, not only at those queried by this connection.
            self._raw.execute("PRAGMA analysis_limit = 2000").fetchall()
            self._raw.execute("PRAGMA optimize = 0x10002").fetchall()
        self._wake.set()

    def close(self) -> None:
        """Close all connections; the last process to do so empties the log."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        self._wake.set()
        self._checkpointer.join()
        with self._writing, self._readers_lock:
            for connection in [self._writer, *(connection for _, connection in self._readers)]:
                with contextlib.suppress(Exception):
                    connection.close()
            self._readers.clear()
            self._engine.dispose()
            os.close(self._lock_fd)

    # -- connections

    def _connect(self) -> Any:
        connection = pysqlite3.connect(
            str(self._path),
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in (
            "synchronous = NORMAL",
            "foreign_keys = ON",
            f"cache_size = -{READER_CACHE_KIB}",
            f"mmap_size = {MAPPED_BYTES}",
            "temp_store = MEMORY",
            f"wal_autocheckpoint = {BACKSTOP_PAGES}",
            f"journal_size_limit = {LOG_KEPT_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def _reader(self) -> sa.Connection:
        self._check_usable()
        connection: sa.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._engine.connect()
            self._local.connection = connection
            self._local.transaction = SqliteTransaction(connection.connection.driver_connection)
            with self._readers_lock:
                for thread, left in self._readers:
                    if not thread.is_alive():
                        left.close()
                self._readers = [reader for reader in self._readers if reader[0].is_alive()]
                self._readers.append((threading.current_thread(), connection))
        return connection

    def _check_usable(self) -> None:
        # SQLite keeps locks and shared memory per process: a connection carried over a fork corrupts.
        if os.getpid() != self._pid:
            raise IndexUnavailable("the index database was opened before a fork", hint="open it in each process")
        if self._closed:
            raise IndexUnavailable("the index database is closed")

    # -- writing in turn

    def _turn(self) -> _Turn:
        self._check_usable()
        return _Turn(self._writing, self._lock_fd)

    def _set_synchronous(self, durable: bool) -> None:
        wanted = "FULL" if durable else "NORMAL"
        if wanted != self._synchronous:
            self._raw.execute(f"PRAGMA synchronous = {wanted}").fetchall()
            self._synchronous = wanted

    # -- check-points

    def _wake_checkpointer(self) -> None:
        changes = self._raw.total_changes
        if changes - self._checkpointed_at > CHECKPOINT_CHANGES:
            self._checkpointed_at = changes
            self._wake.set()

    def _checkpoint_forever(self) -> None:
        connection: Any = None
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closed:
                break
            try:
                if connection is None:
                    connection = self._connect()
                for _ in range(CHECKPOINT_ROUNDS):
                    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if pages - copied < SMALL_REST_PAGES:
                        break
                with self._turn():
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except IndexUnavailable:
                break  # closed meanwhile; the last connection to close empties the log
            except (pysqlite3.Error, OSError) as error:
                _log.warning("checkpoint-failed", kind=type(error).__name__)
        if connection is not None:
            connection.close()


class _Turn:
    """Alone among the threads of this process, then among processes. (A class: a generator costs 4 us more.)"""

    __slots__ = ("_fd", "_lock")

    def __init__(self, lock: threading.Lock, fd: int) -> None:
        self._lock = lock
        self._fd = fd

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            self._lock.release()


class SqliteTransaction:
    """`Transaction` over a bare pysqlite3 connection."""

    __slots__ = ("_connection", "_execute", "for_update")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._execute = connection.execute
        self.for_update = ""  # nobody else writes meanwhile

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Row]:
        """All rows of one statement."""
        rows: list[Row] = self._execute(sql, params).fetchall()
        return rows

    def rows_in(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """All rows for any number of values: equality for one, a JSON list for more."""
        rows: list[Row]
        if len(values) == 1:
            rows = self._execute(_in_one(sql), values).fetchall()
        else:
            rows = self._execute(_in_json(sql), (json.dumps(values),)).fetchall()
        return rows

    def run(self, sql: str, params: Sequence[Any] = ()) -> None:
        """One statement without an answer."""
        self._execute(sql, params)

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each of the rows."""
        self._connection.executemany(sql, rows)

    def insert(
        self, table: sa.Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], key: Sequence[str]
    ) -> list[int | None]:
        """Insert rows; the writer's lock makes sure that keys looked up before are still free."""
        # Binding None costs the driver three quarters of a microsecond, and most of an instance's hundred
        # columns are empty: a statement for each set of columns that are not, of which there are few.
        table_name, names, execute = table.name, tuple(columns), self._execute
        ids: list[int | None] = []
        for row in rows:
            present = tuple([value is not None for value in row])
            values = [value for value in row if value is not None]
            ids.append(execute(_insert_sql(table_name, names, present), values).lastrowid)
        return ids


@functools.lru_cache(maxsize=256)
def _in_one(sql: str) -> str:
    return in_list(sql, "= ?")


@functools.lru_cache(maxsize=256)
def _in_json(sql: str) -> str:
    return in_list(sql, "IN (SELECT value FROM json_each(?))")


@functools.lru_cache(maxsize=256)
def _insert_sql(table: str, columns: tuple[str, ...], present: tuple[bool, ...]) -> str:
    names = list(itertools.compress(columns, present))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names from the schema


def _begin(connection: sa.Connection) -> None:
    # pysqlite3 runs with isolation_level None, so that BEGIN is ours alone, DDL included.
    connection.exec_driver_sql(connection.get_execution_options().get("vesalius_begin", "BEGIN"))
