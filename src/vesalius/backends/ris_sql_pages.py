"""Pages of nouns of the workflow by any of their look-up columns, and when something last became of them.

Theory. A page begins behind a number and goes on in the order of numbers: whatever is added or changed meanwhile, no
noun comes twice and none that was there is left out. Names of columns come from `ris_rows.KINDS`, values are
parameters. A prefix is a range of text, so that an index serves it on both databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from vesalius.backends.database import Transaction
from vesalius.backends.ris_rows import KINDS, Kind, noun_of
from vesalius.model.orders import Noun, Order, Patient, ScheduledStep
from vesalius.ports.ris import Match, Term, Where

N = TypeVar("N", bound=Noun)

_LAST = "\U0010ffff"
# Whose events tell that a noun changed: (column of the event, column of the noun, further condition). A step changes
# with its order, since what a modality says of it is told under the order.
_EVENTS: dict[type[Any], tuple[str, str, str]] = {
    Patient: ("patient", "id", " AND (kind LIKE 'patient-%' OR kind = 'identifier-changed')"),
    Order: ("order_ref", "id", ""),
    ScheduledStep: ("order_ref", "order_ref", ""),
}


def page(tx: Transaction, kind: type[N], where: Where, *, after: int, limit: int, changed: tuple[str, str]) -> list[N]:
    """See `RisView.page`."""
    held = KINDS[kind]
    conditions, params = _conditions(held, where, changed)
    conditions.append("id > ?")
    params.append(after)
    sql = f"SELECT id, data FROM {held.name} WHERE {' AND '.join(conditions)} ORDER BY id"  # noqa: S608 - see above
    if limit:
        sql += f" LIMIT {limit:d}"
    return [noun_of(kind, row) for row in tx.rows(sql, params)]


def count(tx: Transaction, kind: type[Any], where: Where, *, changed: tuple[str, str]) -> int:
    """See `RisView.count`."""
    held = KINDS[kind]
    conditions, params = _conditions(held, where, changed)
    sql = f"SELECT COUNT(*) FROM {held.name} WHERE {' AND '.join(conditions) or '1 = 1'}"  # noqa: S608 - see above
    return int(tx.rows(sql, params)[0][0])


def last_changes(tx: Transaction, kind: type[Any], refs: Sequence[int]) -> dict[int, str]:
    """See `RisView.last_changes`."""
    if not refs:
        return {}
    column, of_noun, more = _EVENTS[kind]
    newest = f"SELECT {column}, MAX(at) FROM ris_event WHERE {column} IN (?){more} GROUP BY {column}"  # noqa: S608
    if of_noun == "id":
        return {row[0]: row[1] for row in tx.rows_in(newest, list(refs))}
    owners = f"SELECT id, {of_noun} FROM {KINDS[kind].name} WHERE id IN (?)"  # noqa: S608
    owner = {row[0]: row[1] for row in tx.rows_in(owners, list(refs))}
    found = {row[0]: row[1] for row in tx.rows_in(newest, sorted(set(owner.values())))}
    return {ref: found[above] for ref, above in owner.items() if above in found}


def _conditions(held: Kind, where: Where, changed: tuple[str, str]) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    params: list[Any] = []
    for terms in where:
        texts = [_term(held, term, params) for term in terms]
        conditions.append(f"({' OR '.join(texts) or '1 = 0'})")
    if any(changed):
        column, of_noun, more = _EVENTS[held.noun]
        inside = f"SELECT {column} FROM ris_event WHERE at >= ?{more}"  # noqa: S608
        for moment, operator in zip(changed, ("IN", "NOT IN"), strict=True):
            if moment:
                conditions.append(f"{of_noun} {operator} ({inside})")
                params.append(moment)
    return conditions, params


def _term(held: Kind, term: Term, params: list[Any]) -> str:
    column = term.column
    if column != "id" and column not in held.columns:
        raise ValueError(f"{held.name} is not looked up by {column}")
    if term.match is Match.IN:
        params += term.values
        return f"{column} IN ({', '.join('?' * len(term.values))})" if term.values else "1 = 0"
    value = term.values[0]
    if term.match is Match.PREFIX:
        params += (value, f"{value}{_LAST}")
        return f"{column} >= ? AND {column} < ?"
    if term.match is Match.CONTAINS:
        escaped = str(value).replace("!", "!!").replace("%", "!%").replace("_", "!_")
        params.append(f"%{escaped}%")
        return f"{column} LIKE ? ESCAPE '!'"
    params.append(value)
    return f"{column} {'>=' if term.match is Match.FROM else '<'} ?"
