"""Is the service well? The answers behind `/ready`, `/metrics` and the page, for the web process.

`/ready` says yes only if an instance sent now would be stored: a worker takes it, the index answers, the volume has
room and is writable. What costs (counting rows, listing packs) is remembered for a moment, so that no scraper
can make the archive slow.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vesalius import __version__
from vesalius.app import hl7_gauges, metrics
from vesalius.app.board import Board, State
from vesalius.app.checks import Listeners
from vesalius.app.wiring import Archive, index_file, packs_folder
from vesalius.backends.hl7_sql import SqlHl7Log
from vesalius.backends.packs_volume import has_inodes, room_above
from vesalius.model.entities import Totals
from vesalius.model.errors import VesaliusError
from vesalius.model.orders import Images, PerformedStep
from vesalius.ports.ris import Match, Term
from vesalius.web.site import Facts, Place

T = TypeVar("T")
Rows = Sequence[tuple[dict[str, str], float]]

PING_TIMEOUT = 2.0
# Free space that an embedded index should find on its volume: its log alone takes up to this.
INDEX_ROOM = 64 << 20
READY_AGE = 0.5
COUNTS_AGE = 10.0
SHUTTING_DOWN = "shutting down"


@dataclass(slots=True)
class _Remembered(Generic[T]):
    """A value that is computed again when it is older than `age` seconds; by one thread at a time."""

    make: Callable[[], T]
    age: float
    _value: T | None = None
    _at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> T:
        with self._lock:
            if self._value is None or time.monotonic() - self._at > self.age:
                self._value = self.make()
                self._at = time.monotonic()
            return self._value


@dataclass(frozen=True, slots=True)
class _Care:
    """What a keeper of the archive should see to."""

    packs: dict[str, int]  # by state
    damaged: int  # copies of members
    outdated: bool  # the index

    def notices(self) -> tuple[str, ...]:
        """In words, with what to do."""
        found = []
        if self.outdated:
            found.append("the index is older than this version's attributes: stop the service, vesalius reindex")
        if suspect := self.packs.get("suspect", 0):
            found.append(f"{suspect} packs are written to no more after a failed sync: look at the disk")
        if self.damaged:
            found.append(f"{self.damaged} damaged copies: vesalius verify")
        return tuple(found)


class ArchiveSite:
    """`web.site.Site` over the archive and the notice board."""

    def __init__(self, archive: Archive, board: Board, listeners: Listeners) -> None:
        self._archive = archive
        self._board = board
        self._listeners = listeners
        self._started = time.monotonic()
        self._packs = packs_folder(archive.settings)
        self._pinger = ThreadPoolExecutor(1, "ping")
        self._problems = _Remembered(self._find_problems, READY_AGE)
        self._totals = _Remembered(archive.index.totals, COUNTS_AGE)
        self._lags = _Remembered(archive.copy_lags, COUNTS_AGE)
        self._jobs = _Remembered(archive.jobs.counts, COUNTS_AGE)
        self._care = _Remembered(self._find_care, COUNTS_AGE)
        self._images = _Remembered(self._count_images, COUNTS_AGE)
        log = SqlHl7Log(archive.database)
        self._hl7 = _Remembered(lambda: hl7_gauges.gauges(log, archive.clock.utc()), COUNTS_AGE)

    def problems(self) -> list[str]:
        """See `web.site.Site`. What the board says is never remembered: every process must say the same at once."""
        found = self._problems.get()
        if any(row.state is State.STOPPING for row in self._board.rows()):
            return [SHUTTING_DOWN, *(one for one in found if one != SHUTTING_DOWN)]
        return found

    def _find_problems(self) -> list[str]:
        rows = self._board.rows()
        dimse = [row for row in rows if row.kind == "dimse"]
        ready = sum(row.state is State.READY for row in dimse)
        found = []
        if any(row.state is State.STOPPING for row in rows):
            found.append(SHUTTING_DOWN)
        elif ready < len(dimse):
            found.append(f"workers: {len(dimse) - ready} of {len(dimse)} DIMSE workers are not ready")
        if any(row.read_only for row in rows):
            found.append("volume: read-only after a failed write; see the log, then restart")
        ping = self._pinger.submit(self._archive.index.ping)
        try:
            ping.result(PING_TIMEOUT)
        except FutureTimeout:
            found.append(f"index: no answer within {PING_TIMEOUT:g} s")
        except VesaliusError as error:
            found.append(f"index: {error.message}")
        found += self._volume_problems()
        found += self._index_volume_problems()
        return found

    def _index_volume_problems(self) -> list[str]:
        """A question is answered on a full disk, too: only room tells whether the next instance can be indexed."""
        file = index_file(self._archive.settings)
        if file is None:
            return []
        try:
            found = os.statvfs(file.parent)
        except OSError as error:
            return [f"index: {error.strerror}"]
        if room_above(found, INDEX_ROOM) <= 0:
            return [f"index: {found.f_bavail * found.f_frsize >> 20} MiB free on the volume of the database"]
        return []

    def _volume_problems(self) -> list[str]:
        try:
            found = os.statvfs(self._packs)
        except OSError as error:
            return [f"volume: {error.strerror}"]
        if not os.access(self._packs, os.W_OK) or found.f_flag & os.ST_RDONLY:
            return ["volume: not writable"]
        # The store's own rule, so that readiness and answers never contradict each other.
        if room_above(found, self._archive.settings.store.watermark) <= 0:
            return [f"volume: {found.f_bavail * found.f_frsize >> 20} MiB free, under its watermark (store.watermark)"]
        if not has_inodes(found, self._archive.settings.store.least_inodes):
            return [f"volume: {found.f_favail} inodes free"]
        return []

    def _count_images(self) -> dict[str, int]:
        states = (Images.WAITING, Images.MISSING)
        wanted = {state.value: [[Term("images", Match.IN, (state.value,))]] for state in states}
        return self._archive.ris.look(
            lambda view: {state: view.count(PerformedStep, where) for state, where in wanted.items()}
        )

    def _find_care(self) -> _Care:
        index = self._archive.index
        packs: dict[str, int] = {}
        for pack in self._archive.blobs.packs():
            packs[pack.state] = packs.get(pack.state, 0) + 1
        return _Care(packs, len(index.damaged()), index.outdated())

    def metrics(self) -> bytes:
        """See `web.site.Site`."""
        gauges: list[tuple[str, str, Rows]] = []
        rows = self._board.rows()
        gauges.append(
            (
                "vesalius_process_up",
                "1 where the process is ready.",
                [({"kind": r.kind, "number": str(r.number)}, float(r.state is State.READY)) for r in rows],
            )
        )
        gauges.append(
            (
                "vesalius_process_restarts",
                "Restarts since the service began.",
                [({"kind": r.kind, "number": str(r.number)}, float(r.restarts)) for r in rows],
            )
        )
        gauges.append(("vesalius_ready", "1 where /ready says 200.", [({}, float(not self.problems()))]))
        try:
            usage = shutil.disk_usage(self._packs)
            gauges.append(("vesalius_store_free_bytes", "Free space of the packs' volume.", [({}, float(usage.free))]))
            gauges += self._counts()
            gauges += self._hl7.get()
        except (OSError, VesaliusError):
            pass  # a scrape still gets what is known; vesalius_ready tells the rest
        return metrics.render(gauges)

    def _counts(self) -> list[tuple[str, str, Rows]]:
        totals = self._totals.get()
        care = self._care.get()
        kinds = ("patients", "studies", "series", "instances", "conflicts", "notes")
        return [
            ("vesalius_stored", "Rows of the index.", [({"of": kind}, float(getattr(totals, kind))) for kind in kinds]),
            ("vesalius_stored_bytes", "Data set bytes stored.", [({}, float(totals.bytes))]),
            (
                "vesalius_packs",
                "Packs by state.",
                [({"state": state}, float(n)) for state, n in sorted(care.packs.items())],
            ),
            (
                "vesalius_jobs_kept",
                "Jobs by kind and state: open, done, failed.",
                [
                    ({"kind": kind, "state": state.value}, float(n))
                    for (kind, state), n in sorted(
                        self._jobs.get().items(), key=lambda item: (item[0][0], item[0][1].value)
                    )
                ],
            ),
            (
                "vesalius_performed_steps",
                "Performed steps whose images are waited for, or missing: `vesalius ris performed --images missing`.",
                [({"images": state}, float(n)) for state, n in self._images.get().items()],
            ),
            ("vesalius_damaged_copies", "Copies of members that failed their digest.", [({}, float(care.damaged))]),
            ("vesalius_index_outdated", "1 where `vesalius reindex` is due.", [({}, float(care.outdated))]),
            (
                "vesalius_copy_lag_bytes",
                "Bytes that a further place still lacks.",
                [({"place": place}, float(lag)) for place, lag in self._lags.get().items()],
            ),
        ]

    def facts(self) -> Facts:
        """See `web.site.Site`."""
        settings = self._archive.settings
        problems = self.problems()
        try:
            totals, lags, care = self._totals.get(), self._lags.get(), self._care.get()
        except VesaliusError:
            totals, lags, care = Totals(), {}, _Care({}, 0, False)
        dimse = [row for row in self._board.rows() if row.kind == "dimse"]
        associations, association_count = self._board.associations()
        plain = next(one for one in self._listeners.dimse if not one.tls)
        title = settings.server.ae_title
        there = f"{plain.host} {plain.port}"
        return Facts(
            version=__version__,
            ae_title=title,
            listeners=tuple(
                f"{title}@{one.host}:{one.port}{' (TLS)' if one.tls else ''}" for one in self._listeners.dimse
            ),
            store_commands=(
                f"echoscu -aec {title} {there}",
                f"storescu -aec {title} {there} *.dcm",
                f"findscu -aec {title} -S -k QueryRetrieveLevel=STUDY -k PatientName -k StudyDate {there}",
                "vesalius find --level study",
            ),
            workers=(sum(row.state is State.READY for row in dimse), len(dimse)),
            index="PostgreSQL" if settings.database.startswith("postgres") else "SQLite",
            patients=totals.patients,
            studies=totals.studies,
            series=totals.series,
            instances=totals.instances,
            bytes=totals.bytes,
            free_bytes=shutil.disk_usage(self._packs).free,
            modalities=tuple(sorted(totals.by_modality.items())),
            conflicts=totals.conflicts,
            notes=totals.notes,
            places=tuple(Place(name, lag) for name, lag in lags.items()),
            problems=tuple(problems),
            up_seconds=int(time.monotonic() - self._started),
            notices=care.notices(),
            associations=tuple(sorted(associations, key=lambda one: one.since)),
            association_count=association_count,
        )
