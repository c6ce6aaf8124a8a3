"""Putting instances into a blob store without the rest of the archive."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.support.generate import uid
from vesalius.model.entities import Claim, Member, Provenance
from vesalius.ports.blobs import BlobStore, BlobWriter, MemberLabel

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
PROVENANCE = Provenance(
    how="c-store",
    calling_aet="MODALITY1",
    called_aet="VESALIUS",
    address="192.0.2.7",
    association="a-17",
    received_at="2026-03-01T08:15:30.123456Z",
)


def noise(size: int, seed: object = 0) -> bytes:
    """Bytes that do not compress and depend on the seed alone."""
    return random.Random(repr((size, seed))).randbytes(size)


def label_of(number: object, provenance: Provenance = PROVENANCE) -> MemberLabel:
    return MemberLabel(uid("study", 1), uid("series", 1), uid("instance", number), CT, EXPLICIT_LE, provenance)


def begin(store: BlobStore, number: object, provenance: Provenance = PROVENANCE) -> BlobWriter:
    return store.begin(Claim(CT, uid("instance", number), EXPLICIT_LE), provenance)


@dataclass(frozen=True)
class Put:
    """An instance in a store and what it should read as."""

    member: Member
    label: MemberLabel
    data: bytes


def put(store: BlobStore, data: bytes, number: object = 1, *, piece: int = 16384, sync: bool = True) -> Put:
    """Write one instance in pieces and, unless told otherwise, make it durable."""
    writer = begin(store, number)
    for at in range(0, len(data), piece):
        writer.write(memoryview(data)[at : at + piece])
    member = writer.finish(label_of(number))
    if sync:
        store.sync([member])
    return Put(member, label_of(number), data)
