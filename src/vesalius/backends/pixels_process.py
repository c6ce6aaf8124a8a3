"""One worker process of the pixels, as the server holds it: started, asked, ended."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import subprocess
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass

from vesalius.backends.pixels_messages import HEAD, REPLY, SHARED, Operation, Status
from vesalius.model.errors import CannotTranscode, OutOfResources

# Keys that the server believes a worker to remember. More would only be asked in vain.
REMEMBERED_KEYS = 1024
PIPE = 1 << 20  # bytes; a whole frame goes through without the two processes taking turns


@dataclass(frozen=True, slots=True)
class CodecLimits:
    """What one worker may use. Every figure is a setting."""

    workers: int = 0  # at most this many at once; 0: one per processor
    memory: int = 4 << 30  # bytes of address space of one worker
    cpu_seconds: int = 120  # per instance
    seconds: float = 180.0  # per instance, waiting for the disk and other processes included
    decoded_bytes: int = 1 << 30  # largest uncompressed data set, frame or picture
    idle_seconds: float = 60.0  # a worker without work ends after this
    remembered_bytes: int = 64 << 20  # decoded frames that one worker keeps for the next request


class PixelProcess:
    """One worker process, used by one thread at a time."""

    def __init__(self, limits: CodecLimits) -> None:
        environment = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV") if name in os.environ
        }
        environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        # Frames come and go: their memory is kept and not mapped and faulted in anew for each.
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(16 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
        shared = os.memfd_create("vesalius-pixels", os.MFD_CLOEXEC)
        try:
            os.ftruncate(shared, SHARED)
            self._shared = mmap.mmap(shared, SHARED)
            self._process = self._start(limits, environment, shared)
        finally:
            os.close(shared)
        if self._process.stdin is None or self._process.stdout is None:
            raise OutOfResources("a worker process has no pipes")
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for fd in (self._to, self._from):
            os.set_blocking(fd, False)
            with contextlib.suppress(OSError):  # more than a user may have
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE)
        self._seconds = limits.seconds
        self.keys: OrderedDict[str, None] = OrderedDict()  # what it probably remembers

    @staticmethod
    def _start(limits: CodecLimits, environment: dict[str, str], shared: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  (our own module, no shell)
            [
                sys.executable,
                "-P",
                "-m",
                "vesalius.backends.pixels_worker",
                str(limits.memory),
                str(limits.cpu_seconds),
                str(limits.decoded_bytes),
                str(limits.remembered_bytes),
                str(shared),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
            pass_fds=(shared,),
        )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def remember(self, key: str) -> None:
        """It has seen what `key` names."""
        self.keys[key] = None
        self.keys.move_to_end(key)
        while len(self.keys) > REMEMBERED_KEYS:
            self.keys.popitem(last=False)

    def ask(self, operation: Operation, arguments: bytes, first: bytes = b"", second: bytes = b"") -> bytes | None:
        """One request and its reply; None for MISSING.

        Raises `CannotTranscode`; then `alive` tells whether it can go on.
        """
        deadline = time.monotonic() + self._seconds
        try:
            fits = len(first) + len(second) <= SHARED
            if fits:
                self._shared[: len(first)] = first
                self._shared[len(first) : len(first) + len(second)] = second
            self._send(HEAD.pack(operation, len(arguments), len(first), len(second)) + arguments, deadline)
            if not fits:
                self._send(first, deadline)
                self._send(second, deadline)
            status, length = REPLY.unpack(self._receive(REPLY.size, deadline))
            answer = self._shared[:length] if length <= SHARED else self._receive(length, deadline)
        except (OSError, EOFError) as error:
            self.end()
            raise CannotTranscode(
                f"the decoder died or ran out of its limits (exit status {self._process.returncode})",
                hint="the stored bytes are unharmed; have the receiver accept the stored transfer syntax",
            ) from error
        if status == Status.FAILED:
            raise CannotTranscode(answer.decode("utf-8", "replace"))
        return answer if status == Status.DONE else None

    def end(self) -> None:
        """Kill it and collect what is left."""
        self._process.kill()
        self._process.wait()
        self._shared.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while len(view):
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:
                _wait(self._to, select.POLLOUT, deadline)

    def _receive(self, length: int, deadline: float) -> bytes:
        parts = []
        while length:
            try:
                part = os.read(self._from, min(length, 1 << 20))
            except BlockingIOError:
                _wait(self._from, select.POLLIN, deadline)
                continue
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]


def _wait(fd: int, event: int, deadline: float) -> None:
    """Until a pipe can go on. Raises `TimeoutError` (an `OSError`) at the deadline."""
    poll = select.poll()
    poll.register(fd, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError("the worker does not answer")
