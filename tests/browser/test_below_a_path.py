"""Behind a proxy that puts everything below a path of its own: pages and viewer still find all that is theirs."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import need_chromium, need_viewer, watched_page
from tests.support.generate import ct, part10
from tests.support.server import running_server, vesalius
from tests.support.viewer import Viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PREFIX = "/dicom"
_HOP = {"connection", "transfer-encoding", "keep-alive"}


class Proxy(BaseHTTPRequestHandler):
    """Takes the path off, as nginx's `proxy_pass` with a slash does; what lies elsewhere is not found."""

    port = 0  # of the service
    strayed: list[str] = []

    def _pass_on(self) -> None:
        if not self.path.startswith(PREFIX + "/"):
            self.strayed.append(self.path)
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        service = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        service.request(self.command, self.path.removeprefix(PREFIX), body or None, headers)
        answer = service.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP, "server", "date", "content-length"}:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(piece)
        service.close()

    do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, http.client.HTTPException):
            self.close_connection = True  # the browser left


@dataclass(frozen=True)
class Outside:
    """The service as its users see it."""

    url: str
    study: str


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    need_chromium()
    need_viewer()
    folder = tmp_path_factory.mktemp("below")
    files = folder / "files"
    files.mkdir()
    images = [ct("below", 1, number, rows=64, columns=64, patient_id="BELOW") for number in range(1, 6)]
    for number, image in enumerate(images):
        (files / f"{number}.dcm").write_bytes(part10(image))
    vesalius("import", files, data=folder / "data")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    url = f"http://127.0.0.1:{proxy.server_address[1]}{PREFIX}"
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    with running_server(folder, config=f'[web]\npublic_url = "{url}"\n') as server:
        Proxy.port = server.http_port
        thread.start()
        try:
            yield Outside(url, str(images[0].StudyInstanceUID))
        finally:
            proxy.shutdown()
            proxy.server_close()


def test_the_pages_and_what_they_link_to_stay_below_the_path(browser: Browser, outside: Outside) -> None:
    origin = outside.url.removesuffix(PREFIX)
    with watched_page(browser, origin) as (page, watch):
        page.goto(outside.url + "/")
        page.get_by_text("BELOW").first.click()
        page.locator(".strip").first.wait_for()
        targets = page.evaluate("[...document.querySelectorAll('a[href], img[src], script[src], link[href]')]"
                                ".map(each => new URL(each.href || each.src, location).pathname)")  # fmt: skip
        assert targets and [path for path in targets if not path.startswith(PREFIX + "/")] == []
        page.goto(outside.url + "/system")
        page.get_by_role("heading", name="System").first.wait_for()
        watch.assert_clean()
    assert Proxy.strayed == []


def test_the_viewer_draws_a_study_below_the_path_and_keeps_what_is_made_there(
    browser: Browser, outside: Outside
) -> None:
    origin = outside.url.removesuffix(PREFIX)
    with watched_page(browser, origin) as (page, watch):
        viewer = Viewer(page, watch, origin)
        viewer.open(f"{PREFIX}/workstation/studies/{outside.study}")
        assert page.url.startswith(f"{outside.url}/viewer/viewer?")
        viewer.assert_drawn(least=0.1)
        page.keyboard.press("k")
        viewer.wait_for(lambda: viewer.pane_text() >= {"Key", "image"}, "mark on the key image")
        assert ("POST", f"{outside.url}/dicom-web/studies") in watch.requests
        watch.assert_clean()
    assert Proxy.strayed == []
