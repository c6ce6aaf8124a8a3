"""Pictures of a running service: what was put into it, what it shows of it, and what DCMTK shows of the same file."""

from __future__ import annotations

import http.client
import io
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from tests.support.data import need_shared_data
from tests.support.dcmtk import need
from tests.support.generate import ct, part10, uid
from tests.support.server import Server, running_server, vesalius
from tests.support.web import Answer

Pixels = npt.NDArray[np.int64]


class Answered(Answer):
    """An answer of the service."""

    @property
    def pixels(self) -> Pixels:
        """The picture as RGB."""
        assert self.status == 200, self.body[:300]
        return np.asarray(Image.open(io.BytesIO(self.body)).convert("RGB")).astype(np.int64)


@dataclass
class Site:
    """The service, and the files that were put into it."""

    server: Server
    folder: Path

    def get(self, path: str, accept: str = "image/png") -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return Answered(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def rendered(self, ds: Dataset, query: str = "", accept: str = "image/png") -> Answered:
        return self.get(f"/dicom-web{path_of(ds)}/rendered{query}", accept)


def pixels_by_every_service(site: Site, said: Dataset, image: Dataset) -> Pixels:
    """An image as a presentation state shows it, by WADO-RS; the other services have to show the same."""
    asked = site.rendered(image, f"?presentationUID={said.SOPInstanceUID}")
    uids = f"studyUID={image.StudyInstanceUID}&seriesUID={image.SeriesInstanceUID}&objectUID={image.SOPInstanceUID}"
    look = f"presentationUID={said.SOPInstanceUID}&presentationSeriesUID={said.SeriesInstanceUID}"
    uri = site.get(f"/wado?requestType=WADO&{uids}&{look}&contentType=image/png")
    assert np.array_equal(uri.pixels, asked.pixels)
    moving = site.rendered(said, accept="image/gif")
    assert moving.status == 200 and moving.body.startswith(b"GIF")
    return asked.pixels


@contextmanager
def picture_site(folder: Path, made: Iterable[Dataset], files: Iterable[Path] = ()) -> Iterator[Site]:
    """A service that holds these data sets and files."""
    place = folder / "in"
    place.mkdir()
    for ds in made:
        (place / f"{ds.SOPInstanceUID}.dcm").write_bytes(part10(ds))
    vesalius("import", place, *files, data=folder / "data", check=False)
    with running_server(folder) as server:
        yield Site(server, place)


def path_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def by_dcmtk(tool: str, arguments: str, file: Path, out: Path) -> Pixels:
    done = subprocess.run(
        [need(tool), *arguments.split(), str(file), str(out)], capture_output=True, text=True, cwd=out.parent
    )
    assert out.exists(), done.stderr
    return np.asarray(Image.open(out).convert("RGB")).astype(np.int64)


def one_file(name: str) -> Path:
    place = need_shared_data() / name
    return place if place.is_file() else min(each for each in place.iterdir() if each.is_file())


# -- made by code


def gradient(study: str, *, columns: int = 96, rows: int = 64, **attributes: object) -> Dataset:
    """Brighter from left to right, 12 bits, a window over all of it."""
    ds = ct(study, 1, 1, rows=rows, columns=columns, RescaleIntercept="0", WindowCenter="2048", WindowWidth="4096")
    line = np.linspace(0, 4095, columns).astype("<u2")
    ds.PixelData = np.tile(line, (rows, 1)).tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def planes_in_colour() -> Dataset:
    """RGB with its samples plane after plane."""
    ds = gradient("planar", SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1,
                  BitsAllocated=8, BitsStored=8, HighBit=7)  # fmt: skip
    line = np.linspace(0, 255, 96).astype(np.uint8)
    ds.PixelData = np.stack(
        [np.tile(line, (64, 1)), np.full((64, 96), 40, np.uint8), np.tile(line[::-1], (64, 1))]
    ).tobytes()
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        delattr(ds, keyword)
    return ds


def state(image: Dataset, sop_class: str, name: str) -> Dataset:
    """An empty presentation state of an image."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid("state", name)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = image.StudyInstanceUID, uid("states", name)
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = image.StudyDate, image.StudyTime, image.AccessionNumber
    ds.PatientID, ds.PatientName, ds.Modality = image.PatientID, image.PatientName, "PR"
    ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.ReferringPhysicianName = "", "", "1", ""
    ds.SeriesNumber = ds.InstanceNumber = "1"
    ds.Manufacturer, ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "", "STATE", "", ""
    ds.PresentationCreationDate, ds.PresentationCreationTime = "20240131", "101500"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference]
    ds.ReferencedSeriesSequence = [series]
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [image.Columns, image.Rows]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", ["1", "1"]
    area.ReferencedImageSequence = [reference]
    ds.DisplayedAreaSelectionSequence = [area]
    if sop_class == GrayscaleSoftcopyPresentationStateStorage:
        ds.PresentationLUTShape = "IDENTITY"
    return ds


def voi(ds: Dataset, center: int, width: int) -> None:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = str(center), str(width)
    ds.SoftcopyVOILUTSequence = [item]


def with_plane(ds: Dataset, group: int, points: npt.NDArray[np.bool_], top: int = 1, left: int = 1) -> None:
    """An overlay plane in its own data."""
    bits = np.packbits(points.ravel(), bitorder="little").tobytes()
    ds.add_new((group, 0x0010), "US", points.shape[0])
    ds.add_new((group, 0x0011), "US", points.shape[1])
    ds.add_new((group, 0x0040), "CS", "G")
    ds.add_new((group, 0x0050), "SS", [top, left])
    ds.add_new((group, 0x0100), "US", 1)
    ds.add_new((group, 0x0102), "US", 0)
    ds.add_new((group, 0x3000), "OW", bits + b"\0" * (len(bits) % 2))


def square(rows: int, columns: int, at: int = 4, size: int = 6) -> npt.NDArray[np.bool_]:
    points = np.zeros((rows, columns), np.bool_)
    points[at : at + size, at : at + size] = True
    return points


def annotated_image() -> Dataset:
    """An image with two planes: a square at its left top, a bar that begins outside."""
    ds = gradient("planes")
    with_plane(ds, 0x6000, square(64, 96))
    with_plane(ds, 0x6002, np.ones((10, 30), np.bool_), top=50, left=-9)
    return ds
