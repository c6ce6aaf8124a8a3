"""What is known of an open pack, by the process that holds it and by those that find it left behind."""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass, field

import msgspec


@dataclass(slots=True, eq=False)
class OpenPack:
    """A pack that this process appends to. `lock` guards the descriptor against closing during a sync."""

    name: str
    fd: int
    end: int  # of the last whole member: where the next header goes
    allocated: int  # size of the file
    last_used: float
    reserved: int = 0  # the writer's own, up to here
    zeroed: int = 0  # from `reserved` up to here zeros were written
    ending: bool = False  # being sealed or closed: its size changes no more
    dead_bytes: int = 0
    suspect: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    space: threading.Lock = field(default_factory=threading.Lock)  # guards the four above `dead_bytes`, and the size


class Leftover(msgspec.Struct, frozen=True):
    """An unsealed pack that nobody holds, all of it synced and told to the index."""

    name: str
    end: int
    size: int
    mtime_ns: int
    seen: float = 0.0  # monotonic, of this process

    def is_same(self, other: Leftover) -> bool:
        """Whether nobody has written between two looks."""
        return (self.name, self.end, self.size, self.mtime_ns) == (other.name, other.end, other.size, other.mtime_ns)


decode_leftover = msgspec.json.Decoder(Leftover).decode


def hold(path: str, flags: int = os.O_RDWR) -> int | None:
    """Open a pack and lock it for this process; None if another holder lives. Raises `OSError`."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it, empty, between our open and our lock.
        if os.fstat(fd).st_nlink:
            return fd
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
