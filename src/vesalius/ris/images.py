"""Images as they arrive: counted against what a modality told of, tied to their order, or put on the list.

Theory. The archive's outbox says what was stored and deleted; a relay hands it over in batches, each in one transaction
with everything that follows from it here, so that nothing is counted twice and nothing is missed. What is known of a
study is asked of the index once for each batch, not for each image.

A study has its order when a requested procedure has its Study Instance UID, else when its accession number, or a
performed step, names one (IHE RAD TF-2 4.18). It goes to the list "to reconcile" when it has none, when its patient is
not the order's, when the order was cancelled (even if it was done all the same), or when its Patient ID was merged into
another. The last repairs itself where the house says so (`follow_merges`): the merge was somebody's decision already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vesalius.model.entities import Event
from vesalius.model.orders import (
    By,
    Images,
    Item,
    Link,
    Order,
    Patient,
    PerformedStep,
    RequestedProcedure,
    Trouble,
)
from vesalius.model.steps import OrderState
from vesalius.ports.ris import RisView, RisWork, StudyFacts
from vesalius.ris import orders, patients
from vesalius.ris.follow import follow
from vesalius.ris.rules import RisRules

OVERDUE_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which order a study belongs to, and what is wrong with that."""

    order: Order | None = None
    procedure: int = 0
    how: str = ""
    trouble: Trouble | None = None


def take_events(work: RisWork, by: By, events: Sequence[Event], rules: RisRules) -> None:
    """What follows from a batch of the archive's outbox, in the transaction of the relay that read it."""
    stored = [event for event in events if event.kind in ("stored", "restored")]
    arrived = list(dict.fromkeys(event.sop_instance for event in stored if event.sop_instance))
    if arrived:
        _count(work, by, arrived)
    studies = list(dict.fromkeys(event.study for event in stored))
    deleted = [event.study for event in events if event.kind == "deleted"]
    facts = work.studies([*studies, *deleted])
    for study in dict.fromkeys(deleted):
        if study not in facts:
            _close_gone(work, by, study)
    if _reconciles(work, rules):
        for study in studies:
            if study in facts:
                _look_at(work, by, facts[study], rules)


def overdue(work: RisWork, by: By, rules: RisRules) -> int:
    """Alert where a performed step became final long ago and images are missing; how many alerts.

    It looks at the index itself: an image that arrived while its step became final may not have been counted.
    """
    limit = (_moment(by.at) - timedelta(seconds=rules.images_grace)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    alerts = 0
    for performed in work.find(PerformedStep, images=str(Images.WAITING), limit=OVERDUE_AT_ONCE):
        uids = [uid for series in performed.series for uid in series.instances]
        here = work.expect(performed.ref, uids)
        if here == performed.expected:
            _images(work, by, dataclasses.replace(performed, arrived=here, images=Images.COMPLETE))
        elif performed.final_at <= limit:
            _images(work, by, dataclasses.replace(performed, arrived=here, images=Images.MISSING))
            alerts += 1
    return alerts


def judge(view: RisView, facts: StudyFacts, rules: RisRules) -> Judgement:
    """Which order a study belongs to, and whether everything fits."""
    found = _order_of(view, facts)
    if found.order is None:
        merged = view.first(Patient, identity=rules.issued(facts.identifier).key)
        known_as_merged = merged is not None and merged.merged_into
        return Judgement(trouble=Trouble.MERGED_PATIENT if known_as_merged else Trouble.NO_ORDER)
    owner = view.get(Patient, found.order.patient)
    record = patients.find(view, facts.identifier, rules) if facts.identifier.value else None
    trouble: Trouble | None = None
    if record is None or record.ref != owner.ref:
        trouble = Trouble.WRONG_PATIENT
    elif facts.identifier.value != owner.identifier.value:
        trouble = Trouble.MERGED_PATIENT
    elif found.order.state is OrderState.CANCELLED or (found.how != "repair" and _was_cancelled(view, found.order)):
        trouble = Trouble.CANCELLED_ORDER
    return dataclasses.replace(found, trouble=trouble)


def _order_of(view: RisView, facts: StudyFacts) -> Judgement:
    link = view.first(Link, study=facts.study)
    if link is not None and link.how == "repair":
        return Judgement(view.get(Order, link.order), link.procedure, link.how)
    procedure = view.first(RequestedProcedure, study_uid=facts.study)
    if procedure is not None:
        return Judgement(view.get(Order, procedure.order), procedure.ref, "study")
    if facts.accession:
        order = orders.by_number(view, accession=facts.accession)
        if order is not None:
            requested = orders.procedures(view, order.ref)
            return Judgement(order, requested[0].ref if len(requested) == 1 else 0, "accession")
    if link is not None:
        return Judgement(view.get(Order, link.order), link.procedure, link.how)
    return Judgement()


def _was_cancelled(view: RisView, order: Order) -> bool:
    """Whether it was done all the same: a modality began it from an older worklist, which undid the cancellation."""
    history = view.history(order=order.ref)
    return any(one.kind == "order-state" and one.detail.get("from") == OrderState.CANCELLED for one in history)


def _reconciles(view: RisView, rules: RisRules) -> bool:
    """Whether studies are held against orders: not where no patient is known, as in an archive by itself."""
    return rules.reconcile and bool(view.find(Patient, limit=1))


def _look_at(work: RisWork, by: By, facts: StudyFacts, rules: RisRules) -> None:
    """Tie a study to its order, or put it on the list; once it is there, only a person or a repair closes it."""
    held = work.find(Item, study=facts.study, newest=True, limit=1)
    judged = judge(work, facts, rules)
    if judged.order is not None and work.first(Link, study=facts.study) is None:
        work.add(Link(facts.study, judged.order.ref, judged.procedure, judged.how))
        work.announce(
            "study-linked", by, patient=judged.order.patient, order=judged.order.ref, study=facts.study, how=judged.how
        )
    if held and held[0].state == "open":
        if judged.trouble is None:
            close(work, by, held[0], "repaired")
        return
    if judged.trouble is None or (held and held[0].state == "accepted") or _is_old(facts, by, rules):
        return
    order = judged.order.ref if judged.order else 0
    item = work.add(Item(facts.study, judged.trouble, by.at, order=order))
    patient = judged.order.patient if judged.order else 0
    work.announce(
        "item-opened",
        by,
        patient=patient,
        order=order,
        item=str(item.ref),
        study=facts.study,
        trouble=str(item.trouble),
    )
    if judged.trouble is Trouble.MERGED_PATIENT and rules.follow_merges:
        record = patients.find(work, facts.identifier, rules)
        if record is not None:
            repair = follow(
                work, by, record, [facts], rules, kind="merge", why="images came under an ID that had been merged"
            )
            close(work, by, dataclasses.replace(item, repair=repair), "repaired")


def close(work: RisWork, by: By, item: Item, state: str) -> Item:
    """Take an item off the list, with its event."""
    closed = work.save(dataclasses.replace(item, state=state, closed_at=by.at, closed_by=by.who, why=by.why))
    kind = "item-repaired" if state == "repaired" else "item-closed"
    work.announce(kind, by, order=item.order, item=str(item.ref), study=item.study, state=state)
    return closed


def _close_gone(work: RisWork, by: By, study: str) -> None:
    for item in work.find(Item, study=study, state="open"):
        close(work, by, item, "gone")


def _is_old(facts: StudyFacts, by: By, rules: RisRules) -> bool:
    """A study of long ago was brought in from elsewhere: nobody has to find an order for it."""
    day = "".join(filter(str.isdigit, facts.date))[:8]
    oldest = (_moment(by.at) - timedelta(days=rules.reconcile_days)).strftime("%Y%m%d")
    return len(day) == 8 and day < oldest


def _count(work: RisWork, by: By, arrived: Sequence[str]) -> None:
    waiting = work.expecting(arrived)
    if not waiting:
        return
    work.arrived(arrived)
    for ref in sorted(waiting):
        performed = work.get(PerformedStep, ref)
        here = min(performed.expected, performed.arrived + waiting[ref])
        images = performed.images
        if here == performed.expected and not work.missing(ref, limit=1):
            images = Images.COMPLETE
        _images(work, by, dataclasses.replace(performed, arrived=here, images=images), told=images != performed.images)


def _images(work: RisWork, by: By, performed: PerformedStep, *, told: bool = True) -> None:
    work.save(performed)
    if not told:
        return
    kind = "images-complete" if performed.images is Images.COMPLETE else "images-missing"
    work.announce(
        kind,
        by,
        patient=performed.patient,
        order=performed.order,
        step=performed.steps[0] if performed.steps else 0,
        uid=performed.uid,
        study=performed.study_uid,
        images=str(performed.arrived),
        expected=str(performed.expected),
    )


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)
