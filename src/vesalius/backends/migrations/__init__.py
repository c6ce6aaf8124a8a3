"""Bringing a database up to this code: Alembic, forward only, at open, under a lock.

The usual case, nothing to do, costs one small read and never imports Alembic. Otherwise the processes that
start together queue on the writers' lock (SQLite) or an advisory lock (PostgreSQL), and all steps run in one
transaction, so that a crash leaves either the old schema or the new one.

A database of a newer Vesalius is refused: this code would not write what the newer one relies on.
"""

from __future__ import annotations

import sqlalchemy as sa

from vesalius.backends import schema
from vesalius.backends.database import Database, upsert
from vesalius.model.errors import SettingsError

# The newest revision; a test holds it against the scripts.
HEAD = "0009"

_VERSION_TABLE = "alembic_version"
_ADVISORY_LOCK = 0x56455341  # any number of our own


def migrate(database: Database) -> None:
    """Upgrade to `HEAD`. Raises `SettingsError` for a database of a newer Vesalius, `IndexUnavailable`."""
    if database.read(revision) != HEAD:
        database.write(_upgrade)


def revision(connection: sa.Connection) -> str | None:
    """The revision of a database; None for an empty one."""
    if not sa.inspect(connection).has_table(_VERSION_TABLE):
        return None
    found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {_VERSION_TABLE}").scalar()  # noqa: S608
    return found


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
    current = revision(connection)
    if current == HEAD:
        return  # another process was first
    from vesalius.backends.migrations import runner

    if current is not None and current not in runner.revisions():
        raise SettingsError(
            f"the database has schema {current}, made by a newer Vesalius than this one (schema {HEAD})",
            hint="start the newer version, or restore the database as it was before the upgrade",
        )
    runner.upgrade(connection)
    if current is None:
        upsert(connection, schema.meta, {"key": "attributes", "value": schema.FINGERPRINT})
