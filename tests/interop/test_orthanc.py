"""Orthanc in both roles: the archive that most newcomers have."""

from __future__ import annotations

import contextlib
import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.interop.conftest import Site
from tests.support.corpus import split_file
from tests.support.data import shared_data
from tests.support.generate import ct, part10
from tests.support.orthanc import Orthanc, running_orthanc
from tests.support.raw_dicom import STUDY_GET
from tests.support.raw_peer import LEVEL, RawScu
from tests.support.server import listing, vesalius

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def orthanc(site: Site) -> Iterator[Orthanc]:
    with running_orthanc({"VESALIUS": ("127.0.0.1", site.port)}, dicom_port=site.ports["ORTHANC"]) as running:
        yield running


def upload(orthanc: Orthanc, instances: list[Dataset]) -> str:
    """Put instances into Orthanc by its own door; gives its name of the study."""
    answers = [orthanc.post("/instances", part10(ds)) for ds in instances]
    return str(answers[0]["ParentStudy"])  # type: ignore[index]


def facts(site: Site, *args: str | Path, data: Path | None = None) -> dict[str, object]:
    done = vesalius(*args, "--json", data=data or site.data, check=False)
    return dict(json.loads(done.stdout)) | {"exit": done.returncode}


def query(orthanc: Orthanc, level: str, keys: dict[str, str]) -> tuple[str, list[dict[str, str]]]:
    """C-FIND by Orthanc towards us: the query's path and the answers."""
    path = str(orthanc.post("/modalities/vesalius/query", {"Level": level, "Query": keys})["Path"])  # type: ignore[index]
    answers = [
        orthanc.get(f"{path}/answers/{number}/content?simplify")
        for number in orthanc.get(f"{path}/answers")  # type: ignore[attr-defined]
    ]
    return path, answers  # type: ignore[return-value]


# -- Orthanc asks us --------------------------------------------------------------------------------------------------


def test_orthanc_echoes(orthanc: Orthanc) -> None:
    orthanc.post("/modalities/vesalius/echo", {})


def test_orthanc_stores_here(site: Site, orthanc: Orthanc) -> None:
    sent = [ct("by orthanc", 1, n) for n in (1, 2, 3)]
    study = upload(orthanc, sent)
    report = orthanc.post("/modalities/vesalius/store", {"Resources": [study], "Synchronous": True})
    assert report["InstancesCount"] == 3  # type: ignore[index]
    assert report["FailedInstancesCount"] == 0  # type: ignore[index]
    with RawScu.associate(
        site.port, [(STUDY_GET, [IMPLICIT]), (sent[0].SOPClassUID, [EXPLICIT])], roles=[sent[0].SOPClassUID]
    ) as scu:
        got = scu.get({LEVEL: "STUDY", 0x0020000D: sent[0].StudyInstanceUID})
    assert {one.sop_instance: one.dataset[-512:] for one in got.kept} == {
        ds.SOPInstanceUID: ds.PixelData for ds in sent
    }


def test_orthanc_stores_real_images_in_many_transfer_syntaxes_here(site: Site, orthanc: Orthanc) -> None:
    folder = shared_data()
    if folder is None:
        pytest.skip("the real data are not beside this checkout")
    files = [*(folder / "transfer-syntaxes").rglob("*.dcm"), *(folder / "sr-ko-pr-seg-rt/sr").rglob("*.dcm")]
    names = set()
    for path in sorted(files)[::3]:
        with contextlib.suppress(urllib.error.HTTPError):  # Orthanc itself takes fewer files than this archive
            names.add(str(orthanc.post("/instances", path.read_bytes())["ID"]))  # type: ignore[index]
    assert len(names) > 20
    # Some lack Study and Series Instance UIDs, which Orthanc does not mind: they are refused here.
    whole = [name for name in names if _has_uids(orthanc, name)]
    report = orthanc.post("/modalities/vesalius/store", {"Resources": whole, "Synchronous": True, "Permissive": True})
    assert report["InstancesCount"] == len(whole)  # type: ignore[index]
    assert report["FailedInstancesCount"] == 0  # type: ignore[index]


def _has_uids(orthanc: Orthanc, name: str) -> bool:
    tags = orthanc.get(f"/instances/{name}/simplified-tags")
    return all(tags.get(key) for key in ("StudyInstanceUID", "SeriesInstanceUID"))  # type: ignore[attr-defined]


def test_orthanc_finds_here(site: Site, orthanc: Orthanc) -> None:
    keys = {"PatientID": "INTEROP-1", "PatientName": "", "NumberOfStudyRelatedInstances": "", "ModalitiesInStudy": ""}
    _, (study,) = query(orthanc, "Study", keys)
    assert study["PatientName"] == "Doe^Jane"
    assert study["NumberOfStudyRelatedInstances"].strip() == "6"
    assert study["ModalitiesInStudy"] == "CT"
    assert study["RetrieveAETitle"] == "VESALIUS"
    _, found = query(orthanc, "Series", {"StudyInstanceUID": study["StudyInstanceUID"], "Modality": ""})
    assert len(found) == 2
    _, (other,) = query(orthanc, "Study", {"PatientName": "MÜLLER*", "PatientID": ""})
    assert other["PatientID"] == "INTEROP-2"
    assert query(orthanc, "Study", {"PatientID": "NOBODY"})[1] == []


def test_orthanc_moves_from_here(site: Site, orthanc: Orthanc) -> None:
    path, answers = query(orthanc, "Study", {"PatientID": "INTEROP-1"})
    assert len(answers) == 1
    orthanc.post(f"{path}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    found = orthanc.post("/tools/find", {"Level": "Instance", "Query": {"PatientID": "INTEROP-1"}})
    assert len(found) == 6  # type: ignore[arg-type]


def test_orthanc_gets_from_here(site: Site, orthanc: Orthanc) -> None:
    path, answers = query(orthanc, "Study", {"PatientID": "INTEROP-2"})
    assert len(answers) == 1
    try:
        orthanc.post(f"{path}/retrieve", {"RetrieveMethod": "C-GET", "Synchronous": True})
    except urllib.error.HTTPError as error:
        if orthanc.version < "1.12.6":
            pytest.skip(f"Orthanc {orthanc.version} has no C-GET user ({error})")
        raise
    found = orthanc.post("/tools/find", {"Level": "Instance", "Query": {"PatientID": "INTEROP-2"}})
    assert len(found) == 2  # type: ignore[arg-type]


# -- we ask Orthanc ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def there(site: Site, orthanc: Orthanc) -> list[Dataset]:
    """A study that Orthanc alone has."""
    who = {"patient_id": "ORTHANC-1", "patient_name": "Kept^There"}
    instances = [ct("at orthanc", series, n, **who) for series in (1, 2) for n in (1, 2)]  # type: ignore[arg-type]
    upload(orthanc, instances)
    return instances


def test_we_echo_and_send_to_orthanc(site: Site, orthanc: Orthanc) -> None:
    vesalius("echo", "--peer", "orthanc", data=site.data)
    report = facts(site, "send", "--peer", "orthanc", site.second[0].StudyInstanceUID)
    assert (report["exit"], report["sent"], report["failed"]) == (0, 2, [])
    name = {"Level": "Instance", "Query": {"SOPInstanceUID": site.second[0].SOPInstanceUID}, "Expand": True}
    (found,) = orthanc.post("/tools/find", name)  # type: ignore[misc]
    assert found["MainDicomTags"]["SOPInstanceUID"] == site.second[0].SOPInstanceUID


def test_we_find_at_orthanc(site: Site, there: list[Dataset]) -> None:
    ask = ("find", "--peer", "orthanc")
    (study,) = listing(*ask, "PatientName=Kept*", data=site.data)
    assert study["StudyInstanceUID"] == there[0].StudyInstanceUID
    words = f"StudyInstanceUID={there[0].StudyInstanceUID}"
    assert len(listing(*ask, "--level", "series", words, data=site.data)) == 2


def test_we_retrieve_from_orthanc_by_get(site: Site, there: list[Dataset], tmp_path: Path) -> None:
    data, port = tmp_path / "fresh", str(site.ports["ORTHANC"])
    vesalius("peers", "add", "orthanc", "127.0.0.1", port, "--aet", "ORTHANC", data=data)
    report = facts(site, "retrieve", "--peer", "orthanc", "--study", there[0].StudyInstanceUID, data=data)
    assert (report["exit"], report["completed"], report["failed"]) == (0, 4, 0)
    vesalius("export", "--study", there[0].StudyInstanceUID, tmp_path / "out", data=data)
    got = {split_file(path.read_bytes())[1][-512:] for path in (tmp_path / "out").rglob("IM*")}
    assert got == {ds.PixelData for ds in there}


def test_we_retrieve_from_orthanc_by_move(site: Site, there: list[Dataset]) -> None:
    study = there[0].StudyInstanceUID
    report = facts(site, "retrieve", "--peer", "orthanc", "--study", study, "--method", "move")
    assert report["exit"] == 0
    assert len(listing("find", "--level", "image", f"StudyInstanceUID={study}", data=site.data)) == 4


def test_a_compressed_image_goes_to_orthanc_and_back_unchanged(site: Site, orthanc: Orthanc, tmp_path: Path) -> None:
    folder = shared_data()
    if folder is None:
        pytest.skip("the real data are not beside this checkout")
    (file,) = (folder / "pet-ct/acrin-nsclc-fdg-pet-042/ct-scout").glob("*.dcm")  # JPEG-LS
    report = facts(site, "send", "--peer", "orthanc", file)
    assert (report["exit"], report["sent"]) == (0, 1)
    study = str(pydicom.dcmread(file).StudyInstanceUID)
    data, port = tmp_path / "fresh", str(site.ports["ORTHANC"])
    vesalius("peers", "add", "orthanc", "127.0.0.1", port, "--aet", "ORTHANC", data=data)
    report = facts(site, "retrieve", "--peer", "orthanc", "--study", study, data=data)
    assert (report["exit"], report["completed"]) == (0, 1)
    vesalius("export", "--study", study, tmp_path / "out", data=data)
    (path,) = (tmp_path / "out").rglob("IM*")
    assert split_file(path.read_bytes())[1] == split_file(file.read_bytes())[1]
