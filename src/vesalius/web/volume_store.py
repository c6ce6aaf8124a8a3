"""The volumes of a web process: found by series, made once for all who ask, given up when nobody waits any more.

Theory. What a series holds is asked of the index on every request (a version, one row), so an answer is never that of
an earlier state. Volumes are kept as files (`imaging/volume_files.py`), the last ones mapped; making one is work of
seconds for a pool of its own, so that it never holds up a search or a picture. Everybody who asks for the same volume
meanwhile waits for the same work; a client that goes away waits no more, and with the last of them the work ends
(bad-input row H28).
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from vesalius.archive.frames import Frames
from vesalius.model.entities import Level, StoredInstance
from vesalius.model.errors import NoSuchInstance
from vesalius.ports.index import Index
from vesalius.web.spaces import Spaces

if TYPE_CHECKING:
    from starlette.requests import Request

    from vesalius.imaging.slices import Slice
    from vesalius.imaging.sources import SeriesSource, SliceHeader, StoredSource
    from vesalius.imaging.space import Volume
    from vesalius.imaging.volumes import Irregular, Tilt, VolumePlan
    from vesalius.web.context import WebContext

T = TypeVar("T")

MAPPED = 32  # volumes that one process has at hand
BUILDERS = 2  # volumes that one process makes at once; each uses all processors for its pixels


class ClientLeft(Exception):
    """There is nobody to answer any more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume, by what a request says of it."""

    series: str
    wish: str = "natural"
    part: int | None = None
    irregular: Irregular = "refuse"
    tilt: Tilt = "correct"
    onto: str | None = None  # on the grid of this series (its first volume, or the only one that is no localizer)
    interpolation: str = "linear"  # how values come onto it


@dataclass(slots=True)
class _Building:
    task: asyncio.Task[Volume]
    cancelled: threading.Event
    waiting: int = 0


class VolumeStore:
    """Volumes of stored series. One for a process. `get` and the other plain functions block."""

    def __init__(self, index: Index, frames: Frames, folder: Path | None, most: int, spaces: Spaces) -> None:
        self._index = index
        self._spaces = spaces
        self._frames = frames
        self._folder = folder
        self._most = most
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._studies: dict[str, str] = {}
        self._mapped: OrderedDict[tuple[Wanted, str], Volume] = OrderedDict()
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()  # of what is made for pictures that are asked for side by side
        self._building: dict[tuple[Wanted, str], _Building] = {}
        self._pool = ThreadPoolExecutor(BUILDERS, "volumes")

    # -- what blocks

    def version(self, series: str) -> str:
        """A text that changes whenever the instances of a series do. Raises `NoSuchInstance`."""
        study = self._studies.get(series)
        found = self._index.versions(study, series) if study is not None else {}
        if series not in found:
            first = next(iter(self._index.select(Level.SERIES, series=(series,))), None)
            if first is None:
                self._studies.pop(series, None)
                raise NoSuchInstance("the series is not known, or has no instances")
            self._studies[series] = first.study
            found = self._index.versions(first.study, series)
            if len(self._studies) > 10_000:
                self._studies.clear()
        return f"{self._studies.get(series, '')} {found.get(series, '')}"

    def version_of(self, wanted: Wanted) -> str:
        """The same for a volume: of all series and registrations that it follows from. Raises `NoSuchInstance`."""
        own = self.version(wanted.series)
        if wanted.onto is None:
            return own
        return f"{own} {self.version(wanted.onto)} {self._spaces.key((wanted.onto, wanted.series))}"

    def source(self, series: str) -> StoredSource:
        """The instances of a series. Raises `NoSuchInstance`."""
        from vesalius.imaging.sources import StoredSource

        return StoredSource(list(self._index.select(Level.SERIES, series=(series,))), self._frames)

    def plans(self, wanted: Wanted) -> tuple[VolumePlan, ...]:
        """The volumes that a series holds, whichever part is wanted. Raises `NoVolume`, `NoValue`, `NoSuchInstance`."""
        from vesalius.imaging.values import Wish
        from vesalius.imaging.volumes import parts

        return parts(self.source(wanted.series), Wish(wanted.wish), irregular=wanted.irregular, tilt=wanted.tilt)

    def described(self, wanted: Wanted) -> tuple[VolumePlan, ...]:
        """What a series holds, or the one volume that is wanted on the grid of another. Raises as `plan`."""
        return self.plans(wanted) if wanted.onto is None else (self.plan(wanted),)

    def plan(self, wanted: Wanted) -> VolumePlan:
        """The volume that is wanted, without its pixels. Raises as `plans`, `NoCommonSpace`."""
        from vesalius.imaging.volumes import chosen

        own = chosen(self.plans(wanted), wanted.part)
        return own if wanted.onto is None else self._onto(own, wanted)

    def _onto(self, own: VolumePlan, wanted: Wanted) -> VolumePlan:
        """The plan of a volume on the grid of another series."""
        from vesalius.imaging.onto import OntoPlan
        from vesalius.imaging.reference_frames import Place
        from vesalius.imaging.resampling import Interpolation
        from vesalius.imaging.volumes import chosen

        fixed = chosen(self.plans(Wanted(wanted.onto or "")), None)
        link = self._spaces.link(
            Place(fixed.frame_of_reference, fixed.source.series), Place(own.frame_of_reference, own.source.series)
        )
        bare = replace(wanted, onto=None, interpolation="linear")
        found = OntoPlan(
            own, fixed, link, Interpolation(wanted.interpolation),
            lambda cancelled: self._make(bare, self.version_of(bare), cancelled),
        )  # fmt: skip
        return cast("VolumePlan", found)

    def ready(self, wanted: Wanted, version: str) -> Volume | None:
        """The volume where this process has it at hand."""
        with self._lock:
            found = self._mapped.get((wanted, version))
            if found is not None:
                self._mapped.move_to_end((wanted, version))
            return found

    def get(
        self, series: str, wish: str = "natural", part: int | None = None, *,
        irregular: Irregular = "refuse", tilt: Tilt = "correct", cancelled: Callable[[], bool] | None = None,
    ) -> Volume:  # fmt: skip
        """A volume, made if need be. Blocks. Raises as `plans`, `Abandoned`, `LimitExceeded`, `OutOfResources`."""
        wanted = Wanted(series, wish, part, irregular, tilt)
        version = self.version_of(wanted)
        return self.ready(wanted, version) or self._make(wanted, version, cancelled)

    def of_images(self, images: Sequence[StoredInstance], wish: str) -> Volume:
        """The one volume that these images of a series are. Blocks. Raises as `get`."""
        from vesalius.imaging.sources import StoredSource

        return self.of_source(StoredSource(images, self._frames), wish)

    def of_source(
        self, source: SeriesSource, wish: str, part: str = "", only: Callable[[SliceHeader, Slice], bool] | None = None
    ) -> Volume:
        """The one volume of a source, or of the slices that `only` lets through and `part` names. Raises as `get`."""
        from vesalius.imaging.values import Wish
        from vesalius.imaging.volume_files import VolumeFiles
        from vesalius.imaging.volumes import chosen, parts

        files = VolumeFiles(self._place(), self._most)
        # As `_make` has it for a whole series.
        key = files.key(source.digest, wish, str(None), "refuse", "correct", *([part] if part else []))
        with self._one_at_a_time:
            return files.get(key) or files.put(key, chosen(parts(source, Wish(wish), only=only), None))

    def _make(self, wanted: Wanted, version: str, cancelled: Callable[[], bool] | None = None) -> Volume:
        from vesalius.imaging.volume_files import VolumeFiles

        files = VolumeFiles(self._place(), self._most)
        plan: VolumePlan | None = None
        source = self.source(wanted.series)
        key = files.key(source.digest, wanted.wish, str(wanted.part), wanted.irregular, wanted.tilt)
        if wanted.onto is not None:
            key = files.key(key, self.source(wanted.onto).digest, version, wanted.interpolation)
        found = files.get(key)
        if found is None:
            plan = self.plan(wanted)
            found = files.put(key, plan, cancelled)
        with self._lock:
            self._mapped[wanted, version] = found
            while len(self._mapped) > MAPPED:
                self._mapped.popitem(last=False)
        return found

    def _place(self) -> Path:
        if self._folder is not None:
            return self._folder
        with self._lock:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="vesalius-volumes-")
            return Path(self._temporary.name)

    # -- on the event loop

    async def fetch(self, ctx: WebContext, request: Request, wanted: Wanted, version: str | None = None) -> Volume:
        """A volume for the one who asks, as long as they stay. Raises as `get`, `ClientLeft`."""
        loop = asyncio.get_running_loop()
        if version is None:
            version = await ctx.call(self.version_of, wanted)
        found = self.ready(wanted, version)
        if found is not None:
            return found
        key = (wanted, version)
        building = self._building.get(key)
        if building is None or building.cancelled.is_set():
            cancelled = threading.Event()
            task = asyncio.ensure_future(
                loop.run_in_executor(self._pool, partial(self._make, wanted, version, cancelled.is_set))
            )
            building = _Building(task, cancelled)  # type: ignore[arg-type]
            self._building[key] = building
            task.add_done_callback(partial(self._built, key, building))
        building.waiting += 1
        try:
            return await stay(request, building.task)
        finally:
            building.waiting -= 1
            if building.waiting == 0:
                building.cancelled.set()

    def _built(self, key: tuple[Wanted, str], building: _Building, task: asyncio.Future[Volume]) -> None:
        if self._building.get(key) is building:
            del self._building[key]
        if not task.cancelled():
            task.exception()  # whoever waits has it; where nobody does, nothing is left to tell

    def close(self) -> None:
        """End the work and let go of files."""
        for building in self._building.values():
            building.cancelled.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._mapped.clear()
        if self._temporary is not None:
            self._temporary.cleanup()


async def stay(request: Request, task: asyncio.Future[T]) -> T:
    """The result of a task while the client is there; the task itself goes on. Raises `ClientLeft`."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft
    finally:
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
