"""PostgreSQL through asyncpg on an event loop of its own.

Theory. asyncpg is the driver (psycopg is LGPL), and asyncpg needs an event loop; the callers are
threads. So the pool lives on a private loop in one thread, a caller hands its function over, and
SQLAlchemy's greenlet bridge lets the function run there with blocking calls while other connections go
on. The functions are short and wait for the server most of the time.

A server that restarts breaks every pooled connection at once. A connection known to be closed is
replaced at check-out; one that breaks in use empties the pool and the function runs once more, unless
the commit was already sent: then nobody knows what became of it, and the sender of the images must ask
again (`IndexUnavailable`), which is harmless because ingest is idempotent. Deadlocks and serialization
failures are rolled back by the server and run again.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

import asyncpg
import sqlalchemy as sa
import uvloop
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from vesalius.backends.database import Progress, Row, Transaction, failures_translated, in_list, numbered, unavailable
from vesalius.model.errors import IndexUnavailable, SettingsError

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 120.0
POOL_SIZE = 8
POOL_OVERFLOW = 24
ATTEMPTS = 4

# SQLSTATE classes: connection exceptions; the server shuts down or starts up.
_BROKEN = ("08", "57P01", "57P02", "57P03")
# Rolled back, try again: serialization, deadlock, and a row above that was deleted after it had been looked up.
_AGAIN = ("40001", "40P01", "23503")

# A server that dies between two messages leaves the driver's own state machine astray (InternalClientError).
_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_FAILURES = (asyncpg.PostgresError, *_LOST)
# What the driver raises about a value rather than about the database.
_BAD_VALUES = (asyncpg.exceptions.DataError, asyncpg.exceptions.ProgramLimitExceededError, asyncpg.DataError)


class PostgresDatabase:
    """A `Database` on a PostgreSQL server (see `backends/database.py`)."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.engine.make_url(url)
        except (sa.exc.ArgumentError, ValueError):
            raise SettingsError(
                "database: this is no PostgreSQL URL", hint="write postgresql://USER:PASSWORD@HOST:PORT/NAME"
            ) from None
        self._pid = os.getpid()
        self._closed = False
        self._loop = uvloop.new_event_loop()
        self._engine: AsyncEngine = create_async_engine(
            parsed,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            hide_parameters=True,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "command_timeout": STATEMENT_TIMEOUT_S,
                # Every statement here is short: compiling a plan costs more than running it.
                "server_settings": {"jit": "off", "application_name": "vesalius"},
            },
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgresql", daemon=True)
        self._thread.start()

    def read(self, fn: Callable[[sa.Connection], T]) -> T:
        """Run `fn` in a read-only transaction with one view of the data."""

        async def work(connection: AsyncConnection) -> T:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                return await connection.run_sync(fn)

        return self._run(work, Progress())

    def write(self, fn: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Run `fn` in a transaction; always durable."""
        progress = Progress()

        async def work(connection: AsyncConnection) -> T:
            async with connection.begin():
                result = await connection.run_sync(fn)
                progress.committing = True
            return result

        return self._run(work, progress)

    def transaction(self, fn: Callable[[Transaction], T], *, durable: bool) -> T:
        """Run `fn` in a transaction through the bare driver; always durable."""
        progress = Progress()

        async def work(connection: AsyncConnection) -> T:
            driver = await _driver(connection)
            await driver.execute("BEGIN")
            try:
                result: T = await greenlet_spawn(fn, PostgresTransaction(driver))
                progress.committing = True
                await driver.execute("COMMIT")
            except BaseException:
                if driver.is_in_transaction() and not driver.is_closed():
                    await driver.execute("ROLLBACK")
                raise
            return result

        return self._run(work, progress)

    @property
    def at_once(self) -> bool:
        """See `Database.at_once`."""
        return False

    def lookup(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn`, which only reads, through the bare driver; each statement sees its own snapshot."""

        async def work(connection: AsyncConnection) -> T:
            result: T = await greenlet_spawn(fn, PostgresTransaction(await _driver(connection)))
            return result

        return self._run(work, Progress())

    def optimise(self) -> None:
        """ANALYZE; the server check-points by itself."""

        async def work(connection: AsyncConnection) -> None:
            await (await _driver(connection)).execute("ANALYZE")

        self._run(work, Progress())

    def close(self) -> None:
        """Close all connections and end the loop."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._engine.dispose(), self._loop).result(CONNECT_TIMEOUT_S)
        except Exception:  # noqa: S110 - a server that is gone cannot be told goodbye
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Callable[[AsyncConnection], Awaitable[T]], progress: Progress) -> T:
        if os.getpid() != self._pid:
            raise IndexUnavailable("the index database was opened before a fork", hint="open it in each process")
        if self._closed:
            raise IndexUnavailable("the index database is closed")
        with failures_translated(_FAILURES, _BAD_VALUES, progress):
            return asyncio.run_coroutine_threadsafe(self._attempts(work, progress), self._loop).result()

    async def _attempts(self, work: Callable[[AsyncConnection], Awaitable[T]], progress: Progress) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            progress.committing = False
            try:
                async with self._engine.connect() as connection:
                    try:
                        return await self._on_live(connection, work)
                    except Exception as error:
                        if _state(error).startswith(_BROKEN) or _is_closed(error):
                            await connection.invalidate()
                        raise
            except Exception as error:
                again = _state(error) in _AGAIN
                broken = _state(error).startswith(_BROKEN) or _is_closed(error)
                if broken:
                    await self._engine.dispose()  # the neighbours in the pool broke by the same cause
                if attempt == ATTEMPTS or progress.committing or not (again or (broken and attempt == 1)):
                    raise
        raise unavailable(TimeoutError())

    async def _on_live(self, connection: AsyncConnection, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if (await _driver(connection)).is_closed():
            await connection.invalidate()
        return await work(connection)


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


def _origin(error: BaseException) -> BaseException:
    """The driver's own error beneath those of SQLAlchemy."""
    while (inner := getattr(error, "orig", None) or error.__cause__) is not None and inner is not error:
        error = inner
    return error


def _state(error: BaseException) -> str:
    return getattr(_origin(error), "sqlstate", None) or ""


def _is_closed(error: BaseException) -> bool:
    return isinstance(_origin(error), (*_LOST, ConnectionError))


class PostgresTransaction:
    """`Transaction` over a bare asyncpg connection; to be used inside SQLAlchemy's greenlet bridge."""

    __slots__ = ("_driver", "for_update")

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.for_update = " FOR NO KEY UPDATE"  # rows that refer to it may still be inserted

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Row]:
        """All rows of one statement."""
        rows: Sequence[Row] = await_only(self._driver.fetch(_numbered(sql), *_clean(params)))
        return rows

    def rows_in(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """All rows for any number of values, as one array."""
        rows: Sequence[Row] = await_only(self._driver.fetch(_any_of(sql), list(_clean(values))))
        return rows

    def run(self, sql: str, params: Sequence[Any] = ()) -> None:
        """One statement without an answer."""
        # fetch, not execute: it goes through the cache of prepared statements.
        await_only(self._driver.fetch(_numbered(sql), *_clean(params)))

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each of the rows, pipelined."""
        if len(rows) == 1:
            self.run(sql, rows[0])
        else:
            await_only(self._driver.executemany(_numbered(sql), [_clean(row) for row in rows]))

    def insert(
        self, table: sa.Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], key: Sequence[str]
    ) -> list[int | None]:
        """Insert rows in one statement; a row that lost the race for a unique key has no id."""
        names, keys = tuple(columns), tuple(key)
        rows = [_clean(row) for row in rows]
        if len(rows) == 1:
            return [await_only(self._driver.fetchval(_insert_one_sql(table, names), *rows[0]))]
        by_column = list(zip(*rows, strict=True))
        found = await_only(self._driver.fetch(_insert_many_sql(table, names, keys), *by_column))
        ids: dict[Row, int] = {tuple(row)[1:]: row[0] for row in found}
        places = [names.index(name) for name in keys]
        return [ids.get(tuple(row[place] for place in places)) for row in rows]


def _clean(values: Sequence[Any]) -> Sequence[Any]:
    # PostgreSQL's text cannot hold U+0000, which broken names may have (bad-input S10).
    if any(type(value) is str and "\0" in value for value in values):
        return [value.replace("\0", "") if isinstance(value, str) else value for value in values]
    return values


@functools.lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    return numbered(sql)


@functools.lru_cache(maxsize=256)
def _any_of(sql: str) -> str:
    return in_list(sql, "= ANY ($1)")


@functools.lru_cache(maxsize=64)
def _insert_one_sql(table: sa.Table, names: tuple[str, ...]) -> str:
    values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) "  # noqa: S608 - names from the schema
        "ON CONFLICT DO NOTHING RETURNING id"
    )


@functools.lru_cache(maxsize=64)
def _insert_many_sql(table: sa.Table, names: tuple[str, ...], keys: tuple[str, ...]) -> str:
    # Columns as arrays: one prepared statement for a batch of any size.
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    kinds = (sa.types.to_instance(table.c[name].type).compile(dialect) for name in names)
    arrays = ", ".join(f"${number}::{kind.split(' COLLATE')[0]}[]" for number, kind in enumerate(kinds, 1))
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays}) "  # noqa: S608
        f"ON CONFLICT DO NOTHING RETURNING {', '.join(('id', *keys))}"
    )
