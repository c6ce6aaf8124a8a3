"""The real PET/CT over HTTP: HU and SUV at stated points, and what the fused picture shows there, by pydicom alone.

What is expected is worked out here from the files: the voxel that holds a point, its rescale, and the SUV by weight
as QIBA writes it down. Nothing of the product takes part in it.
"""

from __future__ import annotations

import io
import json
import math
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from tests.support import qiba
from tests.support.data import need_shared_data
from tests.support.server import Server, running_server, vesalius

POINTS = {
    "tumour": (-48.3, -15.2, -141.09),
    "heart": (30.4, -60.8, -141.09),
    "abdomen": (12.0, 40.0, -200.0),
    "right lung": (-70.0, 25.0, -100.0),
    "air in front": (-20.0, -230.0, -141.09),
    "neck": (0.0, 0.0, -60.0),
}


@dataclass(frozen=True)
class Slices:
    """A series by the z of its slices."""

    at: dict[float, pydicom.FileDataset]

    @property
    def uid(self) -> str:
        return str(next(iter(self.at.values())).SeriesInstanceUID)

    def of(self, point: tuple[float, ...]) -> tuple[float, pydicom.FileDataset]:
        """The rescaled value of the voxel that holds a point."""
        ds = self.at[min(self.at, key=lambda z: abs(z - point[2]))]
        assert [float(each) for each in ds.ImageOrientationPatient] == pytest.approx([1, 0, 0, 0, 1, 0], abs=1e-6)
        x, y, _ = (float(each) for each in ds.ImagePositionPatient)
        rows, columns = (float(each) for each in ds.PixelSpacing)
        stored = ds.pixel_array[math.floor((point[1] - y) / rows + 0.5), math.floor((point[0] - x) / columns + 0.5)]
        return float(stored) * float(ds.RescaleSlope) + float(ds.RescaleIntercept), ds


@dataclass(frozen=True)
class Site:
    server: Server
    ct: Slices
    pet: Slices

    def get(self, path: str) -> tuple[bytes, Any]:
        with urllib.request.urlopen(f"{self.server.url}/api/volumes/{path}", timeout=120) as answer:
            return answer.read(), answer.headers

    @property
    def pair(self) -> str:
        return f"fixed={self.ct.uid}&moving={self.pet.uid}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = need_shared_data() / "pet-ct/acrin-nsclc-fdg-pet-042"
    data = tmp_path_factory.mktemp("real-fusion")
    series = [
        Slices(
            {float(ds.ImagePositionPatient[2]): ds for ds in map(pydicom.dcmread, sorted(Path(folder, name).glob("*")))}
        )
        for name in ("ct", "pt-ac")
    ]
    vesalius("import", str(folder / "ct"), str(folder / "pt-ac"), data=data / "data")
    with running_server(data) as server:
        yield Site(server, *series)


@pytest.mark.parametrize("name", POINTS)
def test_hu_and_suv_at_a_point_are_those_of_the_files(site: Site, name: str) -> None:
    point = POINTS[name]
    body, _ = site.get(f"values?{site.pair}&moving_unit=suvbw&interpolation=nearest&at={','.join(map(str, point))}")
    told = json.loads(body)
    hu, _ = site.ct.of(point)
    activity, ds = site.pet.of(point)
    assert (told["fixed"]["value"], told["fixed"]["unit_label"]) == (hu, "HU")
    assert told["moving"]["value"] == pytest.approx(activity * qiba.scale_factor(ds), rel=1e-5)
    assert told["moving"]["unit"] == "g/ml{SUVbw}" and told["link"] == "SAME"


def test_the_points_are_what_they_are_called(site: Site) -> None:
    suv = {name: site.pet.of(point)[0] * qiba.scale_factor(site.pet.of(point)[1]) for name, point in POINTS.items()}
    hu = {name: site.ct.of(point)[0] for name, point in POINTS.items()}
    assert suv["tumour"] > 8 and max(value for name, value in suv.items() if name != "tumour") < 8
    assert hu["air in front"] < -900 and suv["air in front"] < 0.1 and -150 < hu["tumour"] < 150


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_fused_picture_shows_the_values_of_both_at_the_points(site: Site, plane: str) -> None:
    point = POINTS["tumour"]
    position = point[{"axial": 2, "coronal": 1, "sagittal": 0}[plane]]
    query = (
        f"{site.pair}&moving_unit=suvbw&plane={plane}&position={position}&interpolation=nearest&colormap=grey"
        "&fixed_window=0,2000,linear-exact&moving_window=10,20,linear-exact"
    )
    pictures = {}
    for show in ("fixed", "moving", "both"):
        body, headers = site.get(f"fusion.png?{query}&show={show}&opacity=0.25")
        picture = np.asarray(Image.open(io.BytesIO(body))).astype(float)
        pictures[show] = picture if picture.ndim == 2 else picture[..., 0]
        affine = np.array(json.loads(headers["Vesalius-Picture"])["affine_lps_mm"])
    rows, columns = pictures["fixed"].shape
    checked = 0
    # Wherever on this plane, not only at the point: every 23rd pixel of every 17th line that lies in both.
    for row in range(5, rows - 5, 17):
        for column in range(5, columns - 5, 23):
            at = tuple(float(each) for each in (affine @ (column, row, 0, 1))[:3])
            if not min(site.ct.at) <= at[2] <= max(site.ct.at):
                continue
            near = np.abs(np.array([_offset(site.ct, at), _offset(site.pet, at)]))
            if (np.abs(near - 0.5) < 0.02).any():  # between two voxels: either is near
                continue
            hu, _ = site.ct.of(at)
            activity, ds = site.pet.of(at)
            grey = min(max((hu + 1000) / 2000, 0), 1) * 255
            colour = min(max(activity * qiba.scale_factor(ds) / 20, 0), 1) * 255
            assert pictures["fixed"][row, column] == pytest.approx(grey, abs=1), at
            assert pictures["moving"][row, column] == pytest.approx(colour, abs=1), at
            assert pictures["both"][row, column] == pytest.approx(grey + (colour - grey) * 0.25, abs=1.5), at
            checked += 1
    assert checked > 100
    column, row, _, _ = np.linalg.inv(affine) @ (*point, 1)
    assert pictures["moving"][round(row), round(column)] > 100  # an SUV beyond 8: the tumour


def _offset(slices: Slices, point: tuple[float, ...]) -> list[float]:
    """How far a point lies from the centre of its voxel, in voxels."""
    ds = slices.at[min(slices.at, key=lambda z: abs(z - point[2]))]
    x, y, z = (float(each) for each in ds.ImagePositionPatient)
    rows, columns = (float(each) for each in ds.PixelSpacing)
    places = sorted(slices.at)
    step = (places[-1] - places[0]) / (len(places) - 1)
    parts = ((point[0] - x) / columns, (point[1] - y) / rows, (point[2] - z) / step)
    return [each - math.floor(each + 0.5) for each in parts]
