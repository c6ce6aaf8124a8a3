"""The simulated modality and partners that nobody here wrote: DCMTK's worklist and archive, and pynetdicom for all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    CTImageStorage,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
)
from tests.support import dcmtk
from tests.support.modality import tell
from tests.support.mpps import dataset
from tests.support.server import vesalius

from vesalius.model.entities import Peer
from vesalius.simulate.exams import load
from vesalius.simulate.fetch import Archive
from vesalius.simulate.habits import Habits, Told
from vesalius.simulate.lines import Line, Partners
from vesalius.simulate.modality import Orders, work
from vesalius.simulate.phantom import Device


def item() -> Dataset:
    """What is planned, as a worklist of another maker says it."""
    ds = dataset(
        SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Käthe", PatientID="INT-1", PatientBirthDate="19700101",
        PatientSex="F", AccessionNumber="ACC-1", StudyInstanceUID="1.2.826.0.1.3680043.9.7",
        RequestedProcedureID="RP-1", RequestedProcedureDescription="CT of a phantom", ReferringPhysicianName="",
        RequestingPhysician="", MedicalAlerts="", Allergies="",
    )  # fmt: skip
    step = dataset(
        ScheduledStationAETitle="INT1", Modality="CT", ScheduledProcedureStepID="SPS-1",
        ScheduledProcedureStepStartDate="20261124", ScheduledProcedureStepStartTime="100000",
        ScheduledPerformingPhysicianName="", ScheduledProcedureStepDescription="Head",
        ScheduledProcedureStepLocation="", PreMedication="", RequestedContrastAgent="",
    )  # fmt: skip
    ds.ScheduledProcedureStepSequence = [step]
    return ds


def test_dcmtk_plans_and_keeps_and_offers_no_more_than_that(tmp_path: Path) -> None:
    lists = tmp_path / "lists" / "WL"
    lists.mkdir(parents=True)
    (lists / "lockfile").touch()
    planned = item()
    planned.file_meta = FileMetaDataset()
    planned.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    planned.file_meta.MediaStorageSOPClassUID = ModalityWorklistInformationFind
    planned.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    planned.save_as(lists / "one.wl", enforce_file_format=True)
    port = dcmtk.free_port()
    with (
        dcmtk.background("wlmscpfs", "-dfp", tmp_path / "lists", "-dfr", str(port), port=port),
        dcmtk.dcmqrscp(tmp_path / "archive") as archive,
    ):
        done = vesalius(
            "modality", "--station", "INT1", "--worklist", f"WL@127.0.0.1:{port}", "--archive",
            f"DCMQR@127.0.0.1:{archive}", "--folder", tmp_path / "disk", "--size", "32", "--slices", "3",
            "--mpps", "none", check=False,
        )  # fmt: skip
        (exam,) = load(tmp_path / "disk")
        found = asyncio.run(Archive(Line(Peer("a", "127.0.0.1", archive, "DCMQR")), "INT1").studies(study=exam.study))
    assert done.returncode == 0, done.stderr
    assert (exam.accession, exam.study) == ("ACC-1", "1.2.826.0.1.3680043.9.7")
    assert [image.stored for image in exam.images] == [True] * 3
    assert (exam.told, exam.not_committing) == ("", "the partner offers no storage commitment")
    assert len(list((tmp_path / "disk").rglob("*.dcm"))) == 3, "nobody guaranteed anything, so nothing was deleted"
    assert [(one.patient_id, one.accession) for one in found] == [("INT-1", "ACC-1")]


@dataclass
class Everything:
    """A workflow system and archive by pynetdicom."""

    port: int = field(default_factory=dcmtk.free_port)
    scanner: int = 0  # where its results are listened for
    performed: list[tuple[str, Dataset]] = field(default_factory=list)
    images: dict[str, Dataset] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)  # to N-EVENT-REPORT

    @contextmanager
    def listening(self) -> Iterator[Everything]:
        ae = AE("PYALL")
        for context in (ModalityWorklistInformationFind, ModalityPerformedProcedureStep, CTImageStorage):
            ae.add_supported_context(context)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers: list[Any] = [
            (evt.EVT_C_FIND, self._find), (evt.EVT_N_CREATE, self._create), (evt.EVT_N_SET, self._set),
            (evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action),
        ]  # fmt: skip
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            server.shutdown()  # type: ignore[union-attr]

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, item()

    def _create(self, event: Event) -> tuple[int, Dataset]:
        self.performed.append((str(event.request.AffectedSOPInstanceUID), event.attribute_list))
        return 0x0000, event.attribute_list

    def _set(self, event: Event) -> tuple[int, Dataset]:
        self.performed.append((str(event.request.RequestedSOPInstanceUID), event.modification_list))
        return 0x0000, event.modification_list

    def _store(self, event: Event) -> int:
        ds = event.dataset
        self.images[str(ds.SOPInstanceUID)] = ds
        return 0x0000

    def _action(self, event: Event) -> tuple[int, None]:
        info = event.action_information
        named = [
            (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)) for one in info.ReferencedSOPSequence
        ]
        kept = [one for one in named if one[1] in self.images]
        lost = {one: 0x0112 for one in named if one[1] not in self.images}

        def later() -> None:
            self.answers.append(tell(self.scanner, "PYALL", str(info.TransactionUID), kept, lost))

        threading.Thread(target=later).start()
        return 0x0000, None


@pytest.mark.parametrize("fault", ["", "lost-images"])
def test_pynetdicom_as_workflow_system_and_archive(tmp_path: Path, fault: str) -> None:
    with Everything().listening() as other:
        line = Line(Peer("all", "127.0.0.1", other.port, "PYALL"))
        said: list[Told] = []

        def ready(port: int) -> None:
            other.scanner = port

        device = Device("INT1", "CT", size=32, slices=3)
        shift = asyncio.run(
            work(
                device, tmp_path, Partners(line, line, line, line), Orders(fault=fault), ready=ready,
                told=said.append, habits=Habits(linger=0.1),
            )
        )  # fmt: skip
    (exam,) = shift.done
    assert shift.left == 0 and other.answers == [0x0000]
    (begun, first), (ended, last) = other.performed
    assert begun == ended == exam.performed_uid
    assert (first.PerformedProcedureStepStatus, last.PerformedProcedureStepStatus) == ("IN PROGRESS", "COMPLETED")
    (relation,) = first.ScheduledStepAttributesSequence
    assert (relation.AccessionNumber, relation.ScheduledProcedureStepID) == ("ACC-1", "SPS-1")
    assert (str(first.PatientName), first.PatientID) == ("Müller^Käthe", "INT-1")
    (series,) = last.PerformedSeriesSequence
    assert len(series.ReferencedImageSequence) == 3
    assert len(other.images) == (2 if fault else 3)
    for ds in other.images.values():
        assert str(ds.PatientName) == "Müller^Käthe"
        assert ds.RequestAttributesSequence[0].RequestedProcedureID == "RP-1"
        assert ds.ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID == begun
    assert [image.reason for image in exam.images] == ([0, 0, 0x0112] if fault else [0, 0, 0])
    assert list(tmp_path.rglob("*.dcm")) == []
