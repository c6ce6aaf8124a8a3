"""A study that waits for a person, beside the orders and patients that it may belong to.

Theory. Who decides sees what the images say and what they would say after the repair, line by line, and every line that
changes is marked: the repair writes those and no others (`ris/follow.py` says which). What is only there to compare
(modality, station, time, description) is never written. Proposals come with their points and the reasons in words; what
is looked up by hand is shown in the same form, without points.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vesalius.model import repairs
from vesalius.model.errors import NoSuchRecord
from vesalius.model.orders import Item, Link, Order, Patient, RequestedProcedure, ScheduledStep
from vesalius.model.steps import OrderState
from vesalius.ports.ris import RisView, StudyFacts
from vesalius.ris import orders, reconcile
from vesalius.ris.follow import differences, order_differences
from vesalius.ris.rules import RisRules

STATES = ("open", "repaired", "accepted", "gone")
FOUND = 8  # patients that a search by hand shows
ORDERS = 6  # orders of each
_REASON = re.compile(r"([+-]\d+) (.*)")


class Change(enum.StrEnum):
    """What becomes of a line."""

    SAME = "same"
    DIFFERS = "differs"  # what was received is answered otherwise
    FILLED = "filled"  # it was empty
    KEPT = "kept"  # the record does not know it: what was received stays
    TOLD = "told"  # only to compare
    APART = "apart"  # only to compare, and it does not fit


@dataclass(frozen=True, slots=True)
class Compared:
    """One line: `key` of the catalogue, `kind` says how its values are written."""

    key: str
    received: str
    proposed: str
    change: Change
    kind: str = "text"  # "text" | "name" | "date" | "time"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a proposal has points: how many, and the words (English; `reconcile.why.WORDS` translates them)."""

    points: int
    words: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order, or a patient without one, that the images may belong to."""

    patient: Patient
    order: Order | None
    procedure: RequestedProcedure | None
    step: ScheduledStep | None
    lines: tuple[Compared, ...]
    score: int = -1  # -1: looked up by hand
    why: tuple[Reason, ...] = ()

    @property
    def changes(self) -> int:
        """How many lines the repair writes."""
        return sum(line.change in (Change.DIFFERS, Change.FILLED) for line in self.lines)

    @property
    def warns(self) -> bool:
        """Whether sex or birth date contradict: a mix-up of patients is what must not happen."""
        return any(line.key in ("born", "sex") and line.change is Change.DIFFERS for line in self.lines)


@dataclass(frozen=True, slots=True)
class Case:
    """An item of the list with what the archive knows of its study; `facts` None: it is not kept any more."""

    item: Item
    facts: StudyFacts | None
    order: Order | None = None  # that it claims, or was given
    patient: Patient | None = None  # of that order


def cases(view: RisView, state: str, limit: int, before: int = 0) -> list[Case]:
    """The list, newest first; `state` "": whatever became of it."""
    found = reconcile.items(view, state=state, limit=limit, before=before)
    facts = view.studies(one.study for one in found)
    return [_case(view, one, facts.get(one.study)) for one in found]


def case(view: RisView, ref: int) -> Case:
    """One item. Raises `NoSuchRecord`."""
    item = view.get(Item, ref)
    return _case(view, item, view.studies([item.study]).get(item.study))


def _case(view: RisView, item: Item, facts: StudyFacts | None) -> Case:
    link = view.first(Link, study=item.study)
    ref = item.order or (link.order if link is not None else 0)
    if not ref:
        return Case(item, facts)
    try:
        order = view.get(Order, ref)
        return Case(item, facts, order, view.get(Patient, order.patient))
    except NoSuchRecord:
        return Case(item, facts)


def proposed(view: RisView, case: Case, rules: RisRules) -> list[Candidate]:
    """What the machine proposes, best first."""
    if case.facts is None or case.item.state != "open":
        return []
    facts = case.facts
    return [
        Candidate(
            one.patient, one.order, one.procedure, one.step,
            compare(facts, one.patient, one.order, one.procedure, one.step, rules), one.score, _reasons(one.why),
        )
        for one in reconcile.proposals(view, case.item.ref, rules)
    ]  # fmt: skip


def searched(view: RisView, case: Case, text: str, rules: RisRules) -> list[Candidate]:
    """What a person looks up: orders by accession number, patients by name or ID with their newest orders."""
    if case.facts is None or not text.strip():
        return []
    found: list[Candidate] = []
    named = orders.by_number(view, accession=text.strip())
    if named is not None:
        found += _of_order(view, case.facts, view.get(Patient, named.patient), named, rules)
    for patient in view.patients(text=text, limit=FOUND):
        for order in view.orders(patient=patient.ref, limit=ORDERS):
            if named is None or order.ref != named.ref:
                found += _of_order(view, case.facts, patient, order, rules)
        lines = compare(case.facts, patient, None, None, None, rules)
        found.append(Candidate(patient, None, None, None, lines))
    return found


def _of_order(view: RisView, facts: StudyFacts, patient: Patient, order: Order, rules: RisRules) -> Iterable[Candidate]:
    if order.state is OrderState.CANCELLED:
        return
    for procedure in orders.procedures(view, order.ref):
        step = view.first(ScheduledStep, procedure_ref=procedure.ref)
        yield Candidate(patient, order, procedure, step, compare(facts, patient, order, procedure, step, rules))


def compare(
    facts: StudyFacts, patient: Patient, order: Order | None, procedure: RequestedProcedure | None,
    step: ScheduledStep | None, rules: RisRules,
) -> tuple[Compared, ...]:  # fmt: skip
    """Line by line: what was received, and what would be answered."""
    changed = differences(facts, patient, rules)
    if order is not None:
        changed |= order_differences(facts, order)
    written = (
        ("name", repairs.PATIENT_NAME, facts.name, patient.name, "name"),
        ("id", repairs.PATIENT_ID, facts.identifier.value, patient.identifier.value, "text"),
        ("issuer", repairs.ISSUER_OF_PATIENT_ID, facts.identifier.issuer, rules.issued(patient.identifier).issuer,
         "text"),
        ("born", repairs.BIRTH_DATE, facts.birth_date, patient.birth_date, "date"),
        ("sex", repairs.SEX, facts.sex, patient.sex, "text"),
    )  # fmt: skip
    lines = [_written(key, tag in changed, got, known, kind) for key, tag, got, known, kind in written]
    if order is not None:
        lines.append(_written("accession", repairs.ACCESSION_NUMBER in changed, facts.accession, order.accession))
        if order.referring or facts.referring:
            lines.append(
                _written("referring", repairs.REFERRING_PHYSICIAN in changed, facts.referring, order.referring, "name")
            )
    if procedure is not None:
        lines.append(Compared("procedure", facts.description, procedure.description, Change.TOLD))
    if step is not None:
        apart = bool(facts.modalities) and step.modality not in facts.modalities
        lines.append(
            Compared("modality", ", ".join(facts.modalities), step.modality, Change.APART if apart else Change.TOLD)
        )
        lines.append(Compared("station", ", ".join(facts.stations), ", ".join(step.stations), Change.TOLD))
        made = "".join(filter(str.isdigit, facts.date))[:8] + "".join(filter(str.isdigit, facts.time))[:6]
        lines.append(Compared("time", made, step.start, Change.TOLD, "time"))
    return tuple(lines)


def _written(key: str, changes: bool, got: str, known: str, kind: str = "text") -> Compared:
    if changes:
        return Compared(key, got, known, Change.DIFFERS if got else Change.FILLED, kind)
    if got and not known:
        return Compared(key, got, got, Change.KEPT, kind)
    return Compared(key, got, got, Change.SAME, kind)


def _reasons(why: Sequence[str]) -> tuple[Reason, ...]:
    found = []
    for text in why:
        match = _REASON.fullmatch(text)
        found.append(Reason(int(match[1]), match[2]) if match else Reason(0, text))
    return tuple(sorted(found, key=lambda one: -one.points))
