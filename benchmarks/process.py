"""Memory, start-up, and whether a full archive still receives as fast as an empty one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

from benchmarks.driver import IMPLICIT_LE, VERIFICATION, Connection, store_in_parallel
from benchmarks.peers import Running, Start, scratch, vesalius
from benchmarks.results import Sample
from benchmarks.store import SMALL, factory


def resident(peer: Running) -> tuple[float, float]:
    """MB of all processes of the peer together: resident sizes, and proportional shares (shared pages once)."""
    root = psutil.Process(peer.pid)
    family = [root, *root.children(recursive=True)]
    full = [process.memory_full_info() for process in family]
    return sum(m.rss for m in full) / 1e6, sum(m.pss for m in full) / 1e6


def memory(peers: dict[str, Start], associations: int) -> Iterator[Sample]:
    """Idle, and after many associations that each did a C-ECHO's worth of nothing and released."""
    for name, start in peers.items():
        if name not in ("vesalius", "orthanc"):
            continue
        with start() as peer:
            time.sleep(3)
            rss, pss = resident(peer)
            yield Sample("resident memory, idle", peer.name, rss, "MB", higher=False)
            yield Sample("proportional memory, idle", peer.name, pss, "MB", higher=False)
            for _ in range(associations):
                Connection("127.0.0.1", peer.port, peer.aet, contexts=((VERIFICATION, IMPLICIT_LE),)).release()
            time.sleep(1)
            yield Sample(
                f"resident memory, after {associations:,} associations",
                peer.name,
                resident(peer)[0],
                "MB",
                higher=False,
            )


def growth(small: int, large: int, count: int = 4000) -> Iterator[Sample]:
    """Instances per second (14 KB, one association, light driver) with `small` and with `large` instances stored.

    The first quarter is not counted: the pages of a large index that it needs come from the disk once, while the rows
    that a script has just written are still on their way there.
    """
    from benchmarks import fill_index

    for stored in (small, large):
        with scratch() as folder:
            data = folder / "data"
            fill_index.fill_instances(data, stored)
            start = time.perf_counter()
            with vesalius(data=data) as peer:
                ready = time.perf_counter() - start
                yield Sample(f"start to ready with {stored:,} instances", "vesalius", ready, "s", higher=False)
                instances = []
                for number in range(1, count + count // 3 + 1):
                    dataset, instance = factory(SMALL).dataset(f"growth-{stored}", number)
                    instances.append((instance, dataset))
                store_in_parallel(peer.port, peer.aet, [instances[count:]])
                seconds = store_in_parallel(peer.port, peer.aet, [instances[:count]])
                yield Sample(f"ingest rate at {stored:,} instances stored", "vesalius", count / seconds, "instances/s")
