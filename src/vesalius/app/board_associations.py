"""Who is connected right now, in all processes: a part of the notice board that each DIMSE worker keeps for itself.

Theory. A worker writes down its associations once a second; any process reads all of them. Nothing of this is on the
way of an instance: the writer looks at what its associations count anyway. One section of the mapping for each worker,
one writer for each section, and a number that is odd while it writes: who reads the same even number before and
after has read one state. A section holds `MOST` associations; how many there are beyond is counted.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from vesalius.web.site import LiveAssociation
from vesalius.wire.dimse_elements import CommandField

if TYPE_CHECKING:
    from vesalius.dimse.server import AcceptedAssociation, DimseServer

MOST = 64  # associations of one process
INTERVAL = 1.0  # seconds
_HEAD = struct.Struct("<qqq")  # sequence, length of the body, associations
_SECTION = 32 << 10
_TRIES = 8
_NAMES = {int(each): each.name.removesuffix("_RQ").replace("_", "-") for each in CommandField}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[LiveAssociation, ...]).decode


class AssociationBoard:
    """Shared by fork: made before it, a section for each of `processes`."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._map = mmap.mmap(-1, max(1, processes) * _SECTION)

    def write(self, process: int, associations: Sequence[LiveAssociation]) -> None:
        """A worker's own section, anew."""
        start = process * _SECTION
        shown = list(associations[:MOST])
        body = _encode(shown)
        while len(body) > _SECTION - _HEAD.size:
            shown = shown[: len(shown) // 2]
            body = _encode(shown)
        sequence = _HEAD.unpack_from(self._map, start)[0] | 1
        _HEAD.pack_into(self._map, start, sequence, 0, 0)
        self._map[start + _HEAD.size : start + _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._map, start, sequence, len(body), len(associations))
        struct.pack_into("<q", self._map, start, sequence + 1)

    def read(self) -> tuple[list[LiveAssociation], int]:
        """All that is known, and how many there are."""
        found: list[LiveAssociation] = []
        count = 0
        for process in range(self._processes):
            start = process * _SECTION
            for _ in range(_TRIES):
                before, length, of = _HEAD.unpack_from(self._map, start)
                if before & 1 or not 0 <= length <= _SECTION - _HEAD.size:
                    continue
                body = self._map[start + _HEAD.size : start + _HEAD.size + length]
                if _HEAD.unpack_from(self._map, start)[0] != before:
                    continue
                found += _decode(body) if length else ()
                count += of
                break
        return found, count


def live(assoc: AcceptedAssociation, process: str) -> LiveAssociation:
    """What an association is doing."""
    names: dict[str, int] = {}
    for operation in assoc.operations.values():
        name = _NAMES.get(operation.command.field, f"{operation.command.field:04X}")
        names[name] = names.get(name, 0) + 1
    return LiveAssociation(
        process=process,
        name=assoc.name,
        calling=assoc.calling_aet,
        called=assoc.called_aet,
        address=assoc.address,
        tls=assoc.secure,
        since=assoc.since,
        doing=", ".join(name if count == 1 else f"{name} x {count}" for name, count in sorted(names.items())),
        requests=assoc.requests,
        bytes_in=assoc.bytes_in,
        bytes_out=assoc.bytes_out,
    )


async def tell(write: Callable[[Sequence[LiveAssociation]], None], servers: Iterable[DimseServer], name: str) -> None:
    """Write down a worker's associations, every `INTERVAL` seconds, until cancelled."""
    held = tuple(servers)
    while True:
        accepted = [assoc for server in held for assoc in server.connections if assoc.since and not assoc.ended]
        write([live(assoc, name) for assoc in sorted(accepted, key=lambda assoc: assoc.since)])
        await asyncio.sleep(INTERVAL)
