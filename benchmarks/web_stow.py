"""STOW-RS: 400 CT instances of 525 KB in requests of 20, over one connection and over four."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks.data import Factory
from benchmarks.peers import Running, Start
from benchmarks.results import Sample
from benchmarks.web_client import Web
from vesalius.model.entities import Claim
from vesalius.model.file_meta import file_prefix
from vesalius.wire.multipart import closing, encode_part

SIZE, INSTANCES, AT_ONCE = 525_000, 400, 20
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
BOUNDARY = "b3nchmark-boundary"


def bodies(factory: Factory, study: str, count: int) -> list[bytes]:
    """The requests, made before the clock starts."""
    made = []
    for first in range(1, count + 1, AT_ONCE):
        parts = []
        for number in range(first, min(first + AT_ONCE, count + 1)):
            data, instance = factory.dataset(study, number)
            parts.append(
                encode_part(
                    BOUNDARY,
                    {"Content-Type": "application/dicom"},
                    file_prefix(Claim(CT, instance, EXPLICIT)) + data,
                )
            )
        made.append(b"".join(parts) + closing(BOUNDARY))
    return made


def post(port: int, requests: Sequence[bytes], failures: list[str]) -> None:
    """Send the requests over one connection, each after the answer to the one before."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = connection.makefile("rb")
        for body in requests:
            head = (
                "POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/dicom+json\r\n"
                f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY}\r\n'
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode())
            connection.sendall(body)
            status, length = file.readline(), 0
            while (line := file.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            answer = file.read(length)
            if b" 200 " not in status or answer.count(b"00081155") != AT_ONCE:
                failures.append(f"{status!r} {answer[:300]!r}")
                return


def run(peer: Running, connections: int, turn: int) -> float:
    """Instances a second."""
    factory = Factory(SIZE)
    lists = [bodies(factory, f"stow-{turn}-{connections}-{n}", INSTANCES // connections) for n in range(connections)]
    failures: list[str] = []
    threads = [threading.Thread(target=post, args=(peer.http_port, one, failures)) for one in lists]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - started
    if failures:
        raise RuntimeError(f"{peer.name}: {failures[0]}")
    return INSTANCES / taken


def workload(peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """Every peer receives the same instances into an empty store, one connection first, then four."""
    for turn in range(rounds):
        for name, start in peers.items():
            if name not in ("vesalius", "orthanc"):
                continue
            with start() as peer:
                warm = Web(peer.http_port)
                warm.get("/studies?limit=1")
                warm.close()
                for connections in (1, 4):
                    label = f"STOW-RS {INSTANCES} x 525 KB, {AT_ONCE} a request, {connections} connection"
                    yield Sample(
                        label + "s" * (connections > 1), peer.name, run(peer, connections, turn), "instances/s", turn
                    )
