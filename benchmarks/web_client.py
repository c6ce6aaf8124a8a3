"""A small HTTP client over one kept connection: what it costs is next to nothing and the same for every peer."""

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


def milliseconds(client: Web, paths: Sequence[str]) -> list[float]:
    """How long each answer takes to be there whole."""
    taken = []
    for path in paths:
        started = time.perf_counter()
        client.get(path)
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def median(client: Web, paths: Sequence[str], warm: int = 5) -> float:
    """Median of the answers, after a few that are not counted."""
    milliseconds(client, paths[:warm])
    return statistics.median(milliseconds(client, paths))
