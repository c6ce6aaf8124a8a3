"""ORM, OMG and OMI: orders placed, changed, cancelled, held, by ORC-1 (chapter 4; IHE RAD-2, RAD-3).

Theory. A message holds one or more orders, each beginning with ORC; an order has one OBR for each procedure. Either all
of a message is done or nothing. Where the message says when and the catalogue (or the message) says on which kind of
machine, the procedure is planned at once, on the station that is named or on the first that is free then; otherwise it
waits for a person. A time that is taken does not refuse an order: it is planned without a station, to be seen on the
schedule.

An order is found by placer's or filler's number, and it must be of the patient that the message names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesalius.hl7 import values
from vesalius.hl7.adt import doctor, patient_of, save_patient, save_visit
from vesalius.hl7.context import Context, Outcome
from vesalius.model.errors import NoSuchRecord, SlotTaken
from vesalius.model.orders import (
    Code,
    Identifier,
    Order,
    Priority,
    Procedure,
    RequestedProcedure,
    ScheduledStep,
    Station,
)
from vesalius.model.steps import STEP_DONE, OrderState
from vesalius.ports.ris import RisWork
from vesalius.ris import catalogue, orders, patients, schedule
from vesalius.standard.hl7_tables import ORDER_CONTROLS, PRIORITY, STATUS_CONTROLS, Condition
from vesalius.wire.hl7_message import BadMessage, Place, Segment

Segments = Sequence[Segment]


def order_message(work: RisWork, context: Context) -> Outcome:
    """Every order of the message."""
    before: list[Segment] = []
    for segment in context.message.segments:
        if segment.name == "ORC":
            break
        before.append(segment)
    for group in context.message.groups("ORC"):
        control = group[0].value(1).strip().upper()
        act = ORDER_CONTROLS.get(control)
        if not control:
            raise BadMessage(Condition.REQUIRED_FIELD_MISSING, group[0].place(1), "no order control")
        if act is None:
            raise BadMessage(Condition.TABLE_VALUE, group[0].place(1), "this order control is not understood here")
        if act == "place":
            _place(work, context, before, group)
        else:
            _existing(work, context, before, group, act)
    return Outcome()


# -- a new order


def _place(work: RisWork, context: Context, before: Segments, group: Segments) -> None:
    if not any(segment.name == "PID" for segment in before):
        raise BadMessage(Condition.SEGMENT_SEQUENCE, Place("PID"), "an order for nobody")
    placer, filler = _numbers(context, group)
    if not placer.value and not filler.value:
        place = context.fields.place(group, "order.placer")
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, place, "no order number")
    parts = _parts(group)
    patient = save_patient(work, context, before)
    visit = save_visit(work, context, before, patient.ref)
    told = _contents(context, before, group)
    order = Order(
        patient=patient.ref,
        visit=visit.ref if visit is not None else 0,
        placer=placer,
        filler=filler,
        accession=context.fields.text(group, "order.accession"),
        **told,
    )
    wanted = [_procedure(work, context, part) for part in parts]
    _, procedures = orders.place(work, context.by, order, [procedure for procedure, _ in wanted], context.rules)
    for part, procedure, (_, known) in zip(parts, procedures, wanted, strict=True):
        plan(work, context, [*group, *part], procedure, known)


def _parts(group: Segments) -> list[list[Segment]]:
    """The segments of each procedure: from its OBR to the next."""
    parts: list[list[Segment]] = []
    for segment in group:
        if segment.name == "OBR":
            parts.append([segment])
        elif parts:
            parts[-1].append(segment)
    if not parts:
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, Place("OBR", 1, 4), "no procedure is ordered")
    return parts


def _procedure(work: RisWork, context: Context, part: Segments) -> tuple[RequestedProcedure, Procedure | None]:
    fields = context.fields
    code = code_of(context, part, "procedure.code")
    if code is None:
        place = fields.place(part, "procedure.code")
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, place, "no procedure is named")
    known = known_procedure(work, code)
    requested = RequestedProcedure(
        order=0,
        patient=0,
        number=fields.text(part, "procedure.number")[:16],
        study_uid=fields.text(part, "procedure.study_uid"),
        code=known.code if known is not None else code,
        description=((known.name if known is not None else "") or code.meaning or code.value)[:64],
        reason=fields.text(part, "procedure.reason")[:64],
        body_part=known.body_part if known is not None else "",
        laterality=fields.text(part, "procedure.laterality")[:16],
    )
    return requested, known


def known_procedure(work: RisWork, code: Code) -> Procedure | None:
    """What the catalogue has under a code, by its scheme or, where only one has it, without."""
    return catalogue.procedure_by_code(work, code.value, code.scheme) or catalogue.procedure_by_code(work, code.value)


def code_of(context: Context, segments: Segments, row: str) -> Code | None:
    """The code at a row."""
    segment, path = context.fields.found(segments, row)
    if segment is None:
        return Code(path.text, "L", path.text) if path.text else None
    code = values.code((segment.repetitions(path.field) or [""])[0], segment.delimiters)
    if code is None:
        return None
    return Code(code.value[:16] if len(code.value) > 64 else code.value, code.scheme[:16] or "L", code.meaning[:64])


# -- planning


def plan(
    work: RisWork, context: Context, segments: Segments, procedure: RequestedProcedure, known: Procedure | None
) -> ScheduledStep | None:
    """Plan a procedure where the message says when; None: it waits for a person."""
    fields = context.fields
    start = values.moment(fields.text(segments, "step.start"), fields.place(segments, "step.start"))
    modality = fields.text(segments, "step.modality").upper()[:16] or (known.modality if known is not None else "")
    station = fields.text(segments, "step.station")
    minutes = values.minutes(fields.text(segments, "step.minutes")) or (known.minutes if known is not None else 0)
    return plan_at(work, context, procedure, known, start, station, modality, minutes)


def plan_at(
    work: RisWork,
    context: Context,
    procedure: RequestedProcedure,
    known: Procedure | None,
    start: str,
    station: str,
    modality: str,
    minutes: int,
) -> ScheduledStep | None:
    """Plan on the station named, on the first that can do it and is free, or on none."""
    if not start:
        return None
    told: dict[str, Any] = {"protocols": known.protocols} if known is not None and known.protocols else {}
    for aet in _stations(work, station, known, modality):
        try:
            return schedule.schedule(
                work, context.by, procedure.ref, aet, start, context.rules, minutes=minutes, **told
            )
        except (SlotTaken, NoSuchRecord):
            continue
    if not modality:
        return None
    return schedule.schedule(
        work, context.by, procedure.ref, "", start, context.rules, minutes=minutes, modality=modality, **told
    )


def _stations(work: RisWork, wanted: str, known: Procedure | None, modality: str) -> list[str]:
    if wanted:
        return [one.aet for one in find_stations(work, wanted)]
    if known is not None:
        return [one.aet for one in catalogue.stations_for(work, known)]
    return [one.aet for one in work.find(Station, modality=modality) if one.active] if modality else []


def find_stations(work: RisWork, name: str) -> list[Station]:
    """The stations in use that a name means: an AE title, a name, a room."""
    exact = work.first(Station, aet=name)
    if exact is not None:
        return [exact] if exact.active else []
    return [one for one in work.find(Station) if one.active and name in (one.name, one.room)]


# -- an order that is known


def _existing(work: RisWork, context: Context, before: Segments, group: Segments, act: str) -> None:
    placer, filler = _numbers(context, group)
    place = context.fields.place(group, "order.placer")
    if not placer.value and not filler.value:
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, place, "no order number")
    order = orders.by_number(work, placer=placer, filler=filler)
    if order is None:
        raise BadMessage(Condition.UNKNOWN_KEY, place, "no order is known under these numbers")
    _same_patient(work, context, before, order)
    if act == "status":
        act = STATUS_CONTROLS.get(group[0].value(5).strip().upper(), "")
    by = context.by
    if act == "change":
        _change(work, context, before, group, order)
    elif act == "cancel" and order.state is not OrderState.CANCELLED:
        orders.cancel(work, by, order.ref)
    elif act == "discontinue" and order.state is not OrderState.DISCONTINUED:
        if order.state is OrderState.IN_PROGRESS:
            orders.discontinue(work, by, order.ref)
        elif order.state is not OrderState.CANCELLED:
            orders.cancel(work, by, order.ref)  # what was not begun cannot be given up
    elif act == "hold" and order.state is not OrderState.HELD:
        orders.hold(work, by, order.ref)
    elif act == "release" and order.state is OrderState.HELD:
        orders.release(work, by, order.ref)


def _same_patient(work: RisWork, context: Context, before: Segments, order: Order) -> None:
    if not any(segment.name == "PID" for segment in before):
        return
    named = patients.find(work, patient_of(context, before).identifier, context.rules)
    if named is None or named.ref != order.patient:
        place = context.fields.place(before, "patient.id")
        raise BadMessage(Condition.UNKNOWN_KEY, place, "the order is of another patient")


def _change(work: RisWork, context: Context, before: Segments, group: Segments, order: Order) -> None:
    procedures = orders.procedures(work, order.ref)
    parts = _parts(group) if any(segment.name == "OBR" for segment in group) else []
    known_codes = {one.code.value for one in procedures if one.code is not None}
    for part in parts:
        code = code_of(context, part, "procedure.code")
        if code is not None and code.value not in known_codes:
            place = context.fields.place(part, "procedure.code")
            raise BadMessage(Condition.DATA_TYPE, place, "another procedure is another order: cancel this one")
    told = {name: value for name, value in _contents(context, before, group).items() if value}
    orders.change(work, context.by, order.ref, **told)
    _replan(work, context, group, order, procedures)


def _replan(
    work: RisWork, context: Context, group: Segments, order: Order, procedures: Sequence[RequestedProcedure]
) -> None:
    fields = context.fields
    start = values.moment(fields.text(group, "step.start"), fields.place(group, "step.start"))
    if not start or order.state is OrderState.HELD:
        return
    station = next((one.aet for one in find_stations(work, fields.text(group, "step.station"))), "")
    steps = orders.steps(work, order.ref)
    for step in steps:
        moved = step.start != start or bool(station and (station,) != step.stations)
        if step.state not in STEP_DONE and moved:
            schedule.move(work, context.by, step.ref, context.rules, station=station, start=start)
    planned = {step.procedure for step in steps}
    for procedure in procedures:
        if procedure.ref not in planned:
            known = known_procedure(work, procedure.code) if procedure.code is not None else None
            plan(work, context, group, procedure, known)


# -- what an order holds


def _numbers(context: Context, group: Segments) -> tuple[Identifier, Identifier]:
    found = []
    for row in ("order.placer", "order.filler"):
        segment, path = context.fields.found(group, row)
        text = (segment.repetitions(path.field) or [""])[0] if segment is not None else ""
        found.append(values.number(text, segment.delimiters) if segment is not None else Identifier(path.text))
    return found[0], found[1]


def _contents(context: Context, before: Segments, group: Segments) -> dict[str, Any]:
    """What of an order may change."""
    fields = context.fields
    urgency = fields.text(group, "order.priority").upper()
    # Some write the word of the standard, some the letter of the table.
    priority = PRIORITY.get(urgency[:1] if urgency not in Priority.__members__ else "", "")
    return {
        "priority": Priority(urgency) if urgency in Priority.__members__ else Priority(priority or "ROUTINE"),
        "reason": fields.text(group, "order.reason")[:64],
        "ordering": doctor(context, group, "order.ordering"),
        "referring": doctor(context, before, "order.referring"),
        "service": fields.text(group, "order.service")[:64],
        "entered_by": doctor(context, group, "order.entered_by"),
        "entered_at": values.moment(
            fields.text(group, "order.entered_at"), fields.place(group, "order.entered_at")
        ),
        "callback": fields.text(group, "order.callback")[:64],
        "transport": fields.text(group, "order.transport")[:64],
        "comments": "\n".join(fields.each(group, "order.comments"))[:10_000],
    }  # fmt: skip
