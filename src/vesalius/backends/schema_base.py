"""What all tables share: one MetaData, its names for constraints, and the types of columns.

Text compares by code point on both databases: SQLite's BINARY is its default, PostgreSQL gets "C". Moments are text of
fixed width (UTC, ISO 8601 with microseconds and "Z"), so that comparing text is comparing time; "" is never or not yet.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

TEXT: sa.types.TypeEngine[str] = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
# Only INTEGER makes a column the rowid itself in SQLite.
BIG: sa.types.TypeEngine[int] = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.types.TypeEngine[float] = sa.Double()
BYTES: sa.types.TypeEngine[bytes] = sa.LargeBinary()


def row_id() -> sa.Column[int]:
    """The number of a row."""
    return sa.Column("id", BIG, primary_key=True, autoincrement=True)


def ref(name: str, target: str, **options: Any) -> sa.Column[int]:
    """The number of a row of another table."""
    return sa.Column(name, BIG, sa.ForeignKey(f"{target}.id"), nullable=False, **options)


def text(name: str) -> sa.Column[str]:
    """Text that is always there, "" at least."""
    return sa.Column(name, TEXT, nullable=False)


def count(name: str) -> sa.Column[int]:
    """A number that begins at 0."""
    return sa.Column(name, BIG, nullable=False, server_default="0")
