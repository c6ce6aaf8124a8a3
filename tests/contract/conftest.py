"""Every back end of a port, so that one test holds for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer, postgres

from vesalius.backends.database import open_database
from vesalius.backends.index_memory import MemoryIndex
from vesalius.backends.index_sql import SqlIndex
from vesalius.ports.index import Index

__all__ = ["postgres"]

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new empty database on each server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/index.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"contract_{next(_numbers)}"
    yield server.create(name)
    server.drop(name)


@pytest.fixture
def open_index(database_url: str) -> Iterator[Callable[[], SqlIndex]]:
    """Opens the same index again and again, as several processes would; closes all."""
    opened: list[SqlIndex] = []

    def opener() -> SqlIndex:
        opened.append(SqlIndex(open_database(database_url)))
        return opened[-1]

    yield opener
    for index in opened:
        index.close()


@pytest.fixture
def sql_index(open_index: Callable[[], SqlIndex]) -> SqlIndex:
    return open_index()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    """An empty index of each kind."""
    if request.param == "memory":
        yield MemoryIndex()
        return
    name = f"contract_{next(_numbers)}"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/index.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create(name)
    made = SqlIndex(open_database(url))
    yield made
    made.close()
    if request.param == "postgresql":
        server.drop(name)
