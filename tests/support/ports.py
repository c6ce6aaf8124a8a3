"""Ports for servers that tests start, stop and start again."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

_random = random.Random(os.getpid() ^ random.getrandbits(32))


def free_port() -> int:
    """A TCP port of loopback that nobody listens on right now, below those the kernel gives to outgoing connections.

    A port out of the kernel's own range may be some connection's by the time its server is started again.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = _random.randrange(min(15_000, first - 2_000), first)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port below {first}")
