"""The schedule, order entry and the arrivals desk as people use them: by mouse and by keyboard, two at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.support.browser import need_chromium, watched_page
from tests.support.pages import axe, opened, until
from tests.support.ris import Hospital, by
from tests.support.server import Server, running_server
from vesalius.cli import options
from vesalius.model.orders import Code, Hours, Procedure, Station
from vesalius.ris import catalogue

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

TALL = {"width": 1400, "height": 1500}  # the whole day without scrolling


@dataclass
class Department:
    """A running service with a planned day, some days ahead so that no clock plays a part."""

    server: Server
    day: str  # YYYYMMDD
    steps: dict[str, int] = field(default_factory=dict)  # by family name

    @property
    def iso(self) -> str:
        return f"{self.day[:4]}-{self.day[4:6]}-{self.day[6:]}"

    @property
    def path(self) -> str:
        return f"/schedule?day={self.iso}"


PLANNED = (
    ("Drag", "0900"),
    ("Stays", "1100"),
    ("Refused", "1300"),
    ("Keyboard", "1500"),
    ("Arrives", "1600"),
    ("Kept", "1700"),
)


@pytest.fixture(scope="module")
def department(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Department]:
    need_chromium()
    folder = tmp_path_factory.mktemp("department")
    day = (date.today() + timedelta(days=7)).strftime("%Y%m%d")
    with options.archive(folder / "data", None, must_exist=False) as archive:
        house = Hospital(archive.ris, archive.ris_rules)
        house.stations()

        def more(unit: Any) -> None:
            hours = (Hours("1234567", "0800", "1600"),)
            catalogue.save_station(unit, by(), Station("CT2", "CT 2", "CT", "RAD", hours=hours))
            catalogue.save_procedure(unit, by(), Procedure(Code("MRBRAIN", "99V", "MR"), "MR brain", "MR", 30))

        archive.ris.change(more)
        steps = {}
        for name, at in PLANNED:
            _, procedure = house.order(house.patient(f"{name.upper()}-1", f"{name}^One"))
            steps[name] = house.step(procedure, start=day + at, minutes=30).ref
        house.order(house.patient("WAITS-1", "Waits^Long"))
    with running_server(folder) as server:
        yield Department(server, day, steps)


@contextmanager
def refused(browser: Browser, department: Department, path: str, status: str) -> Iterator[Page]:
    """A page on which the service refuses something: that is told to the person, and is no fault."""
    with watched_page(browser, department.server.url, viewport=TALL) as (page, watch):
        watch.allowed[status] = "the browser writes every refused request to its console"
        page.goto(department.server.url + path)
        yield page
        assert watch.errors == [] and watch.foreign == []
        assert watch.refused and [one for one in watch.refused if not one.startswith(status)] == []


def step_of(page: Page, ref: int) -> Locator:
    return page.locator(f'.step[data-step="{ref}"]')


def at(page: Page, ref: int, station: str, start: str) -> None:
    """Until the page shows a step at a time on a station."""
    page.locator(f'.column[data-station="{station}"] .step[data-step="{ref}"][data-start="{start}00"]').wait_for()


def drag(page: Page, what: Locator, station: str, time: str) -> None:
    """By hand to a time of a station."""
    grid = page.locator(".grid")
    first, hours = (int(grid.get_attribute(f"data-{name}") or 0) for name in ("first", "hours"))
    box, column = what.bounding_box(), page.locator(f'.column[data-station="{station}"]').bounding_box()
    assert box is not None and column is not None
    minute = int(time[:2]) * 60 + int(time[2:])
    y = column["y"] + column["height"] * (minute - first * 60) / (hours * 60)
    held = 8 if "wait" in (what.get_attribute("class") or "").split() else 4
    page.mouse.move(box["x"] + 20, box["y"] + 4)
    page.mouse.down()
    page.mouse.move(column["x"] + 30, y + held, steps=6)
    page.locator(".ghost").wait_for()
    page.mouse.up()


def test_dragging_moves_an_appointment_a_second_browser_sees_it_and_it_is_undone(
    browser: Browser, department: Department
) -> None:
    ref = department.steps["Drag"]
    with (
        opened(browser, department.server, department.path, viewport=TALL) as (first, _),
        opened(browser, department.server, department.path, viewport=TALL) as (second, _),
    ):
        for page in (first, second):
            page.locator("#live.on").wait_for()
            at(page, ref, "CT1", department.day + "0900")
        drag(first, step_of(first, ref), "CT2", "1010")
        at(first, ref, "CT2", department.day + "1010")
        at(second, ref, "CT2", department.day + "1010")
        assert "10:10" in first.locator(".toast").inner_text() and "CT 2" in first.locator(".toast").inner_text()
        assert first.locator("#details[open]").count() == 0  # a drag is no click
        first.locator(".toast .button").click()
        at(second, ref, "CT1", department.day + "0900")


def test_what_waits_is_dragged_to_its_time(browser: Browser, department: Department) -> None:
    with opened(browser, department.server, department.path, viewport=TALL) as (page, _):
        drag(page, page.locator(".wait", has_text="Waits, Long"), "CT1", "0800")
        page.locator('.column[data-station="CT1"] .step', has_text="Waits, Long").wait_for()
        until(page, "![...document.querySelectorAll('.wait')].some(each => each.textContent.includes('Waits, Long'))")


def test_a_taken_time_is_refused_and_a_closed_one_needs_a_reason(browser: Browser, department: Department) -> None:
    ref = department.steps["Refused"]
    with refused(browser, department, department.path, "409") as page:
        drag(page, step_of(page, ref), "CT1", "1115")
        page.get_by_text("CT1 room is taken from 11:00 to 11:30.").wait_for()
        at(page, ref, "CT1", department.day + "1300")
        drag(page, step_of(page, ref), "MR1", "1300")
        page.get_by_text("MR1 room cannot do CT.").wait_for()
        drag(page, step_of(page, ref), "CT2", "1700")
        page.get_by_role("button", name="Move all the same").click()
        reason = page.locator("#move[open] [name=reason]")
        reason.fill("stroke")
        reason.press("Enter")
        at(page, ref, "CT2", department.day + "1700")


def test_escape_lets_go_of_what_is_dragged(browser: Browser, department: Department) -> None:
    ref = department.steps["Kept"]
    with opened(browser, department.server, department.path, viewport=TALL) as (page, _):
        box = step_of(page, ref).bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 20, box["y"] + 4)
        page.mouse.down()
        page.mouse.move(box["x"] + 20, box["y"] - 60, steps=4)
        page.locator(".ghost").wait_for()
        page.keyboard.press("Escape")
        page.mouse.up()
        assert page.locator(".ghost").count() == 0
        at(page, ref, "CT1", department.day + "1700")


def test_an_appointment_is_found_moved_and_opened_by_keyboard_alone(browser: Browser, department: Department) -> None:
    ref = department.steps["Keyboard"]
    with opened(browser, department.server, department.path, viewport=TALL) as (page, _):
        for _ in range(20):
            page.keyboard.press("j")
            if page.evaluate("document.activeElement.dataset.step") == str(ref):
                break
        page.keyboard.press("m")
        time = page.locator("#move[open] [name=time]")
        time.fill("15:30")
        page.keyboard.press("Enter")
        at(page, ref, "CT1", department.day + "1530")
        until(page, f"document.activeElement.dataset.step === '{ref}'")
        page.keyboard.press("Enter")
        page.locator("#details[open] .who-is", has_text="Keyboard, One").wait_for()
        page.locator("#details [data-verb=arrive]").focus()
        page.keyboard.press("Enter")
        page.locator("#details .state-chip", has_text="Arrived").wait_for()
        page.keyboard.press("Escape")
        page.locator(f'.step.is-arrived[data-step="{ref}"]').wait_for()
        page.keyboard.press("l")
        page.wait_for_url(f"**/schedule?day={date.fromisoformat(department.iso) + timedelta(days=1)}*")


def test_from_the_order_to_the_desk_and_another_screen_follows(browser: Browser, department: Department) -> None:
    desk_path = f"/arrivals?day={department.iso}"
    with (
        refused(browser, department, "/orders/new", "422") as page,
        opened(browser, department.server, desk_path, viewport=TALL) as (desk, _),
    ):
        desk.locator("#live.on").wait_for()
        page.locator("#find").fill("arriv")
        page.locator(".people label", has_text="ARRIVES-1").click()
        page.locator("[name=procedure]").select_option(label="MR brain · 30 min")
        page.locator("[name=day]").fill(department.iso)
        page.locator(".slot", has_text="10:15").click()
        page.locator("[name=reason]").fill("dizzy")
        page.locator("[value=place]").click()
        page.locator("#ordering-error").wait_for()  # nothing is lost by what is missing
        assert page.locator(".slot input:checked").get_attribute("value") == f"MR1@{department.day}101500"
        assert "ARRIVES-1" in page.locator(".chosen").inner_text()
        page.locator("[name=ordering]").fill("House, Rita")
        page.locator("[value=place]").click()
        accession = page.locator(".confirmation .figures dd").first.inner_text()
        assert accession and "10:15" in page.locator(".line .when").inner_text()

        row = desk.locator("tr[data-step]", has_text="MR brain")
        row.wait_for()
        desk.locator("#find").fill(accession)
        until(desk, "[...document.querySelectorAll('tr[data-step]')].filter(each => !each.hidden).length === 1")
        desk.locator("#find").press("Enter")
        desk.keyboard.press("a")
        desk.locator(".toast", has_text="born 1 Jan 1970").wait_for()
        row.locator(".state-chip", has_text="Arrived").wait_for()
        desk.keyboard.press("u")
        row.locator(".state-chip", has_text="Scheduled").wait_for()
        desk.keyboard.press("x")
        row.locator(".state-chip", has_text="Did not come").wait_for()
        desk.keyboard.press("u")
        row.locator(".state-chip", has_text="Scheduled").wait_for()
        page.get_by_role("button", name="Cancel order").click()
        page.locator("#why[open] [name=reason]").fill("pacemaker")
        page.keyboard.press("Enter")
        page.locator(".confirmation .figures", has_text="Cancelled").wait_for()
        row.wait_for(state="detached")


def test_a_new_patient_who_may_be_known_is_noticed_while_one_types(browser: Browser, department: Department) -> None:
    with opened(browser, department.server, "/orders/new") as (page, _):
        page.locator("#find").fill("Stays Nobody")
        page.locator("[data-new]").click()
        page.locator("[name=given]").fill("Ole")
        page.locator("[name=born]").fill("1970-01-01")
        page.locator(".twins", has_text="STAYS-1").wait_for()
        page.locator("[name=reason]").fill("kept")
        page.locator("[data-use]").click()
        page.locator(".chosen", has_text="STAYS-1").wait_for()
        assert page.locator("[name=reason]").input_value() == "kept"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_pages_are_accessible_in_both_themes(
    browser: Browser, department: Department, scheme: Literal["dark", "light"]
) -> None:
    how: dict[str, Any] = {"color_scheme": scheme, "bypass_csp": True, "reduced_motion": "reduce"}
    with opened(browser, department.server, department.path, **how) as (page, _):
        assert axe(page) == []
        page.locator(".step").first.focus()
        page.keyboard.press("m")
        page.locator("#move[open]").wait_for()
        assert axe(page) == []
        page.keyboard.press("Escape")
        page.locator(".step").first.click()
        page.locator("#details[open] .who-is").wait_for()
        assert axe(page) == []
        week = f"{department.path}&view=week&station=CT2"
        step = department.steps["Stays"]
        for path in (
            week,
            f"/schedule/steps/{step}",
            "/orders/1",
            "/orders/new?procedure=CTHEAD%5C99V",
            f"/arrivals?day={department.iso}",
        ):
            page.goto(department.server.url + path)
            assert axe(page) == [], path
