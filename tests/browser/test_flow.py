"""The running day as people see it: tracking board, reconciliation, HL7 messages and commitments, over real sockets."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support import stow
from tests.support.browser import need_chromium
from tests.support.commitments import until as eventually
from tests.support.dcmtk import free_port
from tests.support.department import Department, department
from tests.support.generate import ct, part10, uid
from tests.support.mllp import Mllp
from tests.support.pages import axe, opened, until
from tests.support.server import Server, running_server, vesalius
from vesalius.model.commitments import CommitmentRequest, Reference
from vesalius.model.orders import Item

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CONFIG = """
[hl7]
listen = true
port = {port}
[[hl7.sources]]
name = "HIS"
application = "HIS"
"""
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Day:
    """A running service with a department of one scanner, and what has gone wrong by now."""

    server: Server
    desk: Department
    port: int  # MLLP
    today: str
    folder: Path
    item: int = 0
    refused: int = 0
    commitment: int = 0

    def tell(self, *lines: str, kind: str, control: str) -> str:
        """Send a message; the code of its acknowledgement."""
        head = f"MSH|^~\\&|HIS|HOSP|VESALIUS||{self.today}080000||{kind}|{control}|P|2.5.1"
        with Mllp(self.port) as line:
            return line.ask("\r".join((head, *lines)) + "\r").value("MSA", 1)

    def order(self, number: str, patient: str, name: str, at: str) -> None:
        """An order of the hospital, for today."""
        code = self.tell(
            f"PID|1||{patient}^^^^MR||{name}||19700101|F",
            "PV1|1|O",
            f"ORC|NW|{number}^HIS",
            f"OBR|1|{number}^HIS||SIMCT^CT of a phantom^99SIM" + "|" * 32 + f"{self.today}{at}00",
            kind="ORM^O01",
            control=f"C-{number}",
        )
        assert code == "AA"

    def store(self, study: str, patient: str, name: str, **fields: str) -> str:
        """Images come by STOW-RS; their study."""
        now = datetime.now().strftime("%H%M%S")
        values = {"StudyDate": self.today, "StudyTime": now, "AccessionNumber": ""} | fields
        body = part10(ct(study, 1, 1, patient_id=patient, patient_name=name, **values))
        request = urllib.request.Request(
            f"{self.server.url}/dicom-web/studies", stow.files(body), stow.headers(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
        return uid("study", study)

    def qido(self, study: str) -> tuple[str, str]:
        """Patient ID and name that the archive answers."""
        request = urllib.request.Request(f"{self.server.url}/dicom-web/studies?StudyInstanceUID={study}")
        request.add_header("Accept", "application/dicom+json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            (found,) = json.loads(answer.read())
        return found["00100020"]["Value"][0], found["00100010"]["Value"][0]["Alphabetic"]

    def item_of(self, study: str) -> int:
        """The item that a study became: a relay of the service puts it on the list."""
        found = eventually(lambda: self.desk.archive.ris.look(lambda view: view.find(Item, study=study, state="open")))
        assert isinstance(found, list)
        return int(found[0].ref)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    need_chromium()
    folder = tmp_path_factory.mktemp("flow")
    port = free_port()
    with running_server(folder, config=CONFIG.format(port=port)) as server, department(server) as desk:
        desk.setup(("CT1", "CT"))
        made = Day(server, desk, port, datetime.now().strftime("%Y%m%d"), folder)
        made.order("PL-0", "ID-0", "Already^Here", "0900")
        assert made.tell("EVN|A08|1", "PID|1||NOT-KNOWN^^^^MR||Later^Known", kind="ADT^A08", control="R-1") == "AE"
        made.refused = desk_log(desk)
        study = made.store("typo", "ID-0x", "Already^Hera")
        made.item = made.item_of(study)
        request = CommitmentRequest("1.2.3.4", (Reference(CT_CLASS, "1.2.3.99"),), aet="CT9")
        made.commitment = int(desk.archive.commit.accept(request).payload["commitment"])
        yield made


def desk_log(desk: Department) -> int:
    """The newest message that was refused."""
    from vesalius.app.hl7 import message_log
    from vesalius.ports.hl7 import InState

    return int(message_log(desk.archive).incoming(states=(InState.REFUSED,), limit=1)[0].id)


def phase(page: Page, name: str) -> str:
    """An expression: the phase of the row of a patient."""
    return (
        "[...document.querySelectorAll('tr[data-key]')].filter(row => row.innerText.includes"
        f"({json.dumps(name)})).map(row => row.dataset.phase).join()"
    )


def test_an_order_goes_over_the_board_to_the_guarantee_without_a_reload(browser: Browser, day: Day) -> None:
    path = f"/tracking?day={day.today[:4]}-{day.today[4:6]}-{day.today[6:]}"
    with opened(browser, day.server, path) as (page, _):
        page.locator("#live.on").wait_for()
        page.evaluate("window.same = true")
        day.order("PL-1", "ID-1", "Moves^Itself", "1000")
        until(page, f"{phase(page, 'Moves, Itself')} === 'scheduled'")
        assert "ID-1" in page.locator("tr[data-key]", has_text="Moves, Itself").text_content()
        done = vesalius(
            "modality", "--station", "CT1", "--json", "--slices", "3", "--size", "32", "--setup", "--count", "2",
            "--folder", day.folder / "scanner", "--archive", f"VESALIUS@127.0.0.1:{day.server.dimse_port}",
            "--date", day.today, data=day.server.data, check=False, timeout=110,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        until(page, f"{phase(page, 'Moves, Itself')} === 'committed'")
        row = page.locator("tr[data-key]", has_text="Moves, Itself")
        assert row.locator("td.c-phase").count() == 6 and row.locator(".dot").count() == 0
        assert page.evaluate("window.same"), "the page was never loaded again"
        # The same board for a wall that everybody passes.
        page.keyboard.press("i")
        page.get_by_text("M. I.").or_(page.get_by_text("I. M.")).first.wait_for()
        assert "Moves" not in page.content() and "ID-1" not in page.content()
        page.keyboard.press("w")
        page.locator(".wall").wait_for()
        assert not page.locator(".rail").is_visible() and not page.locator(".top").is_visible()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.keyboard.press("w")
        page.locator(".rail").wait_for()


def test_images_that_fit_nowhere_appear_and_one_click_repairs_them(browser: Browser, day: Day) -> None:
    with opened(browser, day.server, "/reconcile") as (page, _):
        page.locator("#live.on").wait_for()
        day.order("PL-2", "ID-2222", "Typed^Wrong", datetime.now().strftime("%H%M"))
        study = day.store("wrong", "ID-2223", "Typed^Worng")
        page.get_by_role("link", name="Typed, Worng").wait_for()
        assert day.qido(study) == ("ID-2223", "Typed^Worng")
        page.get_by_role("link", name="Typed, Worng").click()
        first = page.locator("ol.candidates > li").first
        assert "Typed, Wrong" in first.inner_text() and "changes" in first.inner_text()
        assert "The Patient ID differs in one character" in first.inner_text()
        first.get_by_role("button").click()
        page.locator(".done").wait_for()
        assert day.qido(study) == ("ID-2222", "Typed^Wrong")
        page.locator(".done").get_by_role("button", name="Take it back").click()
        page.locator("ol.candidates > li").first.wait_for()
        assert day.qido(study) == ("ID-2223", "Typed^Worng")
        page.locator("#find").fill("ID-2222")
        page.keyboard.press("Enter")
        page.locator("#hand ~ ol li", has_text="This patient, without an order").get_by_role("button").click()
        page.locator(".done").wait_for()
        assert day.qido(study) == ("ID-2222", "Typed^Wrong")


def test_a_refused_message_is_read_and_processed_again(browser: Browser, day: Day) -> None:
    update = ("EVN|A08|1", "PID|1||ID-3^^^^MR||Comes^Later||19800101|M")
    assert day.tell(*update, kind="ADT^A08", control="R-3") == "AE"
    with opened(browser, day.server, "/hl7") as (page, _):
        page.locator("a.row", has_text="R-3").click()
        page.get_by_text("Patient Identifier List").first.wait_for()
        assert "Comes" in page.locator("dl.fields").nth(2).inner_text()
        assert "AE" in page.locator("#ack-title ~ .segment", has_text="MSA").inner_text()
        assert day.tell("EVN|A04|1", update[1], "PV1|1|O", kind="ADT^A04", control="R-4") == "AA"
        page.get_by_role("button", name="Process again").click()
        page.wait_for_load_state()

        def processed() -> bool:
            page.reload()
            return page.locator(".message-head .badge.good").count() == 1

        eventually(processed)
        assert page.get_by_role("button", name="Process again").count() == 0
    assert "Comes" not in day.server.log_text()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_page_is_accessible_in_both_themes(browser: Browser, day: Day, scheme: Literal["dark", "light"]) -> None:
    pages = (
        "/tracking", "/tracking?wall=1", "/reconcile", f"/reconcile/{day.item}?q=ID-0", "/reconcile?state=repaired",
        "/hl7", "/hl7?way=out", f"/hl7/in/{day.refused}",
        "/commitments", f"/commitments/{day.commitment}", "/patients/1",
    )  # fmt: skip
    with opened(browser, day.server, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as (page, _):
        for path in pages:
            page.goto(day.server.url + path)
            assert axe(page) == [], path


def test_lists_go_by_keyboard_and_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, day: Day) -> None:
    with opened(browser, day.server, "/hl7") as (page, _):
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/hl7/in/*")
        page.keyboard.press("g")
        page.keyboard.press("t")
        page.wait_for_url("**/tracking")
    small = {"width": 390, "height": 800}
    with opened(browser, day.server, "/tracking", viewport=small) as (page, _):
        for path in ("/tracking", f"/reconcile/{day.item}", f"/hl7/in/{day.refused}", f"/commitments/{day.commitment}"):
            page.goto(day.server.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= small["width"], path
