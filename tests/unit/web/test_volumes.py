"""Volumes over HTTP: what a series holds, NIfTI, OME-Zarr and planes, of the phantom in a real archive."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, get_args

import nibabel
import numpy as np
import pytest
import zarr
from PIL import Image
from tests.support import phantom
from tests.support.phantom import Scan
from tests.support.web import Web, web
from zarr.storage import MemoryStore

from vesalius.imaging.values import Wish
from vesalius.imaging.volumes import Irregular, Tilt
from vesalius.model.errors import LimitExceeded
from vesalius.web.volume_parameters import IRREGULAR, TILT, WISHES

SCAN = Scan(rows=70, columns=80, slices=66, between_rows=1.5, between_columns=2.0, step=1.0)
HU = phantom.hounsfield(SCAN.points())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("volumes")
    with web(folder, cache=folder / "run") as made:
        for ds in (
            *phantom.ct(SCAN),
            *phantom.pet(),
            *phantom.mr(echoes=(5.0, 20.0)),
            phantom.segmentation(),
            *phantom.ct(series="gap")[::3],
            *phantom.ct(series="gap")[1:2],
        ):
            made.archive.keep(ds)
        yield made


def series(name: str) -> str:
    from tests.support.generate import uid

    return uid("phantom series", 1, name)


CT, PET, MR, SEG, GAP = (series(name) for name in ("ct", "pt", "mr", "seg", "gap"))


def test_the_choices_of_the_address_are_those_of_the_imaging() -> None:
    assert set(WISHES) == {wish.value for wish in Wish} and WISHES[0] == "natural"
    assert set(IRREGULAR) == set(get_args(Irregular)) and set(TILT) == set(get_args(Tilt))


def test_a_series_tells_of_its_volume(served: Web) -> None:
    told = served.ask(f"/api/volumes/{CT}").json()
    (part,) = told["parts"]
    assert told["series"] == CT and part["unit"] == "[hnsf'U]" and part["unit_label"] == "HU"
    assert part["shape"] == [66, 70, 80] and part["dtype"] == "float32" and part["bytes"] == HU.size * 4
    assert np.abs(np.array(part["affine_lps_mm"]) - SCAN.affine).max() < 1e-6
    assert part["bounds_lps_mm"][0] == pytest.approx([-80.0, -52.5, -33.0])


def test_what_has_not_changed_is_not_sent_again(served: Web) -> None:
    for place in ("", "/volume.nii.gz", "/volume.zarr/zarr.json", "/slice.png"):
        first = served.ask(f"/api/volumes/{CT}{place}")
        again = served.ask(f"/api/volumes/{CT}{place}", headers={"if-none-match": first.headers["etag"]})
        assert (first.status, again.status, again.body) == (200, 304, b"")


def test_several_volumes_are_listed_and_one_is_to_be_named(served: Web) -> None:
    labels = [part["label"] for part in served.ask(f"/api/volumes/{MR}").json()["parts"]]
    assert labels == ["echo time 5", "echo time 20"]
    refused = served.ask(f"/api/volumes/{MR}/volume.nii.gz")
    assert refused.status == 422 and "1: echo time 20" in refused.json()["hint"]
    taken = served.ask(f"/api/volumes/{MR}/volume.nii.gz?part=1")
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(taken.body))
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), phantom.material(Scan().points()) * 100 + 2)


def test_a_nifti_holds_every_voxel_where_it_is(served: Web) -> None:
    answer = served.ask(f"/api/volumes/{CT}/volume.nii.gz")
    assert answer.headers["content-type"] == "application/gzip" and ".nii.gz" in answer.headers["content-disposition"]
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.body))
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), HU)
    assert np.abs(image.affine - np.diag((-1, -1, 1, 1)) @ SCAN.affine).max() < 1e-4
    assert np.abs(image.get_qform() - image.affine).max() < 1e-3
    assert image.header.get_xyzt_units()[0] == "mm" and image.header["sform_code"] == 1
    assert image.get_data_dtype() == np.uint16  # as stored, with the line to HU in the header


def test_a_pet_whose_slices_have_slopes_of_their_own_is_sent_as_quantities(served: Web) -> None:
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(served.ask(f"/api/volumes/{PET}/volume.nii.gz").body))
    scan = Scan(rows=32, columns=32, slices=10, between_rows=5.0, between_columns=5.0, step=5.0)
    assert image.get_data_dtype() == np.float32
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), phantom.activity(scan.points()))
    suv = served.ask(f"/api/volumes/{PET}?unit=suvbw").json()["parts"][0]
    assert suv["unit"] == "g/ml{SUVbw}"


def fetched(served: Web, uid: str, query: str = "") -> Any:
    """The whole store by HTTP, opened by the Zarr library."""
    store: dict[str, Any] = {}
    get = lambda name: served.ask(f"/api/volumes/{uid}/volume.zarr/{name}{query}")  # noqa: E731
    group = get("zarr.json").body
    from zarr.core.buffer import default_buffer_prototype

    def keep(name: str, body: bytes) -> None:
        store[name] = default_buffer_prototype().buffer.from_bytes(body)

    keep("zarr.json", group)
    for level in json.loads(group)["attributes"]["ome"]["multiscales"][0]["datasets"]:
        path = level["path"]
        body = get(f"{path}/zarr.json").body
        keep(f"{path}/zarr.json", body)
        shape = json.loads(body)["shape"]
        for place in np.ndindex(*(-(-side // 64) for side in shape)):
            name = f"{path}/c/" + "/".join(map(str, place))
            answer = get(name)
            assert answer.status == 200, answer.body
            keep(name, answer.body)
    return zarr.open_group(MemoryStore(store), mode="r")


def test_ome_zarr_holds_every_voxel_and_levels_that_are_means_of_them(served: Web) -> None:
    group = fetched(served, CT)
    assert np.array_equal(group["0"][:], HU)
    half = group["1"][:]
    assert half.shape == (33, 35, 40)
    assert np.array_equal(half, HU.reshape(33, 2, 35, 2, 40, 2).mean(axis=(1, 3, 5)).astype(np.float32))
    multiscale = group.attrs["ome"]["multiscales"][0]
    assert [axis["name"] for axis in multiscale["axes"]] == ["z", "y", "x"]
    assert multiscale["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.0, 3.0, 4.0]},
        {"type": "translation", "translation": [0.5, 0.75, 1.0]},
    ]
    assert np.abs(np.array(group.attrs["vesalius"]["affine_lps_mm"]) - SCAN.affine).max() < 1e-6
    assert group.attrs["vesalius"]["unit"] == "[hnsf'U]"


def test_a_segment_in_ome_zarr_stays_a_label(served: Web) -> None:
    group = fetched(served, SEG, "?part=1")
    assert group["0"].dtype == np.uint8 and set(np.unique(group["0"][:])) == {0, 1}


@pytest.mark.parametrize("name", ["1/c/9/0/0", "7/zarr.json", "0/c/0/0", "../zarr.json", "x", ""])
def test_a_chunk_that_is_not_there_is_404(served: Web, name: str) -> None:
    assert served.ask(f"/api/volumes/{CT}/volume.zarr/{name}").status == 404


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_plane_shows_the_values_that_lie_where_it_says(served: Web, plane: str) -> None:
    answer = served.ask(f"/api/volumes/{CT}/slice.png?plane={plane}&position=2.2&window=0,2000,linear-exact")
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    told = json.loads(answer.headers["vesalius-picture"])
    pixels = np.asarray(Image.open(BytesIO(answer.body)))
    assert list(pixels.shape) == told["shape"] and told["unit"] == "[hnsf'U]"
    affine = np.array(told["affine_lps_mm"])
    axis = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    rows, columns = np.indices(pixels.shape)
    points = np.stack((columns, rows, np.zeros_like(rows)), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    assert np.allclose(points[..., axis], 2.2)
    around = [phantom.hounsfield(points + 2.1 * np.array(signs)) for signs in product((-1, 0, 1), repeat=3)]
    inner = np.ptp(np.stack(around), axis=0) == 0  # away from edges, where values are between two
    wanted = (phantom.hounsfield(points) + 1000) / 2000 * 255
    assert np.abs(pixels - wanted)[inner].max() < 0.51 and inner.mean() > 0.5


def test_a_slab_shows_the_highest_of_its_depth(served: Web) -> None:
    thin, thick = (
        np.asarray(Image.open(BytesIO(served.ask(f"/api/volumes/{CT}/slice.png?position=20&window=0,2000{more}").body)))
        for more in ("", "&slab=60&projection=mip")
    )
    assert thick.max() == 255 > thin.max()


@pytest.mark.parametrize(
    "query",
    ["plane=oblique", "window=1", "window=1,0", "slab=-1", "slab=x", "projection=max", "position=nan", "part=-1",
     "part=x", "unit=hu", "irregular=yes", "tilt=no", "plane=axial&plane=axial", "spacing=0", "interpolation=cubic"],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_400(served: Web, query: str) -> None:
    assert served.ask(f"/api/volumes/{CT}/slice.png?{query}").status == 400


def test_a_plane_outside_of_the_volume_is_422_and_says_where_it_is(served: Web) -> None:
    refused = served.ask(f"/api/volumes/{CT}/slice.png?position=500")
    assert refused.status == 422 and "-33.0 to 33.0 mm" in refused.json()["hint"]


def test_what_is_not_kept_is_404_and_what_is_no_uid_400(served: Web) -> None:
    for place in ("", "/volume.nii.gz", "/volume.zarr/zarr.json", "/slice.png"):
        assert served.ask(f"/api/volumes/1.2.3{place}").status == 404
        assert served.ask(f"/api/volumes/abc{place}").status == 400


def test_an_uneven_stack_is_422_with_the_reason_or_resampled(served: Web) -> None:
    refused = served.ask(f"/api/volumes/{GAP}")
    assert refused.status == 422 and "slices are missing" in refused.json()["detail"]
    assert "irregular=resample" in refused.json()["hint"]
    (part,) = served.ask(f"/api/volumes/{GAP}?irregular=resample").json()["parts"]
    assert part["resampled"] and part["notes"][0]["code"] == "slices-resampled"
    assert served.ask(f"/api/volumes/{GAP}/slice.png?irregular=resample").status == 200


def test_a_volume_is_made_once_and_shared(served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.imaging.fill import VolumePlan

    made = []
    load = VolumePlan.load
    monkeypatch.setattr(VolumePlan, "load", lambda self, *args, **how: made.append(1) or load(self, *args, **how))
    for position in (0, 5, 10):
        assert served.ask(f"/api/volumes/{PET}/slice.png?position={position}&unit=suvbw").status == 200
    assert len(made) == 1
    # Another process has nothing at hand but the file.
    served.ctx.volumes._mapped.clear()
    assert served.ask(f"/api/volumes/{PET}/slice.png?unit=suvbw&position=1").status == 200
    assert len(made) == 1


def test_a_new_instance_is_a_new_volume(tmp_path: Path) -> None:
    images = phantom.ct()
    with web(tmp_path, cache=tmp_path / "run") as made:
        for ds in images[:-1]:
            made.archive.keep(ds)
        first = made.ask(f"/api/volumes/{CT}/volume.zarr/0/zarr.json")
        made.archive.keep(images[-1])
        second = made.ask(
            f"/api/volumes/{CT}/volume.zarr/0/zarr.json", headers={"if-none-match": first.headers["etag"]}
        )
        assert (first.json()["shape"][0], second.status, second.json()["shape"][0]) == (11, 200, 12)


def test_who_leaves_ends_the_work_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.imaging import fill

    begun, may_go_on = threading.Event(), threading.Event()
    frame = fill.stored_frame

    def slow(*args: Any) -> Any:
        begun.set()
        may_go_on.wait(20)
        return frame(*args)

    monkeypatch.setattr(fill, "stored_frame", slow)
    with web(tmp_path, cache=tmp_path / "run") as made:
        for ds in phantom.ct():
            made.archive.keep(ds)
        sent: list[dict[str, Any]] = []

        async def leave() -> None:
            async def receive() -> dict[str, Any]:
                if not begun.is_set():
                    await asyncio.to_thread(begun.wait, 20)
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "method": "GET", "path": f"/api/volumes/{CT}/slice.png",
                "raw_path": b"", "query_string": b"", "headers": [(b"host", b"archive.test")], "http_version": "1.1",
                "scheme": "http", "server": ("archive.test", 80), "client": ("127.0.0.1", 5), "root_path": "",
            }  # fmt: skip
            await made.app(scope, receive, send)
            (building,) = made.ctx.volumes._building.values()
            assert building.cancelled.is_set()
            may_go_on.set()
            await asyncio.wait({building.task}, timeout=20)
            assert building.task.done()

        asyncio.run(leave())
        assert sent[0]["status"] == 499
        assert not [file for file in (tmp_path / "run" / "volumes").rglob("*") if file.is_file()]
        assert made.ask(f"/api/volumes/{CT}/slice.png").status == 200


def test_a_volume_larger_than_the_room_is_413_with_the_setting(tmp_path: Path) -> None:
    with web(tmp_path, cache=tmp_path / "run", volumes_disk=1000) as made:
        for ds in phantom.ct():
            made.archive.keep(ds)
        refused = made.ask(f"/api/volumes/{CT}/slice.png")
        assert refused.status == 413 and "web.volumes_disk" in refused.json()["hint"]
        assert made.ask(f"/api/volumes/{CT}/volume.nii.gz").status == 200  # needs no room


def test_volumes_make_room_for_each_other(tmp_path: Path) -> None:
    size = 12 * 48 * 64 * 4
    with web(tmp_path, cache=tmp_path / "run", volumes_disk=size * 5 // 2) as made:
        for name in ("ct", "b", "c"):
            for ds in phantom.ct(series=name):
                made.archive.keep(ds)
        for name in ("ct", "b", "c"):
            assert made.ask(f"/api/volumes/{series(name)}/slice.png").status == 200
        kept = [place for place in (tmp_path / "run" / "volumes").iterdir() if re.fullmatch("[0-9a-f]{40}", place.name)]
        assert len(kept) == 2
        with pytest.raises(LimitExceeded):
            made.ctx.volumes._most = 10
            made.ctx.volumes.get(series("ct"), tilt="keep")
