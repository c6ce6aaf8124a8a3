"""One Chromium and one archive with the real data for all browser tests.

Package scope: Playwright keeps an event loop running in its thread, which must be gone before other tests want one.
"""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.support.browser import need_chromium, need_viewer, running_browser, watched_page
from tests.support.data import need_shared_data
from tests.support.pages import running_site
from tests.support.server import Server, running_server, vesalius
from tests.support.viewer import Viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDERS = ("ct-series", "mr-series", "pet-ct", "multiframe", "single-frame", "sr-ko-pr-seg-rt")


@dataclass(frozen=True)
class Archive:
    """The running service and the files that it holds."""

    server: Server
    files: dict[str, Path]  # SOP Instance UID -> file
    slide: str  # Study Instance UID of the whole slide image
    slide_file: Path

    @property
    def url(self) -> str:
        return self.server.url

    def query(self, path: str, **keys: str) -> list[dict[str, Any]]:
        """The answers of QIDO-RS."""
        request = urllib.request.Request(f"{self.url}/dicom-web{path}?{urlencode(keys)}")
        request.add_header("Accept", "application/dicom+json")
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read() or b"[]")
            return found

    def read(self, path: str) -> pydicom.Dataset:
        """An instance as WADO-RS gives it."""
        request = urllib.request.Request(f"{self.url}/dicom-web{path}")
        request.add_header("Accept", "application/dicom; transfer-syntax=*")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return pydicom.dcmread(io.BytesIO(answer.read()))

    def file_of(self, image_id: str) -> tuple[pydicom.FileDataset, int]:
        """The original of an image that the viewer shows, and the frame's index in it."""
        parts = image_id.partition("/instances/")[2].split("/")
        return pydicom.dcmread(self.files[parts[0]]), int(parts[2]) - 1


def whole_slide(source: Path, target: Path) -> str:
    """The real slide of the shared data with what its converter left out (type 1 attributes of PS3.3 C.8.12.4)."""
    ds = pydicom.dcmread(source)
    origin, path, light = Dataset(), Dataset(), Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = 0
    light.CodeValue, light.CodingSchemeDesignator, light.CodeMeaning = "111744", "DCM", "Brightfield illumination"
    path.OpticalPathIdentifier, path.IlluminationTypeCodeSequence = "1", [light]
    ds.TotalPixelMatrixOriginSequence, ds.OpticalPathSequence, ds.NumberOfOpticalPaths = [origin], [path], 1
    ds.ContainerIdentifier, ds.PatientID, ds.PatientName = "SLIDE", "SLIDE", "Slide^Whole"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.save_as(target)
    return str(ds.StudyInstanceUID)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    need_chromium()
    with running_browser() as running:
        yield running


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What the tests of the pages share: they leave it as they found it, or look only for what is their own."""
    need_chromium()
    with running_site(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    need_chromium()
    need_viewer()
    shared = need_shared_data()
    folder = tmp_path_factory.mktemp("browser")
    files = {}
    for path in sorted(path for name in FOLDERS for path in (shared / name).rglob("*") if path.is_file()):
        try:
            uid = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID")
        except Exception:  # archives, notes and broken files lie between them
            continue
        files.setdefault(str(uid), path)
    slide = whole_slide(shared / "multiframe/wsi/multiframe_camelyon_challenge_image.dcm", folder / "slide.dcm")
    with running_server(folder) as server:
        vesalius("import", *(shared / name for name in FOLDERS), folder / "slide.dcm", data=server.data, check=False)
        yield Archive(server, files, slide, folder / "slide.dcm")


@pytest.fixture
def open_viewer(browser: Browser, archive: Archive) -> Iterator[Callable[..., Viewer]]:
    """Gives a viewer on a page of its own; at the end nothing may have gone wrong on any page."""
    with ExitStack() as held:
        made: list[Viewer] = []

        def opened(path: str, *, viewports: int = 1, **context: Any) -> Viewer:
            page, watch = held.enter_context(watched_page(browser, archive.url, **context))
            viewer = Viewer(page, watch, archive.url)
            made.append(viewer)
            viewer.open(path, viewports=viewports)
            return viewer

        yield opened
        for viewer in made:
            viewer.watch.assert_clean()
