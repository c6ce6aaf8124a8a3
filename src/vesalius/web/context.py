"""What every handler of the HTTP edge works with: the verbs of the archive, and a pool of threads to call them in.

Theory. The event loop of a web process only parses, waits and writes; whatever may block (the index, the
packs, the worker processes of pixels) runs in `pool` by `WebContext.call`, and a blocking iterator becomes an
asynchronous one by `WebContext.stream`, one step a hop, so that a reader that is slow holds no thread while it is.
A queue without bound would turn a burst into minutes of waiting: beyond `view.waiting` calls a request is
answered 503 with Retry-After at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from starlette.requests import Request

from vesalius.archive.commit import Commit
from vesalius.archive.frames import Frames
from vesalius.archive.ingest import Ingest
from vesalius.archive.retrieve import Retrieve
from vesalius.archive.search import Search
from vesalius.archive.uploads import SpoolSettings
from vesalius.model.entities import Peer
from vesalius.model.query import QueryLimits
from vesalius.ports.blobs import BlobStore
from vesalius.ports.clock import Clock
from vesalius.ports.index import Index
from vesalius.ports.jobs import Jobs
from vesalius.ports.pixels import Transcoder
from vesalius.ports.ris import Ris
from vesalius.ports.workitems import Workitems
from vesalius.ris.rules import RisRules
from vesalius.web.caller import Caller
from vesalius.web.door import LOOPBACK_HOSTS
from vesalius.web.errors import Problem
from vesalius.web.hl7_desk import Hl7Desk
from vesalius.web.site import Site
from vesalius.web.spaces import Spaces
from vesalius.web.volume_store import VolumeStore

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the HTTP edge needs of the settings. Sizes in bytes, times in seconds."""

    ae_title: str = "VESALIUS"
    version: str = ""
    service: str = "Vesalius"  # the agent of `Warning: 299`
    public_url: str = ""  # "https://pacs.example.org/dicom", for addresses in answers; empty: as the request says
    hosts: frozenset[str] | None = None  # names that this service is reached by; None: any
    dicom_web: str = "/dicom-web"
    api: str = "/api"
    fhir: str = "/fhir"
    viewer: str = "/viewer"
    no_match_status: int = 200  # of a search without a match: 200 with [] (2025 and later) or 204 (before)
    results: int = 10_000  # most answers of one search
    query: QueryLimits = field(default_factory=QueryLimits)
    body_bytes: int = 64 << 20  # largest request body that is held in memory (not uploads, which stream)
    waiting: int = 512  # calls that may wait for a thread
    listeners: int = 256  # event streams (server-sent events) at once
    cache: Path | None = None  # folder for what may be made again at any time; None: memory alone
    metadata_memory: int = 32 << 20  # compressed metadata of series, in this process
    metadata_disk: int = 1 << 30  # and in `cache`
    volumes_disk: int = 20 << 30  # volumes, filled, in `cache` (in a temporary folder without one)
    assets: Path | None = None  # folder of the viewer's files, installed from npm; None: there is no viewer
    upload_idle: float = 60.0  # an upload that brings nothing for this long is ended
    store_bytes: int = 64 << 30  # largest body of STOW-RS; 0: no limit
    worklist_label: str = "Worklist"  # of workitems that name none (PS3.4 CC.2.5)
    undelete_window: float = 30 * 86400.0  # how long a deletion can be taken back
    uploads: SpoolSettings | None = None  # where uploads wait; None: there are none


@dataclass(slots=True)
class _Waiting:
    calls: int = 0


@dataclass(frozen=True, slots=True)
class WebContext:
    """The archive as the HTTP edge sees it. One for a process; handlers share it."""

    site: Site
    search: Search
    retrieve: Retrieve
    index: Index
    blobs: BlobStore
    ingest: Ingest
    transcoder: Transcoder
    clock: Clock
    peers: Callable[[], dict[str, Peer]]  # blocks
    pool: ThreadPoolExecutor
    view: WebSettings = field(default_factory=WebSettings)
    # How many instances under (study, series, instance) were promised to peers (storage commitment). Blocks.
    promised: Callable[[str, str, str], int] = lambda study, series, sop_instance: 0
    caller: Caller | None = None  # None: peers are not called from here
    ris: Ris | None = None  # orders, schedule, patients; None: there is no workflow
    ris_rules: RisRules = field(default_factory=RisRules)
    workitems: Workitems | None = None
    commit: Commit | None = None  # storage commitment, in both roles
    jobs: Jobs | None = None
    hl7: Hl7Desk | None = None  # the log of messages; None: HL7 is not spoken
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # set: answers without an end come to one
    frames: Frames = field(init=False)  # what it works out of instances is shared by everything that opens frames
    pixel_pool: ThreadPoolExecutor = field(init=False)
    spaces: Spaces = field(init=False)  # registrations, and which series share space
    volumes: VolumeStore = field(init=False)  # of stored series
    _waiting: _Waiting = field(default_factory=_Waiting)
    _pixels_waiting: _Waiting = field(default_factory=_Waiting)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", Frames(self.blobs, self.transcoder, self.retrieve.coerce))
        object.__setattr__(self, "spaces", Spaces(self.search, self.index, self.blobs))
        folder = self.view.cache / "volumes" if self.view.cache is not None else None
        object.__setattr__(
            self, "volumes", VolumeStore(self.index, self.frames, folder, self.view.volumes_disk, self.spaces)
        )
        object.__setattr__(self, "pixel_pool", ThreadPoolExecutor((os.cpu_count() or 1) + 2, "pixels"))

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that blocks in the pool. Raises what it raises, and `Problem` (503) when too much waits."""
        return await self._run(self.pool, self._waiting, partial(function, *args, **kwargs))

    async def heavy(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for what waits for a codec: seconds of somebody's pixels must not hold up anybody's search."""
        return await self._run(self.pixel_pool, self._pixels_waiting, partial(function, *args, **kwargs))

    def heavy_task(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]:
        """`heavy` as a task, for who waits for something else beside it."""
        return asyncio.ensure_future(self.heavy(function, *args, **kwargs))

    async def _run(self, pool: ThreadPoolExecutor, waiting: _Waiting, work: Callable[[], T]) -> T:
        if waiting.calls >= self.view.waiting:
            raise Problem(503, "too many requests are waiting", "Ask again in a moment.", headers={"Retry-After": "1"})
        waiting.calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        finally:
            waiting.calls -= 1

    def shutdown(self) -> None:
        """Let the threads end; what still waits for one never runs."""
        for pool in (self.pool, self.pixel_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self.volumes.close()

    async def stream(self, chunks: Iterator[T]) -> AsyncIterator[T]:
        """The items of a blocking iterator, each taken in the pool; the iterator is closed when this ends."""
        end = object()
        try:
            while (item := await self.call(next, chunks, end)) is not end:
                yield item  # type: ignore[misc]
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                await asyncio.get_running_loop().run_in_executor(self.pool, close)

    def base_url(self, request: Request) -> str:
        """Scheme, host and prefix of this service for addresses in answers, without a slash at the end.

        `view.public_url` where it is set: behind a proxy the request does not know the address of the outside.
        """
        if self.view.public_url:
            return self.view.public_url.rstrip("/")
        root = request.scope.get("app_root_path", request.scope.get("root_path", ""))
        host = request.url.netloc
        server = request.scope.get("server")
        # dicomweb-client says "Host: 127.0.0.1" whatever the port; under a name of this machine the port is ours.
        if host in LOOPBACK_HOSTS and server is not None and server[1]:
            host = f"{host}:{server[1]}"
        return f"{request.url.scheme}://{host}{root}"

    def dicom_web_url(self, request: Request) -> str:
        """The root of the DICOMweb services as the client reaches it: `http://host:8042/dicom-web`."""
        return self.base_url(request) + self.view.dicom_web
