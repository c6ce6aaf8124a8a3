"""QBP^Q22, answered with RSP^K22: who could this be? (chapter 3.3.57, IHE PDQ ITI-21)

Theory. QPD-3 holds pairs of a field and what it must be: an identifier (exact), the beginning of a family name, a given
name, a birth date, a sex. The answer has one PID for each patient, as many as RCP-2 asks for, and says whether there
were none. A query that names nothing to look for is an error: nobody gets a list of everybody.
"""

from __future__ import annotations

import re

from vesalius.hl7 import values
from vesalius.hl7.context import Context, Outcome
from vesalius.hl7.mapping import clean
from vesalius.model.names import fold
from vesalius.model.orders import Identifier, Patient
from vesalius.ports.ris import RisWork
from vesalius.ris import patients
from vesalius.standard.hl7_tables import Condition
from vesalius.wire.hl7_message import BadMessage, Raw, Segment, build, repeated

_FIELD = re.compile(r"@?PID\.(\d+)(?:\.(\d+))?(?:\.(\d+))?", re.IGNORECASE)
_MOST = 100
_KNOWN = {(3, 1), (3, 4), (5, 1), (5, 2), (7, 1), (8, 1)}


def find_candidates(work: RisWork, context: Context) -> Outcome:
    """Q22."""
    qpd = context.message.all("QPD")[0]
    wanted = _wanted(qpd)
    found = _found(work, context, wanted)
    rcp = context.message.all("RCP")[0]
    asked = rcp.value(2).strip()
    most = min(int(asked), _MOST) if asked.isdigit() and int(asked) else _MOST
    shown = found[:most]
    qak = build("QAK", {1: qpd.value(2), 2: "OK" if shown else "NF", 3: _echo(qpd, 1)})
    echo = build("QPD", {1: _echo(qpd, 1), 2: qpd.value(2), 3: _echo(qpd, 3)})
    extra = (qak, echo, *(pid(number, patient) for number, patient in enumerate(shown, 1)))
    return Outcome(structure=("RSP", "K22", "RSP_K22"), extra=extra)


def _wanted(qpd: Segment) -> dict[tuple[int, int], str]:
    wanted: dict[tuple[int, int], str] = {}
    for text in qpd.repetitions(3):
        found = _FIELD.fullmatch(values.part(text, 1, qpd.delimiters))
        value = clean(values.part(text, 2, qpd.delimiters))
        if found is None or (place := (int(found[1]), int(found[2] or 1))) not in _KNOWN:
            raise BadMessage(Condition.TABLE_VALUE, qpd.place(3), "this field is not looked for here")
        if value:
            wanted[place] = value
    if not {(3, 1), (5, 1), (7, 1)} & set(wanted):
        raise BadMessage(Condition.REQUIRED_FIELD_MISSING, qpd.place(3), "an identifier, a name or a birth date")
    return wanted


def _found(work: RisWork, context: Context, wanted: dict[tuple[int, int], str]) -> list[Patient]:
    family = wanted.get((5, 1), "").rstrip("*")
    birth = values.day(wanted.get((7, 1), ""), context.message.all("QPD")[0].place(3))
    if (3, 1) in wanted:
        identifier = Identifier(wanted[3, 1], wanted.get((3, 4), "") or context.issuer)
        one = patients.find(work, identifier, context.rules)
        found = [one] if one is not None else []
    else:
        found = work.patients(text=family, birth_date=birth, limit=_MOST * 2)
    given, sex = fold(wanted.get((5, 2), "").rstrip("*")), wanted.get((8, 1), "").upper()

    def fits(patient: Patient) -> bool:
        parts = [*patient.name.split("=")[0].split("^"), "", ""]
        return (
            (not family or fold(parts[0]).startswith(fold(family)))
            and (not given or fold(parts[1]).startswith(given))
            and (not birth or patient.birth_date == birth)
            and (not sex or patient.sex == sex)
        )

    return [patient for patient in found if fits(patient)]


def pid(number: int, patient: Patient) -> Segment:
    """A PID that says what is known of a patient."""
    identifiers = repeated(values.cx(one) for one in (patient.identifier, *patient.others))
    return build(
        "PID",
        {
            1: str(number),
            3: identifiers,
            5: repeated(values.xpn(patient.name)),
            7: patient.birth_date,
            8: patient.sex or "U",
            11: patient.address,
            13: patient.telephone,
        },
    )


def _echo(segment: Segment, number: int) -> Raw:
    """A field under our delimiters."""
    found = []
    for text in segment.repetitions(number):
        count = text.count(segment.delimiters.component) + 1
        found.append(tuple(values.part(text, at, segment.delimiters) for at in range(1, min(count, 20) + 1)))
    return repeated(found)
