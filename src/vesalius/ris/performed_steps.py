"""Performed steps: what a modality says that it does (PS3.4 annex F), tied to what was planned and ordered.

Theory. The edge checks the form of a request; the rules of the workflow are here. `create` ties a performed step to the
scheduled steps that it names (simple and group case), to an order alone where it names no step, or to a patient alone
(unscheduled), and begins the steps; a further performed step for one that is done is the append case. A performed step
whose state is final never changes again (PS3.4 F.7.2.2.2). When it becomes final, the steps follow once no other
performed step of theirs goes on, the order follows its steps, and the instances that it told of are waited for.

Everything sent is kept as it came (`PerformedStep.attributes`): N-GET answers it and forwarding repeats it. A later
N-SET replaces what it names, sequences as a whole (PS3.4 F.7.2.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vesalius.model import reading
from vesalius.model.attributes_extract import items_from_json, items_to_json
from vesalius.model.entities import Values
from vesalius.model.errors import BadRecord, DuplicateRecord, NoSuchRecord
from vesalius.model.orders import (
    By,
    Code,
    Identifier,
    Images,
    Link,
    Order,
    PerformedSeries,
    PerformedStep,
    RequestedProcedure,
    ScheduledStep,
)
from vesalius.model.performed import (
    CHARACTER_SET,
    END_DATE,
    END_TIME,
    PERFORMED_SERIES,
    SCHEDULED_STEP_ATTRIBUTES,
    STATUS,
)
from vesalius.model.steps import (
    ORDER_GRID,
    PERFORMED_GRID,
    STEP_GRID,
    OrderVerb,
    PerformedState,
    PerformedVerb,
    StepVerb,
    can,
)
from vesalius.model.steps import advance as follows
from vesalius.ports.ris import RisView, RisWork
from vesalius.ris import orders, patients
from vesalius.ris.rules import RisRules, Scope
from vesalius.ris.worklist import stations_seen

_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_STUDY_UID, _ACCESSION = 0x0020000D, 0x00080050
_PROCEDURE_ID, _STEP_ID = 0x00401001, 0x00400009
_VERBS = {
    PerformedState.IN_PROGRESS: PerformedVerb.UPDATE,
    PerformedState.COMPLETED: PerformedVerb.COMPLETE,
    PerformedState.DISCONTINUED: PerformedVerb.DISCONTINUE,
}
_STEP_VERBS = {PerformedState.COMPLETED: StepVerb.COMPLETE, PerformedState.DISCONTINUED: StepVerb.DISCONTINUE}


@dataclass(frozen=True, slots=True)
class _Tie:
    """What a performed step belongs to."""

    steps: tuple[ScheduledStep, ...] = ()
    order: Order | None = None
    procedures: tuple[RequestedProcedure, ...] = ()


def create(work: RisWork, by: By, uid: str, values: Values, rules: RisRules, creator: str = "") -> PerformedStep:
    """A modality begins (N-CREATE, PS3.4 F.7.2.1). `creator` is the AE title that says so.

    Raises `DuplicateRecord` (0111), `BadRecord` (0106) for another status than IN PROGRESS.
    """
    if work.first(PerformedStep, uid=uid) is not None:
        raise DuplicateRecord("there is a performed step with this SOP Instance UID already")
    if _text(values, STATUS) != PerformedState.IN_PROGRESS:
        raise BadRecord("a performed step begins IN PROGRESS", offending=(STATUS,))
    tie = _tie(work, values)
    patient = _patient(work, values, tie, rules)
    made = work.add(
        _described(
            PerformedStep(
                uid,
                steps=tuple(step.ref for step in tie.steps),
                order=tie.order.ref if tie.order else 0,
                patient=patient,
                creator=creator,
            ),
            values,
        )
    )
    kind = "scheduled" if tie.steps else "unscheduled"
    appended = any(step.state in ("COMPLETED", "DISCONTINUED") for step in tie.steps)
    first = tie.steps[0].ref if tie.steps else 0
    work.announce(
        "performed-created", by, patient=patient, order=made.order, step=first, uid=uid, study=made.study_uid,
        case="append" if appended else kind,
    )  # fmt: skip
    for step in tie.steps:
        orders.step_state(work, by, step, StepVerb.START)
    if tie.order is not None:
        orders.settle(work, by, tie.order.ref)
        for study in _studies(values):
            _link(work, by, study, tie)
    return made


def update(work: RisWork, by: By, uid: str, values: Values, rules: RisRules) -> PerformedStep:
    """It goes on, is done or given up (N-SET, PS3.4 F.7.2.2).

    Raises `NoSuchRecord` (0112), `WrongState` (0110) once it is final, `BadRecord` (0106) for a status that is none.
    """
    before = by_uid(work, uid)
    text = _text(values, STATUS) or str(before.state)
    if text not in tuple(PerformedState):
        raise BadRecord(
            "Performed Procedure Step Status is IN PROGRESS, COMPLETED or DISCONTINUED", offending=(STATUS,)
        )
    state = follows(PERFORMED_GRID, before.state, _VERBS[PerformedState(text)])
    changed = {tag: value for tag, value in values.items() if tag != CHARACTER_SET}  # ours is the Unicode of both
    after = _described(
        dataclasses.replace(before, state=state, changes=before.changes + 1), {**values_of(before), **changed}
    )
    if state is not before.state:
        after = _waiting(work, dataclasses.replace(after, final_at=by.at))
    work.save(after)
    if state is before.state:
        _announce(work, by, "performed-updated", after)
        return after
    _announce(work, by, "performed-state", after, {"from": str(before.state), "to": str(state)})
    if after.images is Images.COMPLETE:
        _announce(work, by, "images-complete", after, {"images": str(after.expected), "expected": str(after.expected)})
    _finish_steps(work, by, after)
    return after


def _announce(
    work: RisWork, by: By, kind: str, performed: PerformedStep, detail: Mapping[str, str] | None = None
) -> None:
    first = performed.steps[0] if performed.steps else 0
    told = {**(detail or {}), "uid": performed.uid, "study": performed.study_uid}
    work.announce(kind, by, patient=performed.patient, order=performed.order, step=first, detail=told)


def by_uid(view: RisView, uid: str) -> PerformedStep:
    """Raises `NoSuchRecord`."""
    found = view.first(PerformedStep, uid=uid)
    if found is None:
        raise NoSuchRecord("there is no performed step with this SOP Instance UID")
    return view.get(PerformedStep, found.ref)


def give_up(work: RisWork, by: By, uid: str, moment: str, rules: RisRules) -> PerformedStep:
    """End a step whose modality will not say so any more (PS3.4 F.7.2.2.3, note 2). `moment`: local, when it ended.

    Raises `NoSuchRecord`, `WrongState` where it has ended.
    """
    had = values_of(by_uid(work, uid))
    values: Values = {STATUS: (str(PerformedState.DISCONTINUED),)}
    values |= {
        tag: (text,) for tag, text in ((END_DATE, moment[:8]), (END_TIME, moment[8:])) if not reading.texts(had, tag)
    }
    return update(work, by, uid, values, rules)


def may_change(performed: PerformedStep, caller: str) -> bool:
    """Whether this AE title may change it: the one that created it, or the station that performs it (threat T22)."""
    return caller in (performed.creator, performed.station) or not performed.creator


def may_see(view: RisView, performed: PerformedStep, caller: str, rules: RisRules) -> bool:
    """Whether this AE title may read it: who may change it, and who sees the worklist of its station."""
    if may_change(performed, caller):
        return True
    scope = None if rules.worklist_scope is Scope.ALL else stations_seen(view, caller, rules)
    return scope is None or performed.station in scope


def values_of(performed: PerformedStep) -> Values:
    """Everything that is kept of a performed step, as it was sent."""
    return items_from_json(performed.attributes)[0] if performed.attributes else {}


def _finish_steps(work: RisWork, by: By, performed: PerformedStep) -> None:
    """The scheduled steps follow, unless another performed step of theirs still goes on."""
    verb = _STEP_VERBS[performed.state]
    others = work.find(PerformedStep, order_ref=performed.order, state=str(PerformedState.IN_PROGRESS))
    busy = {ref for other in others if other.ref != performed.ref for ref in other.steps}
    for ref in performed.steps:
        step = work.get(ScheduledStep, ref)
        if ref not in busy and can(STEP_GRID, step.state, verb):
            orders.step_state(work, by, step, verb)
    if performed.steps:
        orders.settle(work, by, performed.order)
    elif performed.order and performed.state is PerformedState.COMPLETED:
        _finish_order(work, by, performed.order)


def _finish_order(work: RisWork, by: By, ref: int) -> None:
    """An order that was done without a plan is done when its performed steps are."""
    order = work.get(Order, ref)
    if orders.steps(work, ref) or work.first(PerformedStep, order_ref=ref, state=str(PerformedState.IN_PROGRESS)):
        return
    for verb in (OrderVerb.START, OrderVerb.COMPLETE):
        if can(ORDER_GRID, order.state, verb):
            order = orders.advance(work, by, ref, verb)


def _waiting(work: RisWork, performed: PerformedStep) -> PerformedStep:
    """Wait for the instances that it told of; those that are here already are counted."""
    uids = [uid for series in performed.series for uid in series.instances]
    here = work.expect(performed.ref, uids)
    expected = len(dict.fromkeys(uids))
    images = Images.UNKNOWN if not expected else Images.COMPLETE if here == expected else Images.WAITING
    return dataclasses.replace(performed, images=images, expected=expected, arrived=here)


# -- what it belongs to


def _tie(work: RisWork, values: Values) -> _Tie:
    """The scheduled steps that it names by their IDs, else the order that it names by procedure, study or accession."""
    steps: list[ScheduledStep] = []
    procedures: list[RequestedProcedure] = []
    order: Order | None = None
    for item in reading.items(values, SCHEDULED_STEP_ATTRIBUTES):
        step = _step(work, item)
        if step is not None:
            steps.append(work.get(ScheduledStep, step.ref))
            procedures.append(work.get(RequestedProcedure, step.procedure))
            continue
        procedure = _procedure(work, item)
        if procedure is not None:
            procedures.append(procedure)
            continue
        accession = _text(item, _ACCESSION)
        order = order or (orders.by_number(work, accession=accession) if accession else None)
    if procedures:
        order = work.get(Order, procedures[0].order)
    return _Tie(tuple(dict.fromkeys(steps)), order, tuple(dict.fromkeys(procedures)))


def _step(work: RisWork, item: Values) -> ScheduledStep | None:
    """The step with this ID, of the order that the item names: other systems number from 1, too."""
    number = _text(item, _STEP_ID)
    if not number:
        return None
    found = work.find(ScheduledStep, number=number)
    study, accession, requested = (_text(item, tag) for tag in (_STUDY_UID, _ACCESSION, _PROCEDURE_ID))
    for step in found:
        procedure = work.get(RequestedProcedure, step.procedure)
        order = work.get(Order, step.order)
        if study and study == procedure.study_uid:
            return step
        if accession and accession == order.accession and requested in ("", procedure.number):
            return step
    return None


def _procedure(work: RisWork, item: Values) -> RequestedProcedure | None:
    study, requested, accession = (_text(item, tag) for tag in (_STUDY_UID, _PROCEDURE_ID, _ACCESSION))
    found = work.first(RequestedProcedure, study_uid=study) if study else None
    if found is None and requested and accession:
        for one in work.find(RequestedProcedure, number=requested):
            if work.get(Order, one.order).accession == accession:
                return one
    return found


def _patient(work: RisWork, values: Values, tie: _Tie, rules: RisRules) -> int:
    """The order's patient; without an order, the one with the ID that was sent."""
    if tie.order is not None:
        return tie.order.patient
    sent = _text(values, _PATIENT_ID)
    found = patients.find(work, Identifier(sent, _text(values, _ISSUER)), rules) if sent else None
    return found.ref if found is not None else 0


def _studies(values: Values) -> Iterator[str]:
    return (
        uid
        for uid in dict.fromkeys(_text(item, _STUDY_UID) for item in reading.items(values, SCHEDULED_STEP_ATTRIBUTES))
        if uid
    )


def _link(work: RisWork, by: By, study: str, tie: _Tie) -> None:
    if tie.order is None or work.first(Link, study=study) is not None:
        return
    procedure = tie.procedures[0].ref if tie.procedures else 0
    work.add(Link(study, tie.order.ref, procedure, "performed"))
    work.announce("study-linked", by, patient=tie.order.patient, order=tie.order.ref, study=study)


# -- what it says


def _described(performed: PerformedStep, values: Values) -> PerformedStep:
    """The noun with what its attributes say."""
    series = tuple(_series(item) for item in reading.items(values, PERFORMED_SERIES))
    studies = list(_studies(values))
    changes: dict[str, Any] = {
        "number": _text(values, 0x00400253),
        "study_uid": studies[0] if studies else "",
        "station": _text(values, 0x00400241),
        "modality": _text(values, 0x00080060),
        "started": _text(values, 0x00400244) + _text(values, 0x00400245)[:6],
        "ended": _text(values, 0x00400250) + _text(values, 0x00400251)[:6],
        "description": _text(values, 0x00400254),
        "reason": next(iter(codes(values, 0x00400281)), None),
        "codes": codes(values, 0x00081032),
        "protocols": codes(values, 0x00400260),
        "series": series,
        "attributes": items_to_json([values]),
    }
    return dataclasses.replace(performed, **changes)


def _series(item: Values) -> PerformedSeries:
    instances = [
        _text(image, 0x00081155) for tag in (0x00081140, 0x00400220) for image in reading.items(item, tag)
    ]  # images, and what is none
    return PerformedSeries(_text(item, 0x0020000E), tuple(uid for uid in instances if uid))


def codes(values: Values, tag: int) -> tuple[Code, ...]:
    """The items of a code sequence (PS3.3 8.8)."""
    found = (
        Code(_text(item, 0x00080100), _text(item, 0x00080102), _text(item, 0x00080104), _text(item, 0x00080103))
        for item in reading.items(values, tag)
    )
    return tuple(code for code in found if code.value)


def _text(values: Values, tag: int) -> str:
    return reading.text(values, tag).strip(" \0")
