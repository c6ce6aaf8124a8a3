"""Workitems for tests: as decoded values and as pydicom data sets."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vesalius.model import workitems as w
from vesalius.model.entities import Values

LABEL = "DEFAULT"
STATION: Values = {0x00080100: ("CAD1",), 0x00080102: ("99HOUSE",), 0x00080104: ("CAD station 1",)}
_PERFORMED: Values = {
    0x00404028: (STATION,),
    0x00404050: ("20260101100000",),
    0x00404051: ("20260101101500",),
    0x00404019: (STATION,),
    0x00404033: (),
}
DONE: Values = {w.PERFORMED: (_PERFORMED,)}


def values(**more: tuple[Any, ...]) -> Values:
    """A workitem as it may be created."""
    made: Values = {
        w.TRANSACTION_UID: (),
        w.PRIORITY: ("MEDIUM",),
        w.LABEL: ("Lung CAD",),
        w.WORKLIST_LABEL: ("CAD",),
        w.START: ("20260101093000",),
        w.READINESS: ("READY",),
        w.STATE: ("SCHEDULED",),
        w.PATIENT_NAME: ("Doe^Jane",),
        w.PATIENT_ID: ("P1",),
        w.STATION_NAMES: (STATION,),
    }
    for tag in w.TYPE_2:
        made.setdefault(tag, ())
    return made | {int(key.lstrip("t"), 16): value for key, value in more.items()}


def code(value: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, "99HOUSE", meaning
    return ds


def dataset(patient: str = "P1", name: str = "Doe^Jane", label: str = "CAD", **more: Any) -> Dataset:
    """The same for pydicom: every attribute of type 1 and 2 of N-CREATE."""
    ds = Dataset()
    ds.TransactionUID = ""
    ds.ScheduledProcedureStepPriority = "MEDIUM"
    ds.ProcedureStepLabel = "Lung CAD"
    ds.WorklistLabel = label
    ds.ScheduledProcedureStepStartDateTime = "20260101093000"
    ds.InputReadinessState = "READY"
    ds.ProcedureStepState = "SCHEDULED"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = name, patient, ""
    ds.PatientBirthDate, ds.PatientSex, ds.AdmissionID, ds.StudyInstanceUID = "19800101", "F", "", ""
    ds.ScheduledStationNameCodeSequence = Sequence([code("CAD1", "CAD station 1")])
    for empty in (
        "ScheduledProcessingParametersSequence",
        "ScheduledStationClassCodeSequence",
        "ScheduledStationGeographicLocationCodeSequence",
        "ScheduledWorkitemCodeSequence",
        "InputInformationSequence",
        "ReferencedRequestSequence",
        "ProcedureStepProgressInformationSequence",
        "UnifiedProcedureStepPerformedProcedureSequence",
    ):
        setattr(ds, empty, Sequence())
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def performed() -> Dataset:
    """What an N-SET brings before the workitem is completed."""
    item = Dataset()
    item.PerformedStationNameCodeSequence = Sequence([code("CAD1", "CAD station 1")])
    item.PerformedWorkitemCodeSequence = Sequence([code("110004", "Computer Aided Detection")])
    item.PerformedProcedureStepStartDateTime = "20260101100000"
    item.PerformedProcedureStepEndDateTime = "20260101101500"
    item.OutputInformationSequence = Sequence()
    ds = Dataset()
    ds.UnifiedProcedureStepPerformedProcedureSequence = Sequence([item])
    return ds
