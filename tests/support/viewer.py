"""The diagnostic viewer as a reader uses it: open a study, wait until it shows images, read what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.browser import Watch, is_drawn

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Seen with the viewer as it is published; none is about what it shows.
HARMLESS: dict[str, str] = {}

_CONFIRMED = """localStorage.setItem('investigationalUseDialog', JSON.stringify({expiryDate: '2100-01-01'}))"""

# Every viewport that has drawn its image: its kind, the image's number, size, and who it is of.
_VIEWPORTS = """() => {
  const engines = window.cornerstone?.getRenderingEngines?.() ?? [];
  const shown = engines.flatMap(engine => engine.getViewports()).filter(viewport => viewport.getActors?.().length);
  return shown.map(viewport => ({
    id: viewport.id,
    type: viewport.type,
    rendered: viewport.viewportStatus === 'rendered',
    index: viewport.type === 'stack' ? viewport.getCurrentImageIdIndex() : null,
    images: viewport.type === 'stack' ? viewport.getImageIds().length : null,
  }));
}"""

# The values of one stack viewport as the reader's probe reads them, and where they came from.
_VALUES = """([id, points]) => {
  const viewport = window.cornerstone.getRenderingEngines()[0].getViewport(id);
  const image = window.cornerstone.cache.getImage(viewport.getCurrentImageId());
  const data = image.voxelManager?.getScalarData?.() ?? image.getPixelData();
  const samples = data.length / (image.rows * image.columns);
  return {
    imageId: viewport.getCurrentImageId(),
    rows: image.rows,
    columns: image.columns,
    values: points.map(([row, column]) =>
      Array.from(data.slice((row * image.columns + column) * samples, (row * image.columns + column + 1) * samples))),
  };
}"""


@dataclass
class Viewer:
    """A page with the viewer in it."""

    page: Page
    watch: Watch
    origin: str

    def open(self, path: str, *, viewports: int = 1) -> None:
        """Go to an address of ours and wait until this many viewports have drawn an image."""
        self.watch.allowed.update(HARMLESS)
        self.page.add_init_script(_CONFIRMED)
        self.page.goto(self.origin + path)
        self.wait_rendered(viewports)

    def wait_rendered(self, viewports: int = 1) -> None:
        self.wait_for(lambda: sum(one["rendered"] for one in self.viewports()) >= viewports, "images in the viewports")
        self.page.wait_for_timeout(300)  # the frame after the one that was announced

    def wait_for(self, holds: Callable[[], object], what: str, seconds: float = 90) -> None:
        """Until something holds. Not Playwright's own: that evaluates text, which the page's policy forbids."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"no {what} after {seconds:.0f} s: {self.watch}"[:3000])
            self.page.wait_for_timeout(100)

    def viewports(self) -> list[dict[str, Any]]:
        """The viewports that hold an image."""
        found: list[dict[str, Any]] = self.page.evaluate(_VIEWPORTS)
        return found

    def values(self, points: list[tuple[int, int]], viewport: str | None = None) -> dict[str, Any]:
        """Values at (row, column) of the image that a stack viewport shows, as the probe tool would say them."""
        name = viewport or self.viewports()[0]["id"]
        found: dict[str, Any] = self.page.evaluate(_VALUES, [name, points])
        return found

    def pane(self, number: int = 0) -> Locator:
        return self.page.locator(".viewport-element").nth(number)

    def assert_drawn(self, number: int = 0, least: float = 0.02) -> None:
        picture = self.pane(number).screenshot()
        assert is_drawn(picture, least), "the viewport shows nothing"

    def pane_text(self) -> set[str]:
        """The words that stand in and over the viewports."""
        return set(self.page.locator('[data-cy="viewport-grid"]').inner_text().split())

    def button(self, name: str) -> Locator:
        """An element by the name that the viewer's own tests know it by."""
        return self.page.locator(f'[data-cy="{name}"]').first

    def drag(self, *points: tuple[int, int]) -> None:
        """Draw with the mouse over the middle of the first viewport, by offsets in pixels of the screen."""
        box = self.pane().bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x + points[0][0], y + points[0][1])
        self.page.mouse.down()
        for across, down in points[1:]:
            self.page.mouse.move(x + across, y + down, steps=6)
        self.page.mouse.up()

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)
