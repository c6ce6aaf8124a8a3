"""The fusion page in Chromium: what it reads at known points of the phantom and of the real PET/CT, by mouse and key.

Where a point lies on the screen is worked out here from the size of the box and the grid of the scan, not asked of the
page; what is there is known from the phantom, or read from the files with pydicom.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pydicom
import pytest

from tests.support import phantom
from tests.support.browser import need_chromium, pixels
from tests.support.data import need_shared_data
from tests.support.generate import uid
from tests.support.pages import axe, opened, until
from tests.support.phantom import Scan
from tests.support.server import Server, running_server, vesalius

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

CT_SCAN = Scan(rows=70, columns=80, slices=66, between_rows=1.5, between_columns=2.0, step=1.5)
PET_SCAN = Scan(rows=32, columns=32, slices=10, between_rows=5.0, between_columns=5.0, step=5.0)
SHIFT = (6.0, -4.0, 9.0)
STUDY, CT, PET = uid("phantom study", 1), uid("phantom series", 1, "ct"), uid("phantom series", 1, "pt")
OTHER = uid("phantom series", 2, "other")  # of an earlier study, in a frame of its own
LIGHT = uid("phantom series", 1, "light")  # a PET of a patient whose weight nobody wrote down
LESION, LUNG, FAT, WATER = (32.0, 14.0, -8.0), (-30.0, -12.0, 5.0), (10.0, -22.0, 12.0), (0.0, 20.0, 0.0)
# Dose at the time of the scan: 3600 s after injection, half-life 6586.2 s, 350 MBq, 70 kg.
FACTOR = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need_chromium()
    folder = tmp_path_factory.mktemp("fusion-site")
    other = phantom.ct(replace(CT_SCAN, slices=60), study=2, series="other", frame="elsewhere")
    for ds in other:
        ds.ImagePositionPatient = [float(a) + b for a, b in zip(ds.ImagePositionPatient, SHIFT, strict=True)]
        ds.StudyDate = "20200505"
    light = phantom.pet(PET_SCAN, series="light")
    for ds in light:
        del ds.PatientWeight
        ds.SeriesNumber = "9"
    for number, datasets in enumerate((phantom.ct(CT_SCAN), phantom.pet(PET_SCAN), other, light)):
        phantom.write(folder / "files" / str(number), datasets)
    vesalius("import", str(folder / "files"), data=folder / "data")
    with running_server(folder) as made:
        yield made


def drawn(page: Page) -> None:
    """Until every pane shows what it was asked for, and the figures are those of the cross-hair."""
    until(
        page,
        "(() => { const all = [...document.querySelectorAll('#panes figure')];"
        " const at = ['x', 'y', 'z'].map(name => document.getElementById(`at-${name}`).valueAsNumber);"
        " const told = (document.getElementById('values').dataset.at ?? '').split(',').map(Number);"
        " return document.getElementById('panes').getAttribute('aria-busy') === 'false' && all.length"
        " && all.every(each => each.dataset.shown && each.dataset.shown === each.dataset.wanted)"
        " && told.length === 3 && told.every((each, axis) => Math.abs(each - at[axis]) <= 0.051); })()",
    )


def go(page: Page, point: tuple[float, ...]) -> None:
    """The cross-hair to a point, as one who types it."""
    for name, value in zip("xyz", point, strict=True):
        page.locator(f"#at-{name}").fill(str(value))
        page.keyboard.press("Enter")
    page.locator("main").focus()
    drawn(page)


def read(page: Page) -> tuple[float | None, float | None]:
    """What the page says of both series, as the archive told it."""
    found = [page.locator(f"#value-{side}").get_attribute("data-value") for side in ("fixed", "moving")]
    return float(found[0]) if found[0] else None, float(found[1]) if found[1] else None


def pane(page: Page, show: str, plane: str) -> Locator:
    return page.locator(f"#panes figure[data-show={show}][data-plane={plane}]")


@dataclass(frozen=True)
class Place:
    """Where points of the patient lie on a pane, in pixels of it."""

    width: float
    height: float
    scale: float
    centre: tuple[float, ...]
    axes: tuple[tuple[int, int], tuple[int, int]]  # to the right and downwards: axis of LPS, direction

    def of(self, point: tuple[float, ...]) -> tuple[float, float]:
        (i, across), (j, down) = self.axes
        x = self.width / 2 + (point[i] - self.centre[i]) * across * self.scale
        return x, self.height / 2 + (point[j] - self.centre[j]) * down * self.scale


AXES = {"axial": ((0, 1), (1, 1)), "coronal": ((0, 1), (2, -1)), "sagittal": ((1, 1), (2, -1))}


def place(page: Page, show: str, plane: str, scan: Scan = CT_SCAN) -> Place:
    box = pane(page, show, plane).locator("canvas").bounding_box()
    assert box is not None
    extent = (scan.columns * scan.between_columns, scan.rows * scan.between_rows, scan.slices * scan.step)
    (i, _), (j, _) = axes = AXES[plane]
    scale = min(box["width"] / extent[i], box["height"] / extent[j])
    return Place(box["width"], box["height"], scale, scan.centre, axes)


def click(page: Page, show: str, plane: str, point: tuple[float, ...], scan: Scan = CT_SCAN) -> None:
    x, y = place(page, show, plane, scan).of(point)
    pane(page, show, plane).locator("canvas").click(position={"x": x, "y": y})
    drawn(page)


def at(page: Page) -> list[float]:
    return [float(page.locator(f"#at-{name}").input_value()) for name in "xyz"]


def test_a_study_with_two_volumes_is_fused_from_its_row_by_one_key(browser: Browser, site: Server) -> None:
    with opened(browser, site, "/?q=PHANTOM") as (page, _):
        page.locator(f"tr[data-study='{STUDY}'] a.row").click()
        page.locator(".strip [data-do=fuse]").wait_for()
        page.keyboard.press("f")
        page.wait_for_url("**/fusion*")
        drawn(page)
        assert page.locator("#fixed").input_value() == CT
        assert page.locator("#moving").input_value() == PET
        assert page.locator("#link").inner_text().strip() == "One frame of reference"
        assert page.locator(".who-is").get_by_text("PHANTOM", exact=True).is_visible()


def test_values_at_known_points_of_the_phantom_with_their_units(browser: Browser, site: Server) -> None:
    with opened(browser, site, f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}") as (page, _):
        drawn(page)
        for point, hu, activity in (
            (LESION, 1000, phantom.LESION_BQ_ML),
            (LUNG, -800, phantom.BACKGROUND_BQ_ML),
            (FAT, -100, phantom.BACKGROUND_BQ_ML),
            (WATER, 0, phantom.BACKGROUND_BQ_ML),
        ):
            go(page, point)
            fixed, moving = read(page)
            assert fixed == hu
            assert moving == pytest.approx(activity * FACTOR, rel=1e-5)
            assert page.locator("#value-fixed").inner_text() == f"{hu} HU".replace("1000", "1,000")
            assert page.locator("#value-moving").inner_text() == f"{activity * FACTOR:.2f} SUVbw"
        page.locator("#fixed-unit").select_option("stored")
        page.locator("#moving-unit").select_option("natural")
        until(page, "document.getElementById('value-moving').innerText.includes('Bq')")
        go(page, LESION)
        assert read(page) == (2024, phantom.LESION_BQ_ML)
        assert page.locator("#value-fixed").inner_text() == "2,024 raw"
        assert page.locator("#value-moving").inner_text().upper() == "20,000 BQ/ML"


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_click_reads_what_lies_there_and_moves_the_cross_hair_of_every_pane(
    browser: Browser, site: Server, plane: str
) -> None:
    path = f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}&layout=all&at={','.join(map(str, LESION))}"
    with opened(browser, site, path) as (page, _):
        drawn(page)
        page.locator("#at-x").wait_for()
        # From the middle of the lesion to another point of the same plane, and to it again from aside.
        away = tuple(each + 6 * (axis in (AXES[plane][0][0], AXES[plane][1][0])) for axis, each in enumerate(LESION))
        for show, point in (("moving", away), ("fixed", LESION)):
            click(page, show, plane, point)
            assert at(page) == pytest.approx(point, abs=1.0)
            assert read(page) == pytest.approx((1000, phantom.LESION_BQ_ML * FACTOR), rel=1e-5)
        # Pictures and lines follow in all nine.
        for figure in page.locator("#panes figure").all():
            shown = parse_qs(urlsplit(str(figure.get_attribute("data-shown"))).query)
            axis = {"axial": 2, "coronal": 1, "sagittal": 0}[shown["plane"][0]]
            assert float(shown["position"][0]) == pytest.approx(at(page)[axis], abs=0.06)
            found = pixels(figure.locator("canvas").screenshot()).astype(int)
            where = place(page, shown["show"][0], shown["plane"][0]).of(tuple(at(page)))
            row = found[int(found.shape[0] * 0.8), 6:-6]
            nearest = np.abs(row - (0x6C, 0xC0, 0xB8)).sum(axis=-1)
            assert abs(6 + int(nearest.argmin()) - where[0]) <= 2


def test_what_is_drawn_is_the_bone_in_white_and_the_lesion_in_the_colour_of_its_uptake(
    browser: Browser, site: Server
) -> None:
    point = ",".join(map(str, LESION))
    path = f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}&hair=0&at={point}&fixed_window=0,1000&map=grey&opacity=1"
    with opened(browser, site, path) as (page, _):
        drawn(page)

        def seen(show: str, at: tuple[float, ...]) -> list[int]:
            x, y = place(page, show, "axial").of(at)
            picture = pixels(pane(page, show, "axial").locator("canvas").screenshot())
            return [int(each) for each in picture[round(y), round(x)]]

        water = (-20.0, 14.0, LESION[2])
        assert seen("fixed", LESION) == [255] * 3
        assert seen("fixed", water) == pytest.approx([127] * 3, abs=2)
        background = phantom.BACKGROUND_BQ_ML * FACTOR / 7 * 255
        assert seen("moving", water) == pytest.approx([background] * 3, abs=2)
        assert seen("moving", LESION) == pytest.approx([min(255, 8 * background)] * 3, abs=2)
        assert seen("both", water) == seen("moving", water)
        page.locator("#opacity").fill("0")
        drawn(page)
        assert seen("both", LESION) == [255] * 3 and seen("both", water) == seen("fixed", water)
        page.locator("#fixed-preset").select_option(label="Lung -600/1500")
        drawn(page)
        assert seen("fixed", water) == pytest.approx([(600 / 1500 + 0.5) * 255] * 3, abs=2)
        assert page.locator("#fixed-centre").input_value() == "-600"


def test_everything_is_done_by_keys(browser: Browser, site: Server) -> None:
    with opened(browser, site, f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}") as (page, _):
        drawn(page)
        page.locator("main").focus()
        before = at(page)

        def press(*keys: str) -> list[float]:
            for key in keys:
                page.keyboard.press(key)
            drawn(page)
            return [now - then for now, then in zip(at(page), before, strict=True)]

        assert press("ArrowUp", "ArrowUp") == pytest.approx([0, 0, 2 * CT_SCAN.step], abs=0.11)
        assert press("ArrowDown") == pytest.approx([0, 0, CT_SCAN.step], abs=0.11)
        assert press("PageDown") == pytest.approx([0, 0, -9 * CT_SCAN.step], abs=0.11)
        assert press("Shift+ArrowRight", "Shift+ArrowDown") == pytest.approx([2.0, 1.5, -9 * CT_SCAN.step], abs=0.11)
        press("c")
        assert pane(page, "both", "coronal").count() == 1 and pane(page, "both", "axial").count() == 0
        assert press("ArrowUp") == pytest.approx([2.0, 3.0, -9 * CT_SCAN.step], abs=0.11)
        assert press("Shift+ArrowUp") == pytest.approx([2.0, 3.0, -8 * CT_SCAN.step], abs=0.11)
        press("l")
        assert page.locator("#panes figure").count() == 3 and pane(page, "both", "sagittal").count() == 1
        press("l")
        assert page.locator("#panes figure").count() == 9
        press("]", "]")
        assert page.locator("#opacity").input_value() == "70"
        press("o")
        assert page.locator("#opacity").input_value() == "0"
        press("o")
        press("[")
        assert page.locator("#opacity").input_value() == "60"
        press("m", "t", "h", "4")
        assert page.locator("#map").input_value() == "pet"
        assert page.locator("#slab").input_value() == "5"
        assert not page.locator("#hair").is_checked()
        assert page.locator("#fixed-centre").input_value() == "400"
        page.locator("main").focus()
        page.keyboard.press("x")
        until(page, f"document.getElementById('fixed').value === '{PET}'")
        drawn(page)
        assert page.locator("#moving").input_value() == CT and page.locator("#moving-centre").input_value() == "400"
        # The address is what is seen: who opens it sees the same.
        until(page, "location.search.includes('slab=5') && location.search.includes('layout=all')")
        until(page, f"new URLSearchParams(location.search).get('fixed') === '{PET}'")
        said, values, where = page.url, read(page), at(page)
        page.goto(said)
        drawn(page)
        assert (read(page), at(page)) == (values, where)
        assert page.locator("#map").input_value() == "pet" and page.locator("#opacity").input_value() == "60"
        page.locator("main").focus()
        page.keyboard.press("Escape")
        page.wait_for_url(f"**/studies/{STUDY}")


def test_the_wheel_goes_through_slices_and_the_right_button_sets_the_window(browser: Browser, site: Server) -> None:
    with opened(browser, site, f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}") as (page, _):
        drawn(page)
        before = at(page)
        box = pane(page, "fixed", "axial").locator("canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 40, box["y"] + 60)
        page.mouse.wheel(0, 120)
        until(page, f"Math.abs(document.getElementById('at-z').valueAsNumber - {before[2] - 2 * CT_SCAN.step}) < 0.11")
        page.mouse.wheel(0, -60)
        until(page, f"Math.abs(document.getElementById('at-z').valueAsNumber - {before[2] - CT_SCAN.step}) < 0.11")
        page.mouse.down(button="right")
        page.mouse.move(box["x"] + 140, box["y"] + 60, steps=4)
        page.mouse.up(button="right")
        drawn(page)
        assert float(page.locator("#fixed-width").input_value()) > 550
        assert page.locator("#fixed-preset").input_value() == "own"


def test_series_without_a_common_space_are_refused_with_the_reason_and_an_offer(browser: Browser, site: Server) -> None:
    with opened(browser, site, f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}") as (page, watch):
        watch.allowed["status of 422"] = "the refusal that the page puts into words"
        drawn(page)
        page.locator("#moving").select_option(OTHER)
        page.locator("#apart").wait_for()
        assert "share no space" in page.locator("#apart-title").inner_text()
        assert "frames of reference differ" in page.locator("#apart-why").inner_text()
        assert not page.locator("#panes").is_visible()
        until(page, "[...document.querySelectorAll('#apart img')].every(each => each.naturalWidth > 10)")
        assert page.locator("#register .primary").is_visible()
        watch.refused[:] = [each for each in watch.refused if not each.startswith("422")]


@pytest.mark.slow
def test_what_shares_no_space_is_registered_when_asked_and_then_fused(browser: Browser, site: Server) -> None:
    with opened(browser, site, f"/studies/{STUDY}/fusion?fixed={CT}&moving={OTHER}") as (page, watch):
        watch.allowed["status of 422"] = "the refusal that the page puts into words"
        page.locator("#register [name=who]").fill("Doe^Jane")
        page.locator("#register .primary").click()
        page.locator(".toast").get_by_text("Registered").wait_for(timeout=180_000)
        drawn(page)
        assert "registration (RIGID)" in page.locator("#link").inner_text()
        assert page.locator("figcaption .prior").last.inner_text().strip() == "· prior 5 May 2020"
        go(page, LESION)
        assert read(page) == (1000, 1000)
        watch.refused[:] = [each for each in watch.refused if not each.startswith("422")]


def test_a_pet_without_a_weight_is_shown_as_what_it_is_with_the_reason(browser: Browser, site: Server) -> None:
    with opened(browser, site, f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}") as (page, watch):
        watch.allowed["status of 422"] = "SUV was asked for"
        drawn(page)
        page.locator("#moving").select_option(LIGHT)
        until(page, "document.getElementById('value-moving').innerText.toLowerCase().includes('bq/ml')")
        assert page.locator("#moving-unit").input_value() == "natural"
        assert "Weight" in page.locator("#notes").inner_text()
        watch.refused[:] = [each for each in watch.refused if not each.startswith("422")]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_is_accessible_in_both_themes(
    browser: Browser, site: Server, scheme: Literal["dark", "light"]
) -> None:
    path = f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}"
    with opened(browser, site, path, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as (page, watch):
        watch.allowed["status of 422"] = "a pair without a common space"
        drawn(page)
        assert axe(page) == []
        page.keyboard.press("?")
        assert axe(page) == []
        page.keyboard.press("Escape")
        page.set_viewport_size({"width": 420, "height": 900})
        drawn(page)
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= 420")
        page.set_viewport_size({"width": 1280, "height": 800})
        page.locator("#moving").select_option(OTHER)
        until(page, "!document.getElementById('apart').hidden || document.getElementById('panes').ariaBusy === 'false'")
        assert axe(page) == []
        watch.refused.clear()


def test_no_text_of_the_page_escapes_the_catalogue(browser: Browser, site: Server) -> None:
    path = f"/studies/{STUDY}/fusion?fixed={CT}&moving={PET}"
    with opened(browser, site, path, locale="en-XA") as (page, watch):
        watch.allowed["status of 422"] = "a pair without a common space"
        drawn(page)
        outside = """() => [...document.querySelectorAll(
          '#fusion :is(button, legend, h2, h3, figcaption i, label > span, #link)')]
          .map(each => each.textContent.trim())
          .filter(text => /[a-z]{3}/i.test(text) && !text.includes('⟦'))"""
        assert page.evaluate(outside) == []
        watch.refused.clear()


# -- the real PET/CT


@dataclass(frozen=True)
class Real:
    server: Server
    study: str
    ct: dict[float, pydicom.FileDataset]
    pet: dict[float, pydicom.FileDataset]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    need_chromium()
    folder = need_shared_data() / "pet-ct/acrin-nsclc-fdg-pet-042"
    data = tmp_path_factory.mktemp("fusion-real")
    found: list[dict[float, pydicom.FileDataset]] = []
    for name in ("ct", "pt-ac"):
        read_ = [pydicom.dcmread(path) for path in sorted((folder / name).rglob("*.dcm"))]
        found.append({float(ds.ImagePositionPatient[2]): ds for ds in read_})
    vesalius("import", str(folder / "ct"), str(folder / "pt-ac"), data=data / "data")
    with running_server(data) as server:
        yield Real(server, str(next(iter(found[0].values())).StudyInstanceUID), *found)


def voxel(slices: dict[float, pydicom.FileDataset], point: tuple[float, ...]) -> tuple[float, pydicom.FileDataset]:
    """The rescaled value of the voxel that holds a point, by pydicom alone."""
    ds = slices[min(slices, key=lambda z: abs(z - point[2]))]
    x, y, _ = (float(each) for each in ds.ImagePositionPatient)
    assert [float(each) for each in ds.ImageOrientationPatient] == pytest.approx([1, 0, 0, 0, 1, 0], abs=1e-6)
    rows, columns = (float(each) for each in ds.PixelSpacing)
    stored = ds.pixel_array[math.floor((point[1] - y) / rows + 0.5), math.floor((point[0] - x) / columns + 0.5)]
    return float(stored) * float(ds.RescaleSlope) + float(ds.RescaleIntercept), ds


def seconds(text: str) -> float:
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])


def suv(activity: float, ds: Any) -> float:
    """SUV by body weight from the header (QIBA): the scan is decay corrected to its start."""
    assert (ds.Units, ds.DecayCorrection) == ("BQML", "START")
    dose = ds.RadiopharmaceuticalInformationSequence[0]
    passed = seconds(str(ds.SeriesTime)) - seconds(str(dose.RadiopharmaceuticalStartTime))
    left = float(dose.RadionuclideTotalDose) * 2 ** (-passed / float(dose.RadionuclideHalfLife))
    return activity * float(ds.PatientWeight) * 1000 / left


POINTS = (
    (-48.3, -15.2, -141.09),
    (30.4, -60.8, -141.09),
    (12.0, 40.0, -200.0),
    (-70.0, 25.0, -100.0),
    (0.0, 0.0, -60.0),
)


def test_real_hu_and_suv_at_stated_points(browser: Browser, real: Real) -> None:
    with opened(browser, real.server, f"/studies/{real.study}/fusion") as (page, _):
        drawn(page)
        assert page.locator("#link").inner_text().strip() == "One frame of reference"
        uptakes = []
        for point in POINTS:
            go(page, point)
            hu, _ = voxel(real.ct, point)
            activity, ds = voxel(real.pet, point)
            fixed, moving = read(page)
            assert fixed == hu
            assert moving == pytest.approx(suv(activity, ds), rel=1e-4)
            uptakes.append(moving or 0)
        # The first lies in the tumour.
        assert uptakes[0] > 8 and max(uptakes[1:]) < 8
        assert page.locator("#value-moving .unit").inner_text().strip() == "SUVbw"
