"""Events of workitems in a browser: the web socket of Chromium, from a page of ours and from one of a stranger."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import generate_uid

from tests.support.browser import watched_page
from tests.support.server import Server
from tests.support.workitems import dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

# Make a workitem, subscribe to it, listen, claim it; the states as they came.
_LISTEN = """
async ({ uid, aet, item, key }) => {
  const json = { 'Content-Type': 'application/dicom+json' };
  const made = await fetch(`/dicom-web/workitems?workitem=${uid}`, { method: 'POST', headers: json, body: item });
  const there = await fetch(`/dicom-web/workitems/${uid}/subscribers/${aet}`, { method: 'POST' });
  const socket = new WebSocket(there.headers.get('Content-Location'));
  const heard = [];
  const second = new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error('the web socket failed'));
    socket.onmessage = ({ data }) => {
      if (heard.push(JSON.parse(data)['00741000'].Value[0]) > 1) resolve();
    };
  });
  await new Promise((resolve) => { socket.onopen = resolve; });
  const claim = JSON.stringify({
    '00741000': { vr: 'CS', Value: ['IN PROGRESS'] }, '00081195': { vr: 'UI', Value: [key] },
  });
  const claimed = await fetch(`/dicom-web/workitems/${uid}/state`, { method: 'PUT', headers: json, body: claim });
  await second;
  socket.close();
  return { statuses: [made.status, there.status, claimed.status], heard };
}
"""
_TRY = """
(address) => new Promise((resolve) => {
  const socket = new WebSocket(address);
  socket.onopen = () => resolve('open');
  socket.onerror = () => resolve('refused');
})
"""


@contextmanager
def strangers_page(folder: Path) -> Iterator[str]:
    """A page of another origin."""
    (folder / "index.html").write_text("<!doctype html><title>a stranger</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def test_a_page_of_ours_hears_of_a_workitem_as_it_changes(browser: Browser, server: Server) -> None:
    arguments = {
        "uid": str(generate_uid()), "aet": "PAGE", "item": dataset().to_json(), "key": str(generate_uid()),
    }  # fmt: skip
    with watched_page(browser, server.url) as (page, watch):
        page.goto(f"{server.url}/")
        found = page.evaluate(_LISTEN, arguments)
        assert found == {"statuses": [201, 201, 200], "heard": ["SCHEDULED", "IN PROGRESS"]}
        watch.assert_clean()


def test_a_page_of_a_stranger_opens_no_web_socket(browser: Browser, server: Server, tmp_path: Path) -> None:
    address = f"ws://127.0.0.1:{server.http_port}/dicom-web/ws/subscribers/PAGE"
    with strangers_page(tmp_path) as origin, watched_page(browser, origin) as (page, _):
        page.goto(f"{origin}/index.html")
        assert page.evaluate(_TRY, address) == "refused"
    with watched_page(browser, server.url) as (page, _):
        page.goto(f"{server.url}/")
        assert page.evaluate(_TRY, address) == "open"
