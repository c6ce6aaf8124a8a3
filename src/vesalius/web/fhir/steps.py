"""Appointment and Task: the scheduled steps of the workflow, read and searched, in two forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vesalius.model.errors import NoSuchRecord
from vesalius.model.orders import Order, Patient, PerformedStep, RequestedProcedure, ScheduledStep
from vesalius.model.steps import StepState
from vesalius.ports.ris import RisView
from vesalius.web.fhir import mapping_step, times
from vesalius.web.fhir.mapping_step import APPOINTMENT, TASK, FullStep
from vesalius.web.fhir.parameters import LAST_UPDATED, Asked, Given, Parameter
from vesalius.web.fhir.problems import Json
from vesalius.web.fhir.references import orders_meant, patients_meant
from vesalius.web.fhir.resources import Found, Reader, Resource, nothing_there, number_of
from vesalius.web.fhir.scan import Filter, scan
from vesalius.web.fhir.service_requests import around, one_of
from vesalius.web.fhir.terms import AE_TITLE, STEP

_IDENTIFIER = Parameter("identifier", "token", "Scheduled Procedure Step ID")
_BASED_ON = Parameter("based-on", "reference", "the order", ("identifier",))
_PATIENT = Parameter("patient", "reference", "whom it is about", ("identifier",))
APPOINTMENT_PARAMETERS = (
    LAST_UPDATED,
    _IDENTIFIER,
    Parameter("date", "date", "when it begins"),
    _PATIENT,
    Parameter(
        "actor", "reference", "the patient; actor:identifier is the AE title of the station", ("identifier",),
        ("identifier",),
    ),
    Parameter("status", "token", "booked, arrived, checked-in, fulfilled, cancelled, noshow", modifiers=("not",)),
    _BASED_ON,
)  # fmt: skip
TASK_PARAMETERS = (
    LAST_UPDATED,
    _IDENTIFIER,
    Parameter("status", "token", "requested, received, ready, in-progress, completed, failed, cancelled, rejected",
              modifiers=("not",)),
    _PATIENT,
    Parameter("subject", "reference", "the same", ("identifier",)),
    Parameter("focus", "reference", "the order", ("identifier",)),
    _BASED_ON,
    Parameter("period", "date", "when it is planned to begin"),
    Parameter("owner", "reference", "owner:identifier is the AE title of the station", (), ("identifier",)),
)  # fmt: skip


def loaded(view: RisView, found: Sequence[ScheduledStep]) -> list[FullStep]:
    """Steps with what is around them, by few questions."""
    if not found:
        return []
    orders = around(view, Order, [step.order for step in found])
    procedures = around(view, RequestedProcedure, [step.procedure for step in found])
    people = around(view, Patient, [step.patient for step in found])
    return [FullStep(step, orders[step.order], procedures[step.procedure], people[step.patient]) for step in found]


def _with_outcome(view: RisView, found: Sequence[FullStep]) -> list[FullStep]:
    """The same with what was performed."""
    refs = list(dict.fromkeys(full.step.order for full in found))
    performed = view.page(PerformedStep, [one_of("order_ref", refs)]) if refs else []
    kept = view.studies(full.procedure.study_uid for full in found if full.procedure.study_uid)
    return [
        FullStep(
            full.step, full.order, full.procedure, full.patient,
            [one for one in performed if full.step.ref in one.steps], full.procedure.study_uid in kept,
        )
        for full in found
    ]  # fmt: skip


def _appointments(view: RisView, found: Sequence[FullStep]) -> list[Json]:
    changes = view.last_changes(ScheduledStep, [full.step.ref for full in found])
    return [mapping_step.appointment(full, changed=changes.get(full.step.ref, "")) for full in found]


def _tasks(view: RisView, found: Sequence[FullStep]) -> list[Json]:
    changes = view.last_changes(ScheduledStep, [full.step.ref for full in found])
    return [mapping_step.task(full, changed=changes.get(full.step.ref, "")) for full in _with_outcome(view, found)]


def _resource(
    kind: str,
    text: str,
    parameters: tuple[Parameter, ...],
    includes: tuple[str, ...],
    states: Mapping[StepState, str],
    write: Callable[[RisView, Sequence[FullStep]], list[Json]],
) -> Resource:
    def read(reader: Reader, name: str) -> Json:
        def work(view: RisView) -> Json:
            return write(view, loaded(view, [view.get(ScheduledStep, number_of(name))]))[0]

        try:
            return reader.look(work)
        except NoSuchRecord:
            raise nothing_there(kind) from None

    def search(reader: Reader, asked: Asked) -> Found:
        def work(view: RisView) -> Found:
            wanted: Filter[ScheduledStep, FullStep] = Filter()
            for given in asked.given:
                if not wanted.common(given):
                    _narrow(view, reader, wanted, given, states)
            found = scan(view, ScheduledStep, wanted, loaded, lambda full: full.step.ref, asked)
            people = [f"Patient/{full.patient.ref}" for full in found.records]
            above = [f"ServiceRequest/{full.order.ref}" for full in found.records]
            included = {name: above if name.endswith(("based-on", "focus")) else people for name in includes}
            return Found(tuple(write(view, found.records)), found.total, found.cursor, included)

        return reader.look(work)

    def read_many(reader: Reader, names: Sequence[str]) -> list[Json]:
        refs = list(map(number_of, names))
        return reader.look(lambda view: write(view, loaded(view, view.page(ScheduledStep, [one_of("id", refs)]))))

    return Resource(kind, text, parameters, includes, read, search, read_many)


def _narrow(
    view: RisView,
    reader: Reader,
    wanted: Filter[ScheduledStep, FullStep],
    given: Given,
    states: Mapping[StepState, str],
) -> None:
    match given.name:
        case "identifier":
            wanted.any_of("number", [token.value for token in given.tokens() if token.system in (None, "", STEP)])
        case "patient" | "subject" | "actor" | "owner":
            if given.modifier == "identifier" or given.name == "owner":
                titles = {token.value for token in given.tokens() if token.system in (None, "", AE_TITLE)}
                wanted.first.append(lambda step: bool(titles.intersection(step.stations)))
            else:
                wanted.any_of("patient", patients_meant(view, reader.rules, given, reader.base))
        case "based-on" | "focus":
            wanted.any_of("order_ref", orders_meant(view, given, reader.base))
        case "status":
            values = {token.value for token in given.tokens()}
            unwanted = given.modifier == "not"
            wanted.any_of("state", [str(state) for state, text in states.items() if (text in values) != unwanted])
        case "date" | "period":
            if not wanted.between("start", given, times.stamp):
                dates = given.dates()
                wanted.first.append(lambda step: any(test.holds(times.moment(step.start)) for test in dates))


APPOINTMENTS = _resource(
    "Appointment",
    "The scheduled steps: who has which station when. Fulfilled once the examination has begun.",
    APPOINTMENT_PARAMETERS,
    ("Appointment:patient", "Appointment:actor", "Appointment:based-on"),
    APPOINTMENT,
    _appointments,
)
TASKS = _resource(
    "Task",
    "The acquisition of each scheduled step: planned, being done, done, given up; which images came of it.",
    TASK_PARAMETERS,
    ("Task:patient", "Task:subject", "Task:based-on", "Task:focus"),
    TASK,
    _tasks,
)
