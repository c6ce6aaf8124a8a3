"""What moves: arrivals, associations, uploads and sendings that outlive a reload, and what went wrong."""

from __future__ import annotations

import io
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from tests.support.dcmtk import storescp
from tests.support.generate import ct, part10, uid, write_study
from tests.support.pages import names, opened, rows, until
from tests.support.server import Server, vesalius

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser


def associated(server: Server, called: str = "VESALIUS", calling: str = "SCANNER7") -> object:
    entity = AE(ae_title=calling)
    entity.add_requested_context(Verification)
    entity.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
    return entity.associate("127.0.0.1", server.dimse_port, ae_title=called)


def image(study: str, name: str) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(part10(ct(study, 1, 1, patient_id=study, patient_name=name))))


def until_true(page: Page, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        page.wait_for_timeout(50)


def test_a_study_that_arrives_by_the_network_is_in_the_list_without_a_reload(browser: Browser, server: Server) -> None:
    with opened(browser, server) as (page, _):
        page.locator("#live.on").wait_for()
        before = len(names(page))
        assoc = associated(server, calling="SCANNER1")
        assoc.send_c_store(image("network", "Networked^Ida"))  # type: ignore[attr-defined]
        rows(page, before + 1)
        assert names(page)[0] == "Networked, Ida"
        # Under the hand of a reader nothing moves: an open row stays, and a note tells of what came.
        page.locator("a.row").first.click()
        page.locator(".strip").wait_for()
        assoc.send_c_store(image("network-2", "Later^Lea"))  # type: ignore[attr-defined]
        assoc.release()  # type: ignore[attr-defined]
        page.get_by_role("button", name="1 new: show").click()
        rows(page, before + 2)
        vesalius(
            "delete", "--study", uid("study", "network"), "--reason", "test", "--yes", data=server.data, check=False
        )


@pytest.mark.slow  # it waits for the page to ask again, twice
def test_system_says_who_is_connected_and_what_they_did(browser: Browser, server: Server) -> None:
    with opened(browser, server, "/system") as (page, _):
        page.get_by_text("Nobody is connected.").wait_for()
        assoc = associated(server)
        assoc.send_c_echo()  # type: ignore[attr-defined]
        assoc.send_c_echo()  # type: ignore[attr-defined]
        line = page.locator("tr", has=page.get_by_text("SCANNER7", exact=True))
        until(page, "document.body.innerText.includes('SCANNER7')")
        until_true(page, lambda: line.locator("td").nth(3).inner_text() == "2", "two requests")
        cells = line.locator("td").all_inner_texts()
        assert cells[0] == "127.0.0.1" and cells[2] == "idle" and "B" in cells[4]
        assoc.release()  # type: ignore[attr-defined]
        until(page, "!document.body.innerText.includes('SCANNER7')")


def test_what_failed_is_told_with_what_to_do_about_it(browser: Browser, server: Server) -> None:
    for _ in range(5):  # on a busy machine pynetdicom may take the rejection for an abort
        if associated(server, called="SOMEBODY").is_rejected:  # type: ignore[attr-defined]
            break
    with opened(browser, server, "/system") as (page, _):
        fault = page.locator("tr", has=page.get_by_text("Association rejected (1/1/7)"))
        assert "another AE title" in fault.inner_text()


def test_a_large_file_goes_on_after_a_reload_where_it_broke_off(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        for number in (1, 2, 3):
            image = ct("large", 1, number, rows=2048, columns=2048, patient_id="P-L", patient_name="Large^Lou")
            made.writestr(f"{number}.dcm", part10(image))
    file = tmp_path / "large.zip"
    file.write_bytes(held.getvalue())
    assert file.stat().st_size > 20 << 20
    with opened(browser, server, f"/?q={uid('study', 'large')}") as (page, watch):
        pieces: list[int] = []

        def breaks(route: Route) -> None:
            pieces.append(int(route.request.headers["upload-offset"]))
            if len(pieces) == 1:
                route.continue_()  # what follows never leaves

        page.route(
            "**/api/uploads/*", lambda route: breaks(route) if route.request.method == "PATCH" else route.continue_()
        )
        page.locator("#files").set_input_files(file)
        until_true(page, lambda: len(pieces) == 2, "second piece")
        page.reload()
        page.unroute_all(behavior="ignoreErrors")
        page.get_by_text("An upload was broken off: 0 of 1 files are here").wait_for()
        sent: list[int] = []
        page.on(
            "request", lambda one: sent.append(int(one.headers["upload-offset"])) if one.method == "PATCH" else None
        )
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose").click()
        chooser.value.set_files(file)
        page.locator("#transfers strong", has_text="Uploaded").wait_for()
        assert pieces == [0, 8 << 20] and sent == [8 << 20, 16 << 20, 24 << 20], "nothing is sent twice"
        rows(page, 1)
        assert names(page) == ["Large, Lou"]
        page.reload()
        assert page.locator("#transfers .transfer").count() == 0
        watch.errors = [each for each in watch.errors if "ERR_" not in each]


def test_a_folder_goes_on_after_a_reload_with_the_files_that_are_missing(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    files = write_study(tmp_path, study="folder", instances=45, patient_id="P-O", patient_name="Folder^Olga")
    with opened(browser, server, f"/?q={uid('study', 'folder')}") as (page, watch):
        groups: list[int] = []

        def breaks(route: Route) -> None:
            groups.append(route.request.post_data_buffer.count(b"DICM") if route.request.post_data_buffer else 0)
            if len(groups) == 1:
                route.continue_()

        page.route("**/dicom-web/studies", breaks)
        page.locator("#files").set_input_files(files)
        until_true(page, lambda: len(groups) == 2, "second group")
        page.reload()
        page.unroute_all(behavior="ignoreErrors")
        page.get_by_text("An upload was broken off: 20 of 45 files are here").wait_for()
        page.locator("#files").set_input_files(files)
        page.locator("#transfers strong", has_text="Uploaded").wait_for()
        said = page.locator("#transfers").inner_text()
        assert "25 images" in said and "20 here already" in said
        until(page, "document.querySelector('td.c-images')?.innerText === '45'")
        assert "Folder, Olga" in said, "the study is told by name, not by UID"
        watch.errors = [each for each in watch.errors if "ERR_" not in each]


@pytest.fixture
def slow(server: Server, tmp_path: Path) -> Iterator[Path]:
    """A peer that takes a second for an instance."""
    folder = tmp_path / "slow"
    with storescp(folder, "SLOW", ("+xa", "--sleep-after", "1")) as port:
        vesalius("peers", "add", "SLOW", "127.0.0.1", str(port), data=server.data)
        yield folder
        vesalius("peers", "remove", "SLOW", data=server.data)


def begin_sending(page: Page) -> None:
    page.locator("a.row").click()
    page.locator("[data-do=send]").click()
    until(page, "!!document.querySelector('#send option[value=SLOW]')")
    page.locator("#send select").select_option("SLOW")
    page.locator("#send [value=send]").click()
    page.get_by_text("Sending to SLOW").wait_for()


def test_a_sending_outlives_a_reload_and_can_be_ended(browser: Browser, server: Server, slow: Path) -> None:
    files = write_study(slow.parent / "many", study="many", instances=30, patient_id="P-M", patient_name="Many^Mia")
    vesalius("import", files[0].parent, data=server.data)
    page: Page
    with opened(browser, server, f"/?q={uid('study', 'many')}") as (page, _):
        until_true(page, lambda: "SLOW" in server.get("/api/peers")[1], "the new peer")
        begin_sending(page)
        page.reload()
        page.get_by_text("Sending to SLOW").wait_for()
        page.goto(server.url + "/system")  # and on every other page
        page.locator("#transfers").get_by_text("Sending to SLOW").wait_for()
        page.get_by_role("button", name="Cancel sending to SLOW").click()
        page.locator("#transfers").get_by_text("Canceled").wait_for(timeout=20_000)
        page.reload()
        job = page.locator("tr", has=page.get_by_text("Send to SLOW"))
        job.get_by_text("canceled").wait_for()
    assert len(list(slow.iterdir())) < 30


def test_a_download_is_a_medium_with_a_directory(browser: Browser, server: Server) -> None:
    with opened(browser, server, f"/?q={uid('study', 'a')}") as (page, _):
        page.locator("a.row").click()
        page.locator(".strip").wait_for()
        with page.expect_download() as waiting:
            page.keyboard.press("d")
        with zipfile.ZipFile(waiting.value.path()) as found:
            inside = found.namelist()
            assert found.testzip() is None
            assert "DICOMDIR" in inside and sum(name != "DICOMDIR" for name in inside) == 6


def test_a_deletion_can_be_taken_back_from_system_with_its_reason_shown(browser: Browser, server: Server) -> None:
    study = uid("study", "b")
    request = urllib.request.Request(f"{server.url}/dicom-web/studies/{study}", method="DELETE")
    request.add_header("Deletion-Reason", "wrong%20patient")
    with urllib.request.urlopen(request, timeout=20):
        pass
    with opened(browser, server, "/system") as (page, watch):
        line = page.locator(".deletions li", has=page.get_by_text(study))
        assert "wrong patient" in line.inner_text() and "until" in line.inner_text()
        page.get_by_role("button", name=f"Undo {study}").click()
        until(page, f"!document.querySelector('.deletions')?.innerText.includes('{study}')")
        page.goto(f"{server.url}/?q={study}")
        rows(page, 1)
        watch.assert_clean()
