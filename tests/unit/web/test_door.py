"""What is true of every request and answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.web import Answer, Web, web

from vesalius.web.door import LOOPBACK_HOSTS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web")) as made:
        yield made


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), hosts=LOOPBACK_HOSTS) as made:
        yield made


def raw(served: Web, *headers: tuple[str, str], method: str = "GET") -> Answer:
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "method": method, "path": "/health", "raw_path": b"/health",
        "query_string": b"", "headers": [(n.encode(), v.encode("latin-1")) for n, v in headers], "http_version": "1.1",
        "scheme": "http", "server": ("x", 80), "client": None, "root_path": "",
    }  # fmt: skip
    asyncio.run(served.app(scope, receive, send))
    found = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
    return Answer(messages[0]["status"], found, b"".join(m.get("body", b"") for m in messages[1:]))


@pytest.mark.parametrize(
    "headers",
    [
        (("host", "x"), ("content-length", "5"), ("transfer-encoding", "chunked")),
        (("host", "x"), ("content-length", "5"), ("content-length", "6")),
        (("host", "x"), ("host", "y")),
        (("host", 'a b"<script>'),),
        (("host", "x/../y"),),
        (("host", "user@x"),),
        (("host", "x:123456"),),
    ],
)
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(
    served: Web, headers: tuple[tuple[str, str], ...]
) -> None:
    answer = raw(served, *headers)
    assert answer.status == 400 and answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_after_a_body_in_chunks_nothing_more_is_taken_from_the_connection(served: Web) -> None:
    assert raw(served, ("host", "x"), ("transfer-encoding", "chunked")).headers["connection"] == "close"
    assert "connection" not in raw(served, ("host", "x"), ("content-length", "0")).headers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8042", "127.0.0.1:1", "[::1]:8042"])
def test_a_service_of_this_machine_answers_under_its_names(at_home: Web, host: str) -> None:
    assert raw(at_home, ("host", host)).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8042", "localhost.evil.example"])
def test_a_stranger_whose_name_means_this_machine_gets_nothing(at_home: Web, served: Web, host: str) -> None:
    assert raw(at_home, ("host", host)).status == 421
    assert raw(served, ("host", host)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 405),
        ((("origin", "http://x"),), 405),
        ((("origin", "http://x"), ("sec-fetch-site", "same-origin")), 405),
        ((("origin", "http://evil.example"),), 403),
        ((("origin", "http://x:81"),), 403),
        ((("origin", "null"),), 403),
        ((("sec-fetch-site", "cross-site"),), 403),
    ],
)
def test_a_page_of_another_origin_changes_nothing(
    served: Web, headers: tuple[tuple[str, str], ...], status: int
) -> None:
    assert raw(served, ("host", "x"), *headers, method="POST").status == status
    assert raw(served, ("host", "x"), *headers, method="GET").status == 200


def test_behind_a_proxy_the_address_of_the_outside_is_the_own_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    with web(tmp_path_factory.mktemp("web"), public_url="https://pacs.example.org/dicom") as made:
        for origin, status in (("https://pacs.example.org", 405), ("https://pacs.example.org.evil", 403)):
            assert raw(made, ("host", "inside:8042"), ("origin", origin), method="POST").status == status
