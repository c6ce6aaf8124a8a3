"""A database as the index sees it: transactions in, results out, one kind of failure.

Theory. Everything in the database of the index is either told again by the packs (patients, studies,
series, instances, the outbox rows of their arrival) or exists only here (peers, states of packs and
copies). A transaction therefore says which it is: `durable=False` may be lost by a power cut, because
`archive/reindex.recover` replays the tail of each pack; `durable=True` may not. On SQLite that is
`synchronous` NORMAL against FULL in WAL mode; neither ever loses a commit when only the process dies.
PostgreSQL commits durably always, because its server can crash without this process noticing.

There are two ways in. `read` and `write` hand a SQLAlchemy connection to a function: clear, portable,
for everything but the hot path. `transaction` hands a `Transaction`, the thinnest common face of the
two drivers, to the ingest path, where SQLAlchemy's cost per statement would be most of the time.
A function handed in may be run twice when a connection turns out to be dead, so it must not have
effects outside the database before it returns; and it may run on the one thread that all connections share,
so it must not wait for the database in any way but through what it was handed.

Whatever goes wrong below is `IndexUnavailable`, whose message names the kind of failure and never a
value: drivers put rows into their messages, and rows are patient data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from vesalius.model.errors import IndexUnavailable, SettingsError

T = TypeVar("T")
Row: TypeAlias = "tuple[Any, ...]"

Errors: TypeAlias = "tuple[type[Exception], ...]"

_ANY: Errors = (sa_exc.SQLAlchemyError, OSError)


class Transaction(Protocol):
    """One transaction through the bare driver. Parameters stand as `?`."""

    # Appended to a SELECT by key: keeps the row from changing until the transaction ends.
    for_update: str

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Row]:
        """All rows of one statement."""
        ...

    def rows_in(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """All rows of one statement whose text has `IN (?)` once, for any number of values of one type."""
        ...

    def run(self, sql: str, params: Sequence[Any] = ()) -> None:
        """One statement without an answer."""
        ...

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each of the rows."""
        ...

    def insert(
        self, table: sa.Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], key: Sequence[str]
    ) -> list[int | None]:
        """Insert rows that differ in `key`; answers their ids in order, None where a unique key was taken already."""
        ...


class Database(Protocol):
    """An open database, shared by all threads of one process. Open it after a fork, never before."""

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which database this is."""
        ...

    def read(self, fn: Callable[[sa.Connection], T]) -> T:
        """Run `fn` in a read transaction: one consistent view. Raises `IndexUnavailable`."""
        ...

    def write(self, fn: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Run `fn` in a write transaction. Raises `IndexUnavailable`."""
        ...

    def transaction(self, fn: Callable[[Transaction], T], *, durable: bool) -> T:
        """Run `fn` in a write transaction through the bare driver. Raises `IndexUnavailable`."""
        ...

    @property
    def at_once(self) -> bool:
        """Whether `lookup` reads a file of this machine, without a server between."""
        ...

    def lookup(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn`, which only reads, through the bare driver. Raises `IndexUnavailable`."""
        ...

    def optimise(self) -> None:
        """Refresh the planner's statistics and check-point. Raises `IndexUnavailable`."""
        ...

    def close(self) -> None:
        """Release connections and threads."""
        ...


def open_database(url: str, *, migrate: bool = True) -> Database:
    """Open `sqlite:///PATH` or `postgresql://...` and bring its schema up to this code's.

    Any number of processes may do so at once. Raises `SettingsError` for another kind of URL or for a
    database that a newer Vesalius made, `IndexUnavailable` when it cannot be reached.
    """
    scheme, _, rest = url.partition(":")
    database: Database
    if scheme == "sqlite":
        from vesalius.backends.database_sqlite import SqliteDatabase

        path = rest.removeprefix("///")
        if not rest.startswith("///") or not path or path == ":memory:":
            raise SettingsError(
                "database: a SQLite URL must name a file", hint="write sqlite:///relative or sqlite:////absolute/path"
            )
        database = SqliteDatabase(path)
    elif scheme in ("postgresql", "postgres", "postgresql+asyncpg"):
        from vesalius.backends.database_postgres import PostgresDatabase

        database = PostgresDatabase("postgresql+asyncpg:" + rest)
    else:
        raise SettingsError(
            f"database: no support for {scheme!r}", hint="write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
        )
    if migrate:
        from vesalius.backends.migrations import migrate as bring_up

        try:
            bring_up(database)
        except BaseException:
            database.close()
            raise
    return database


class Progress:
    """How far a transaction is: once COMMIT was sent, a failure leaves the outcome unknown."""

    __slots__ = ("committing",)

    def __init__(self) -> None:
        self.committing = False


@contextmanager
def failures_translated(driver: Errors, bad_values: Errors = (), progress: Progress | None = None) -> Iterator[None]:
    """Turn every failure of a driver into `IndexUnavailable`, without the values that drivers print.

    `driver`: what it raises beside `OSError`. `bad_values`: those about a value rather than about the database,
    which is the value's fault: `ValueError`. (Named by the back ends, so that each process loads one driver only.)
    With `progress` the error tells whether the transaction is undone for certain.
    """
    try:
        yield
    except _ANY + driver as error:
        origin = getattr(error, "orig", None) or error
        if isinstance(origin, bad_values) or isinstance(origin.__cause__, bad_values):
            raise ValueError(f"the index cannot hold a value ({type(origin).__name__})") from None
        # `from None`: the chain would carry statements with their parameters into a log.
        translated = unavailable(error)
        # SQLite writes the page that commits last, so one that found no room has committed nothing.
        full = getattr(origin, "sqlite_errorname", None) == "SQLITE_FULL"
        translated.undone = progress is not None and (full or not progress.committing)
        raise translated from None


def unavailable(error: BaseException) -> IndexUnavailable:
    """The one error of a database, saying what kind of failure it was."""
    origin = getattr(error, "orig", None) or error
    code = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None)
    code = code or getattr(origin, "strerror", None)
    kind = type(origin).__name__ + (f" ({code})" if code else "")
    hint = "look whether the database server runs, and whether its disk is full or read-only"
    if str(code).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        hint = "its file is damaged: stop the service and run `vesalius reindex`, which makes it anew from the packs"
    return IndexUnavailable(f"the index database failed: {kind}", hint=hint)


def upsert(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> None:
    """Insert a row, or update the one with its primary key."""
    insert: Any
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert
    keys = [column.name for column in table.primary_key]
    statement = insert(table).values(**values)
    rest = {name: statement.excluded[name] for name in values if name not in keys}
    if rest:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))
    else:
        connection.execute(statement.on_conflict_do_nothing(index_elements=keys))


def numbered(sql: str) -> str:
    """`?` placeholders as PostgreSQL numbers them: `$1`, `$2`, ..."""
    parts = sql.split("?")
    return "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]


_IN_ONE = re.compile(r"\bIN \(\?\)")


def in_list(sql: str, replacement: str) -> str:
    """The statement with its single `IN (?)` replaced by the dialect's way to compare with a list."""
    return _IN_ONE.sub(lambda _: replacement, sql, count=1)
