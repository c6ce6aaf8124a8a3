"""QIDO-RS: searching for studies, series and instances (PS3.18 10.6).

Theory. A search is a C-FIND with another spelling: the query string becomes an identifier (`qido_parameters`), the
question is answered by `archive/search` as any other, relational by nature, in the order of arrival. What HTTP adds:
the attributes of table 10.6.3-3 unasked, where to retrieve from, `limit` and `offset` over a stable order, and
how many more there are. That number is counted no further than `MOST_COUNTED` and no longer than `COUNTING`
seconds, so that a page of answers costs what a page costs; without any condition the totals of the index say it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.model import dicom_xml
from vesalius.model.dicom_json import from_values
from vesalius.model.entities import Level, Values
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.query import Query
from vesalius.web import qido_headers
from vesalius.web.answers import answer
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import DICOM_JSON, JSON, MULTIPART_XML, accepted, choose
from vesalius.web.parts import multipart
from vesalius.web.qido_parameters import (
    INSTANCE,
    RETRIEVE_URL,
    SERIES,
    SPECIFIC_CHARACTER_SET,
    STUDY,
    Search,
    Target,
    understand,
)

MOST_COUNTED = 1000  # answers that are left, counted one by one
COUNTING = 0.05  # seconds

_LEFT_OUT = (0x00080052, 0x00080054)  # of C-FIND alone: Query/Retrieve Level, Retrieve AE Title

PATHS: tuple[tuple[str, Level], ...] = (
    ("/studies", Level.STUDY),
    ("/studies/{study}/series", Level.SERIES),
    ("/studies/{study}/instances", Level.IMAGE),
    ("/studies/{study}/series/{series}/instances", Level.IMAGE),
    ("/series", Level.SERIES),
    ("/series/{series}/instances", Level.IMAGE),
    ("/instances", Level.IMAGE),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """The answers of a search."""

    answers: list[Values]
    more: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # of each, from its header, where asked for
    remaining: int = 0
    at_least: bool = False  # `remaining` was not counted to its end


def uid_of(request: Request, name: str) -> str | None:
    """A UID of the path, None where the path has none. Raises `Problem` (400; H13) for what is no UID."""
    uid: str | None = request.path_params.get(name)
    if uid is not None and not is_tolerable_uid(uid):
        raise Problem(400, f"the {name} in the address is no UID")
    return uid


def run(ctx: WebContext, search: Search, root: str) -> Found:
    """Answer a search; `root` is the address of the service. Blocks. Raises `IndexUnavailable`, `Problem` (413)."""
    query = search.query
    if search.nothing or query.limit == 0:
        return Found([])
    if search.beyond.matches:
        return _narrowed(ctx, search, root)
    limit = query.limit or 0
    answers = _all(ctx, dataclasses.replace(query, limit=limit + 1))
    remaining, at_least = _count_rest(ctx, query) if len(answers) > limit else (0, False)
    answers = answers[:limit]
    more = []
    if search.beyond:
        more = [qido_headers.shown(search.beyond, header) for header in qido_headers.read(ctx, root, answers)]
    return Found(answers, more, remaining, at_least)


def run_at_once(ctx: WebContext, search: Search) -> Found | None:
    """Answer a search in the event loop, where the index can at once; None: `run` has to.

    Most searches are for one patient or one order. Going to a thread and back costs as much as their answer.
    Raises `IndexUnavailable`.
    """
    query = search.query
    if search.nothing or search.beyond or not query.limit:
        return None
    answers = ctx.search.find_at_once(dataclasses.replace(query, limit=query.limit + 1))
    if answers is None or len(answers) > query.limit:
        return None  # how many are left is to be counted
    return Found(answers)


def _narrowed(ctx: WebContext, search: Search, root: str) -> Found:
    """The answers of the index whose headers have the other values, too."""
    query, most = search.query, qido_headers.MOST_READ
    answers = _all(ctx, dataclasses.replace(query, limit=most + 1, offset=0))
    if len(answers) > most:
        raise Problem(
            413,
            f"more than {most} instances would have to be read for attributes that are not indexed",
            "Name the study or the series, too.",
        )
    found = [
        (values, qido_headers.shown(search.beyond, header))
        for values, header in zip(answers, qido_headers.read(ctx, root, answers), strict=True)
        if qido_headers.holds(search.beyond, header)
    ]
    page = found[query.offset : query.offset + (query.limit or 0)]
    left = max(0, len(found) - query.offset - len(page))
    return Found([values for values, _ in page], [more for _, more in page], left if page else 0)


def _all(ctx: WebContext, query: Query) -> list[Values]:
    return [values for page in ctx.search.find(query) for values in page]


def _count_rest(ctx: WebContext, query: Query) -> tuple[int, bool]:
    """How many answers follow the last one that was given, and whether there may be more than that."""
    given = query.offset + (query.limit or 0)
    if not query.conditions:
        totals = ctx.index.totals()
        of_level = {Level.STUDY: totals.studies, Level.SERIES: totals.series, Level.IMAGE: totals.instances}
        return max(1, of_level[query.level] - given), False
    end = time.monotonic() + COUNTING
    bare = dataclasses.replace(query, returns=frozenset(), item_returns=(), offset=given, limit=MOST_COUNTED)
    count = 0
    for page in ctx.index.find(bare):
        count += len(page)
        if count >= MOST_COUNTED or time.monotonic() > end:
            return max(1, count), True
    return max(1, count), False


def present(values: Values, search: Search, root: str) -> Values:
    """An answer of the archive as one of this service."""
    shown: Values = {
        tag: value for tag, value in values.items() if tag not in _LEFT_OUT and (value or tag not in search.optional)
    }
    shown[SPECIFIC_CHARACTER_SET] = ("ISO_IR 192",)
    shown[RETRIEVE_URL] = (root + _address(values, search.query.level),)
    return shown


def _address(values: Values, level: Level) -> str:
    path = ""
    for at, name, tag in (
        (Level.STUDY, "studies", STUDY),
        (Level.SERIES, "series", SERIES),
        (Level.IMAGE, "instances", INSTANCE),
    ):
        if at <= level:
            uid = values.get(tag, ())
            path += f"/{name}/{uid[0] if uid else ''}"
    return path


def warnings(found: Found, search: Search, service: str) -> Iterator[str]:
    """The values of the Warning headers (PS3.18 10.6.3, 8.3.4.4)."""
    for text in search.warnings:
        yield f"299 {service}: {text}"
    if found.remaining:
        more = "at least " if found.at_least else ""
        yield f"299 {service}: There are {more}{found.remaining} additional results that can be requested"


def _handler(ctx: WebContext, level: Level) -> Callable[[Request], Awaitable[Response]]:
    async def search_for(request: Request) -> Response:
        form = choose(accepted(request), (DICOM_JSON, JSON, MULTIPART_XML))
        target = Target(level, uid_of(request, "study"), uid_of(request, "series"))
        search = understand(target, request.query_params.multi_items(), ctx.view.results, ctx.view.query)
        root = ctx.dicom_web_url(request)
        found = run_at_once(ctx, search)
        if found is not None:
            return _answer(ctx, request, search, form, root, found)
        return await ctx.call(lambda: _answer(ctx, request, search, form, root, run(ctx, search, root)))

    return search_for


def _answer(ctx: WebContext, request: Request, search: Search, form: str, root: str, found: Found) -> Response:
    said = list(warnings(found, search, root))
    if not found.answers and ctx.view.no_match_status == 204:
        response = Response(None, 204)
    else:
        shown = [present(values, search, root) for values in found.answers]
        objects = [from_values(values) for values in shown]
        if found.more:
            objects = [qido_headers.merged(*pair) for pair in zip(objects, found.more, strict=True)]
        if form == MULTIPART_XML:
            body, media_type = multipart(map(dicom_xml.from_json, objects), "application/dicom+xml")
        else:
            body, media_type = b"[" + b",".join(objects) + b"]", form
        response = answer(request, body, media_type)
    for text in said:
        response.headers.append("Warning", text)
    return response


def routes(ctx: WebContext) -> list[Route]:
    """Every path of PS3.18 10.6.1 (table 10.6.1-1)."""
    return [Route(path, _handler(ctx, level), methods=["GET"]) for path, level in PATHS]
