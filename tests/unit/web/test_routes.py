"""The HTTP port: what it says, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.support.web import Web, web

from vesalius.web.pages.words import human_bytes, human_duration


@pytest.fixture(scope="module")
def site_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web")) as made:
        yield made


@pytest.fixture
def served(site_of: Web) -> Web:
    site_of.site.found, site_of.site.name = [], "VESALIUS"
    return site_of


def ask(served: Web, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    answer = served.ask(path, method)
    return answer.status, answer.headers, answer.text


def test_health_answers_whatever_is_wrong(served: Web) -> None:
    site = served.site
    site.found = ["index: away"]
    assert ask(served, "/health")[0] == 200


def test_ready_names_what_is_missing(served: Web) -> None:
    site = served.site
    status, _, body = ask(served, "/ready")
    assert status == 200 and json.loads(body) == {"status": "ready", "problems": []}
    site.found = ["index: away"]
    status, headers, body = ask(served, "/ready")
    assert status == 503 and json.loads(body)["problems"] == ["index: away"]
    assert headers["retry-after"] == "2"


def test_metrics_are_in_the_prometheus_text_form(served: Web) -> None:
    status, headers, body = ask(served, "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    assert body == "vesalius_ready 1.0\n"


def test_the_page_shows_the_facts_and_escapes_them(served: Web) -> None:
    site = served.site
    site.name = "<script>alert(1)</script>"
    site.found = ["volume: <b>full</b>"]
    status, _, body = ask(served, "/system")
    assert status == 200 and "4,000" in body and "4.8 MiB" in body and "Not ready" in body
    assert "<script>" not in body and "<b>" not in body and "&lt;script&gt;" in body


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/nowhere"])
def test_every_answer_forbids_scripts_other_origins_and_caches(served: Web, path: str) -> None:
    _, headers, body = ask(served, path)
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "http://" not in body and "https://" not in body and "//" not in body.replace("://", "")


@pytest.mark.parametrize("path", ["/", "/system"])
def test_no_page_stays_in_a_cache_or_runs_scripts_of_others(served: Web, path: str) -> None:
    status, headers, _ = ask(served, path)
    assert status == 200 and headers["cache-control"] == "no-store"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and policy["base-uri"] == "'none'"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH"])
def test_nothing_can_be_changed_here(served: Web, method: str) -> None:
    assert ask(served, "/system", method)[0] == 405


def test_unknown_addresses_are_not_found(served: Web) -> None:
    assert ask(served, "/../etc/passwd")[0] == 404


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 45, "32.0 TiB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (65, "1 min 5 s"), (3660, "1 h 1 min"), (90000, "1 d 1 h")])
def test_durations_are_for_people(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text
