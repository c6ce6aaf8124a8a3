"""Volumes of a running service: over real sockets, on the real PET/CT where it is at hand."""

from __future__ import annotations

import gzip
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from tests.support import phantom
from tests.support.data import need_shared_data
from tests.support.generate import uid
from tests.support.phantom import Scan
from tests.support.server import Server, running_server, vesalius

import vesalius as library

SCAN = Scan(rows=256, columns=256, slices=120, between_rows=0.6, between_columns=0.6, step=0.8)
CT = uid("phantom series", 1, "ct")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    phantom.write(folder / "files", phantom.ct(SCAN))
    vesalius("import", folder / "files", data=folder / "data")
    with running_server(folder) as server:
        yield server


def get(server: Server, place: str) -> tuple[bytes, dict[str, str]]:
    with urllib.request.urlopen(f"{server.url}/api/volumes/{place}", timeout=60) as answer:
        return answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def test_a_nifti_comes_whole_over_the_wire(served: Server) -> None:
    body, _ = get(served, f"{CT}/volume.nii.gz")
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(body))
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), phantom.hounsfield(SCAN.points()))


def test_planes_are_shown_and_their_volume_is_kept_in_the_data_folder(served: Server) -> None:
    for plane in ("axial", "coronal", "sagittal"):
        body, headers = get(served, f"{CT}/slice.png?plane={plane}")
        assert list(np.asarray(Image.open(BytesIO(body))).shape) == json.loads(headers["vesalius-picture"])["shape"]
    kept = [place for place in (served.data / "run" / "volumes").iterdir() if (place / "volume.json").exists()]
    assert len(kept) == 1


def test_who_leaves_in_the_middle_of_a_nifti_costs_nothing_more(served: Server) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET /api/volumes/{CT}/volume.nii.gz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    begun = time.monotonic()
    body, _ = get(served, f"{CT}")
    assert json.loads(body)["parts"][0]["unit_label"] == "HU" and time.monotonic() - begun < 20


@pytest.mark.slow
def test_the_real_pet_and_ct_are_the_same_over_http_and_from_their_files(tmp_path: Path) -> None:
    folder = need_shared_data() / "pet-ct" / "acrin-nsclc-fdg-pet-042"
    vesalius("import", folder / "ct", folder / "pt-ac", data=tmp_path / "data")
    with running_server(tmp_path) as server, library.open(folder) as opened:
        for name in ("ct", "pt-ac"):
            with library.open(folder / name) as one:
                (series,) = one.series_uids()
            body, _ = get(server, f"{series}/volume.nii.gz")
            image = nibabel.Nifti1Image.from_bytes(gzip.decompress(body))
            volume = opened.series(series).volume()
            assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0).astype(np.float32), volume.values)
            picture, _ = get(server, f"{series}/slice.png?plane=coronal")
            assert np.ptp(np.asarray(Image.open(BytesIO(picture)))) > 200
