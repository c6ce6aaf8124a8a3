"""Blocking calls of the HTTP edge: bounded, and streams that end when their reader does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from tests.support.web import Web, web

from vesalius.web.errors import Problem


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, waiting=5) as made:
        yield made


def test_more_than_may_wait_is_told_to_come_again(served: Web) -> None:
    gate = threading.Event()

    async def go() -> None:
        waiting = [asyncio.create_task(served.ctx.call(gate.wait, 10)) for _ in range(5)]
        await asyncio.sleep(0.05)
        with pytest.raises(Problem) as found:
            await served.ctx.call(int)
        assert found.value.status == 503 and found.value.headers["Retry-After"]
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 5
        assert await served.ctx.call(int) == 0

    asyncio.run(go())


def test_a_stream_that_is_left_closes_what_it_reads_from(served: Web) -> None:
    closed: list[bool] = []

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    async def go() -> None:
        stream = served.ctx.stream(chunks())
        assert await anext(stream) == b"x"
        await stream.aclose()

    asyncio.run(go())
    assert closed == [True]


def test_addresses_in_answers_are_those_of_the_outside(tmp_path: Path) -> None:
    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": [(b"host", b"inside:8042")],
             "scheme": "http", "server": ("inside", 8042), "root_path": ""}  # fmt: skip
    with web(tmp_path / "a") as made:
        assert made.ctx.dicom_web_url(Request(scope)) == "http://inside:8042/dicom-web"
        scope["headers"] = [(b"host", b"localhost")]
        assert made.ctx.dicom_web_url(Request(scope)) == "http://localhost:8042/dicom-web"
        scope["headers"] = [(b"host", b"pacs.example.org")]
        assert made.ctx.dicom_web_url(Request(scope)) == "http://pacs.example.org/dicom-web"
    with web(tmp_path / "b", public_url="https://pacs.example.org/x/") as made:
        assert made.ctx.dicom_web_url(Request(scope)) == "https://pacs.example.org/x/dicom-web"
