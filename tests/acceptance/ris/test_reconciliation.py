"""Patient information reconciliation (IHE PIR) over real sockets: images stored, asked for, fetched and looked at.

Every way out must say the same: C-FIND and QIDO-RS, C-GET and WADO-RS, metadata, export. What was received stays.
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)
from tests.support.generate import ct
from tests.support.server import Server, listing, running_server, vesalius

NOW = datetime.now(UTC)
TODAY = NOW.strftime("%Y%m%d")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("pir")
    with running_server(folder) as running:
        data = running.data
        vesalius("ris", "stations", "add", "CT1", "CT", "--department", "RAD", data=data)
        vesalius("ris", "procedures", "add", "CTHEAD", "CT of the head", "CT", data=data)
        yield running


class Site:
    """What a modality, a workstation and the desk do."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def cli(self, *words: str) -> None:
        vesalius("ris", *words, data=self.server.data)

    def rows(self, *words: str) -> list[dict[str, Any]]:
        return listing("ris", *words, data=self.server.data)

    def order(self, patient_id: str) -> dict[str, Any]:
        return self.rows("orders", "add", patient_id, "CTHEAD")[0]

    def store(self, *instances: Dataset) -> None:
        ae = AE("CT1")
        ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        assoc = ae.associate("127.0.0.1", self.server.dimse_port, ae_title="VESALIUS")
        assert assoc.is_established
        for ds in instances:
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
            assert assoc.send_c_store(ds).Status == 0
        assoc.release()

    def find(self, **keys: str) -> list[Dataset]:
        ae = AE("WS")
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        assoc = ae.associate("127.0.0.1", self.server.dimse_port, ae_title="VESALIUS")
        question = Dataset()
        question.SpecificCharacterSet = "ISO_IR 192"
        question.QueryRetrieveLevel = "STUDY"
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID"):
            setattr(question, keyword, keys.get(keyword, ""))
        found = assoc.send_c_find(question, StudyRootQueryRetrieveInformationModelFind)
        answers = [answer for _, answer in found if answer is not None]
        assoc.release()
        return answers

    def get(self, study: str) -> list[Dataset]:
        """C-GET."""
        received: list[Dataset] = []

        def keep(event: Any) -> int:
            ds = event.dataset
            ds.file_meta = event.file_meta
            received.append(ds)
            return 0

        ae = AE("WS")
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
        ae.add_requested_context(CTImageStorage)
        assoc = ae.associate(
            "127.0.0.1", self.server.dimse_port, ae_title="VESALIUS",
            ext_neg=[build_role(CTImageStorage, scp_role=True)], evt_handlers=[(evt.EVT_C_STORE, keep)],
        )  # fmt: skip
        question = Dataset()
        question.QueryRetrieveLevel = "STUDY"
        question.StudyInstanceUID = study
        statuses = [
            status.Status for status, _ in assoc.send_c_get(question, StudyRootQueryRetrieveInformationModelGet)
        ]
        assoc.release()
        assert statuses[-1] == 0
        return received

    def wado(self, study: str) -> list[Dataset]:
        """WADO-RS."""
        request = urllib.request.Request(
            f"{self.server.url}/dicom-web/studies/{study}",
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
            parts = message_from_bytes(head + answer.read()).get_payload()
        return [pydicom.dcmread(io.BytesIO(part.get_payload(decode=True))) for part in parts]  # type: ignore[union-attr]

    def metadata(self, study: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.server.url}/dicom-web/studies/{study}/metadata", headers={"Accept": "application/dicom+json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return list(json.loads(answer.read()))

    def picture(self, study: str, known: str = "") -> tuple[int, str]:
        """An annotated picture of the first instance: status and entity tag."""
        uids = self.metadata(study)[0]
        series, uid = uids["0020000E"]["Value"][0], uids["00080018"]["Value"][0]
        request = urllib.request.Request(
            f"{self.server.url}/dicom-web/studies/{study}/series/{series}/instances/{uid}/rendered?annotation=patient",
            headers={"Accept": "image/png", **({"If-None-Match": known} if known else {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers["ETag"]
        except urllib.error.HTTPError as error:
            return error.code, error.headers["ETag"]

    def items(self, study: str, state: str = "open") -> list[dict[str, Any]]:
        return [row for row in self.rows("reconcile", "list", "--state", state) if row["study"] == study]

    def item(self, study: str, state: str = "open") -> dict[str, Any]:
        until(lambda: self.items(study, state))
        return self.items(study, state)[0]

    def seen(self, study: str) -> set[tuple[str, str, str]]:
        """(Patient ID, name, accession number) on every way out; one where they agree."""
        found = set()
        for ds in [*self.get(study), *self.wado(study), *self.find(StudyInstanceUID=study)]:
            found.add((str(ds.PatientID), str(ds.PatientName), str(ds.AccessionNumber)))
        for one in self.metadata(study):
            found.add(
                (
                    one["00100020"]["Value"][0],
                    "=".join(one["00100010"]["Value"][0].values()),
                    one["00080050"]["Value"][0] if "Value" in one["00080050"] else "",
                )
            )
        return found


def until(condition: Callable[[], Any], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.25)


@pytest.fixture
def site(server: Server) -> Site:
    return Site(server)


def image(study: str, patient_id: str, name: str, instance: int = 1, **fields: Any) -> Dataset:
    today = {"StudyDate": TODAY, "StudyTime": NOW.strftime("%H%M%S")}
    return ct(
        study, 1, instance, patient_id=patient_id, patient_name=name, **({"AccessionNumber": ""} | today | fields)
    )


def originals(ds: Dataset) -> dict[str, str]:
    """What the Original Attributes Sequence says was there before."""
    found: dict[str, str] = {}
    for item in ds.OriginalAttributesSequence:
        assert item.ModifyingSystem == "VESALIUS"
        assert item.ReasonForTheAttributeModification in ("COERCE", "CORRECT")
        for element in item.ModifiedAttributesSequence[0]:
            found.setdefault(element.keyword, str(element.value or ""))
    return found


def test_images_with_a_mistyped_id_are_proposed_repaired_on_every_way_out_and_given_back(site: Site) -> None:
    site.cli("patients", "add", "P1234567", "Roe^Richard", "--birth-date", "19601224", "--sex", "M")
    order = site.order("P1234567")
    sent = [image("typo", "P1234576", "Roe^Richard", n, PatientBirthDate="19601224", PatientSex="M") for n in (1, 2, 3)]
    site.store(*sent)
    study = sent[0].StudyInstanceUID
    item = site.item(study)
    assert item["trouble"] == "no-order"
    best = site.rows("reconcile", "show", str(item["item"]))[0]
    assert best["order"] == order["order"] and best["score"] >= 50
    assert any("differs in one character" in why for why in best["why"])

    _, tag = site.picture(study)
    assert site.picture(study, tag)[0] == 304
    site.cli("reconcile", "repair", str(item["item"]), "--order", str(order["order"]), "--why", "typed at the console")
    assert site.picture(study, tag)[0] == 200  # another name stands on it now
    assert site.seen(study) == {("P1234567", "Roe^Richard", order["accession"])}
    assert [str(ds.StudyInstanceUID) for ds in site.find(PatientID="P1234567")] == [study]
    assert site.find(PatientID="P1234576") == []
    for ds in site.get(study):
        assert originals(ds) == {"PatientID": "P1234576", "AccessionNumber": "", "ReferringPhysicianName": ""} or (
            originals(ds) == {"PatientID": "P1234576", "AccessionNumber": ""}
        )
        before = next(one for one in sent if one.SOPInstanceUID == ds.SOPInstanceUID)
        assert ds.PixelData == before.PixelData
        del ds.OriginalAttributesSequence
        ds.PatientID, ds.AccessionNumber = before.PatientID, before.AccessionNumber
        assert ds == before

    # An image of the study that comes later, with the ID that was typed, is answered like the others.
    site.store(image("typo", "P1234576", "Roe^Richard", 4, PatientBirthDate="19601224", PatientSex="M"))
    assert len(site.get(study)) == 4
    assert site.seen(study) == {("P1234567", "Roe^Richard", order["accession"])}

    folder = site.server.data.parent / "medium"
    vesalius("export", folder, "--study", study, data=site.server.data)
    written = [pydicom.dcmread(path) for path in folder.rglob("IM*")]
    assert {str(ds.PatientID) for ds in written} == {"P1234567"}

    site.cli("reconcile", "undo", str(item["item"]))
    assert site.seen(study) == {("P1234576", "Roe^Richard", "")}
    assert all("OriginalAttributesSequence" not in ds for ds in site.get(study))
    assert next(ds for ds in site.get(study) if ds.SOPInstanceUID == sent[0].SOPInstanceUID) == sent[0]


def test_an_unidentified_patient_is_named_later_and_the_images_say_so(site: Site) -> None:
    site.cli("patients", "add", "EMERG-1", "Unknown^Male", "--unidentified")
    order = site.order("EMERG-1")
    ds = image("emergency", "EMERG-1", "Unknown^Male", AccessionNumber=order["accession"])
    ds.StudyInstanceUID = order["study"]
    ds.PatientBirthDate = ""
    ds.SpecificCharacterSet = "ISO_IR 100"
    site.store(ds)
    site.cli("patients", "add", "EMERG-1", "Yamada^Tarou=山田^太郎=やまだ^たろう", "--birth-date", "19800229")
    assert site.seen(order["study"]) == {("EMERG-1", "Yamada^Tarou=山田^太郎=やまだ^たろう", order["accession"])}
    got = site.get(order["study"])[0]
    assert (got.PatientBirthDate, got.SpecificCharacterSet) == ("19800229", "ISO_IR 192")
    assert originals(got)["PatientName"] == "Unknown^Male"
    assert [str(found.StudyInstanceUID) for found in site.find(PatientName="山田*")] == [order["study"]]
    assert site.items(order["study"]) == []


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_merge_before_during_and_after_the_images(site: Site, when: str) -> None:
    keep, gone = f"KEEP-{when}", f"TEMP-{when}"
    site.cli("patients", "add", keep, "Doe^Jane", "--birth-date", "19700101", "--sex", "F")
    site.cli("patients", "add", gone, "Unknown^Female", "--sex", "F")
    order = site.order(gone)
    images = [
        image(f"merge {when}", gone, "Unknown^Female", n, AccessionNumber=order["accession"]) for n in range(1, 5)
    ]
    for ds in images:
        ds.StudyInstanceUID = order["study"]

    def merge() -> None:
        site.cli("patients", "merge", keep, gone, "--why", "identified")

    if when == "before":
        merge()
        site.store(*images)
    elif when == "during":
        site.store(*images[:2])
        merge()
        site.store(*images[2:])
    else:
        site.store(*images)
        merge()
    wanted = {(keep, "Doe^Jane", order["accession"])}
    until(lambda: site.seen(order["study"]) == wanted)
    assert len(site.get(order["study"])) == 4
    assert {originals(ds)["PatientID"] for ds in site.get(order["study"])} == {gone}
    assert site.items(order["study"]) == []
    assert site.find(PatientID=gone) == []


def test_an_unmerge_gives_the_images_back(site: Site) -> None:
    site.cli("patients", "add", "U-KEEP", "Doe^Jane")
    site.cli("patients", "add", "U-GONE", "Roe^Rita")
    order = site.order("U-GONE")
    ds = image("unmerge", "U-GONE", "Roe^Rita", AccessionNumber=order["accession"])
    ds.StudyInstanceUID = order["study"]
    site.store(ds)
    site.cli("patients", "merge", "U-KEEP", "U-GONE")
    assert site.seen(order["study"]) == {("U-KEEP", "Doe^Jane", order["accession"])}
    merged = [row for row in site.rows("events") if row["kind"] == "patient-merged"][-1]
    site.cli("patients", "unmerge", merged["detail"]["merge"])
    assert site.seen(order["study"]) == {("U-GONE", "Roe^Rita", order["accession"])}
    assert "OriginalAttributesSequence" not in site.get(order["study"])[0]


def test_images_for_a_cancelled_order_and_for_another_patient_are_on_the_list(site: Site) -> None:
    site.cli("patients", "add", "C-1", "Doe^Carl")
    site.cli("patients", "add", "C-2", "Poe^Dora")
    cancelled, other = site.order("C-1"), site.order("C-2")
    site.cli("orders", "cancel", str(cancelled["order"]))
    first = image("cancelled", "C-1", "Doe^Carl", AccessionNumber=cancelled["accession"])
    second = image("other", "C-1", "Doe^Carl", AccessionNumber=other["accession"])
    site.store(first, second)
    assert site.item(first.StudyInstanceUID)["trouble"] == "cancelled-order"
    wrong = site.item(second.StudyInstanceUID)
    assert (wrong["trouble"], wrong["order"]) == ("wrong-patient", other["order"])
    site.cli("reconcile", "accept", str(site.item(first.StudyInstanceUID)["item"]), "--why", "done all the same")
    assert site.items(first.StudyInstanceUID) == []


def test_a_repair_outlives_a_reindex(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        site = Site(server)
        vesalius("ris", "procedures", "add", "CTHEAD", "CT of the head", "CT", data=server.data)
        site.cli("patients", "add", "R-1", "Doe^Jane", "--birth-date", "19700101", "--sex", "F")
        order = site.order("R-1")
        ds = image("reindex", "X-1", "Doe^Jane")
        site.store(ds)
        study = ds.StudyInstanceUID
        site.cli("reconcile", "repair", str(site.item(study)["item"]), "--order", str(order["order"]))
        assert site.seen(study) == {("R-1", "Doe^Jane", order["accession"])}
    vesalius("reindex", data=server.data)
    with running_server(tmp_path) as server:
        site = Site(server)
        assert site.seen(study) == {("R-1", "Doe^Jane", order["accession"])}
        site.cli("reconcile", "undo", str(site.item(study, "repaired")["item"]))
        assert site.seen(study) == {("X-1", "Doe^Jane", "")}
