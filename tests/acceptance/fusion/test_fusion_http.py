"""Two series in one space over HTTP, of the phantom: onto, fused pictures, values at points, registrations, regions."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from tests.support import phantom
from tests.support.dciodvfy import said_of
from tests.support.generate import uid
from tests.support.phantom import LESION, Scan
from tests.support.web import Answer, Web, web

from vesalius.imaging.fusion import colour_map
from vesalius.imaging.new_instance import part10

CT_SCAN = Scan(rows=70, columns=80, slices=66, between_rows=1.5, between_columns=2.0, step=1.0)
PET_SCAN = Scan(rows=32, columns=32, slices=10, between_rows=5.0, between_columns=5.0, step=5.0)
SHIFT = np.array((12.0, -8.0, 6.0))  # how much further the other machine's patient lies
SUV_SECONDS = 3600


def series(name: str, study: object = 1) -> str:
    return uid("phantom series", study, name)


CT, PET, SEG, OTHER = series("ct"), series("pt"), series("seg"), series("other", 2)
# 70 kg, 350 MBq injected an hour before the scan.
SUV_FACTOR = 70000 / (350e6 * 2 ** (-SUV_SECONDS / 6586.2))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("fusion")
    with web(folder, cache=folder / "run") as made:
        other = phantom.ct(replace(CT_SCAN, slices=60), study=2, series="other", frame="elsewhere")
        for ds in other:
            ds.ImagePositionPatient = [float(a) + b for a, b in zip(ds.ImagePositionPatient, SHIFT, strict=True)]
        gaps = phantom.segmentation(series="gaps", numbers=(4, 9))
        enhanced = phantom.enhanced_pet(PET_SCAN)
        for ds in (*phantom.ct(CT_SCAN), *phantom.pet(PET_SCAN), phantom.segmentation(), gaps, enhanced, *other):
            made.archive.keep(ds)
        yield made


def post(served: Web, path: str, body: Any) -> Answer:
    return served.ask(path, "POST", {"content-type": "application/json"}, json.dumps(body).encode())


def picture(answer: Answer) -> Any:
    assert answer.status == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.body)))


def nifti(answer: Answer) -> Any:
    assert answer.status == 200, answer.body[:500]
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.body))


# -- onto


def test_a_pet_comes_onto_the_grid_of_its_ct(served: Web) -> None:
    found = nifti(served.ask(f"/api/volumes/{PET}/volume.nii.gz?onto={CT}&interpolation=nearest"))
    assert found.shape == (80, 70, 66)
    values = np.asarray(found.dataobj).T
    # Every CT voxel has the activity of the PET voxel that it lies in.
    index = np.floor((CT_SCAN.points() - PET_SCAN.affine[:3, 3]) @ np.linalg.inv(PET_SCAN.affine[:3, :3]).T + 0.5)
    inside = ((index >= 0) & (index < (32, 32, 10))).all(axis=-1)
    i, j, k = np.clip(index, 0, (31, 31, 9)).astype(int).transpose(3, 0, 1, 2)
    expected = phantom.activity(PET_SCAN.points())[k, j, i]
    edge = np.abs(index - np.rint(index)) > 0.49
    assert np.array_equal(values[inside & ~edge.any(axis=-1)], expected[inside & ~edge.any(axis=-1)])
    assert (values[~inside] == 0).all()


def test_what_was_resampled_says_so(served: Web) -> None:
    (part,) = served.ask(f"/api/volumes/{PET}?onto={CT}&unit=suvbw").json()["parts"]
    assert (part["unit"], part["shape"], part["resampled"]) == ("g/ml{SUVbw}", [66, 70, 80], True)
    assert "resampled-onto" in [each["code"] for each in part["notes"]]
    assert part["affine_lps_mm"] == served.ask(f"/api/volumes/{CT}").json()["parts"][0]["affine_lps_mm"]


def test_a_resampled_volume_is_ome_zarr_too(served: Web) -> None:
    base = f"/api/volumes/{PET}/volume.zarr"
    query = f"?onto={CT}&interpolation=nearest"
    shape = served.ask(f"{base}/0/zarr.json{query}").json()["shape"]
    assert shape == [66, 70, 80]
    whole = np.asarray(nifti(served.ask(f"/api/volumes/{PET}/volume.nii.gz{query}")).dataobj).T
    told = served.ask(f"{base}/0/zarr.json{query}").json()
    import zarr
    from zarr.storage import MemoryStore

    store = {"zarr.json": json.dumps(told).encode()}
    size = told["chunk_grid"]["configuration"]["chunk_shape"]
    for k, j, i in np.ndindex(*(-(-whole_ // part) for whole_, part in zip(shape, size, strict=True))):
        store[f"c/{k}/{j}/{i}"] = served.ask(f"{base}/0/c/{k}/{j}/{i}{query}").body
    from zarr.core.buffer import default_buffer_prototype

    held = MemoryStore({name: default_buffer_prototype().buffer.from_bytes(body) for name, body in store.items()})
    assert np.array_equal(np.asarray(zarr.open_array(held, mode="r")), whole)


def test_a_plane_of_the_resampled_volume_is_a_picture_too(served: Web) -> None:
    found = picture(served.ask(f"/api/volumes/{PET}/slice.png?onto={CT}&plane=axial&position=-8"))
    assert found.shape == (int(np.ceil(70 * 1.5 / 1.5)), int(np.ceil(80 * 2 / 1.5)))


def test_a_series_of_another_frame_is_refused_with_what_to_do(served: Web) -> None:
    for path in (
        f"/api/volumes/{OTHER}/volume.nii.gz?onto={CT}",
        f"/api/volumes/fusion.png?fixed={CT}&moving={OTHER}",
        f"/api/volumes/values?fixed={CT}&moving={OTHER}&at=0,0,0",
    ):
        answer = served.ask(path)
        assert answer.status == 422, path
        assert "Frame of Reference" in answer.json()["detail"]
        assert "/api/registrations" in answer.json()["hint"]


@pytest.mark.parametrize("query", ["onto=x", f"onto={CT}&interpolation=cubic", "onto=1.2.3.4.5"])
def test_nonsense_about_onto_is_refused(served: Web, query: str) -> None:
    assert served.ask(f"/api/volumes/{PET}/volume.nii.gz?{query}").status in (400, 404)


# -- fused pictures


def test_the_fused_picture_blends_colour_over_grey_pixel_by_pixel(served: Web) -> None:
    common = f"fixed={CT}&moving={PET}&plane=axial&position=-7.5&fixed_window=0,2000,linear-exact"
    common += "&moving_window=10000,20000,linear-exact&colormap=hot-iron&interpolation=nearest"
    both = picture(served.ask(f"/api/volumes/fusion.png?{common}&opacity=0.4"))
    grey = picture(served.ask(f"/api/volumes/fusion.png?{common}&show=fixed"))
    colour = picture(served.ask(f"/api/volumes/fusion.png?{common}&show=moving"))
    assert (grey.ndim, both.shape, colour.shape) == (2, (*grey.shape, 3), (*grey.shape, 3))
    expected = np.rint(grey[..., None] + (colour.astype(float) - grey[..., None]) * 0.4)
    assert np.abs(both - expected).max() <= 1
    # The hot lesion is white in hot iron, and the bone of the CT lies there.
    told = json.loads(served.ask(f"/api/volumes/fusion.png?{common}").headers["vesalius-picture"])
    affine = np.array(told["affine_lps_mm"])
    column, row, _, _ = np.rint(np.linalg.inv(affine) @ (*LESION[0], 1)).astype(int)
    assert colour[row, column].tolist() == colour_map("hot-iron")[255].tolist()
    assert grey[row, column] == 255
    assert told["link"] == "SAME"


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_same_place_is_seen_in_every_plane(served: Web, plane: str) -> None:
    position = LESION[0][{"axial": 2, "coronal": 1, "sagittal": 0}[plane]]
    answer = served.ask(
        f"/api/volumes/fusion.png?fixed={CT}&moving={PET}&plane={plane}&position={position}&opacity=1&colormap=grey"
        "&moving_window=10000,20000,linear-exact&slab=5&projection=mip"
    )
    found, told = picture(answer), json.loads(answer.headers["vesalius-picture"])
    column, row, _, _ = np.rint(np.linalg.inv(told["affine_lps_mm"]) @ (*LESION[0], 1)).astype(int)
    assert found[row, column].tolist() == [255, 255, 255]
    assert found[2, 2].tolist() == [0, 0, 0]


def test_an_oblique_plane_shows_what_lies_on_it(served: Web) -> None:
    # Through the lung and the lesion, which lie in no main plane together.
    lesion, lung = np.array(LESION[0]), np.array((-30.0, -12.0, 5.0))
    right, middle = lesion - lung, (lesion + lung) / 2
    right /= np.linalg.norm(right)
    down = np.cross(right, (0.3, -1.0, 0.2))
    down /= np.linalg.norm(down)
    said = {name: ",".join(f"{each:.6f}" for each in value)
            for name, value in (("centre", middle), ("right", right), ("down", down))}  # fmt: skip
    query = "plane=oblique&" + "&".join(f"{name}={value}" for name, value in said.items())
    window = "fixed_window=0,2000,linear-exact&moving_window=10000,20000,linear-exact&colormap=grey"
    for path in (
        f"/api/volumes/{CT}/slice.png?{query}&window=0,2000,linear-exact",
        f"/api/volumes/fusion.png?fixed={CT}&moving={PET}&{query}&{window}&show=fixed",
        f"/api/volumes/fusion.png?fixed={CT}&moving={PET}&{query}&{window}&opacity=1&slab=3&projection=mip",
    ):
        answer = served.ask(path)
        seen, told = picture(answer), json.loads(answer.headers["vesalius-picture"])
        affine = np.array(told["affine_lps_mm"])
        np.testing.assert_allclose(affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0), np.stack((right, down), 1),
                                   atol=1e-5)  # fmt: skip
        for point, hu, activity in ((LESION[0], 1000, phantom.LESION_BQ_ML), ((-30.0, -12.0, 5.0), -800, 2500.0)):
            column, row, off, _ = np.linalg.inv(affine) @ (*point, 1)
            assert abs(off) < 1e-3
            wanted = (hu + 1000) / 2000 if "slab" not in path else activity / 20000
            found = np.atleast_1d(seen[round(row), round(column)])
            assert np.abs(found - wanted * 255).max() <= 1, (path, point)


@pytest.mark.parametrize(
    ("query", "status"),
    [("plane=oblique", 400), ("plane=oblique&right=1,0,0", 400), ("plane=oblique&right=1,0&down=0,1,0", 400),
     ("plane=oblique&right=1,0,0&down=0,1,0&position=3", 400), ("plane=axial&right=1,0,0", 400),
     ("plane=oblique&right=1,0,0&down=2,0,0", 422), ("plane=oblique&right=1,0,0&down=0,1,0&centre=900,0,0", 422),
     ("plane=oblique&right=1,0,0&down=0,1,x", 400)],
)  # fmt: skip
def test_an_oblique_plane_that_is_none_is_refused(served: Web, query: str, status: int) -> None:
    for path in (f"/api/volumes/{CT}/slice.png?", f"/api/volumes/fusion.png?fixed={CT}&moving={PET}&"):
        answer = served.ask(path + query)
        assert answer.status == status and answer.json()["detail"]


def test_a_fused_picture_is_not_sent_twice(served: Web) -> None:
    path = f"/api/volumes/fusion.png?fixed={CT}&moving={PET}"
    first = served.ask(path)
    assert served.ask(path, headers={"if-none-match": first.headers["etag"]}).status == 304


@pytest.mark.parametrize(
    "query",
    ["fixed=x&moving=1.2", "moving={PET}", "fixed={CT}&moving={PET}&opacity=2", "fixed={CT}&moving={PET}&colormap=jet",
     "fixed={CT}&moving={PET}&plane=x", "fixed={CT}&moving={PET}&fixed_window=1", "fixed={CT}&moving={PET}&slab=900"],
)  # fmt: skip
def test_nonsense_about_a_picture_is_refused(served: Web, query: str) -> None:
    assert served.ask(f"/api/volumes/fusion.png?{query.format(CT=CT, PET=PET)}").status == 400


# -- values


def test_values_at_known_points_are_those_of_the_phantom(served: Web) -> None:
    for point, hu, activity in (
        (LESION[0], 1000, phantom.LESION_BQ_ML),
        ((-30.0, -12.0, 5.0), -800, phantom.BACKGROUND_BQ_ML),
        ((10.0, -22.0, 12.0), -100, phantom.BACKGROUND_BQ_ML),
        ((0.0, 20.0, 0.0), 0, phantom.BACKGROUND_BQ_ML),
        ((-76.0, -46.0, 0.0), -1000, 0.0),
    ):
        at = ",".join(str(each) for each in point)
        told = served.ask(f"/api/volumes/values?fixed={CT}&moving={PET}&moving_unit=suvbw&at={at}").json()
        assert told["fixed"]["value"] == hu
        assert told["fixed"]["unit_label"] == "HU"
        assert told["moving"]["value"] == pytest.approx(activity * SUV_FACTOR, rel=1e-6)
        assert told["moving"]["unit"] == "g/ml{SUVbw}"
        raw = served.ask(f"/api/volumes/values?fixed={CT}&moving={PET}&fixed_unit=stored&at={at}").json()
        assert (raw["fixed"]["value"], raw["moving"]["value"]) == (hu + 1024, activity)
    beyond = served.ask(f"/api/volumes/values?fixed={CT}&moving={PET}&at=500,0,0").json()
    assert beyond["fixed"]["value"] is None


# -- registrations


def test_a_registration_is_computed_kept_and_then_used(served: Web, tmp_path: Path) -> None:
    answer = post(served, "/api/registrations", {"fixed": CT, "moving": OTHER, "who": "Doe^Jane"})
    assert answer.status == 201, answer.text
    told = answer.json()
    assert np.abs(np.array(told["fixed_to_moving"])[:3, 3] - SHIFT).max() < 1.5
    assert told["residual_mm"] < 3
    # It is an instance like any other, and a valid one.
    kept = served.dicom_web(f"/studies/{told['study']}/series/{told['series']}/instances/{told['instance']}",
                            headers={"accept": 'multipart/related; type="application/dicom"'})  # fmt: skip
    data = kept.body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
    ds = pydicom.dcmread(io.BytesIO(data))
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.1"
    assert ds.ContentCreatorName == "Doe^Jane"
    path = tmp_path / "registration.dcm"
    path.write_bytes(data)
    said = said_of(path)
    assert "Error" not in said, said
    # Now the two share space: the bone is found where it lies in the other.
    at = ",".join(str(each) for each in LESION[0])
    found = served.ask(f"/api/volumes/values?fixed={CT}&moving={OTHER}&at={at}").json()
    assert found["link"] == "RIGID"
    assert (found["fixed"]["value"], found["moving"]["value"]) == (1000, 1000)
    assert np.abs(np.array(found["moving"]["position_mm"]) - np.array(LESION[0]) - SHIFT).max() < 2
    again = picture(served.ask(f"/api/volumes/fusion.png?fixed={CT}&moving={OTHER}&colormap=grey&opacity=1"))
    assert again.std() > 20
    moved = nifti(served.ask(f"/api/volumes/{OTHER}/volume.nii.gz?onto={CT}"))
    values = np.asarray(moved.dataobj).T
    hu = phantom.hounsfield(CT_SCAN.points())
    assert (np.abs(values - hu)[4:-6] < 100).mean() > 0.9


def test_a_registration_by_hand_takes_part_as_soon_as_it_is_stored(served: Web) -> None:
    from datetime import datetime

    from tests.unit.imaging.test_registration import headers

    from vesalius.imaging.new_instance import Made
    from vesalius.imaging.registration import Registered
    from vesalius.imaging.registration_object import spatial_registration
    from vesalius.imaging.transforms import Affine

    for ds in phantom.ct(replace(CT_SCAN, slices=6), study=3, series="third", frame="third"):
        served.archive.keep(ds)
    third = series("third", 3)
    path = f"/api/volumes/values?fixed={CT}&moving={third}&at=0,0,0"
    assert served.ask(path).status == 422
    fixed, moving = headers(uid("phantom frame", 1), "1.2.7", 1), headers(uid("phantom frame", "third"), "1.2.8", 1)
    for ds in fixed:
        ds.StudyInstanceUID, ds.PatientID = uid("phantom study", 3), "PHANTOM"
    matrix = np.eye(4)
    matrix[0, 3] = 4.0
    found = spatial_registration(fixed, moving, Registered(Affine(matrix), 1, 0, 0, 1), Made("X", datetime(2026, 1, 1)))
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reg.dcm"
        file.write_bytes(part10(found))
        served.archive.keep(pydicom.dcmread(file))
    told = served.ask(path).json()
    assert told["moving"]["position_mm"] == [4.0, 0.0, 0.0]


def test_who_leaves_while_a_registration_is_computed_ends_it_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vesalius.imaging import registration

    begun, ended = threading.Event(), threading.Event()

    def endless(_fixed: Any, _moving: Any, *, cancelled: Any) -> Any:
        begun.set()
        while not cancelled():
            time.sleep(0.01)
        ended.set()
        raise registration.Abandoned

    monkeypatch.setattr(registration, "register", endless)
    body = json.dumps({"fixed": CT, "moving": OTHER}).encode()
    sent: list[dict[str, Any]] = []
    with web(tmp_path, cache=tmp_path / "run") as made:
        for ds in (*phantom.ct(), *phantom.ct(study=2, series="other", frame="elsewhere")):
            made.archive.keep(ds)

        async def leave() -> None:
            messages = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive() -> dict[str, Any]:
                if messages:
                    return messages.pop()
                await asyncio.to_thread(begun.wait, 60)
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "method": "POST", "path": "/api/registrations",
                "raw_path": b"", "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
                "headers": [(b"host", b"archive.test"), (b"content-type", b"application/json"),
                            (b"content-length", str(len(body)).encode())],
                "server": ("archive.test", 80), "client": ("127.0.0.1", 5),
            }  # fmt: skip
            await made.app(scope, receive, send)
            assert await asyncio.to_thread(ended.wait, 60)

        asyncio.run(leave())
        assert sent[0]["status"] == 499
        assert made.ask(f"/api/volumes/values?fixed={CT}&moving={OTHER}&at=0,0,0").status == 422


def test_series_of_one_frame_are_not_registered(served: Web) -> None:
    assert post(served, "/api/registrations", {"fixed": CT, "moving": PET}).status == 409
    assert post(served, "/api/registrations", {"fixed": CT}).status == 400
    assert post(served, "/api/registrations", {"fixed": CT, "moving": "1.2.3"}).status == 404
    assert served.ask("/api/registrations", "POST", {"content-type": "text/plain"}, b"{}").status == 415


# -- regions and measurements


def test_figures_of_a_region_are_those_of_the_phantom(served: Web) -> None:
    roi = {"type": "sphere", "centre": LESION[0], "radius_mm": 8}
    bone = post(served, "/api/roi/statistics", {"series": CT, "roi": roi}).json()
    assert (bone["mean"], bone["sd"], bone["minimum"], bone["maximum"]) == (1000, 0, 1000, 1000)
    assert (bone["unit"], bone["unit_label"]) == ("[hnsf'U]", "HU")
    assert bone["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.05)
    hot = post(served, "/api/roi/statistics", {"series": PET, "unit": "suvbw", "roi": roi, "percentiles": [50]}).json()
    assert hot["mean"] == pytest.approx(phantom.LESION_BQ_ML * SUV_FACTOR, rel=1e-6)
    assert hot["percentiles"] == {"50": pytest.approx(hot["mean"])}
    square = [[20, 4, -8], [44, 4, -8], [44, 24, -8], [20, 24, -8]]
    flat = post(served, "/api/roi/statistics", {"series": CT, "roi": {"type": "polygon", "points": square}}).json()
    assert flat["area_mm2"] == 480
    assert (flat["minimum"], flat["maximum"]) == (0, 1000)


def test_figures_within_a_segment(served: Web) -> None:
    answer = post(served, "/api/roi/statistics", {"series": CT, "roi": {"type": "segment", "series": SEG, "part": 0}})
    assert answer.status == 200, answer.text
    assert answer.json()["voxels"] > 10


def test_a_report_names_a_segment_by_its_own_number_and_not_by_its_place(served: Web) -> None:
    gaps = series("gaps")
    parts = served.ask(f"/api/volumes/{gaps}").json()["parts"]
    assert [(each["part"], each["segment"]) for each in parts] == [(0, 4), (1, 9)]
    for part, number, hu in ((0, 4, 1000), (1, 9, -800)):
        segment = {"type": "segment", "series": gaps, "part": part}
        told = post(served, "/api/measurements", {"series": CT, "who": "Doe^Jane", "measurements": [segment]})
        assert told.status == 201, told.text
        (again,) = served.ask(f"/api/measurements/{told.json()['instance']}").json()["measurements"]
        assert again["segmentation"][1:] == [uid("phantom", 1, "gaps", 1), number]
        # And the figures are those of that very segment: bone, then lung.
        assert again["figures"][0]["value"] == pytest.approx(hu, abs=150)


def test_an_enhanced_pet_is_fused_in_suv_like_a_classic_one(served: Web) -> None:
    enhanced = series("ept")
    for point, activity in ((LESION[0], phantom.LESION_BQ_ML), ((0.0, 20.0, 0.0), phantom.BACKGROUND_BQ_ML)):
        at = ",".join(map(str, point))
        told = served.ask(f"/api/volumes/values?fixed={CT}&moving={enhanced}&moving_unit=suvbw&at={at}").json()
        assert told["moving"]["value"] == pytest.approx(activity * SUV_FACTOR, rel=1e-6)
        assert told["moving"]["unit"] == "g/ml{SUVbw}"
    pictures = [
        picture(served.ask(f"/api/volumes/fusion.png?fixed={CT}&moving={moving}&moving_unit=suvbw&position=-8"))
        for moving in (PET, enhanced)
    ]
    assert np.array_equal(*pictures)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"series": "x", "roi": {"type": "sphere"}}, 400),
        ({"series": CT, "roi": {"type": "sphere", "centre": [0, 0, 0], "radius_mm": 0}}, 422),
        ({"series": CT, "roi": {"type": "cube"}}, 422),
        ({"series": CT, "roi": 5}, 400),
        ({"series": CT, "unit": "suv", "roi": {"type": "sphere"}}, 400),
        ({"series": CT, "unit": "suvbw", "roi": {"type": "sphere", "centre": [0, 0, 0], "radius_mm": 5}}, 422),
        ({"series": "1.2.3.4", "roi": {"type": "sphere", "centre": [0, 0, 0], "radius_mm": 5}}, 404),
        ({"series": CT, "roi": {"type": "segment", "series": CT, "part": 0}}, 422),
    ],
)
def test_regions_that_are_none_are_refused_in_words(served: Web, body: Any, status: int) -> None:
    answer = post(served, "/api/roi/statistics", body)
    assert answer.status == status, answer.text
    assert answer.json()["detail"]


def test_measurements_are_kept_as_a_report_and_read_back_to_the_same_figures(served: Web) -> None:
    told = post(served, "/api/measurements", {
        "series": PET, "unit": "suvbw", "who": "Doe^Jane", "description": "Staging",
        "measurements": [
            {"type": "distance", "label": "long axis", "points": [[0, 0, 0], [3, 4, 12]]},
            {"type": "angle", "points": [[10, 0, 0], [0, 0, 0], [0, 10, 0]]},
            {"type": "sphere", "label": "lesion", "centre": LESION[0], "radius_mm": 8},
            {"type": "polygon", "points": [[20, 4, -7.5], [44, 4, -7.5], [44, 24, -7.5], [20, 24, -7.5]]},
            {"type": "segment", "label": "organ", "series": SEG, "part": 0},
        ],
    })  # fmt: skip
    assert told.status == 201, told.text
    written = told.json()
    again = served.ask(f"/api/measurements/{written['instance']}").json()
    for one, other in zip(again["measurements"], written["measurements"], strict=True):
        assert one["figures"] == other["figures"]
        assert (one["label"], one["tracking"], one["shape"]) == (other["label"], other["tracking"], other["shape"])
    assert written["measurements"][0]["figures"][0]["value"] == 13
    assert written["measurements"][1]["figures"][0]["value"] == pytest.approx(90)
    mean = written["measurements"][2]["figures"][0]
    assert mean["value"] == pytest.approx(phantom.LESION_BQ_ML * SUV_FACTOR, rel=1e-6)
    assert served.ask("/api/measurements/1.2.3").status == 404


def test_the_document_of_the_interface_knows_all_of_it(served: Web) -> None:
    paths = served.ask("/api/openapi.json").json()["paths"]
    found = {path.removeprefix("/api") for path in paths}
    assert {"/volumes/fusion.png", "/volumes/values", "/registrations", "/roi/statistics", "/measurements"} <= found
