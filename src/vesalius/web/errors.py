"""The HTTP edge's lookup of the one error tree: from what went wrong to a status code.

Sources: PS3.18 8.5 for the general codes, 10.4.3, 10.5.3 and 10.6.3 for retrieve, store and search. Whatever is
wrong with a request is answered with one JSON form, `{"title", "detail", "hint"}` (RFC 9457's members and
what to do about it), which never holds patient data: `model/errors.py` promises that of its messages.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vesalius.model import errors

log = structlog.get_logger()

RETRY_AFTER = "2"  # seconds

# One entry for every class of the tree; a subclass that differs from its parent has its own.
STATUS_OF: dict[type[errors.VesaliusError], int] = {
    errors.VesaliusError: 500,
    errors.OutOfResources: 503,
    errors.VolumeReadOnly: 503,
    errors.LimitExceeded: 413,
    errors.IndexUnavailable: 503,
    errors.DataSetMismatch: 409,
    errors.CannotUnderstand: 400,
    errors.InvalidInstanceUID: 400,
    errors.ClassNotSupported: 409,
    errors.NotAuthorized: 403,
    errors.DuplicateRefused: 409,
    errors.NoSuchInstance: 404,
    errors.IdentifierMismatch: 400,
    errors.UnableToProcess: 400,
    errors.DestinationUnknown: 404,
    errors.PeerUnreachable: 502,
    errors.DamagedInstance: 500,
    errors.CannotTranscode: 406,
    errors.NoVolume: 422,
    errors.NoSuchRecord: 404,
    errors.DuplicateRecord: 409,
    errors.BadRecord: 400,
    errors.WrongState: 409,
    errors.SlotTaken: 409,
    errors.SettingsError: 500,
}


class Problem(Exception):
    """A request that is answered with an error status; raised by handlers of this edge."""

    def __init__(self, status: int, detail: str, hint: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})


def status_of(error: BaseException) -> int:
    """The HTTP status of an error of the tree, by its nearest class; 500 for every other one."""
    for kind in type(error).__mro__:
        found = STATUS_OF.get(kind)
        if found is not None:
            return found
    return 500


def problem_response(status: int, detail: str, hint: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The one JSON form of everything that is wrong."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body = msgspec.json.encode({"title": title, "detail": detail, "hint": hint})
    kept = dict(headers or {})
    if status == 503:
        kept.setdefault("Retry-After", RETRY_AFTER)
    return Response(body, status, kept, "application/json")


async def on_problem(_request: Request, error: Exception) -> Response:
    """Answers `Problem`."""
    if not isinstance(error, Problem):
        raise error
    return problem_response(error.status, error.detail, error.hint, error.headers)


async def on_archive_error(_request: Request, error: Exception) -> Response:
    """Answers an error of the archive."""
    if not isinstance(error, errors.VesaliusError):
        raise error
    status = status_of(error)
    if status == 500:
        log.error("http-failed", error=error.message, kind=type(error).__name__)
    return problem_response(status, error.message, error.hint)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Answers what the router itself refuses (404, 405)."""
    if not isinstance(error, HTTPException):
        raise error
    return problem_response(error.status_code, str(error.detail), "", error.headers)


async def on_fault(request: Request, error: Exception) -> Response:
    """Answers a fault of our own: the client gets an id, the log what happened under it."""
    error_id = uuid.uuid4().hex[:12]
    log.error("http-fault", error_id=error_id, method=request.method, exc_info=error)
    return problem_response(500, f"internal error {error_id}", "Report it with the log lines of this id.")
