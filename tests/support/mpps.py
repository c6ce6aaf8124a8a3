"""Performed steps by pynetdicom, a second implementation: a scanner that tells of them, and a partner that is told."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
    ModalityWorklistInformationFind,
)

from tests.support.generate import uid

CT = "1.2.840.10008.5.1.4.1.1.2"


def dataset(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def question(inside: dict[str, Any] | None = None, **keys: Any) -> Dataset:
    """A worklist question with the usual keys to return."""
    names = "PatientName PatientID AccessionNumber StudyInstanceUID RequestedProcedureID RequestedProcedureDescription"
    ds = dataset(**{**dict.fromkeys([*names.split(), "PatientBirthDate", "PatientSex"], ""), **keys})
    named = "ScheduledStationAETitle ScheduledProcedureStepStartDate ScheduledProcedureStepStartTime Modality"
    more = "ScheduledProcedureStepID ScheduledProcedureStepDescription"
    ds.ScheduledProcedureStepSequence = [
        dataset(**{**dict.fromkeys([*named.split(), *more.split()], ""), **(inside or {})})
    ]
    return ds


def begun(item: Dataset | None = None, aet: str = "CT1", **elements: Any) -> Dataset:
    """What an N-CREATE says, from a worklist item or of nobody in particular."""
    relation = dataset(StudyInstanceUID=uid("study", "unscheduled"), ReferencedStudySequence=[])
    relation.AccessionNumber = relation.RequestedProcedureID = relation.RequestedProcedureDescription = ""
    relation.ScheduledProcedureStepID = relation.ScheduledProcedureStepDescription = ""
    relation.ScheduledProtocolCodeSequence = []
    ds = dataset(PatientName="", PatientID="", PatientBirthDate="", PatientSex="", ReferencedPatientSequence=[])
    if item is not None:
        step = item.ScheduledProcedureStepSequence[0]
        for name in ("StudyInstanceUID", "AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription"):
            setattr(relation, name, item.get(name, ""))
        relation.ScheduledProcedureStepID = step.ScheduledProcedureStepID
        for name in ("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
            if name in item:
                setattr(ds, name, item.get(name))
    ds.ScheduledStepAttributesSequence = [relation]
    ds.PerformedProcedureStepID = "PPS1"
    ds.PerformedStationAETitle = aet
    ds.PerformedStationName = ds.PerformedLocation = ""
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20261124", "100000"
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    ds.PerformedProcedureStepDescription = ds.PerformedProcedureTypeDescription = ""
    ds.ProcedureCodeSequence = []
    ds.PerformedProcedureStepEndDate = ds.PerformedProcedureStepEndTime = ""
    ds.Modality, ds.StudyID = "CT", ""
    ds.PerformedProtocolCodeSequence, ds.PerformedSeriesSequence = [], []
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def ended(status: str = "COMPLETED", images: tuple[str, ...] = ("one",), **elements: Any) -> Dataset:
    """What an N-SET says that ends a step."""
    series = dataset(SeriesInstanceUID=uid("series", "told"), ProtocolName="HEAD", RetrieveAETitle="")
    series.PerformingPhysicianName = series.OperatorsName = series.SeriesDescription = ""
    series.ReferencedImageSequence = [
        dataset(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=image if image[0].isdigit() else uid("told", image))
        for image in images
    ]
    series.ReferencedNonImageCompositeSOPInstanceSequence = []
    return dataset(
        PerformedProcedureStepStatus=status,
        PerformedProcedureStepEndDate="20261124",
        PerformedProcedureStepEndTime="101500",
        PerformedSeriesSequence=[series],
        **elements,
    )


@dataclass
class Scanner:
    """Calls an archive on `port`."""

    port: int
    aet: str = "CT1"

    @contextmanager
    def associated(self) -> Iterator[Association]:
        ae = AE(self.aet)
        for name in (
            ModalityWorklistInformationFind,
            ModalityPerformedProcedureStep,
            ModalityPerformedProcedureStepRetrieve,
        ):
            ae.add_requested_context(name)
        assoc = ae.associate("127.0.0.1", self.port, ae_title="VESALIUS")
        assert assoc.is_established
        try:
            yield assoc
        finally:
            assoc.release()

    def ask(self, keys: Dataset) -> list[Dataset]:
        """The worklist."""
        with self.associated() as assoc:
            answers = list(assoc.send_c_find(keys, ModalityWorklistInformationFind))
        assert answers[-1][0].Status == 0x0000
        assert {status.Status for status, _ in answers[:-1]} <= {0xFF00}
        return [found for _, found in answers[:-1] if found is not None]

    def begin(self, instance: str, ds: Dataset | None = None) -> int:
        with self.associated() as assoc:
            status, _ = assoc.send_n_create(ds or begun(aet=self.aet), ModalityPerformedProcedureStep, instance)
        return int(status.Status)

    def set(self, instance: str, ds: Dataset) -> int:
        with self.associated() as assoc:
            status, _ = assoc.send_n_set(ds, ModalityPerformedProcedureStep, instance)
        return int(status.Status)

    def get(self, instance: str, tags: list[int] | None = None) -> tuple[int, Dataset]:
        with self.associated() as assoc:
            status, ds = assoc.send_n_get(tags or [], ModalityPerformedProcedureStepRetrieve, instance)
        return int(status.Status), ds or Dataset()


@dataclass
class Partner:
    """Another system that is told of steps, and is strict: table F.7.2-1 and final states. `changes`: what it took."""

    port: int
    aet: str = "PARTNER"
    steps: dict[str, Dataset] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)  # instance, status
    refused: list[tuple[str, int]] = field(default_factory=list)
    # After a message was taken: what to do instead of answering (the answer is lost); None: answer.
    instead: Callable[[Event], None] | None = None
    status: int = 0x0000  # of every answer; other than 0000: nothing is taken
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def listening(self) -> Iterator[Partner]:
        ae = AE(self.aet)
        ae.add_supported_context(ModalityPerformedProcedureStep)
        server = ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_N_CREATE, self._create), (evt.EVT_N_SET, self._set)],  # type: ignore[list-item]
        )
        try:
            yield self
        finally:
            server.shutdown()  # type: ignore[union-attr]

    def of(self, instance: str) -> list[str]:
        """The statuses that were taken of a step, in order."""
        with self.lock:
            return [status for name, status in self.changes if name == instance]

    def _took(self, event: Event, instance: str, ds: Dataset) -> tuple[int, None]:
        self.changes.append((instance, str(ds.PerformedProcedureStepStatus)))
        instead, self.instead = self.instead, None
        if instead is not None:
            instead(event)
        return 0x0000, None

    def _refuse(self, instance: str, status: int) -> tuple[int, None]:
        self.refused.append((instance, status))
        return status, None

    def _create(self, event: Event) -> tuple[int, None]:
        instance = str(event.request.AffectedSOPInstanceUID)
        with self.lock:
            if self.status:
                return self._refuse(instance, self.status)
            ds = event.attribute_list
            if instance in self.steps:
                return self._refuse(instance, 0x0111)
            if set(begun().dir()) - set(ds.dir()):
                return self._refuse(instance, 0x0120)
            if ds.PerformedProcedureStepStatus != "IN PROGRESS":
                return self._refuse(instance, 0x0106)
            self.steps[instance] = ds
            return self._took(event, instance, ds)

    def _set(self, event: Event) -> tuple[int, None]:
        instance = str(event.request.RequestedSOPInstanceUID)
        with self.lock:
            if self.status:
                return self._refuse(instance, self.status)
            had = self.steps.get(instance)
            if had is None:
                return self._refuse(instance, 0x0112)
            if had.PerformedProcedureStepStatus != "IN PROGRESS":
                return self._refuse(instance, 0x0110)
            ds = event.modification_list
            if set(ds.dir()) - set(had.dir()):
                return self._refuse(instance, 0x0105)
            had.update(ds)
            return self._took(event, instance, ds)


def changes_of(data: Path, instance: str) -> list[str]:
    """The events of a step's life in the service's own book, in order."""
    with closing(sqlite3.connect(f"file:{data}/index.db?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT kind, detail FROM ris_event WHERE kind LIKE 'performed-%' ORDER BY id")
        return [kind for kind, detail in rows if json.loads(detail)["uid"] == instance]


def lost(event: Event) -> None:
    """The association breaks before the answer leaves."""
    event.assoc.abort()


def until(found: Callable[[], object], what: str = "", seconds: float = 60) -> object:
    """Wait for it to come true."""
    end = time.monotonic() + seconds
    while not (got := found()):
        assert time.monotonic() < end, f"did not come true in time: {what}"
        time.sleep(0.05)
    return got
