"""Bit rot: bytes of stored instances that change behind the archive's back."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ledger import dump


@dataclass(frozen=True)
class Place:
    """Where an instance lies, as the index has it."""

    uid: str
    study: str
    pack: Path
    header: int
    start: int  # of the data set
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


def places(index: Path, packs: Path) -> list[Place]:
    """Every current instance."""
    rows = [dict(row) for row in dump(f"sqlite:///{index}")["instance"]]
    return [
        Place(
            row["sop_instance_uid"],
            row["series_ref"],
            packs / f"{row['pack_ref']}.tar",
            row["header_offset"],
            row["dataset_offset"],
            row["dataset_length"],
        )
        for row in rows
        if row["rank"] == 0
    ]


def _change(path: Path, at: int, data: bytes) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.pwrite(fd, data, at)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _bytes(path: Path, at: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(length)


def flip_bit(place: Place, random_: random.Random) -> None:
    """One bit, somewhere in the data set."""
    at = random_.randrange(place.start, place.end)
    _change(place.pack, at, bytes([_bytes(place.pack, at, 1)[0] ^ 1 << random_.randrange(8)]))


def zero_page(place: Place, random_: random.Random) -> None:
    """A page of zeros where pixels were."""
    at = random_.randrange(place.start, place.end - 600)
    _change(place.pack, at, bytes(min(4096, place.end - at)))


def spoil_header(place: Place, random_: random.Random) -> None:
    """A bit of the member's own header."""
    at = place.header + 512 + random_.randrange(100)
    _change(place.pack, at, bytes([_bytes(place.pack, at, 1)[0] ^ 0x10]))


def swap(one: Place, other: Place) -> None:
    """Two data sets of equal length change places."""
    length = min(one.length, other.length)
    first, second = _bytes(one.pack, one.start, length), _bytes(other.pack, other.start, length)
    _change(one.pack, one.start, second)
    _change(other.pack, other.start, first)


def damage(found: Sequence[Place], share: float, random_: random.Random) -> dict[str, str]:
    """Damage some of the instances in every way. Gives UID -> way."""
    count = max(8, int(len(found) * share))
    chosen = random_.sample(list(found), count + 2)
    ways = {}
    for number, place in enumerate(chosen[:count]):
        way = (flip_bit, zero_page, spoil_header)[number % 3]
        way(place, random_)
        ways[place.uid] = way.__name__
    swap(*chosen[count:])
    return ways | {place.uid: "swap" for place in chosen[count:]}


def cut_short(found: Sequence[Place], random_: random.Random) -> dict[str, str]:
    """A pack loses its end. Gives UID -> way for what lay there."""
    pack = random_.choice(sorted({place.pack for place in found}))
    inside = sorted((place for place in found if place.pack == pack), key=lambda place: place.start)
    last = inside[-1]
    os.truncate(pack, last.start + last.length // 2)
    return {last.uid: "truncated"}
