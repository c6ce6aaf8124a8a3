"""Workitems on SQLite and on PostgreSQL: what is committed together, who wins a race, what each receiver is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.support.workitems import DONE, LABEL, values

from vesalius.backends import ris_sql
from vesalius.backends.database import Database, open_database
from vesalius.backends.jobs_sql import SqlJobs
from vesalius.backends.workitems_sql import TELL, SqlWorkitems
from vesalius.model import workitems as w
from vesalius.model.entities import Values
from vesalius.model.errors import DuplicateRecord
from vesalius.model.orders import By
from vesalius.model.workitem_query import parse
from vesalius.model.workitems import Happening, Refused
from vesalius.ports.jobs import State
from vesalius.ports.workitems import WorkitemWork
from vesalius.ris import subscriptions, workitems
from vesalius.ris.workitems import Done

NOW = "2026-01-01T00:00:00.000000Z"
LATER = "2026-06-01T00:00:00.000000Z"
BY = By("SCU", NOW)
KEY = "1.2.3.4"


class Clock:
    def utc(self) -> str:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def kept(database: Database) -> SqlWorkitems:
    return SqlWorkitems(database)


def create(kept: SqlWorkitems, uid: str, **more: tuple[object, ...]) -> Done:
    return kept.change(lambda work: workitems.create(work, BY, uid, values(**more), label=LABEL), NOW)


def state(kept: SqlWorkitems, uid: str, wanted: str, key: str = KEY) -> int:
    return kept.change(lambda work: workitems.change_state(work, BY, uid, wanted, key), NOW).status


def update(kept: SqlWorkitems, uid: str, changed: Values, key: str = "") -> int:
    return kept.change(lambda work: workitems.update(work, BY, uid, changed, key), NOW).status


def subscribe(kept: SqlWorkitems, uid: str, aet: str, *, locked: bool = False, keys: Values | None = None) -> None:
    kept.change(lambda work: subscriptions.subscribe(work, BY, uid, aet, locked=locked, keys=keys or {}), NOW)


def told(kept: SqlWorkitems, aet: str) -> list[tuple[str, Happening, str]]:
    found = []
    for report in kept.untold(aet):
        held = report.values.get(w.STATE) or ("",)
        found.append((report.workitem, report.kind, str(held[0])))
    return found


def answers(kept: SqlWorkitems, keys: Values) -> list[str]:
    query = parse({**keys, w.SOP_INSTANCE_UID: keys.get(w.SOP_INSTANCE_UID, ())})
    return [str(found[w.SOP_INSTANCE_UID][0]) for page in workitems.find(kept, query) for found in page]


def status_of(caught: pytest.ExceptionInfo[Refused]) -> int:
    return caught.value.status


def test_a_workitem_lives_from_creation_to_its_end_and_keeps_its_lock_to_itself(kept: SqlWorkitems) -> None:
    assert create(kept, "1.1").status == 0
    assert state(kept, "1.1", "IN PROGRESS") == 0
    assert update(kept, "1.1", DONE, KEY) == 0
    assert state(kept, "1.1", "COMPLETED") == 0
    assert state(kept, "1.1", "COMPLETED") == 0xB306
    item = kept.look(lambda view: workitems.get(view, "1.1"))
    assert (item.state, item.lock) == ("COMPLETED", KEY)
    assert w.TRANSACTION_UID not in workitems.answered(item, frozenset())
    assert w.TRANSACTION_UID not in workitems.answered(item, frozenset((w.TRANSACTION_UID, w.STATE)))
    assert item.values[w.PERFORMED] == DONE[w.PERFORMED]


def test_what_lacks_is_completed_with_a_warning_and_what_must_not_lack_is_refused(kept: SqlWorkitems) -> None:
    sparse = {tag: value for tag, value in values().items() if tag in w.TYPE_1}
    done = kept.change(lambda work: workitems.create(work, BY, "1.1", sparse, label=LABEL), NOW)
    assert done.status == 0xB300
    assert done.item.text(w.WORKLIST_LABEL) == LABEL
    for tag, status in ((w.LABEL, 0x0120), (w.READINESS, 0x0120)):
        with pytest.raises(Refused) as caught:
            kept.change(
                lambda work: workitems.create(
                    work,
                    BY,
                    "1.2",
                    {t: v for t, v in values().items() if t != tag},  # noqa: B023 - now
                    label=LABEL,
                ),
                NOW,
            )
        assert status_of(caught) == status
    for more, status in (
        ({"t00741204": ()}, 0x0121),
        ({"t00741000": ("IN PROGRESS",)}, 0xC309),
        ({"t00741200": ("URGENT",)}, 0x0106),
        ({"t00081195": ("1.2.3",)}, 0x0106),
    ):
        with pytest.raises(Refused) as caught:
            create(kept, "1.2", **more)
        assert status_of(caught) == status
    assert kept.look(lambda view: view.get("1.2")) is None
    with pytest.raises(DuplicateRecord):
        create(kept, "1.1")


def test_of_two_that_claim_a_workitem_at_once_one_has_it(kept: SqlWorkitems) -> None:
    create(kept, "1.1")
    subscribe(kept, "1.1", "WATCH")
    outcomes: list[int] = []

    def claim(key: str) -> None:
        try:
            outcomes.append(state(kept, "1.1", "IN PROGRESS", key))
        except Refused as refused:
            outcomes.append(refused.status)

    threads = [threading.Thread(target=claim, args=(f"1.2.3.{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0] + [0xC301] * 5
    assert told(kept, "WATCH") == [("1.1", Happening.STATE, "SCHEDULED"), ("1.1", Happening.STATE, "IN PROGRESS")]


def test_many_that_subscribe_change_and_create_at_once_neither_block_nor_miss_each_other(kept: SqlWorkitems) -> None:
    """Whoever subscribes to all hears of each workitem once, however the transactions fall."""
    uids = [f"1.2.{number}" for number in range(12)]
    for uid in uids[:6]:
        create(kept, uid, t00404025=())
    failures: list[BaseException] = []

    def run(*steps: Callable[[], object]) -> None:
        try:
            for step in steps:
                step()
        except BaseException as error:
            failures.append(error)

    creating = [partial(create, kept, uid, t00404025=()) for uid in uids[6:]]
    single = [partial(subscribe, kept, uid, "ALL") for uid in uids[:6]]
    claiming = [partial(state, kept, uid, "IN PROGRESS") for uid in uids[:6]]
    everything = [partial(subscribe, kept, w.GLOBAL_SUBSCRIPTION, aet) for aet in ("ALL", "OTHER")]
    threads = [threading.Thread(target=run, args=steps) for steps in (creating, single, claiming, everything)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    for uid in uids:
        ref = kept.look(lambda view: workitems.get(view, uid)).ref  # noqa: B023 - now
        assert {one.aet for one in kept.look(lambda view: view.subscriptions(ref))} == {"ALL", "OTHER"}  # noqa: B023
    for uid in uids[6:]:
        assert len([one for one in kept.untold("OTHER") if one.workitem == uid]) == 1


def test_who_subscribes_to_all_while_a_workitem_changes_hears_what_became_of_it(database_url: str) -> None:
    """The change has asked who listens and is not committed yet; the subscriber is another process."""
    first, second = open_database(database_url), open_database(database_url)
    changing, subscribing = SqlWorkitems(first), SqlWorkitems(second)
    create(changing, "1.1", t00404025=())
    asked, subscribed = threading.Event(), threading.Event()

    def change(work: WorkitemWork) -> None:
        workitems.change_state(work, BY, "1.1", "IN PROGRESS", KEY)
        asked.set()
        subscribed.wait(1)  # it has to wait for this change: then nothing is heard of it here

    def listen() -> None:
        asked.wait(60)
        subscribe(subscribing, w.GLOBAL_SUBSCRIPTION, "ALL")
        subscribed.set()

    thread = threading.Thread(target=listen)
    thread.start()
    changing.change(change, NOW)
    thread.join(60)
    heard = told(changing, "ALL")
    first.close()
    second.close()
    assert heard[-1] == ("1.1", Happening.STATE, "IN PROGRESS")


def test_a_lock_that_comes_while_old_workitems_are_deleted_is_kept_or_refused(database_url: str) -> None:
    """Never is there a locked subscription to what is gone (PS3.4 CC.2.3)."""
    first, second = open_database(database_url), open_database(database_url)
    locking, deleting = SqlWorkitems(first), SqlWorkitems(second)
    create(locking, "1.1")
    state(locking, "1.1", "IN PROGRESS")
    update(locking, "1.1", DONE, KEY)
    state(locking, "1.1", "COMPLETED")
    locked, purged = threading.Event(), threading.Event()

    def lock(work: WorkitemWork) -> None:
        subscriptions.subscribe(work, BY, "1.1", "WATCH", locked=True, keys={})
        locked.set()
        purged.wait(1)

    def purge() -> None:
        locked.wait(60)
        deleting.purge(LATER)
        purged.set()

    thread = threading.Thread(target=purge)
    thread.start()
    locking.change(lock, NOW)
    thread.join(60)
    item = locking.look(lambda view: view.get("1.1"))
    first.close()
    second.close()
    assert item is not None
    assert not item.gone


def test_a_refused_change_leaves_nothing_behind(kept: SqlWorkitems, database: Database) -> None:
    create(kept, "1.1")
    subscribe(kept, "1.1", "WATCH")
    state(kept, "1.1", "IN PROGRESS")
    before = (told(kept, "WATCH"), database.lookup(lambda tx: ris_sql.events(tx, 0, 100)))
    with pytest.raises(Refused) as caught:
        state(kept, "1.1", "COMPLETED")
    assert status_of(caught) == 0xC304
    assert caught.value.offending == (w.PERFORMED,)
    with pytest.raises(Refused) as caught:
        update(kept, "1.1", DONE, "9.9")
    assert status_of(caught) == 0xC301
    assert (told(kept, "WATCH"), database.lookup(lambda tx: ris_sql.events(tx, 0, 100))) == before


def test_changes_are_events_of_the_workflow_with_who_and_when(kept: SqlWorkitems, database: Database) -> None:
    create(kept, "1.1")
    state(kept, "1.1", "IN PROGRESS")
    events = database.lookup(lambda tx: ris_sql.events(tx, 0, 100))
    assert [(event.kind, event.who, event.at) for event in events] == [
        ("workitem-created", "SCU", NOW),
        ("workitem-state", "SCU", NOW),
    ]
    assert dict(events[1].detail) == {"workitem": "1.1", "from": "SCHEDULED", "to": "IN PROGRESS"}


def test_reports_tell_readiness_assignment_and_progress_apart(kept: SqlWorkitems) -> None:
    subscribe(kept, w.GLOBAL_SUBSCRIPTION, "ALL")
    create(kept, "1.1")
    update(kept, "1.1", {w.READINESS: ("INCOMPLETE",)})
    other: Values = {0x00080100: ("CAD2",)}
    update(kept, "1.1", {w.STATION_NAMES: (other,)})
    state(kept, "1.1", "IN PROGRESS")
    half: Values = {0x00741004: ("50",)}
    update(kept, "1.1", {w.PROGRESS: (half,)}, KEY)
    assert [kind for _, kind, _ in told(kept, "ALL")] == [
        Happening.STATE, Happening.ASSIGNED, Happening.STATE, Happening.ASSIGNED, Happening.STATE, Happening.PROGRESS,
    ]  # fmt: skip


def test_a_cancel_of_what_nobody_began_is_done_with_its_reason(kept: SqlWorkitems) -> None:
    create(kept, "1.1")
    subscribe(kept, "1.1", "WATCH")
    asked: Values = {w.REASON_FOR_CANCELLATION: ("ordered twice",)}
    assert kept.change(lambda work: workitems.request_cancel(work, BY, "1.1", "PUSH", asked), NOW).status == 0
    item = kept.look(lambda view: workitems.get(view, "1.1"))
    (progress,) = item.values[w.PROGRESS]
    assert isinstance(progress, dict)
    assert progress[w.REASON_FOR_CANCELLATION] == ("ordered twice",)
    assert progress[w.CANCELLED_AT] == ("20260101000000.000000+0000",)
    assert [state for _, _, state in told(kept, "WATCH")] == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
    assert kept.untold("WATCH")[-1].values[w.REASON_FOR_CANCELLATION] == ("ordered twice",)
    assert kept.change(lambda work: workitems.request_cancel(work, BY, "1.1", "PUSH", {}), NOW).status == 0xB304
    with pytest.raises(Refused) as caught:
        state(kept, "1.1", "CANCELED")
    assert status_of(caught) == 0xC301, "nobody else's key fits"


def test_a_cancel_of_what_is_in_progress_is_told_or_refused_when_nobody_listens(kept: SqlWorkitems) -> None:
    create(kept, "1.1")
    state(kept, "1.1", "IN PROGRESS")
    with pytest.raises(Refused) as caught:
        kept.change(lambda work: workitems.request_cancel(work, BY, "1.1", "PUSH", {}), NOW)
    assert status_of(caught) == 0xC312
    subscribe(kept, "1.1", "DOER")
    assert kept.change(lambda work: workitems.request_cancel(work, BY, "1.1", "PUSH", {}), NOW).status == 0
    report = kept.untold("DOER")[-1]
    assert (report.kind, report.values[w.REQUESTING_AE]) == (Happening.CANCEL_REQUESTED, ("PUSH",))
    assert kept.look(lambda view: workitems.get(view, "1.1")).state == "IN PROGRESS"


def test_a_global_subscription_is_of_what_there_is_and_what_comes_until_it_is_suspended(kept: SqlWorkitems) -> None:
    create(kept, "1.1")
    subscribe(kept, w.GLOBAL_SUBSCRIPTION, "ALL")
    create(kept, "1.2", t00404025=())
    kept.change(lambda work: subscriptions.suspend(work, BY, w.GLOBAL_SUBSCRIPTION, "ALL"), NOW)
    create(kept, "1.3", t00404025=())
    state(kept, "1.1", "IN PROGRESS")
    assert [(uid, state) for uid, _, state in told(kept, "ALL")] == [
        ("1.1", "SCHEDULED"), ("1.2", "SCHEDULED"), ("1.1", "IN PROGRESS"),
    ]  # fmt: skip
    kept.change(lambda work: subscriptions.unsubscribe(work, BY, w.GLOBAL_SUBSCRIPTION, "ALL"), NOW)
    state(kept, "1.2", "IN PROGRESS")
    assert len(told(kept, "ALL")) == 3


def test_a_filtered_subscription_is_of_what_matches_alone(kept: SqlWorkitems) -> None:
    create(kept, "1.1", t00741202=("CAD",), t00404025=())
    create(kept, "1.2", t00741202=("3D",), t00404025=())
    subscribe(kept, w.FILTERED_SUBSCRIPTION, "SOME", keys={w.WORKLIST_LABEL: ("3D",)})
    create(kept, "1.3", t00741202=("CAD",), t00404025=())
    create(kept, "1.4", t00741202=("3D",), t00404025=())
    assert [uid for uid, _, _ in told(kept, "SOME")] == ["1.2", "1.4"]
    with pytest.raises(Refused) as caught:
        subscribe(kept, w.FILTERED_SUBSCRIPTION, "SOME")
    assert status_of(caught) == 0x0115


def test_what_was_said_of_one_workitem_goes_before_what_is_said_of_all(kept: SqlWorkitems) -> None:
    create(kept, "1.1")
    subscribe(kept, "1.1", "WATCH", locked=True)
    subscribe(kept, w.GLOBAL_SUBSCRIPTION, "WATCH", locked=False)
    ref = kept.look(lambda view: workitems.get(view, "1.1")).ref
    (one,) = kept.look(lambda view: view.subscriptions(ref))
    assert (one.locked, one.origin) == (True, "")
    assert len(told(kept, "WATCH")) == 1


def test_each_receiver_has_one_job_that_cannot_be_closed_while_there_is_more_to_tell(
    kept: SqlWorkitems, database: Database
) -> None:
    jobs = SqlJobs(database, Clock())
    create(kept, "1.1")
    for aet in ("A", "B"):
        subscribe(kept, "1.1", aet)
    state(kept, "1.1", "IN PROGRESS")
    assert [(row.key, row.state) for row in jobs.list(kind=TELL)] == [("B", State.OPEN), ("A", State.OPEN)]
    (lease,) = [one for one in jobs.lease([TELL], "me", 30, limit=5) if one.key == "A"]
    assert not kept.all_told(lease, "A", NOW)
    for report in kept.untold("A"):
        kept.told(report.id, "told")
    assert kept.untold("A") == []
    assert len(kept.untold("B")) == 2
    assert kept.all_told(lease, "A", NOW)
    assert {row.key: row.state for row in jobs.list(kind=TELL)} == {"A": State.DONE, "B": State.OPEN}


def test_a_web_socket_receiver_goes_on_where_it_was(kept: SqlWorkitems) -> None:
    create(kept, "1.1")
    subscribe(kept, "1.1", "WEB")
    assert kept.heard_to("WEB") == 0
    (first,) = kept.unheard("WEB", 0)
    kept.heard("WEB", first.id)
    assert kept.unheard("WEB", kept.heard_to("WEB")) == []
    state(kept, "1.1", "IN PROGRESS")
    (second,) = kept.unheard("WEB", kept.heard_to("WEB"))
    assert second.id == kept.last_report() > first.id
    kept.heard("WEB", second.id)
    kept.heard("WEB", first.id)  # from a connection that was slower
    assert kept.heard_to("WEB") == second.id


def test_questions_are_answered_in_the_order_of_creation_and_narrowed_down_rightly(kept: SqlWorkitems) -> None:
    create(kept, "1.2.1", t00100020=("P1",), t00404005=("20260101093000",))
    create(kept, "1.2.2", t00100020=("P2",), t00404005=("20260103093000+0100",))
    create(kept, "1.2.3", t00100020=("P2",), t00404005=("2026",), t0020000D=("1.9",))
    state(kept, "1.2.3", "IN PROGRESS")
    assert answers(kept, {}) == ["1.2.1", "1.2.2", "1.2.3"]
    assert answers(kept, {w.PATIENT_ID: ("P2",)}) == ["1.2.2", "1.2.3"]
    assert answers(kept, {w.STATE: ("SCHEDULED", "COMPLETED")}) == ["1.2.1", "1.2.2"]
    assert answers(kept, {w.SOP_INSTANCE_UID: ("1.2.3", "1.2.1")}) == ["1.2.1", "1.2.3"]
    assert answers(kept, {w.STUDY_INSTANCE_UID: ("1.9",)}) == ["1.2.3"]
    assert answers(kept, {w.START: ("20260102-20260104",)}) == ["1.2.2"]
    assert answers(kept, {w.START: ("-20260101235959",)}) == ["1.2.1", "1.2.3"]
    assert answers(kept, {w.WORKLIST_LABEL: ("none",)}) == []
    assert answers(kept, {w.SOP_INSTANCE_UID: ("1.2.3", *(f"9.{number}" for number in range(3000)))}) == ["1.2.3"]


def test_a_name_alone_narrows_down_in_any_of_its_groups_and_as_it_is_now(kept: SqlWorkitems) -> None:
    create(kept, "1.1", t00100010=("Müller^Jürgen",))
    create(kept, "1.2", t00100010=("Yamada^Tarou=山田^太郎=やまだ^たろう",))
    create(kept, "1.3", t00100010=("Moeller^Ann",))

    def seen(name: str) -> list[str]:
        """What the database gives to look at, which holds every answer."""
        query = parse({w.PATIENT_NAME: (name,)})
        found = [item.uid for item in kept.look(lambda view: view.search(query.narrow))]
        assert set(answers(kept, {w.PATIENT_NAME: (name,)})) <= set(found)
        return found

    assert seen("MULLER*") == ["1.1"]
    assert seen("muller^jurgen") == ["1.1"]
    assert seen("山田*") == ["1.2"]
    assert seen("*=山田*") == ["1.2"]
    assert seen("M?ller*") == ["1.1", "1.3"]
    assert seen("*ann") == ["1.1", "1.2", "1.3"]
    update(kept, "1.3", {w.PATIENT_NAME: ("Muller^Ann",)})
    assert seen("Moeller*") == []
    assert answers(kept, {w.PATIENT_NAME: ("Muller*",)}) == ["1.1", "1.3"]


def test_a_value_that_no_database_holds_is_kept_all_the_same(kept: SqlWorkitems) -> None:
    create(kept, "1.1", t00100020=("P\0Q",), t00741202=("\0",), t00100010=("A^\x1b",))
    item = kept.look(lambda view: workitems.get(view, "1.1"))
    assert item.text(w.PATIENT_ID) == "P\0Q"
    assert answers(kept, {w.STATE: ("SCHEDULED",)}) == ["1.1"]


def test_a_deleted_workitem_leaves_nothing_of_its_patient(kept: SqlWorkitems, database: Database) -> None:
    create(kept, "1.1", t00100010=("Doe^Jane",), t00100020=("P1",), t0020000D=("1.9",))
    state(kept, "1.1", "IN PROGRESS")
    update(kept, "1.1", DONE, KEY)
    state(kept, "1.1", "COMPLETED")
    assert kept.purge(LATER) == 1
    columns = "SELECT patient_id, study, label, start, data FROM workitem"
    assert [tuple(row) for row in database.lookup(lambda tx: tx.rows(columns))] == [("", "", "", "", "{}")]
    assert database.lookup(lambda tx: tx.rows("SELECT * FROM workitem_name")) == []


def test_what_is_final_is_deleted_when_it_is_old_and_nobody_has_locked_it(kept: SqlWorkitems) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        create(kept, uid)
    for uid in ("1.1", "1.2"):
        state(kept, uid, "IN PROGRESS")
        update(kept, uid, DONE, KEY)
        state(kept, uid, "COMPLETED")
    subscribe(kept, "1.2", "WATCH", locked=True)
    subscribe(kept, "1.1", "WATCH", locked=False)
    assert kept.purge(NOW) == 0
    assert kept.purge(LATER) == 1
    gone = kept.look(lambda view: view.get("1.1"))
    assert gone is not None
    assert (gone.gone, gone.values) == (True, {})
    with pytest.raises(Refused) as caught:
        kept.look(lambda view: workitems.get(view, "1.1"))
    assert status_of(caught) == 0xC307
    assert answers(kept, {}) == ["1.2", "1.3"]
    with pytest.raises(DuplicateRecord):
        create(kept, "1.1")
    kept.change(lambda work: subscriptions.unsubscribe(work, BY, "1.2", "WATCH"), NOW)
    assert kept.purge(LATER) == 1
