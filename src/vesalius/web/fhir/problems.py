"""Whatever is wrong with a FHIR request, told as an OperationOutcome (FHIR R4 http.html 3.1.0.1.6, operationoutcome).

The statuses are those of the other web services (`web/errors.py`); beside each stands the code of the FHIR value set
issue-type that says the same. Texts never hold patient data.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import structlog
from starlette.responses import Response

from vesalius.model.errors import DuplicateRecord, NoSuchRecord, VesaliusError
from vesalius.web.errors import RETRY_AFTER, Problem, status_of

log = structlog.get_logger()

Json: TypeAlias = "dict[str, Any]"

FHIR_JSON = "application/fhir+json"
FHIR_VERSION = "4.0.1"

CODES: dict[int, str] = {
    400: "invalid",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    408: "timeout",
    409: "conflict",
    410: "deleted",
    412: "multiple-matches",
    413: "too-long",
    415: "not-supported",
    421: "forbidden",
    422: "processing",
    500: "exception",
    502: "transient",
    503: "transient",
}


class FhirProblem(Problem):
    """A request that is answered with an OperationOutcome. `code`: of issue-type; `where`: a FHIRPath."""

    def __init__(
        self,
        status: int,
        detail: str,
        hint: str = "",
        *,
        code: str = "",
        where: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, hint, headers=headers)
        self.code = code or CODES.get(status, "processing")
        self.where = where


def bad_parameter(name: str, why: str) -> FhirProblem:
    """A search parameter whose value cannot be read."""
    return FhirProblem(400, f"search parameter {name}: {why}")


def unfit(where: str, why: str, *, code: str = "business-rule") -> FhirProblem:
    """A resource that is well formed and that this server cannot do justice to (422)."""
    return FhirProblem(422, why, code=code, where=where)


def malformed(where: str, why: str) -> FhirProblem:
    """A resource that breaks the rules of FHIR (400)."""
    return FhirProblem(400, why, code="structure", where=where)


def outcome(severity: str, code: str, text: str, *, where: str = "", hint: str = "") -> Json:
    """An OperationOutcome with one issue."""
    issue: Json = {"severity": severity, "code": code, "details": {"text": text}}
    if hint:
        issue["diagnostics"] = hint
    if where:
        issue["expression"] = [where]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def fhir_response(body: Json, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A resource as an answer."""
    kept = dict(headers or {})
    if status == 503:
        kept.setdefault("Retry-After", RETRY_AFTER)
    kept["Content-Type"] = FHIR_JSON
    return Response(msgspec.json.encode(body), status, kept)


def told(error: Exception, method: str) -> Response:
    """The answer to whatever was raised; a fault of our own gets an id under which the log says more."""
    if isinstance(error, Problem):
        code = error.code if isinstance(error, FhirProblem) else CODES.get(error.status, "processing")
        where = error.where if isinstance(error, FhirProblem) else ""
        made = outcome("error", code, error.detail, where=where, hint=error.hint)
        return fhir_response(made, error.status, error.headers)
    if isinstance(error, VesaliusError):
        status = status_of(error)
        if status == 500:
            log.error("http-failed", error=error.message, kind=type(error).__name__)
        code = CODES.get(status, "processing")
        if isinstance(error, DuplicateRecord):
            code = "duplicate"
        elif isinstance(error, NoSuchRecord):
            code = "not-found"
        return fhir_response(outcome("error", code, error.message, hint=error.hint), status)
    error_id = uuid.uuid4().hex[:12]
    log.error("http-fault", error_id=error_id, method=method, exc_info=error)
    made = outcome("fatal", "exception", f"internal error {error_id}", hint="Report it with the log lines of this id.")
    return fhir_response(made, 500)
