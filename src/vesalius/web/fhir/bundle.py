"""The answers of a search as a Bundle (FHIR R4 bundle.html, search.html 3.1.1.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vesalius.web.fhir.parameters import Asked
from vesalius.web.fhir.problems import Json, outcome
from vesalius.web.fhir.resources import Found, Reader, Resource


def searchset(reader: Reader, resource: Resource, table: Mapping[str, Resource], asked: Asked, found: Found) -> Json:
    """The Bundle of one page. Blocks: what is included is read now."""
    address = f"{reader.base}/{resource.type}"
    made: Json = {"resourceType": "Bundle", "type": "searchset"}
    if found.total is not None:
        made["total"] = found.total
    made["link"] = [{"relation": "self", "url": _address(address, asked.link(asked.cursor))}]
    if found.cursor:
        made["link"].append({"relation": "next", "url": _address(address, asked.link(found.cursor))})
    if asked.counts_only:
        return made
    subsetted = asked.summary == "true" and resource.type == "ImagingStudy"
    entries = [_entry(reader, _tagged(one) if subsetted else one, "match") for one in found.matches]
    entries += [_entry(reader, one, "include") for one in _included(reader, table, asked, found)]
    if asked.ignored:
        text = f"not served here and left out of the search: {', '.join(asked.ignored)}"
        entries.append({"resource": outcome("warning", "not-supported", text), "search": {"mode": "outcome"}})
    if entries:
        made["entry"] = entries
    return made


def _address(base: str, query: str) -> str:
    return f"{base}?{query}" if query else base


def _entry(reader: Reader, resource: Json, mode: str) -> Json:
    address = f"{reader.base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": address, "resource": resource, "search": {"mode": mode}}


def _tagged(resource: Json) -> Json:
    """Something was left out of it (search.html 3.1.1.5.9)."""
    for series in resource.get("series", ()):
        series.pop("instance", None)
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    return {**resource, "meta": {**resource.get("meta", {}), "tag": [tag]}}


def _included(reader: Reader, table: Mapping[str, Resource], asked: Asked, found: Found) -> Iterator[Json]:
    """What the matches refer to, each once."""
    there = {f"{one['resourceType']}/{one['id']}" for one in found.matches}
    wanted: dict[str, list[str]] = {}
    for name in asked.includes:
        for reference in found.included.get(name, ()):
            if reference not in there:
                there.add(reference)
                kind, _, number = reference.partition("/")
                wanted.setdefault(kind, []).append(number)
    for kind, numbers in wanted.items():
        yield from table[kind].read_many(reader, numbers)
