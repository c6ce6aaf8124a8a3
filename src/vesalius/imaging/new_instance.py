"""What every instance that we make has: patient and study of its source, a series of its own, who made it and when.

The bytes go through `archive/ingest` like those of any other sender. Writing is strict: Explicit VR Little Endian,
UTF-8, and nothing is copied that the source does not say.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from vesalius.archive.ingest import Ingest
from vesalius.imaging.dataset_values import value
from vesalius.model.entities import Claim, Provenance, Receipt
from vesalius.model.identifiers import new_uid
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

MANUFACTURER, MODEL = "Vesalius", "Vesalius"
WAIT_SECONDS = 60.0

# Of the patient and the study: taken over as they stand in the source.
_TAKEN = (
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "PatientBirthDate",
    "PatientSex", "OtherPatientIDsSequence", "PatientAge", "PatientSize", "PatientWeight", "StudyInstanceUID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "StudyDescription",
)  # fmt: skip
# Type 2: present even where the source is silent.
_NEEDED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
           "ReferringPhysicianName", "StudyID", "AccessionNumber")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """Who makes an instance, when, and with what."""

    who: str  # a person's name in the form of PN, or of a program
    at: datetime
    version: str = ""
    description: str = ""  # of the series
    series: str = field(default_factory=new_uid)
    instance: str = field(default_factory=new_uid)


def new_instance(source: Dataset, sop_class: str, modality: str, made: Made) -> Dataset:
    """The beginning of an instance in the study of `source`."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _TAKEN:
        found = value(source, keyword)
        if found not in (None, ""):
            setattr(ds, keyword, found)
        elif keyword in _NEEDED:
            setattr(ds, keyword, "")
    day, hour = made.at.strftime("%Y%m%d"), made.at.strftime("%H%M%S.%f")
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, made.instance, modality
    ds.InstanceCreationDate, ds.InstanceCreationTime, ds.ContentDate, ds.ContentTime = day, hour, day, hour
    ds.SeriesInstanceUID, ds.SeriesDate, ds.SeriesTime, ds.SeriesNumber = made.series, day, hour, 9000
    if made.description:
        ds.SeriesDescription = made.description
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL
    ds.DeviceSerialNumber, ds.SoftwareVersions, ds.Laterality = "1", made.version or "0", ""
    return ds


def code(value_: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value_, scheme, meaning
    return item


def encoded(ds: Dataset) -> bytes:
    """The data set in Explicit VR Little Endian, without file meta information."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, ds)
    return bytes(stream.getvalue())


def part10(ds: Dataset) -> bytes:
    """The instance as a DICOM file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(EXPLICIT_LE)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def keep(ds: Dataset, ingest: Ingest, how: str, who: str = "") -> Receipt:
    """Store an instance of our own making: through the door that every instance comes through. Blocks.

    Raises what refuses it.
    """
    claim = Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), EXPLICIT_LE)
    reception = ingest.receive(claim, Provenance(how, calling_aet=who))
    reception.write(encoded(ds))
    return reception.finish().result(WAIT_SECONDS)
