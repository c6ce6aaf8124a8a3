"""The two ways of a STOW-RS body, small parts in the event loop, large ones and crowds in a thread: nothing differs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.requests import Request
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10
from tests.support.stow import files, headers, stored
from tests.support.web import Web, web

from vesalius.backends.packs_writer import PackWriter
from vesalius.web import stow
from vesalius.web.body import Body, BrokenOff
from vesalius.web.errors import Problem

SIZES = (16, 700, 32, 1100, 8, 300)  # rows and columns of 16 bits: 512 bytes to 2.4 MB


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("ways")) as made:
        yield made


def instances(study: str, sizes: Sequence[int]) -> dict[str, bytes]:
    made = [ct(study=study, instance=n, rows=size, columns=size) for n, size in enumerate(sizes, 1)]
    return {str(ds.SOPInstanceUID): part10(ds) for ds in made}


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Which ways the pieces went."""
    seen: set[str] = set()
    take = stow._Files.take

    def watched(self: Any, events: Any) -> None:
        here = threading.current_thread() is threading.main_thread()
        seen.add("here" if here else "thread")
        take(self, events)

    monkeypatch.setattr(stow._Files, "take", watched)
    return seen


@pytest.mark.parametrize(
    ("study", "sizes", "expected"),
    [
        ("small", [32] * 2, {"here"}),
        ("scans", [500] * 8, {"here"}),
        ("mixed", SIZES, {"here", "thread"}),
        ("large", [1500], {"here", "thread"}),
        ("crowd", [4] * 200, {"thread"}),
    ],
)
def test_every_way_stores_every_byte(
    site: Web, ways: set[str], study: str, sizes: list[int], expected: set[str]
) -> None:
    made = instances(study, sizes)
    answer = site.dicom_web("/studies", "POST", headers(), files(*made.values()))
    assert answer.status == 200, answer.body
    assert stored(json.loads(answer.body)) == set(made)
    for name, data in made.items():
        assert site.archive.bytes_of(name) == dataset_of(data)
    assert ways == expected


def test_where_a_slow_disk_has_filled_the_memory_nothing_is_taken_in_the_event_loop(
    site: Web, ways: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.archive.blobs._pool, "_buffered", 31 << 20)
    made = instances("slow", [300] * 6)
    assert site.dicom_web("/studies", "POST", headers(), files(*made.values())).status == 200
    assert ways == {"thread"}


def test_in_the_event_loop_nothing_is_written(site: Web, ways: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    written: set[str] = set()
    write = PackWriter._write

    def watched(self: Any, *args: Any, **how: Any) -> None:
        written.add(threading.current_thread().name)
        write(self, *args, **how)

    monkeypatch.setattr(PackWriter, "_write", watched)
    made = instances("quiet", [500] * 20)
    assert site.dicom_web("/studies", "POST", headers(), files(*made.values())).status == 200
    assert ways == {"here"} and written == {"sealer"}


# -- a body that is read ahead


def body_of(*messages: dict[str, Any], limit: int = 0, idle: float = 30.0) -> tuple[Body, list[int]]:
    waiting = list(messages)
    asked: list[int] = []

    async def receive() -> dict[str, Any]:
        asked.append(len(asked))
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    scope = {"type": "http", "method": "POST", "headers": []}
    return Body(Request(scope, receive), limit=limit, idle=idle), asked


def piece(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_the_next_piece_is_asked_for_while_one_is_worked_at() -> None:
    body, asked = body_of(piece(b"a"), piece(b"b"), piece(b"c", more=False))
    seen = [(data, len(asked)) async for data in body.ahead()]
    assert seen == [(b"a", 2), (b"b", 3), (b"c", 3)]


async def test_what_came_before_an_error_is_given_first() -> None:
    body, _ = body_of(piece(b"abc"), piece(b"defg"), limit=5)
    got: list[bytes] = []
    with pytest.raises(Problem, match="larger"):
        async for data in body.ahead():
            got += [data]
    assert got == [b"abc"]
    body, _ = body_of(piece(b"abc"), {"type": "http.disconnect"})
    with pytest.raises(BrokenOff):
        async for data in body.ahead():
            got += [data]
    assert got == [b"abc", b"abc"]


async def test_who_stops_reading_leaves_nothing_running() -> None:
    body, _ = body_of(piece(b"abc"))
    pieces = body.ahead()
    assert await anext(pieces) == b"abc"
    before = len(asyncio.all_tasks())
    await pieces.aclose()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before - 1
