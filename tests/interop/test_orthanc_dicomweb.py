"""Orthanc's DICOMweb plugin as our client: it searches here, pulls from here and pushes to here."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from tests.interop.conftest import Site
from tests.support.generate import ct, part10
from tests.support.orthanc import Orthanc, running_orthanc


@pytest.fixture(scope="module")
def orthanc(site: Site) -> Iterator[Orthanc]:
    servers = {"vesalius": f"{site.server.url}/dicom-web/"}
    with running_orthanc(name="dicomweb", dicomweb=True, dicomweb_servers=servers) as running:
        yield running


def post(orthanc: Orthanc, path: str, body: object) -> object:
    """The answer of Orthanc's client, whatever it makes of ours."""
    return orthanc.post(f"/dicom-web/servers/vesalius/{path}", body)


def studies_here(site: Site, study: str) -> list[dict[str, dict[str, list[object]]]]:
    target = f"{site.server.url}/dicom-web/studies?StudyInstanceUID={study}"
    with urllib.request.urlopen(target, timeout=10) as answer:
        return list(json.loads(answer.read()))


def test_it_searches_here(site: Site, orthanc: Orthanc) -> None:
    arguments = {"PatientID": str(site.first[0].PatientID)}
    found = post(orthanc, "qido", {"Uri": "/studies", "Arguments": arguments})
    assert str(site.first[0].StudyInstanceUID) in json.dumps(found)


def test_it_pulls_a_study_from_here(site: Site, orthanc: Orthanc) -> None:
    study = str(site.first[0].StudyInstanceUID)
    post(orthanc, "retrieve", {"Resources": [{"Study": study}]})
    known = orthanc.post("/tools/find", {"Level": "Instance", "Query": {"StudyInstanceUID": study}})
    assert len(known) == len(site.first)  # type: ignore[arg-type]


def test_it_pushes_a_study_to_here(site: Site, orthanc: Orthanc) -> None:
    sent: list[Dataset] = [ct("pushed by web", 1, number) for number in (1, 2, 3)]
    names = [orthanc.post("/instances", part10(ds))["ID"] for ds in sent]  # type: ignore[index]
    post(orthanc, "stow", {"Resources": names})
    (study,) = studies_here(site, str(sent[0].StudyInstanceUID))
    assert study["00201208"]["Value"] == [3]
