"""STOW-RS: instances in by HTTP (PS3.18 10.5), through the same door as C-STORE.

Theory. A body of `application/dicom` parts is never held: the multipart parser passes each piece on as it
arrives, the file's preamble and meta information are taken off, and the data set goes straight into
`archive.ingest`. When a part ends its instance is handed to the group commit and the next part is read while that
one becomes durable, so that twenty instances of one request share few syncs; the answer is written when the
last of them is settled, and says of each what C-STORE would have said (`stow_results`). What is small is digested and
looked at where it arrives, half a megabyte at most before others have their turn, while the next piece is on its way:
changing threads for it takes longer than that (all of them need the interpreter). It waits in memory, and the thread
of the group commit writes it. Large parts and crowds of tiny ones, and everything when a slow disk has filled that
memory, are taken by a thread beside the event loop; a few pieces at most are held.

What is wrong with the request as a whole is an HTTP error, and then nothing was stored. What is wrong with one
part concerns that part alone. A body that breaks off in its middle has stored what came whole before: the answer is
202 then, and the broken part is among the failures.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.ingest import Ingest
from vesalius.model.entities import Provenance
from vesalius.model.errors import CannotUnderstand
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.web.body import CLOSE, Body, BrokenOff
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import (
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    JSON,
    MediaType,
    accepted,
    choose,
    parse_content_type,
)
from vesalius.web.stow_parts import MOST_UNDER_WAY, FilePart, OtherPart, Storing, UnsupportedPart, is_dicom
from vesalius.web.stow_results import Outcome, as_json, as_xml, http_status, response_elements
from vesalius.wire.multipart import (
    Event,
    MultipartError,
    MultipartLimitError,
    MultipartParser,
    PartBegins,
    PartData,
)

# Pieces of one body (some 400 KB each) that may wait for the thread that writes them.
MOST_PIECES = 4
# What one piece may hold to be taken in the event loop: of a part so far (bytes; with one piece more it is still less
# than a writer keeps in memory), and events (each part that it ends costs a third of a millisecond).
SMALL_PART = 512 << 10
FEW_EVENTS = 8


def routes(ctx: WebContext) -> list[BaseRoute]:
    """`POST /studies` and `POST /studies/{study}`."""

    async def store(request: Request) -> Response:
        return await _store(ctx, request)

    return [
        Route("/studies", store, methods=["POST"], name="store"),
        Route("/studies/{study}", store, methods=["POST"], name="store-in-study"),
    ]


async def _store(ctx: WebContext, request: Request) -> Response:
    study = request.path_params.get("study", "")
    if study and not is_tolerable_uid(study):
        raise Problem(400, "the Study Instance UID in the address breaks the rules for UIDs")
    answer_type = choose(accepted(request), (DICOM_JSON, JSON, DICOM_XML))
    media = parse_content_type(request.headers.get("content-type", ""))
    body = Body(request, limit=ctx.view.store_bytes, idle=ctx.view.upload_idle)
    provenance = provenance_of(request)
    if media.essence == DICOM:
        outcomes = await _store_one(ctx, body, provenance, study)
    else:
        kind = _part_type(media)
        parser = parser_for(media)
        if kind == DICOM:
            outcomes = await _store_files(ctx, body, parser, provenance, study)
        else:
            from vesalius.web.stow_metadata import store_metadata

            outcomes = await store_metadata(ctx, body, parser, kind, provenance, study)
    return _answer(ctx, request, outcomes, answer_type)


def provenance_of(request: Request) -> Provenance:
    """Who sends: an address and an id of the request, until users have names here."""
    address = request.client.host if request.client is not None else ""
    return Provenance(how="stow", address=address, association=f"stow-{uuid.uuid4().hex[:12]}")


def parser_for(media: MediaType) -> MultipartParser:
    """The parser of a multipart body. Raises `Problem` (400)."""
    try:
        return MultipartParser(media.get("boundary"))
    except MultipartError as error:
        raise Problem(400, str(error), headers=CLOSE) from None


def _part_type(media: MediaType) -> str:
    """The media type of the root part, from the `type` parameter. Raises `Problem` (415)."""
    kind = media.part_type or DICOM
    if media.essence == "multipart/related" and kind in (DICOM, DICOM_JSON, DICOM_XML):
        return kind
    raise Problem(
        415,
        "this media type is not stored here",
        f'multipart/related with type="{DICOM}", "{DICOM_JSON}" or "{DICOM_XML}" is.',
        headers=CLOSE,
    )


def _answer(ctx: WebContext, request: Request, outcomes: list[Outcome], answer_type: str) -> Response:
    if not outcomes:
        raise Problem(400, "the body holds no part", headers=CLOSE)
    errors = [outcome.error for outcome in outcomes]
    if all(isinstance(error, UnsupportedPart) for error in errors):
        raise Problem(415, "no part of the body is of a media type that this request may carry", headers=CLOSE)
    status = http_status(outcomes)
    headers = {"Retry-After": "5"} if status == 503 else {}
    elements = response_elements(outcomes, ctx.dicom_web_url(request))
    body = as_xml(elements) if answer_type == DICOM_XML else as_json(elements)
    return Response(body, status, headers, answer_type)


# -- bodies -------------------------------------------------------------------------------------


class _Files:
    """The parts of one body, each begun, filled and ended as the parser says. One caller at a time, any thread."""

    def __init__(self, ingest: Ingest, provenance: Provenance, study: str) -> None:
        self._ingest = ingest
        self._provenance = provenance
        self._study = study
        self._part: FilePart | OtherPart | None = None
        self.storing = Storing(provenance, ingest)

    @property
    def small(self) -> bool:
        """Whether the part that has begun is small so far."""
        return self._part is None or self._part.received < SMALL_PART

    def take(self, events: Sequence[Event]) -> None:
        """What a piece of the body held."""
        for event in events:
            if isinstance(event, PartData):
                if self._part is not None:
                    self._part.write(event.data)
            elif isinstance(event, PartBegins):
                if is_dicom(event.headers.get("content-type", "")):
                    self._part = FilePart(self._ingest, self.storing, self._provenance, self._study, together=True)
                else:
                    self._part = OtherPart(self.storing)
            else:
                if self._part is not None:
                    self._part.end()
                self._part = None

    def abort(self) -> None:
        """Nothing stays of the part that has begun."""
        if self._part is not None:
            self._part.abort()

    def broken(self, error: MultipartError) -> None:
        """As `abort`, and the answer shall say what broke."""
        if self._part is not None:
            self._part.lost()
        else:
            self.storing.fail(CannotUnderstand(str(error)))


class _Hand:
    """A thread that takes the pieces of one body in order, while there are any: digests and system calls.

    `give` never waits; the caller waits (`wait`) where more pieces are held than may be.
    """

    def __init__(self, files: _Files, pool: Executor) -> None:
        self._files = files
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Sequence[Event]] = deque()
        self._running: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether the next piece should be waited with."""
        return len(self._waiting) >= MOST_PIECES

    @property
    def idle(self) -> bool:
        """Whether everything that was given is taken. Raises what taking it raised."""
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None
        return self._running is None and not self._waiting

    def give(self, events: Sequence[Event]) -> None:
        """The next piece. Raises what taking an earlier one raised."""
        idle = self.idle
        self._waiting.append(events)
        if idle or self._running is None:
            self._running = self._loop.run_in_executor(self._pool, self._work)

    async def wait(self) -> None:
        """Until every piece that was given is taken. Raises what taking one raised."""
        while self._running is not None:
            await self._running
            self._running = self._loop.run_in_executor(self._pool, self._work) if self._waiting else None

    async def let_go(self) -> None:
        """Until the thread has let go of the part, whatever it met; what it had not begun is dropped."""
        self._waiting.clear()
        if self._running is not None:
            await asyncio.wait((self._running,))

    def _work(self) -> None:
        while self._waiting:
            self._files.take(self._waiting.popleft())


async def _store_files(
    ctx: WebContext, body: Body, parser: MultipartParser, provenance: Provenance, study: str
) -> list[Outcome]:
    files = _Files(ctx.ingest, provenance, study)
    storing = files.storing
    hand = _Hand(files, ctx.pool)
    try:
        async with aclosing(body.ahead()) as pieces:
            async for data in pieces:
                events = parser.feed(data)
                if hand.idle and files.small and len(events) <= FEW_EVENTS and ctx.ingest.spare:
                    files.take(events)
                else:
                    hand.give(events)
                if hand.full or storing.full:
                    await hand.wait()
                if storing.full:
                    await storing.settle(MOST_UNDER_WAY // 2)
        await hand.wait()
        parser.finish()
    except MultipartError as error:
        await hand.wait()
        if not storing.any:
            files.abort()
            status = 413 if isinstance(error, MultipartLimitError) else 400
            raise Problem(status, str(error), headers=CLOSE) from None
        files.broken(error)
    except BaseException as error:
        await hand.let_go()
        files.abort()
        if isinstance(error, BrokenOff):
            await storing.done()
        raise
    return await storing.done()


async def _store_one(ctx: WebContext, body: Body, provenance: Provenance, study: str) -> list[Outcome]:
    """A body that is one file, without multipart around it."""
    storing = Storing(provenance, ctx.ingest)
    part = FilePart(ctx.ingest, storing, provenance, study)
    try:
        while data := await body.read():
            part.write(data)
    except BaseException:
        part.abort()
        raise
    if not body.received:
        return []
    part.end()
    return await storing.done()
