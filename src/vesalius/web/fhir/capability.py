"""The CapabilityStatement (FHIR R4 capabilitystatement.html), written from the table that is served."""

from __future__ import annotations

from collections.abc import Iterable

from vesalius.web.fhir.parameters import COMMON
from vesalius.web.fhir.problems import FHIR_JSON, FHIR_VERSION, Json
from vesalius.web.fhir.resources import Resource

DATE = "2026-11-24"  # when what is served last changed


def interactions(resource: Resource) -> tuple[str, ...]:
    """What can be done with a resource."""
    return ("read", "search-type", *(("create",) if resource.creates else ()))


def statement(table: Iterable[Resource], base: str, version: str) -> Json:
    """The resource."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Vesalius", "version": version or "0"},
        "implementation": {"description": "Vesalius: images and the radiology workflow", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": [FHIR_JSON, "json"],
        "rest": [{"mode": "server", "resource": [_resource(one) for one in table]}],
    }


def _resource(one: Resource) -> Json:
    made: Json = {
        "type": one.type,
        "documentation": one.text,
        "interaction": [{"code": code} for code in interactions(one)],
        "versioning": "no-version",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": one.creates,
        "conditionalRead": "not-match",
        "referencePolicy": ["literal", "logical"],
    }
    if one.includes:
        made["searchInclude"] = list(one.includes)
    made["searchParam"] = [
        {"name": parameter.name, "type": parameter.type, "documentation": parameter.text}
        for parameter in (*COMMON, *one.parameters)
    ]
    return made
