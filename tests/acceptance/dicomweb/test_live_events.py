"""Server-sent events of the real service: they arrive while instances do, and do not hold up its end."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dcmtk import run
from tests.support.generate import ct, part10, uid
from tests.support.server import AET, Server, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("events"), "--set", "server.web_workers=2") as running:
        yield running


class Stream:
    """An open event stream."""

    def __init__(self, server: Server, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=20)
        self.connection.request("GET", "/api/events", headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200

    def event(self) -> dict[str, str]:
        fields = {}
        while line := self.answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return fields


def send(server: Server, folder: Path, study: str, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{study}-{number}.dcm").write_bytes(part10(ct(study, 1, number)))
    run("storescu", "-aec", AET, "+sd", "127.0.0.1", str(server.dimse_port), folder)


def test_what_one_process_stores_is_heard_at_every_other(server: Server, tmp_path: Path) -> None:
    streams = [Stream(server) for _ in range(6)]
    starts = [stream.event() for stream in streams]
    started = time.monotonic()
    send(server, tmp_path / "a", "live", 5)
    for stream in streams:
        heard = 0
        while heard < 5:
            said = json.loads(stream.event()["data"])
            assert [one["study"] for one in said["changes"]] == [uid("study", "live")]
            heard += sum(one["instances"] for one in said["changes"])
        assert heard == 5
    assert time.monotonic() - started < 10
    again = Stream(server, **{"Last-Event-ID": starts[0]["id"]})
    again.event()
    assert json.loads(again.event()["data"])["changes"][0]["instances"] == 5
    for stream in [*streams, again]:
        stream.connection.close()


def test_listeners_that_vanish_leave_nothing_behind(server: Server) -> None:
    import psutil

    web = [one for one in psutil.Process(server.process.pid).children() if "web" in one.name()]
    before = sum(one.num_fds() for one in web)
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", server.http_port)) as wire:
            wire.sendall(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wire.recv(100)
    end = time.monotonic() + 15
    while sum(one.num_fds() for one in web) > before + 5 and time.monotonic() < end:
        time.sleep(0.2)
    assert sum(one.num_fds() for one in web) <= before + 5


def test_an_open_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as one:
        stream = Stream(one)
        stream.event()
        started = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - started < 8
