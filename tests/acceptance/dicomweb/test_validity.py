"""What leaves in another transfer syntax is as valid as what came: dciodvfy finds no new error in it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from tests.support import dciodvfy
from tests.support.data import real_files
from tests.support.elements import split_part10
from tests.support.server import Server, running_server, vesalius
from tests.support.stow import headers, multipart

JPEG = "1.2.840.10008.1.2.4."
# Native, lossless, and with loss (which is written into the header: PS3.3 C.7.6.1.1.5). Not the deflated one: the
# dciodvfy of dicom3tools reads no such file at all.
SYNTAXES = ("1.2.840.10008.1.2.1", JPEG + "80", JPEG + "90", JPEG + "201", JPEG + "70", "1.2.840.10008.1.2.5",
            JPEG + "50")  # fmt: skip
PER_FOLDER = 3
FOLDERS = ("single-frame", "multiframe", "mr-series", "ct-series", "transfer-syntaxes", "sr-ko-pr-seg-rt", "pet-ct")
SMALL = 3 << 20


def chosen() -> list[Path]:
    """Some real files of every folder, small ones, so that each is turned nine times quickly."""
    found: list[Path] = []
    for folder in FOLDERS:
        fitting = [
            each.path
            for each in real_files()
            if folder in each.path.parts and each.path.suffix != ".xz" and each.path.stat().st_size < SMALL
        ]
        found += sorted(fitting)[:: max(1, len(fitting) // PER_FOLDER)][:PER_FOLDER]
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    dciodvfy.need()
    folder = tmp_path_factory.mktemp("validity")
    paths = chosen()
    if not paths:
        pytest.skip("needs the shared data")
    vesalius("import", *paths, data=folder / "data", check=False)
    with running_server(folder) as running:
        yield running


def errors_of(file: bytes, path: Path) -> set[str]:
    """What dciodvfy calls an error, without the figures in it."""
    path.write_bytes(file)
    lines = dciodvfy.said_of(path).splitlines()
    return {re.sub(r"0x[0-9a-f]+|[0-9]+", "#", line) for line in lines if line.startswith("Error")}


def ask(server: Server, path: str, accept: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{server.url}/dicom-web{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def instances(server: Server) -> list[str]:
    _, body = ask(server, "/instances?limit=1000", "application/dicom+json")
    return [one["00081190"]["Value"][0].partition("/dicom-web")[2] for one in json.loads(body)]


def test_no_transfer_syntax_brings_a_new_error(server: Server, tmp_path: Path) -> None:
    checked, turned = 0, dict.fromkeys(SYNTAXES, 0)
    for path in instances(server):
        status, stored = ask(server, path, "application/dicom; transfer-syntax=*")
        assert status == 200
        before = errors_of(stored, tmp_path / "stored.dcm")
        checked += 1
        for syntax in SYNTAXES:
            status, made = ask(server, path, f"application/dicom; transfer-syntax={syntax}")
            assert status in (200, 406)
            if status == 406:
                continue
            assert split_part10(made)[0] == syntax
            turned[syntax] += 1
            new = errors_of(made, tmp_path / "made.dcm") - before
            assert not new, (path, syntax, new)
    assert checked >= 10
    assert all(turned.values()), turned


def test_what_was_made_of_metadata_and_bulk_data_has_no_error_that_its_sender_did_not_make(
    server: Server, tmp_path: Path
) -> None:
    """STOW-RS of JSON: the file that this service writes of it is checked against the one that it was made from."""
    (path,) = [one for one in chosen() if "ct-series" in one.parts or "single-frame" in one.parts][:1]
    ds = dcmread(path)
    before = errors_of(path.read_bytes(), tmp_path / "before.dcm")
    ds.SOPInstanceUID = generate_uid()
    pixels = ds.PixelData if not ds.file_meta.TransferSyntaxUID.is_compressed else None
    if pixels is None:
        pytest.skip("the first real file is compressed")
    metadata = ds.to_json_dict(bulk_data_threshold=1 << 30)
    metadata["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    parts = [
        ("application/dicom+json", json.dumps([metadata]).encode()),
        ({"Content-Type": "application/octet-stream", "Content-Location": "pixels"}, pixels),
    ]
    request = urllib.request.Request(
        f"{server.url}/dicom-web/studies", multipart(parts), headers("application/dicom+json"), method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        (stored,) = json.loads(answer.read())["00081199"]["Value"]
    where = stored["00081190"]["Value"][0].partition("/dicom-web")[2]
    _, made = ask(server, where, "application/dicom; transfer-syntax=*")
    assert errors_of(made, tmp_path / "made.dcm") <= before
