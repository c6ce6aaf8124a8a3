"""An embedded index whose file is damaged: found out, set aside, and what only it knew saved from it.

Theory. The packs tell nearly everything again, so a damaged index is no loss but a nuisance: it is not repaired, it
is moved out of the way and made anew. Only the peers are in no pack. They are few, in one small table, and mostly
still readable; what cannot be read of them has to be entered again. The damaged file is kept until someone deletes it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pysqlite3
import sqlalchemy as sa

from vesalius.backends import peers_sql, schema
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
