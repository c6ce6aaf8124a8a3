"""Conditions of a question as SQL: one function per matching kind, for SQLite and PostgreSQL.

Theory. A condition becomes a `Clause`: a predicate on the table of its level, and where an index can answer it
a `Seek`, statements that name the ids of the rows. A predicate is exact, or it lets too many rows through (a wildcard
that might run from one value of a multi-valued attribute into the next) and the rows are looked at again by the oracle,
never too few. Values travel as parameters only; the text of a statement depends on the shape of the question alone, so
that both databases know it again.

Text compares by code point on both sides. Patterns are GLOB on SQLite and LIKE on PostgreSQL, whose wildcards mind
case on both. A pattern that begins with letters is a range of the B-tree as well: `doe*` is from `doe` to before
`dof`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vesalius.backends import schema
from vesalius.backends.query_sql_text import (
    FALSE,
    Dialect,
    Sql,
    all_of,
    any_of,
    between,
    delimited,
    glob,
    in_list,
    like,
    literal_prefix,
    prefix_end,
    union,
)
from vesalius.model import datetimes
from vesalius.model.attributes import BY_TAG, DATE_TIME_PAIRS, Attribute, ColumnKind, Role
from vesalius.model.entities import Level
from vesalius.model.query import (
    AllOf,
    Condition,
    DateTimeRange,
    IsEmpty,
    ItemMatches,
    OneOf,
    Query,
    Range,
    SoundsLike,
    Wildcard,
)

LIST_IN_SQL = 1000  # values of one list that one statement compares with
LONGEST_ALL = 20  # values that one statement looks for; with more of them the rows are looked at again
_SEEK_PATTERNS = 10  # patterns of one key that are still looked up by index

_MIDNIGHT = "000000.000000"
_LAST = "235960.999999"  # a leap second included


@dataclass(frozen=True, slots=True)
class Seek:
    """Statements that select the ids of the rows of `level` through an index, the most selective kinds first."""

    rank: int
    level: Level
    statements: tuple[Sql, ...]
    listed: int = 0  # how many values the question itself names, by which the work is bounded; 0: it names none


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition: where it is checked, how, and how to look it up."""

    tag: int
    level: Level
    condition: Condition
    where: Sql
    exact: bool = True
    seek: Seek | None = None


def compile_conditions(query: Query, dialect: Dialect) -> list[Clause]:
    """Every condition of a question."""
    return [_Compiler(dialect, query).clause(tag, condition) for tag, condition in query.conditions]


@dataclass(frozen=True, slots=True)
class _Compiler:
    dialect: Dialect
    query: Query

    def clause(self, tag: int, condition: Condition) -> Clause:
        row = BY_TAG[tag]
        if isinstance(condition, ItemMatches):
            return self._items(row, condition)
        if isinstance(condition, IsEmpty):
            column = self._column(row)
            numeric = row.kind in (ColumnKind.INTEGER, ColumnKind.DECIMAL)
            where = Sql(f"{column} IS NULL") if numeric else Sql(f"({column} IS NULL OR {column} = '')")
            return Clause(tag, row.level, condition, where)
        if isinstance(condition, DateTimeRange):
            return self._span(row, condition)
        if isinstance(condition, Range):
            return self._range(row, condition)
        if row.kind is ColumnKind.NAME:
            return self._name(row, condition)
        if isinstance(condition, OneOf):
            return self._one_of(row, condition)
        if isinstance(condition, AllOf):
            return self._all_of(row, condition)
        if isinstance(condition, Wildcard):
            return self._wildcard(row, condition)
        return Clause(tag, row.level, condition, FALSE)

    # -- values

    def _one_of(self, row: Attribute, condition: OneOf) -> Clause:
        column = self._column(row)
        if row.kind is ColumnKind.MULTI:
            parts = [self._pattern(delimited(column), f"*\\{value}\\*") for value in condition.values[:LIST_IN_SQL]]
            exact = len(condition.values) <= 20
            present = Sql(f"{column} IS NOT NULL")
            return Clause(row.tag, row.level, condition, any_of(parts) if exact else present, exact)
        if row.kind is ColumnKind.INTEGER:
            return self._listed(row, condition, [int(value) for value in condition.values], "bigint")
        if row.kind is ColumnKind.DECIMAL:
            return self._listed(row, condition, [float(value) for value in condition.values], "float8")
        return self._listed(row, condition, list(condition.values), "text")

    def _all_of(self, row: Attribute, condition: AllOf) -> Clause:
        column = self._column(row)
        parts = [self._pattern(delimited(column), f"*\\{value}\\*") for value in condition.values[:LONGEST_ALL]]
        return Clause(row.tag, row.level, condition, all_of(parts), len(condition.values) <= LONGEST_ALL)

    def _listed(self, row: Attribute, condition: OneOf, values: list[Any], kind: str) -> Clause:
        column = self._column(row)
        chunks = [values[at : at + LIST_IN_SQL] for at in range(0, len(values), LIST_IN_SQL)]
        seek = None
        if row.indexed:
            statements = tuple(self._ids(row, in_list(self.dialect, row.column, chunk, kind)) for chunk in chunks)
            rank = (0 if row.kind is ColumnKind.UID else 1) if len(values) == 1 else 4 if len(values) <= 100 else 9
            seek = Seek(rank + _least_selective(row), row.level, statements, listed=len(values))
        if len(chunks) > 1:  # too long to compare with in every statement: the rows are looked at again
            return Clause(row.tag, row.level, condition, Sql(f"{column} IS NOT NULL"), False, seek)
        return Clause(row.tag, row.level, condition, in_list(self.dialect, column, values, kind), True, seek)

    def _wildcard(self, row: Attribute, condition: Wildcard) -> Clause:
        column = self._column(row)
        if row.kind is ColumnKind.MULTI:
            parts = [self._pattern(delimited(column), f"*\\{pattern}\\*") for pattern in condition.patterns]
            return Clause(row.tag, row.level, condition, any_of(parts), False)
        where = any_of([self._pattern(column, pattern) for pattern in condition.patterns])
        return Clause(
            row.tag, row.level, condition, where, True, self._seek_patterns(row, condition.patterns, [Role.VALUE])
        )

    def _pattern(self, column: str, pattern: str) -> Sql:
        """A column against one pattern, in the cheapest form."""
        prefix = literal_prefix(pattern)
        if prefix == pattern:
            return Sql(f"{column} = ?", (pattern,))
        if pattern == "*":
            return Sql(f"{column} IS NOT NULL")
        ranged = self._prefix(column, prefix) if prefix else None
        if ranged is not None and pattern == prefix + "*":
            return ranged
        if self.dialect == "sqlite":
            matched = Sql(f"{column} GLOB ?", (glob(pattern),))
        else:
            matched = Sql(f"{column} LIKE ?", (like(pattern),))
        return matched if ranged is None else Sql(f"({ranged.text} AND {matched.text})", ranged.params + matched.params)

    def _prefix(self, column: str, prefix: str) -> Sql:
        end = prefix_end(prefix)
        if end is None:
            return Sql(f"{column} >= ?", (prefix,))
        return Sql(f"({column} >= ? AND {column} < ?)", (prefix, end))

    def _seek_patterns(self, row: Attribute, patterns: Sequence[str], roles: Sequence[Role]) -> Seek | None:
        prefixes = [literal_prefix(pattern) for pattern in patterns]
        if not row.indexed or len(patterns) > _SEEK_PATTERNS or not all(prefixes):
            return None
        parts = [
            self._ids(row, self._pattern(row.column + role.value, pattern)) for pattern in patterns for role in roles
        ]
        rank = max(8 - min(min(map(len, prefixes)), 4), 4) + _least_selective(row)
        return Seek(rank, row.level, (union(parts),))

    # -- names

    def _name(self, row: Attribute, condition: Condition) -> Clause:
        if isinstance(condition, SoundsLike):
            column = self._column(row, Role.SOUNDS)
            parts = [self._pattern(column, f"* {code} *") for code in condition.codes]
            return Clause(row.tag, row.level, condition, all_of(parts), not row.multi)
        if isinstance(condition, OneOf):
            wanted = condition.values
        elif isinstance(condition, Wildcard):
            wanted = condition.patterns
        else:
            return Clause(row.tag, row.level, condition, FALSE)
        if len(wanted) > LIST_IN_SQL:
            return Clause(row.tag, row.level, condition, Sql(f"{self._column(row)} IS NOT NULL"), False)
        where = any_of([self._name_pattern(row, want) for want in wanted])
        return Clause(row.tag, row.level, condition, where, not row.multi, self._seek_names(row, wanted))

    def _name_pattern(self, row: Attribute, want: str) -> Sql:
        columns = [self._column(row, role) for role in _GROUPS]
        if "=" not in want:
            return any_of([self._group(row, column, want) for column in columns])
        places = zip(columns, want.split("=", 2), strict=False)
        parts = [self._group(row, column, part) for column, part in places if part.strip("*")]
        return Sql(f"({(both := all_of(parts)).text})", both.params)

    def _group(self, row: Attribute, column: str, want: str) -> Sql:
        return self._pattern(delimited(column), f"*\\{want}\\*") if row.multi else self._pattern(column, want)

    def _seek_names(self, row: Attribute, wanted: Sequence[str]) -> Seek | None:
        if row.multi:
            return None
        if not any("=" in want for want in wanted):
            return self._seek_patterns(row, wanted, _GROUPS)
        if len(wanted) > 1:
            return None
        for role, part in zip(_GROUPS, wanted[0].split("=", 2), strict=False):
            if literal_prefix(part):
                return self._seek_patterns(row, [part], [role])
        return None

    # -- dates and times

    def _range(self, row: Attribute, condition: Range) -> Clause:
        norm = self._column(row, Role.NORM)
        where = between(norm, condition.low, condition.high)
        offset = datetimes.parse_offset(self.query.timezone)
        seek = self._seek_range(row, condition.low, condition.high)
        if offset is None or row.kind is ColumnKind.DATETIME:
            return Clause(row.tag, row.level, condition, where, True, seek)
        if row.kind is ColumnKind.TIME:
            pairs = [date for date, time in DATE_TIME_PAIRS.items() if time == row.tag]
            if not pairs:
                return Clause(row.tag, row.level, condition, where)
            utc = self._column(BY_TAG[pairs[0]], Role.UTC)
            return Clause(row.tag, row.level, condition, any_of([where, Sql(f"{utc} IS NOT NULL")]), False)
        if row.tag not in DATE_TIME_PAIRS:
            return Clause(row.tag, row.level, condition, where, True, seek)
        low = None if condition.low is None else condition.low + _MIDNIGHT
        high = None if condition.high is None else condition.high + _LAST
        return Clause(
            row.tag,
            row.level,
            condition,
            self._zoned(row, where, low, high, offset),
            True,
            self._seek_days(row, low, high),
        )

    def _span(self, row: Attribute, condition: DateTimeRange) -> Clause:
        date, time = self._column(row, Role.NORM), self._column(BY_TAG[condition.time_tag], Role.NORM)
        where = between(f"({date} || COALESCE({time}, '{_MIDNIGHT}'))", condition.low, condition.high)
        offset = datetimes.parse_offset(self.query.timezone)
        if offset is None:
            low, high = (None if end is None else end[:8] for end in (condition.low, condition.high))
            where = all_of([between(date, low, high), where])
            return Clause(row.tag, row.level, condition, where, True, self._seek_range(row, low, high))
        where = self._zoned(row, where, condition.low, condition.high, offset)
        return Clause(row.tag, row.level, condition, where, True, self._seek_days(row, condition.low, condition.high))

    def _zoned(self, row: Attribute, local: Sql, low: str | None, high: str | None, offset: int) -> Sql:
        """In UTC where the zone of the row is known, as it stands where it is not."""
        utc = self._column(row, Role.UTC)
        instants = between(utc, low and datetimes.shift(low, -offset), high and datetimes.shift(high, -offset))
        return Sql(
            f"(({utc} IS NULL AND {local.text}) OR ({utc} IS NOT NULL AND {instants.text}))",
            local.params + instants.params,
        )

    def _seek_days(self, row: Attribute, low: str | None, high: str | None) -> Seek | None:
        """By the day as it stands, which differs from that in another zone by two at most."""
        early = low and datetimes.shift(low, -2 * 24 * 60)
        late = high and datetimes.shift(high, 2 * 24 * 60)
        return self._seek_range(row, early and early[:8], late and late[:8])

    def _seek_range(self, row: Attribute, low: str | None, high: str | None) -> Seek | None:
        if not row.indexed or (low is None and high is None):
            return None
        rank = 6 if low is not None and high is not None else 8
        statement = self._ids(row, between(row.column + Role.NORM.value, low, high))
        return Seek(rank + _least_selective(row), row.level, (statement,))

    # -- sequences

    def _items(self, row: Attribute, condition: ItemMatches) -> Clause:
        # A sequence inside is not in `nested`, and emptiness leaves nothing there: the oracle looks again.
        inside = [(tag, inner) for tag, inner in condition.conditions if not isinstance(inner, IsEmpty | ItemMatches)]
        exact = len(inside) == len(condition.conditions)
        if not inside:
            return Clause(row.tag, row.level, condition, Sql(f"{self._column(row)} IS NOT NULL"), False)
        same = all_of([self._nested_value("n", tag, inner) for tag, inner in inside[:1]])
        others = [
            Sql(
                "EXISTS (SELECT 1 FROM nested AS m WHERE m.level = n.level AND m.owner = n.owner "  # noqa: S608
                f"AND m.sequence = n.sequence AND m.item = n.item AND {value.text})",
                value.params,
            )
            for value in (self._nested_value("m", tag, inner) for tag, inner in inside[1:])
        ]
        body = all_of([same, *others])
        where = Sql(
            f"EXISTS (SELECT 1 FROM nested AS n WHERE n.level = ? AND n.owner = {_table(row.level)}.id "  # noqa: S608
            f"AND n.sequence = ? AND {body.text})",
            (int(row.level), row.tag, *body.params),
        )
        seek = None
        if all(isinstance(inner, OneOf) and len(inner.values) <= LIST_IN_SQL for _, inner in inside):
            statement = Sql(
                f"SELECT DISTINCT n.owner AS id FROM nested AS n WHERE n.sequence = ? AND {body.text} AND n.level = ?",  # noqa: S608
                (row.tag, *body.params, int(row.level)),
            )
            seek = Seek(3, row.level, (statement,))
        return Clause(row.tag, row.level, condition, where, exact, seek)

    def _nested_value(self, alias: str, tag: int, condition: Condition) -> Sql:
        column = f"{alias}.value"
        if isinstance(condition, Wildcard):
            value = any_of([self._pattern(column, pattern) for pattern in condition.patterns])
        elif isinstance(condition, OneOf):
            value = in_list(self.dialect, column, condition.values)
        else:
            value = FALSE
        return Sql(f"{alias}.tag = ? AND {value.text}", (tag, *value.params))

    # -- parts

    def _ids(self, row: Attribute, where: Sql) -> Sql:
        return Sql(f"SELECT id FROM {_table(row.level)} WHERE {where.text}", where.params)  # noqa: S608

    def _column(self, row: Attribute, role: Role = Role.VALUE) -> str:
        return f"{_table(row.level)}.{row.column}{role.value}"


_GROUPS = (Role.FOLDED, Role.IDEOGRAPHIC, Role.PHONETIC)

_table: Callable[[Level], str] = {level: table.name for level, table in schema.TABLE_OF.items()}.__getitem__


def _least_selective(row: Attribute) -> int:
    """A few values for all rows: an index on these helps only where nothing else does."""
    return 20 if row.keyword == "Modality" else 0
