"""ADT: patients and visits as the hospital tells of them, merges, other identifiers (chapter 3).

Theory. What a message leaves empty stays as it is known; the value `""` deletes it (chapter 2.5.3.1). A patient is
known by identifier and issuer. Merges and changes of identifiers move images under another name, so they count only
from sources that may do so (T16), and the workflow can take them back.
"""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.hl7 import values
from vesalius.hl7.context import Context, Outcome
from vesalius.model.names import fold_name
from vesalius.model.orders import Identifier, Patient, Visit
from vesalius.ports.ris import RisWork
from vesalius.ris import patients
from vesalius.standard.hl7_tables import SEX, Condition
from vesalius.wire.hl7_message import NULL, BadMessage, Place, Segment

_WEIGHT, _HEIGHT = ("29463-7", "3141-9"), ("8302-2", "3137-7")  # LOINC
_ALIAS = "AL"  # table 0445: the name is one for the time being
# Rows whose deletion (`""`) is carried over, and what of the patient they are.
_ERASABLE = {
    "patient.birth_date": "birth_date",
    "patient.sex": "sex",
    "patient.address": "address",
    "patient.telephone": "telephone",
    "patient.ethnic_group": "ethnic_group",
}


def patient_of(context: Context, segments: Sequence[Segment]) -> Patient:
    """The patient of a PID. Raises `BadMessage`."""
    fields = context.fields
    segment, path = fields.found(segments, "patient.id")
    chosen = None
    if segment is not None:
        chosen = values.patient_identifier(segment.repetitions(path.field), segment.delimiters, context.issuer)
    if chosen is None:
        place = fields.place(segments, "patient.id")
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, place, "no identifier of the patient")
    sex = fields.text(segments, "patient.sex").upper()
    if sex not in SEX:
        raise BadMessage(Condition.TABLE_VALUE, fields.place(segments, "patient.sex"), "not a value of table 0001")
    birth = values.day(fields.text(segments, "patient.birth_date"), fields.place(segments, "patient.birth_date"))
    others = (one for one in context.identifiers(segments, "patient.other_ids") if one.value != chosen.value)
    pid = next((one for one in segments if one.name == "PID"), None)
    return Patient(
        identifier=chosen,
        name=_name(context, segments, "patient.name"),
        birth_date=birth,
        sex=SEX[sex],
        others=tuple(dict.fromkeys(others)),
        address=_address(context, segments),
        telephone=_telephone(context, segments),
        size=_measure(context, _HEIGHT, {"cm": 0.01, "m": 1.0}),
        weight=_measure(context, _WEIGHT, {"kg": 1.0, "g": 0.001}),
        ethnic_group=fields.text(segments, "patient.ethnic_group")[:16],
        allergies=tuple(text[:64] for text in fields.each(context.message.segments, "patient.allergies")),
        state="DECEASED" if fields.text(segments, "patient.death").upper() == "Y" else "",
        unidentified=pid is not None and _ALIAS in [one.strip() for one in pid.repetitions(32)],
    )


def save_patient(work: RisWork, context: Context, segments: Sequence[Segment]) -> Patient:
    """The patient of a PID, kept: what is empty stays, what is `""` goes."""
    saved = patients.add_or_update(work, context.by, patient_of(context, segments), context.rules)
    gone = {}
    for name, attribute in _ERASABLE.items():
        segment, path = context.fields.found(segments, name)
        if segment is not None and segment.field(path.field).strip() == NULL and getattr(saved, attribute):
            gone[attribute] = ""
    return patients.update(work, context.by, saved.ref, context.rules, **gone) if gone else saved


def visit_of(context: Context, segments: Sequence[Segment], patient: int) -> Visit | None:
    """The visit of a PV1; None without one."""
    fields = context.fields
    if not any(segment.name == "PV1" for segment in segments):
        return None
    numbers = context.identifiers(segments, "visit.number")
    return Visit(
        patient=patient,
        number=numbers[0] if numbers else Identifier(""),
        kind=fields.text(segments, "visit.kind")[:16],
        location=_location(context, segments),
        department=fields.text(segments, "visit.department")[:64],
        attending=_doctor(context, segments, "visit.attending"),
        referring=_doctor(context, segments, "visit.referring"),
        admitted=_moment(context, segments, "visit.admitted"),
        discharged=_moment(context, segments, "visit.discharged"),
    )


def save_visit(work: RisWork, context: Context, segments: Sequence[Segment], patient: int) -> Visit | None:
    """The visit of a PV1, opened or changed."""
    told = visit_of(context, segments, patient)
    return patients.visit(work, context.by, told) if told is not None else None


# -- the messages


def admit(work: RisWork, context: Context) -> Outcome:
    """A01, A04, A05: the patient is here, or will be."""
    segments = context.message.segments
    patient = save_patient(work, context, segments)
    save_visit(work, context, segments, patient.ref)
    return Outcome()


def update(work: RisWork, context: Context) -> Outcome:
    """A08: of a patient that is known."""
    segments = context.message.segments
    _known(work, context, patient_of(context, segments).identifier, "patient.id")
    return admit(work, context)


def add_person(work: RisWork, context: Context) -> Outcome:
    """A28: of somebody new; somebody else under the same identifier is an error (L7)."""
    segments = context.message.segments
    told = patient_of(context, segments)
    known = patients.find(work, told.identifier, context.rules)
    differs = known is not None and (
        (told.name and known.name and fold_name(told.name) != fold_name(known.name))
        or (told.birth_date and known.birth_date and told.birth_date != known.birth_date)
    )
    if differs:
        place = context.fields.place(segments, "patient.id")
        raise BadMessage(Condition.DUPLICATE_KEY, place, "another person is known under this identifier")
    save_patient(work, context, segments)
    return Outcome()


def update_person(work: RisWork, context: Context) -> Outcome:
    """A31: of somebody known or new."""
    save_patient(work, context, context.message.segments)
    return Outcome()


def cancel_admission(work: RisWork, context: Context) -> Outcome:
    """A11: it never began."""
    patients.cancel_visit(work, context.by, _visit(work, context).ref)
    return Outcome()


def cancel_discharge(work: RisWork, context: Context) -> Outcome:
    """A13: the patient is still here."""
    patients.cancel_discharge(work, context.by, _visit(work, context).ref)
    return Outcome()


def merge(work: RisWork, context: Context) -> Outcome:
    """A40: MRG-1 goes into PID-3, for each pair of the message."""
    for group, told, gone in _pairs(context):
        if context.rules.issued(told).key == context.rules.issued(gone).key:
            raise BadMessage(Condition.DATA_TYPE, _place(group, "MRG", 1), "a patient cannot be merged into itself")
        held = patients.find(work, told, context.rules)
        survivor = save_patient(work, context, group) if held is None or held.identifier == told else held
        if held is not None and held.identifier.key != context.rules.issued(told).key:
            # The one that shall survive was itself merged away before: a merge back would be a loop (L9).
            other = patients.find(work, gone, context.rules)
            if other is not None and other.ref == held.ref:
                raise BadMessage(
                    Condition.DUPLICATE_KEY, _place(group, "MRG", 1), "they are merged the other way round"
                )
        lost = patients.find(work, gone, context.rules)
        if lost is None:
            # Images under it may be here or may come: it is kept as what was merged.
            lost = patients.add(work, context.by, Patient(gone, name=survivor.name), context.rules)
        if lost.ref == survivor.ref:
            continue  # merged already
        patients.merge(work, context.by, survivor.ref, lost.ref, context.rules)
    return Outcome()


def change_identifier(work: RisWork, context: Context) -> Outcome:
    """A47: MRG-1 is PID-3 from now on."""
    for group, told, gone in _pairs(context):
        known = patients.find(work, gone, context.rules)
        if known is not None:
            patients.change_identifier(work, context.by, known.ref, told, context.rules)
        save_patient(work, context, group)
    return Outcome()


def _pairs(context: Context) -> list[tuple[list[Segment], Identifier, Identifier]]:
    if not context.source.merges:
        # Nothing is wrong with the message but who sent it (T16).
        raise BadMessage(Condition.UNSUPPORTED_EVENT, Place("MSH", 1, 9, 1, 2), "this source may not merge patients")
    found = []
    for group in context.message.groups("PID"):
        gone = context.identifiers(group, "merge.id")
        if not gone:
            raise BadMessage(Condition.REQUIRED_FIELD_MISSING, _place(group, "MRG", 1), "no prior identifier")
        found.append((group, patient_of(context, group).identifier, gone[0]))
    return found


def _place(group: Sequence[Segment], name: str, field: int) -> Place:
    segment = next((one for one in group if one.name == name), None)
    return segment.place(field) if segment is not None else Place(name, 1, field)


def _known(work: RisWork, context: Context, identifier: Identifier, row: str) -> Patient:
    known = patients.find(work, identifier, context.rules)
    if known is None:
        place = context.fields.place(context.message.segments, row)
        raise BadMessage(Condition.UNKNOWN_KEY, place, "no patient is known under this identifier")
    return known


def _visit(work: RisWork, context: Context) -> Visit:
    segments = context.message.segments
    patient = _known(work, context, patient_of(context, segments).identifier, "patient.id")
    numbers = context.identifiers(segments, "visit.number")
    found = work.first(Visit, number=numbers[0].key) if numbers else None
    if found is None and not numbers:
        visits = work.find(Visit, patient=patient.ref, newest=True, limit=1)
        found = visits[0] if visits else None
    if found is None or found.patient != patient.ref:
        place = context.fields.place(segments, "visit.number")
        raise BadMessage(Condition.UNKNOWN_KEY, place, "no such visit of this patient is known")
    return found


# -- data types of these segments


def _name(context: Context, segments: Sequence[Segment], row: str) -> str:
    segment, path = context.fields.found(segments, row)
    return values.person_name(segment.repetitions(path.field), segment.delimiters) if segment is not None else ""


def _doctor(context: Context, segments: Sequence[Segment], row: str) -> str:
    return doctor(context, segments, row)


def doctor(context: Context, segments: Sequence[Segment], row: str) -> str:
    """The XCN of a row as PN text."""
    segment, path = context.fields.found(segments, row)
    if segment is None:
        return ""
    return values.person_name(segment.repetitions(path.field)[:1], segment.delimiters, 2)


def _moment(context: Context, segments: Sequence[Segment], row: str) -> str:
    return values.moment(context.fields.text(segments, row), context.fields.place(segments, row))


def _location(context: Context, segments: Sequence[Segment]) -> str:
    segment, path = context.fields.found(segments, "visit.location")
    if segment is None:
        return ""
    parts = [values.part(segment.field(path.field), at, segment.delimiters) for at in (1, 2, 3)]
    return " ".join(filter(None, parts))[:64]


def _address(context: Context, segments: Sequence[Segment]) -> str:
    segment, path = context.fields.found(segments, "patient.address")
    if segment is None:
        return ""
    first = (segment.repetitions(path.field) or [""])[0]
    parts = [values.part(first, at, segment.delimiters) for at in (1, 2, 3, 4, 5, 6)]
    return ", ".join(filter(None, parts))[:64]


def _telephone(context: Context, segments: Sequence[Segment]) -> str:
    segment, path = context.fields.found(segments, "patient.telephone")
    if segment is None:
        return ""
    first = (segment.repetitions(path.field) or [""])[0]
    # XTN-1 is the number as people write it; without it the parts (country, area, local) or XTN-12.
    text = values.part(first, 1, segment.delimiters) or values.part(first, 12, segment.delimiters)
    parts = [values.part(first, at, segment.delimiters) for at in (5, 6, 7)]
    return (text or " ".join(filter(None, parts)))[:64]


def _measure(context: Context, codes: tuple[str, ...], units: dict[str, float]) -> str:
    for segment in context.message.all("OBX"):
        if segment.value(3).strip() in codes:
            factor = units.get(segment.value(6).strip().lower())
            try:
                number = float(segment.value(5)) * factor if factor else 0.0
            except ValueError:
                continue
            if 0 < number < 1000:
                return f"{number:.6g}"
    return ""
