"""The pages as a person uses them: in Chromium, by mouse and by keyboard alone, in both themes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.browser import watched_page
from tests.support.generate import ct, part10, uid, write_study
from tests.support.pages import address, axe, names, opened, rows, until
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

# What the viewer's own folder may lack; the pages are judged by themselves.
PAGES = ("/", "/?q=nobody", "/system", "/studies/{a}", "/studies/{a}/series/{s}/tags")


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.slow)])
def test_every_page_is_accessible_in_both_themes(
    browser: Browser, server: Server, scheme: Literal["dark", "light"]
) -> None:
    with opened(browser, server, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as (page, _):
        for path in PAGES:
            page.goto(server.url + address(path))
            if path == "/":
                page.locator("a.row").first.click()
                page.locator(".strip").wait_for()
            assert axe(page) == [], path


def test_the_list_answers_while_one_types_and_its_address_can_be_shared(browser: Browser, server: Server) -> None:
    with opened(browser, server) as (page, _):
        assert len(names(page)) >= 4
        page.keyboard.press("/")
        page.keyboard.type("mull")
        rows(page, 2)
        assert names(page) == ["Müller, Käthe"] * 2
        until(page, "location.search === '?q=mull'")
        page.reload()
        assert names(page) == ["Müller, Käthe"] * 2
        page.locator("#q").fill("nobody at all")
        page.get_by_text("No study fits").wait_for()
        for text, count in (("P-2", 1), ("2019-05-01", 1), (uid("study", "c"), 1), ("käthe", 2)):
            page.locator("#q").fill(text)
            rows(page, count)


def test_filters_sorting_and_columns_are_kept(browser: Browser, server: Server) -> None:
    with opened(browser, server) as (page, _):
        page.locator("input[name=since]").fill("2024-01-01")
        until(page, "document.querySelectorAll('a.row').length >= 3")
        until(page, "!document.body.innerText.includes('1 May 2019')")
        page.locator("thead .c-name a").click()
        page.locator("th.c-name[aria-sort=ascending]").wait_for()
        first = names(page)
        page.locator("thead .c-name a").click()
        page.locator("th.c-name[aria-sort=descending]").wait_for()
        assert names(page) == first[::-1]
        page.locator("details.columns summary").click()
        page.locator("[data-column=accession]").uncheck()
        assert not page.locator("th.c-accession").is_visible()
        page.reload()
        assert not page.locator("th.c-accession").is_visible() and names(page) == first[::-1]


def test_everything_can_be_done_by_keyboard(browser: Browser, server: Server) -> None:
    with opened(browser, server) as (page, _):
        page.keyboard.press("?")
        page.locator("dialog#keys[open]").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("mull")
        rows(page, 2)
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        page.locator("tr.detail .strip").wait_for()
        until(page, "[...document.querySelectorAll('.thumb img')].every(i => i.complete && i.naturalWidth)")
        page.keyboard.press("Escape")
        assert page.locator("tr.detail").count() == 0
        page.keyboard.press("p")
        page.locator(".timeline").wait_for()
        assert "2 studies of this patient" in page.locator("main").inner_text()
        page.keyboard.press("g")
        page.keyboard.press("s")
        page.wait_for_url("**/system")


def test_markup_in_names_is_text_everywhere(browser: Browser, server: Server) -> None:
    with opened(browser, server, "/?q=" + uid("study", "d")) as (page, _):
        assert "<img src" in names(page)[0] and page.locator("table img, table script, table svg").count() == 0
        page.locator("a.row").click()
        page.locator(".strip").wait_for()
        page.locator("[data-do=delete]").click()
        assert "<img" in page.locator("#delete .who").inner_text()
        page.keyboard.press("Escape")
        page.goto(f"{server.url}/studies/{uid('study', 'd')}")
        assert "<svg onload=1>" in page.locator("main").inner_text()
        page.locator("a.more").first.click()
        page.locator("table.tags").wait_for()
        assert "window.hit" in page.locator("table.tags").inner_text()
        page.locator("#find").fill("patient's name")
        until(page, "document.querySelectorAll('table.tags tbody tr:not([hidden])').length === 1")


def test_what_arrives_is_shown_at_once_and_dropped_files_are_taken(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    with opened(browser, server) as (page, _):
        page.locator("#live.on").wait_for()
        before = len(names(page))
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("one.dcm", part10(ct("zip", 1, 1, patient_id="P-Z", patient_name="Zipped^One")))
        (tmp_path / "study.zip").write_bytes(held.getvalue())
        paths = write_study(tmp_path / "up", study="up", instances=3, patient_id="P-F", patient_name="Fresh^Arrival")
        page.locator("#files").set_input_files([*paths, tmp_path / "study.zip"])
        rows(page, before + 2)
        assert {"Fresh, Arrival", "Zipped, One"} <= set(names(page))
        page.get_by_text("4 Images").wait_for()


def test_deleting_asks_for_a_reason_and_can_be_undone(browser: Browser, server: Server) -> None:
    with opened(browser, server, "/?q=" + uid("study", "c")) as (page, _):
        page.locator("a.row").click()
        page.locator("[data-do=delete]").click()
        page.locator("#delete [value=delete]").click()
        assert page.locator("#delete[open]").count() == 1  # not without a reason
        page.locator("#delete [data-close]").click()
        page.locator("[data-do=delete]").click()
        page.locator("#delete [name=reason]").fill("wrong patient")
        page.keyboard.press("Enter")  # deletes, and does not press Cancel
        page.get_by_text("No study fits").wait_for()
        page.locator(".toast .button").click()
        page.locator("a.row").wait_for()
        assert names(page)[0].startswith("Yamada, Tarou")


def test_a_study_is_sent_to_a_peer_and_peers_are_tested(browser: Browser, server: Server) -> None:
    with opened(browser, server, "/?q=" + uid("study", "b")) as (page, _):
        page.locator("a.row").click()
        page.locator("[data-do=send]").click()
        page.locator("#send [value=send]").click()
        page.get_by_text("Sent to SELF").wait_for()
        assert "3 / 3" in page.locator("#transfers").inner_text()
        page.goto(server.url + "/system")
        page.locator("[data-echo=SELF]").click()
        page.get_by_text("answered in").wait_for()


def test_two_headers_are_compared_and_two_patients_framed(browser: Browser, server: Server) -> None:
    base = f"/studies/{uid('study', 'a')}/series/{uid('series', 'a', 1)}/instances/{uid('instance', 'a', 1, 1)}"
    with opened(browser, server, base + "/tags") as (page, _):
        page.get_by_role("button", name="Compare").click()
        assert "Instance Number" in page.locator("table.compare").inner_text()
        assert page.locator(".two-patients").count() == 0
        page.goto(f"{server.url}{base}/compare?with={uid('instance', 'd', 1, 1)}")
        page.locator(".two-patients").wait_for()


def test_the_theme_is_kept_and_a_phone_can_read_the_list(browser: Browser, server: Server) -> None:
    with opened(browser, server, color_scheme="dark", viewport={"width": 390, "height": 800}) as (page, _):
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Light / dark").click()
        assert page.evaluate(ground) != dark
        page.reload()
        assert page.evaluate(ground) != dark
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_pages_work_without_a_script(browser: Browser, server: Server) -> None:
    with watched_page(browser, server.url, java_script_enabled=False) as (page, watch):
        page.goto(server.url + "/?q=mull")
        assert page.locator("a.row").count() == 2
        page.locator("a.row").first.click()
        page.locator(".timeline").wait_for()
        watch.assert_clean()
