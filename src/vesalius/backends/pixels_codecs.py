"""Pixels turned in worker processes that may die without harm.

Theory. A decoder is the largest piece of C code that a stranger's bytes can reach, and the only heavy import of the
archive. So neither lives in a server process: a small pool of workers (`backends/pixels_worker.py`) is started when the
first pixels must be turned, each with a cap on memory and on CPU time, and ended after a while without work. A worker
that crashes, hangs or grows costs one request its pixels (`CannotTranscode`) and nothing else.

Choice. The stored transfer syntax is preferred by retrieval itself. Otherwise the first of the following that the
receiver accepts: Explicit VR Little Endian, Implicit VR Little Endian, Deflated Explicit VR Little Endian, Explicit VR
Big Endian (whatever can be decoded can be written so), then, for receivers that take only compressed images, the
lossless JPEG-LS, JPEG 2000, JPEG Lossless SV1, HTJ2K, RLE. Nothing is ever compressed with loss unless exactly
that is asked for.

Memory. Who scrolls or changes the window asks for the same frames again: a worker keeps the last ones it has decoded,
up to a bound, and a request goes to the worker that has its frame where that one is free.

Plain pictures of small native frames need no decoder and are made here (`pixels_plain`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

import msgspec
import structlog

from vesalius.backends.pixels_messages import FrameWork, Operation, Transcoding
from vesalius.backends.pixels_plain import is_plain, plain_picture
from vesalius.backends.pixels_process import CodecLimits, PixelProcess
from vesalius.backends.pixels_syntaxes import DECODABLE, ENCODABLE, PREFERENCE
from vesalius.model.errors import CannotTranscode, OutOfResources
from vesalius.model.rendering import RenderRequest
from vesalius.ports.pixels import FrameSource, PresentationSource

__all__ = ["CodecLimits", "PixelCodecs"]

log = structlog.get_logger()


class PixelCodecs:
    """The transcoder over worker processes. Thread-safe; start is lazy, so an idle one costs nothing."""

    def __init__(self, limits: CodecLimits | None = None) -> None:
        self._limits = limits or CodecLimits()
        self._slots = threading.BoundedSemaphore(self._limits.workers or os.cpu_count() or 1)
        self._idle: list[PixelProcess] = []
        self._lock = threading.Lock()
        self._reaper: threading.Timer | None = None
        self._used = 0.0  # when a worker was last given back
        self._closed = False

    def choose(self, stored: str, accepted: Sequence[str]) -> str | None:
        """The best of the accepted transfer syntaxes that `stored` can be turned into without loss; None if none."""
        if stored in accepted:
            return stored
        if stored not in DECODABLE:
            return None
        return next((uid for uid in PREFERENCE if uid in accepted), None)

    def can(self, stored: str, wanted: str) -> bool:
        """Whether there is a codec from one transfer syntax to the other, with loss or without."""
        return stored == wanted or (stored in DECODABLE and wanted in ENCODABLE)

    def transcode(self, dataset: bytes, stored: str, wanted: str) -> bytes:
        """The whole data set in the wanted transfer syntax. Blocks; raises `CannotTranscode`, `OutOfResources`."""
        if stored == wanted:
            return dataset
        if not self.can(stored, wanted):
            raise CannotTranscode(f"no codec from {stored} to {wanted}")
        with self._slots:
            worker = self._take()
            try:
                arguments = msgspec.json.encode(Transcoding(stored, wanted))
                return worker.ask(Operation.TRANSCODE, arguments, dataset) or b""
            finally:
                self._give(worker)

    def frame(self, source: FrameSource, wanted: str) -> bytes:
        """One frame in another transfer syntax. Blocks; raises `CannotTranscode`, `OutOfResources`."""
        stored = source.transfer_syntax
        if wanted not in ENCODABLE or (source.encapsulated and stored not in DECODABLE):
            raise CannotTranscode(f"no codec from {stored} to {wanted}")
        return self._work(Operation.FRAME, _work_of(source, wanted=wanted), source)

    def render(self, source: FrameSource, request: RenderRequest, state: PresentationSource | None = None) -> bytes:
        """One frame as a picture. Blocks; raises `CannotTranscode`, `OutOfResources`."""
        if source.encapsulated and source.transfer_syntax not in DECODABLE:
            raise CannotTranscode(f"no decoder for {source.transfer_syntax}")
        if state is None and is_plain(source, request):
            made = plain_picture(source, request)
            if made is not None:
                return made
        work = _work_of(source, request=request)
        if state is not None:
            work = msgspec.structs.replace(
                work, state_syntax=state.transfer_syntax, state_length=len(state.dataset),
                above_length=len(state.above), sent=False,
            )  # fmt: skip
        return self._work(Operation.RENDER, work, source, state.dataset + state.above if state is not None else b"")

    def close(self) -> None:
        """End the worker processes."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._reaper is not None:
                self._reaper.cancel()
        for worker in idle:
            worker.end()

    def _work(self, operation: Operation, work: FrameWork, source: FrameSource, state: bytes = b"") -> bytes:
        with self._slots:
            worker = self._take(source.key)
            try:
                if source.key in worker.keys:
                    answer = worker.ask(operation, msgspec.json.encode(work), state)
                    if answer is not None:
                        return answer
                work = msgspec.structs.replace(work, sent=True)
                answer = worker.ask(operation, msgspec.json.encode(work), state + source.header(), source.data())
                if answer is None:
                    raise CannotTranscode("the decoder did not keep what it was given")
                worker.remember(source.key)
                return answer
            finally:
                self._give(worker)

    def _take(self, key: str = "") -> PixelProcess:
        with self._lock:
            if self._closed:
                raise OutOfResources("the archive is shutting down")
            for worker in reversed(self._idle):
                if key in worker.keys and worker.alive:
                    self._idle.remove(worker)
                    return worker
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.end()
        return PixelProcess(self._limits)

    def _give(self, worker: PixelProcess) -> None:
        with self._lock:
            if worker.alive and not self._closed:
                self._idle.append(worker)
                self._used = time.monotonic()
                if self._reaper is None:
                    self._reap_in(self._limits.idle_seconds)
                return
        worker.end()

    def _reap_in(self, seconds: float) -> None:
        self._reaper = threading.Timer(seconds, self._reap)
        self._reaper.daemon = True
        self._reaper.start()

    def _reap(self) -> None:
        with self._lock:
            left = self._used + self._limits.idle_seconds - time.monotonic()
            if left > 0 and not self._closed:
                self._reap_in(left)
                return
            self._reaper = None
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()
        if idle:
            log.debug("pixel-workers-ended", workers=len(idle))


def _work_of(source: FrameSource, *, wanted: str = "", request: RenderRequest | None = None) -> FrameWork:
    return FrameWork(
        key=source.key,
        index=source.index,
        transfer_syntax=source.transfer_syntax,
        encapsulated=source.encapsulated,
        floating=source.floating,
        sent=False,
        wanted=wanted,
        request=request,
    )
