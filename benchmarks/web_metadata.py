"""WADO-RS metadata of a study of 100 CT instances: the first time it is asked for, and again."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator

from benchmarks.data import Factory
from benchmarks.driver import store_in_parallel
from benchmarks.peers import Start
from benchmarks.results import Sample
from benchmarks.web_client import Web, milliseconds

INSTANCES = 100
STUDIES = 5
# Some peers prepare metadata behind the scenes after a study has come in; both get the time that a person takes.
SETTLE = 5.0


def workload(peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """Every peer holds the same studies, received by C-STORE; the studies are asked for one after the other."""
    factory = Factory(525_000)
    studies = [f"metadata-{n}" for n in range(STUDIES)]
    uids = [factory.uid_like("2.25." + "7" * 39, "study", study) for study in studies]
    for turn in range(rounds):
        for name, start in peers.items():
            if name not in ("vesalius", "orthanc"):
                continue
            with start() as peer:
                lists = [
                    [
                        (instance, data)
                        for data, instance in (factory.dataset(study, n) for n in range(1, INSTANCES + 1))
                    ]
                    for study in studies
                ]
                store_in_parallel(peer.port, peer.aet, lists)
                time.sleep(SETTLE)
                client = Web(peer.http_port)
                found = json.loads(client.get("/studies?includefield=StudyInstanceUID"))
                uids = [one["0020000D"]["Value"][0] for one in found]
                paths = [f"/studies/{uid}/metadata" for uid in uids]
                first = statistics.median(milliseconds(client, paths))
                again = statistics.median(milliseconds(client, paths * 4))
                count = len(json.loads(client.get(paths[0])))
                if count != INSTANCES:
                    raise RuntimeError(f"{peer.name} gave metadata of {count} instances")
                client.close()
                label = f"metadata of {INSTANCES} CT instances"
                yield Sample(f"{label}, first time", peer.name, first, "ms (p50)", turn, higher=False)
                yield Sample(f"{label}, again", peer.name, again, "ms (p50)", turn, higher=False)
