"""Pieces of SQL: predicates with their parameters, joined, and patterns in the words of each database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Dialect: TypeAlias = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of a statement and its parameters, `?` for each."""

    text: str
    params: tuple[Any, ...] = ()


TRUE = Sql("1 = 1")
FALSE = Sql("1 = 0")


def any_of(parts: Sequence[Sql]) -> Sql:
    """Any of some predicates."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return FALSE
    return Sql(f"({' OR '.join(part.text for part in parts)})", tuple(p for part in parts for p in part.params))


def all_of(parts: Sequence[Sql]) -> Sql:
    """All of some predicates."""
    if not parts:
        return TRUE
    return Sql(" AND ".join(part.text for part in parts), tuple(p for part in parts for p in part.params))


def in_list(dialect: Dialect, column: str, values: Sequence[Any], kind: str = "text") -> Sql:
    """Whether a column holds one of some values; `kind` is PostgreSQL's name of their type."""
    if len(values) == 1:
        return Sql(f"{column} = ?", (values[0],))
    if dialect == "sqlite":
        return Sql(f"{column} IN (SELECT value FROM json_each(?))", (json.dumps(list(values)),))  # noqa: S608
    return Sql(f"{column} = ANY (?::{kind}[])", (list(values),))


def prefix_end(prefix: str) -> str | None:
    """The first text after all that begin with `prefix`; None where there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def like(pattern: str) -> str:
    """`*` and `?` as LIKE has them, everything else literal."""
    return "".join({"*": "%", "?": "_", "%": "\\%", "_": "\\_", "\\": "\\\\"}.get(char, char) for char in pattern)


def glob(pattern: str) -> str:
    """`*` and `?` as GLOB has them, everything else literal."""
    return pattern.replace("[", "[[]")


def literal_prefix(pattern: str) -> str:
    """What stands before the first wildcard."""
    ends = [at for at in (pattern.find("*"), pattern.find("?")) if at >= 0]
    return pattern[: min(ends)] if ends else pattern


def delimited(column: str) -> str:
    """A column of several values with a backslash before and after each."""
    return f"('\\' || {column} || '\\')"


def union(parts: Sequence[Sql]) -> Sql:
    """The rows of several statements, repeats included."""
    return Sql(" UNION ALL ".join(part.text for part in parts), tuple(p for part in parts for p in part.params))


def between(column: str, low: str | None, high: str | None) -> Sql:
    """A column between two ends, either of which may be open; it must have a value."""
    parts = []
    if low is not None:
        parts.append(Sql(f"{column} >= ?", (low,)))
    if high is not None:
        parts.append(Sql(f"{column} <= ?", (high,)))
    return all_of(parts) if parts else Sql(f"{column} IS NOT NULL")
