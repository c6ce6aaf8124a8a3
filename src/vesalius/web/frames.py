"""WADO-RS of frames (PS3.18 10.4.1.1.6): one positioned read each where they go out as they are stored.

The way of a single frame is short on purpose, it is what a viewer does all day: the address is looked up, the frame
read and wrapped in one turn of the pool, and the answer is one message. Lists stream. A frame that lies in memory
already goes an even shorter way (`direct_frames.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

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


async def answer(
    ctx: WebContext,
    opened: Callable[[], FrameSet],
    indices: Sequence[int] | None,
    ranges: Sequence[MediaType],
    base: str,
) -> Response:
    """The response that holds these frames (None: all of them); the first is read before the status is said.

    Raises `Problem` (406), `NoSuchInstance` (404), `CannotTranscode` (406), `DamagedInstance`.
    """

    def begin() -> tuple[FrameSet, Sequence[int], FrameForm, bytes | None]:
        frames = opened()
        wanted = range(frames.count) if indices is None else indices
        for index in wanted:
            frames.check(index)
        form = frame_form(ranges, frames.form, ctx.transcoder.can, single=len(wanted) == 1)
        stored = form.transfer_syntax == frames.form
        return frames, wanted, form, frames.stored(wanted[0]) if stored else None

    frames, wanted, form, first = await ctx.call(begin)
    heavy = first is None
    if first is None:
        first = await ctx.heavy(read, frames, wanted[0], form)
    if not form.multipart:
        return Response(first, 200, {"content-type": form.content_type})
    frame = Multipart(form.media_type)
    if len(wanted) == 1:
        body = frame.whole(fields(form, base, wanted[0]), first)
        return Response(body, 200, {"content-type": frame.content_type})
    rest = parts(frames, wanted[1:], form, base)
    all_parts = chain([(fields(form, base, wanted[0]), (first,))], rest)
    return Streamed(ctx, frame.pieces(all_parts), frame.content_type, heavy=heavy)


def instance_url(ctx: WebContext, request: Request, target: Target) -> str:
    """The address of an instance as the client reaches it."""
    return f"{ctx.dicom_web_url(request)}/studies/{target.study}/series/{target.series}/instances/{target.instance}"


def routes(ctx: WebContext) -> list[Route]:
    """`/frames/1,2,3`."""

    async def handle(request: Request) -> Response:
        target = target_of(request)
        indices = frame_numbers(request.path_params["frames"])
        ranges = accepted(request)
        base = instance_url(ctx, request, target)
        return await answer(ctx, lambda: ctx.frames.open(one(ctx, target)), indices, ranges, base)

    return [Route(INSTANCE + "/frames/{frames}", handle, methods=["GET"])]
