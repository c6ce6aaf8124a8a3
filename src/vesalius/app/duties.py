"""What a running service does besides answering: each duty on its own interval, none that an association waits for.

In each DIMSE worker and HTTP process a thread seals its own full or idle packs and tells the notice board if its
volume turned read-only. In the work process: packs are copied to the further places, packs that no process holds any
more (a command line import that ended, a worker that died) are taken up, uploads that were left are imported, bytes of
what was deleted long enough ago are destroyed, and the planner's statistics are refreshed.
A duty that fails is logged once a change and tried again at its next turn: no failure here ends a process.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from vesalius.app.board import Board
from vesalius.app.limits import header_limits
from vesalius.app.wiring import Archive
from vesalius.model.errors import VesaliusError

log = structlog.get_logger()

NOTICE_INTERVAL = 0.5
SEAL_INTERVAL = 5.0
ORPHANS_INTERVAL = 300.0
OPTIMISE_INTERVAL = 900.0
UPLOADS_INTERVAL = 60.0
PRUNE_INTERVAL = 3600.0


@dataclass(slots=True)
class Duty:
    """Something done every `interval` seconds."""

    name: str
    interval: float
    act: Callable[[], None]
    due: float = 0.0
    failing: str = ""

    def run(self, now: float) -> None:
        """Do it if it is due. Never raises."""
        if now < self.due:
            return
        try:
            self.act()
        except VesaliusError as error:
            self._failed(error.message)
        except Exception as error:
            if not self.failing:
                log.exception("duty-failed", duty=self.name)
            self._failed(type(error).__name__)
        else:
            if self.failing:
                log.info("duty-works-again", duty=self.name)
            self.failing = ""
        self.due = time.monotonic() + self.interval

    def _failed(self, reason: str) -> None:
        if reason != self.failing:
            log.warning("duty-failing", duty=self.name, reason=reason)
        self.failing = reason


class _OnlyNews:
    """A log for a recovery that is done again and again: silent unless it found something."""

    def info(self, event: str, **facts: object) -> None:
        if facts.get("members") or facts.get("cut_bytes"):
            log.info(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        log.error(event, **facts)


class WorkerDuties:
    """The thread beside the event loop of a process that receives."""

    def __init__(self, archive: Archive, board: Board, row: int) -> None:
        self._archive = archive
        self._board = board
        self._row = row
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="duties", daemon=True)

    def start(self) -> None:
        """Begin; the first turn comes after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        seal = Duty("seal", SEAL_INTERVAL, self._seal, due=time.monotonic() + SEAL_INTERVAL)
        while not self._stop.wait(NOTICE_INTERVAL):
            self._board.set_read_only(self._row, bool(getattr(self._archive.blobs, "read_only", False)))
            seal.run(time.monotonic())

    def _seal(self) -> None:
        for pack in self._archive.blobs.seal_idle(time.monotonic()):
            self._archive.index.save_pack(pack)
            log.info("pack-sealed", pack=pack.name, members=pack.members, bytes=pack.size)


class HouseDuties:
    """The duties of the work process."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        now = time.monotonic()
        self._duties = [
            Duty("copy", archive.settings.store.copy_interval, self._copy),
            Duty("orphans", ORPHANS_INTERVAL, self._orphans, due=now + ORPHANS_INTERVAL),
            Duty("uploads", UPLOADS_INTERVAL, self._uploads, due=now + UPLOADS_INTERVAL),
            Duty("purge", archive.settings.store.purge_interval, self._purge),
            Duty("prune", PRUNE_INTERVAL, self._prune, due=now + PRUNE_INTERVAL),
            Duty("optimise", OPTIMISE_INTERVAL, archive.index.optimise, due=now + OPTIMISE_INTERVAL),
        ]

    def run(self, stop: threading.Event) -> None:
        """Do whatever is due, until `stop`."""
        pause = min(1.0, self._archive.settings.store.copy_interval)
        while not stop.is_set():
            for duty in self._duties:
                if not stop.is_set():
                    duty.run(time.monotonic())
            stop.wait(pause)

    def _copy(self) -> None:
        from vesalius.archive.copies import copy_all

        if self._archive.blobs.places():
            copy_all(self._archive.blobs, self._archive.index)

    def _orphans(self) -> None:
        from vesalius.archive.reindex import recover

        limits = header_limits(self._archive.settings)
        recover(self._archive.blobs, self._archive.index, _OnlyNews(), limits=limits)
        for pack in self._archive.blobs.seal_idle(time.monotonic()):
            self._archive.index.save_pack(pack)

    def _uploads(self) -> None:
        """Import what is whole and was not (its process died, or there was no room), forget what is old."""
        from vesalius.app.limits import spool_settings
        from vesalius.archive.uploads import UploadBusy, UploadSpool

        spool = UploadSpool(spool_settings(self._archive.settings))
        for upload in spool.whole():
            with contextlib.suppress(UploadBusy):
                spool.take(upload, self._archive.ingest)
        spool.expire(time.time())

    def _prune(self) -> None:
        """Forget jobs that were done, and workitems that were finished, long ago."""
        from vesalius.archive.delete import moment

        keep = self._archive.settings.jobs.keep
        now = self._archive.clock.utc()
        self._archive.jobs.prune(moment(now, -keep))
        self._archive.workitems.purge(moment(now, -self._archive.settings.workitems.keep))

    def _purge(self) -> None:
        from vesalius.archive.purge import LINGER, purge

        store = self._archive.settings.store
        purge(
            self._archive.blobs,
            self._archive.index,
            clock=self._archive.clock,
            window=store.undelete_window,
            compact_dead=store.compact_dead,
            linger=min(LINGER, store.purge_interval),
        )
