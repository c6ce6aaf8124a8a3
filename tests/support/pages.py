"""The pages in a browser: a small archive with odd names in it, and ways to wait for what a page shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Watch, watched_page
from tests.support.data import REPOSITORY
from tests.support.dcmtk import free_port
from tests.support.generate import uid, write_study
from tests.support.server import Server, running_server, vesalius

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=window.hit=1>^<script>window.hit=1</script>"
SVG = "'\"><svg onload=1>"


@contextmanager
def opened(browser: Browser, server: Server, path: str = "/", **context: Any) -> Iterator[tuple[Page, Watch]]:
    with watched_page(browser, server.url, **context) as (page, watch):
        page.set_default_timeout(60_000)
        page.goto(server.url + path)
        yield page, watch
        assert page.evaluate("window.hit") is None
        watch.assert_clean()


def until(page: Page, expression: str, seconds: float = 60) -> None:
    """Until something holds in the page. Not Playwright's own: that evaluates text, which the policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(50)


def rows(page: Page, count: int) -> None:
    until(page, f"document.querySelectorAll('a.row').length === {count}")


def names(page: Page) -> list[str]:
    return [text.split("\n")[0] for text in page.locator("a.row").all_inner_texts()]


def address(path: str) -> str:
    return path.format(a=uid("study", "a"), s=uid("series", "a", 1))


@contextmanager
def running_site(folder: Path) -> Iterator[Server]:
    """A service with four studies of three patients, and with itself as a peer."""
    files = folder / "files"
    write_study(files / "a", study="a", series=2, patient_id="P-1", patient_name="Müller^Käthe", StudyDate="20240131")
    write_study(files / "b", study="b", patient_id="P-1", patient_name="Müller^Käthe", StudyDate="20190501")
    write_study(files / "c", study="c", patient_id="P-2", patient_name="Yamada^Tarou=山田^太郎=やまだ^たろう")
    write_study(
        files / "d", study="d", patient_id="<b>P</b>", patient_name=HOSTILE, StudyDescription="'\"><svg onload=1>"
    )
    vesalius("import", str(files), data=folder / "data")
    port = free_port()
    config = f'[[peers]]\nname = "SELF"\nhost = "127.0.0.1"\nport = {port}\naet = "VESALIUS"\nallow = ["store"]\n'
    with running_server(folder, "--dimse-port", str(port), config=config) as made:
        made.dimse_port = port
        yield made


def axe(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong with the page as it is now: rule and elements. Needs a page with `bypass_csp`."""
    file = REPOSITORY / "web-assets" / "dev" / "axe.min.js"
    if not file.is_file():
        pytest.skip("axe-core is not installed (make assets-dev)")
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(content=file.read_text())
    rules = "['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']"
    found = page.evaluate(f"axe.run({{runOnly: {rules}}})")
    return [(each["id"], [node["html"][:150] for node in each["nodes"]]) for each in found["violations"]]
