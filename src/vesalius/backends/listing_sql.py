"""Listings of logs: the newest rows of a table, as far as they fit what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vesalius.backends.database import Database, Row


def newest(
    database: Database,
    table: str,
    fields: str,
    limit: int,
    *,
    equal: Mapping[str, Any],
    more: Sequence[tuple[str, Sequence[Any]]] = (),
) -> Sequence[Row]:
    """Rows of a table with an `id`, the newest first.

    `equal`: column -> value; None and "" ask for nothing. `more`: further conditions in SQL, each with its parameters.
    Names of tables and columns are the caller's own, never a user's.
    """
    conditions = [(f"{column} = ?", (value,)) for column, value in equal.items() if value not in (None, "")]
    conditions += [(condition, tuple(params)) for condition, params in more]
    where = f" WHERE {' AND '.join(condition for condition, _ in conditions)}" if conditions else ""
    params = [param for _, given in conditions for param in given]
    sql = f"SELECT {fields} FROM {table}{where} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return database.lookup(lambda tx: tx.rows(sql, (*params, limit)))


def one_of(column: str, values: Sequence[Any]) -> list[tuple[str, Sequence[Any]]]:
    """The condition that a column holds one of some values; none without values."""
    return [(f"{column} IN ({', '.join('?' * len(values))})", values)] if values else []


def older_than(row: int) -> list[tuple[str, Sequence[Any]]]:
    """The condition of a further page: rows before that one; none for 0."""
    return [("id < ?", (row,))] if row else []
