"""Writing zeros ahead of an open pack in idle time.

Theory. Space that fallocate reserved consists of unwritten extents. Writing into one turns it into a written one,
which is a change of metadata: the fdatasync behind it must commit the journal, and with it whatever other files
have in the same transaction. Into space that holds real zeros an instance is written without any change of metadata,
and its sync is one write and one flush. The price is that these bytes are written twice, so it is done
only while nothing arrives, and for as much as one busy moment needs.

Zeros go past the page cache (O_DIRECT): they neither fill memory nor wait, dirty, for the next instance's sync to carry
them. Writers fill their pages to the end, so nothing has to be read back. Where a file system does not take
direct writes, nothing is written ahead, and all that is lost is time.
"""

from __future__ import annotations

import errno
import mmap
import os

import structlog

from vesalius.backends.packs_open import OpenPack
from vesalius.backends.packs_pool import PackPool
from vesalius.model.errors import OutOfResources

log = structlog.get_logger()

_CHUNK = 1 << 20
_ALIGNED = 64 << 10
# A pack that was used less than this long ago is still busy, seconds.
_QUIET = 0.5


def write_ahead(pool: PackPool, now: float) -> int:
    """Write zeros behind the pack that was used last, if it rests and much of them is used up. Bytes written."""
    pack = pool.used_last()
    ahead = pool.settings.zero_ahead
    if (
        pack is None
        or pool.volume.read_only is not None
        or now - pack.last_used < _QUIET
        or pack.zeroed - pack.end > ahead // 2
        or pool.volume.room() < 8 * ahead
    ):
        return 0
    try:
        direct = os.open(pool.volume.pack_path(pack.name), os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return 0
    written = 0
    try:
        with mmap.mmap(-1, _CHUNK) as zeros:
            while pool.used_last() is pack and (size := _write_one(pool, pack, direct, zeros)):
                written += size
        if written:
            with pack.lock:
                if pack.fd >= 0:
                    os.fdatasync(pack.fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            pool.volume.refusal(error, "writing ahead")
            pool.suspect(pack)
    except OutOfResources:
        pass
    finally:
        os.close(direct)
    return written


def _write_one(pool: PackPool, pack: OpenPack, direct: int, zeros: mmap.mmap) -> int:
    """One chunk of zeros behind what is reserved or zeroed; 0 when there is enough. Raises `OSError`."""
    with pack.space:
        at = (max(pack.zeroed, pack.reserved, pack.end) + _ALIGNED - 1) & -_ALIGNED
        if pack.ending or at + _CHUNK > min(pack.end + pool.settings.zero_ahead, pool.settings.pack_size):
            return 0
        if at + _CHUNK > pack.allocated:
            pool.extend(pack, at + _CHUNK)
        done = os.pwrite(direct, zeros, at)
        pack.zeroed = at + done
        return done if done == _CHUNK else 0
