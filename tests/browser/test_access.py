"""Everyone can use the pages: by keyboard alone, read aloud, magnified, on a phone, without motion, in German."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.generate import uid
from tests.support.pages import axe, names, opened, rows, until
from tests.support.patience import patient
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

INSTANCES = f"/studies/{uid('study', 'a')}/series/{uid('series', 'a', 1)}/instances"
COMPARED = f"{INSTANCES}/{uid('instance', 'a', 1, 1)}/compare?with={uid('instance', 'd', 1, 1)}"
MISSING = "/studies/1.2.3"
# A study that only this file and no other test looks at by its number of rows.
MINE = uid("study", "c")

_WIDE = "document.documentElement.scrollWidth > innerWidth"
_SMALL = """() => [...document.querySelectorAll('button, a.button, .rail a, summary, select, input:not([type=hidden])')]
  .filter(each => each.checkVisibility() && !each.closest('.hidden') && !each.classList.contains('hidden'))
  .map(each => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
  .filter(([html, box]) => box.width && (box.width < 24 || box.height < 24) && !html.includes('checkbox'))
  .map(([html]) => html)"""


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.slow)])
def test_dialogs_menus_and_comparisons_are_accessible_in_both_themes(
    browser: Browser, server: Server, scheme: Literal["dark", "light"]
) -> None:
    with opened(browser, server, f"/?q={MINE}", color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as (
        page,
        watch,
    ):
        page.locator("a.row").first.click()
        page.locator(".strip").wait_for()
        for what in ("send", "delete"):
            page.locator(f"[data-do={what}]").click()
            page.locator(f"#{what}[open]").wait_for()
            assert axe(page) == [], what
            page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.locator("#keys[open]").wait_for()
        assert axe(page) == [], "keys"
        page.keyboard.press("Escape")
        page.locator("details.columns summary").click()
        assert axe(page) == [], "columns"
        page.locator("#files").set_input_files({"name": "note.txt", "mimeType": "text/plain", "buffer": b"no DICOM"})
        page.get_by_text("1 refused").wait_for()
        assert axe(page) == [], "an upload that was refused"
        page.goto(server.url + COMPARED)
        page.locator(".two-patients").wait_for()
        assert axe(page) == [], "two patients compared"
        page.goto(server.url + MISSING)
        assert axe(page) == [], "not there"
        page.goto(server.url + "/system")
        page.locator("#q").fill("mull")
        page.locator("#hits a").first.wait_for()
        assert axe(page) == [], "what the search found"
        watch.refused = [each for each in watch.refused if MISSING not in each]
        watch.errors = [each for each in watch.errors if "404" not in each]


def press(page: Page, *pressed: str) -> None:
    for key in pressed:
        page.keyboard.press(key)


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Tab on until the focus is there, as a hand would; and what has it can be seen to have it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({selector!r})"):
            style = "getComputedStyle(document.activeElement)"
            assert page.evaluate(f"{style}.outlineStyle !== 'none' || {style}.boxShadow !== 'none'"), selector
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_the_main_flows_need_no_mouse(browser: Browser, server: Server) -> None:
    with opened(browser, server) as (page, _):
        press(page, "Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        press(page, "Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        # Search, open, send.
        press(page, "/")
        page.keyboard.type(MINE)
        rows(page, 1)
        press(page, "Escape", "j", "Enter")
        page.locator("tr.detail .strip").wait_for()
        press(page, "s")
        page.locator("#send[open]").wait_for()
        tab_to(page, "#send [value=send]")
        press(page, "Enter")
        page.get_by_text("Sent to SELF").wait_for()
        # Delete with a reason, and undo.
        page.locator("a.row").first.focus()
        press(page, "x")
        page.locator("#delete[open]").wait_for()
        page.locator("#delete .who").get_by_text("P-2").wait_for()
        assert page.evaluate("document.activeElement.name") == "reason"
        page.keyboard.type("by keyboard")
        tab_to(page, "#delete [value=delete]", 3)
        press(page, "Enter")
        page.get_by_text("No study fits").wait_for()
        tab_to(page, ".toast .button")
        press(page, "Enter")
        rows(page, 1)
        # The header of an instance, searched and compared.
        press(page, "Escape", "Escape")
        page.goto(f"{server.url}{INSTANCES}/{uid('instance', 'a', 1, 1)}/tags")
        press(page, "f")
        page.keyboard.type("pixel spacing")
        until(page, "document.querySelectorAll('table.tags tbody tr:not([hidden])').length === 1")
        press(page, "Escape", "j")
        page.wait_for_url(f"**/{uid('instance', 'a', 1, 2)}/tags")
        press(page, "c", "Enter")
        page.locator("table.compare").wait_for()
        # Anywhere: search, and go on to a patient.
        press(page, "g", "s")
        page.wait_for_url("**/system")
        tab_to(page, "[data-echo=SELF]")
        press(page, "Enter")
        page.get_by_text("answered in").wait_for()
        press(page, "/")
        page.keyboard.type("yamada")
        page.locator("#hits a").first.wait_for()
        press(page, "ArrowDown", "Enter")
        page.wait_for_url(f"**/studies/{MINE}")
        press(page, "g", "l")
        page.wait_for_url(server.url + "/")


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(390, 844, 1), (640, 400, 2)], ids=["a phone", "magnified to 200 %"]
)
def test_nothing_is_lost_on_a_small_or_magnified_screen(
    browser: Browser, server: Server, width: int, height: int, scale: int
) -> None:
    size = {"viewport": {"width": width, "height": height}, "device_scale_factor": scale}
    with opened(browser, server, **size) as (page, watch):
        for path in (
            "/",
            "/system",
            f"/studies/{MINE}",
            f"{INSTANCES}/{uid('instance', 'a', 1, 1)}/tags",
            COMPARED,
            MISSING,
        ):
            page.goto(server.url + path)
            assert not page.evaluate(_WIDE), path
            assert page.evaluate(_SMALL) == [], path
        page.goto(server.url + "/")
        for column in ("name", "id", "date", "modality"):
            box = page.locator(f"tbody .c-{column}").first.bounding_box()
            assert box is not None and box["x"] + box["width"] <= width + 1, column
        page.locator("a.row").first.click()
        page.locator(".strip").wait_for()
        assert not page.evaluate(_WIDE)
        page.locator("[data-do=delete]").click()
        button = page.locator("#delete [value=delete]").bounding_box()
        assert button is not None and button["x"] + button["width"] <= width
        page.keyboard.press("Escape")
        page.locator(".rail a[data-go=s]").click()
        page.wait_for_url("**/system")
        watch.refused = [each for each in watch.refused if MISSING not in each]
        watch.errors = [each for each in watch.errors if "404" not in each]


def test_who_wants_no_motion_sees_none(browser: Browser, server: Server) -> None:
    longest = """() => Math.max(...[...document.querySelectorAll('*')].flatMap(each => {
      const style = getComputedStyle(each);
      return [style.animationDuration, style.transitionDuration].map(parseFloat);
    }))"""
    with opened(browser, server, reduced_motion="reduce") as (page, _):
        # A series that never comes: the skeleton of it stays.
        held: list[Route] = []
        page.route("**/parts/studies/*", lambda route: held.append(route))
        page.locator("a.row").first.click()
        page.locator(".skeleton").wait_for()
        assert page.evaluate(longest) <= 0.001
        held[0].continue_()
        page.locator(".strip").wait_for()


def test_a_slow_answer_has_its_skeleton_at_once(browser: Browser, server: Server) -> None:
    with opened(browser, server) as (page, _):
        held: list[Route] = []
        page.route("**/parts/studies/*", lambda route: held.append(route))
        waited = page.evaluate(
            """async () => {
              const began = performance.now();
              document.querySelector('a.row').click();
              while (!document.querySelector('.skeleton')) await new Promise(requestAnimationFrame);
              return performance.now() - began;
            }"""
        )
        assert waited < patient(100), "milliseconds"
        until(page, "document.querySelectorAll('.skeleton span').length === 3")
        for _ in range(600):
            if held:
                break
            page.wait_for_timeout(50)
        held[0].continue_()
        page.locator(".strip").wait_for()


def test_roomy_rows_are_kept(browser: Browser, server: Server) -> None:
    height = "document.querySelector('tbody tr').getBoundingClientRect().height"
    with opened(browser, server) as (page, _):
        dense = page.evaluate(height)
        button = page.get_by_role("button", name="Roomy rows")
        button.click()
        assert page.evaluate(height) > dense + 8 and button.get_attribute("aria-pressed") == "true"
        page.reload()
        assert page.evaluate(height) > dense + 8 and button.get_attribute("aria-pressed") == "true"


def test_the_pages_speak_german_when_asked_and_stay_german_when_told(browser: Browser, server: Server) -> None:
    with opened(browser, server, locale="de-DE") as (page, _):
        page.get_by_role("heading", name="Studien").wait_for()
        assert "31.01.2024" in page.locator("table").inner_text()
        page.locator("a.row").first.click()
        page.locator(".strip").get_by_text("Im Betrachter öffnen").wait_for()
        page.locator("a[hreflang=en]").click()
        page.get_by_role("heading", name="Studies").wait_for()
        page.goto(server.url + "/system?x=1")
        page.locator("a[hreflang=de]").click()
        page.wait_for_url("**/system?x=1")
        page.get_by_text("Bereit: was jetzt gesendet wird").wait_for()


def test_no_text_of_the_scripts_escapes_the_catalogue(browser: Browser, server: Server) -> None:
    with opened(browser, server, f"/?q={MINE}", locale="en-XA") as (page, watch):
        assert page.evaluate("document.documentElement.lang") == "en-XA"
        page.locator("a.row").click()
        page.locator(".strip").wait_for()
        page.keyboard.press("s")
        page.locator("#send [value=send]").click()
        until(page, "document.querySelector('#transfers')?.innerText.includes('3 / 3')")
        page.keyboard.press("x")
        page.locator("#delete [name=reason]").fill("pseudo")
        page.locator("#delete [value=delete]").click()
        page.locator(".toast .button").click()
        rows(page, 1)
        page.locator("#files").set_input_files({"name": "note.txt", "mimeType": "text/plain", "buffer": b"no DICOM"})
        until(page, "document.querySelectorAll('#transfers .transfer').length === 2")
        until(page, "document.querySelector('#transfers').innerText.match(/1 r/)")
        outside = """() => [...document.querySelectorAll('#transfers :is(strong, button, .quiet), .toast, .live')]
          .map(each => each.innerText.trim())
          .filter(text => /[a-z]{2}/i.test(text) && !text.startsWith('⟦'))"""
        assert page.evaluate(outside) == []
        assert names(page)[0].startswith("Yamada")
        watch.refused.clear()
