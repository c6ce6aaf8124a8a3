"""An embedded index whose file is damaged: found out, set aside, and what only it knew saved from it.

Theory. The packs tell nearly everything again, so a damaged index is no loss but a nuisance: it is not repaired, it
is moved out of the way and made anew. In no pack are the peers and what is still to be done: jobs, storage commitments,
orders, messages. They are mostly still readable; what cannot be read of them has to be entered again. The damaged file
is kept until someone deletes it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pysqlite3
import sqlalchemy as sa

from vesalius.backends import peers_sql, schema, schema_jobs
from vesalius.backends.database import Database
from vesalius.backends.index_sql import TOLD_AGAIN
from vesalius.model.entities import Peer

_COMPANIONS = ("", "-wal", "-shm")


def is_damaged(path: Path) -> bool:
    """Whether SQLite finds fault with the file; it reads all of it. One that is not there is not damaged."""
    if not path.exists():
        return False
    try:
        connection = pysqlite3.connect(str(path))
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        finally:
            connection.close()
    except pysqlite3.DatabaseError:
        return True


def set_aside(path: Path) -> Path:
    """Rename the file, and its log with it; gives its new name. Raises `OSError`."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for suffix in _COMPANIONS:
        companion = Path(f"{path}{suffix}")
        if companion.exists():
            companion.rename(f"{aside}{suffix}")
    return aside


def told_by_nothing_else() -> list[sa.Table]:
    """The tables that no pack can tell again, those that others refer to first. Peers are taken over by themselves; the
    cursors of relays belong to a change feed that begins anew.
    """
    left_out = {*TOLD_AGAIN, schema.peer, schema.meta, schema_jobs.relay}
    return [table for table in schema.metadata.sorted_tables if table not in left_out]


def take_over(path: Path, database: Database) -> int:
    """Copy what can still be read of those tables; how many rows. Never raises for what the file holds.

    Raises `IndexUnavailable` for the database that it goes into.
    """
    engine = sa.create_engine("sqlite://", module=pysqlite3, creator=lambda: pysqlite3.connect(str(path)))
    taken = 0
    try:
        for table in told_by_nothing_else():
            rows = []
            try:
                with engine.connect() as connection:
                    for row in connection.execute(sa.select(table)).mappings():
                        rows.append(dict(row))  # noqa: PERF401  those before the damage are kept
            except (sa.exc.SQLAlchemyError, pysqlite3.Error, ValueError, TypeError):
                pass
            taken += database.write(lambda connection, table=table, rows=rows: _insert(connection, table, rows))  # type: ignore[misc]
    finally:
        engine.dispose()
    return taken


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> int:
    """Row by row: one that refers to what was lost is lost, too."""
    taken = 0
    for row in rows:
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table), row)
        except sa.exc.IntegrityError:
            continue
        taken += 1
    return taken


def peers_in(path: Path) -> list[Peer]:
    """The peers that can still be read from a damaged file. Never raises for what it holds."""
    engine = sa.create_engine("sqlite://", module=pysqlite3, creator=lambda: pysqlite3.connect(str(path)))
    found = []
    try:
        with engine.connect() as connection:
            for row in connection.execute(sa.select(schema.peer)).mappings():
                found.append(peers_sql.peer_of(row))  # noqa: PERF401  those before the damage are kept
    except (sa.exc.SQLAlchemyError, pysqlite3.Error, ValueError, AttributeError, TypeError):
        pass
    finally:
        engine.dispose()
    return found
