"""Endpoint: the DICOMweb services of this archive: who finds a study knows where to get it (R4 endpoint.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vesalius.web.fhir.parameters import Asked, Parameter
from vesalius.web.fhir.problems import Json
from vesalius.web.fhir.resources import Found, Reader, Resource, nothing_there

WADO = "wado-rs"
_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
# id -> (connection type, name, media types of what goes over it)
ENDPOINTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    WADO: ("dicom-wado-rs", "Retrieve studies (WADO-RS)", ("application/dicom", "application/dicom+json")),
    "qido-rs": ("dicom-qido-rs", "Search for studies (QIDO-RS)", ("application/dicom+json",)),
    "stow-rs": ("dicom-stow-rs", "Store instances (STOW-RS)", ("application/dicom",)),
}
PARAMETERS = (
    Parameter("identifier", "token", "the same as the id"),
    Parameter("status", "token", "active is the only one"),
    Parameter("connection-type", "token", "dicom-wado-rs, dicom-qido-rs, dicom-stow-rs"),
)
STATUS = "active"


def endpoint(name: str, address: str) -> Json:
    """The resource; `address` is the root of the DICOMweb services."""
    kind, text, media = ENDPOINTS[name]
    return {
        "resourceType": "Endpoint",
        "id": name,
        "identifier": [{"value": name}],
        "status": STATUS,
        "connectionType": {"system": _TYPES, "code": kind},
        "name": text,
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": list(media),
        "address": address,
    }


def read(reader: Reader, text: str) -> Json:
    """One of them. Raises `FhirProblem` (404)."""
    if text not in ENDPOINTS:
        raise nothing_there("Endpoint")
    return endpoint(text, reader.dicom_web)


def read_many(reader: Reader, ids: Sequence[str]) -> list[Json]:
    """Some of them."""
    return [endpoint(name, reader.dicom_web) for name in ids if name in ENDPOINTS]


def search(reader: Reader, asked: Asked) -> Found:
    """Those that match: there are so few that they are one page."""
    names = list(ENDPOINTS)
    for given in asked.given:
        tokens = given.tokens()
        values = {token.value for token in tokens}
        if given.name in ("_id", "identifier"):
            names = [name for name in names if name in values]
        elif given.name == "status":
            names = names if STATUS in values else []
        else:
            names = [
                name for name in names
                if any(token.value == ENDPOINTS[name][0] and token.system in (None, _TYPES) for token in tokens)
            ]  # fmt: skip
    if asked.counts_only:
        return Found(total=len(names))
    return Found(tuple(endpoint(name, reader.dicom_web) for name in names), len(names))


RESOURCE = Resource(
    "Endpoint", "The DICOMweb services of this archive.", PARAMETERS, (), read, search, read_many,
)  # fmt: skip
