"""Patients: found by ID and issuer, kept up to date, merged and given back; visits.

Theory. A record is never deleted. One that was merged into another points to it (`merged_into`), and whoever looks for
its ID finds the one that survived. A merge says what it moved (`Merge.moved`), so an unmerge gives back just that and
leaves what came afterwards where it came. Changing an ID (HL7 A47) leaves a record under the old one that points to the
new, because images with the old ID go on arriving for a while. IHE RAD TF-1 3.3, 4; HL7 v2.5.1 3.3.40, 3.3.47.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from vesalius.model import datetimes
from vesalius.model.errors import BadRecord, NoSuchRecord, WrongState
from vesalius.model.orders import (
    By,
    Identifier,
    Merge,
    Moved,
    Order,
    Patient,
    PerformedStep,
    RequestedProcedure,
    ScheduledStep,
    Visit,
)
from vesalius.ports.ris import RisView, RisWork
from vesalius.ris.follow import follow, studies_of
from vesalius.ris.rules import RisRules

_SEXES = ("", "M", "F", "O")
_CHAIN = 100
_CONTROL = re.compile(r"[\x00-\x1f\\]")


def find(view: RisView, identifier: Identifier, rules: RisRules) -> Patient | None:
    """The record under an ID; of a merged one, the record that took its place."""
    found = view.first(Patient, identity=rules.issued(identifier).key)
    return None if found is None else surviving(view, found)


def surviving(view: RisView, patient: Patient) -> Patient:
    """The record itself, or the one that it was merged into."""
    for _ in range(_CHAIN):
        if not patient.merged_into:
            return patient
        patient = view.get(Patient, patient.merged_into)
    raise WrongState("the records of this patient are merged in a circle")  # pragma: no cover - `merge` refuses it


def add(work: RisWork, by: By, patient: Patient, rules: RisRules) -> Patient:
    """A new patient. Raises `DuplicateRecord`, `BadRecord`."""
    made = work.add(_checked(dataclasses.replace(patient, identifier=rules.issued(patient.identifier), ref=0)))
    work.announce("patient-added", by, patient=made.ref)
    return made


def update(work: RisWork, by: By, ref: int, rules: RisRules, **changes: Any) -> Patient:
    """Other demographics; the images of the patient follow. For another ID: `change_identifier`."""
    before = work.get(Patient, ref)
    if "identifier" in changes or "merged_into" in changes:
        raise BadRecord("an ID is changed or merged, not updated")
    after = _checked(dataclasses.replace(before, **changes))
    if after == before:
        return before
    work.save(after)
    named = [
        field.name for field in dataclasses.fields(after) if getattr(after, field.name) != getattr(before, field.name)
    ]
    work.announce("patient-changed", by, patient=ref, changed=",".join(named))
    follow(
        work, by, after, studies_of(work, after, rules), rules, kind="demographics", why="the patient's data changed"
    )
    return after


def add_or_update(work: RisWork, by: By, patient: Patient, rules: RisRules) -> Patient:
    """The patient as a message tells of them: what it leaves empty stays as it is known."""
    known = find(work, patient.identifier, rules)
    if known is None:
        return add(work, by, patient, rules)
    told = {
        field.name: getattr(patient, field.name)
        for field in dataclasses.fields(patient)
        if field.name not in ("identifier", "merged_into", "ref", "unidentified") and getattr(patient, field.name)
    }
    if patient.name:
        told["unidentified"] = patient.unidentified
    if patient.others:
        told["others"] = tuple(dict.fromkeys((*known.others, *patient.others)))
    return update(work, by, known.ref, rules, **told)


def change_identifier(work: RisWork, by: By, ref: int, new: Identifier, rules: RisRules) -> Patient:
    """Another ID for the same record (HL7 A47). Raises `DuplicateRecord` where another record has it."""
    new = rules.issued(new)
    before = work.get(Patient, ref)
    if before.merged_into:
        raise WrongState("the record was merged into another one", hint="change the ID of that one")
    if before.identifier.key == new.key:
        return before
    held = work.first(Patient, identity=new.key)
    if held is not None and held.merged_into == ref and not work.find(Merge, gone=held.ref):
        work.remove(held)  # the ID it had once, and gets back
    images = studies_of(work, before, rules)
    others = tuple(one for one in (*before.others, before.identifier) if one.key != new.key)
    after = work.save(_checked(dataclasses.replace(before, identifier=new, others=tuple(dict.fromkeys(others)))))
    work.add(Patient(before.identifier, before.name, before.birth_date, before.sex, merged_into=ref))
    work.announce("identifier-changed", by, patient=ref)
    follow(work, by, after, images, rules, kind="merge", why="the patient's ID changed")
    return after


# -- merging


def merge(work: RisWork, by: By, survivor: int, gone: int, rules: RisRules) -> Merge:
    """Take the record `gone` into `survivor` (HL7 A40), with its visits, orders and images.

    Raises `WrongState` for a record and itself, one that was merged away already, and so for every circle.
    """
    if survivor == gone:
        raise WrongState("a record cannot be merged into itself")
    held = {ref: work.get(Patient, ref) for ref in sorted((survivor, gone))}
    keep, lose = held[survivor], held[gone]
    if lose.merged_into:
        raise WrongState("this record was merged already", hint="take that merge back first")
    if keep.merged_into:
        raise WrongState("the record that shall survive was itself merged", hint="merge into the one it went to")
    images = studies_of(work, lose, rules)
    for before in work.find(Patient, merged_into=gone):
        images += studies_of(work, before, rules)
    moved = _move(work, lose, keep)
    added = tuple(one for one in (lose.identifier, *lose.others) if one not in keep.others)
    keep = work.save(dataclasses.replace(keep, others=(*keep.others, *added)))
    work.save(dataclasses.replace(lose, merged_into=survivor))
    repair = follow(work, by, keep, images, rules, kind="merge", why="two records of one patient were merged")
    moved = dataclasses.replace(moved, identifiers=added)
    made = work.add(Merge(survivor, gone, by.at, by.who, by.why, moved, repair))
    work.announce("patient-merged", by, patient=survivor, gone=str(gone), merge=str(made.ref))
    return made


def unmerge(work: RisWork, by: By, merge_ref: int, rules: RisRules) -> Merge:
    """Give back what a merge took. Raises `WrongState` where it was given back, or the survivor was merged since."""
    done = work.get(Merge, merge_ref)
    if done.undone_at:
        raise WrongState("this merge was taken back already")
    held = {ref: work.get(Patient, ref) for ref in sorted((done.survivor, done.gone))}
    keep, lose = held[done.survivor], held[done.gone]
    if keep.merged_into:
        raise WrongState("the surviving record was merged into another one since", hint="take that merge back first")
    _give_back(work, done.moved, keep, lose)
    others = tuple(one for one in keep.others if one not in done.moved.identifiers)
    work.save(dataclasses.replace(keep, others=others))
    lose = work.save(dataclasses.replace(lose, merged_into=0))
    if done.repair:
        work.undo(done.repair, by)
    follow(work, by, lose, studies_of(work, lose, rules), rules, kind="demographics", why="a merge was taken back")
    undone = work.save(dataclasses.replace(done, undone_at=by.at, undone_by=by.who))
    work.announce("patient-unmerged", by, patient=done.survivor, gone=str(done.gone), merge=str(done.ref))
    return undone


def merges(view: RisView, ref: int) -> list[Merge]:
    """Every merge that a record had part in, oldest first, those taken back included."""
    found = {one.ref: one for one in (*view.find(Merge, survivor=ref), *view.find(Merge, gone=ref))}
    return [found[number] for number in sorted(found)]


def _move(work: RisWork, lose: Patient, keep: Patient) -> Moved:
    visits = work.find(Visit, patient=lose.ref)
    for visit in visits:
        work.save(dataclasses.replace(visit, patient=keep.ref))
    orders = work.find(Order, patient=lose.ref)
    for order in orders:
        _hand_over(work, order, keep.ref)
    performed = [step for step in work.find(PerformedStep, patient=lose.ref) if not step.order]
    for step in performed:
        work.save(dataclasses.replace(step, patient=keep.ref))
    merged = work.find(Patient, merged_into=lose.ref)
    for record in merged:
        work.save(dataclasses.replace(record, merged_into=keep.ref))
    return Moved(_refs(visits), _refs(orders), _refs(performed), (), _refs(merged))


def _give_back(work: RisWork, moved: Moved, keep: Patient, lose: Patient) -> None:
    for ref in moved.visits:
        visit = work.get(Visit, ref)
        if visit.patient == keep.ref:
            work.save(dataclasses.replace(visit, patient=lose.ref))
    for ref in moved.orders:
        order = work.get(Order, ref)
        if order.patient == keep.ref:
            _hand_over(work, order, lose.ref)
    for ref in moved.performed:
        step = work.get(PerformedStep, ref)
        if step.patient == keep.ref:
            work.save(dataclasses.replace(step, patient=lose.ref))
    for ref in moved.merged:
        record = work.get(Patient, ref)
        if record.merged_into == keep.ref:
            work.save(dataclasses.replace(record, merged_into=lose.ref))


def _hand_over(work: RisWork, order: Order, patient: int) -> None:
    """An order with everything below it."""
    work.save(dataclasses.replace(order, patient=patient))
    for procedure in work.find(RequestedProcedure, order_ref=order.ref):
        work.save(dataclasses.replace(procedure, patient=patient))
    for step in work.find(ScheduledStep, order_ref=order.ref):
        work.save(dataclasses.replace(step, patient=patient))
    for performed in work.find(PerformedStep, order_ref=order.ref):
        work.save(dataclasses.replace(performed, patient=patient))


def _refs(nouns: Sequence[Any]) -> tuple[int, ...]:
    return tuple(noun.ref for noun in nouns)


# -- visits


def visit(work: RisWork, by: By, told: Visit) -> Visit:
    """Open a visit, or change what is known of it: found by its number, or by its patient where it has none."""
    known = _known_visit(work, told)
    if known is None:
        made = work.add(told)
        work.announce("visit-opened", by, patient=made.patient, visit=str(made.ref))
        return made
    changed = {
        field.name: getattr(told, field.name)
        for field in dataclasses.fields(told)
        if field.name not in ("ref", "state", "patient") and getattr(told, field.name)
    }
    after = dataclasses.replace(known, **changed)
    if after != known:
        work.save(after)
        work.announce("visit-changed", by, patient=after.patient, visit=str(after.ref))
    return after


def _known_visit(work: RisWork, told: Visit) -> Visit | None:
    if told.number.value:
        return work.first(Visit, number=told.number.key)
    open_ones = work.find(Visit, patient=told.patient, state="open", newest=True, limit=1)
    return open_ones[0] if open_ones else None


def discharge(work: RisWork, by: By, ref: int, at: str) -> Visit:
    """The visit has ended (HL7 A03)."""
    return _visit_state(work, by, ref, "closed", discharged=at)


def cancel_discharge(work: RisWork, by: By, ref: int) -> Visit:
    """It has not (HL7 A13)."""
    return _visit_state(work, by, ref, "open", discharged="")


def cancel_visit(work: RisWork, by: By, ref: int) -> Visit:
    """It never began (HL7 A11)."""
    return _visit_state(work, by, ref, "cancelled")


def _visit_state(work: RisWork, by: By, ref: int, state: str, **changes: str) -> Visit:
    before = work.get(Visit, ref)
    after = dataclasses.replace(before, state=state, **changes)  # type: ignore[arg-type]
    if after != before:
        work.save(after)
        kind = "visit-closed" if state == "closed" else "visit-changed"
        work.announce(kind, by, patient=after.patient, visit=str(ref), state=state)
    return after


def _checked(patient: Patient) -> Patient:
    """Raises `BadRecord` for what could not be written into images or worklists."""
    if not patient.identifier.value or len(patient.identifier.value) > 64:
        raise BadRecord("a Patient ID has 1 to 64 characters", offending=(0x00100020,))
    if _CONTROL.search(patient.identifier.value) or _CONTROL.search(patient.name):
        raise BadRecord("an ID or name holds a control character or a backslash")
    if any(len(group) > 64 for group in patient.name.split("=")) or patient.name.count("=") > 2:
        raise BadRecord("a name has at most three groups of 64 characters (PS3.5 6.2)", offending=(0x00100010,))
    if patient.birth_date and datetimes.normalize_date(patient.birth_date) != patient.birth_date:
        raise BadRecord("the birth date is no day, YYYYMMDD", offending=(0x00100030,))
    if patient.sex not in _SEXES:
        raise BadRecord("sex is M, F, O or empty (PS3.3 C.7.1.1)", offending=(0x00100040,))
    return patient


def known(view: RisView, ref: int) -> Patient:
    """A record by its number, the surviving one of a merged. Raises `NoSuchRecord`."""
    if not ref:
        raise NoSuchRecord("no patient was named")
    return surviving(view, view.get(Patient, ref))
