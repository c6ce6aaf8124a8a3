"""ServiceRequest: orders, read, searched and placed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from vesalius.model.errors import NoSuchRecord
from vesalius.model.orders import Noun, Order, Patient, RequestedProcedure, ScheduledStep, Visit
from vesalius.ports.ris import Match, RisView, Term
from vesalius.ris.rules import RisRules
from vesalius.web.fhir import mapping_order
from vesalius.web.fhir.mapping_order import INTENT, PRIORITY, STATUS, FullOrder
from vesalius.web.fhir.parameters import LAST_UPDATED, Asked, Given, Parameter, Token
from vesalius.web.fhir.problems import Json
from vesalius.web.fhir.references import orders_under, patients_meant
from vesalius.web.fhir.resources import Found, Reader, Resource, nothing_there, number_of
from vesalius.web.fhir.scan import Filter, Scanned, scan
from vesalius.web.fhir.terms import scheme_system
from vesalius.web.fhir.times import moment

N = TypeVar("N", bound=Noun)

PARAMETERS = (
    LAST_UPDATED,
    Parameter("identifier", "token", "placer's or filler's order number, or accession number"),
    Parameter("patient", "reference", "whom it is about; merges are followed", ("identifier",)),
    Parameter("subject", "reference", "the same", ("identifier",)),
    Parameter("status", "token", "active, on-hold, completed, revoked", modifiers=("not",)),
    Parameter("intent", "token", "order is the only one"),
    Parameter("priority", "token", "routine, urgent, stat"),
    Parameter("authored", "date", "when it was ordered"),
    Parameter("code", "token", "code of one of its procedures"),
    Parameter("occurrence", "date", "when its first step is planned"),
)  # fmt: skip
INCLUDES = ("ServiceRequest:patient", "ServiceRequest:subject")


def loaded(view: RisView, found: Sequence[Order]) -> list[FullOrder]:
    """Orders with what is around them, by few questions."""
    if not found:
        return []
    refs = [order.ref for order in found]
    procedures = by_key(view.page(RequestedProcedure, [one_of("order_ref", refs)]), lambda one: one.order)
    steps = by_key(view.page(ScheduledStep, [one_of("order_ref", refs)]), lambda one: one.order)
    people = around(view, Patient, [order.patient for order in found])
    visits = around(view, Visit, [order.visit for order in found if order.visit])
    return [
        FullOrder(
            order, people[order.patient], procedures.get(order.ref, ()), steps.get(order.ref, ()),
            visits.get(order.visit),
        )
        for order in found
    ]  # fmt: skip


def one_of(column: str, refs: Sequence[int]) -> tuple[Term, ...]:
    """The rows of these."""
    return (Term(column, Match.IN, tuple(dict.fromkeys(refs))),)


def around(view: RisView, kind: type[N], refs: Sequence[int]) -> dict[int, N]:
    """Nouns by their numbers."""
    return {one.ref: one for one in view.page(kind, [one_of("id", refs)])} if refs else {}


def by_key(found: Sequence[N], key: Callable[[N], int]) -> dict[int, list[N]]:
    """Nouns by what they belong to."""
    made: dict[int, list[N]] = defaultdict(list)
    for one in found:
        made[key(one)].append(one)
    return made


def written(view: RisView, found: Sequence[FullOrder]) -> list[Json]:
    """The resources of some orders."""
    changes = view.last_changes(Order, [full.order.ref for full in found])
    return [mapping_order.service_request(full, changed=changes.get(full.order.ref, "")) for full in found]


def read_in(view: RisView, ref: int) -> Json:
    """One order. Raises `NoSuchRecord`."""
    return written(view, loaded(view, view.page(Order, [one_of("id", [view.get(Order, ref).ref])])))[0]


def read(reader: Reader, text: str) -> Json:
    """One order. Raises `FhirProblem` (404)."""
    try:
        return reader.look(lambda view: read_in(view, number_of(text)))
    except NoSuchRecord:
        raise nothing_there("ServiceRequest") from None


def read_many(reader: Reader, ids: Sequence[str]) -> list[Json]:
    """Some orders."""
    refs = list(map(number_of, ids))
    return reader.look(lambda view: written(view, loaded(view, view.page(Order, [one_of("id", refs)]))))


def found_in(view: RisView, rules: RisRules, asked: Asked, base: str) -> Scanned[FullOrder]:
    """Orders that match, in a transaction that is open already."""
    wanted: Filter[Order, FullOrder] = Filter()
    for given in asked.given:
        if not wanted.common(given):
            _narrow(view, rules, wanted, given, base)
    return scan(view, Order, wanted, loaded, lambda full: full.order.ref, asked)


def search(reader: Reader, asked: Asked) -> Found:
    """Orders that match."""

    def work(view: RisView) -> Found:
        found = found_in(view, reader.rules, asked, reader.base)
        people = [f"Patient/{full.patient.ref}" for full in found.records]
        return Found(tuple(written(view, found.records)), found.total, found.cursor, dict.fromkeys(INCLUDES, people))

    return reader.look(work)


def _narrow(view: RisView, rules: RisRules, wanted: Filter[Order, FullOrder], given: Given, base: str) -> None:
    match given.name:
        case "identifier":
            wanted.where.append(tuple(orders_under(given.tokens())))
        case "patient" | "subject":
            wanted.any_of("patient", patients_meant(view, rules, given, base))
        case "status":
            values = {token.value for token in given.tokens()}
            unwanted = given.modifier == "not"
            wanted.any_of("state", [str(state) for state, text in STATUS.items() if (text in values) != unwanted])
        case "intent":
            if INTENT not in {token.value for token in given.tokens()}:
                wanted.nothing()
        case "priority":
            values = {token.value for token in given.tokens()}
            wanted.first.append(lambda order: PRIORITY[order.priority] in values)
        case "authored":
            dates = given.dates()
            wanted.first.append(lambda order: any(test.holds(moment(order.entered_at)) for test in dates))
        case "occurrence":
            dates = given.dates()
            wanted.tests.append(
                lambda full: any(
                    test.holds(moment(min(step.start for step in full.steps))) for test in dates if full.steps
                )
            )
        case "code":
            tokens = given.tokens()
            wanted.tests.append(lambda full: _has_code(full, tokens))


def _has_code(full: FullOrder, tokens: Sequence[Token]) -> bool:
    return any(
        one.code is not None
        and token.value in ("", one.code.value)
        and token.system in (None, scheme_system(one.code.scheme), one.code.scheme)
        for one in full.procedures
        for token in tokens
    )


RESOURCE = Resource(
    "ServiceRequest",
    "The orders of the workflow: one for each order, its first procedure as code, further ones in orderDetail.",
    PARAMETERS,
    INCLUDES,
    read,
    search,
    read_many,
    creates=True,
)
