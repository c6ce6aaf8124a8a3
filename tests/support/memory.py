"""A limit of memory for a living service: a control group where one can be made, else a limit for each process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import Server
from tests.support.watch import family

_GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def limited(server: Server, size: int) -> Iterator[str]:
    """The service may not have more than `size` bytes of memory during the block; gives how that is enforced.

    Without a control group each process may map `size` bytes of private data more than it has: that is stricter for one
    process, but says nothing of the sum, which the caller has to watch.
    """
    group = _group(size)
    if group is not None:
        for pid in family(server):
            (group / "cgroup.procs").write_text(str(pid))
        try:
            yield "control group"
        finally:
            for pid in (group / "cgroup.procs").read_text().split():
                (_GROUPS / "cgroup.procs").write_text(pid)
            group.rmdir()
        return
    before = {}
    for pid in family(server):
        before[pid] = resource.prlimit(pid, resource.RLIMIT_DATA)
        most = _data(pid) + size
        resource.prlimit(pid, resource.RLIMIT_DATA, (most, before[pid][1]))
    try:
        yield "RLIMIT_DATA"
    finally:
        for pid, limits in before.items():
            if Path(f"/proc/{pid}").exists():
                resource.prlimit(pid, resource.RLIMIT_DATA, limits)


def _group(size: int) -> Path | None:
    """A new control group (version 2) with this limit, if this user may make one."""
    try:
        if "memory" not in (_GROUPS / "cgroup.controllers").read_text().split():
            return None
        (_GROUPS / "cgroup.subtree_control").write_text("+memory")
        group = _GROUPS / f"vesalius-test-{os.getpid()}"
        group.mkdir()
        (group / "memory.max").write_text(str(size))
        (group / "memory.swap.max").write_text("0")
    except OSError:
        return None
    return group


def _data(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0
