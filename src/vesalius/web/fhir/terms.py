"""Who issued a number and whose code it is: between the words of DICOM and HL7 v2, and the URIs of FHIR.

Theory. FHIR names the system of an identifier or a code by a URI. An issuer that is an OID becomes `urn:oid:`; one
that is a URI stays; a name that a house gave becomes `urn:vesalius:issuer:` with the name, so that the same number is
the same identifier whatever the address of this server. Schemes that FHIR has a URI for get it (terminologies-systems).
Both ways are functions of the text alone.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

from vesalius.model.orders import Code, Identifier

Json = dict[str, Any]

ISSUER = "urn:vesalius:issuer:"
SCHEME = "urn:vesalius:scheme:"
AE_TITLE = "urn:vesalius:ae-title"
STEP = "urn:vesalius:scheduled-step"
DICOM_UID = "urn:dicom:uid"
OID = "urn:oid:"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED = "http://snomed.info/sct"

SCHEMES: dict[str, str] = {
    "SCT": SNOMED,
    "DCM": DCM,
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    "RADLEX": "http://www.radlex.org",
    "C4": "http://www.ama-assn.org/go/cpt",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
}
_OF_URI = {uri: scheme for scheme, uri in SCHEMES.items()}

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_URI = re.compile(r"(https?|urn):\S+")


def system_of(issuer: str) -> str:
    """The URI of an issuer; "" of none. An HL7 authority `name&uid&ISO` is its UID."""
    parts = issuer.split("&")
    if len(parts) > 1 and _OID.fullmatch(parts[1]):
        return OID + parts[1]
    if _OID.fullmatch(issuer):
        return OID + issuer
    if not issuer or _URI.fullmatch(issuer):
        return issuer
    return ISSUER + quote(issuer, safe="")


def issuers_of(system: str) -> tuple[str, ...]:
    """How an issuer may stand in the records, the likeliest first; a plain name means itself."""
    if system.startswith(OID):
        return (system.removeprefix(OID), system)
    if system.startswith(ISSUER):
        return (unquote(system.removeprefix(ISSUER)),)
    return (system,)


def scheme_system(scheme: str) -> str:
    """The URI of a coding scheme designator (PS3.16 chapter 8); "" of none."""
    if scheme in SCHEMES:
        return SCHEMES[scheme]
    if _OID.fullmatch(scheme):
        return OID + scheme
    if not scheme or _URI.fullmatch(scheme):
        return scheme
    return SCHEME + quote(scheme, safe="")


def scheme_of(system: str) -> str:
    """The coding scheme designator of a URI."""
    if system in _OF_URI:
        return _OF_URI[system]
    if system.startswith(SCHEME):
        return unquote(system.removeprefix(SCHEME))
    return system.removeprefix(OID)


def clean(value: Any) -> Any:
    """Without what is empty: FHIR has no empty strings, arrays or objects (R4 json.html 2.6.2)."""
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := clean(one)) not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return [kept for one in value if (kept := clean(one)) not in (None, "", [], {})]
    return value.strip() if isinstance(value, str) else value


def _code(text: str) -> str:
    """A FHIR code has no white space at its ends and none doubled (R4 datatypes.html#code)."""
    return " ".join(text.split())


def identifier(one: Identifier, kind: str = "", *, use: str = "") -> Json:
    """An Identifier. `kind`: of HL7 table 0203."""
    code = _code(one.kind) or kind
    return {
        "use": use,
        "type": {"coding": [{"system": V2_0203, "code": code}]} if code else None,
        "system": system_of(one.issuer),
        "value": one.value,
    }


def coding(code: Code) -> Json:
    """A Coding."""
    return {
        "system": scheme_system(code.scheme),
        "version": code.version,
        "code": _code(code.value),
        "display": code.meaning,
    }


def concept(code: Code | None, text: str = "") -> Json:
    """A CodeableConcept; empty where neither is known."""
    return {"coding": [coding(code)] if code is not None and code.value.strip() else [], "text": text}


def person(name: str) -> str:
    """A PN for people to read: `Jane Doe`."""
    family, given, middle, prefix, suffix = (*name.split("=")[0].split("^"), "", "", "", "", "")[:5]
    return " ".join(part.strip() for part in (prefix, given, middle, family, suffix) if part.strip())
