"""System calls of a running process: counted, failed on purpose, or made the last ones it ever makes (strace).

Attached to the process after its start, so that nothing of the start is counted. strace counts per thread, and a tracer
of one thread counts nothing else: so a point is a thread, a call and a number.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Every call by which a store changes what is on the disk or what the sender knows.
CALLS = (
    "openat",
    "write",
    "writev",
    "pwrite64",
    "pwritev2",
    "fsync",
    "fdatasync",
    "fallocate",
    "ftruncate",
    "rename",
    "link",
    "unlink",
    "sendto",
    "sendmsg",
)


def need_strace() -> None:
    """Skip where no process can be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (Debian package strace)")
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.decode(errors='replace').strip()[:200]}")


@dataclass(frozen=True)
class Call:
    """One system call as strace shows it."""

    tid: int
    name: str
    text: str


@contextmanager
def _attached(arguments: Sequence[str], tids: Sequence[int]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "trace"
        command = ["strace", *arguments, "-o", str(out), *(f"-p{tid}" for tid in tids)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
        assert tracer.stderr is not None
        try:
            os.set_blocking(tracer.stderr.fileno(), False)
            said = b""
            end = time.monotonic() + 20
            while said.count(b" attached") < len(tids):
                said += tracer.stderr.read() or b""
                if tracer.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"strace did not attach: {said.decode(errors='replace')}")
                time.sleep(0.002)
            yield out
        finally:
            with contextlib.suppress(ProcessLookupError):
                tracer.send_signal(signal.SIGINT)
            try:
                tracer.wait(10)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.wait()
            tracer.stderr.close()


def threads_of(pid: int) -> list[int]:
    """The threads of a process."""
    return sorted(int(entry) for entry in os.listdir(f"/proc/{pid}/task"))


@contextmanager
def traced(pid: int, calls: Sequence[str] = CALLS) -> Iterator[list[Call]]:
    """All calls of a process and its threads during the block; the list is filled when the block ends."""
    found: list[Call] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        with _attached(["-f", "-y", "-e", f"trace={','.join(calls)}"], [pid]) as out:
            yield found
            time.sleep(0.05)
            shutil.copy(out, kept)
        for line in kept.read_text(errors="replace").splitlines():
            match = re.match(r"(\d+)\s+(\w+)\((.*)", line)
            if match:
                found.append(Call(int(match[1]), match[2], match[3]))


@contextmanager
def injected(tids: Sequence[int], call: str, what: str, *, follow: bool = False) -> Iterator[None]:
    """During the block `what` happens (`signal=KILL:when=3`, `error=EIO:when=2+`) to a call of these threads."""
    options = ["-f"] if follow else []
    with _attached([*options, "-e", f"trace={call}", "-e", f"inject={call}:{what}"], tids):
        yield


def count(calls: Sequence[Call], tid: int | None = None) -> Counter[str]:
    """How often each call was made (by one thread)."""
    return Counter(one.name for one in calls if tid in (None, one.tid))


def committer_of(calls: Sequence[Call]) -> int:
    """The thread that makes instances durable: it syncs packs."""
    syncing = Counter(one.tid for one in calls if one.name == "fdatasync" and ".tar" in one.text)
    return syncing.most_common(1)[0][0]
