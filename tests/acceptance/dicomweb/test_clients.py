"""dicomweb-client (Python), which nobody here wrote, searches and reads metadata on the real service."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from tests.support.generate import ct, part10, uid
from tests.support.server import Server, running_server, vesalius

STUDIES = 7


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "in").mkdir()
    for study in range(STUDIES):
        for series, number in ((1, 1), (1, 2), (2, 1)):
            ds = ct(study, series, number, patient_id=f"P{study}", patient_name=f"Müller^{'ABCDEFG'[study]}")
            (folder / "in" / f"{study}-{series}-{number}.dcm").write_bytes(part10(ds))
    vesalius("import", folder / "in", data=folder / "data")
    with running_server(folder) as running:
        yield running


@pytest.fixture
def client(server: Server) -> DICOMwebClient:
    return DICOMwebClient(f"{server.url}/dicom-web")


def test_it_searches_at_every_level(client: DICOMwebClient) -> None:
    assert len(client.search_for_studies()) == STUDIES
    (study,) = client.search_for_studies(search_filters={"PatientID": "P3"}, fields=["StudyDescription"])
    ds = Dataset.from_json(study)
    assert str(ds.PatientName) == "Müller^D" and ds.StudyDescription == "HEAD"
    assert study["00081190"]["Value"][0].startswith(f"{client.base_url}/studies/")
    assert len(client.search_for_series()) == 2 * STUDIES
    assert len(client.search_for_series(uid("study", 3))) == 2
    assert len(client.search_for_instances()) == 3 * STUDIES
    assert len(client.search_for_instances(uid("study", 3))) == 3
    assert len(client.search_for_instances(uid("study", 3), uid("series", 3, 1))) == 2
    assert client.search_for_studies(search_filters={"PatientID": "NOBODY"}) == []


def test_it_pages_through_everything(client: DICOMwebClient) -> None:
    assert len(client.search_for_studies(limit=2, get_remaining=True)) == STUDIES
    assert len(client.search_for_studies(limit=3, offset=5)) == 2
    alike = client.search_for_studies(fuzzymatching=True, search_filters={"PatientName": "Miller^B"})
    assert [one["00100010"]["Value"][0]["Alphabetic"] for one in alike] == ["Müller^B"]


def test_it_reads_metadata_at_every_level(client: DICOMwebClient) -> None:
    study, series = uid("study", 2), uid("series", 2, 1)
    assert len(client.retrieve_study_metadata(study)) == 3
    assert len(client.retrieve_series_metadata(study, series)) == 2
    one = client.retrieve_instance_metadata(study, series, uid("instance", 2, 1, 2))
    (pixels,) = client.retrieve_bulkdata(one["7FE00010"]["BulkDataURI"])
    assert len(pixels) == 16 * 16 * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = Dataset.from_json(one, bulk_data_uri_handler=lambda _uri: b"")
    assert ds.SOPInstanceUID == uid("instance", 2, 1, 2) and ds.Rows == 16
    assert [float(value) for value in ds.ImagePositionPatient] == [0, 0, 2]


def test_it_reads_piece_by_piece(client: DICOMwebClient) -> None:
    study, series, sop = uid("study", 4), uid("series", 4, 1), uid("instance", 4, 1, 1)
    expected = ct(4, 1, 1).PixelData
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(list(client.iter_study(study))) == 3
        assert {ds.SOPInstanceUID for ds in client.retrieve_series(study, series)} == {
            uid("instance", 4, 1, number) for number in (1, 2)
        }
    assert list(client.iter_instance_frames(study, series, sop, [1])) == [expected]
    one = client.retrieve_instance_metadata(study, series, sop)
    assert list(client.iter_bulkdata(one["7FE00010"]["BulkDataURI"])) == [expected]
    # The collection of an instance's values is the same transaction to the client.
    address = f"{client.base_url}/studies/{study}/series/{series}/instances/{sop}/bulkdata"
    assert client.retrieve_bulkdata(address) == [expected]


def test_it_deletes_a_study(client: DICOMwebClient) -> None:
    client.delete_study(uid("study", 6))
    assert client.search_for_studies(search_filters={"PatientID": "P6"}) == []
    assert len(client.search_for_studies()) == STUDIES - 1
