"""WADO-RS of bulk data (PS3.18 10.4.1.1.5): single values, as long as they are. All at once: `bulkdata_all.py`.

A value is found by its place (`model/bulk_paths`), which our metadata name, and read in pieces straight from the pack;
ranges are positioned reads. Numbers are little endian, as Explicit VR Little Endian has them. Pixel Data that is
encapsulated has no value to give: it goes out frame by frame, decoded unless a compressed form is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.frames import Frames
from vesalius.model.bulk_paths import parse_bulk_path
from vesalius.model.element_places import Place, Read, find_value
from vesalius.model.encodings import mode_of
from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotUnderstand, NoSuchInstance, VesaliusError
from vesalius.model.native_frames import cells_are_big_endian, little_endian
from vesalius.standard.transfer_syntaxes import lookup
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.frame_types import frame_form
from vesalius.web.frames import answer, instance_url
from vesalius.web.multipart_out import Multipart, content_type
from vesalius.web.negotiation import OCTETS, MediaType, accepted, choose
from vesalius.web.ranges import Span, span_of
from vesalius.web.resources import INSTANCE, Target, one, target_of
from vesalius.web.streaming import Streamed

PIECE = 1 << 20  # bytes that are read at once
MULTIPART_OCTETS = f'multipart/related; type="{OCTETS}"'


@dataclass(frozen=True, slots=True)
class Value:
    """A value and how to read it."""

    place: Place
    read: Read

    @property
    def length(self) -> int:
        """Bytes of it."""
        if self.place.pieces:
            return sum(length for _, length in self.place.pieces)
        return self.place.length

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """Bytes from `first` on. Blocks."""
        word = self.place.word
        start = first // word * word
        end = first + length
        for offset, size in self._runs(start, -(-end // word) * word):
            data = self.read(offset, size)
            data = little_endian(data, word)
            lead, start = first - start if start < first else 0, start + size
            data = data[lead : max(0, len(data) - max(0, start - end))]
            if data:
                yield data

    def _runs(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Reads that together are the bytes from `start` to `end` of the value."""
        at = 0
        for offset, length in self.place.pieces or ((self.place.offset, self.place.length),):
            low, high = max(start, at), min(end, at + length)
            while low < high:
                size = min(PIECE, high - low)
                yield offset + low - at, size
                low += size
            at += length


@dataclass(frozen=True, slots=True)
class Bulk:
    """Gives bulk data. One for a process."""

    ctx: WebContext
    frames: Frames

    def value(self, instance: StoredInstance, steps: tuple[int, ...]) -> Value | None:
        """The value at a place; None for encapsulated Pixel Data. Blocks. Raises `NoSuchInstance` (404)."""
        syntax = lookup(instance.transfer_syntax)
        pixels = instance.pixels
        read: Read = partial(self.ctx.blobs.read, instance.member)
        length = instance.member.dataset_length
        if syntax.deflated:
            data = self.frames.inflated(instance)
            length = len(data)

            def read(offset: int, count: int) -> bytes:
                return data[offset : offset + count]

        if pixels is not None and steps == (pixels.tag,):
            if pixels.encapsulated:
                return None
            word = self.frames.open(instance).word if cells_are_big_endian(instance.transfer_syntax) else 1
            vr = {2: "OW", 4: "OL", 8: "OV"}.get(word, "OB")
            return Value(Place(vr, pixels.offset, pixels.length, word == 1), read)
        mode = mode_of(syntax.explicit, syntax.little_endian)
        try:
            place = find_value(read, length, mode, steps)
        except CannotUnderstand as error:
            raise NoSuchInstance(
                f"the value cannot be found: {error.message}", hint="the instance itself can be retrieved"
            ) from error
        if place is None or place.vr == "SQ":
            raise NoSuchInstance("the instance has no such value")
        return Value(place, read)

    async def respond(self, request: Request, target: Target, steps: tuple[int, ...]) -> Response:
        """Answer a request for one value. Raises `Problem`, `NoSuchInstance`."""
        ranges = accepted(request)
        instance = await self.ctx.call(one, self.ctx, target)
        value = await self.ctx.call(self.value, instance, steps)
        if value is None:
            return await self._pixels(request, target, instance, ranges)
        chosen = choose(ranges, (OCTETS, MULTIPART_OCTETS))
        tag = f'"{instance.member.sha256[:40]}"'
        span = span_of(request, value.length, tag)
        wanted = span or Span(0, value.length - 1, value.length)
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
        status = 200 if span is None else 206
        chunks = value.chunks(wanted.first, wanted.length)
        if chosen == OCTETS:
            if span is not None:
                headers["Content-Range"] = span.content_range
            return Streamed(self.ctx, chunks, OCTETS, status=status, headers=headers, length=wanted.length)
        fields = content_type(OCTETS)
        fields += f"Content-Location: {self._location(request)}\r\n".encode("latin-1", "replace")
        if span is not None:
            fields += f"Content-Range: {span.content_range}\r\n".encode("latin-1")
        frame = Multipart(OCTETS)
        return Streamed(
            self.ctx,
            frame.pieces([(fields, chunks)]),
            frame.content_type,
            status=status,
            headers=headers,
            length=frame.size(fields, wanted.length) + len(frame.end),
        )

    def _location(self, request: Request) -> str:
        """The address as the client wrote it."""
        return self.ctx.base_url(request) + request.url.path

    async def _pixels(
        self, request: Request, target: Target, instance: StoredInstance, ranges: Sequence[MediaType]
    ) -> Response:
        """Encapsulated Pixel Data: every frame."""
        base = instance_url(self.ctx, request, target)
        frames = await self.ctx.call(self.frames.open, instance)
        form = frame_form(ranges, frames.form, self.ctx.transcoder.can, single=True)
        if form.multipart or frames.count == 1:
            return await answer(self.ctx, lambda: frames, None, ranges, base)
        if not form.native:
            raise Problem(406, "several frames of a compressed form need multipart/related")
        chunks = (frames.native(index) for index in range(frames.count))
        first = await self.ctx.heavy(next, chunks)
        return Streamed(self.ctx, chain((first,), chunks), form.content_type, heavy=True)


def routes(ctx: WebContext) -> list[Route]:
    """Values by their place."""
    bulk = Bulk(ctx, ctx.frames)

    async def value(request: Request) -> Response:
        target = target_of(request)
        try:
            steps = parse_bulk_path(request.path_params["path"])
        except VesaliusError as error:
            raise Problem(400, error.message) from error
        return await bulk.respond(request, target, steps)

    return [Route(INSTANCE + "/bulkdata/{path:path}", value, methods=["GET"])]
