"""C-GET and C-MOVE of four studies of 100 x 525 KB, by DCMTK's getscu and movescu."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import dcmtk
from tests.support.generate import uid

from benchmarks.data import Factory
from benchmarks.driver import get_study, store_in_parallel
from benchmarks.peers import DESTINATION, MEMORY, Running, Start, scratch
from benchmarks.results import Sample

STUDIES, INSTANCES = 4, 100


def fill(peer: Running, factory: Factory) -> list[str]:
    """Store the studies; gives their UIDs."""
    template = uid("study", "template")
    for n in range(STUDIES):
        sent = []
        for number in range(1, INSTANCES + 1):
            data, instance = factory.dataset(f"get-{n}", number)
            sent.append((instance, data))
        store_in_parallel(peer.port, peer.aet, [sent])
    return [factory.uid_like(template, "study", f"get-{n}") for n in range(STUDIES)]


def _run(tool: str, args: list[str]) -> None:
    done = subprocess.run(
        [dcmtk.need(tool), *args], env=dcmtk.ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{tool} failed: {done.stdout.decode(errors='replace')[-500:]}")


def get(peer: Running, studies: list[str], folder: Path) -> float:
    """Seconds for C-GET of every study, one after the other; the files are counted."""
    folder.mkdir(parents=True)
    start = time.perf_counter()
    for study in studies:
        _run(
            "getscu",
            [
                "-S",
                "-aec",
                peer.aet,
                "--max-pdu",
                "131072",
                "-od",
                str(folder),
                "-k",
                "0008,0052=STUDY",
                "-k",
                f"0020,000D={study}",
                "127.0.0.1",
                str(peer.port),
            ],
        )
    seconds = time.perf_counter() - start
    found = sum(1 for _ in folder.iterdir())
    if found != STUDIES * INSTANCES:
        raise RuntimeError(f"C-GET from {peer.name} brought {found} instances")
    return seconds


def move(peer: Running, studies: list[str], folder: Path) -> float:
    """Seconds for C-MOVE of every study to a storescp, one after the other; the files are counted."""
    start = time.perf_counter()
    for study in studies:
        _run(
            "movescu",
            [
                "-S",
                "-aec",
                peer.aet,
                "-aem",
                DESTINATION,
                "-k",
                "0008,0052=STUDY",
                "-k",
                f"0020,000D={study}",
                "127.0.0.1",
                str(peer.port),
            ],
        )
    seconds = time.perf_counter() - start
    found = sum(1 for _ in folder.iterdir())
    if found != STUDIES * INSTANCES:
        raise RuntimeError(f"C-MOVE from {peer.name} brought {found} instances")
    return seconds


def workload(peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """Both, instances per second."""
    factory = Factory(525_000)
    total = STUDIES * INSTANCES
    for turn in range(rounds):
        for name, start in peers.items():
            if name == "storescp":
                continue
            with scratch(MEMORY) as folder:
                destination = dcmtk.free_port()
                with start(destination) as peer:
                    studies = fill(peer, factory)
                    yield Sample(
                        f"C-GET {STUDIES} x {INSTANCES} x 525 KB",
                        peer.name,
                        total / get(peer, studies, folder / "get"),
                        "instances/s",
                        turn,
                    )
                    began = time.perf_counter()
                    if sum(get_study(peer.port, peer.aet, study) for study in studies) != total:
                        raise RuntimeError(f"C-GET from {peer.name} did not bring every instance")
                    yield Sample(
                        f"C-GET {STUDIES} x {INSTANCES} x 525 KB, light driver",
                        peer.name,
                        total / (time.perf_counter() - began),
                        "instances/s",
                        turn,
                    )
                    received = folder / "move"
                    received.mkdir()
                    with dcmtk.background(
                        "storescp",
                        "-aet",
                        DESTINATION,
                        "-pdu",
                        "131072",
                        "-od",
                        received,
                        str(destination),
                        port=destination,
                    ):
                        yield Sample(
                            f"C-MOVE {STUDIES} x {INSTANCES} x 525 KB",
                            peer.name,
                            total / move(peer, studies, received),
                            "instances/s",
                            turn,
                        )
