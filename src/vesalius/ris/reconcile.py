"""The list "to reconcile": which order and patient images probably belong to, and the repair.

Theory. A proposal is a scheduled step (or an order without one) with points and the reasons for them, in words: who
decides sees why. Points are added for what agrees and taken for what contradicts; a different sex or birth date weighs
more than an equal modality, because a mix-up of patients is what must not happen. The machine never repairs by itself
for points.

A repair coerces what differs (`ris/follow.py`), ties the study to the order and closes the item; `undo` takes all of it
back and puts the item on the list again. What was received is never touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vesalius.model.errors import BadRecord, NoSuchRecord, WrongState
from vesalius.model.names import fold_groups
from vesalius.model.orders import By, Item, Link, Order, Patient, RequestedProcedure, ScheduledStep
from vesalius.model.phonetics import sounds
from vesalius.ports.coercions import Repair
from vesalius.ports.ris import RisView, RisWork, StudyFacts
from vesalius.ris import images, orders, patients
from vesalius.ris.follow import differences, order_differences
from vesalius.ris.rules import RisRules

MOST = 10
LEAST_POINTS = 15
NEAR = timedelta(hours=12)
_CANDIDATES = 500


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order that the images may belong to: points up to 100, and why."""

    score: int
    why: tuple[str, ...]
    patient: Patient
    order: Order
    procedure: RequestedProcedure
    step: ScheduledStep | None = None


def items(view: RisView, *, state: str = "open", limit: int = 200, before: int = 0) -> list[Item]:
    """The list, newest first, from behind number `before`; `state` "": whatever became of it."""
    return view.find(Item, newest=True, limit=limit, before=before, **({"state": state} if state else {}))


def proposals(view: RisView, item: int, rules: RisRules) -> list[Proposal]:
    """Matches for an item, best first. Raises `NoSuchRecord`."""
    facts = _facts(view, view.get(Item, item))
    found: dict[tuple[int, int], Proposal] = {}
    for step in _near(view, facts):
        order, procedure = view.get(Order, step.order), view.get(RequestedProcedure, step.procedure)
        _propose(view, facts, order, procedure, step, rules, found)
    for order in _named(view, facts, rules):
        for procedure in orders.procedures(view, order.ref):
            planned = view.find(ScheduledStep, procedure_ref=procedure.ref, limit=1)
            _propose(view, facts, order, procedure, planned[0] if planned else None, rules, found)
    ranked = sorted(found.values(), key=lambda one: (-one.score, -one.order.ref))
    return [one for one in ranked if one.score >= LEAST_POINTS][:MOST]


def repair(work: RisWork, by: By, item: int, order: int, rules: RisRules, *, procedure: int = 0) -> Item:
    """These images belong to this order: they get its patient and accession number. Raises `WrongState`."""
    held = _open(work, item)
    chosen = work.get(Order, order)
    owner = work.get(Patient, chosen.patient)
    requested = orders.procedures(work, order)
    if procedure and procedure not in {one.ref for one in requested}:
        raise BadRecord("the procedure is not one of the order's")
    procedure = procedure or (requested[0].ref if len(requested) == 1 else 0)
    facts = _facts(work, held)
    link = work.first(Link, study=held.study)
    if link is None:
        work.add(Link(held.study, order, procedure, "repair"))
    else:
        work.save(dataclasses.replace(link, order=order, procedure=procedure, how="repair"))
    work.announce("study-linked", by, patient=owner.ref, order=order, study=held.study, how="repair")
    values = differences(facts, owner, rules) | order_differences(facts, chosen)
    return _repaired(work, by, dataclasses.replace(held, order=order), values, "order")


def repair_patient(work: RisWork, by: By, item: int, patient: int, rules: RisRules) -> Item:
    """These images are this patient's, without an order. Raises `WrongState`."""
    held = _open(work, item)
    owner = patients.known(work, patient)
    return _repaired(work, by, held, differences(_facts(work, held), owner, rules), "patient")


def accept(work: RisWork, by: By, item: int) -> Item:
    """Right as it is: nothing is repaired, and the study is not put on the list again."""
    return images.close(work, by, _open(work, item), "accepted")


def undo(work: RisWork, by: By, item: int, rules: RisRules) -> Item:
    """Take back what was decided: images answer what was received, and the item is on the list again."""
    held = work.get(Item, item)
    if held.state not in ("repaired", "accepted"):
        raise WrongState("there is nothing to take back")
    if held.repair:
        work.undo(held.repair, by)
    link = work.first(Link, study=held.study)
    if link is not None and link.how == "repair":
        work.remove(link)
    again = work.save(
        dataclasses.replace(held, state="open", repair=0, closed_at="", closed_by="", order=0, why=by.why)
    )
    work.announce("item-undone", by, order=held.order, item=str(item), study=held.study)
    return again


def _open(work: RisWork, item: int) -> Item:
    held = work.get(Item, item)
    if held.state != "open":
        raise WrongState(f"this item is {held.state} already")
    return held


def _repaired(work: RisWork, by: By, item: Item, values: dict[int, str], kind: str) -> Item:
    why = by.why or "reconciled"
    made = work.coerce(Repair(kind, by.at, by.who, why), {item.study: values}) if values else 0
    return images.close(work, by, dataclasses.replace(item, repair=made), "repaired")


def _facts(view: RisView, item: Item) -> StudyFacts:
    found = view.studies([item.study]).get(item.study)
    if found is None:
        raise NoSuchRecord("the archive does not keep this study any more")
    return found


# -- matching


def _near(view: RisView, facts: StudyFacts) -> list[ScheduledStep]:
    """Steps that were planned about when the images were made."""
    at = _moment(facts.date, facts.time)
    if at is None:
        return []
    begin, end = ((at + way * NEAR).strftime("%Y%m%d%H%M%S") for way in (-1, 1))
    found = view.steps(begin=begin, end=end, limit=_CANDIDATES)
    return [step for step in found if not facts.modalities or step.modality in facts.modalities]


def _named(view: RisView, facts: StudyFacts, rules: RisRules) -> list[Order]:
    """Orders of patients who could be the one of the images, and of their accession number."""
    found: dict[int, Order] = {}
    if facts.accession:
        found.update((order.ref, order) for order in view.find(Order, accession=facts.accession))
    people: dict[int, Patient] = {}
    known = patients.find(view, facts.identifier, rules) if facts.identifier.value else None
    if known is not None:
        people[known.ref] = known
    family = facts.name.split("^")[0].split("=")[0]
    if family:
        people.update((one.ref, one) for one in view.patients(text=family, limit=20))
    if facts.birth_date:
        people.update((one.ref, one) for one in view.patients(birth_date=_digits(facts.birth_date), limit=20))
    for ref in people:
        found.update((order.ref, order) for order in view.orders(patient=ref, limit=20))
    return list(found.values())


def _propose(
    view: RisView,
    facts: StudyFacts,
    order: Order,
    procedure: RequestedProcedure,
    step: ScheduledStep | None,
    rules: RisRules,
    found: dict[tuple[int, int], Proposal],
) -> None:
    patient = view.get(Patient, order.patient)
    points, why = score(facts, patient, order, procedure, step, rules)
    key = (order.ref, procedure.ref)
    if key not in found or found[key].score < points:
        found[key] = Proposal(points, why, patient, order, procedure, step)


def score(
    facts: StudyFacts,
    patient: Patient,
    order: Order,
    procedure: RequestedProcedure,
    step: ScheduledStep | None,
    rules: RisRules,
) -> tuple[int, tuple[str, ...]]:
    """Points from 0 to 100, and the reasons in words."""
    reasons = [*_of_patient(facts, patient, rules), *_of_order(facts, order, procedure, step)]
    points = sum(number for number, _ in reasons)
    return max(0, min(100, points)), tuple(f"{number:+d} {text}" for number, text in reasons)


def _of_patient(facts: StudyFacts, patient: Patient, rules: RisRules) -> Iterable[tuple[int, str]]:
    known = {rules.issued(one).value for one in (patient.identifier, *patient.others)}
    if facts.identifier.value and facts.identifier.value in known:
        yield 30, "the Patient ID is the same"
    elif facts.identifier.value and _near_text(facts.identifier.value, patient.identifier.value):
        yield 15, "the Patient ID differs in one character"
    if facts.name and patient.name:
        if set(fold_groups(facts.name)) & set(fold_groups(patient.name)) - {""}:
            yield 20, "the name is the same"
        elif set(sounds(facts.name)) & set(sounds(patient.name)):
            yield 10, "a part of the name sounds alike"
        else:
            yield -10, "the name is another one"
    birth = _digits(facts.birth_date)
    if birth and patient.birth_date:
        yield (15, "the birth date is the same") if birth == patient.birth_date else (-20, "the birth date differs")
    if facts.sex and patient.sex:
        yield (5, "the sex is the same") if facts.sex == patient.sex else (-25, "the sex differs")


def _of_order(
    facts: StudyFacts, order: Order, procedure: RequestedProcedure, step: ScheduledStep | None
) -> Iterable[tuple[int, str]]:
    if facts.study == procedure.study_uid:
        yield 40, "the Study Instance UID is the one planned"
    if facts.accession and facts.accession == order.accession:
        yield 30, "the accession number is the same"
    if step is None:
        return
    if facts.modalities:
        same = step.modality in facts.modalities
        yield (10, "the modality is the same") if same else (-20, "the modality differs")
    if set(step.stations) & set(facts.stations):
        yield 10, "it was made on the station that was planned"
    at, planned = _moment(facts.date, facts.time), _moment(step.start[:8], step.start[8:])
    if at is not None and planned is not None:
        apart = abs(at - planned)
        if apart <= timedelta(hours=1):
            yield 15, "it was made within an hour of the planned time"
        elif apart <= NEAR:
            yield 8, "it was made within twelve hours of the planned time"


def _near_text(one: str, other: str) -> bool:
    """One character put in, left out, exchanged, or two swapped."""
    if abs(len(one) - len(other)) > 1 or one == other or min(len(one), len(other)) < 4:
        return False
    begin = 0
    while begin < min(len(one), len(other)) and one[begin] == other[begin]:
        begin += 1
    first, second = one[begin:], other[begin:]
    swapped = first[:2] == second[:2][::-1] and first[2:] == second[2:]
    return swapped or first[1:] == second[1:] or first[1:] == second or first == second[1:]


def _moment(date: str, time: str) -> datetime | None:
    digits = _digits(date)[:8] + (_digits(time)[:6]).ljust(6, "0")
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
