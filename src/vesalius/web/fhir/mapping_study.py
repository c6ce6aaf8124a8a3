"""A study as FHIR's ImagingStudy (R4 imagingstudy.html), from what the index answers; its id is the study's UID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vesalius.model.entities import Values
from vesalius.model.orders import Code, Identifier
from vesalius.web.fhir import times
from vesalius.web.fhir.terms import DCM, DICOM_UID, OID, Json, clean, concept, identifier, person

STATUS = "available"
STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
PATIENT_ID, ISSUER, NAME = 0x00100020, 0x00100021, 0x00100010
STUDY_DATE, STUDY_TIME, TIMEZONE, ACCESSION = 0x00080020, 0x00080030, 0x00080201, 0x00080050
MODALITIES, REFERRING, DESCRIPTION, CODES = 0x00080061, 0x00080090, 0x00081030, 0x00081032
STUDY_SERIES, STUDY_INSTANCES = 0x00201206, 0x00201208
MODALITY, SERIES_NUMBER, SERIES_DESCRIPTION, SERIES_INSTANCES = 0x00080060, 0x00200011, 0x0008103E, 0x00201209
BODY_PART, LATERALITY, SERIES_DATE, SERIES_TIME = 0x00180015, 0x00200060, 0x00080021, 0x00080031
PERFORMING = 0x00081050
SOP_CLASS, NUMBER = 0x00080016, 0x00200013

OF_STUDY = frozenset(
    (STUDY, PATIENT_ID, ISSUER, NAME, STUDY_DATE, STUDY_TIME, TIMEZONE, ACCESSION, MODALITIES, REFERRING, DESCRIPTION,
     CODES, STUDY_SERIES, STUDY_INSTANCES)
)  # fmt: skip
OF_SERIES = frozenset(
    (STUDY, SERIES, MODALITY, SERIES_NUMBER, SERIES_DESCRIPTION, SERIES_INSTANCES, BODY_PART, LATERALITY, SERIES_DATE,
     SERIES_TIME, PERFORMING)
)  # fmt: skip
OF_INSTANCE = frozenset((STUDY, SERIES, INSTANCE, SOP_CLASS, NUMBER))
MOST_UNSIGNED = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class FullStudy:
    """A study with what is below it, and who and what it is of in the workflow."""

    study: Values
    series: Sequence[Values] = ()
    instances: Sequence[Values] = ()
    patient: int = 0  # the record of its patient; 0: there is none
    orders: Sequence[int] = ()


def text(values: Values, tag: int) -> str:
    """The first value."""
    found = values.get(tag, ())
    return found[0].strip() if found and isinstance(found[0], str) else ""


def number(values: Values, tag: int) -> int | None:
    """The first value as an unsignedInt; None where it is none."""
    found = text(values, tag)
    if not (found.isascii() and found.isdigit() and len(found) <= 12):
        return None
    return int(found) if int(found) <= MOST_UNSIGNED else None


def imaging_study(full: FullStudy, endpoint: str) -> Json:
    """The resource; `endpoint`: a reference to where it can be retrieved."""
    study = full.study
    uid = text(study, STUDY)
    accession = text(study, ACCESSION)
    here = [{"reference": endpoint}]
    below: dict[str, list[Values]] = {}
    for one in full.instances:
        below.setdefault(text(one, SERIES), []).append(one)
    zone = text(study, TIMEZONE)
    made: Json = {
        "resourceType": "ImagingStudy",
        "id": uid,
        "identifier": [
            {"use": "official", "system": DICOM_UID, "value": OID + uid},
            identifier(Identifier(accession), "ACSN") if accession else None,
        ],
        "status": STATUS,
        "modality": [_modality(one) for one in study.get(MODALITIES, ()) if isinstance(one, str)],
        "subject": subject(full),
        "started": times.date_time(text(study, STUDY_DATE), text(study, STUDY_TIME), zone),
        "basedOn": [{"reference": f"ServiceRequest/{order}"} for order in full.orders],
        "referrer": {"display": person(text(study, REFERRING))},
        "endpoint": here,
        "numberOfSeries": number(study, STUDY_SERIES),
        "numberOfInstances": number(study, STUDY_INSTANCES),
        "procedureCode": [_code(item) for item in study.get(CODES, ()) if isinstance(item, dict)],
        "description": text(study, DESCRIPTION),
        "series": [_series(one, below.get(text(one, SERIES), ()), here, zone) for one in full.series],
    }
    kept: Json = clean(made)
    return kept


def subject(full: FullStudy) -> Json:
    """Whom it shows: the record, or the number that the images have."""
    study = full.study
    shown = person(text(study, NAME))
    patient_id = text(study, PATIENT_ID)
    if full.patient:
        return {"reference": f"Patient/{full.patient}", "display": shown}
    return {
        "type": "Patient",
        "identifier": identifier(Identifier(patient_id, text(study, ISSUER)), "MR") if patient_id else None,
        "display": shown or ("" if patient_id else "unknown"),
    }


def _series(one: Values, instances: Sequence[Values], endpoint: list[Json], zone: str) -> Json:
    return {
        "uid": text(one, SERIES),
        "number": number(one, SERIES_NUMBER),
        "modality": _modality(text(one, MODALITY) or "OT"),
        "description": text(one, SERIES_DESCRIPTION),
        "numberOfInstances": number(one, SERIES_INSTANCES),
        "endpoint": endpoint,
        "bodySite": {"display": text(one, BODY_PART)},
        "laterality": {"display": text(one, LATERALITY)},
        "started": times.date_time(text(one, SERIES_DATE), text(one, SERIES_TIME), zone),
        "performer": [{"actor": {"display": person(text(one, PERFORMING))}}] if text(one, PERFORMING) else [],
        "instance": [
            {
                "uid": text(each, INSTANCE),
                "sopClass": {"system": "urn:ietf:rfc:3986", "code": OID + text(each, SOP_CLASS)},
                "number": number(each, NUMBER),
            }
            for each in instances
        ],
    }


def _modality(code: str) -> Json:
    return {"system": DCM, "code": " ".join(code.split())}


def _code(item: Values) -> Json:
    return concept(Code(text(item, 0x00080100), text(item, 0x00080102), text(item, 0x00080104)))
