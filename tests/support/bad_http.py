"""Malformed HTTP over real sockets: a service that is asked byte by byte, and what must be true of it afterwards.

After every request the same process answers a good one, and the archive holds what it held, unless the answer said
that something was stored. What the memory of the service did meanwhile is looked at after the last one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance.limits.test_large_objects import Watch
from tests.support.generate import ct, part10, uid
from tests.support.raw_http import RawAnswer, RawHttp
from tests.support.server import Server, running_server, vesalius

STUDIES = "/dicom-web/studies"
STUDY, SERIES, INSTANCE = uid("study", 1), uid("series", 1, 1), uid("instance", 1, 1, 1)
PATH = f"{STUDIES}/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
STORE_SIZE = 8 << 20
CONFIG = f"[web]\nupload_idle = 1.0\nstore_size = {STORE_SIZE}\nbody_size = 1048576\nresults = 20\n"
JSON, XML = "application/dicom+json", "application/dicom+xml"
OCTETS = 'multipart/related; type="application/octet-stream"'
GROWTH = 250 << 20  # bytes of the whole service over all rows


@dataclass
class Held:
    """The service, and what must not change."""

    server: Server
    process: psutil.Process
    watch: Watch
    counted: int
    started: int = 0
    stored: set[str] = field(default_factory=set)

    def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, body: Any = b"", *, look: bool = False
    ) -> RawAnswer:
        """One request of one connection; with `look` also whether the server ends it."""
        with RawHttp(self.server.http_port) as http:
            http.request(method, path, fields or {}, body)
            return http.answer(look=look)

    def raw(self, data: bytes | Iterable[bytes], wait: float = 20.0) -> list[tuple[int, bytes]]:
        """Every answer to these bytes, until the server ends the connection or is silent."""
        with socket.create_connection(("127.0.0.1", self.server.http_port), 20) as connection:
            received = b""
            try:
                for piece in (data,) if isinstance(data, bytes) else data:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was told and closed before the last byte
            connection.settimeout(wait)
            try:
                while piece := connection.recv(65536):
                    received += piece
                    if _whole(received):
                        connection.settimeout(0.4)
            except (TimeoutError, ConnectionResetError):
                pass
            return answers(received)


def _whole(received: bytes) -> bool:
    return b"\r\n\r\n" in received and bool(answers(received))


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer that is whole."""
    found = []
    while received.startswith(b"HTTP/1.1 "):
        head, _, rest = received.partition(b"\r\n\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        size = int(fields.get(b"content-length", b"0"))
        if len(rest) < size:
            break
        found.append((int(head[9:12]), rest[:size]))
        received = rest[size:]
    return found


def count(server: Server) -> int:
    """Instances that are known."""
    status, text = server.get(f"{STUDIES}?includefield=NumberOfStudyRelatedInstances&limit=20")
    assert status == 200
    return sum(int(one["00201208"]["Value"][0]) for one in json.loads(text))


def web_process(server: Server) -> psutil.Process:
    for process in psutil.Process(server.process.pid).children(recursive=True):
        if any(c.laddr and c.laddr.port == server.http_port for c in process.net_connections("tcp")):
            return process
    raise AssertionError("no process has the HTTP port")


@contextmanager
def held_service(folder: Path) -> Iterator[Held]:
    """A service with two instances, and its memory watched."""
    (folder / "in").mkdir()
    for number in (1, 2):
        (folder / "in" / f"{number}.dcm").write_bytes(part10(ct(1, 1, number)))
    vesalius("import", folder / "in", data=folder / "data")
    with running_server(folder, config=CONFIG) as server, Watch(server) as watch:
        server.get(STUDIES)
        made = Held(server, web_process(server), watch, count(server), watch.look())
        yield made
        assert watch.peak - made.started < GROWTH
        assert made.process.is_running() and made.process == web_process(server)


@contextmanager
def unharmed(held: Held) -> Iterator[None]:
    """Nothing that happens in the block may hurt the service or change what it holds."""
    before = count(held.server)
    held.stored.clear()
    yield
    assert held.server.get("/health")[0] == 200
    assert held.process.is_running()
    assert count(held.server) == before + len(held.stored)


def fresh(study: object = 1) -> tuple[str, bytes]:
    """An instance that nobody has yet."""
    ds = ct(study, 1, next(NUMBERS))
    return str(ds.SOPInstanceUID), part10(ds)


NUMBERS = iter(range(100, 10_000))


def told(answer: RawAnswer) -> dict[str, str]:
    """What is wrong, in the one form that errors have."""
    body: dict[str, str] = json.loads(answer.body)
    assert set(body) == {"title", "detail", "hint"} and body["detail"]
    return body
