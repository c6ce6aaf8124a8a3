"""Orders: placed with their procedures, numbered, changed, cancelled, held; their state follows from their steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from vesalius.model.errors import BadRecord, DuplicateRecord, WrongState
from vesalius.model.identifiers import is_valid_uid, new_uid
from vesalius.model.orders import (
    Appointment,
    By,
    Identifier,
    Order,
    Patient,
    RequestedProcedure,
    ScheduledStep,
)
from vesalius.model.steps import (
    ORDER_GRID,
    STEP_DONE,
    STEP_GRID,
    OrderState,
    OrderVerb,
    StepState,
    StepVerb,
    can,
)
from vesalius.model.steps import (
    advance as follows,
)
from vesalius.ports.ris import RisView, RisWork
from vesalius.ris.accession import LONGEST, next_accession
from vesalius.ris.rules import RisRules

_LOST = frozenset((StepState.CANCELLED, StepState.NO_SHOW))


def place(
    work: RisWork, by: By, order: Order, procedures: Sequence[RequestedProcedure], rules: RisRules
) -> tuple[Order, list[RequestedProcedure]]:
    """A new order with its procedures; numbers and Study Instance UIDs are given where there are none.

    Raises `DuplicateRecord` where the placer's or filler's number is known, `WrongState` for a merged patient.
    """
    patient = work.get(Patient, order.patient)
    if patient.merged_into:
        raise WrongState("the patient's record was merged into another one", hint="order for that one")
    if not procedures:
        raise BadRecord("an order names at least one procedure")
    # The counter's row stays locked until the end: of two orders under one number, the second sees the first.
    work.next_number("order")
    filler = order.filler if order.filler.value else Identifier(f"F{work.next_number('filler')}", rules.filler_issuer)
    for name, number in (("placer", order.placer), ("filler", filler)):
        if number.value and work.first(Order, **{name: number.key}) is not None:
            raise DuplicateRecord(f"there is an order with this {name} order number already")
    if order.accession:
        if len(order.accession) > LONGEST:
            raise BadRecord(f"an accession number has at most {LONGEST} characters", offending=(0x00080050,))
        work.claim_accession(order.accession)
        accession = order.accession
    else:
        accession = next_accession(work, by, rules)
    made = work.add(
        dataclasses.replace(
            order, filler=filler, accession=accession, state=OrderState.PLACED, entered_at=order.entered_at or by.at
        )
    )
    work.announce("order-placed", by, patient=made.patient, order=made.ref)
    return made, [add_procedure(work, by, made, procedure) for procedure in procedures]


def add_procedure(work: RisWork, by: By, order: Order, procedure: RequestedProcedure) -> RequestedProcedure:
    """One more procedure of an order."""
    uid = procedure.study_uid or new_uid()
    if not is_valid_uid(uid):
        raise BadRecord("the Study Instance UID breaks the rules of PS3.5 9.1", offending=(0x0020000D,))
    number = procedure.number or f"RP{work.next_number('procedure')}"
    if len(number) > 16:
        raise BadRecord("a Requested Procedure ID has at most 16 characters", offending=(0x00401001,))
    made = work.add(
        dataclasses.replace(procedure, order=order.ref, patient=order.patient, number=number, study_uid=uid, ref=0)
    )
    work.announce("procedure-added", by, patient=order.patient, order=order.ref, procedure=str(made.ref))
    return made


def by_number(
    view: RisView, *, placer: Identifier | None = None, filler: Identifier | None = None, accession: str = ""
) -> Order | None:
    """The order under the first of these numbers that is known."""
    for name, number in (("placer", placer), ("filler", filler)):
        if number is not None and number.value:
            found = view.first(Order, **{name: number.key})
            if found is not None:
                return found
    if accession:
        newest = view.find(Order, accession=accession, newest=True, limit=1)
        return newest[0] if newest else None
    return None


def procedures(view: RisView, order: int) -> list[RequestedProcedure]:
    """The procedures of an order."""
    return view.find(RequestedProcedure, order_ref=order)


def steps(view: RisView, order: int) -> list[ScheduledStep]:
    """The scheduled steps of an order."""
    return view.find(ScheduledStep, order_ref=order)


def change(work: RisWork, by: By, ref: int, **changes: Any) -> Order:
    """Other contents: reason, priority, physicians, comments. Raises `WrongState` for one that has ended."""
    before = work.get(Order, ref)
    follows(ORDER_GRID, before.state, OrderVerb.CHANGE)
    if {"state", "patient", "accession", "ref"} & set(changes):
        raise BadRecord("this is not changed but by its own verb")
    after = dataclasses.replace(before, **changes)
    if after != before:
        work.save(after)
        work.announce("order-changed", by, patient=after.patient, order=ref, changed=",".join(sorted(changes)))
    return after


def advance(work: RisWork, by: By, ref: int, verb: OrderVerb) -> Order:
    """One step through the grid of orders. Raises `WrongState`."""
    before = work.get(Order, ref)
    state = follows(ORDER_GRID, before.state, verb)
    if state is before.state:
        return before
    after = work.save(dataclasses.replace(before, state=state))
    work.announce(
        "order-state",
        by,
        patient=after.patient,
        order=ref,
        verb=str(verb),
        detail={"from": str(before.state), "to": str(state)},
    )
    return after


def cancel(work: RisWork, by: By, ref: int) -> Order:
    """It will not be done: its open steps go with it. Raises `WrongState` once it has begun."""
    order = advance(work, by, ref, OrderVerb.CANCEL)
    _cancel_steps(work, by, ref)
    return order


def hold(work: RisWork, by: By, ref: int) -> Order:
    """Not now."""
    return advance(work, by, ref, OrderVerb.HOLD)


def release(work: RisWork, by: By, ref: int) -> Order:
    """Now again; back to where its steps are."""
    order = advance(work, by, ref, OrderVerb.RELEASE)
    if any(step.state not in STEP_DONE for step in steps(work, ref)):
        return advance(work, by, ref, OrderVerb.SCHEDULE)
    return order


def discontinue(work: RisWork, by: By, ref: int) -> Order:
    """It was begun and is given up."""
    order = advance(work, by, ref, OrderVerb.DISCONTINUE)
    _cancel_steps(work, by, ref)
    return order


def _cancel_steps(work: RisWork, by: By, ref: int) -> None:
    """Those of an order's steps that have not begun."""
    for step in steps(work, ref):
        if can(STEP_GRID, step.state, StepVerb.CANCEL):
            step_state(work, by, step, StepVerb.CANCEL)


def step_state(work: RisWork, by: By, step: ScheduledStep, verb: StepVerb, **changes: Any) -> ScheduledStep:
    """One step through the grid of scheduled steps, with its event; a time that is not needed any more is free."""
    state = follows(STEP_GRID, step.state, verb)
    after = dataclasses.replace(step, state=state, **changes)
    if after != step:
        work.save(after)
    if state is not step.state:
        work.announce(
            "step-state",
            by,
            patient=step.patient,
            order=step.order,
            step=step.ref,
            verb=str(verb),
            detail={"from": str(step.state), "to": str(state)},
        )
    if state in _LOST:
        for appointment in work.find(Appointment, step=step.ref, active=1):
            work.save(dataclasses.replace(appointment, active=False))
    return after


def settle(work: RisWork, by: By, ref: int) -> None:
    """Have the state of an order follow from those of its steps."""
    order = work.get(Order, ref)
    states = {step.state for step in steps(work, ref)}
    if not states:
        return
    verb = None
    if StepState.STARTED in states:
        verb = OrderVerb.START
    elif states <= STEP_DONE:
        if StepState.COMPLETED in states:
            verb = OrderVerb.COMPLETE
        elif StepState.DISCONTINUED in states:
            verb = OrderVerb.DISCONTINUE
        else:
            verb = OrderVerb.UNSCHEDULE
    elif order.state is OrderState.PLACED:
        verb = OrderVerb.SCHEDULE
    if verb is not None and can(ORDER_GRID, order.state, verb):
        advance(work, by, ref, verb)
