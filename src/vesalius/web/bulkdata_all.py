"""WADO-RS of all bulk data and of all pixel data under an address (PS3.18 10.4.1.1.5, 10.4.1.1.6).

Theory. The bulk data of an instance are the values that our metadata name by a Bulk Data URI, its pixels among them, so
they are found by writing its metadata and reading the addresses in them. Each is a part whose Content-Location is that
address. Encapsulated pixels have no value that could be given: they are a part for each frame, decoded unless a
compressed form is accepted. A document is given under its own media type where octets are not accepted.

In which form pixels go out is known from the index, so what cannot be given is counted before the status goes out: none
at all is 406, some is 206 with a Warning. Headers are read when it is the turn of their instance. Only a client that
takes no octets has them read beforehand, since then most values cannot be given, and how many has to be said first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.frames import FrameSet
from vesalius.archive.headers import Headers
from vesalius.model.bulk_paths import bulk_path, parse_bulk_path
from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotTranscode, NoSuchInstance, VesaliusError
from vesalius.web.bulkdata import MULTIPART_OCTETS, Bulk
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.frame_types import FrameForm, frame_form
from vesalius.web.frames import parts
from vesalius.web.multipart_out import Multipart, Part, content_type
from vesalius.web.negotiation import OCTETS, MediaType, accepted, parse_content_type, weight_of
from vesalius.web.resources import LEVELS, Target, select, target_of
from vesalius.web.streaming import Streamed

DOCUMENT, DOCUMENT_TYPE = "00420011", "00420012"
_BULK = "/bulkdata/"


@dataclass(frozen=True, slots=True)
class Named:
    """A value that the metadata of an instance name."""

    path: str  # the last part of its address
    media_type: str  # in which it goes out


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixels of an instance, as they go out frame by frame."""

    frames: FrameSet
    form: FrameForm

    @property
    def as_stored(self) -> bool:
        """Whether nothing has to be turned."""
        return self.form.transfer_syntax == self.frames.form


@dataclass(frozen=True, slots=True)
class Planned:
    """One instance: its address, and how its pixels go out; None where it has none or they cannot be given."""

    instance: StoredInstance
    base: str
    pixels: Pixels | None


@dataclass(frozen=True, slots=True)
class Everything:
    """Gives all there is. One for a process. Everything but `respond` blocks."""

    ctx: WebContext
    bulk: Bulk

    async def respond(self, request: Request, target: Target, *, pixels_alone: bool) -> Response:
        """Answer a request. Raises `Problem` (404, 406, 410), `CannotTranscode` (406)."""
        ranges = accepted(request)
        root = f"{self.ctx.dicom_web_url(request)}/studies"
        make = self._pixel_data if pixels_alone else self._bulk_data
        return await self.ctx.heavy(make, target, ranges, root)

    # -- pixels alone

    def _pixel_data(self, target: Target, ranges: Sequence[MediaType], root: str) -> Response:
        instances = [each for each in select(self.ctx, target) if each.pixels is not None]
        if not instances:
            raise NoSuchInstance("nothing under this address has pixel data")
        planned, missing, error = self._plan(instances, ranges, root, octets=False)
        shown = [(each.base, each.pixels) for each in planned if each.pixels is not None]
        if not shown:
            raise error or CannotTranscode("no frame can be given")
        heavy = not all(pixels.as_stored for _, pixels in shown)
        every = chain.from_iterable(_frames(base, pixels) for base, pixels in shown)
        first = next(every)  # what is wrong with it can still be said
        return self._answer(first, every, missing, heavy=heavy)

    # -- everything

    def _bulk_data(self, target: Target, ranges: Sequence[MediaType], root: str) -> Response:
        octets = _takes(ranges, OCTETS)
        planned, missing, error = self._plan(select(self.ctx, target), ranges, root, octets=octets)
        if octets:
            values: Iterable[tuple[Planned, list[Named]]] = self._named(planned, root)
        else:
            listed = []
            for each, named in self._named(planned, root):
                kept = [one for one in named if self._is_pixels(each, one) or _takes(ranges, one.media_type)]
                missing += len(named) - len(kept)
                listed.append((each, kept))
            values = listed
        every = (part for each, named in values for part in self._parts(each, named, octets=octets))
        first = next(every, None)
        if first is None and missing:
            raise error or CannotTranscode(
                "the bulk data cannot be given in any of the accepted media types",
                hint=f"Accept: {MULTIPART_OCTETS}",
            )
        if first is None:
            raise NoSuchInstance("nothing under this address has bulk data")
        heavy = not all(each.pixels is None or each.pixels.as_stored for each in planned)
        return self._answer(first, every, missing, heavy=heavy)

    def _named(self, planned: Iterable[Planned], root: str) -> Iterator[tuple[Planned, list[Named]]]:
        """The values of each instance in the order of its data set, its pixels among them."""
        headers = Headers(self.ctx.blobs, self.ctx.retrieve.coerce)
        for each in planned:
            (text,) = headers.json([each.instance], partial(_bulk_root, root))
            attributes: dict[str, Any] = msgspec.json.decode(text)
            named = [
                Named(path, _document_type(attributes) if path == DOCUMENT else OCTETS)
                for path in _addresses(attributes, each.base + _BULK)
            ]
            pixels = each.instance.pixels
            # A header that cannot be shown names nothing, but where its pixels lie is known.
            if pixels is not None and not any(one.path == bulk_path((pixels.tag,)) for one in named):
                named.append(Named(bulk_path((pixels.tag,)), OCTETS))
            yield each, named

    @staticmethod
    def _is_pixels(planned: Planned, named: Named) -> bool:
        pixels = planned.instance.pixels
        return pixels is not None and named.path == bulk_path((pixels.tag,))

    def _parts(self, planned: Planned, named: Sequence[Named], *, octets: bool) -> Iterator[Part]:
        for one in named:
            if self._is_pixels(planned, one):
                pixels = planned.pixels
                if pixels is not None and (pixels.frames.encapsulated or not pixels.form.native):
                    yield from _frames(planned.base, pixels)
                    continue
                if pixels is None and not (octets and _is_native(planned.instance)):
                    continue  # counted among what is missing
            value = self.bulk.value(planned.instance, parse_bulk_path(one.path))
            if value is None:
                continue  # encapsulated, and no frame of it could be told: counted, too
            media_type = OCTETS if octets else one.media_type
            location = f"Content-Location: {planned.base}{_BULK}{one.path}\r\n".encode("latin-1")
            yield content_type(media_type) + location, value.chunks(0, value.length)

    # -- both

    def _plan(
        self, instances: Sequence[StoredInstance], ranges: Sequence[MediaType], root: str, *, octets: bool
    ) -> tuple[list[Planned], int, VesaliusError | Problem | None]:
        """How the pixels of each go out, of how many they cannot, and why; with `octets` native ones always can."""
        planned: list[Planned] = []
        missing = 0
        error: VesaliusError | Problem | None = None
        for instance in instances:
            pixels = None
            if instance.pixels is not None:
                try:
                    frames = self.ctx.frames.open(instance)
                    pixels = Pixels(frames, frame_form(ranges, frames.form, self.ctx.transcoder.can, single=False))
                except (VesaliusError, Problem) as found:
                    error = found
                    missing += not (octets and _is_native(instance))
            planned.append(Planned(instance, _address(root, instance), pixels))
        return planned, missing, error

    def _answer(self, first: Part, every: Iterator[Part], missing: int, *, heavy: bool) -> Response:
        headers = {}
        if missing:
            headers["Warning"] = f'299 {self.ctx.view.service}: "{missing} values could not be delivered"'
        frame = Multipart(_part_type(first))
        return Streamed(
            self.ctx,
            frame.pieces(chain((first,), every)),
            frame.content_type,
            status=206 if missing else 200,
            headers=headers,
            heavy=heavy,
        )


def _is_native(instance: StoredInstance) -> bool:
    """Whether the pixels are one value, whatever their description says."""
    return instance.pixels is not None and not instance.pixels.encapsulated


def _address(root: str, instance: StoredInstance) -> str:
    return f"{root}/{instance.study}/series/{instance.series}/instances/{instance.sop_instance}"


def _bulk_root(root: str, instance: StoredInstance) -> str:
    return _address(root, instance) + "/bulkdata"


def _frames(base: str, pixels: Pixels) -> Iterator[Part]:
    return parts(pixels.frames, range(pixels.frames.count), pixels.form, base)


def _takes(ranges: Sequence[MediaType], part_type: str) -> bool:
    """Whether the client takes parts of a media type."""
    return weight_of(MediaType("multipart", "related", (("type", part_type),)), ranges) > 0


def _part_type(part: Part) -> str:
    """The media type of a part, without parameters."""
    return part[0].decode("latin-1").partition(": ")[2].partition("\r")[0].partition(";")[0]


def _document_type(attributes: dict[str, Any]) -> str:
    """What an encapsulated document says that it is (PS3.3 C.24.2), in no other form than a media type's."""
    values = attributes.get(DOCUMENT_TYPE, {}).get("Value") or [""]
    try:
        return parse_content_type(str(values[0])).essence
    except Problem:
        return OCTETS


def _addresses(attributes: dict[str, Any], root: str) -> Iterator[str]:
    """The paths of every Bulk Data URI in DICOM JSON, in order."""
    for element in attributes.values():
        address = element.get("BulkDataURI")
        if address is not None:
            if address.startswith(root):
                yield address.removeprefix(root)
        elif element.get("vr") == "SQ":
            for item in element.get("Value", ()):
                yield from _addresses(item, root)


def routes(ctx: WebContext) -> list[Route]:
    """`/bulkdata` and `/pixeldata` at every level."""
    everything = Everything(ctx, Bulk(ctx, ctx.frames))

    async def bulk(request: Request) -> Response:
        return await everything.respond(request, target_of(request), pixels_alone=False)

    async def pixels(request: Request) -> Response:
        return await everything.respond(request, target_of(request), pixels_alone=True)

    return [
        *(Route(path + "/bulkdata", bulk, methods=["GET"]) for path, _ in LEVELS),
        *(Route(path + "/pixeldata", pixels, methods=["GET"]) for path, _ in LEVELS),
    ]
