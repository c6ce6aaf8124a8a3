"""Network namespaces: two machines in one, joined by a cable, and a firewall that swallows what comes in.

Needs root and iproute2; tests that use it are marked `root` and skip with a clear word otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
SO_ATTACH_FILTER = 26


def need_namespaces() -> None:
    """Skip where no namespaces can be made."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need iproute2")
    probe = f"vesalius-probe-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
    subprocess.run(["ip", "netns", "delete", probe], check=True)


@dataclass(frozen=True)
class Machine:
    """A network namespace with one interface beside its loopback."""

    name: str
    address: str

    @property
    def prefix(self) -> list[str]:
        """What a command begins with to run there."""
        return ["ip", "netns", "exec", self.name]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is there for the time of the block; sockets made in it stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if libc.setns(home.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")

    def listening(self) -> list[tuple[str, int]]:
        """Every TCP address that something listens on there."""
        with self.inside():
            lines = [line for file in ("tcp", "tcp6") for line in _lines(f"/proc/thread-self/net/{file}")]
        found = []
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            if state == "0A":
                address, _, port = local.partition(":")
                found.append((address, int(port, 16)))
        return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()[1:]
    except OSError:
        return []


@contextmanager
def two_machines(tag: str) -> Iterator[tuple[Machine, Machine]]:
    """Two namespaces that reach each other at 10.213.7.1 and .2 and nothing else."""
    need_namespaces()
    names = [f"vsl-{tag}-{side}-{os.getpid()}" for side in ("a", "b")]
    machines = Machine(names[0], "10.213.7.1"), Machine(names[1], "10.213.7.2")
    ends = [f"{tag}{side}{os.getpid()}" for side in ("a", "b")]
    try:
        for machine in machines:
            _ip("netns", "add", machine.name)
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for machine, end in zip(machines, ends, strict=True):
            _ip("link", "set", end, "netns", machine.name)
            _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", end)
            _ip("-n", machine.name, "link", "set", end, "up")
            _ip("-n", machine.name, "link", "set", "lo", "up")
        yield machines
    finally:
        for machine in machines:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", machine.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Firewall:
    """A port whose incoming connections are swallowed without an answer, as a packet filter with DROP does.

    A listening socket with a filter that lets nothing pass: the kernel drops every SYN, and connections from
    inside to the outside are as free as ever. Needs no packet filter of the kernel.
    """

    def __init__(self, machine: Machine, port: int) -> None:
        with machine.inside():
            self._sock = socket.create_server((machine.address, port))
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes of the packet
        program = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", 1, ctypes.addressof(nothing))
        self._sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def __enter__(self) -> Firewall:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
