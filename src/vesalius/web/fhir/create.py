"""POST ServiceRequest: an order placed, and planned where it says when (R4 http.html 3.1.0.8).

Theory. The patient's record is held first, then `If-None-Exist` is searched for, then the order is placed, all in one
transaction: of two that send the same order at once, one places it and the other is told of it. A placer's number that
is known is 409, so that a client that lost an answer learns of it without a second examination.

Where the order names a time and a station it is planned there, or refused if somebody else has that time (409). With a
time alone it is planned on the first station that can do the procedure and is free then; with no such station, but a
catalogue that knows the modality, it is planned without one and waits for a person.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vesalius.model.errors import BadRecord, NoSuchRecord, SlotTaken
from vesalius.model.orders import By, Patient, Procedure, RequestedProcedure
from vesalius.ports.ris import RisWork
from vesalius.ris import catalogue, orders, patients, schedule
from vesalius.ris.rules import RisRules
from vesalius.web.fhir import service_requests
from vesalius.web.fhir.order_input import KIND, Wish
from vesalius.web.fhir.parameters import Asked, Token
from vesalius.web.fhir.problems import FhirProblem, unfit
from vesalius.web.fhir.references import patients_under, target
from vesalius.web.fhir.resources import number_of


@dataclass(frozen=True, slots=True)
class Created:
    """The number of the order, and whether it was placed now."""

    ref: int
    is_new: bool


def create(work: RisWork, by: By, wish: Wish, condition: Asked | None, rules: RisRules, base: str) -> Created:
    """Place an order. `condition`: `If-None-Exist`. Raises `FhirProblem` (412, 422), and what the verbs raise."""
    patient = work.get(Patient, _patient(work, wish, rules, base).ref)
    if condition is not None:
        found = service_requests.found_in(work, rules, condition, base).records
        if len(found) > 1:
            raise FhirProblem(412, "more than one order matches If-None-Exist")
        if found:
            return Created(found[0].order.ref, is_new=False)
    known = _known(work, wish)
    procedure = RequestedProcedure(
        order=0,
        patient=0,
        code=known.code if known is not None else wish.code,
        description=(known.name if known is not None else wish.description)[:64],
        reason=wish.order.reason,
        body_part=wish.body_part or (known.body_part if known is not None else ""),
        comments=wish.comments,
    )
    order = dataclasses.replace(wish.order, patient=patient.ref)
    try:
        made, procedures = orders.place(work, by, order, [procedure], rules)
    except BadRecord as error:
        raise unfit(KIND, error.message) from None
    if wish.start:
        _plan(work, by, procedures[0], wish, known, rules)
    return Created(made.ref, is_new=True)


def _patient(work: RisWork, wish: Wish, rules: RisRules, base: str) -> Patient:
    """The record that is meant, the surviving one of a merged. Raises `FhirProblem` (422)."""
    where = f"{KIND}.subject"
    subject = wish.subject
    if subject.reference:
        try:
            return patients.known(work, number_of(target(subject.reference, "Patient", base) or "0"))
        except NoSuchRecord:
            raise unfit(f"{where}.reference", "there is no such patient here", code="not-found") from None
    found = patients_under(work, rules, [Token(subject.system, subject.value)])
    if len(found) != 1:
        why = "several patients have this number: say its system" if found else "there is no patient under this number"
        raise unfit(f"{where}.identifier", why, code="multiple-matches" if found else "not-found")
    return work.get(Patient, found[0])


def _known(work: RisWork, wish: Wish) -> Procedure | None:
    """What the catalogue has under the code and its system; without a system, if only one has that code."""
    return catalogue.procedure_by_code(work, wish.code.value, wish.code.scheme) if wish.code is not None else None


def _plan(
    work: RisWork, by: By, procedure: RequestedProcedure, wish: Wish, known: Procedure | None, rules: RisRules
) -> None:
    told: dict[str, Any] = {"protocols": known.protocols} if known is not None and known.protocols else {}
    minutes = known.minutes if known is not None else 0
    if wish.station:
        try:
            schedule.schedule(work, by, procedure.ref, wish.station, wish.start, rules, minutes=minutes, **told)
        except NoSuchRecord:
            raise unfit(f"{KIND}.performer", "there is no station with this AE title", code="not-found") from None
        return
    if known is None:
        return  # it waits for a person, who knows on which machine it is done
    for aet in _stations(work, known):
        try:
            schedule.schedule(work, by, procedure.ref, aet, wish.start, rules, minutes=minutes, **told)
        except SlotTaken:
            continue
        return
    schedule.schedule(work, by, procedure.ref, "", wish.start, rules, minutes=minutes, modality=known.modality, **told)


def _stations(work: RisWork, known: Procedure) -> Sequence[str]:
    return [one.aet for one in catalogue.stations_for(work, known)]
