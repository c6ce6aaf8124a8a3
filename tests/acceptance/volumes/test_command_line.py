"""`vesalius volume` over a real data folder, plain files and a running service; `vesalius.open` beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import zarr
from tests.support import phantom
from tests.support.generate import uid
from tests.support.phantom import Scan
from tests.support.server import Server, running_server, vesalius

import vesalius as library

SCAN = phantom.oblique()
HU = phantom.hounsfield(SCAN.points())


def series(name: str) -> str:
    return uid("phantom series", 1, name)


CT, PET, MR, GAP = (series(name) for name in ("ct", "pt", "mr", "gap"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    images = [*phantom.ct(SCAN), *phantom.pet(), *phantom.mr(echoes=(5.0, 20.0)), *phantom.ct(series="gap")[::5]]
    phantom.write(folder, [*images, phantom.ct(series="gap")[1]])
    return folder


@pytest.fixture(scope="module")
def data(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "data"
    vesalius("import", files, data=folder)
    return folder


@pytest.fixture(scope="module")
def served(data: Path, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    vesalius("import", files, data=folder / "data")
    with running_server(folder) as server:
        yield server


def rows(*args: str | Path, data: Path | None = None) -> list[dict[str, object]]:
    return [json.loads(line) for line in vesalius("volume", *args, "--json", data=data).stdout.splitlines()]


def test_info_tells_size_unit_and_place(data: Path) -> None:
    (told,) = rows("info", CT, data=data)
    assert told["unit"] == "[hnsf'U]" and told["shape"] == list(HU.shape)
    assert np.abs(np.array(told["affine_lps_mm"]) - SCAN.affine).max() < 1e-6
    table = vesalius("volume", "info", CT, MR, data=data).stdout
    assert "64 x 48 x 12" in table and "echo time 20" in table and "HU" in table


def test_export_writes_what_nibabel_reads_to_the_same_values(data: Path, tmp_path: Path) -> None:
    vesalius("volume", "export", CT, MR, "--to", tmp_path, data=data)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [f"{CT}.nii.gz", f"{MR}-0.nii.gz", f"{MR}-1.nii.gz"]
    )
    image = nibabel.load(tmp_path / f"{CT}.nii.gz")
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), HU)
    assert np.abs(image.affine - np.diag((-1, -1, 1, 1)) @ SCAN.affine).max() < 1e-4
    again = vesalius("volume", "export", CT, "--to", tmp_path, data=data, check=False)
    assert again.returncode == 1 and "is there already" in again.stderr


def test_export_writes_what_zarr_reads_to_the_same_values(data: Path, tmp_path: Path) -> None:
    vesalius("volume", "export", PET, "--format", "zarr", "--unit", "suvbw", "--to", tmp_path, data=data)
    group = zarr.open_group(tmp_path / f"{PET}.zarr", mode="r")
    with library.open(data) as opened:
        volume = opened.series(PET).volume("suvbw")
    assert np.array_equal(group["0"][:], volume.values) and group.attrs["vesalius"]["unit"] == "g/ml{SUVbw}"


def test_hu_tells_the_range_and_the_value_at_a_point(data: Path) -> None:
    bone = "32,14,-8"
    (told,) = rows("hu", CT, f"--at={bone}", "--at=0,0,999", data=data)
    assert (told["unit"], told["min"], told["max"], told["voxels"]) == ("HU", -1000, 1000, HU.size)
    assert told[bone] == 1000 and told["0,0,999"] is None
    assert told["mean"] == pytest.approx(HU.mean(), abs=1e-4)


def test_what_is_no_volume_is_told_with_the_reason_and_what_to_do(data: Path) -> None:
    refused = vesalius("volume", "info", GAP, data=data, check=False)
    assert refused.returncode == 1 and "not evenly spaced" in refused.stderr and "irregular=resample" in refused.stderr
    assert rows("info", GAP, "--irregular", "resample", data=data)[0]["shape"] != list(HU.shape)
    unknown = vesalius("volume", "info", "1.2.3", data=data, check=False)
    assert unknown.returncode == 4
    wrong = vesalius("volume", "hu", CT, "--unit", "hu", data=data, check=False)
    assert wrong.returncode == 2 and "suvbw" in wrong.stderr
    assert vesalius("volume", "hu", CT, "--at=1,2", data=data, check=False).returncode == 2


def test_a_folder_of_files_and_a_dicomweb_service_give_the_same_volume(data: Path, files: Path, served: Server) -> None:
    volumes = []
    for place in (data, files, served.url + "/dicom-web"):
        with library.open(place) as opened:
            assert set(opened.series_uids()) == {CT, PET, MR, GAP}
            volumes.append(opened.series(CT).volume())
            assert np.array_equal(opened.series(MR).volume(part=0).values, phantom.material(Scan().points()) * 100 + 1)
    for volume in volumes:
        assert np.array_equal(volume.values, HU) and np.abs(volume.affine - SCAN.affine).max() < 1e-6
        assert volume.unit_label == "HU" and volume.series == CT
    (told,) = rows("hu", CT, "--from", served.url + "/dicom-web", "--at=32,14,-8")
    assert told["32,14,-8"] == 1000


def test_a_place_that_is_none_and_a_series_that_is_not_there_are_errors_of_the_tree(served: Server) -> None:
    from vesalius.model.errors import NoSuchInstance, PeerUnreachable, SettingsError

    with pytest.raises(SettingsError):
        library.open("/no/such/folder")
    with library.open(served.url + "/dicom-web") as opened, pytest.raises(NoSuchInstance):
        opened.series("1.2.3")
    with library.open("http://127.0.0.1:9/dicom-web") as opened, pytest.raises(PeerUnreachable):
        opened.series("1.2.3")
    with library.open(served.url + "/nothing") as opened, pytest.raises(NoSuchInstance):
        opened.series_uids()
