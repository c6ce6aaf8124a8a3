"""Every back end of a port, so that one test holds for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer

from vesalius.backends.database import open_database
from vesalius.backends.index_memory import MemoryIndex
from vesalius.backends.index_sql import SqlIndex
from vesalius.ports.index import Index

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new empty database on each server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/index.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield server.create(f"contract_{next(_numbers)}")


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


@pytest.fixture(scope="session")
def shared_postgres_url(postgres: PostgresServer) -> str:
    """One database for the tests that begin by emptying it."""
    return postgres.create("contract_shared")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    """An empty index of each kind."""
    if request.param == "memory":
        yield MemoryIndex()
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/index.db"
    else:
        url = request.getfixturevalue("shared_postgres_url")
    made = SqlIndex(open_database(url))
    if request.param == "postgresql":  # emptied, because a new database for each test takes a second
        made.clear()
        for peer in made.peers():
            made.remove_peer(peer.name)
    yield made
    made.close()
