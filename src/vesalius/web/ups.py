"""UPS-RS: workitems over HTTP (PS3.18 11), by the very verbs that the DIMSE service uses.

    POST /workitems[?workitem=UID]                     create          GET /workitems?...      search
    GET  /workitems/{uid}                              retrieve        POST /workitems/{uid}[?transaction-uid=]  update
    PUT  /workitems/{uid}/state                        claim, complete, cancel
    POST /workitems/{uid}/cancelrequest                ask its performer to cancel
    POST, DELETE /workitems/{uid}/subscribers/{aet}    hear of it, of all, of all that match (`?filter=`)
    POST /workitems/{uid}/subscribers/{aet}/suspend    hear of no new ones

Theory. A refusal has one status of PS3.4 annex CC and one of HTTP (`_STATUS_OF`), and says in a Warning header what
PS3.18 11.6.3.2, 11.7.3.2 and 11.8.3.2 want it to say. A lock that does not fit, or a state that does not, is 409; a
Transaction UID that is missing is 400. Events go out on web sockets (`ups_events.py`), and to peers over DICOM.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.model import dicom_json_read, dicom_xml, dicom_xml_read, reading
from vesalius.model import workitems as w
from vesalius.model.datasets import decode
from vesalius.model.dicom_json import from_values
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand
from vesalius.model.identifiers import is_tolerable_uid, is_valid_aet, new_uid
from vesalius.model.orders import By
from vesalius.model.workitems import Gone, Refused
from vesalius.ports.workitems import Workitems, WorkitemWork
from vesalius.ris import subscriptions, workitems
from vesalius.standard import statuses
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE
from vesalius.web.answers import answer
from vesalius.web.body import Body
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import (
    DICOM_JSON,
    DICOM_XML,
    JSON,
    MULTIPART_XML,
    accepted,
    choose,
    flag,
    parse_content_type,
)
from vesalius.web.parts import multipart
from vesalius.web.ups_query import Wanted, found, understand

UTF_8: Values = {w.SPECIFIC_CHARACTER_SET: ("ISO_IR 192",)}

# What a refusal is in HTTP; what is not named is 400: something is wrong with what was sent.
_STATUS_OF = {
    statuses.UPS_NO_SUCH_WORKITEM: 404,
    statuses.UPS_UNKNOWN_RECEIVER: 404,
    **dict.fromkeys(
        (
            statuses.UPS_MAY_NOT_BE_UPDATED,
            statuses.UPS_WRONG_TRANSACTION,
            statuses.UPS_ALREADY_IN_PROGRESS,
            statuses.UPS_SCHEDULED_BY_CREATE_ONLY,
            statuses.UPS_FINAL_STATE_NOT_MET,
            statuses.UPS_NOT_IN_PROGRESS,
            statuses.UPS_ALREADY_COMPLETED,
            statuses.UPS_PERFORMER_UNREACHABLE,
            statuses.UPS_NOT_APPROPRIATE,
        ),
        409,
    ),
}
_WARNING_OF = {
    statuses.UPS_CREATED_WITH_MODIFICATIONS: "The UPS was created with modifications.",
    statuses.UPS_COERCED: "The Workitem was updated with modifications.",
    statuses.UPS_ALREADY_CANCELED: "The UPS is already in the requested state of CANCELED.",
    statuses.UPS_ALREADY_COMPLETED_WARNING: "The UPS is already in the requested state of COMPLETED.",
    statuses.UPS_WRONG_TRANSACTION: "The Transaction UID is incorrect.",
    statuses.UPS_ALREADY_COMPLETED: "The UPS is already COMPLETED.",
    statuses.UPS_PERFORMER_UNREACHABLE: "The performer cannot be contacted.",
}
_NO_KEY = "The Transaction UID is missing."
_INCONSISTENT = "The submitted request is inconsistent with the current state of the UPS Instance."
_TRANSACTION_NAMES = frozenset({"transaction", "transaction-uid", "transactionuid", "00081195"})
_WORKITEM_NAMES = frozenset({"workitem", "affectedsopinstanceuid", "00001000"})

Handler = Callable[[Request], Awaitable[Response]]


def routes(ctx: WebContext) -> list[Route]:
    """The resources of the worklist service."""
    served: tuple[tuple[str, str, Callable[[WebContext, Workitems, Request], Awaitable[Response]]], ...] = (
        ("/workitems", "POST", _create),
        ("/workitems", "GET", _search),
        ("/workitems/{workitem}", "GET", _retrieve),
        ("/workitems/{workitem}", "POST", _update),
        ("/workitems/{workitem}/state", "PUT", _change_state),
        ("/workitems/{workitem}/cancelrequest", "POST", _request_cancel),
        ("/workitems/{workitem}/subscribers/{aet}", "POST", _subscribe),
        ("/workitems/{workitem}/subscribers/{aet}", "DELETE", _unsubscribe),
        ("/workitems/{workitem}/subscribers/{aet}/suspend", "POST", _suspend),
    )
    return [Route(path, _guarded(ctx, verb), methods=[method]) for path, method, verb in served]


def _guarded(ctx: WebContext, verb: Callable[[WebContext, Workitems, Request], Awaitable[Response]]) -> Handler:
    """A handler whose refusals are told as PS3.18 wants them."""

    async def handle(request: Request) -> Response:
        if ctx.workitems is None:
            raise Problem(501, "this service has no workitems")
        try:
            return await verb(ctx, ctx.workitems, request)
        except Refused as refused:
            keyless = refused.status == statuses.UPS_WRONG_TRANSACTION and request.scope.get("keyless", False)
            status = _STATUS_OF.get(refused.status, 400)
            if keyless:
                status = 400
            elif isinstance(refused, Gone):
                status = 410
            said = _NO_KEY if keyless else _WARNING_OF.get(refused.status, _INCONSISTENT if status == 409 else "")
            headers = {"Warning": f"299 {ctx.dicom_web_url(request)}: {said}"} if said else {}
            detail = f"{refused.message} ({statuses.describe(refused.status)[:4]})"
            raise Problem(status, detail, refused.hint, headers=headers) from None

    return handle


# -- workitems ---------------------------------------------------------------------------------------------------------


async def _create(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    values = await _payload(ctx, request)
    named = _named(request, _WORKITEM_NAMES)
    uid = named or reading.text(values, w.SOP_INSTANCE_UID) or reading.text(values, 0x00001000) or new_uid()
    if not is_tolerable_uid(uid) or uid in w.WELL_KNOWN:
        raise Problem(400, "the UID of the workitem is no UID of a workitem")
    by = _by(ctx, request)
    label = ctx.view.worklist_label

    def create(work: WorkitemWork) -> int:
        return workitems.create(work, by, uid, values, label=label).status

    status = await ctx.call(kept.change, create, by.at)
    return _said(ctx, request, 201, status, {"Location": f"{ctx.dicom_web_url(request)}/workitems/{uid}"})


async def _retrieve(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    form = choose(accepted(request), (DICOM_JSON, JSON, DICOM_XML, MULTIPART_XML))
    uid = _uid(request)
    item = await ctx.call(kept.look, lambda view: workitems.get(view, uid))
    return _data(request, [from_values(workitems.answered(item, frozenset()) | UTF_8)], form)


async def _search(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    form = choose(accepted(request), (DICOM_JSON, JSON, MULTIPART_XML))
    wanted: Wanted = understand(request.query_params.multi_items(), ctx.view.results, ctx.view.query)
    answers, more = await ctx.call(found, kept, wanted)
    if not answers and ctx.view.no_match_status == 204:
        return Response(None, 204)
    response = _data(request, [from_values(values | UTF_8) for values in answers], form)
    if more:
        text = f"There are {more} additional results that can be requested"
        response.headers.append("Warning", f"299 {ctx.dicom_web_url(request)}: {text}")
    return response


async def _update(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    uid, by = _uid(request), _by(ctx, request)
    values = await _payload(ctx, request)
    key = _named(request, _TRANSACTION_NAMES) or reading.text(values, w.TRANSACTION_UID)
    request.scope["keyless"] = not key
    status = await ctx.call(kept.change, lambda work: workitems.update(work, by, uid, values, key).status, by.at)
    return _said(ctx, request, 200, status)


async def _change_state(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    uid, by = _uid(request), _by(ctx, request)
    values = await _payload(ctx, request)
    wanted, key = reading.text(values, w.STATE), reading.text(values, w.TRANSACTION_UID)
    request.scope["keyless"] = not key

    def change(work: WorkitemWork) -> int:
        return workitems.change_state(work, by, uid, wanted, key).status

    return _said(ctx, request, 200, await ctx.call(kept.change, change, by.at))


async def _request_cancel(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    uid, by = _uid(request), _by(ctx, request)
    values = await _payload(ctx, request, may_be_empty=True)
    # Whoever asks over HTTP has no AE title: it is this archive that asks for it, unless it says on whose behalf.
    asking = reading.text(values, w.REQUESTING_AE) or ctx.view.ae_title

    def cancel(work: WorkitemWork) -> int:
        return workitems.request_cancel(work, by, uid, asking, values).status

    return _said(ctx, request, 202, await ctx.call(kept.change, cancel, by.at))


# -- subscriptions -----------------------------------------------------------------------------------------------------


async def _subscribe(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    uid, aet, by = _uid(request), _aet(request), _by(ctx, request)
    parameters: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        parameters.setdefault(name.lower(), []).append(value)
    locked = flag(parameters, "deletionlock")
    keys: Values = {}
    if filters := parameters.get("filter", []):
        if uid != w.FILTERED_SUBSCRIPTION:
            raise Problem(
                400, "a filter belongs to the filtered subscription", f"Subscribe to {w.FILTERED_SUBSCRIPTION}."
            )
        keys = understand(_pairs(filters), 0, ctx.view.query).values

    def subscribe(work: WorkitemWork) -> None:
        subscriptions.subscribe(work, by, uid, aet, locked=locked, keys=keys)

    await ctx.call(kept.change, subscribe, by.at)
    # Where the events are to be heard (PS3.18 11.10.3).
    address = f"{ctx.dicom_web_url(request)}/ws/subscribers/{aet}"
    return Response(None, 201, {"Content-Location": "ws" + address.removeprefix("http")})


async def _unsubscribe(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    return await _ended(ctx, kept, request, subscriptions.unsubscribe)


async def _suspend(ctx: WebContext, kept: Workitems, request: Request) -> Response:
    return await _ended(ctx, kept, request, subscriptions.suspend)


async def _ended(
    ctx: WebContext, kept: Workitems, request: Request, verb: Callable[[WorkitemWork, By, str, str], None]
) -> Response:
    uid, aet, by = _uid(request), _aet(request), _by(ctx, request)
    await ctx.call(kept.change, lambda work: verb(work, by, uid, aet), by.at)
    return Response(None, 200)


# -- small things ------------------------------------------------------------------------------------------------------


def _uid(request: Request) -> str:
    uid: str = request.path_params["workitem"]
    if not is_tolerable_uid(uid):
        raise Problem(400, "the workitem in the address is no UID")
    return uid


def _aet(request: Request) -> str:
    aet: str = request.path_params["aet"]
    if not is_valid_aet(aet):
        raise Problem(400, "the subscriber in the address is no AE title")
    return aet


def _by(ctx: WebContext, request: Request) -> By:
    host = request.client.host if request.client is not None else ""
    return By(f"http:{host}", ctx.clock.utc())


def _named(request: Request, names: frozenset[str]) -> str:
    """A UID of the query string, under one of the names that editions of PS3.18 gave it, or by itself (`?1.2.3`)."""
    given = [value for name, value in request.query_params.multi_items() if name.lower() in names]
    bare = request.url.query
    if not given and bare and is_tolerable_uid(bare):
        given = [bare]
    if len(set(given)) > 1:
        raise Problem(400, "the query names more than one UID")
    return given[0].strip() if given else ""


def _pairs(filters: list[str]) -> Iterator[tuple[str, str]]:
    """`filter=ProcedureStepState=SCHEDULED,WorklistLabel=CAD` (PS3.18 11.10.1.2)."""
    for text in filters:
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if not equals:
                raise Problem(400, "a filter is attribute=value, several parted by commas")
            yield name.strip(), value


async def _payload(ctx: WebContext, request: Request, *, may_be_empty: bool = False) -> Values:
    """The one data set of a body. Raises `Problem` (400, 415), `CannotUnderstand`."""
    body = Body(request, limit=ctx.view.body_bytes, idle=ctx.view.upload_idle)
    if may_be_empty and "content-type" not in request.headers:
        if await body.whole():
            raise Problem(415, "Content-Type is missing or is no media type")
        return {}
    kind = parse_content_type(request.headers.get("content-type", ""))
    if kind.essence not in (DICOM_JSON, JSON, DICOM_XML):
        raise Problem(415, "a workitem comes as DICOM JSON or XML", f"Content-Type: {DICOM_JSON}, {DICOM_XML}")
    raw = await body.whole()
    if may_be_empty and not raw:
        return {}
    return await ctx.call(partial(_decoded, raw, is_xml=kind.essence == DICOM_XML))


def _decoded(raw: bytes, *, is_xml: bool) -> Values:
    if is_xml:
        attributes = dicom_xml_read.parse(raw)
    else:
        datasets = dicom_json_read.parse(raw)
        if len(datasets) != 1:
            raise CannotUnderstand("DICOM JSON: one workitem is one data set")
        attributes = datasets[0]
    return decode(dicom_json_read.to_dataset(attributes), EXPLICIT_LE)


def _data(request: Request, objects: list[bytes], form: str) -> Response:
    if form == DICOM_XML:
        return answer(request, dicom_xml.from_json(objects[0]), DICOM_XML)
    if form == MULTIPART_XML:
        return answer(request, *multipart(map(dicom_xml.from_json, objects), DICOM_XML))
    return answer(request, b"[" + b",".join(objects) + b"]", form)


def _said(
    ctx: WebContext, request: Request, status: int, remark: int, headers: dict[str, str] | None = None
) -> Response:
    """A success, with what there is to say of it (PS3.18 11.4.3.2, 11.6.3.2, 11.7.3.2, 11.8.3.2)."""
    response = Response(None, status, headers)
    if remark in _WARNING_OF:
        response.headers["Warning"] = f"299 {ctx.dicom_web_url(request)}: {_WARNING_OF[remark]}"
    return response
