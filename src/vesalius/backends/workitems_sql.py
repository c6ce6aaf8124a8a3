"""The store of workitems in a SQL database: `ports.workitems` over `backends.database`.

Theory. A workitem is a row with its data set as JSON; what is read inside a change is held (`FOR NO KEY UPDATE`; SQLite
has one writer). Reports are collected while the verb runs and written last, under a lock of their own, so that their
numbers become visible in order (see `outbox_sql`) and so that a deliverer that finds nothing more to tell cannot close
its job while somebody adds to it (`all_told` takes the same lock).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from vesalius.backends import schema_ups
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.jobs_sql import close, enqueue
from vesalius.backends.ris_sql import SqlWork as RisEvents
from vesalius.model import reading
from vesalius.model import workitems as w
from vesalius.model.entities import Values
from vesalius.model.errors import DuplicateRecord
from vesalius.model.names import fold_groups
from vesalius.model.orders import By
from vesalius.model.workitem_query import Narrow, digits
from vesalius.model.workitems import GlobalSubscription, Happening, Report, Subscription, Workitem, WorkitemState
from vesalius.ports.jobs import Job, Lease
from vesalius.ports.workitems import WorkitemView, WorkitemWork

T = TypeVar("T")

TELL = "workitem.tell"  # the kind of job that delivers reports to one receiver, which is its key

_COLUMNS = (
    "uid", "state", "lock", "at", "changed_at", "creator", "patient_id", "study", "label", "start", "gone", "data",
)  # fmt: skip
_FIELDS = "id, uid, state, lock, at, changed_at, creator, gone, data"
_GET = f"SELECT {_FIELDS} FROM workitem WHERE uid = ?"  # noqa: S608
_SAVE = f"UPDATE workitem SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"  # noqa: S608
_SUBSCRIBERS = "SELECT aet, locked, origin FROM workitem_subscription WHERE workitem_ref = ? ORDER BY aet"
_SUBSCRIBE = (
    "INSERT INTO workitem_subscription (workitem_ref, aet, locked, origin) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (workitem_ref, aet) DO UPDATE SET locked = excluded.locked, origin = excluded.origin"
)
_UNSUBSCRIBE = "DELETE FROM workitem_subscription WHERE workitem_ref = ? AND aet = ?"
_UNSUBSCRIBE_ALL = "DELETE FROM workitem_subscription WHERE aet = ? AND origin = ?"
_GLOBALS = "SELECT aet, locked, filtered, keys FROM workitem_global ORDER BY aet, filtered"
_RECEIVERS = "SELECT aet FROM workitem_subscription UNION SELECT aet FROM workitem_global ORDER BY 1"
_SUBSCRIBE_GLOBALLY = (
    "INSERT INTO workitem_global (aet, filtered, locked, keys) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (aet, filtered) DO UPDATE SET locked = excluded.locked, keys = excluded.keys"
)
_SUSPEND = "DELETE FROM workitem_global WHERE aet = ? AND filtered = ? RETURNING aet"
_REPORT = "INSERT INTO workitem_report (aet, workitem, kind, data, at, told) VALUES (?, ?, ?, ?, ?, '')"
_REPORTED = "SELECT id, aet, workitem, kind, data, at FROM workitem_report WHERE "
_TOLD = "UPDATE workitem_report SET told = ? WHERE id = ?"
_HEARD_TO = "SELECT last_report FROM workitem_reader WHERE aet = ?"
_HEARD = (
    "INSERT INTO workitem_reader (aet, last_report) VALUES (?, ?) ON CONFLICT (aet) DO UPDATE SET last_report = "
    "CASE WHEN excluded.last_report > workitem_reader.last_report THEN excluded.last_report "
    "ELSE workitem_reader.last_report END"
)
_LAST = "SELECT MAX(id) FROM workitem_report"
_OLD = (
    "SELECT id FROM workitem WHERE gone = 0 AND state IN ('COMPLETED', 'CANCELED') AND changed_at < ? AND id > ? "
    "ORDER BY id LIMIT ?"
)
_PURGE = (
    "UPDATE workitem SET gone = 1, data = '{}', patient_id = '', study = '', label = '', start = '' "
    "WHERE id IN (?) AND NOT EXISTS (SELECT 1 FROM workitem_subscription "
    "WHERE workitem_subscription.workitem_ref = workitem.id AND workitem_subscription.locked = 1) RETURNING id"
)
_PURGED_AT_ONCE = 500
_PURGE_SUBSCRIPTIONS = "DELETE FROM workitem_subscription WHERE workitem_ref = ?"
_NAMES = "SELECT name FROM workitem_name WHERE workitem = ?"
_NAME = "INSERT INTO workitem_name (name, workitem) VALUES (?, ?)"
_FORGET_NAMES = "DELETE FROM workitem_name WHERE workitem = ?"
_PURGE_REPORTS = "DELETE FROM workitem_report WHERE at < ? AND told <> ''"
_MOST_NAMED = 500  # values in one condition; of more, each workitem is looked at
_LOCK = "SELECT pg_advisory_xact_lock(?)"
_LOCK_NUMBER = 0x75707365  # "upse"


class SqlWorkitemView:
    """Implements `ports.workitems.WorkitemView` over one transaction, or over look-ups."""

    def __init__(self, tx: Transaction, hold: str = "") -> None:
        self._tx = tx
        self._hold = hold

    def get(self, uid: str) -> Workitem | None:
        """See `WorkitemView.get`."""
        rows = self._tx.rows(_GET + self._hold, (uid,))
        return _item(rows[0]) if rows else None

    def search(self, narrow: Narrow, *, after: int = 0, limit: int = 200) -> list[Workitem]:
        """See `WorkitemView.search`."""
        where, params = ["id > ?", "gone = 0"], list[Any]((after,))
        for name, values in (("uid", narrow.uids), ("state", narrow.states)):
            if 0 < len(values) <= _MOST_NAMED:
                where.append(f"{name} IN ({', '.join('?' * len(values))})")
                params += values
        for name, value in (("patient_id", narrow.patient_id), ("study", narrow.study), ("label", narrow.label)):
            if value:
                where.append(f"{name} = ?")
                params.append(value)
        for operator, value in ((">=", narrow.begin), ("<=", narrow.end)):
            if value:
                where.append(f"start {operator} ?")
                params.append(value)
        if 0 < len(narrow.names) <= _MOST_NAMED:
            begins = " OR ".join(["(name >= ? AND name < ?)"] * len(narrow.names))
            where.append(f"id IN (SELECT workitem FROM workitem_name WHERE {begins})")  # noqa: S608 - only marks
            params += [end for name in narrow.names for end in (name, name + "\U0010ffff")]
        sql = f"SELECT {_FIELDS} FROM workitem WHERE {' AND '.join(where)} ORDER BY id LIMIT ?"  # noqa: S608
        return [_item(row) for row in self._tx.rows(sql, (*params, limit))]

    def subscriptions(self, ref: int) -> list[Subscription]:
        """See `WorkitemView.subscriptions`."""
        return [Subscription(aet, bool(locked), origin) for aet, locked, origin in self._tx.rows(_SUBSCRIBERS, (ref,))]

    def global_subscriptions(self) -> list[GlobalSubscription]:
        """See `WorkitemView.global_subscriptions`."""
        return [
            GlobalSubscription(aet, bool(locked), bool(filtered), _values(keys))
            for aet, locked, filtered, keys in self._tx.rows(_GLOBALS)
        ]

    def receivers(self) -> list[str]:
        """See `WorkitemView.receivers`."""
        return [row[0] for row in self._tx.rows(_RECEIVERS)]


class SqlWorkitemWork(SqlWorkitemView):
    """Implements `ports.workitems.WorkitemWork` over one transaction. `finish` belongs to its end."""

    def __init__(self, tx: Transaction, now: str) -> None:
        super().__init__(tx, tx.for_update)
        self._now = now
        self._reports: list[tuple[Any, ...]] = []
        self._events: list[tuple[str, By, Mapping[str, str]]] = []
        self._ordered = False

    def global_subscriptions(self) -> list[GlobalSubscription]:
        """See `WorkitemView.global_subscriptions`: those and the creation of workitems come one after the other."""
        self._order()
        return super().global_subscriptions()

    def subscriptions(self, ref: int) -> list[Subscription]:
        """See `WorkitemView.subscriptions`: who subscribes to all meanwhile came before, or sees the change."""
        self._order()
        return super().subscriptions(ref)

    def add(self, item: Workitem) -> Workitem:
        """See `WorkitemWork.add`."""
        taken = self._tx.rows("SELECT id FROM workitem WHERE uid = ?", (item.uid,))
        made = None if taken else self._tx.insert(schema_ups.workitem, _COLUMNS, [_row(item)], ("uid",))[0]
        if made is None:
            raise DuplicateRecord("there is a workitem with this UID already")
        self._tx.many(_NAME, [(name, made) for name in _groups(item)])
        return _with_ref(item, made)

    def save(self, item: Workitem) -> None:
        """See `WorkitemWork.save`."""
        self._tx.run(_SAVE, (*_row(item), item.ref))
        names = _groups(item)
        if names != sorted(row[0] for row in self._tx.rows(_NAMES, (item.ref,))):
            self._tx.run(_FORGET_NAMES, (item.ref,))
            self._tx.many(_NAME, [(name, item.ref) for name in names])

    def subscribe(self, ref: int, subscription: Subscription) -> None:
        """See `WorkitemWork.subscribe`."""
        self._order()
        self._tx.run(_SUBSCRIBE, (ref, subscription.aet, int(subscription.locked), subscription.origin))

    def unsubscribe(self, ref: int, aet: str) -> None:
        """See `WorkitemWork.unsubscribe`."""
        self._order()
        self._tx.run(_UNSUBSCRIBE, (ref, aet))

    def unsubscribe_all(self, aet: str, origins: Sequence[str]) -> None:
        """See `WorkitemWork.unsubscribe_all`."""
        self._order()
        self._tx.many(_UNSUBSCRIBE_ALL, [(aet, origin) for origin in origins])

    def subscribe_globally(self, subscription: GlobalSubscription) -> None:
        """See `WorkitemWork.subscribe_globally`."""
        self._order()
        keys = _json(subscription.keys)
        self._tx.run(
            _SUBSCRIBE_GLOBALLY, (subscription.aet, int(subscription.filtered), int(subscription.locked), keys)
        )

    def suspend(self, aet: str, *, filtered: bool) -> bool:
        """See `WorkitemWork.suspend`."""
        self._order()
        return bool(self._tx.rows(_SUSPEND, (aet, int(filtered))))

    def tell(self, aet: str, workitem: str, kind: Happening, values: Values) -> None:
        """See `WorkitemWork.tell`."""
        self._reports.append((aet, workitem, int(kind), _json(values), self._now))

    def announce(self, kind: str, by: By, detail: Mapping[str, str]) -> None:
        """See `WorkitemWork.announce`."""
        self._events.append((kind, by, detail))

    def finish(self) -> None:
        """Write the reports, the jobs that deliver them, and the events: the last statements of the transaction."""
        if self._reports:
            self._order()
            self._tx.many(_REPORT, self._reports)
            for aet in sorted({row[0] for row in self._reports}):
                enqueue(self._tx, Job(TELL, {"aet": aet}, key=aet), self._now)
        if self._events:
            feed = RisEvents(self._tx)
            for kind, by, detail in self._events:
                feed.announce(kind, by, detail=detail)
            feed.finish()

    def _order(self) -> None:
        """Whoever changes subscriptions or tells does so one after the other: taken before any row of theirs is."""
        if not self._ordered:
            _take_turn(self._tx)
            self._ordered = True


class SqlWorkitems:
    """Implements `ports.workitems.Workitems`. `ring` wakes whoever does jobs."""

    def __init__(self, database: Database, ring: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._ring = ring

    def look(self, work: Callable[[WorkitemView], T]) -> T:
        """See `Workitems.look`."""
        return self._database.lookup(lambda tx: work(SqlWorkitemView(tx)))

    def change(self, work: Callable[[WorkitemWork], T], now: str) -> T:
        """See `Workitems.change`."""

        def act(tx: Transaction) -> T:
            unit = SqlWorkitemWork(tx, now)
            result = work(unit)
            unit.finish()
            return result

        result = self._database.transaction(act, durable=True)
        self._ring()
        return result

    def untold(self, aet: str, limit: int = 100) -> list[Report]:
        """See `Workitems.untold`."""
        sql = f"{_REPORTED} aet = ? AND told = '' ORDER BY id LIMIT ?"
        return [_report(row) for row in self._database.lookup(lambda tx: tx.rows(sql, (aet, limit)))]

    def told(self, report: int, how: str) -> None:
        """See `Workitems.told`."""
        self._database.transaction(lambda tx: tx.run(_TOLD, (how, report)), durable=True)

    def all_told(self, lease: Lease, aet: str, now: str) -> bool:
        """See `Workitems.all_told`."""

        def act(tx: Transaction) -> bool:
            _take_turn(tx)
            if tx.rows(f"{_REPORTED} aet = ? AND told = '' LIMIT 1", (aet,)):
                return False
            close(tx, lease, now)
            return True

        return self._database.transaction(act, durable=True)

    def heard_to(self, aet: str) -> int:
        """See `Workitems.heard_to`."""
        known = self._database.lookup(lambda tx: tx.rows(_HEARD_TO, (aet,)))
        return int(known[0][0]) if known else 0

    def unheard(self, aet: str, after: int, limit: int = 100) -> list[Report]:
        """See `Workitems.unheard`."""
        sql = f"{_REPORTED} aet = ? AND id > ? ORDER BY id LIMIT ?"
        return [_report(row) for row in self._database.lookup(lambda tx: tx.rows(sql, (aet, after, limit)))]

    def heard(self, aet: str, report: int) -> None:
        """See `Workitems.heard`."""
        self._database.transaction(lambda tx: tx.run(_HEARD, (aet, report)), durable=False)

    def last_report(self) -> int:
        """See `Workitems.last_report`."""
        return self._database.lookup(lambda tx: tx.rows(_LAST))[0][0] or 0

    def purge(self, before: str) -> int:
        """See `Workitems.purge`."""

        def act(tx: Transaction) -> tuple[list[int], int]:
            old = [row[0] for row in tx.rows(_OLD + tx.for_update, (before, after, _PURGED_AT_ONCE))]
            if not old:
                return old, 0
            # Then the order of subscribers, as everywhere: a lock that comes now is seen by the next statement.
            _take_turn(tx)
            purged = [(row[0],) for row in tx.rows_in(_PURGE, old)]
            tx.many(_PURGE_SUBSCRIPTIONS, purged)
            tx.many(_FORGET_NAMES, purged)
            return old, len(purged)

        after, count = 0, 0
        while True:
            old, purged = self._database.transaction(act, durable=True)
            count += purged
            if len(old) < _PURGED_AT_ONCE:
                break
            after = old[-1]
        self._database.transaction(lambda tx: tx.run(_PURGE_REPORTS, (before,)), durable=True)
        return count


def _take_turn(tx: Transaction) -> None:
    if tx.for_update:  # a database with many writers
        tx.rows(_LOCK, (_LOCK_NUMBER,))


def _groups(item: Workitem) -> list[str]:
    """The groups of the patient's name, as questions ask for them."""
    names = reading.texts(item.values, w.PATIENT_NAME)
    return sorted({group for name in names for group in fold_groups(name) if group})


def _row(item: Workitem) -> tuple[Any, ...]:
    return (
        item.uid, str(item.state), item.lock, item.at, item.changed_at, item.creator, _column(item, w.PATIENT_ID),
        _column(item, w.STUDY_INSTANCE_UID), _column(item, w.WORKLIST_LABEL), digits(item.text(w.START)),
        int(item.gone), _json(item.values),
    )  # fmt: skip


def _column(item: Workitem, tag: int) -> str:
    """A value as questions ask for it: no database holds a NUL, and `query_parser` asks for none."""
    return item.text(tag).strip(" ").replace("\0", "\ufffd")


def _with_ref(item: Workitem, ref: int) -> Workitem:
    return Workitem(
        item.uid, item.state, item.values, item.lock, item.at, item.changed_at, item.creator, ref, item.gone
    )


def _item(row: Row) -> Workitem:
    ref, uid, state, lock, at, changed_at, creator, gone, data = row
    return Workitem(uid, WorkitemState(state), _values(data), lock, at, changed_at, creator, ref, bool(gone))


def _report(row: Row) -> Report:
    return Report(row[0], row[1], row[2], Happening(row[3]), _values(row[4]), row[5])


def _json(values: Values) -> str:
    return json.dumps(_written(values), ensure_ascii=False, separators=(",", ":"))


def _written(values: Values) -> dict[str, list[Any]]:
    return {
        f"{tag:08X}": [_written(one) if isinstance(one, dict) else one for one in value]
        for tag, value in sorted(values.items())
    }


def _values(text: str) -> Values:
    return _read(json.loads(text)) if text else {}


def _read(found: Mapping[str, list[Any]]) -> Values:
    return {int(key, 16): tuple(_texts(value)) for key, value in found.items()}


def _texts(value: list[Any]) -> Iterator[Any]:
    for one in value:
        yield _read(one) if isinstance(one, dict) else one
