"""WADO-RS: frames, whole studies, pictures and thumbnails; nginx with the same bytes as files is the limit."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.support.dcmtk import free_port

from benchmarks.data import Factory, real_ct
from benchmarks.driver import store_in_parallel
from benchmarks.peers import Running, Start, scratch
from benchmarks.results import Sample
from benchmarks.web_client import Reader, Web

INSTANCES, STUDIES = 101, 4  # of 525 KB: 212 MB
FRAMES, CONNECTIONS = 400, 4
PICTURES = 40
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"'
READERS = 64


@dataclass(frozen=True)
class Addresses:
    """What a peer is asked for."""

    frames: Sequence[str]
    studies: Sequence[str]
    instances: Sequence[str]


def addresses(client: Web) -> Addresses:
    """As the peer's own search tells them."""
    found = json.loads(client.get("/instances?limit=1000&includefield=StudyInstanceUID,SeriesInstanceUID"))
    if len(found) < INSTANCES * STUDIES:  # a peer with a smaller page
        found = []
        for study in json.loads(client.get("/studies")):
            uid = study["0020000D"]["Value"][0]
            found += json.loads(client.get(f"/studies/{uid}/instances?limit=1000"))
    paths, studies = [], {}
    for one in found:
        study, series, sop = (one[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
        studies[f"/dicom-web/studies/{study}"] = None
        paths.append(f"/dicom-web/studies/{study}/series/{series}/instances/{sop}")
    client.close()
    return Addresses([f"{path}/frames/1" for path in paths[:FRAMES]], list(studies), paths)


def side_by_side(port: int, paths: Sequence[str], accept: str, connections: int) -> tuple[float, int]:
    """Seconds and bytes of all answers, over so many connections at once."""
    counts = [0] * connections
    readers = [Reader(port) for _ in range(connections)]

    def run(number: int) -> None:
        for path in paths[number::connections]:
            counts[number] += readers[number].get(path, accept)
            readers[number] = readers[number].ready(port)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - started
    for reader in readers:
        reader.close()
    if not all(counts):
        raise RuntimeError("a connection got nothing")
    return taken, sum(counts)


@contextmanager
def nginx(root: Path) -> Iterator[int]:
    """Static files of a folder; its port."""
    port = free_port()
    (root / "nginx.conf").write_text(
        f"user root; daemon off; worker_processes 2; pid {root}/pid; error_log {root}/error;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; "
        f"client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;"
        f"uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    )
    process = subprocess.Popen(["nginx", "-p", str(root), "-c", str(root / "nginx.conf")])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def limit(turn: int) -> Iterator[Sample]:
    """The same sizes as static files."""
    if shutil.which("nginx") is None:
        return
    with scratch() as folder:
        folder.chmod(0o755)
        for number in range(FRAMES):
            (folder / f"f{number}").write_bytes(bytes(512 * 512 * 2))
        for number in range(STUDIES):
            (folder / f"s{number}").write_bytes(bytes(525_300 * INSTANCES))
        with nginx(folder) as port:
            files = [f"/f{number}" for number in range(FRAMES)]
            side_by_side(port, files, "*/*", CONNECTIONS)
            seconds, _ = side_by_side(port, files, "*/*", CONNECTIONS)
            yield Sample(LABEL_FRAMES, "nginx", FRAMES / seconds, "frames/s", turn)
            seconds, size = side_by_side(port, [f"/s{number}" for number in range(STUDIES)], "*/*", 1)
            yield Sample(LABEL_STUDIES, "nginx", size / seconds / 1e6, "MB/s", turn)


LABEL_FRAMES = f"WADO-RS {FRAMES} frames of 512 KB, {CONNECTIONS} connections"
LABEL_STUDIES = f"WADO-RS of {STUDIES} studies, 212 MB"
LABEL_PICTURE = "rendered JPEG of a CT of 512 x 512"
LABEL_NOISE = "JPEG of 512 x 512 pixels of noise"
LABEL_THUMBNAIL = "thumbnail from the cache"


def fill(peer: Running) -> None:
    """Four studies by C-STORE."""
    factory = Factory(525_000)
    lists = [
        [(instance, data) for data, instance in (factory.dataset(f"wado-{n}", m) for m in range(1, INSTANCES + 1))]
        for n in range(STUDIES)
    ]
    store_in_parallel(peer.port, peer.aet, lists)


def fill_with_pictures(peer: Running) -> Addresses:
    """Slices of a real CT: what a picture costs depends on what it shows."""
    instances = real_ct(PICTURES + 5)
    store_in_parallel(peer.port, peer.aet, [instances])
    client = Web(peer.http_port)
    paths = []
    for sop, _ in instances:
        (found,) = json.loads(client.get(f"/instances?SOPInstanceUID={sop}&includefield=StudyInstanceUID"))
        study, series = (found[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
        paths.append(f"/dicom-web/studies/{study}/series/{series}/instances/{sop}")
    client.close()
    return Addresses([], [], paths)


def workload(peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """Every peer holds the same studies, received by C-STORE."""
    for turn in range(rounds):
        for name, start in peers.items():
            if name not in ("vesalius", "orthanc"):
                continue
            with start() as peer:
                fill(peer)
                client = Web(peer.http_port)
                found = addresses(client)
                side_by_side(peer.http_port, found.frames[:40], OCTETS, CONNECTIONS)
                seconds, size = side_by_side(peer.http_port, found.frames, OCTETS, CONNECTIONS)
                if size < len(found.frames) * 512 * 512 * 2:
                    raise RuntimeError(f"{peer.name} gave {size} bytes")
                yield Sample(LABEL_FRAMES, peer.name, len(found.frames) / seconds, "frames/s", turn)
                seconds, size = side_by_side(peer.http_port, found.studies, AS_STORED, 1)
                if size < 212e6:
                    raise RuntimeError(f"{peer.name} gave {size} bytes")
                yield Sample(LABEL_STUDIES, peer.name, size / seconds / 1e6, "MB/s", turn)
                noise = pictures(peer, found.instances, "rendered")
                yield Sample(LABEL_NOISE, peer.name, noise, "ms (p50)", turn, higher=False)
                shown = fill_with_pictures(peer)
                picture = pictures(peer, shown.instances, "rendered")
                yield Sample(LABEL_PICTURE, peer.name, picture, "ms (p50)", turn, higher=False)
                if name == "vesalius":
                    pictures(peer, shown.instances, "thumbnail")
                    again = pictures(peer, shown.instances, "thumbnail")
                    yield Sample(LABEL_THUMBNAIL, peer.name, again, "ms (p50)", turn, higher=False)
                    yield from slow_readers(peer, found, turn)
                client.close()
        yield from limit(turn)


def pictures(peer: Running, instances: Sequence[str], what: str) -> float:
    """Median of different pictures one after the other, after a few that are not counted."""
    reader = Reader(peer.http_port)
    taken = []
    for path in instances[: PICTURES + 5]:
        started = time.perf_counter()
        reader.get(f"{path}/{what}", "image/jpeg")
        taken.append((time.perf_counter() - started) * 1000)
    reader.close()
    return statistics.median(taken[5:])


def others(peer: Running, found: Addresses) -> float:
    """95th percentile of other requests, in milliseconds."""
    reader = Reader(peer.http_port)
    taken = []
    for path in list(found.frames[:60]):
        started = time.perf_counter()
        reader.get(path, OCTETS)
        taken.append((time.perf_counter() - started) * 1000)
    reader.close()
    return statistics.quantiles(taken, n=20)[-1]


def crawl(readers: Sequence[Reader]) -> None:
    """Take a little from every connection, again and again."""
    while True:
        for reader in readers:
            reader.slowly(20 << 10)
        time.sleep(0.05)


def slow_readers(peer: Running, found: Addresses, turn: int) -> Iterator[Sample]:
    """Other requests beside readers that take 20 KB of a study now and then; what they cost in memory, and whether that
    stays so."""
    label = f"{READERS} slow readers"
    alone = others(peer, found)
    family = [psutil.Process(peer.pid), *psutil.Process(peer.pid).children(recursive=True)]
    before = sum(process.memory_full_info().uss for process in family)
    readers = [Reader(peer.http_port, window=16 << 10) for _ in range(READERS)]
    for number, reader in enumerate(readers):
        reader.ask(found.studies[number % len(found.studies)], AS_STORED)
    crawler = multiprocessing.get_context("fork").Process(target=crawl, args=(readers,), daemon=True)
    crawler.start()
    time.sleep(1)
    beside = others(peer, found)
    after = sum(process.memory_full_info().uss for process in family)
    time.sleep(5)
    later = sum(process.memory_full_info().uss for process in family)
    crawler.kill()
    crawler.join()
    for reader in readers:
        reader.close()
    yield Sample(f"{label}: p95 of a frame, alone", peer.name, alone, "ms", turn, higher=False)
    yield Sample(f"{label}: p95 of a frame, beside them", peer.name, beside, "ms", turn, higher=False)
    yield Sample(f"{label}: memory they take", peer.name, (after - before) / 1e6, "MB", turn, higher=False)
    yield Sample(f"{label}: more after 5 s", peer.name, max(0.0, later - after) / 1e6, "MB", turn, higher=False)
