"""WADO-URI (PS3.18 9): one object by the query of an address, as a DICOM file or as a picture.

`/wado?requestType=WADO&studyUID=...&seriesUID=...&objectUID=...`. The default is image/jpeg for one frame and
application/dicom for what has several frames or none. Parameters that do not go together are 400, and so is what
this archive does not do but must not ignore (`anonymize`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotTranscode
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.rendering import Fit, ImageFormat, Region
from vesalius.standard.transfer_syntaxes import EXPLICIT_BE, IMPLICIT_LE
from vesalius.web.animation import ffmpeg
from vesalius.web.answers import REVALIDATE, not_modified
from vesalius.web.context import WebContext
from vesalius.web.documents import Documents, is_readable, offers
from vesalius.web.errors import Problem
from vesalius.web.negotiation import DICOM, MediaType, accepted, choose, parse_media_types, single
from vesalius.web.render_parameters import (
    LARGEST_PICTURE,
    Parameters,
    RenderParameters,
    annotations_of,
    number_of,
    parameters_of,
    quality_of,
    side_of,
    window_of,
)
from vesalius.web.rendered import MP4, STILL, Renderer, View, renderer_of
from vesalius.web.resources import Target, one
from vesalius.web.transfer import Container, Form
from vesalius.web.wado import Wado

_PICTURES = tuple(each.value for each in STILL)
# Only for pictures (9.1.2.2), and only for DICOM files (9.1.2.3).
_OF_PICTURES = (
    *("annotation", "rows", "columns", "region", "windowCenter", "windowWidth", "imageQuality"),
    *("presentationUID", "presentationSeriesUID"),
)


@dataclass(frozen=True, slots=True)
class WadoUri:
    """Answers WADO-URI. One for a process."""

    ctx: WebContext
    wado: Wado
    renderer: Renderer

    async def respond(self, request: Request) -> Response:
        """Answer a request. Raises `Problem`, `NoSuchInstance`, `CannotTranscode`, `DamagedInstance`."""
        parameters = parameters_of(request)
        if single(parameters, "requestType") != "WADO":
            raise Problem(400, "requestType must be WADO")
        if single(parameters, "anonymize") is not None:
            raise Problem(400, "anonymize is not offered here", "De-identify what was retrieved.")
        target = Target(*(_uid(parameters, name) for name in ("studyUID", "seriesUID", "objectUID")))
        asked = single(parameters, "contentType")
        ranges = parse_media_types(asked) if asked else accepted(request)
        instance = await self.ctx.call(one, self.ctx, target)
        kind = await self.ctx.call(self._kind, instance, ranges)
        if kind == DICOM:
            return await self._file(instance, parameters)
        if is_readable(instance.sop_class):
            return await self.ctx.heavy(self._document, request, instance, parameters, kind)
        return await self.ctx.heavy(self._picture, request, instance, parameters, kind)

    def _kind(self, instance: StoredInstance, ranges: Sequence[MediaType]) -> str:
        """The media type of the answer. Raises `Problem` (406)."""
        frames = 0
        if is_readable(instance.sop_class):
            return choose(ranges, [DICOM, *offers(instance.sop_class)])
        if instance.pixels is not None:
            frames = self.renderer.frames.open(instance).count if not instance.pixels.encapsulated else 0
            frames = frames or len(instance.pixels.frames)
        moving = [MP4] if ffmpeg() and frames > 1 else []
        pictures = [*_PICTURES, *moving]
        return choose(ranges, [*pictures, DICOM] if frames == 1 else [DICOM, *(pictures if frames else ())])

    async def _file(self, instance: StoredInstance, parameters: Parameters) -> Response:
        for name in (*_OF_PICTURES, "frameNumber"):
            if name in parameters:
                raise Problem(400, f"{name} does not go together with application/dicom")
        syntax = single(parameters, "transferSyntax") or ""
        if syntax not in ("", "*") and not is_tolerable_uid(syntax):
            raise Problem(400, "transferSyntax is no UID")
        if syntax in (IMPLICIT_LE, EXPLICIT_BE):
            raise Problem(400, "transferSyntax must not be an implicit or big endian one (PS3.18 9.1.2.3.2)")
        # The default is Explicit VR Little Endian; a syntax that cannot be made is answered with it (9.1.2.3.2).
        # "*" is no UID and in no edition, but what clients that were made for WADO-RS send: as stored.
        weights = ((1.0, syntax), (0.5, "")) if syntax else ((1.0, ""),)
        form = Form(Container.SINGLE, weights)
        response = await self.wado.give([instance], form)
        response.raw_headers = [
            (name, DICOM.encode() if name == b"content-type" else value) for name, value in response.raw_headers
        ]
        return response

    def _document(self, request: Request, instance: StoredInstance, parameters: Parameters, kind: str) -> Response:
        for name in (*_OF_PICTURES, "frameNumber", "transferSyntax"):
            if name in parameters:
                raise Problem(400, f"{name} does not go together with {kind}")
        return Documents(self.ctx).respond(request, instance, parse_media_types(kind))

    def _picture(self, request: Request, instance: StoredInstance, parameters: Parameters, kind: str) -> Response:
        if "transferSyntax" in parameters:
            raise Problem(400, "transferSyntax goes together with application/dicom only")
        wanted = picture_parameters(parameters)
        state_uid = single(parameters, "presentationUID")
        if (state_uid is None) != (single(parameters, "presentationSeriesUID") is None):
            raise Problem(400, "presentationUID and presentationSeriesUID go together")
        state = self.renderer.state(state_uid)
        if state_uid is not None and any(wanted_by in parameters for wanted_by in ("windowCenter", "windowWidth")):
            raise Problem(400, "a window does not go together with a presentation state")
        if instance.pixels is None:
            raise CannotTranscode("the object is no image", hint="Ask for contentType=application/dicom.")
        text = single(parameters, "frameNumber")
        if text is not None and not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) >= 1):
            raise Problem(400, "frameNumber is a number from 1 on")
        frames = self.renderer.frames.open(instance)
        if text is None and frames.count > 1 and kind in (MP4, ImageFormat.GIF.value):
            views = [View(instance, index, state) for index in range(frames.count)]
            return self.renderer.moving(views, wanted, kind)
        index = int(text) - 1 if text is not None else 0
        frames.check(index)
        self.renderer.check_state(state, instance, index)
        view = View(instance, index, state)
        tag = self.renderer.tag(view, wanted, kind)
        known = not_modified(request, tag)
        if known is not None:
            return known
        body = self.renderer.picture(view, wanted, ImageFormat(kind))
        return Response(body, 200, {**REVALIDATE, "ETag": tag, "content-type": kind})


def picture_parameters(parameters: Parameters) -> RenderParameters:
    """The parameters of a picture (9.1.2.2). Raises `Problem` (400)."""
    patient, technique = annotations_of(single(parameters, "annotation"))
    center, width = single(parameters, "windowCenter"), single(parameters, "windowWidth")
    if (center is None) != (width is None):
        raise Problem(400, "windowCenter and windowWidth go together")
    rows, columns = single(parameters, "rows"), single(parameters, "columns")
    fit = None
    if rows is not None or columns is not None:
        fit = Fit(
            width=side_of(columns, "columns") if columns is not None else None,
            height=side_of(rows, "rows") if rows is not None else None,
        )
        if (fit.width or 1) * (fit.height or 1) > LARGEST_PICTURE:
            raise Problem(400, "rows and columns are too large")
    return RenderParameters(
        quality=quality_of(single(parameters, "imageQuality"), "imageQuality"),
        window=window_of(center, width) if center is not None and width is not None else None,
        region=_region(single(parameters, "region")),
        fit=fit,
        patient=patient,
        technique=technique,
    )


def _region(text: str | None) -> Region | None:
    """`xmin,ymin,xmax,ymax` as fractions of the image (9.1.2.2.5)."""
    if text is None:
        return None
    parts = [number_of(part, "region") for part in text.split(",")]
    if len(parts) != 4 or not all(0 <= part <= 1 for part in parts) or parts[0] >= parts[2] or parts[1] >= parts[3]:
        raise Problem(400, "region is xmin,ymin,xmax,ymax, fractions of the image between 0 and 1")
    left, top, right, bottom = parts
    return Region(left, top, right - left, bottom - top, fractions=True)


def _uid(parameters: Parameters, name: str) -> str:
    uid = single(parameters, name)
    if not uid:
        raise Problem(400, f"{name} is missing")
    if not is_tolerable_uid(uid):
        raise Problem(400, f"{name} is no UID")
    return uid


def routes(ctx: WebContext) -> list[Route]:
    """`/wado`."""
    uri = WadoUri(ctx, Wado(ctx), renderer_of(ctx))
    return [Route("/wado", uri.respond, methods=["GET"])]
