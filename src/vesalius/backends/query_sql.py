"""Answering a question from the tables of the index, page by page, at a million studies as at a thousand.

Theory. Two ways lead to the rows, and neither ever holds the database for long.

Seek. Where a condition has an index (a UID, Patient ID, Accession Number, the beginning of a name, a date), its
rows are looked up first: only their ids, which an index gives without touching a row, and only up to a
bound. From there the ids go down the levels (patient to study to series to instance) and the rows of the
level that was asked for are read by their ids, a page at a time, with all other conditions checked on the way. Of
several such conditions the first that names few rows is taken.

Below. A relational question may hold conditions below the level that it asks for (PS3.4 C.4.1.2.2.1). They are sought
like all others, from the rows found up to those that hold them, and checked by EXISTS within EXISTS, one for each
level: one series satisfies all that is asked of series and holds the instance that satisfies the rest. Each goes by
the index of its parent and by no other, so its work is what lies in one row; windows and pages are the smaller the
deeper it looks. Where SQL can only narrow down such a condition, the rows below are looked at by the oracle.

Walk. Where nothing selects, or what selects names too many rows, windows of primary keys are read one after the
other. A window grows while it finds little and shrinks when it finds much, so that a page comes
soon and each statement ends soon.

Between two pages nothing is open: no cursor, no transaction. To abandon the iterator is to cancel; a page is empty
where a read found nothing, so that there is a moment to do so however long the search. The order is that of
arrival (ids), the same for the same question; `newest_first` turns it round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.query_sql_answers import Plan, plan_answers
from vesalius.backends.query_sql_conditions import Seek, compile_conditions
from vesalius.backends.query_sql_text import Dialect, Sql, all_of, in_list
from vesalius.model.entities import Level
from vesalius.model.query import Match, Query
from vesalius.ports.index import HANDFUL

FEW = 2000  # ids that make a condition selective enough to stop looking for a better one
MANY = 50_000  # ids beyond which walking is no slower than seeking
FIRST_PAGE = 50  # answers
PAGE = 500
FIRST_WINDOW = 500  # primary keys
WINDOW = 20_000
PARENTS = 50  # rows whose children are looked up in one statement
# Rows of which one statement looks at what lies in them, by how many levels deep that is.
LOOKED_INTO = (WINDOW, 1000, 100, 50)

_TABLES = ("patient", "study", "series", "instance")
_PARENT = ("", "patient_ref", "study_ref", "series_ref")


def find(database: Database, query: Query) -> Iterator[list[Match]]:
    """Answers in pages, the first before the last row is read (`Index.find`). Raises `IndexUnavailable`."""
    if query.limit == 0:
        return
    left = query.limit
    finder = _Finder(database, query)
    skip = finder.pass_over()
    for page in finder.pages():
        if skip:
            skipped = min(skip, len(page))
            page = page[skipped:]
            skip -= skipped
        if left is not None:
            page = page[:left]
            left -= len(page)
        yield page
        if left == 0:
            return


def find_at_once(database: Database, query: Query) -> list[Match] | None:
    """All answers, where few rows are to be looked at (`Index.find_at_once`). Raises `IndexUnavailable`."""
    if not database.at_once or query.offset or query.limit == 0:
        return None
    answers = _Finder(database, query).few()
    return answers if answers is None or query.limit is None else answers[: query.limit]


@dataclass(frozen=True, slots=True)
class _Start:
    """What the first look at the database found: ids at a level, or none where it has to be walked."""

    seek: Seek | None
    ids: list[int]
    rows: list[Row] | None = None  # where all of them came along at once


class _Finder:
    """One question on its way through one database."""

    def __init__(self, database: Database, query: Query) -> None:
        self._database = database
        self._dialect: Dialect = database.dialect
        self._level = query.level
        self._newest = query.newest_first
        self._clauses = compile_conditions(query, self._dialect)
        again = [clause.tag for clause in self._clauses if not clause.exact and clause.level <= self._level]
        self._plan: Plan = plan_answers(query, again)
        self._deepest = max([self._level, *(clause.level for clause in self._clauses)])
        self._where = self._conditions()
        self._offset = query.offset
        self._most = LOOKED_INTO[self._deepest - self._level]
        # Asks for what must lie in a row for it to be an answer, where SQL alone cannot tell.
        self._witness: _Finder | None = None
        if any(not clause.exact and clause.level > self._level for clause in self._clauses):
            below = replace(query, level=self._deepest, returns=frozenset(), limit=None, offset=0)
            self._witness = _Finder(database, below)
        # A walk that is asked for twenty-five answers need not read five hundred rows for them.
        wanted = FIRST_WINDOW if query.limit is None else query.limit + (query.offset if self._clauses else 0)
        self._window = min(FIRST_WINDOW, max(wanted, FIRST_PAGE), self._most)
        self._begin: int | None = None  # the id that a walk begins after; None: the smallest

    def pass_over(self) -> int:
        """Leave out the answers before the offset; gives how many of them are still to be left out.

        Without conditions every row is an answer, so the row to begin with is found by counting in an index.
        """
        if not self._offset or self._clauses:
            return self._offset
        table, where = _TABLES[self._level], all_of(self._where)
        order = "id DESC" if self._newest else "id"
        sql = f"SELECT id FROM {table} WHERE {where.text} ORDER BY {order} LIMIT 1 OFFSET ?"  # noqa: S608
        rows = self._lookup(Sql(sql, (*where.params, min(self._offset, 1 << 62))))
        if self._newest:
            self._begin = rows[0][0] if rows else -(1 << 62)
        else:
            self._begin = rows[0][0] - 1 if rows else 1 << 62
        return 0

    def pages(self) -> Iterator[list[Match]]:
        """All answers."""
        start = self._database.lookup(self._start)
        if start.rows is not None:
            page = self._answers(start.rows)
            if page:
                yield page
        elif start.seek is None:
            yield from self._walk()
        else:
            ids = self._down(start.seek.level, self._ids(start))
            if start.seek.level > self._level:
                ids = self._up(start.seek.level, ids)
            yield from self._fetch(iter(sorted(ids, reverse=True)) if self._newest else ids)

    def few(self) -> list[Match] | None:
        """All answers, where a handful of rows has to be looked at; None where it may be more.

        Every statement on the way is bounded by what it may look at, not by what it may find.
        """
        if self._deepest > self._level:
            return None  # what lies in a row may be much
        rows = self._database.lookup(self._few)
        return None if rows is None else self._answers(rows)

    def _few(self, tx: Transaction) -> list[Row] | None:
        for seek in self._seeks():
            if not 0 < seek.listed <= HANDFUL:
                continue
            ids, level = self._probe(tx, seek, HANDFUL), seek.level
            while ids and level < self._level:
                level = Level(level + 1)
                refs = in_list(self._dialect, _PARENT[level], ids, "bigint")
                sql = f"SELECT id FROM {_TABLES[level]} WHERE {refs.text} ORDER BY id LIMIT ?"  # noqa: S608
                ids = [row[0] for row in tx.rows(sql, (*refs.params, HANDFUL + 1))]
                if len(ids) > HANDFUL:
                    ids = None
            if ids is not None:
                return self._rows(tx, self._rows_of(ids)) if ids else []
        return None

    def _start(self, tx: Transaction) -> _Start:
        """Choose the way; where few rows are meant, read them in the same visit."""
        seeks = self._seeks()
        for seek in seeks:
            ids = self._probe(tx, seek, FEW)
            if ids is not None:
                return self._at_once(tx, seek, ids)
        for seek in seeks:
            if seek.listed and len(seek.statements) > 1:
                return _Start(seek, [])
            ids = self._probe(tx, seek, MANY)
            if ids is not None:
                return _Start(seek, ids)
        return _Start(None, [])

    def _seeks(self) -> list[Seek]:
        """The ways in, the most selective kinds first."""
        return sorted((c.seek for c in self._clauses if c.seek is not None), key=lambda seek: seek.rank)

    def _probe(self, tx: Transaction, seek: Seek, most: int) -> list[int] | None:
        """The ids that a seek names, in order; None where they are more than `most`."""
        ids: set[int] = set()
        for statement in seek.statements:
            rows = tx.rows(f"{statement.text} LIMIT ?", (*statement.params, most + 1))
            if len(rows) > most:
                return None
            ids.update(row[0] for row in rows)
            if len(ids) > most:
                return None
        return sorted(ids)

    def _at_once(self, tx: Transaction, seek: Seek, ids: list[int]) -> _Start:
        level, below = seek.level, ids
        while level > self._level and below:
            below = sorted(row[0] for row in self._rows(tx, self._parents(level, below)))
            level = Level(level - 1)
        while level < self._level and len(below) <= PARENTS:
            level = Level(level + 1)
            below = [row[0] for row in self._rows(tx, self._children(level, below))] if below else []
        if not below:
            return _Start(seek, [], [])
        if level is self._level and len(below) <= FIRST_PAGE:
            return _Start(seek, [], self._rows(tx, self._rows_of(below)))
        return _Start(seek, ids)

    def _ids(self, start: _Start) -> Iterator[int]:
        if start.ids or start.seek is None:
            yield from start.ids
            return
        seen: set[int] = set()
        for statement in start.seek.statements:
            ids = sorted(row[0] for row in self._lookup(statement) if row[0] not in seen)
            seen.update(ids)
            yield from ids

    def _down(self, level: Level, ids: Iterator[int]) -> Iterator[int]:
        """From the ids of one level to those of the level that was asked for."""
        while level < self._level:
            level = Level(level + 1)
            ids = self._below(level, ids)
        return ids

    def _below(self, level: Level, parents: Iterator[int]) -> Iterator[int]:
        size = 1
        while chunk := list(islice(parents, size)):
            yield from [row[0] for row in self._lookup(self._children(level, chunk))]
            size = PARENTS

    def _up(self, level: Level, ids: Iterator[int]) -> Iterator[int]:
        """From ids below the level that was asked for to those of the rows that hold them, in order."""
        while level > self._level:
            above: set[int] = set()
            while chunk := list(islice(ids, PAGE)):
                above.update(row[0] for row in self._lookup(self._parents(level, chunk)))
            level, ids = Level(level - 1), iter(sorted(above))
        return ids

    def _fetch(self, ids: Iterator[int]) -> Iterator[list[Match]]:
        size = FIRST_PAGE
        while chunk := list(islice(ids, size)):
            yield self._answers(self._lookup(self._rows_of(chunk)))
            size = min(PAGE, self._most)

    def _answers(self, rows: Sequence[Row]) -> list[Match]:
        if self._witness is not None:
            rows = [row for row in rows if self._witness.lies_in(self._level, row[-1])]
        return self._plan.answers(rows)

    def lies_in(self, level: Level, holder: int) -> bool:
        """Whether any answer lies in one row of a level above."""
        return any(self._fetch(self._down(level, iter((holder,)))))

    def _walk(self) -> Iterator[list[Match]]:
        """Windows (low, high] of primary keys, from the first that is wanted to the last, or backwards."""
        table = _TABLES[self._level]
        high = self._lookup(Sql(f"SELECT MAX(id) FROM {table}"))[0][0] or 0  # noqa: S608
        window = self._window
        if self._newest:
            low = (self._lookup(Sql(f"SELECT MIN(id) FROM {table}"))[0][0] or 0) - 1  # noqa: S608
            high = high if self._begin is None else self._begin
        elif self._begin is not None:
            low = self._begin
        else:
            low = (self._lookup(Sql(f"SELECT MIN(id) FROM {table}"))[0][0] or 0) - 1  # noqa: S608
        while low < high:
            after, until = (max(low, high - window), high) if self._newest else (low, min(low + window, high))
            where = all_of([Sql(f"{table}.id > ? AND {table}.id <= ?", (after, until)), *self._where])
            page = self._answers(self._lookup(self._select(where, walking=True)))
            yield page
            low, high = (low, after) if self._newest else (until, high)
            window = min(max(window // 2, PAGE) if len(page) > PAGE else window * 2, WINDOW, self._most)

    # -- statements

    def _conditions(self, only: Level | None = None) -> list[Sql]:
        """What a row of a level must satisfy; by default one of the level that was asked for, with all around it."""
        clauses = [c for c in self._clauses if (c.level <= self._level if only is None else c.level is only)]
        parts = [clause.where for clause in clauses]
        level = self._level if only is None else only
        if level is Level.IMAGE:
            parts.append(Sql("instance.rank = 0"))
        if self._level <= level < self._deepest:
            parts.append(self._holds(Level(level + 1)))
        return parts

    def _holds(self, level: Level) -> Sql:
        """Whether a row of the level above holds one of this level that satisfies all that is asked below.

        The index of the parent is the only way in, as it is upwards in `_select`; with LIMIT and OFFSET neither
        database makes a join of it. PostgreSQL: MATERIALIZED has the rows below planned by themselves (and read as
        they are wanted); beside a costly condition any scan would look as cheap as the index.
        """
        table, ref = _TABLES[level], _PARENT[level]
        here = f"{ref} = {_TABLES[level - 1]}.id"
        conditions = all_of(self._conditions(level))
        if self._dialect == "sqlite":
            source = f"SELECT 1 FROM {table} INDEXED BY ix_{table}_{ref} WHERE {table}.{here} AND"  # noqa: S608
        else:
            rows = f"SELECT * FROM {table} AS one WHERE one.{here}"  # noqa: S608
            source = f"WITH {table} AS MATERIALIZED ({rows}) SELECT 1 FROM {table} WHERE"  # noqa: S608
        return Sql(f"EXISTS ({source} {conditions.text} LIMIT 1 OFFSET 0)", conditions.params)

    def _parents(self, level: Level, ids: Sequence[int]) -> Sql:
        table = _TABLES[level]
        chosen = in_list(self._dialect, f"{table}.id", ids, "bigint")
        return Sql(f"SELECT DISTINCT {table}.{_PARENT[level]} FROM {table} WHERE {chosen.text}", chosen.params)  # noqa: S608

    def _children(self, level: Level, parents: Sequence[int]) -> Sql:
        table = _TABLES[level]
        refs = in_list(self._dialect, f"{table}.{_PARENT[level]}", parents, "bigint")
        where = all_of([refs, *self._conditions(level)])
        return Sql(f"SELECT {table}.id FROM {table} WHERE {where.text} ORDER BY {table}.id", where.params)  # noqa: S608

    def _rows_of(self, ids: Sequence[int]) -> Sql:
        chosen = in_list(self._dialect, f"{_TABLES[self._level]}.id", ids, "bigint")
        return self._select(all_of([chosen, *self._where]))

    def _select(self, where: Sql, *, walking: bool = False) -> Sql:
        """The rows of the level with those above: from the asked level upwards, on either database."""
        table = _TABLES[self._level]
        source = table
        top = min([self._plan.top, *(clause.level for clause in self._clauses)])
        # A row above is always looked up by its key, whatever the planner believes: reading the whole table above
        # for a page looks cheap to it. SQLite: CROSS JOIN keeps the order, NOT INDEXED leaves the primary key as
        # the only way to walk. PostgreSQL: OFFSET 0 keeps the lookup from becoming a join.
        sqlite = self._dialect == "sqlite"
        if walking and sqlite:
            source += " NOT INDEXED"
        for level in range(self._level, top, -1):
            up, ref = _TABLES[level - 1], f"{_TABLES[level]}.{_PARENT[level]}"
            if sqlite:
                source += f" CROSS JOIN {up} ON {up}.id = {ref}"
            else:
                source += f" JOIN LATERAL (SELECT * FROM {up} AS one WHERE one.id = {ref} OFFSET 0) AS {up} ON TRUE"  # noqa: S608
        order = " DESC" if self._newest else ""
        columns = self._plan.columns if self._witness is None else f"{self._plan.columns}, {table}.id"
        return Sql(
            f"SELECT {columns} FROM {source} WHERE {where.text} ORDER BY {table}.id{order}",  # noqa: S608
            where.params,
        )

    def _lookup(self, statement: Sql) -> Sequence[Row]:
        return self._database.lookup(lambda tx: tx.rows(statement.text, statement.params))

    def _rows(self, tx: Transaction, statement: Sql) -> list[Any]:
        return list(tx.rows(statement.text, statement.params))
