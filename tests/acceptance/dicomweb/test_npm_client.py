"""npm dicomweb-client, the client of OHIF and many pages, does every transaction it has with the service."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.generate import ct, part10, uid
from tests.support.server import Server, running_server

SCRIPT = Path(__file__).with_name("dicomweb_client.mjs")
CLIENT = Path(__file__).resolve().parents[3] / "web-assets" / "dev" / "dicomweb-client.js"
STUDY, SERIES, INSTANCE = uid("study", "npm"), uid("series", "npm", 1), uid("instance", "npm", 1, 1)
NAME = "Müller^Jürg"
IMAGE = ct("npm", 1, 1, rows=32, columns=32, patient_name=NAME, patient_id="NPM")
PIXELS = {"length": 2048, "sha256": hashlib.sha256(IMAGE.PixelData).hexdigest()}
JPEG, PNG, GIF, JP2 = "ffd8", "89504e47", "474946", "0000000c6a50"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("npm")) as running:
        yield running


@pytest.fixture(scope="module")
def told(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client made of each transaction."""
    if shutil.which("node") is None or not CLIENT.is_file():
        pytest.skip("needs node and `make assets-dev` (npm dicomweb-client)")
    folder = tmp_path_factory.mktemp("npm-files")
    files = []
    for series, number in ((1, 1), (1, 2), (2, 1)):
        ds = ct("npm", series, number, rows=32, columns=32, patient_name=NAME, patient_id="NPM")
        (folder / f"{series}-{number}.dcm").write_bytes(part10(ds))
        files.append(str(folder / f"{series}-{number}.dcm"))
    names = {"url": f"{server.url}/dicom-web", "study": STUDY, "series": SERIES, "instance": INSTANCE, "files": files}
    done = subprocess.run(
        ["node", str(SCRIPT), str(CLIENT), json.dumps(names)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def test_every_transaction_succeeds(told: dict[str, Any]) -> None:
    failed = {name: one for name, one in told.items() if isinstance(one, dict) and "failed" in one}
    assert failed.pop("an unknown instance")["status"] == 404
    assert not failed
    assert len(told) > 35


def test_it_stores(told: dict[str, Any]) -> None:
    assert len(told["storeInstances"]["00081199"]["Value"]) == 3
    assert "00081198" not in told["storeInstances"]
    (one,) = told["storeInstances in a study"]["00081199"]["Value"]
    assert one["00081155"]["Value"] == [INSTANCE]


def test_it_searches(told: dict[str, Any]) -> None:
    (study,) = told["searchForStudies"]
    assert study["00100010"]["Value"][0]["Alphabetic"] == NAME and study["00201208"]["Value"] == [3]
    (alike,) = told["searchForStudies fuzzily"]
    assert alike["0020000D"]["Value"] == [STUDY]
    assert told["searchForStudies of nobody"] == []
    assert len(told["searchForSeries"]) == len(told["searchForSeries everywhere"]) == 2
    (instance,) = told["searchForInstances"]
    assert instance["00080018"]["Value"] == [INSTANCE]
    assert len(told["searchForInstances of a study"]) == 3 and len(told["searchForInstances of a series"]) == 2


def test_it_reads_metadata_and_files(told: dict[str, Any]) -> None:
    assert [len(told[f"retrieve{what}Metadata"]) for what in ("Study", "Series", "Instance")] == [3, 2, 1]
    assert [len(told[name]) for name in ("retrieveStudy", "retrieveSeries")] == [3, 2]
    assert told["retrieveInstance"]["part10"] == "DICM"
    assert told["buildInstanceWadoURIUrl"]["part10"] == "DICM"


def test_it_reads_pixels(told: dict[str, Any]) -> None:
    for name in (
        *(
            "retrieveInstanceFrames",
            "retrieveInstanceFrames application/octet-stream",
            "retrieveInstanceFrames as stored",
        ),
        *("retrieveBulkData", "retrieveBulkData as a single part"),
    ):
        (frame,) = told[name]
        assert {key: frame[key] for key in PIXELS} == PIXELS, name
    (part,) = told["retrieveBulkData of a range"]
    assert part["head"] == IMAGE.PixelData[4:10].hex()
    for kind, start in (("jls", "ffd8"), ("x-jls", "ffd8"), ("jp2", "ff4f"), ("x-dicom-rle", "02000000")):
        (frame,) = told[f"retrieveInstanceFrames image/{kind}"]
        assert frame["head"].startswith(start), kind


def test_it_shows_pictures(told: dict[str, Any]) -> None:
    starts = {"image/jpeg": JPEG, "image/png": PNG, "image/gif": GIF, "image/jp2": JP2}
    for kind, start in starts.items():
        (picture,) = told[f"retrieveInstanceRendered {kind}"]
        assert picture["head"].startswith(start), kind
    for name, start in (
        ("retrieveInstanceRendered", JPEG), ("retrieveInstanceFramesRendered", PNG),
        ("retrieveInstanceThumbnail", JPEG),
        ("retrieveInstanceThumbnail image/png", PNG), ("retrieveInstanceFramesThumbnail", JPEG),
    ):  # fmt: skip
        assert told[name][0]["head"].startswith(start), name
