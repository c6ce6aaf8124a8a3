"""A scheduled step as FHIR's Appointment (the time that somebody has) and Task (the acquisition that is to be done).

Both have the number of the step as their id. The Appointment ends where the examination begins: what becomes of the
acquisition, and which images came of it, is the Task's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from vesalius.model.orders import Code, Images, Order, Patient, PerformedStep, RequestedProcedure, ScheduledStep
from vesalius.model.orders import Identifier as Number
from vesalius.model.steps import StepState
from vesalius.web.fhir import times
from vesalius.web.fhir.mapping_order import PRIORITY, station, subject
from vesalius.web.fhir.terms import STEP, Json, clean, concept, identifier

# FHIR's states of an appointment: what is past the arrival is "fulfilled" (R4 valueset-appointmentstatus).
APPOINTMENT: dict[StepState, str] = {
    StepState.SCHEDULED: "booked",
    StepState.ARRIVED: "arrived",
    StepState.READY: "checked-in",
    StepState.STARTED: "fulfilled",
    StepState.COMPLETED: "fulfilled",
    StepState.DISCONTINUED: "fulfilled",
    StepState.CANCELLED: "cancelled",
    StepState.NO_SHOW: "noshow",
}
TASK: dict[StepState, str] = {
    StepState.SCHEDULED: "requested",
    StepState.ARRIVED: "received",
    StepState.READY: "ready",
    StepState.STARTED: "in-progress",
    StepState.COMPLETED: "completed",
    StepState.DISCONTINUED: "failed",
    StepState.CANCELLED: "cancelled",
    StepState.NO_SHOW: "rejected",
}
_TASK_CODE = {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}],
              "text": "image acquisition"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FullStep:
    """A scheduled step with what is around it."""

    step: ScheduledStep
    order: Order
    procedure: RequestedProcedure
    patient: Patient
    performed: Sequence[PerformedStep] = ()
    kept: bool = False  # the archive has images of its study


def _number(step: ScheduledStep) -> Json:
    return {**identifier(Number(step.number)), "system": STEP}


def _what(full: FullStep) -> Json:
    return concept(full.procedure.code, full.step.description or full.procedure.description)


def appointment(full: FullStep, *, changed: str = "") -> Json:
    """The resource."""
    step = full.step
    begin = times.moment(step.start)
    end = times.stamp(begin + timedelta(minutes=step.minutes)) if begin is not None else ""
    who = [{"actor": subject(full.patient), "required": "required", "status": "accepted"}]
    who += [{"actor": station(step), "required": "required", "status": "accepted"}] if step.stations else []
    made: Json = {
        "resourceType": "Appointment",
        "id": str(step.ref),
        "meta": {"lastUpdated": times.instant(changed)},
        "identifier": [_number(step)],
        "status": APPOINTMENT[step.state],
        "serviceType": [_what(full)],
        "reasonCode": [concept(full.order.reason_code, full.order.reason)],
        "description": step.description or full.procedure.description,
        "start": times.instant(step.start),
        "end": times.instant(end),
        "minutesDuration": step.minutes or None,
        "comment": step.comments,
        "basedOn": [{"reference": f"ServiceRequest/{step.order}"}],
        "participant": who,
    }
    kept: Json = clean(made)
    return kept


def task(full: FullStep, *, changed: str = "") -> Json:
    """The resource."""
    step = full.step
    began = sorted(one.started for one in full.performed if one.started)
    ended = sorted(one.ended for one in full.performed if one.ended)
    reason: Code | None = next((one.reason for one in full.performed if one.reason is not None), None)
    order = {"reference": f"ServiceRequest/{step.order}"}
    made: Json = {
        "resourceType": "Task",
        "id": str(step.ref),
        "meta": {"lastUpdated": times.instant(changed)},
        "identifier": [_number(step)],
        "basedOn": [order],
        "status": TASK[step.state],
        "statusReason": concept(reason),
        "businessStatus": {"text": str(step.state)},
        "intent": "order",
        "priority": PRIORITY[full.order.priority],
        "code": _TASK_CODE,
        "description": step.description or full.procedure.description,
        "focus": order,
        "for": subject(full.patient),
        "executionPeriod": {
            "start": times.instant(began[0]) if began else "",
            "end": times.instant(ended[-1]) if ended and len(ended) == len(full.performed) else "",
        },
        "authoredOn": times.instant(full.order.entered_at),
        "lastModified": times.instant(changed),
        "owner": station(step) if step.stations else None,
        "restriction": {"period": {"start": times.instant(step.start)}},
        "output": outputs(full),
    }
    kept: Json = clean(made)
    return kept


def outputs(full: FullStep) -> list[Json]:
    """The study that comes of it, and how many of the images that the modality told of have arrived."""
    uid = full.procedure.study_uid
    reference: Json = {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}}
    if full.kept:
        reference["reference"] = f"ImagingStudy/{uid}"
    found: list[Json] = [{"type": {"text": "study"}, "valueReference": reference}] if uid else []
    for one in full.performed:
        if one.images is not Images.UNKNOWN:
            text = f"{one.images}: {one.arrived} of {one.expected}"
            found.append({"type": {"text": "images"}, "valueString": text})
    return found
