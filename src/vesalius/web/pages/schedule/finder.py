"""What the search of the top bar knows of the workflow: orders by accession number, a patient's next appointment."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.model.orders import Order, Patient, ScheduledStep
from vesalius.model.steps import STEP_DONE
from vesalius.ports.ris import RisView
from vesalius.web.context import WebContext
from vesalius.web.pages import ris_words, words
from vesalius.web.pages.hits import Hit
from vesalius.web.pages.schedule.api import clean
from vesalius.web.pages.schedule.order_entry import search

_ORDERS = 2
_PATIENTS = 3


def find(ctx: WebContext, text: str) -> Sequence[Hit]:
    """Orders and appointments for what was typed. Blocks."""
    if ctx.ris is None or len(clean(text).strip()) < 2:
        return ()
    today = ris_words.now(ctx).strftime("%Y%m%d")
    return ctx.ris.look(lambda view: _hits(view, clean(text).strip()[:64], today))


def _hits(view: RisView, text: str, today: str) -> list[Hit]:
    found = []
    for order in view.find(Order, accession=text, newest=True, limit=_ORDERS):
        patient = view.get(Patient, order.patient)
        found.append(_hit("schedule.order", patient, f"/orders/{order.ref}", order.accession))
    for patient in search(view, text)[:_PATIENTS]:
        steps = [
            step
            for step in view.find(ScheduledStep, patient=patient.ref)
            if step.start[:8] >= today and step.state not in STEP_DONE
        ]
        if steps:
            step = min(steps, key=lambda one: one.start)
            found.append(
                _hit("schedule.details", patient, f"/schedule/steps/{step.ref}", step.description, at=step.start)
            )
    return found


def _hit(kind: str, patient: Patient, path: str, *facts: str, at: str = "") -> Hit:
    name = words.person(patient.name).whole
    return Hit(kind, name, (patient.identifier.value, *facts), path, born=patient.birth_date, at=at)
