"""QIDO-RS by PatientID: against Orthanc at a thousand studies, and Vesalius at a million."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from benchmarks.data import Factory
from benchmarks.driver import store_in_parallel
from benchmarks.peers import Start, scratch, vesalius
from benchmarks.results import Sample
from benchmarks.web_client import Web, median


def against_peers(peers: dict[str, Start], studies: int = 1000, turns: int = 200) -> Iterator[Sample]:
    """The same questions to every peer, each holding the same studies of one small instance, received by C-STORE."""
    factory = Factory(3_000)
    instances, ids = [], []
    for n in range(studies):
        data, instance = factory.dataset(f"qido-{n}", 1)
        patient = f"P{n:05}"
        instances.append((instance, data.replace(b"PID-1 ", patient.encode(), 1)))
        ids.append(patient)
    rng = random.Random(3)
    paths = [f"/studies?PatientID={rng.choice(ids)}" for _ in range(turns)]
    for name, start in peers.items():
        if name not in ("vesalius", "orthanc"):
            continue
        with start() as peer:
            store_in_parallel(peer.port, peer.aet, [instances])
            client = Web(peer.http_port)
            if len(json.loads(client.get(paths[0]))) != 1:
                raise RuntimeError(f"{peer.name} did not find the one study")
            value = median(client, paths)
            client.close()
            yield Sample(
                f"QIDO-RS by PatientID, {studies:,} stored studies", peer.name, value, "ms (p50)", higher=False
            )


def at_size(studies: int, turns: int = 300) -> Iterator[Sample]:
    """Vesalius with so many studies in its index (rows by script, through the index)."""
    from benchmarks import fill_index

    with scratch() as folder:
        data = folder / "data"
        sample = fill_index.fill(data, studies)
        rng = random.Random(4)
        with vesalius(data=data) as peer:
            client = Web(peer.http_port)
            for label, parameter, key in (
                ("PatientID", "PatientID", "patient_id"),
                ("accession number", "AccessionNumber", "accession_number"),
                ("name with *", "PatientName", "name_pattern"),
            ):
                paths = [f"/studies?{parameter}={rng.choice(sample[key])}" for _ in range(turns)]
                if not json.loads(client.get(paths[0])):
                    raise RuntimeError(f"no answers by {label}: the workload measures nothing")
                value = median(client, paths)
                yield Sample(f"QIDO-RS by {label}, {studies:,} studies", "vesalius", value, "ms (p50)", higher=False)
            page = median(client, ["/studies?limit=25"] * 50)
            yield Sample(f"QIDO-RS first 25 of {studies:,} studies", "vesalius", page, "ms (p50)", higher=False)
            client.close()
