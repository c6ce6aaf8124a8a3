"""The HTTP port: what it says, and what it never says."""

from __future__ import annotations

import asyncio
import json

import pytest

from vesalius.web.page import human_bytes, human_duration
from vesalius.web.routes import Facts, Place, create_app


class Site:
    def __init__(self) -> None:
        self.found: list[str] = []
        self.name = "VESALIUS"

    def problems(self) -> list[str]:
        return self.found

    def metrics(self) -> bytes:
        return b"vesalius_ready 1.0\n"

    def facts(self) -> Facts:
        return Facts(
            version="1",
            ae_title=self.name,
            listeners=(f"{self.name}@127.0.0.1:11112",),
            store_commands=("echoscu",),
            workers=(2, 2),
            index="SQLite",
            patients=1,
            studies=2,
            series=3,
            instances=4_000,
            bytes=5_000_000,
            free_bytes=1 << 40,
            modalities=(("CT", 3),),
            conflicts=1,
            notes=0,
            places=(Place("other", 0),),
            problems=tuple(self.found),
            up_seconds=100,
        )


def ask(site: Site, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """One request straight into the application."""
    messages: list[dict] = []

    async def go() -> None:
        async def receive() -> dict:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict) -> None:
            messages.append(message)

        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [], "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "client": None,
            "root_path": "",
        }  # fmt: skip
        await create_app(site)(scope, receive, send)

    asyncio.run(go())
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return messages[0]["status"], headers, body.decode()


def test_health_answers_whatever_is_wrong() -> None:
    site = Site()
    site.found = ["index: away"]
    assert ask(site, "/health")[0] == 200


def test_ready_names_what_is_missing() -> None:
    site = Site()
    status, _, body = ask(site, "/ready")
    assert status == 200 and json.loads(body) == {"status": "ready", "problems": []}
    site.found = ["index: away"]
    status, headers, body = ask(site, "/ready")
    assert status == 503 and json.loads(body)["problems"] == ["index: away"]
    assert headers["retry-after"] == "2"


def test_metrics_are_in_the_prometheus_text_form() -> None:
    status, headers, body = ask(Site(), "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    assert body == "vesalius_ready 1.0\n"


def test_the_page_shows_the_facts_and_escapes_them() -> None:
    site = Site()
    site.name = "<script>alert(1)</script>"
    site.found = ["volume: <b>full</b>"]
    status, _, body = ask(site, "/")
    assert status == 200 and "4,000" in body and "4.8 MiB" in body and "not ready" in body
    assert "<script" not in body and "<b>" not in body and "&lt;script&gt;" in body


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/page.css", "/nowhere"])
def test_every_answer_forbids_scripts_other_origins_and_caches(path: str) -> None:
    _, headers, body = ask(Site(), path)
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "http://" not in body and "https://" not in body and "//" not in body.replace("://", "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH"])
def test_nothing_can_be_changed_here(method: str) -> None:
    assert ask(Site(), "/", method)[0] == 405


def test_unknown_addresses_are_not_found() -> None:
    assert ask(Site(), "/../etc/passwd")[0] == 404


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 45, "32.0 TiB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (65, "1 min 5 s"), (3660, "1 h 1 min"), (90000, "1 d 1 h")])
def test_durations_are_for_people(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text
