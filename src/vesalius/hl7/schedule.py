"""SIU: appointments booked, moved, changed, cancelled by a scheduling system (chapter 10).

Theory. An appointment is for an order: for the one that SCH-26 or SCH-27 name, else for the one whose number is the
appointment's own. Where there is none yet, S12 places one for the procedure of AIS-3, because in many hospitals the
appointment comes first; it carries the appointment's number as placer's number and goes when the appointment is
cancelled.
"""

from __future__ import annotations

from vesalius.hl7 import values
from vesalius.hl7.adt import save_patient, save_visit
from vesalius.hl7.context import Context, Outcome
from vesalius.hl7.orders import code_of, find_stations, known_procedure, plan_at
from vesalius.model.orders import Identifier, Order, RequestedProcedure, ScheduledStep
from vesalius.model.steps import STEP_DONE, StepVerb
from vesalius.ports.ris import RisWork
from vesalius.ris import orders, schedule
from vesalius.standard.hl7_tables import Condition
from vesalius.wire.hl7_message import BadMessage, Place


def book(work: RisWork, context: Context) -> Outcome:
    """S12: a new appointment."""
    order = _order(work, context)
    if order is None:
        order = _place(work, context)
    _plan(work, context, order)
    return Outcome()


def change(work: RisWork, context: Context) -> Outcome:
    """S13 and S14: another time, station or length."""
    _plan(work, context, _known(work, context))
    return Outcome()


def cancel(work: RisWork, context: Context) -> Outcome:
    """S15: it will not take place; an order that exists only for it goes, too."""
    order = _known(work, context)
    if order.placer == _appointment(context) and any(s.state not in STEP_DONE for s in orders.steps(work, order.ref)):
        orders.cancel(work, context.by, order.ref)
        return Outcome()
    for step in _open_steps(work, order):
        schedule.advance(work, context.by, step.ref, StepVerb.CANCEL)
    return Outcome()


def _appointment(context: Context) -> Identifier:
    segment, path = context.fields.found(context.message.segments, "appointment.id")
    if segment is None:
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, Place("SCH", 1, 1), "no number of the appointment")
    return values.number(segment.field(path.field), segment.delimiters)


def _order(work: RisWork, context: Context) -> Order | None:
    segment, path = context.fields.found(context.message.segments, "appointment.order")
    if segment is not None:
        named = values.number((segment.repetitions(path.field) or [""])[0], segment.delimiters)
        found = orders.by_number(work, placer=named, filler=named)
        if found is not None:
            return found
    own = _appointment(context)
    return orders.by_number(work, placer=own)


def _known(work: RisWork, context: Context) -> Order:
    order = _order(work, context)
    if order is None:
        place = context.fields.place(context.message.segments, "appointment.id")
        raise BadMessage(Condition.UNKNOWN_KEY, place, "no order is known for this appointment")
    return order


def _place(work: RisWork, context: Context) -> Order:
    segments = context.message.segments
    if context.message.first("PID") is None:
        raise BadMessage(Condition.SEGMENT_SEQUENCE, Place("PID"), "an appointment for nobody")
    code = code_of(context, segments, "appointment.procedure")
    if code is None:
        place = context.fields.place(segments, "appointment.procedure")
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, place, "no order is known and no procedure is named")
    patient = save_patient(work, context, segments)
    visit = save_visit(work, context, segments, patient.ref)
    known = known_procedure(work, code)
    requested = RequestedProcedure(
        order=0,
        patient=patient.ref,
        code=known.code if known is not None else code,
        description=((known.name if known is not None else "") or code.meaning or code.value)[:64],
    )
    order = Order(patient=patient.ref, visit=visit.ref if visit is not None else 0, placer=_appointment(context))
    return orders.place(work, context.by, order, [requested], context.rules)[0]


def _plan(work: RisWork, context: Context, order: Order) -> None:
    segments, fields = context.message.segments, context.fields
    start = values.moment(fields.text(segments, "appointment.start"), fields.place(segments, "appointment.start"))
    if not start:
        place = fields.place(segments, "appointment.start")
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, place, "no time of the appointment")
    segment, path = fields.found(segments, "appointment.minutes")
    unit = segment.value(path.field + 1) if segment is not None and not path.component else ""
    minutes = values.minutes(fields.text(segments, "appointment.minutes"), unit)
    wanted = fields.text(segments, "appointment.station")
    station = next((one.aet for one in find_stations(work, wanted)), "") if wanted else ""
    steps = _open_steps(work, order)
    for step in steps:
        schedule.move(work, context.by, step.ref, context.rules, station=station, start=start, minutes=minutes)
    if steps:
        return
    for procedure in orders.procedures(work, order.ref):
        known = known_procedure(work, procedure.code) if procedure.code is not None else None
        modality = known.modality if known is not None else ""
        minutes = minutes or (known.minutes if known is not None else 0)
        plan_at(work, context, procedure, known, start, station, modality, minutes)


def _open_steps(work: RisWork, order: Order) -> list[ScheduledStep]:
    return [step for step in orders.steps(work, order.ref) if step.state not in STEP_DONE]
