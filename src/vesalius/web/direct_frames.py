"""The shortest way of a frame: where everything that it needs is in memory, it is answered in the event loop itself.

Theory. Scrolling through a stack is hundreds of requests for one frame each. Of what such an answer costs, reading the
half megabyte is the smallest part; finding the route, building request and response objects and going to a thread
and back cost three times that. So a plain request (GET, one frame, no query) for a frame whose bytes the store
has in memory, and that goes out as it is stored, is answered here. Whatever is
unusual about it, an error included, goes the long way, which answers every case: this one is only ever quicker, never
different (a test compares the two).

Nothing here may wait: the index and the store say whether they can answer at once (`Index.at_once`,
`BlobStore.read_at_once`).
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from vesalius.archive.frames import FrameSet
from vesalius.model.entities import Level, Member
from vesalius.model.errors import VesaliusError
from vesalius.web.buffers import Buffers
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.frame_types import FrameForm, frame_form
from vesalius.web.frames import fields
from vesalius.web.multipart_out import Multipart
from vesalius.web.negotiation import MediaType, parse_media_types

LARGEST = 2 << 20  # bytes; copying more would hold up the others
REMEMBERED = 256  # forms by Accept header

_UID = r"[0-9.]{1,64}"


class DirectFrames:
    """A middleware inside the door."""

    def __init__(self, app: ASGIApp, ctx: WebContext) -> None:
        self._app = app
        self._ctx = ctx
        root = re.escape(ctx.view.dicom_web)
        self._path = re.compile(
            rf"{root}(/studies/({_UID})/series/({_UID})/instances/({_UID}))/frames/([1-9][0-9]{{0,6}})"
        )
        self._forms: dict[tuple[bytes, str], FrameForm] = {}
        self._buffers = Buffers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it here, or let it go on."""
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            match = self._path.fullmatch(scope["path"])
            answer = self._answer(scope, match) if match is not None else None
            if answer is not None:
                media_type, body = answer
                headers = [
                    (b"content-type", media_type.encode("latin-1")),
                    (b"content-length", str(len(body)).encode()),
                ]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": body, "more_body": False})
                self._buffers.give_back(body)
                return
        await self._app(scope, receive, send)

    def _answer(self, scope: Scope, match: re.Match[str]) -> tuple[str, bytes | bytearray] | None:
        """Content type and body; None for the long way."""
        ctx = self._ctx
        if not ctx.index.at_once or ctx.view.public_url:
            return None
        accept, host = b"*/*", b""
        seen = 0
        for name, value in scope["headers"]:
            if name == b"accept":
                accept = value
                seen += 1
            elif name == b"host":
                host = value
        if seen > 1:
            return None
        index = int(match[5]) - 1
        try:
            found = list(ctx.index.select(Level.IMAGE, studies=(match[2],), series=(match[3],), instances=(match[4],)))
            frames = ctx.frames.open_at_once(found[0]) if found else None
            if frames is None or frames.length(index) > LARGEST:
                return None
            form = self._form(accept, frames)
            if form.transfer_syntax != frames.form:
                return None
            content_type, head, tail = form.content_type, b"", b""
            if form.multipart:
                frame = Multipart(form.media_type)
                root = scope.get("root_path", "")
                base = f"{scope['scheme']}://{host.decode('latin-1')}{root}{ctx.view.dicom_web}{match[1]}"
                content_type, head, tail = frame.content_type, frame.head(fields(form, base, index)), frame.tail
            body: bytes | bytearray | None
            place = frames.as_it_lies(index)
            if place is not None:
                body = self._lying(found[0].member, place, head, tail)
            else:
                data = frames.codestream_at_once(index, ctx.blobs.read_at_once)
                body = None if data is None else b"".join((head, data, tail))
        except (VesaliusError, Problem, IndexError):
            return None  # the long way says what is wrong
        return None if body is None else (content_type, body)

    def _lying(self, member: Member, place: tuple[int, int], head: bytes, tail: bytes) -> bytearray | None:
        """A body that holds a part of a data set, read to where it goes; None where it is not in memory."""
        offset, length = place
        body = self._buffers.take(len(head) + length + len(tail))
        body[: len(head)] = head
        body[len(head) + length :] = tail
        with memoryview(body) as whole, whole[len(head) : len(head) + length] as middle:
            done = self._ctx.blobs.read_into_at_once(member, offset, middle)
        if not done:
            self._buffers.give_back(body)
        return body if done else None

    def _form(self, accept: bytes, frames: FrameSet) -> FrameForm:
        key = (accept, frames.form)
        form = self._forms.get(key)
        if form is None:
            ranges = parse_media_types(accept.decode("latin-1")) or (MediaType("*", "*"),)
            form = frame_form(ranges, frames.form, self._ctx.transcoder.can, single=True)
            if len(self._forms) >= REMEMBERED:
                self._forms.clear()
            self._forms[key] = form
        return form
