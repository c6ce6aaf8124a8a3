"""Instances sent to a group commit whose index can be held up, or told to fail."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from pydicom.dataset import Dataset

from tests.support.archive import LocalArchive, claim_of, dataset_of
from tests.support.generate import ct, part10
from vesalius.archive.ingest import Ingest
from vesalius.model.entities import Arrival, Provenance, Receipt, Verdict


def begin(archive: LocalArchive, ingest: Ingest, instance: int = 1, seed: int = 0, **how: bool) -> Future[Receipt]:
    ds = ct(instance=instance, seed=seed)
    reception = ingest.receive(claim_of(ds), Provenance("c-store"), **how)
    reception.write(dataset_of(part10(ds)))
    return reception.finish()


class Held:
    """Wraps an index: the first question waits, so that everything behind it becomes one batch."""

    def __init__(self, index: object) -> None:
        self._index = index
        self.go = threading.Event()
        self.batches: list[int] = []
        self.fail: Exception | None = None
        self.poison = ""

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)

    def known(self, uids: list[str]) -> dict[str, tuple[str, str]]:
        self.go.wait(10)
        return self._index.known(uids)  # type: ignore[attr-defined, no-any-return]

    def ingest(self, batch: list[Arrival]) -> list[Verdict]:
        self.batches.append(len(batch))
        if self.fail is not None:
            raise self.fail
        if any(arrival.sop_instance == self.poison for arrival in batch):
            raise ValueError("cannot be indexed")
        return self._index.ingest(batch)  # type: ignore[attr-defined, no-any-return]


def send(ingest: Ingest, ds: Dataset, transfer_syntax: str, **how: bool) -> Future[Receipt]:
    reception = ingest.receive(claim_of(ds, transfer_syntax), Provenance("c-store"), **how)
    data = dataset_of(part10(ds, transfer_syntax))
    for at in range(0, len(data), 30_000):
        reception.write(data[at : at + 30_000])
    return reception.finish()
