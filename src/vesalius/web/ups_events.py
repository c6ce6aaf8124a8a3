"""Events of workitems on web sockets (PS3.18 8.10.4, 8.10.5, 11.13): what a subscriber hears over HTTP.

    GET /ws/subscribers/{aet}, /subscribers/{aet}      opens the connection; each event is one text frame, DICOM JSON

Theory. The reports to an AE title are rows, numbered in the order of the changes (`ports/workitems.py`). A connection
sends those that no connection of this title has sent yet, then each as it comes; how far it has come is remembered, so
a client that lost its connection, or one that connects after it has subscribed, misses nothing that is not older than
`workitems.keep`. Several connections of one title hear everything alike. A frame that was handed to a connection that
was dead already is lost: the protocol has no acknowledgement, and whoever must be sure asks for the state after it has
connected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from vesalius.model.dicom_json import from_values
from vesalius.model.errors import VesaliusError
from vesalius.model.identifiers import is_valid_aet
from vesalius.model.workitems import Report
from vesalius.ports.workitems import Workitems
from vesalius.standard.sop_classes import UPS_PUSH
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.feed import BEAT, News

PATHS = ("/ws/subscribers/{aet}", "/subscribers/{aet}")

POLICY, GOING_AWAY, TRY_LATER = 1008, 1001, 1013  # RFC 6455 7.4.1

_N_EVENT_REPORT_RQ = 0x0100


def payload(report: Report, message_id: int) -> str:
    """An event as PS3.18 8.10.5.1.1 wants it: the elements of the N-EVENT-REPORT request, then what it says."""
    command = {
        "00000002": {"vr": "UI", "Value": [UPS_PUSH]},
        "00000100": {"vr": "US", "Value": [_N_EVENT_REPORT_RQ]},
        "00000110": {"vr": "US", "Value": [message_id]},
        "00000800": {"vr": "US", "Value": [0x0001 if report.values else 0x0101]},
        "00001000": {"vr": "UI", "Value": [report.workitem]},
        "00001002": {"vr": "US", "Value": [int(report.kind)]},
    }
    said = {tag: msgspec.Raw(raw) for tag, raw in _elements(report)}
    return msgspec.json.encode({**command, **said}).decode()


def _elements(report: Report) -> Sequence[tuple[str, bytes]]:
    found = msgspec.json.decode(from_values(report.values), type=dict[str, msgspec.Raw])
    return [(tag, bytes(raw)) for tag, raw in found.items()]


def routes(ctx: WebContext) -> list[WebSocketRoute]:
    """The web sockets of subscribers."""
    if ctx.workitems is None:
        return []
    kept = ctx.workitems
    news = News(ctx, kept.last_report, "the state of the workitem")

    async def listen(socket: WebSocket) -> None:
        aet: str = socket.path_params["aet"]
        if not is_valid_aet(aet):
            await socket.close(POLICY)
            return
        try:
            # Before it is open: whatever happens from then on is for this connection, too, however quick another is.
            heard_to = await ctx.call(kept.heard_to, aet)
            news.join()
        except (Problem, VesaliusError):
            await socket.close(TRY_LATER)
            return
        try:
            await socket.accept()
            await _Connection(ctx, kept, news, socket, aet, heard_to).run()
        finally:
            news.leave()

    return [WebSocketRoute(path, listen) for path in PATHS]


class _Connection:
    """One web socket."""

    def __init__(
        self, ctx: WebContext, kept: Workitems, news: News, socket: WebSocket, aet: str, heard_to: int
    ) -> None:
        self._ctx = ctx
        self._kept = kept
        self._news = news
        self._socket = socket
        self._aet = aet
        self._sent = heard_to  # the last report that this connection has behind it
        self._remembered = heard_to
        self._messages = 0

    async def run(self) -> None:
        """Until the other side goes away, or this service does."""
        gone = asyncio.ensure_future(self._gone())
        telling = asyncio.ensure_future(self._tell())
        closing = asyncio.ensure_future(self._ctx.closing.wait())
        try:
            await asyncio.wait((gone, telling, closing), return_when=asyncio.FIRST_COMPLETED)
            left = gone.done()
        finally:
            for task in (gone, telling, closing):
                task.cancel()
            await asyncio.wait((gone, telling, closing))
            # A client that goes as soon as it has heard leaves before that was written down.
            await self._remember(self._sent)
        if not left:
            # Only now: the server below closes no socket that somebody still reads from.
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(GOING_AWAY)

    async def _gone(self) -> None:
        """Whatever the client says is read and means nothing, but that it goes."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            continue

    async def _tell(self) -> None:
        while not self._ctx.closing.is_set():
            looked_to = self._news.newest  # before the look: news is what comes after it
            reports = await self._next()
            for report in reports:
                self._messages = self._messages % 0xFFFF + 1
                try:
                    await self._socket.send_text(payload(report, self._messages))
                except (RuntimeError, WebSocketDisconnect, OSError):
                    return
                self._sent = report.id
            if reports:
                await self._remember(self._sent)
            else:
                await self._news.wait(looked_to, BEAT)

    async def _next(self) -> list[Report]:
        try:
            return await self._ctx.call(self._kept.unheard, self._aet, self._sent)
        except (VesaliusError, Problem):
            await asyncio.sleep(1.0)  # the database is away, or too much waits: a moment later, then
            return []

    async def _remember(self, report: int) -> None:
        if report == self._remembered:
            return
        with contextlib.suppress(VesaliusError, Problem):
            await self._ctx.call(self._kept.heard, self._aet, report)
            self._remembered = report
