"""Workitems: created, claimed, changed, finished and cancelled by the rules of Unified Procedure Step (PS3.4 CC.2).

Theory. Every verb looks its cell up in the grid (`model/workitems.GRID`), changes the workitem, and tells everybody who
is subscribed, all in the caller's transaction. It answers a status: 0, or one of the warnings of annex CC; what is
refused raises `Refused` with its status. The Transaction UID of the performer is kept apart from the values, so that no
answer and no report can hold it (PS3.4 CC.2.7.3).

A cancel that is asked for is done at once where nobody has begun: this system claims the workitem itself and cancels
it, with the reason that was given. Where somebody has, that one is told and decides; if nobody listens, the asking is
refused (C312), because it would change nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vesalius.model import reading
from vesalius.model import workitems as w
from vesalius.model.entities import Values
from vesalius.model.errors import DuplicateRecord
from vesalius.model.identifiers import is_tolerable_uid, new_uid
from vesalius.model.orders import By
from vesalius.model.workitem_query import WorkitemQuery
from vesalius.model.workitems import FINAL, Happening, Refused, Workitem, WorkitemState, WorkitemVerb
from vesalius.ports.workitems import Workitems, WorkitemView, WorkitemWork
from vesalius.ris import subscriptions
from vesalius.standard import statuses
from vesalius.standard.dictionary import describe

PAGE = 200


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a request: the workitem, and 0 or a warning."""

    item: Workitem
    status: int = statuses.SUCCESS


def get(view: WorkitemView, uid: str) -> Workitem:
    """One workitem. Raises `Refused` (C307) where it is not here (any more)."""
    return subscriptions.present(view, uid)


def find(workitems: Workitems, query: WorkitemQuery) -> Iterator[list[Values]]:
    """The answers to a question, in pages, in the order in which the workitems were created. Blocks."""
    for page in matching(workitems, query):
        yield [query.answer(item) for item in page]


def matching(workitems: Workitems, query: WorkitemQuery) -> Iterator[list[Workitem]]:
    """The workitems that a question means, in the same order. Blocks."""
    after = 0
    while True:
        page = workitems.look(lambda view: view.search(query.narrow, after=after, limit=PAGE))  # noqa: B023 - now
        yield [item for item in page if query.matches(item)]
        if len(page) < PAGE:
            return
        after = page[-1].ref


def create(work: WorkitemWork, by: By, uid: str, values: Values, *, label: str) -> Done:
    """N-CREATE (PS3.4 CC.2.5). `label` is the Worklist Label of one that names none. Raises `Refused`,
    `DuplicateRecord`."""
    _check_new(values)
    kept = _kept(values)
    modified = False
    for tag in w.TYPE_2:
        if tag not in kept:
            kept[tag] = ()
            modified = True
    if not any(kept[w.WORKLIST_LABEL]):
        kept[w.WORKLIST_LABEL] = (label,)
        modified = True
    kept[w.MODIFIED] = (_moment(by.at),)
    if (there := work.get(uid)) is not None:
        raise DuplicateRecord(
            "there is a workitem with this UID already", hint="it was deleted" if there.gone else f"it is {there.state}"
        )
    item = work.add(Workitem(uid, WorkitemState.SCHEDULED, kept, at=by.at, changed_at=by.at, creator=by.who))
    for aet in subscriptions.subscribe_new(work, item):
        work.tell(aet, uid, Happening.STATE, w.state_report(item))
        if assigned := w.assignment_report(item):
            work.tell(aet, uid, Happening.ASSIGNED, assigned)
    work.announce("workitem-created", by, {"workitem": uid})
    return Done(item, statuses.UPS_CREATED_WITH_MODIFICATIONS if modified else statuses.SUCCESS)


def update(work: WorkitemWork, by: By, uid: str, values: Values, transaction: str) -> Done:
    """N-SET (PS3.4 CC.2.6): each attribute that comes takes the place of the one that is kept. Raises `Refused`."""
    item = get(work, uid)
    key = w.claimed_by(item, transaction)
    w.step(item.state, WorkitemVerb.UPDATE, key)
    forbidden = tuple(sorted(tag for tag in values if tag in w.NOT_SET - {w.TRANSACTION_UID}))
    if w.STATE in forbidden:
        raise Refused(
            statuses.INVALID_ATTRIBUTE_VALUE, "Procedure Step State changes by an action only", offending=(w.STATE,)
        )
    _check_terms(values)
    changed = _kept(values)
    emptied = tuple(tag for tag in w.TYPE_1 if tag in changed and not any(changed[tag]))
    if emptied:
        raise Refused(statuses.MISSING_ATTRIBUTE_VALUE, "an attribute of type 1 would be empty", offending=emptied)
    after = dataclasses.replace(
        item, values={**item.values, **changed, w.MODIFIED: (_moment(by.at),)}, changed_at=by.at
    )
    work.save(after)
    _tell_changes(work, item, after)
    work.announce("workitem-changed", by, {"workitem": uid})
    return Done(after, statuses.UPS_COERCED if forbidden else statuses.SUCCESS)


def change_state(work: WorkitemWork, by: By, uid: str, wanted: str, transaction: str) -> Done:
    """N-ACTION, type 1 (PS3.4 CC.2.1). Raises `Refused`."""
    item = get(work, uid)
    try:
        state = WorkitemState(wanted)
    except ValueError:
        raise Refused(
            statuses.INVALID_ARGUMENT_VALUE, "Procedure Step State is none of its terms", offending=(w.STATE,)
        ) from None
    if transaction and not is_tolerable_uid(transaction):
        raise Refused(statuses.INVALID_ARGUMENT_VALUE, "Transaction UID is no UID", offending=(w.TRANSACTION_UID,))
    cell = w.step(item.state, w.VERB_OF_STATE[state], w.claimed_by(item, transaction))
    if cell.to is None:
        return Done(item, cell.status)
    values = item.values
    if state is WorkitemState.CANCELED:
        values = _with_cancellation(values, by.at, {})
    if state in FINAL and (missing := w.missing_for(state, values)):
        named = ", ".join(describe(tag) for tag in missing)
        raise Refused(
            statuses.UPS_FINAL_STATE_NOT_MET, f"without a value for {state}: {named}", offending=missing,
            hint="set them first",
        )  # fmt: skip
    return Done(_move(work, by, item, state, lock=transaction, values=values))


def request_cancel(work: WorkitemWork, by: By, uid: str, requester: str, asked: Values) -> Done:
    """N-ACTION, type 2 (PS3.4 CC.2.2). Raises `Refused`."""
    item = get(work, uid)
    cell = w.step(item.state, WorkitemVerb.ASK_TO_CANCEL, False)
    if cell.to is None:
        return Done(item, cell.status)
    if item.state is WorkitemState.SCHEDULED:
        claimed = _move(work, by, item, WorkitemState.IN_PROGRESS, lock=new_uid(), values=item.values)
        values = _with_cancellation(claimed.values, by.at, asked)
        return Done(_move(work, by, claimed, WorkitemState.CANCELED, lock=claimed.lock, values=values))
    listeners = work.subscriptions(item.ref)
    if not listeners:
        status = statuses.UPS_PERFORMER_UNREACHABLE
        raise Refused(status, w.MEANING[status])
    told: Values = {w.REQUESTING_AE: (requester,)}
    for tag in (w.REASON_FOR_CANCELLATION, w.DISCONTINUATION_REASONS, w.CONTACT_URI, w.CONTACT_NAME):
        if asked.get(tag):
            told[tag] = asked[tag]
    for one in listeners:
        work.tell(one.aet, uid, Happening.CANCEL_REQUESTED, told)
    work.announce("workitem-cancel-requested", by, {"workitem": uid, "requester": requester})
    return Done(item)


def answered(item: Workitem, tags: frozenset[int]) -> Values:
    """What an N-GET is told: of these attributes, or of all that have been set (PS3.4 CC.2.7.3)."""
    told = {**item.values, w.STATE: (str(item.state),)}
    if not tags:
        return told
    return {tag: told.get(tag, ()) for tag in tags if tag != w.TRANSACTION_UID}


# -- small things -----------------------------------------------------------------------------------------------------


def _kept(values: Values) -> Values:
    """Of what comes, what is kept as it came: text is decoded, so its character set and group lengths mean nothing."""
    left_out = w.NOT_SET | {w.SPECIFIC_CHARACTER_SET}
    return {tag: value for tag, value in values.items() if tag not in left_out and tag & 0xFFFF}


def _move(
    work: WorkitemWork, by: By, item: Workitem, state: WorkitemState, *, lock: str, values: Mapping[int, object]
) -> Workitem:
    moved = dataclasses.replace(item, state=state, lock=lock, values=dict(values), changed_at=by.at)  # type: ignore[arg-type]
    work.save(moved)
    for one in work.subscriptions(item.ref):
        work.tell(one.aet, item.uid, Happening.STATE, w.state_report(moved))
    work.announce("workitem-state", by, {"workitem": item.uid, "from": str(item.state), "to": str(state)})
    return moved


def _tell_changes(work: WorkitemWork, before: Workitem, after: Workitem) -> None:
    """PS3.4 CC.2.4.3: readiness is part of the state, assignment and progress have reports of their own."""
    reports: list[tuple[Happening, Values]] = []
    if before.values.get(w.READINESS) != after.values.get(w.READINESS):
        reports.append((Happening.STATE, w.state_report(after)))
    if any(before.values.get(tag, ()) != after.values.get(tag, ()) for tag in w.ASSIGNMENT):
        reports.append((Happening.ASSIGNED, w.assignment_report(after)))
    if before.values.get(w.PROGRESS, ()) != after.values.get(w.PROGRESS, ()) and after.values.get(w.PROGRESS):
        reports.append((Happening.PROGRESS, {w.PROGRESS: after.values[w.PROGRESS]}))
    if reports:
        for one in work.subscriptions(after.ref):
            for kind, values in reports:
                work.tell(one.aet, after.uid, kind, values)


def _check_new(values: Values) -> None:
    missing = tuple(tag for tag in w.TYPE_1 if tag not in values)
    if missing:
        raise Refused(statuses.MISSING_ATTRIBUTE, _lacks(missing), offending=missing)
    empty = tuple(tag for tag in w.TYPE_1 if not any(values[tag]))
    if empty:
        raise Refused(statuses.MISSING_ATTRIBUTE_VALUE, _lacks(empty), offending=empty)
    if reading.text(values, w.STATE) != WorkitemState.SCHEDULED:
        status = statuses.UPS_NOT_SCHEDULED
        raise Refused(status, w.MEANING[status], offending=(w.STATE,))
    for tag in (w.TRANSACTION_UID, w.PROGRESS, w.PERFORMED):
        if any(values.get(tag, ())):
            raise Refused(
                statuses.INVALID_ATTRIBUTE_VALUE, f"{describe(tag)} must be empty at creation", offending=(tag,)
            )
    _check_terms(values)


def _check_terms(values: Values) -> None:
    for tag, terms in ((w.PRIORITY, w.PRIORITIES), (w.READINESS, w.READINESS_STATES)):
        found = reading.text(values, tag)
        if found and found not in terms:
            raise Refused(
                statuses.INVALID_ATTRIBUTE_VALUE, f"{describe(tag)} is none of {', '.join(terms)}", offending=(tag,)
            )


def _lacks(tags: tuple[int, ...]) -> str:
    return "without a value: " + ", ".join(describe(tag) for tag in tags)


def _with_cancellation(values: Values, at: str, asked: Values) -> Values:
    """Values with when and why it was cancelled, as the final state needs them; what is there stays."""
    items = reading.items(values, w.PROGRESS)
    first = dict(items[0]) if items else {}
    if not first.get(w.CANCELLED_AT):
        first[w.CANCELLED_AT] = (_moment(at),)
    if not first.get(w.DISCONTINUATION_REASONS):
        first[w.DISCONTINUATION_REASONS] = asked.get(w.DISCONTINUATION_REASONS) or (w.UNSPECIFIED_REASON,)
    if asked.get(w.REASON_FOR_CANCELLATION) and not first.get(w.REASON_FOR_CANCELLATION):
        first[w.REASON_FOR_CANCELLATION] = asked[w.REASON_FOR_CANCELLATION]
    return {**values, w.PROGRESS: (first, *items[1:])}


def _moment(at: str) -> str:
    """UTC, ISO 8601, as a DT with its zone."""
    return f"{at[:19].replace('-', '').replace(':', '').replace('T', '')}{at[19:26]}+0000"
