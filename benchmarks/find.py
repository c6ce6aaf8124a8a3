"""C-FIND by four kinds of key, at a thousand studies and at a million."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import Factory
from benchmarks.driver import (
    IMPLICIT_LE,
    STUDY_ROOT_FIND,
    Connection,
    find_message,
    identifier,
    store_in_parallel,
)
from benchmarks.peers import Running, Start, scratch, vesalius
from benchmarks.results import Sample

RETURNS = {"_0020000D": "", "_00100020": "", "_00100010": "", "_00080020": "", "_00080050": "", "_00081030": ""}


def p50(peer: Running, questions: list[bytes]) -> tuple[float, int]:
    """Median round trip in ms over one association, and the number of answers in all."""
    connection = Connection("127.0.0.1", peer.port, peer.aet, contexts=((STUDY_ROOT_FIND, IMPLICIT_LE),))
    for question in questions[:5]:
        connection.ask(question)
    times, answers = [], 0
    for question in questions:
        start = time.perf_counter()
        statuses = connection.ask(question)
        times.append((time.perf_counter() - start) * 1000)
        answers += len(statuses) - 1
        if statuses[-1] != 0:
            raise RuntimeError(f"C-FIND ended with {statuses[-1]:04X}")
    connection.release()
    return statistics.median(times), answers


def questions(keys: list[dict[str, str]]) -> list[bytes]:
    """One C-FIND-RQ per set of keys."""
    return [find_message(identifier(**{**RETURNS, **key}), n % 60000 + 1) for n, key in enumerate(keys)]


def at_size(studies: int, turns: int = 200) -> Iterator[Sample]:
    """Vesalius with so many studies in its index (rows by script, through the index)."""
    from benchmarks import fill_index

    with scratch() as folder:
        data = folder / "data"
        sample = fill_index.fill(data, studies)
        rng = random.Random(1)
        with vesalius(data=data) as peer:
            for label, key in (
                ("PatientID", "patient_id"),
                ("accession number", "accession_number"),
                ("name with *", "name_pattern"),
                ("date range", "date_range"),
            ):
                tag = {
                    "patient_id": "_00100020",
                    "accession_number": "_00080050",
                    "name_pattern": "_00100010",
                    "date_range": "_00080020",
                }[key]
                values = [rng.choice(sample[key]) for _ in range(turns)]
                median, answers = p50(peer, questions([{tag: value} for value in values]))
                if not answers:
                    raise RuntimeError(f"no answers by {label}: the workload measures nothing")
                yield Sample(f"C-FIND by {label}, {studies:,} studies", "vesalius", median, "ms (p50)", higher=False)


def against_peers(peers: dict[str, Start], folder: Path, studies: int = 1000) -> Iterator[Sample]:
    """The same questions to every peer, each holding the same studies of one small instance, received by C-STORE."""
    factory = Factory(3_000)
    instances = []
    ids = []
    for n in range(studies):
        data, instance = factory.dataset(f"find-{n}", 1)
        patient = f"P{n:05}"
        data = data.replace(b"PID-1 ", patient.encode(), 1)
        instances.append((instance, data))
        ids.append(patient)
    rng = random.Random(2)
    asked = questions([{"_00100020": rng.choice(ids)} for _ in range(100)])
    for name, start in peers.items():
        if name in ("storescp", "dcmqrscp"):
            continue  # the one answers no questions, the other forgets studies that arrive this fast
        with start() as peer:
            store_in_parallel(peer.port, peer.aet, [instances])
            median, answers = p50(peer, asked)
            if answers != len(asked):
                raise RuntimeError(f"{peer.name} gave {answers} answers to {len(asked)} questions")
            yield Sample(
                f"C-FIND by PatientID, {studies:,} stored studies", peer.name, median, "ms (p50)", higher=False
            )
