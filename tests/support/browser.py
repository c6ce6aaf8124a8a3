"""A real browser for the tests: Debian's Chromium driven by Playwright, and a watch over everything that a page does.

Pages are judged by what a person would see (pixels of a screenshot) and by what must never happen: an error in the
console, a request that leaves the origin, an answer of 400 or more that nobody expected, a violated policy.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.support.data import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

# No services of a vendor, and WebGL on the processor where there is no graphics card.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
)  # fmt: skip


def need_chromium() -> str:
    """The path of Chromium; the test is skipped where there is none."""
    pytest.importorskip("playwright", reason="Playwright is not installed (make install-dev)")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    return found


def need_viewer() -> Path:
    """The folder of the viewer; the test is skipped where npm could not install it."""
    folder = REPOSITORY / "web-assets" / "viewer"
    if not (folder / "index.json").is_file():
        pytest.skip("the viewer is not installed (make assets; needs npm and a registry)")
    return folder


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium for the time of the block."""
    path = need_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What a page did. `allowed`: parts of console messages that are known and harmless, each with its reason."""

    origin: str
    allowed: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        text = message.text
        bad = message.type == "error" or "Content Security Policy" in text
        if bad and not any(part in text for part in self.allowed):
            self.errors.append(text[:500])

    def _request(self, request: Request) -> None:
        self.requests.append((request.method, request.url))
        if urlsplit(request.url).scheme not in ("data", "blob") and not request.url.startswith(self.origin + "/"):
            self.foreign.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.refused.append(f"{response.status} {response.request.method} {response.url}")

    def assert_clean(self) -> None:
        assert self.foreign == []
        assert self.refused == [], "\n".join(self.refused)
        assert self.errors == []


@contextmanager
def watched_page(browser: Browser, origin: str, **context: Any) -> Iterator[tuple[Page, Watch]]:
    """A page in a profile of its own, watched from its first request on."""
    held = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **context})
    page = held.new_page()
    page.set_default_timeout(60_000)
    watch = Watch(origin)
    watch.attach(page)
    try:
        yield page, watch
    finally:
        held.close()


def pixels(picture: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A PNG as rows x columns x 3."""
    import imagecodecs

    found = np.asarray(imagecodecs.png_decode(io.BytesIO(picture).getvalue()))
    return found[..., :3]


def is_drawn(picture: bytes, least: float = 0.02) -> bool:
    """Whether a picture shows something: at least this part of it is neither background nor one flat colour."""
    grey = pixels(picture).mean(axis=2)
    return bool((np.abs(grey - np.median(grey)) > 12).mean() >= least)
