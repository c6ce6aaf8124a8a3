"""This archive's command line towards DCMTK's providers: storescp and dcmqrscp."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.interop.conftest import Site
from tests.support import dcmtk
from tests.support.corpus import split_file
from tests.support.data import need_shared_data
from tests.support.generate import ct, part10, uid
from tests.support.server import listing, vesalius

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
PEER, NOT_FOUND = 3, 4


def datasets(folder: Path) -> set[bytes]:
    """The data sets of the files that a bit preserving receiver wrote."""
    return {split_file(path.read_bytes())[1] for path in folder.iterdir() if path.is_file()}


def facts(site: Site, *args: str | Path, data: Path | None = None) -> dict[str, object]:
    done = vesalius(*args, "--json", data=data or site.data, check=False)
    return dict(json.loads(done.stdout)) | {"exit": done.returncode}


def storescp(site: Site, folder: Path, *options: str) -> object:
    """DCMTK's receiver on the port of the peer STORESCP."""
    folder.mkdir(parents=True, exist_ok=True)
    port = site.ports["STORESCP"]
    return dcmtk.background("storescp", "-aet", "STORESCP", *options, "-od", folder, str(port), port=port)


def test_echo(site: Site, tmp_path: Path) -> None:
    with storescp(site, tmp_path / "got"):  # type: ignore[attr-defined]
        assert vesalius("echo", "--peer", "storescp", data=site.data).returncode == 0
    assert vesalius("echo", "--peer", "storescp", data=site.data, check=False).returncode == PEER


def test_send_arrives_to_the_last_byte_where_the_receiver_keeps_bytes(site: Site, tmp_path: Path) -> None:
    with storescp(site, tmp_path, "+xa", "+B"):  # type: ignore[attr-defined]
        report = facts(site, "send", "--peer", "storescp", site.first[0].StudyInstanceUID)
    assert (report["exit"], report["sent"], report["failed"]) == (0, 6, [])
    assert datasets(tmp_path) == {split_file(part10(ds))[1] for ds in site.first}


def test_send_of_files_and_folders(site: Site, tmp_path: Path) -> None:
    with storescp(site, tmp_path, "+xa", "+B"):  # type: ignore[attr-defined]
        report = facts(site, "send", "--peer", "storescp", site.folder, site.folder / "0.dcm")
    assert (report["exit"], report["failed"]) == (0, [])
    assert datasets(tmp_path) == {split_file(part10(ds))[1] for ds in (*site.first, *site.second)}


def test_send_to_a_receiver_of_implicit_vr_alone(site: Site, tmp_path: Path) -> None:
    with storescp(site, tmp_path, "+xi"):  # type: ignore[attr-defined]
        report = facts(site, "send", "--peer", "storescp", site.second[0].StudyInstanceUID)
    assert (report["exit"], report["sent"]) == (0, 2)
    got = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, tmp_path.iterdir())}
    for ds in site.second:
        received = got[ds.SOPInstanceUID]
        assert received.file_meta.TransferSyntaxUID == IMPLICIT
        assert received == pydicom.dcmread(site.folder / f"{6 + site.second.index(ds)}.dcm")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"])
def test_send_of_compressed_images_to_a_receiver_of_native_ones(site: Site, syntax: str, tmp_path: Path) -> None:
    folder = need_shared_data() / "transfer-syntaxes/one-ct-in-15-syntaxes"
    (tmp_path / "sent").mkdir()
    ds = pydicom.dcmread(next(folder.glob(f"*_{syntax}.dcm")))
    ds.save_as(tmp_path / "sent/one.dcm")
    with storescp(site, tmp_path / "got"):  # type: ignore[attr-defined]
        report = facts(site, "send", "--peer", "storescp", tmp_path / "sent")
    assert (report["exit"], report["sent"]) == (0, 1)
    (path,) = (tmp_path / "got").iterdir()
    received = pydicom.dcmread(path)
    assert received.file_meta.TransferSyntaxUID in (EXPLICIT, IMPLICIT)
    plain = pydicom.dcmread(next(folder.glob("*_1.2.840.10008.1.2.1.dcm")))
    assert np.array_equal(received.pixel_array, plain.pixel_array)


def test_send_of_lossy_images_that_the_receiver_does_not_take_loses_nothing_more(site: Site, tmp_path: Path) -> None:
    folder = need_shared_data() / "transfer-syntaxes/one-ct-in-15-syntaxes"
    file = next(folder.glob("*_1.2.840.10008.1.2.4.81.dcm"))
    with storescp(site, tmp_path):  # type: ignore[attr-defined]
        report = facts(site, "send", "--peer", "storescp", file)
    assert (report["exit"], report["sent"]) == (0, 1)
    (path,) = tmp_path.iterdir()
    received = pydicom.dcmread(path)
    assert np.array_equal(received.pixel_array, pydicom.dcmread(file).pixel_array)
    assert received.get("LossyImageCompression") == "01"


@pytest.mark.parametrize("option", ["--refuse", "--abort-after", "--abort-during"])
def test_send_to_a_receiver_that_breaks_says_so(site: Site, option: str, tmp_path: Path) -> None:
    with storescp(site, tmp_path, option):  # type: ignore[attr-defined]
        done = vesalius("send", "--peer", "storescp", site.second[0].StudyInstanceUID, data=site.data, check=False)
    assert done.returncode in (1, PEER)
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


@pytest.fixture(scope="module")
def dcmqr(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Dataset]]:
    """dcmqrscp with a study in it, sent by us."""
    folder = tmp_path_factory.mktemp("dcmqr")
    sent = [
        ct("dcmqr", series, n, patient_id="DCMQR-1", patient_name="Kept^There") for series in (1, 2) for n in (1, 2)
    ]
    (folder / "files").mkdir()
    for n, ds in enumerate(sent):
        (folder / f"files/{n}.dcm").write_bytes(part10(ds))
    with dcmtk.dcmqrscp(folder, "DCMQR", {"VESALIUS": ("127.0.0.1", site.port)}) as port:
        words = ("dcmqr2", "127.0.0.1", str(port), "--aet", "DCMQR", "--allow", "store,retrieve")
        vesalius("peers", "add", *words, data=site.data)
        vesalius("peers", "test", "dcmqr2", data=site.data)
        report = facts(site, "send", "--peer", "dcmqr2", folder / "files")
        assert (report["exit"], report["sent"]) == (0, 4)
        yield sent


def test_find_at_dcmqrscp(site: Site, dcmqr: list[Dataset]) -> None:
    study = dcmqr[0].StudyInstanceUID
    ask = ("find", "--peer", "dcmqr2")
    (one,) = listing(*ask, "PatientName=Kept*", "StudyInstanceUID", data=site.data)
    assert one["StudyInstanceUID"] == study
    assert len(listing(*ask, "--level", "series", f"StudyInstanceUID={study}", data=site.data)) == 2
    words = (f"StudyInstanceUID={study}", f"SeriesInstanceUID={dcmqr[0].SeriesInstanceUID}")
    assert len(listing(*ask, "--level", "image", *words, data=site.data)) == 2
    assert len(listing(*ask, "--level", "patient", "PatientID=DCMQR-1", data=site.data)) == 1
    nothing = vesalius(*ask, "PatientID=NOBODY", data=site.data, check=False)
    assert nothing.returncode == NOT_FOUND


def test_retrieve_by_get_from_dcmqrscp(site: Site, dcmqr: list[Dataset], tmp_path: Path) -> None:
    peers = {row["name"]: row for row in listing("peers", "list", data=site.data)}
    data = tmp_path / "fresh"
    vesalius("peers", "add", "dcmqr2", "127.0.0.1", str(peers["dcmqr2"]["port"]), "--aet", "DCMQR", data=data)
    report = facts(site, "retrieve", "--peer", "dcmqr2", "--study", dcmqr[0].StudyInstanceUID, data=data)
    assert (report["exit"], report["completed"], report["failed"]) == (0, 4, 0)
    vesalius("export", "--study", dcmqr[0].StudyInstanceUID, tmp_path / "out", data=data)
    got = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("IM*")]
    assert sorted(ds.SOPInstanceUID for ds in got) == sorted(ds.SOPInstanceUID for ds in dcmqr)
    sent = {ds.SOPInstanceUID: ds.PixelData for ds in dcmqr}
    assert all(ds.PixelData == sent[ds.SOPInstanceUID] for ds in got)


def test_retrieve_by_move_from_dcmqrscp(site: Site, dcmqr: list[Dataset]) -> None:
    study = dcmqr[0].StudyInstanceUID
    words = ("retrieve", "--peer", "dcmqr2", "--study", study, "--series", dcmqr[0].SeriesInstanceUID)
    report = facts(site, *words, "--method", "move")
    assert (report["exit"], report["completed"], report["failed"]) == (0, 2, 0)
    assert len(listing("find", "--level", "image", f"StudyInstanceUID={study}", data=site.data)) == 2


def test_retrieve_of_what_dcmqrscp_does_not_have(site: Site, dcmqr: list[Dataset]) -> None:
    assert dcmqr
    for method in ("get", "move"):
        report = facts(site, "retrieve", "--peer", "dcmqr2", "--study", uid("not there"), "--method", method)
        assert report["exit"] == NOT_FOUND, method
