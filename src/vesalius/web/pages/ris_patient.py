"""A patient of the workflow: identifiers, orders and visits, and every merge, each of which can be given back.

Theory. A merge is somebody's decision and stays in the history; taking it back gives each record what it had and the
images their own patient again (`ris/patients.unmerge`). A record that was merged away is shown as such, with the one
that took its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.model.errors import BadRecord, WrongState
from vesalius.model.orders import Identifier, Merge, Order, Patient, RequestedProcedure, RisEvent, Visit
from vesalius.ports.ris import Ris, RisView, RisWork, StudyFacts
from vesalius.ris import orders, patients
from vesalius.ris.follow import studies_of
from vesalius.ris.rules import RisRules
from vesalius.web.context import WebContext
from vesalius.web.pages import ris_words
from vesalius.web.pages.ris_words import Person
from vesalius.web.pages.schedule.api import ref_of
from vesalius.web.pages.schedule.steps import form_of
from vesalius.web.pages.shell import Shell

MOST = 100
LONGEST_REASON = 200
_PATIENTS = frozenset({"patient-added", "patient-changed", "patient-merged", "patient-unmerged", "identifier-changed"})


@dataclass(frozen=True, slots=True)
class Joined:
    """A merge with both records; `open`: it can be taken back."""

    merge: Merge
    survivor: Patient
    gone: Patient
    open: bool


@dataclass(frozen=True, slots=True)
class Details:
    """All that the page tells."""

    patient: Patient
    person: Person
    into: Patient | None
    orders: tuple[tuple[Order, tuple[RequestedProcedure, ...]], ...]
    visits: tuple[Visit, ...]
    studies: tuple[StudyFacts, ...]
    merges: tuple[Joined, ...]
    history: tuple[RisEvent, ...]

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """The one in use, then the others."""
        return (self.patient.identifier, *self.patient.others)


def details(view: RisView, ref: int, rules: RisRules) -> Details:
    """A record with everything around it. Raises `NoSuchRecord`."""
    patient = view.get(Patient, ref)
    into = view.get(Patient, patient.merged_into) if patient.merged_into else None
    placed = view.orders(patient=ref, limit=MOST)
    return Details(
        patient,
        ris_words.person_of(patient),
        into,
        tuple((order, tuple(orders.procedures(view, order.ref))) for order in placed),
        tuple(view.find(Visit, patient=ref, newest=True, limit=MOST)),
        tuple(studies_of(view, patient, rules)[:MOST]) if into is None else (),
        tuple(_joined(view, merge) for merge in reversed(patients.merges(view, ref))),
        tuple(event for event in reversed(view.history(patient=ref)) if event.kind in _PATIENTS)[:MOST],
    )


def _joined(view: RisView, merge: Merge) -> Joined:
    survivor, gone = view.get(Patient, merge.survivor), view.get(Patient, merge.gone)
    return Joined(merge, survivor, gone, not merge.undone_at and not survivor.merged_into)


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/patients/{patient}` and taking a merge back; nothing where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, shell, ctx.ris)


def _routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    async def page(request: Request) -> Response:
        ref = ref_of(request, "patient")
        found = await ctx.call(ris.look, lambda view: details(view, ref, ctx.ris_rules))
        return shell.render(request, "ris_patient.html", room="schedule", found=found)

    async def unmerge(request: Request) -> Response:
        ref, number, form = ref_of(request, "patient"), ref_of(request, "merge"), await form_of(ctx, request)
        reason = form.get("reason", "")[:LONGEST_REASON]
        if not reason:
            raise BadRecord("taking a merge back needs a reason")

        def work(unit: RisWork) -> None:
            if number not in {merge.ref for merge in patients.merges(unit, ref)}:
                raise WrongState("this patient had no part in that merge")
            patients.unmerge(unit, ris_words.by(ctx, reason), number, ctx.ris_rules)

        await ctx.call(ris.change, work)
        return RedirectResponse(f"{shell.prefix(request)}/patients/{ref}", 303)

    return [
        Route("/patients/{patient}", shell.page(page), methods=["GET"], name="ris-patient"),
        Route("/patients/{patient}/merges/{merge}/undo", shell.page(unmerge), methods=["POST"]),
    ]
