"""ImagingStudy: what the archive has, with its patient and its order, every answer held against its model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.fhir import Client, issue
from tests.support.generate import ct, uid
from tests.support.ris import RULES, Hospital, by
from tests.support.web import Web, web

from vesalius.model.entities import Event
from vesalius.ris import images, patients


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("studies")) as made:
        assert made.ctx.ris is not None
        hospital = Hospital(made.ctx.ris)
        hospital.stations()
        patient = hospital.patient("P1")
        order, procedure = hospital.order(patient)
        for series in (1, 2):
            for number in (1, 2, 3):
                made.archive.keep(
                    ct("ordered", series, number, patient_id="P1", StudyInstanceUID=procedure.study_uid,
                       AccessionNumber=order.accession, StudyDate="20240115", StudyTime="101112",
                       BodyPartExamined="HEAD", StudyDescription="CT of the head")
                )  # fmt: skip
        made.archive.keep(ct("other", 1, 1, patient_id="P2", Modality="MR", StudyDate="20230101", StudyTime=""))
        made.archive.keep(ct("foreign", 1, 1, patient_id="P1", IssuerOfPatientID="ELSEWHERE", StudyDate="20250101"))
        made.archive.keep(ct("bare", 1, 1, patient_id="", patient_name="", StudyDate="", StudyTime=""))
        yield made


@pytest.fixture
def fhir(site: Web) -> Client:
    return Client(site)


@pytest.fixture
def hospital(site: Web) -> Hospital:
    assert site.ctx.ris is not None
    return Hospital(site.ctx.ris)


def ordered(fhir: Client) -> str:
    (found,) = fhir.ids("/ImagingStudy?started=2024-01-15")
    return found


def test_a_study_shows_its_series_and_instances_its_patient_its_order_and_where_to_get_it(fhir: Client) -> None:
    study = fhir.get(f"/ImagingStudy/{ordered(fhir)}")
    assert study["identifier"][0] == {
        "use": "official", "system": "urn:dicom:uid", "value": f"urn:oid:{study['id']}",
    }  # fmt: skip
    assert study["subject"]["reference"] == "Patient/1"
    assert study["basedOn"] == [{"reference": "ServiceRequest/1"}]
    assert study["endpoint"] == [{"reference": "Endpoint/wado-rs"}]
    assert (study["numberOfSeries"], study["numberOfInstances"], study["status"]) == (2, 6, "available")
    assert study["modality"] == [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]
    assert study["started"].startswith("2024-01-15T10:11:12")
    assert [series["numberOfInstances"] for series in study["series"]] == [3, 3]
    first = study["series"][0]
    assert first["bodySite"] == {"display": "HEAD"}
    assert len(first["instance"]) == 3
    assert first["instance"][0]["sopClass"] == {
        "system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2",
    }  # fmt: skip


def test_a_study_whose_patient_has_no_record_names_its_patient_by_number(fhir: Client) -> None:
    other = fhir.get(f"/ImagingStudy/{uid('study', 'other')}")
    assert other["subject"]["identifier"]["value"] == "P2"
    assert "reference" not in other["subject"] and "basedOn" not in other
    assert other["started"] == "2023-01-01"
    foreign = fhir.get(f"/ImagingStudy/{uid('study', 'foreign')}")
    assert foreign["subject"]["identifier"]["system"] == "urn:vesalius:issuer:ELSEWHERE"
    assert fhir.get(f"/ImagingStudy/{uid('study', 'bare')}")["subject"] == {"type": "Patient", "display": "unknown"}


def test_studies_are_found_by_number_patient_time_modality_and_order(fhir: Client) -> None:
    mine = ordered(fhir)
    other, foreign, bare = (uid("study", name) for name in ("other", "foreign", "bare"))
    accession = fhir.get(f"/ImagingStudy/{mine}")["identifier"][1]["value"]
    for asked, wanted in {
        "": [mine, other, foreign, bare], f"_id={other},{mine}": [mine, other],
        f"identifier=urn:dicom:uid|urn:oid:{mine}": [mine], f"identifier=urn:oid:{mine}": [mine],
        f"identifier={accession}": [mine], "identifier=nothing": [], "patient=Patient/1": [mine], "patient=1": [mine],
        "subject=Patient/99": [], "patient.identifier=HOSP|P1": [mine], "patient.identifier=P1": [mine, foreign],
        "patient.identifier=ELSEWHERE|P1": [foreign], "patient.identifier=|P2": [other], "started=2023": [other],
        "started=ge2024-01-15": [mine, foreign], "started=lt2024-01-15T10:11:12": [other], "started=gt2025-01-01": [],
        "started=2024-01-15T10:11:12": [mine], "started=2024-01-15T10:11:13": [], "modality=MR": [other],
        "started=2023,2024": [mine, other], "modality=MR,CT&patient=1": [mine], "status=available": 4,
        "status=registered": [],
        "basedon=ServiceRequest/1": [mine], "basedon=7": [], f"basedon.identifier={accession}": [mine],
        "endpoint=Endpoint/wado-rs": 4, "endpoint=Endpoint/x": [], "modality=CT&modality=MR": [],
        "started=ge2023&started=lt2024&modality=MR": [other], "patient=1&patient.identifier=P2": [],
    }.items():  # fmt: skip
        found = fhir.ids(f"/ImagingStudy?{asked}")
        assert (len(found) if isinstance(wanted, int) else found) == wanted, asked
        assert fhir.total(f"/ImagingStudy?{asked}") == len(found), asked


def test_pages_of_studies_follow_each_other(fhir: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = fhir.ids("/ImagingStudy")
    assert fhir.get("/ImagingStudy?_count=1")["total"] == 4
    assert fhir.ids("/ImagingStudy?_count=1") == everything
    assert fhir.ids("/ImagingStudy?_count=3&started=ge2023") == everything[:3]
    monkeypatch.setattr("vesalius.web.fhir.studies.MOST_INSTANCES", 2)
    first = fhir.get("/ImagingStudy")
    assert len(first["entry"]) == 1, "the first study has more instances than a page may have"
    assert fhir.ids("/ImagingStudy") == everything
    assert len(fhir.get("/ImagingStudy?_summary=true")["entry"]) == 4


def test_a_summary_leaves_the_instances_out_and_says_so(fhir: Client) -> None:
    (entry,) = fhir.get(f"/ImagingStudy?_id={ordered(fhir)}&_summary=true")["entry"]
    assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert all("instance" not in series for series in entry["resource"]["series"])


def test_patient_order_and_endpoint_can_be_included(fhir: Client) -> None:
    found = fhir.get(
        "/ImagingStudy?started=ge2024&_include=ImagingStudy:patient&_include=ImagingStudy:basedon"
        "&_include=ImagingStudy:endpoint"
    )
    kinds = [one["resource"]["resourceType"] for one in found["entry"]]
    assert kinds == ["ImagingStudy", "ImagingStudy", "Patient", "ServiceRequest", "Endpoint"]


def test_a_merge_shows_in_the_studies_at_once_and_a_task_knows_its_study(hospital: Hospital, fhir: Client) -> None:
    mine = ordered(fhir)
    keep = hospital.patient("KEEP")
    done = hospital.ris.change(lambda work: patients.merge(work, by(), keep.ref, 1, RULES))
    assert fhir.get(f"/ImagingStudy/{mine}")["subject"]["reference"] == f"Patient/{keep.ref}"
    assert fhir.ids("/ImagingStudy?patient=Patient/1") == [mine], "the record that was merged"
    assert fhir.ids(f"/ImagingStudy?patient={keep.ref}") == [mine]
    hospital.ris.change(lambda work: patients.unmerge(work, by(), done.ref, RULES))
    assert fhir.get(f"/ImagingStudy/{mine}")["subject"]["reference"] == "Patient/1"
    event = Event(1, "stored", mine, "", "", "", "CT1")
    hospital.ris.change(lambda work: images.take_events(work, by(), [event], RULES))
    assert fhir.get(f"/ImagingStudy/{mine}")["basedOn"] == [{"reference": "ServiceRequest/1"}]


def test_a_deleted_study_is_gone_and_said_to_be(site: Web, fhir: Client) -> None:
    site.archive.keep(ct("away", 1, 1, patient_id="P3"))
    study = uid("study", "away")
    fhir.get(f"/ImagingStudy/{study}")
    assert site.dicom_web(f"/studies/{study}?reason=test", "DELETE").status == 200
    assert issue(fhir.get(f"/ImagingStudy/{study}", 410)) == ("error", "deleted")
    assert study not in fhir.ids("/ImagingStudy")
