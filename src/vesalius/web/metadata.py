"""WADO-RS metadata of studies, series and instances (PS3.18 10.4.1.1.2), as JSON and as XML.

Theory. What a viewer asks for first, and again whenever it opens a study. An answer is made from the headers in the
packs (`archive/headers`) once, and then remembered by what it was made of: the versions of the series
(`Index.versions`), the form, and the address that bulk data are named by. So an answer that is still right is found by
one short read of the index; it is never stale, and no one has to be told of a change. Equal requests at the same
time are made once and shared. A study of very many instances is not put together in memory but streams, series
by series.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import zstandard
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from vesalius.archive.headers import Headers
from vesalius.model import dicom_xml
from vesalius.model.entities import Level, StoredInstance
from vesalius.web.answers import REVALIDATE, compress, entity_tag, not_modified
from vesalius.web.cache import DiskCache, MemoryCache
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import DICOM_JSON, JSON, MULTIPART_XML, accepted, choose, choose_encoding
from vesalius.web.parts import multipart
from vesalius.web.qido import uid_of

WHOLE = 2000  # instances whose metadata are put together in memory
BATCH = 50  # instances written in one turn of a stream
SMALL = 500  # instances whose versions are a quarter of a millisecond's work
REMEMBERED = 10_000  # studies and series that are known as small
FORMAT = "1"  # of the bodies: another number forgets what older code has kept

PATHS: tuple[tuple[str, Level], ...] = (
    ("/studies/{study}/metadata", Level.STUDY),
    ("/studies/{study}/series/{series}/metadata", Level.SERIES),
    ("/studies/{study}/series/{series}/instances/{instance}/metadata", Level.IMAGE),
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for."""

    study: str
    series: str | None
    instance: str | None
    form: str  # a media type
    root: str  # of DICOMweb, as the client reaches it

    def bulk_root(self, instance: StoredInstance) -> str:
        """Where the bulk data of an instance are found."""
        return (
            f"{self.root}/studies/{instance.study}/series/{instance.series}/instances/{instance.sop_instance}/bulkdata"
        )


@dataclass(slots=True)
class Metadata:
    """The makers and keepers of metadata in one process."""

    ctx: WebContext
    memory: MemoryCache  # compressed
    whole: MemoryCache  # as they are sent to who takes no coding: unpacking takes longer than all the rest
    disk: DiskCache
    small: set[tuple[str, str | None]] = field(default_factory=set)  # studies and series of few instances
    running: dict[tuple[str, str], asyncio.Task[tuple[bytes, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, ctx: WebContext) -> Metadata:
        """With the caches that the settings allow."""
        view = ctx.view
        folder = view.cache / "metadata" if view.cache is not None else None
        memory, whole = MemoryCache(view.metadata_memory), MemoryCache(view.metadata_memory // 4)
        return cls(ctx, memory, whole, DiskCache(folder, view.metadata_disk))

    async def respond(self, request: Request, wanted: _Wanted) -> Response:
        """Answer a request. Raises `Problem` (404, 410), `IndexUnavailable`, `DamagedInstance`."""
        versions = await self._versions(wanted.study, wanted.series)
        if not versions:
            raise await self.ctx.call(missing, self.ctx, wanted.study, wanted.series, wanted.instance)
        tag = entity_tag(
            FORMAT, wanted.form, wanted.root, wanted.study, wanted.series or "", wanted.instance or "", repr(versions)
        )
        known = not_modified(request, tag)
        if known is not None:
            return known
        coding = choose_encoding(request.headers.get("accept-encoding", ""))
        kept = "zstd" if coding == "identity" else coding
        whole = self.whole.get(tag) if coding == "identity" else None
        body = whole or self.memory.get(tag, kept)
        media_type = self.memory.get(tag, "type")
        if body is None or media_type is None:
            count = _count(versions)
            if count > WHOLE and wanted.instance is None:
                return await self._stream(wanted, tag, coding)
            body, text = await self._shared(tag, kept, wanted, versions)
        else:
            text = media_type.decode()
        headers = {**REVALIDATE, "ETag": tag}
        if coding == "identity":
            if whole is None:
                body = zstandard.ZstdDecompressor().decompress(body)
                self.whole.put(body, tag)
        else:
            headers["Content-Encoding"] = coding
        return Response(body, 200, headers, text)

    async def _versions(self, study: str, series: str | None) -> dict[str, str]:
        """Those of the series that are meant; of what was small when it was asked for last, in the event loop."""
        key = (study, series)
        if key in self.small and self.ctx.index.at_once:
            versions = self.ctx.index.versions(study, series)
        else:
            versions = await self.ctx.call(self.ctx.index.versions, study, series)
        if _count(versions) > SMALL:
            self.small.discard(key)
        elif versions:
            if len(self.small) >= REMEMBERED:
                self.small.clear()
            self.small.add(key)
        return versions

    async def _shared(self, tag: str, coding: str, wanted: _Wanted, versions: dict[str, str]) -> tuple[bytes, str]:
        """A body and its media type, made once for all who ask for it meanwhile."""
        key = (tag, coding)
        task = self.running.get(key)
        if task is None:
            task = asyncio.create_task(self.ctx.call(self._make, tag, coding, wanted, versions))
            self.running[key] = task
            task.add_done_callback(lambda _: self.running.pop(key, None))
        return await asyncio.shield(task)

    # -- in the pool

    def _make(self, tag: str, coding: str, wanted: _Wanted, versions: dict[str, str]) -> tuple[bytes, str]:
        if wanted.form == MULTIPART_XML:
            instances = _select(self.ctx, wanted)
            objects = Headers(self.ctx.blobs, self.ctx.retrieve.coerce).json(instances, wanted.bulk_root)
            body, media_type = multipart((dicom_xml.from_json(one) for one in objects), "application/dicom+xml")
        else:
            body, media_type = b"[" + self._objects(wanted, versions) + b"]", wanted.form
        packed = compress(body, coding)
        self.memory.put(packed, tag, coding)
        self.memory.put(media_type.encode(), tag, "type")
        return packed, media_type

    def _objects(self, wanted: _Wanted, versions: dict[str, str]) -> bytes:
        """The JSON objects of all instances, joined by commas."""
        headers = Headers(self.ctx.blobs, self.ctx.retrieve.coerce)
        if wanted.instance is not None:
            return b",".join(headers.json(_select(self.ctx, wanted), wanted.bulk_root))
        parts = []
        for series in sorted(versions):
            key = (FORMAT, wanted.root, wanted.study, series, versions[series])
            kept = self.disk.get(*key)
            if kept is not None:
                try:
                    parts.append(zstandard.ZstdDecompressor().decompress(kept))
                    continue
                except zstandard.ZstdError:
                    pass  # a file that a power cut left half: made again
            found = self.ctx.index.select(Level.SERIES, studies=(wanted.study,), series=(series,))
            part = b",".join(headers.json(found, wanted.bulk_root))
            self.disk.put(compress(part, "zstd"), *key)
            parts.append(part)
        return b",".join(part for part in parts if part)

    # -- large ones

    async def _stream(self, wanted: _Wanted, tag: str, coding: str) -> Response:
        instances = await self.ctx.call(_select, self.ctx, wanted)
        objects = Headers(self.ctx.blobs, self.ctx.retrieve.coerce).json(instances, wanted.bulk_root)
        headers = {**REVALIDATE, "ETag": tag}
        if wanted.form == MULTIPART_XML:
            return StreamingResponse(self.ctx.stream(_xml_parts(objects, tag)), 200, headers, _xml_type(tag))
        if coding != "identity":
            headers["Content-Encoding"] = coding
        chunks = self.ctx.stream(_coded(_batched(objects), coding))
        return StreamingResponse(chunks, 200, headers, wanted.form)


def _count(versions: Mapping[str, str]) -> int:
    """Instances of some series (`Index.versions` begins with their number)."""
    return sum(int(version.partition("-")[0], 16) for version in versions.values())


def _batched(objects: Iterator[bytes]) -> Iterator[bytes]:
    """The objects of an array, some at a time."""
    pending: list[bytes] = [b"["]
    for number, one in enumerate(objects):
        if number:
            pending.append(b",")
        pending.append(one)
        if number % BATCH == BATCH - 1:
            yield b"".join(pending)
            pending = []
    yield b"".join([*pending, b"]"])


def _coded(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """The chunks in a content coding, as one stream."""
    if coding == "identity":
        yield from chunks
        return
    packer = zlib.compressobj(1, wbits=31) if coding == "gzip" else zstandard.ZstdCompressor(level=1).compressobj()
    for chunk in chunks:
        packed = packer.compress(chunk)
        if packed:
            yield packed
    yield packer.flush()


def _xml_type(tag: str) -> str:
    return f'multipart/related; type="application/dicom+xml"; boundary="{_boundary(tag)}"'


def _boundary(tag: str) -> str:
    return entity_tag(tag, "boundary")[3:-1]


def _xml_parts(objects: Iterator[bytes], tag: str) -> Iterator[bytes]:
    boundary = _boundary(tag).encode()
    for one in objects:
        yield b"--" + boundary + b"\r\nContent-Type: application/dicom+xml\r\n\r\n" + dicom_xml.from_json(one) + b"\r\n"
    yield b"--" + boundary + b"--\r\n"


def _select(ctx: WebContext, wanted: _Wanted) -> Sequence[StoredInstance]:
    """The instances asked for. Raises `Problem` (404, 410)."""
    level = Level.STUDY if wanted.series is None else Level.SERIES if wanted.instance is None else Level.IMAGE
    found = list(
        ctx.index.select(
            level,
            studies=(wanted.study,),
            series=(wanted.series,) if wanted.series is not None else (),
            instances=(wanted.instance,) if wanted.instance is not None else (),
        )
    )
    if not found:
        raise missing(ctx, wanted.study, wanted.series, wanted.instance)
    return found


def missing(ctx: WebContext, study: str, series: str | None = None, instance: str | None = None) -> Problem:
    """404: nothing is kept under this address; 410: it was deleted and can still be brought back (H14). Blocks."""
    if ctx.index.is_deleted(study, series or "", instance or ""):
        return Problem(410, "what was kept under this address is deleted", "It can be brought back for a while.")
    return Problem(404, "nothing is kept under this address", "Search for what there is: /studies?...")


def routes(ctx: WebContext) -> list[Route]:
    """The three addresses of metadata."""
    metadata = Metadata.of(ctx)

    def handler(level: Level) -> Callable[[Request], Awaitable[Response]]:
        async def give(request: Request) -> Response:
            form = choose(accepted(request), (DICOM_JSON, JSON, MULTIPART_XML))
            wanted = _Wanted(
                study=uid_of(request, "study") or "",
                series=uid_of(request, "series"),
                instance=uid_of(request, "instance"),
                form=form,
                root=ctx.dicom_web_url(request),
            )
            return await metadata.respond(request, wanted)

        return give

    return [Route(path, handler(level), methods=["GET"]) for path, level in PATHS]
