"""Small synthetic instances by code, for tests that need many or special ones."""

from __future__ import annotations

import hashlib
import random
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


def uid(*parts: object) -> str:
    """A UID that depends on the parts alone (PS3.5 B.2: 2.25 and a number of 128 bits)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def ct(
    study: object = 1,
    series: object = 1,
    instance: int = 1,
    *,
    patient_id: str = "PID-1",
    patient_name: str = "Doe^Jane",
    rows: int = 16,
    columns: int = 16,
    seed: int = 0,
    **attributes: object,
) -> Dataset:
    """One CT instance; UIDs follow from the arguments. Further attributes by keyword."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uid("instance", study, series, instance)
    ds.StudyDate = "20240131"
    ds.SeriesDate = "20240131"
    ds.ContentDate = "20240131"
    ds.StudyTime = "101500"
    ds.SeriesTime = "101600"
    ds.AccessionNumber = f"A{study}"
    ds.Modality = "CT"
    ds.Manufacturer = "Vesalius"
    ds.ReferringPhysicianName = "Roe^Richard"
    ds.StudyDescription = "HEAD"
    ds.SeriesDescription = f"Series {series}"
    ds.PatientName = patient_name
    ds.PatientID = patient_id
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "F"
    ds.StudyInstanceUID = uid("study", study)
    ds.SeriesInstanceUID = uid("series", study, series)
    ds.StudyID = "1"
    ds.SeriesNumber = str(series) if isinstance(series, int) else "1"
    ds.InstanceNumber = str(instance)
    ds.ImagePositionPatient = [0, 0, instance]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID = uid("frame of reference", study)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = rows
    ds.Columns = columns
    ds.PixelSpacing = [1, 1]
    ds.BitsAllocated = 16
    ds.BitsStored = 12
    ds.HighBit = 11
    ds.PixelRepresentation = 0
    ds.RescaleIntercept = "-1024"
    ds.RescaleSlope = "1"
    ds.PixelData = random.Random(f"{study}/{series}/{instance}/{seed}").randbytes(rows * columns * 2)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def part10(ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The instance as a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    file = FileDataset("", ds, file_meta=meta, preamble=b"\0" * 128)
    out = BytesIO()
    dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def write_study(
    folder: Path, *, study: object = 1, series: int = 1, instances: int = 3, **kwargs: object
) -> list[Path]:
    """A small study as files; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for s in range(1, series + 1):
        for n in range(1, instances + 1):
            path = folder / f"{study}-{s}-{n}.dcm"
            path.write_bytes(part10(ct(study, s, n, **kwargs)))  # type: ignore[arg-type]
            paths.append(path)
    return paths
