"""C-STORE: one and four associations, by DCMTK's storescu and by the driver of this folder."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.dcmtk import ENVIRONMENT, need

from benchmarks.data import Factory
from benchmarks.driver import store_in_parallel
from benchmarks.peers import Running, Start, scratch
from benchmarks.results import Sample

BIG, SMALL = 525_000, 14_000


@cache
def factory(size: int) -> Factory:
    """One encoding per size and run."""
    return Factory(size)


def by_storescu(peer: Running, folders: list[Path]) -> float:
    """Seconds until every storescu (one per folder, side by side) has sent its files."""
    start = time.perf_counter()
    clients = [
        subprocess.Popen(
            [
                need("storescu"),
                "--max-send-pdu",
                "131072",
                "-aec",
                peer.aet,
                "+sd",
                "127.0.0.1",
                str(peer.port),
                str(folder),
            ],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for folder in folders
    ]
    errors = [client.communicate()[1] for client in clients]
    if any(client.returncode for client in clients):
        raise RuntimeError(f"storescu failed towards {peer.name}: {errors}")
    return time.perf_counter() - start


def workload(size: int, count: int, associations: int, peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """`count` instances in all, split over the associations; instances per second by storescu."""
    label = f"C-STORE {count} x {size // 1000} KB, {associations} association{'s' if associations > 1 else ''}"
    with scratch() as folder:
        folders = []
        for n in range(associations):
            factory(size).files(folder / str(n), f"{size}-{associations}-{n}", count // associations)
            folders.append(folder / str(n))
        for turn in range(rounds):
            for name, start in peers.items():
                if name == "dcmqrscp" and associations > 1:
                    continue  # its index file is locked per association
                with start() as peer:
                    yield Sample(label, peer.name, count / by_storescu(peer, folders), "instances/s", turn)


def own_driver(size: int, count: int, associations: int, peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """The same with the driver of this folder, which costs less than storescu: nearer to the server's own limit."""
    label = f"C-STORE {count} x {size // 1000} KB, {associations} associations, light driver"
    lists = []
    for n in range(associations):
        instances = []
        for number in range(1, count // associations + 1):
            data, instance = factory(size).dataset(f"driver-{size}-{associations}-{n}", number)
            instances.append((instance, data))
        lists.append(instances)
    for turn in range(rounds):
        for name, start in peers.items():
            if name in ("dcmqrscp", "storescp"):
                continue  # one association at a time
            with start() as peer:
                yield Sample(
                    label, peer.name, count / store_in_parallel(peer.port, peer.aet, lists), "instances/s", turn
                )
