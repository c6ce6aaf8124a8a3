"""FHIR answers, held against the models of `fhir.resources` (R4B, whose resources here are those of R4)."""

from __future__ import annotations

import importlib
import json
from typing import Any
from urllib.parse import quote

from tests.support.web import Answer, Web

FHIR = "application/fhir+json"


def valid(made: Any) -> Any:
    """The same resource, after its model took it; every entry of a Bundle too."""
    assert isinstance(made, dict)
    kind = made["resourceType"]
    module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
    getattr(module, kind).model_validate(made)
    assert not list(_empty(made)), f"FHIR has nothing empty: {list(_empty(made))}"
    for entry in made.get("entry", ()):
        valid(entry["resource"])
    return made


def _empty(value: Any, path: str = "") -> Any:
    if value in ("", None, [], {}):
        yield path
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _empty(one, f"{path}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _empty(one, path)


def got(answer: Answer, status: int = 200) -> Any:
    """The resource of an answer, held against its model."""
    assert answer.status == status, (answer.status, answer.text[:2000])
    assert answer.headers["content-type"] == FHIR
    return valid(answer.json())


class Client:
    """Questions to the FHIR edge of an application; every answer is validated."""

    def __init__(self, site: Web) -> None:
        self.site = site

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        address = quote(f"/fhir{path}", safe="/?&=|:,%+.*")
        return got(self.site.ask(address, headers=_named(headers)), status)

    def ids(self, path: str) -> list[str]:
        """Ids of the matches of a search, in order, page after page."""
        found = []
        while path:
            bundle = self.get(path)
            found += [one["resource"]["id"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]
            after = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            path = after[0].partition("/fhir")[2] if after else ""
        return found

    def total(self, path: str) -> int:
        return int(self.get(f"{path}{'&' if '?' in path else '?'}_summary=count")["total"])

    def post(self, path: str, body: Any, status: int = 201, **headers: str) -> Any:
        answer = self.post_raw(path, json.dumps(body).encode(), **headers)
        return got(answer, status)

    def post_raw(self, path: str, body: bytes, **headers: str) -> Answer:
        return self.site.ask(f"/fhir{path}", "POST", {"content-type": FHIR, **_named(headers)}, body)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def issue(outcome: Any) -> tuple[str, str]:
    """Severity and code of the one issue of an OperationOutcome."""
    assert outcome["resourceType"] == "OperationOutcome"
    (one,) = outcome["issue"]
    return one["severity"], one["code"]


def order(**changes: Any) -> Any:
    """A ServiceRequest as a client sends it."""
    made = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"identifier": {"system": "urn:vesalius:issuer:HOSP", "value": "P1"}},
        "identifier": [{"system": "urn:oid:1.2.3.4", "value": "PL-1"}],
        "code": {"coding": [{"system": "urn:vesalius:scheme:99V", "code": "CTHEAD", "display": "CT of the head"}]},
    }
    return {name: value for name, value in (made | changes).items() if value is not None}
