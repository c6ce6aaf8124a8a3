"""Appending a tombstone: whole or not at all, like an instance that waits in memory."""

from __future__ import annotations

import hashlib
import time

from vesalius.backends.packs_format import HEADER, PAGE, Written, encode_tombstone_header, padded
from vesalius.backends.packs_pool import PackPool
from vesalius.backends.packs_tombstones import LARGEST, encode, label_of
from vesalius.backends.packs_volume import write_all
from vesalius.model.entities import Member, Tombstone
from vesalius.model.errors import OutOfResources, VolumeReadOnly


def write(pool: PackPool, tombstone: Tombstone) -> Member:
    """Append it to the pack that comes next. Not durable yet. Raises `OutOfResources`, `VolumeReadOnly`."""
    if pool.volume.read_only is not None:
        raise VolumeReadOnly(f"the store is read-only: {pool.volume.read_only}")
    payload = encode(tombstone)
    if len(payload) > LARGEST:
        raise OutOfResources("too many instances for one tombstone")
    pack = pool.take()
    try:
        written = Written(pack.name, pack.end, b"", len(payload), hashlib.sha256(payload).hexdigest(), time.time_ns())
        header = encode_tombstone_header(written, label_of(tombstone))
        end = pack.end + HEADER + padded(len(payload))
        pool.ensure(pack, end)
    except BaseException:
        pool.give(pack)
        raise
    data = header + payload
    data += bytes(-(pack.end + len(data)) % PAGE)
    try:
        write_all(pack.fd, data, pack.end)
    except OSError as error:
        refusal = pool.volume.refusal(error, "writing a tombstone")
        if pool.volume.read_only is not None:
            pool.suspect(pack)
        pool.take_back(pack)
        raise refusal from error
    pack.end = end
    pool.give(pack)
    return written.member
