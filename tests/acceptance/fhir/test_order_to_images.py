"""FHIR over the real service: orders that come by HL7 and by FHIR, planned, done at a scanner, their images found.

Everything goes over sockets: MLLP, HTTP, the association of a modality. Every answer is held against its model.
"""

from __future__ import annotations

import io
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (
    CTImageStorage,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
)
from tests.support.dcmtk import free_port
from tests.support.fhir import FHIR, issue, order, valid
from tests.support.generate import ct, part10, uid
from tests.support.hl7_site import adt, orm
from tests.support.mllp import Mllp
from tests.support.raw_http import RawHttp
from tests.support.server import Server, running_server, vesalius
from tests.support.stow import files, headers

PATIENCE = 60.0
CONFIG = """
[ris]
default_issuer = "H"

[hl7]
listen = true
port = {port}

[[hl7.sources]]
name = "HIS"
application = "HIS"
merges = true
"""


@dataclass
class Hospital:
    """The service, as its neighbours reach it."""

    server: Server
    hl7_port: int

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "",
        status: int = 200,
        raw: bytes | None = None,
        **named: str,
    ) -> Any:
        """A resource, after its model took it."""
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        given = {"Content-Type": FHIR} | {name.replace("_", "-"): value for name, value in named.items()}
        request = urllib.request.Request(self.server.url + path, data, given, method=method or None)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found, text, kind = answer.status, answer.read(), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            found, text, kind = error.code, error.read(), error.headers["Content-Type"]
        assert found == status, (found, text[:2000])
        assert kind == FHIR
        return valid(json.loads(text))

    def matches(self, path: str) -> list[Any]:
        return [one["resource"] for one in self.ask(path).get("entry", ()) if one["search"]["mode"] == "match"]

    def hl7(self, message: str) -> None:
        with Mllp(self.hl7_port) as connection:
            assert connection.ask(message).value("MSA", 1) == "AA"

    def stow(self, *instances: Dataset) -> None:
        body = files(*(part10(one) for one in instances))
        request = urllib.request.Request(self.server.url + "/dicom-web/studies", body, headers())
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def modality(self, *contexts: Any) -> Any:
        entity = AE("CT1")
        for context in contexts:
            entity.add_requested_context(context)
        assoc = entity.associate("127.0.0.1", self.server.dimse_port, ae_title="VESALIUS")
        assert assoc.is_established
        return assoc


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder: Path = tmp_path_factory.mktemp("fhir")
    port = free_port()
    with running_server(folder, config=CONFIG.format(port=port)) as server:
        vesalius("ris", "stations", "add", "CT1", "CT", "--department", "RAD", data=server.data)
        vesalius("ris", "procedures", "add", "CTHEAD", "CT of the head", "CT", "--scheme", "L", data=server.data)
        yield Hospital(server, port)


def test_an_order_by_hl7_is_a_service_request_and_its_images_are_its_imaging_study(hospital: Hospital) -> None:
    hospital.hl7(adt("A04", "4711^^^H^MR||Doe^Jane||19700101|F"))
    obr = "||||||||||||||||||||||^^^20270301090000"
    hospital.hl7(orm("NW", "PL1", orc="||^^^20270301090000", obr=obr))
    (patient,) = hospital.matches("/fhir/Patient?identifier=urn:vesalius:issuer:H%7C4711")
    assert patient["name"][0]["family"] == "Doe"
    (placed,) = hospital.matches("/fhir/ServiceRequest?identifier=urn:vesalius:issuer:HIS%7CPL1")
    assert placed["subject"]["reference"] == f"Patient/{patient['id']}"
    assert placed["code"]["coding"][0]["code"] == "CTHEAD"
    accession = next(one["value"] for one in placed["identifier"] if one["type"]["coding"][0]["code"] == "ACSN")
    (appointment,) = hospital.matches(f"/fhir/Appointment?based-on={placed['id']}&date=2027-03-01&actor:identifier=CT1")
    assert appointment["status"] == "booked"
    (task,) = hospital.matches(f"/fhir/Task?focus=ServiceRequest/{placed['id']}")
    study = task["output"][0]["valueReference"]["identifier"]["value"].removeprefix("urn:oid:")
    assert hospital.matches(f"/fhir/ImagingStudy?basedon={placed['id']}") == []

    images = [
        ct("hl7", 1, number, patient_id="4711", patient_name="Doe^Jane", StudyInstanceUID=study,
           AccessionNumber=accession) for number in (1, 2)
    ]  # fmt: skip
    hospital.stow(*images)
    (found,) = hospital.matches(f"/fhir/ImagingStudy?basedon=ServiceRequest/{placed['id']}")
    assert found["id"] == study
    assert found["subject"]["reference"] == f"Patient/{patient['id']}"
    assert found["basedOn"] == [{"reference": f"ServiceRequest/{placed['id']}"}]
    assert [one["uid"] for one in found["series"][0]["instance"]] == [str(one.SOPInstanceUID) for one in images]
    assert [one["id"] for one in hospital.matches("/fhir/ImagingStudy?patient.identifier=4711")] == [study]
    task = hospital.ask(f"/fhir/Task/{task['id']}")
    assert task["output"][0]["valueReference"]["reference"] == f"ImagingStudy/{study}"

    # What the endpoint says is where the images are.
    endpoint = hospital.ask(f"/fhir/{found['endpoint'][0]['reference']}")
    address = f"{endpoint['address']}/studies/{study}/metadata"
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert len(json.load(answer)) == 2


def test_an_order_by_fhir_is_on_the_worklist_and_its_task_follows_the_scanner(hospital: Hospital) -> None:
    hospital.hl7(adt("A04", "4712^^^H^MR||Roe^Ann||19800101|F"))
    station = [{"identifier": {"system": "urn:vesalius:ae-title", "value": "CT1"}}]
    code = {"coding": [{"system": "urn:vesalius:scheme:L", "code": "CTHEAD"}]}
    who = {"identifier": {"system": "urn:vesalius:issuer:H", "value": "4712"}}
    sent = order(subject=who, code=code, performer=station, occurrenceDateTime="2027-03-02T10:30:00")
    made = hospital.ask("/fhir/ServiceRequest", sent, status=201)
    assert issue(hospital.ask("/fhir/ServiceRequest", sent, status=409)) == ("error", "duplicate")
    again = hospital.ask("/fhir/ServiceRequest", sent, status=200, If_None_Exist="identifier=urn:oid:1.2.3.4|PL-1")
    assert again["id"] == made["id"]

    asked = Dataset()
    asked.PatientID, asked.PatientName, asked.AccessionNumber, asked.StudyInstanceUID = "4712", "", "", ""
    step = Dataset()
    step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate = "CT1", "20270302"
    step.ScheduledProcedureStepID, step.ScheduledProcedureStepStartTime = "", ""
    asked.ScheduledProcedureStepSequence = [step]
    assoc = hospital.modality(ModalityWorklistInformationFind, ModalityPerformedProcedureStep, CTImageStorage)
    try:
        (item,) = [
            found for status, found in assoc.send_c_find(asked, ModalityWorklistInformationFind) if found is not None
        ]
        assert item.PatientName == "Roe^Ann"
        planned = item.ScheduledProcedureStepSequence[0]
        assert planned.ScheduledProcedureStepStartTime == "103000"

        performed, instance = uid("performed", "fhir"), ct("fhir", 1, 1, patient_id="4712", patient_name="Roe^Ann")
        instance.StudyInstanceUID, instance.AccessionNumber = item.StudyInstanceUID, item.AccessionNumber
        status, _ = assoc.send_n_create(_begun(item, planned), ModalityPerformedProcedureStep, performed)
        assert status.Status == 0
        (task,) = hospital.matches(f"/fhir/Task?based-on={made['id']}")
        assert (task["status"], task["businessStatus"]["text"]) == ("in-progress", "STARTED")
        (appointment,) = hospital.matches(f"/fhir/Appointment?based-on={made['id']}")
        assert appointment["status"] == "fulfilled"

        instance.file_meta = pydicom.dcmread(io.BytesIO(part10(instance))).file_meta
        assert assoc.send_c_store(instance).Status == 0
        status, _ = assoc.send_n_set(_ended(instance), ModalityPerformedProcedureStep, performed)
        assert status.Status == 0
    finally:
        assoc.release()

    assert hospital.ask(f"/fhir/ServiceRequest/{made['id']}")["status"] == "completed"

    def complete() -> Any:
        done = hospital.ask(f"/fhir/Task/{task['id']}")
        return done if done["output"][-1].get("valueString") == "complete: 1 of 1" else None

    done = until(complete)
    assert done["status"] == "completed"
    assert done["output"][0]["valueReference"]["reference"] == f"ImagingStudy/{instance.StudyInstanceUID}"
    assert done["executionPeriod"]["start"].startswith("2027-03-02T10:31:00")
    (study,) = hospital.matches(f"/fhir/ImagingStudy?basedon.identifier={item.AccessionNumber}")
    assert study["numberOfInstances"] == 1


def _begun(item: Dataset, planned: Dataset) -> Dataset:
    made, scheduled = Dataset(), Dataset()
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = item.StudyInstanceUID, item.AccessionNumber
    scheduled.ScheduledProcedureStepID, scheduled.RequestedProcedureID = planned.ScheduledProcedureStepID, ""
    scheduled.RequestedProcedureDescription, scheduled.ScheduledProcedureStepDescription = "", ""
    scheduled.ReferencedStudySequence, scheduled.ScheduledProtocolCodeSequence = [], []
    made.ScheduledStepAttributesSequence = [scheduled]
    made.PatientID, made.PatientName = item.PatientID, item.PatientName
    made.PatientBirthDate, made.PatientSex, made.ReferencedPatientSequence = "", "", []
    made.PerformedProcedureStepID, made.PerformedStationAETitle, made.Modality = "PPS1", "CT1", "CT"
    made.PerformedStationName, made.PerformedLocation, made.StudyID = "", "", ""
    made.PerformedProcedureStepStartDate, made.PerformedProcedureStepStartTime = "20270302", "103100"
    made.PerformedProcedureStepStatus = "IN PROGRESS"
    made.PerformedProcedureStepDescription = made.PerformedProcedureTypeDescription = ""
    made.PerformedProcedureStepEndDate = made.PerformedProcedureStepEndTime = ""
    made.ProcedureCodeSequence = made.PerformedProtocolCodeSequence = made.PerformedSeriesSequence = []
    return made


def _ended(instance: Dataset) -> Dataset:
    made, series, image = Dataset(), Dataset(), Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = instance.SOPClassUID, instance.SOPInstanceUID
    series.SeriesInstanceUID, series.ProtocolName, series.SeriesDescription = instance.SeriesInstanceUID, "Head", ""
    series.PerformingPhysicianName, series.OperatorsName, series.RetrieveAETitle = "", "", ""
    series.ReferencedImageSequence, series.ReferencedNonImageCompositeSOPInstanceSequence = [image], []
    made.PerformedProcedureStepStatus = "COMPLETED"
    made.PerformedProcedureStepEndDate, made.PerformedProcedureStepEndTime = "20270302", "104500"
    made.PerformedSeriesSequence = [series]
    return made


def test_a_merge_by_hl7_is_followed(hospital: Hospital) -> None:
    hospital.hl7(adt("A04", "TEMP^^^H^MR||Unknown^Man"))
    hospital.hl7(adt("A04", "4713^^^H^MR||Poe^Max||19900101|M"))
    hospital.hl7(orm("NW", "PL3", pid="TEMP^^^H^MR||Unknown^Man"))
    (temporary,) = hospital.matches("/fhir/Patient?identifier=H%7CTEMP")
    hospital.hl7(adt("A40", "4713^^^H^MR||Poe^Max||19900101|M", "MRG|TEMP^^^H^MR"))
    (kept,) = hospital.matches("/fhir/Patient?identifier=H%7C4713")
    assert [one["id"] for one in hospital.matches("/fhir/Patient?identifier=H%7CTEMP")] == [kept["id"]]
    left = hospital.ask(f"/fhir/Patient/{temporary['id']}")
    assert left["link"] == [{"other": {"reference": f"Patient/{kept['id']}"}, "type": "replaced-by"}]
    (placed,) = hospital.matches(f"/fhir/ServiceRequest?patient=Patient/{temporary['id']}")
    assert placed["subject"]["reference"] == f"Patient/{kept['id']}"


def test_what_a_client_does_wrong_is_told_and_the_next_one_is_served(hospital: Hospital) -> None:
    before = hospital.ask("/fhir/ServiceRequest?_summary=count")["total"]
    post = "/fhir/ServiceRequest"
    for body, named, status, code in (
        (b"{", {}, 400, "structure"),
        (b"[" * 200_000, {}, 400, "structure"),
        (b"\x00\xff", {}, 400, "structure"),
        (b"<ServiceRequest/>", {"Content_Type": "application/fhir+xml"}, 415, "not-supported"),
        (json.dumps(order(status="draft")).encode(), {}, 422, "business-rule"),
        (json.dumps(order(subject={"reference": "Patient/99999"})).encode(), {}, 422, "not-found"),
        (json.dumps(order(code={"text": 1})).encode(), {}, 400, "structure"),
    ):
        assert issue(hospital.ask(post, raw=body, status=status, **named)) == ("error", code)
        hospital.ask("/fhir/metadata")
    for path, named, status, code in (
        ("/fhir/Patient/999999", {}, 404, "not-found"),
        ("/fhir/Nothing", {}, 404, "not-found"),
        ("/fhir/Patient?birthdate=tomorrow", {}, 400, "invalid"),
        ("/fhir/Patient?_format=xml", {}, 406, "not-supported"),
        ("/fhir/Patient?eyes=blue", {"Prefer": "handling=strict"}, 400, "not-supported"),
        ("/fhir/Patient?name=a%00", {}, 400, "invalid"),
        ("/fhir/Patient?name=%FF%FE", {}, 200, ""),
    ):
        told = hospital.ask(path, status=status, **named)
        assert status == 200 or issue(told) == ("error", code)
    assert issue(hospital.ask("/fhir/Patient/1", method="DELETE", status=405)) == ("error", "not-supported")
    assert hospital.ask("/fhir/ServiceRequest?_summary=count")["total"] == before


def test_a_body_larger_than_any_order_is_refused_before_it_is_sent(hospital: Hospital) -> None:
    fields = ("Host: localhost", f"Content-Type: {FHIR}", "Content-Length: 9999999", "", "")
    head = "\r\n".join(("POST /fhir/ServiceRequest HTTP/1.1", *fields))
    with socket.create_connection(("127.0.0.1", hospital.server.http_port), 30) as connection:
        connection.sendall(head.encode())
        received = b""
        while b"too-long" not in received and (piece := connection.recv(65536)):
            received += piece
    assert received.startswith(b"HTTP/1.1 413 ")


def test_a_page_of_a_stranger_can_neither_read_nor_order(hospital: Hospital) -> None:
    """The door in front of all services holds here, too: other origins, other names of this machine."""
    body = json.dumps(order()).encode()
    for method, path, fields, status in (
        ("POST", "/fhir/ServiceRequest", {"Origin": "http://evil.example", "Content-Type": FHIR}, 403),
        ("POST", "/fhir/Patient/_search", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "/fhir/Patient", {"Host": "evil.example"}, 421),
    ):
        with RawHttp(hospital.server.http_port) as http:
            http.request(method, path, fields, body if method == "POST" else b"")
            answer = http.answer()
            assert answer.status == status
            assert issue(valid(json.loads(answer.body))) == ("error", "forbidden")
