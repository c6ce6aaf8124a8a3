"""An order as FHIR's ServiceRequest (R4 servicerequest.html).

One order is one ServiceRequest: its first procedure is the `code`, further ones of the same order stand in
`orderDetail`, and each of them has Tasks of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vesalius.model.orders import Identifier, Order, Patient, Priority, RequestedProcedure, ScheduledStep, Visit
from vesalius.model.steps import OrderState
from vesalius.web.fhir import times
from vesalius.web.fhir.terms import AE_TITLE, SNOMED, Json, clean, concept, identifier, person

STATUS: dict[OrderState, str] = {
    OrderState.PLACED: "active",
    OrderState.SCHEDULED: "active",
    OrderState.IN_PROGRESS: "active",
    OrderState.COMPLETED: "completed",
    OrderState.DISCONTINUED: "revoked",
    OrderState.CANCELLED: "revoked",
    OrderState.HELD: "on-hold",
}
PRIORITY: dict[Priority, str] = {
    Priority.STAT: "stat",
    Priority.HIGH: "urgent",
    Priority.ROUTINE: "routine",
    Priority.MEDIUM: "routine",
    Priority.LOW: "routine",
}
PRIORITY_OF: dict[str, Priority] = {
    "stat": Priority.STAT,
    "asap": Priority.HIGH,
    "urgent": Priority.HIGH,
    "routine": Priority.ROUTINE,
}
INTENT = "order"
_IMAGING = {"coding": [{"system": SNOMED, "code": "363679005", "display": "Imaging"}]}


@dataclass(frozen=True, slots=True)
class FullOrder:
    """An order with what is around it."""

    order: Order
    patient: Patient
    procedures: Sequence[RequestedProcedure] = ()
    steps: Sequence[ScheduledStep] = ()
    visit: Visit | None = None


def service_request(full: FullOrder, *, changed: str = "") -> Json:
    """The resource. `changed`: when something last became of the order or its steps."""
    order, procedures = full.order, full.procedures
    first = procedures[0] if procedures else None
    planned = sorted((step for step in full.steps if step.start), key=lambda step: step.start)
    made: Json = {
        "resourceType": "ServiceRequest",
        "id": str(order.ref),
        "meta": {"lastUpdated": times.instant(changed)},
        "identifier": numbers(order),
        "status": STATUS[order.state],
        "intent": INTENT,
        "category": [_IMAGING],
        "priority": PRIORITY[order.priority],
        "code": concept(first.code, first.description) if first is not None else None,
        "orderDetail": [concept(one.code, one.description) for one in procedures[1:]],
        "subject": subject(full.patient),
        "encounter": {"identifier": identifier(full.visit.number, "VN")}
        if full.visit is not None and full.visit.number.value
        else None,
        "occurrenceDateTime": times.instant(planned[0].start) if planned else None,
        "authoredOn": times.instant(order.entered_at),
        "requester": {"display": person(order.ordering)},
        "performer": [station(step) for step in planned[:1] if step.stations],
        "reasonCode": [concept(order.reason_code, order.reason)],
        "bodySite": [{"text": one.body_part} for one in procedures if one.body_part],
        "note": [{"text": order.comments}] if order.comments.strip() else [],
    }
    kept: Json = clean(made)
    return kept


def numbers(order: Order) -> list[Json]:
    """Placer's and filler's number and the accession number, each with its type of HL7 table 0203."""
    accession = Identifier(order.accession, order.accession_issuer)
    return [
        identifier(one, kind)
        for one, kind in ((order.placer, "PLAC"), (order.filler, "FILL"), (accession, "ACSN"))
        if one.value
    ]


def subject(patient: Patient) -> Json:
    """Whom it is about."""
    return {"reference": f"Patient/{patient.ref}", "display": person(patient.name)}


def station(step: ScheduledStep) -> Json:
    """The machine of a step, by its AE title."""
    return {
        "identifier": {"system": AE_TITLE, "value": step.stations[0]},
        "display": step.station_name or step.stations[0],
    }
