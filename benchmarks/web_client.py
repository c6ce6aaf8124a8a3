"""Two small HTTP clients over one kept connection: one to ask with, one to measure with.

What the second costs is the same for every peer and next to nothing (65 us a round trip with a server that does
nothing, where `http.client` takes 105).
"""

from __future__ import annotations

import http.client
import socket
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Web:
    """One connection to a peer's DICOMweb."""

    port: int
    root: str = "/dicom-web"

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str, accept: str = "application/dicom+json", encoding: str = "identity") -> bytes:
        """The body of an answer with status 200."""
        headers = {"Accept": accept, "Accept-Encoding": encoding}
        self._connection.request("GET", self.root + path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Reader:
    """A connection that reads answers and throws them away; as cheap for one framing as for the other."""

    def __init__(self, port: int, *, window: int = 0) -> None:
        self._socket = socket.socket()
        if window:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb", 1 << 18)
        self._buffer = memoryview(bytearray(1 << 20))
        self._open = True

    def ask(self, path: str, accept: str) -> None:
        """Send a request."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n".encode())

    def get(self, path: str, accept: str = "*/*") -> int:
        """Bytes of the body of an answer with status 200."""
        self.ask(path, accept)
        status = self._file.readline()
        fields = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        if b" 200 " not in status:
            raise RuntimeError(f"{path}: {status!r}")
        if b"content-length" in fields:
            return self._drop(int(fields[b"content-length"]))
        total = 0
        if fields.get(b"connection", b"").lower() == b"close":
            self._open = False
            while got := self._file.readinto(self._buffer):
                total += got
            return total
        while size := int(self._file.readline(), 16):
            total += self._drop(size)
            self._file.readline()
        self._file.readline()
        return total

    def ready(self, port: int) -> Reader:
        """This one, or a new one where the peer has ended the connection with its answer."""
        if self._open:
            return self
        self.close()
        return Reader(port)

    def slowly(self, size: int) -> int:
        """At most some bytes of what has come."""
        return self._socket.recv_into(self._buffer, size)

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()

    def _drop(self, size: int) -> int:
        left = size
        while left:
            got = self._file.readinto(self._buffer[: min(left, len(self._buffer))])
            if not got:
                raise RuntimeError("the answer was cut short")
            left -= got
        return size


def milliseconds(client: Web, paths: Sequence[str], accept: str = "application/dicom+json") -> list[float]:
    """How long each answer takes to be there whole."""
    reader = Reader(client.port)
    taken = []
    for path in paths:
        started = time.perf_counter()
        reader.get(client.root + path, accept)
        taken.append((time.perf_counter() - started) * 1000)
        reader = reader.ready(client.port)
    reader.close()
    return taken


def median(client: Web, paths: Sequence[str], warm: int = 5) -> float:
    """Median of the answers, after a few that are not counted."""
    milliseconds(client, paths[:warm])
    return statistics.median(milliseconds(client, paths))
