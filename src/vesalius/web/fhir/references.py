"""References in searches and in resources that are sent: from text to what they name here (FHIR R4 references.html)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vesalius.model.errors import NoSuchRecord
from vesalius.model.orders import Identifier, Order, Patient
from vesalius.ports.ris import Match, RisView, Term
from vesalius.ris import patients
from vesalius.ris.rules import RisRules
from vesalius.web.fhir.parameters import Given, Token
from vesalius.web.fhir.resources import number_of
from vesalius.web.fhir.terms import issuers_of

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LAST = 1000  # records under one number without its issuer


def target(text: str, kind: str, base: str) -> str:
    """The id that a reference names: `Patient/12`, `12`, or the whole address; "" where it names something else."""
    path = text.strip().removeprefix(f"{base}/")
    name, _, rest = path.rpartition("/")
    path = path if name in ("", kind) else ""
    found = rest if path else ""
    return found if _ID.fullmatch(found) else ""


def targets(given: Given, kind: str, base: str) -> list[str]:
    """The ids that a reference parameter names."""
    return [found for value in given.strings() if (found := target(value, kind, base))]


def patients_meant(view: RisView, rules: RisRules, given: Given, base: str) -> list[int]:
    """The records that a reference to patients, or a chain to their identifier, means; those that survived merges."""
    if given.chain == "identifier":
        return patients_under(view, rules, given.tokens())
    found = []
    for text in targets(given, "Patient", base):
        try:
            found.append(patients.known(view, number_of(text)).ref)
        except NoSuchRecord:
            continue
    return found


def patients_under(view: RisView, rules: RisRules, tokens: Sequence[Token]) -> list[int]:
    """The records under identifiers, those that survived merges; without a system under any issuer."""
    found: list[Patient] = []
    for token in tokens:
        if token.system is None:
            by_id = [(Term("patient_id", Match.IN, (token.value,)),)]
            found += view.page(Patient, by_id, limit=_LAST)
        elif token.value:
            keys = [rules.issued(Identifier(token.value, issuer)).key for issuer in issuers_of(token.system)]
            found += view.page(Patient, [(Term("identity", Match.IN, tuple(keys)),)])
    return [*dict.fromkeys(patients.surviving(view, one).ref for one in found)]


def orders_under(tokens: Sequence[Token]) -> list[Term]:
    """Terms for orders that have one of these as placer's, filler's or accession number."""
    terms: list[Term] = []
    for token in tokens:
        if not token.value:
            continue
        if token.system is None:
            start = f"{len(token.value)}:{token.value}"
            terms += [Term(column, Match.PREFIX, (start,)) for column in ("placer", "filler")]
        else:
            keys = tuple(Identifier(token.value, issuer).key for issuer in issuers_of(token.system))
            terms += [Term(column, Match.IN, keys) for column in ("placer", "filler")]
        terms.append(Term("accession", Match.IN, (token.value,)))
    return terms


def orders_meant(view: RisView, given: Given, base: str) -> list[int]:
    """The orders that a reference to service requests, or a chain to their identifier, means."""
    if given.chain == "identifier":
        terms = orders_under(given.tokens())
        return [order.ref for order in view.page(Order, [tuple(terms)], limit=_LAST)]
    return [number for text in targets(given, "ServiceRequest", base) if (number := number_of(text))]
