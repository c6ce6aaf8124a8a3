"""WADO-RS of frames (PS3.18 10.4.1.1.6): one positioned read each where they go out as they are stored.

The way of a single frame is short on purpose, it is what a viewer does all day: the address is looked up, the frame
read and wrapped in one turn of the pool, and the answer is one message. Lists stream. A frame that lies in memory
already goes an even shorter way (`direct_frames.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.frames import FrameSet
from vesalius.web.context import WebContext
from vesalius.web.frame_types import FrameForm, frame_form
from vesalius.web.multipart_out import Multipart, Part, content_type
from vesalius.web.negotiation import MediaType, accepted
from vesalius.web.resources import INSTANCE, Target, frame_numbers, one, target_of
from vesalius.web.streaming import Streamed


@dataclass(frozen=True, slots=True)
class Prepared:
    """Frames on their way out: a body, or where to get it."""

    media_type: str
    body: bytes | None
    chunks: Iterator[bytes] | None = None


def read(frames: FrameSet, index: int, form: FrameForm) -> bytes:
    """One frame in the form that was agreed. Blocks. Raises `CannotTranscode`, `DamagedInstance`."""
    if form.native:
        return frames.native(index)
    return frames.encoded(index, form.transfer_syntax)


def parts(frames: FrameSet, indices: Sequence[int], form: FrameForm, base: str) -> Iterator[Part]:
    """The frames as parts of a multipart body; `base` is the address of the instance. Blocks."""
    for index in indices:
        yield fields(form, base, index), (read(frames, index, form),)


def fields(form: FrameForm, base: str, index: int) -> bytes:
    """The header fields of the part that is a frame."""
    return content_type(form.content_type) + f"Content-Location: {base}/frames/{index + 1}\r\n".encode("latin-1")


def prepare(
    ctx: WebContext, frames: FrameSet, indices: Sequence[int], ranges: Sequence[MediaType], base: str
) -> Prepared:
    """What answers a request for these frames. Blocks; the first frame is read.

    Raises `Problem` (406), `NoSuchInstance` (404), `CannotTranscode` (406), `DamagedInstance`.
    """
    for index in indices:
        frames.check(index)
    form = frame_form(ranges, frames.form, ctx.transcoder.can, single=len(indices) == 1)
    first = read(frames, indices[0], form)
    if not form.multipart:
        return Prepared(form.content_type, first)
    frame = Multipart(form.media_type)
    if len(indices) == 1:
        return Prepared(frame.content_type, frame.whole(fields(form, base, indices[0]), first))

    def all_parts() -> Iterator[Part]:
        yield fields(form, base, indices[0]), (first,)
        yield from parts(frames, indices[1:], form, base)

    return Prepared(frame.content_type, None, frame.pieces(all_parts()))


def respond(ctx: WebContext, prepared: Prepared) -> Response:
    """The response to what was prepared."""
    if prepared.chunks is not None:
        return Streamed(ctx, prepared.chunks, prepared.media_type)
    return Response(prepared.body, 200, {"content-type": prepared.media_type})


def instance_url(ctx: WebContext, request: Request, target: Target) -> str:
    """The address of an instance as the client reaches it."""
    return f"{ctx.dicom_web_url(request)}/studies/{target.study}/series/{target.series}/instances/{target.instance}"


def routes(ctx: WebContext) -> list[Route]:
    """`/frames/1,2,3`."""

    def give(target: Target, indices: list[int], ranges: Sequence[MediaType], base: str) -> Prepared:
        return prepare(ctx, ctx.frames.open(one(ctx, target)), indices, ranges, base)

    async def handle(request: Request) -> Response:
        target = target_of(request)
        indices = frame_numbers(request.path_params["frames"])
        ranges = accepted(request)
        base = instance_url(ctx, request, target)
        return respond(ctx, await ctx.call(give, target, indices, ranges, base))

    return [Route(INSTANCE + "/frames/{frames}", handle, methods=["GET"])]
