"""WADO-RS of rendered resources (PS3.18 10.4.1.1.3): pictures of studies, series, instances and frames.

One picture is one image; where several are asked for they come as parts, or as one that moves (GIF, MP4). At study and
series level each instance has one picture, of its first frame. A presentation state is shown as the images that it is
about, the way it says; `presentationUID` shows an image that way. A report is text, an encapsulated document its
own rendering (`documents.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.frames import Frames, FrameSet
from vesalius.imaging.presentation import is_presentation_state, is_undrawn_state
from vesalius.model.coercion import decimal_of
from vesalius.model.elements import Header
from vesalius.model.entities import Level, StoredInstance
from vesalius.model.errors import CannotTranscode, NoSuchInstance, VesaliusError
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.rendering import ColourProfile, Fit, ImageFormat
from vesalius.ports.pixels import PresentationSource
from vesalius.web.animation import MOST_PICTURES, RATE, encoded_mp4, ffmpeg, joined_gif
from vesalius.web.answers import REVALIDATE, entity_tag, not_modified
from vesalius.web.blending import Blender, may_be_about
from vesalius.web.blending_inputs import Inputs
from vesalius.web.blending_tiles import TileInputs
from vesalius.web.context import WebContext
from vesalius.web.documents import Documents, is_readable
from vesalius.web.errors import Problem
from vesalius.web.multipart_out import Multipart, content_type
from vesalius.web.negotiation import MediaType, accepted, choose, single
from vesalius.web.render_parameters import RenderParameters, parameters_of, render_parameters
from vesalius.web.resources import INSTANCE, LEVELS, Target, frame_numbers, select, target_of
from vesalius.web.streaming import Streamed

MP4 = "video/mp4"
STILL = (ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.GIF, ImageFormat.JPEG_2000)
FRAME_TIME, CINE_RATE, DISPLAY_RATE = 0x00181063, 0x00180040, 0x00082144
FASTEST = 120.0  # pictures a second


@dataclass(frozen=True, slots=True)
class View:
    """One frame to be shown."""

    instance: StoredInstance
    index: int  # from 0
    state: PresentationSource | None = None


@dataclass(frozen=True, slots=True)
class Renderer:
    """Makes pictures. One for a process. Everything but `respond` blocks."""

    ctx: WebContext
    frames: Frames
    blender: Blender

    async def respond(self, request: Request, target: Target, numbers: Sequence[int] | None) -> Response:
        """Answer a request; `numbers`: frames from 0, None for whole instances. Raises `Problem`."""
        parameters = parameters_of(request)
        wanted = render_parameters(parameters)
        state = single(parameters, "presentationUID")
        ranges = accepted(request)
        return await self.ctx.heavy(self._answer, request, target, numbers, wanted, state, ranges)

    def _answer(
        self,
        request: Request,
        target: Target,
        numbers: Sequence[int] | None,
        wanted: RenderParameters,
        state: str | None,
        ranges: Sequence[MediaType],
    ) -> Response:
        instances = select(self.ctx, target)
        if target.instance is not None and numbers is None:
            found = instances[0]
            if is_readable(found.sop_class):
                return Documents(self.ctx).respond(request, found, ranges)
            if is_presentation_state(found.sop_class) and (wanted.window is not None or wanted.region is not None):
                raise Problem(
                    400, "a presentation state says the window and the region itself (PS3.18 8.3.5.1.3, 8.3.5.1.4)",
                    "Ask for the image with presentationUID to look at it in another window.",
                )  # fmt: skip
        views = self.views(target, instances, numbers, self.state(state))
        if state is not None:
            self.check_state(views[0].state, views[0].instance, views[0].index)
        several = len(numbers) > 1 if numbers is not None else target.instance is None
        kind = choose(ranges, _offers(several=several))
        check_profile(wanted, kind)
        if kind.startswith("multipart/"):
            return self._parts(views, wanted, ImageFormat(kind.split('"')[1]))
        if kind == MP4 or (kind == ImageFormat.GIF.value and len(views) > 1):
            return self.moving(views, wanted, kind)
        if numbers is not None and several:
            raise Problem(406, "several frames need multipart/related, image/gif or video/mp4")
        return self._still(request, views, wanted, ImageFormat(kind))

    # -- what is to be shown

    def state(self, uid: str | None) -> PresentationSource | None:
        """The presentation state that a parameter names. Raises `Problem` (400, 404)."""
        if uid is None:
            return None
        if not is_tolerable_uid(uid):
            raise Problem(400, "presentationUID is no UID")
        found = next(iter(self.ctx.index.select(Level.IMAGE, instances=(uid,))), None)
        if found is not None and is_undrawn_state(found.sop_class):
            raise _undrawn()
        if found is None or not is_presentation_state(found.sop_class):
            raise Problem(404, "no presentation state is kept under presentationUID")
        return self.frames.state(found)

    def check_state(self, state: PresentationSource | None, instance: StoredInstance, index: int) -> None:
        """Raises `Problem` (400) where a presentation state is not about this frame: it would show it wrongly."""
        if state is not None:
            listed = self.blender.shown_by(state).get(instance.sop_instance)
            if listed is None or (listed and index not in listed):
                raise Problem(400, "the presentation state is not about this image")

    def views(
        self,
        target: Target,
        instances: Sequence[StoredInstance],
        numbers: Sequence[int] | None,
        state: PresentationSource | None,
    ) -> list[View]:
        """What an address with these instances shows. Raises `NoSuchInstance`, `CannotTranscode` (406)."""
        if target.instance is not None and is_presentation_state(instances[0].sop_class):
            return self._of_state(instances[0], numbers)
        if numbers is not None:
            frames = self.frames.open(instances[0])
            for index in numbers:
                frames.check(index)
            return [View(instances[0], index, state) for index in numbers]
        if target.instance is not None:
            if is_undrawn_state(instances[0].sop_class):
                raise _undrawn()
            if instances[0].pixels is None:
                raise CannotTranscode("the instance is no image", hint="Its metadata can be retrieved.")
            count = self.frames.open(instances[0]).count
            return [View(instances[0], index, state) for index in range(min(count, MOST_PICTURES))]
        found = [View(instance, 0, state) for instance in instances if instance.pixels is not None]
        if not found and state is None:
            # A series of presentation states is shown as what they are about.
            found = [
                view
                for instance in instances
                if is_presentation_state(instance.sop_class)
                for view in self._kept(instance)
            ]
        if not found:
            raise CannotTranscode("there is no image under this address", hint="The metadata can be retrieved.")
        return found[:MOST_PICTURES]

    def _of_state(self, instance: StoredInstance, numbers: Sequence[int] | None) -> list[View]:
        source = self.frames.state(instance)
        references = self.blender.shown_by(source)
        found = {
            image.sop_instance: image
            for image in self.ctx.index.select(Level.IMAGE, instances=tuple(references))
            if may_be_about(instance, image) and image.pixels is not None
        }
        views = []
        for uid, listed in references.items():
            if uid in found:
                count = self.frames.open(found[uid]).count
                views += [View(found[uid], index, source) for index in listed or range(count) if 0 <= index < count]
        if not views:
            raise NoSuchInstance("none of the images that the presentation state is about is kept")
        if numbers is not None:
            if any(index >= len(views) for index in numbers):
                raise NoSuchInstance(f"the presentation state shows {len(views)} frames")
            return [views[index] for index in numbers]
        return views[:MOST_PICTURES]

    def _kept(self, instance: StoredInstance) -> list[View]:
        try:
            return self._of_state(instance, None)
        except VesaliusError:
            return []  # the images of one state are not here, or it is broken; the others have theirs

    # -- how it is sent

    def picture(self, view: View, wanted: RenderParameters, kind: ImageFormat, fit: Fit | None = None) -> bytes:
        """One picture. Raises `CannotTranscode`, `DamagedInstance`."""
        frames = self.frames.open(view.instance)
        request = wanted.request(kind, fit=fit, exact_size=kind is ImageFormat.RGB)
        state = view.state
        if state is not None:
            state = self.blender.complete(state, view.instance, view.index)
        return frames.picture(view.index, request, state)

    def tag(self, view: View, wanted: RenderParameters, kind: str) -> str:
        """The entity tag of one picture."""
        state = view.state
        return entity_tag(
            view.instance.member.sha256,
            str(view.instance.coerced),  # whose picture it is stands on it
            str(view.index),
            repr(wanted),
            kind,
            *((state.dataset, self.blender.version(state, view.instance, view.index)) if state is not None else ()),
        )

    def _still(self, request: Request, views: list[View], wanted: RenderParameters, kind: ImageFormat) -> Response:
        view = views[0]
        tag = self.tag(view, wanted, kind.value)
        known = not_modified(request, tag)
        if known is not None:
            return known
        body = self.picture(view, wanted, kind)
        return Response(body, 200, {**REVALIDATE, "ETag": tag, "content-type": kind.value})

    def _parts(self, views: list[View], wanted: RenderParameters, kind: ImageFormat) -> Response:
        frame = Multipart(kind.value)
        first, missing, rest = self._first(views, wanted, kind)
        headers = {}
        if missing:
            headers["Warning"] = f'299 {self.ctx.view.service}: "{missing} images could not be rendered"'

        def pieces() -> Iterator[bytes]:
            yield from (frame.head(content_type(kind.value)), first, b"\r\n")
            for view in rest:
                try:
                    picture = self.picture(view, wanted, kind)
                except VesaliusError:
                    continue  # an image that cannot be shown has no picture; the others have theirs
                yield from (frame.head(content_type(kind.value)), picture, b"\r\n")
            yield frame.end

        status = 206 if missing else 200
        return Streamed(self.ctx, pieces(), frame.content_type, status=status, headers=headers, heavy=True)

    def _first(
        self, views: list[View], wanted: RenderParameters, kind: ImageFormat, fit: Fit | None = None
    ) -> tuple[bytes, int, list[View]]:
        """The first picture that can be made, how many could not before it, and what is left to be made."""
        error: VesaliusError | None = None
        for number, view in enumerate(views):
            try:
                return self.picture(view, wanted, kind, fit), number, views[number + 1 :]
            except VesaliusError as found:
                error = error or found
        raise error or CannotTranscode("there is nothing to be shown")

    def moving(self, views: list[View], wanted: RenderParameters, kind: str) -> Response:
        """An animation of all views. Raises `CannotTranscode`."""
        rate = rate_of(self.frames.open(views[0].instance)) if views[0].instance == views[-1].instance else RATE
        if kind == MP4:
            # Its size has to be known before the first byte: that of a small format says it.
            columns, rows = png_size(self.picture(views[0], wanted, ImageFormat.PNG))
            columns, rows = columns + columns % 2, rows + rows % 2
            chunks = encoded_mp4(self._all(views, wanted, ImageFormat.RGB), columns, rows, rate)
            return Streamed(self.ctx, chunks, MP4, heavy=True)
        first, _, rest = self._first(views, wanted, ImageFormat.GIF)
        columns, rows = (int.from_bytes(first[at : at + 2], "little") for at in (6, 8))
        followers = self._all(rest, wanted, ImageFormat.GIF, replace(wanted.fit or Fit(), width=columns, height=rows))

        def pictures() -> Iterator[bytes]:
            yield first
            yield from followers

        return Streamed(self.ctx, joined_gif(pictures(), rate), ImageFormat.GIF.value, heavy=True)

    def _all(
        self, views: list[View], wanted: RenderParameters, kind: ImageFormat, fit: Fit | None = None
    ) -> Iterator[bytes]:
        for view in views:
            try:
                yield self.picture(view, wanted, kind, fit)
            except CannotTranscode:
                continue


def _undrawn() -> CannotTranscode:
    return CannotTranscode(
        "presentation states of this kind are not drawn here",
        hint="Grayscale, colour, pseudo-colour, blending and advanced blending states are (PS3.3 A.33.1 to 4, A.33.7).",
    )


def check_profile(wanted: RenderParameters, kind: str) -> None:
    """Raises `Problem` (400) where a picture could not say which colours it has, and would be shown in wrong ones."""
    if wanted.profile in (ColourProfile.ADOBE_RGB, ColourProfile.ROMM_RGB) and kind in (MP4, ImageFormat.GIF.value):
        raise Problem(400, f"{kind} cannot carry an ICC profile, so iccprofile can only be no, yes or srgb")


def png_size(picture: bytes) -> tuple[int, int]:
    """Columns and rows of a PNG."""
    return int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")


def rate_of(frames: FrameSet) -> float:
    """Frames a second, as the data set says it (PS3.3 C.7.6.5)."""
    header: Header = frames.header()
    milliseconds = decimal_of(header.text(FRAME_TIME) or "")
    rate = decimal_of(header.text(DISPLAY_RATE) or "") or decimal_of(header.text(CINE_RATE) or "")
    if not rate and milliseconds and milliseconds > 0:
        rate = 1000 / milliseconds
    return min(rate, FASTEST) if rate and rate > 0 else RATE


def _offers(*, several: bool) -> list[str]:
    """What can be made, best first: who takes anything gets parts where several pictures are meant."""
    stills = [each.value for each in STILL]
    many = [f'multipart/related; type="{each}"' for each in stills]
    moving = [MP4] if ffmpeg() else []
    return [*many, *stills, *moving] if several else [*stills, *moving, *many]


def renderer_of(ctx: WebContext) -> Renderer:
    """The renderer of a process."""
    return Renderer(ctx, ctx.frames, Blender(ctx, ctx.frames, Inputs(ctx, ctx.frames, TileInputs(ctx.frames))))


def routes(ctx: WebContext) -> list[Route]:
    """`/rendered` at every level."""
    renderer = renderer_of(ctx)

    async def whole(request: Request) -> Response:
        return await renderer.respond(request, target_of(request), None)

    async def some(request: Request) -> Response:
        numbers = frame_numbers(request.path_params["frames"])
        return await renderer.respond(request, target_of(request), numbers)

    return [
        *(Route(path + "/rendered", whole, methods=["GET"]) for path, _ in LEVELS),
        Route(INSTANCE + "/frames/{frames}/rendered", some, methods=["GET"]),
    ]
