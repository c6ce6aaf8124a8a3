"""WADO-RS of thumbnails (PS3.18 10.4.1.1.8): one small picture of a study, a series, an instance or a frame.

Theory. A list of studies shows hundreds at once, so a thumbnail is made once and then found again by what it was made
of: the versions of its series (`Index.versions`), one short read. It lies in memory, and on disk for the other
processes and the next start. Equal requests at the same time are made once.

The picture is the middle frame of the middle image: the ends of a series are air and feet.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.frames import Frames
from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotTranscode, NoSuchInstance, VesaliusError
from vesalius.model.rendering import Fit, ImageFormat
from vesalius.standard.sop_classes import STORAGE
from vesalius.web.answers import REVALIDATE, entity_tag, not_modified
from vesalius.web.cache import DiskCache, MemoryCache
from vesalius.web.context import WebContext
from vesalius.web.metadata import missing
from vesalius.web.negotiation import accepted, choose
from vesalius.web.render_parameters import RenderParameters, parameters_of, render_parameters
from vesalius.web.resources import INSTANCE, LEVELS, Target, frame_numbers, select, target_of

FORMAT = "1"  # of what is kept: another number forgets what older code has made
SIZE = 160  # pixels of the longer side
QUALITY = 80
MEMORY = 16 << 20  # bytes
DISK = 512 << 20  # bytes
OFFERS = (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.GIF)
TRIES = 3  # images that are tried before a study or series has no thumbnail

# Derived objects that look like images: a study is known by its pictures, not by their masks.
_NOT_FIRST = frozenset(
    uid for uid, each in STORAGE.items() if any(word in each.name for word in ("Segmentation", "Dose", "Parametric"))
)


@dataclass(slots=True)
class Thumbnails:
    """Makes and keeps thumbnails. One for a process."""

    ctx: WebContext
    frames: Frames
    memory: MemoryCache
    disk: DiskCache
    running: dict[str, asyncio.Task[bytes]] = field(default_factory=dict)

    async def respond(self, request: Request, target: Target, index: int | None) -> Response:
        """Answer a request; `index`: a frame from 0. Raises `Problem`, `NoSuchInstance`, `CannotTranscode`."""
        kind = ImageFormat(choose(accepted(request), [each.value for each in OFFERS]))
        wanted = render_parameters(parameters_of(request))
        versions = await self.ctx.call(self.ctx.index.versions, target.study, target.series)
        if not versions:
            raise await self.ctx.call(missing, self.ctx, target.study, target.series, target.instance)
        tag = entity_tag(FORMAT, repr(target), str(index), repr(wanted), kind.value, repr(sorted(versions.items())))
        known = not_modified(request, tag)
        if known is not None:
            return known
        body = self.memory.get(tag)
        if body is None:
            body = await self._shared(tag, target, index, wanted, kind)
        return Response(body, 200, {**REVALIDATE, "ETag": tag, "content-type": kind.value})

    async def _shared(
        self, tag: str, target: Target, index: int | None, wanted: RenderParameters, kind: ImageFormat
    ) -> bytes:
        task = self.running.get(tag)
        if task is None:
            task = asyncio.create_task(self.ctx.heavy(self._make, tag, target, index, wanted, kind))
            self.running[tag] = task
            task.add_done_callback(lambda _: self.running.pop(tag, None))
        return await asyncio.shield(task)

    # -- in the pool

    def _make(self, tag: str, target: Target, index: int | None, wanted: RenderParameters, kind: ImageFormat) -> bytes:
        kept = self.disk.get(tag)
        if kept is None:
            kept = self._picture(target, index, wanted, kind)
            self.disk.put(kept, tag)
        self.memory.put(kept, tag)
        return kept

    def _picture(self, target: Target, index: int | None, wanted: RenderParameters, kind: ImageFormat) -> bytes:
        error: VesaliusError | None = None
        for instance in candidates(select(self.ctx, target)):
            try:
                frames = self.frames.open(instance)
                frame = frames.count // 2 if index is None else index
                fit = wanted.fit or Fit(SIZE, SIZE, enlarge=False)
                parameters = RenderParameters(QUALITY, wanted.window, wanted.region, fit)
                return frames.picture(frame, parameters.request(kind))
            except VesaliusError as found:
                error = error or found
        if error is not None:
            raise error
        raise NoSuchInstance("there is no image under this address")


def candidates(instances: Sequence[StoredInstance]) -> list[StoredInstance]:
    """The images that could stand for all of them, best first."""
    images = [each for each in instances if each.pixels is not None]
    pictures = [each for each in images if each.sop_class not in _NOT_FIRST] or images
    if not pictures:
        return []
    # The series with the most images is what the study is about; the first of equals.
    series = max(Counter(each.series for each in pictures).items(), key=lambda pair: pair[1])[0]
    own = [each for each in pictures if each.series == series]
    middle = len(own) // 2
    others = [each for each in pictures if each.series != series]
    chosen = {each.sop_instance: each for each in (own[middle], own[0], own[-1], *others[:TRIES])}
    return list(chosen.values())[:TRIES]


def routes(ctx: WebContext) -> list[Route]:
    """`/thumbnail` at every level."""
    folder = ctx.view.cache / "thumbnails" if ctx.view.cache is not None else None
    thumbnails = Thumbnails(ctx, ctx.frames, MemoryCache(MEMORY), DiskCache(folder, DISK))

    async def whole(request: Request) -> Response:
        return await thumbnails.respond(request, target_of(request), None)

    async def frame(request: Request) -> Response:
        numbers = frame_numbers(request.path_params["frames"])
        if len(numbers) != 1:
            raise CannotTranscode("a thumbnail is of one frame")
        return await thumbnails.respond(request, target_of(request), numbers[0])

    return [
        *(Route(path + "/thumbnail", whole, methods=["GET"]) for path, _ in LEVELS),
        Route(INSTANCE + "/frames/{frames}/thumbnail", frame, methods=["GET"]),
    ]
