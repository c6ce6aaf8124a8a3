"""Transcoding in worker processes that may die without harm.

Theory. A decoder is the largest piece of C code that a stranger's bytes can reach, and the only heavy import of the
archive. So neither lives in a server process: a small pool of workers (`backends/pixels_worker.py`) is started when the
first pixels must be turned, each with a cap on memory and on CPU time, and ended after a while without work. A worker
that crashes, hangs or grows costs one instance its transcoding (`CannotTranscode`) and nothing else.

Choice. The stored transfer syntax is preferred by retrieval itself. Otherwise the first of the following that the
receiver accepts: Explicit VR Little Endian, Implicit VR Little Endian, Deflated Explicit VR Little Endian, Explicit VR
Big Endian (whatever can be decoded can be written so), then, for receivers that take only compressed images, the
lossless JPEG-LS, JPEG 2000, JPEG Lossless SV1, RLE. Nothing is ever compressed with loss.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from vesalius.backends.pixels_syntaxes import DECODABLE, PREFERENCE
from vesalius.model.errors import CannotTranscode, OutOfResources

log = structlog.get_logger()

REQUEST = struct.Struct("<HHQ")  # lengths of stored UID, wanted UID, data set
REPLY = struct.Struct("<BQ")  # 0 data set, 1 message; its length


@dataclass(frozen=True, slots=True)
class CodecLimits:
    """What one worker may use. Every figure is a setting."""

    workers: int = 0  # at most this many at once; 0: one per processor
    memory: int = 4 << 30  # bytes of address space of one worker
    cpu_seconds: int = 120  # per instance
    seconds: float = 180.0  # per instance, waiting for the disk and other processes included
    decoded_bytes: int = 1 << 30  # largest uncompressed data set
    idle_seconds: float = 30.0  # a worker without work ends after this


class _Worker:
    """One worker process, used by one thread at a time."""

    def __init__(self, limits: CodecLimits) -> None:
        environment = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV") if name in os.environ
        }
        environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        self._process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
            [
                sys.executable,
                "-P",
                "-m",
                "vesalius.backends.pixels_worker",
                str(limits.memory),
                str(limits.cpu_seconds),
                str(limits.decoded_bytes),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self._seconds = limits.seconds

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, dataset: bytes, stored: str, wanted: str) -> bytes:
        """One data set there and back. Raises `CannotTranscode`; then `alive` tells whether it can go on."""
        timer = threading.Timer(self._seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            names = stored.encode("ascii", "replace"), wanted.encode("ascii", "replace")
            self._send(REQUEST.pack(len(names[0]), len(names[1]), len(dataset)) + names[0] + names[1])
            self._send(dataset)
            status, length = REPLY.unpack(self._receive(REPLY.size))
            answer = self._receive(length)
        except (OSError, EOFError) as error:
            self.end()
            raise CannotTranscode(
                f"the decoder died or ran out of its limits (exit status {self._process.returncode})",
                hint="the stored bytes are unharmed; have the receiver accept the stored transfer syntax",
            ) from error
        finally:
            timer.cancel()
        if status:
            raise CannotTranscode(answer.decode("utf-8", "replace"))
        return answer

    def end(self) -> None:
        """Kill it and collect what is left."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _send(self, data: bytes) -> None:
        pipe = self._process.stdin
        view = memoryview(data)
        while pipe is not None and len(view):
            view = view[os.write(pipe.fileno(), view[: 1 << 20]) :]

    def _receive(self, length: int) -> bytes:
        pipe = self._process.stdout
        if pipe is None:
            raise EOFError
        parts = []
        while length:
            part = os.read(pipe.fileno(), min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


class PixelCodecs:
    """The transcoder over worker processes. Thread-safe; start is lazy, so an idle one costs nothing."""

    def __init__(self, limits: CodecLimits | None = None) -> None:
        self._limits = limits or CodecLimits()
        self._slots = threading.BoundedSemaphore(self._limits.workers or os.cpu_count() or 1)
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._reaper: threading.Timer | None = None
        self._closed = False

    def choose(self, stored: str, accepted: Sequence[str]) -> str | None:
        """The best of the accepted transfer syntaxes that `stored` can be turned into without loss; None if none."""
        if stored in accepted:
            return stored
        if stored not in DECODABLE:
            return None
        return next((uid for uid in PREFERENCE if uid in accepted), None)

    def transcode(self, dataset: bytes, stored: str, wanted: str) -> bytes:
        """The whole data set in the wanted transfer syntax. Blocks; raises `CannotTranscode`, `OutOfResources`."""
        if stored == wanted:
            return dataset
        if stored not in DECODABLE or wanted not in PREFERENCE:
            raise CannotTranscode(f"no codec from {stored} to {wanted}")
        with self._slots:
            worker = self._take()
            try:
                return worker.ask(dataset, stored, wanted)
            finally:
                self._give(worker)

    def close(self) -> None:
        """End the worker processes."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._reaper is not None:
                self._reaper.cancel()
        for worker in idle:
            worker.end()

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise OutOfResources("the archive is shutting down")
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.end()
        return _Worker(self._limits)

    def _give(self, worker: _Worker) -> None:
        with self._lock:
            if worker.alive and not self._closed:
                self._idle.append(worker)
                if self._reaper is not None:
                    self._reaper.cancel()
                self._reaper = threading.Timer(self._limits.idle_seconds, self._reap)
                self._reaper.daemon = True
                self._reaper.start()
                return
        worker.end()

    def _reap(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()
        if idle:
            log.debug("pixel-workers-ended", workers=len(idle))
