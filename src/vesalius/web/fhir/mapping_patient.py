"""A record of a patient as FHIR's Patient (R4 patient.html)."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.model.orders import Patient
from vesalius.web.fhir import times
from vesalius.web.fhir.terms import Json, clean, identifier

REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_GROUPS = ("", "IDE", "SYL")  # PS3.5 6.2.1: alphabetic, ideographic, phonetic
GENDERS = {"M": "male", "F": "female", "O": "other"}


def patient(one: Patient, *, changed: str = "", replaces: Sequence[int] = ()) -> Json:
    """The resource. `changed`: when something last became of it; `replaces`: records that were merged into this one."""
    links = [{"other": {"reference": f"Patient/{one.merged_into}"}, "type": "replaced-by"}] if one.merged_into else []
    links += [{"other": {"reference": f"Patient/{ref}"}, "type": "replaces"} for ref in replaces]
    made: Json = {
        "resourceType": "Patient",
        "id": str(one.ref),
        "meta": {"lastUpdated": times.instant(changed)},
        "identifier": [
            identifier(one.identifier, "MR", use="usual"),
            *(identifier(other, "MR", use="secondary") for other in one.others if other.value),
        ],
        "active": not one.merged_into,
        "name": [
            *names(one.name, "temp" if one.unidentified else "official"),
            *(found for other in one.other_names for found in names(other, "old")),
        ],
        "telecom": [{"system": "phone", "value": one.telephone}] if one.telephone.strip() else [],
        "gender": GENDERS.get(one.sex, "unknown"),
        "birthDate": times.date(one.birth_date),
        "address": [{"text": one.address}],
        "link": links,
    }
    kept: Json = clean(made)
    return kept


def names(name: str, use: str) -> list[Json]:
    """A PN as HumanNames, one for each group that has something in it."""
    found: list[Json] = []
    for group, representation in zip((*name.split("=", 2), "", "")[:3], _GROUPS, strict=True):
        family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
        if not group.strip("^ "):
            continue
        extension = [{"url": REPRESENTATION, "valueCode": representation}] if representation else []
        found.append(
            {
                "extension": extension,
                "use": use,
                "family": family,
                "given": [given, middle],
                "prefix": [prefix],
                "suffix": [suffix],
            }
        )
    return found
