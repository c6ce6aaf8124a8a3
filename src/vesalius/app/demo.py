"""Something to look at for a first start: real studies if they lie beside the source, else phantoms made by code.

The phantoms are pictures of ellipses under names that nobody bears; their UIDs are fixed, so that loading them twice
changes nothing.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

# Folders of the shared data that hold studies; broken files, worklists and messages are for tests.
REAL = ("ct-series", "mr-series", "pet-ct", "multiframe", "single-frame", "sr-ko-pr-seg-rt", "transfer-syntaxes")
SIZE = 128


def real_studies() -> list[Path]:
    """The folders of real studies beside the source tree or the working directory; none where there are none."""
    named = os.environ.get("VESALIUS_SHARED")
    roots = [Path(named)] if named else [Path(__file__).resolve().parents[4] / "shared", Path.cwd().parent / "shared"]
    for root in roots:
        folders = [root / "data" / name for name in REAL if (root / "data" / name).is_dir()]
        if folders:
            return folders
    return []


def _uid(*parts: object) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, repr(('vesalius demo', *parts))).int}"


def _slice(position: float, contrast: float) -> Any:
    """A head-like phantom at a position from -1 (bottom) to 1 (top): skull, brain, ventricles."""
    import numpy as np

    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    shrink = max(0.05, 1 - position * position) ** 0.5
    picture = np.full((SIZE, SIZE), -1000.0)
    for width, height, top, left, value in (
        (0.75, 0.92, 0.0, 0.0, 900.0),
        (0.69, 0.86, 0.0, 0.0, 35.0),
        (0.11, 0.31, -0.05, 0.22, 5.0),
        (0.11, 0.31, -0.05, -0.22, 5.0),
        (0.08, 0.08, 0.45, 0.1, 35.0 + 40 * contrast),
    ):
        inside = ((x - left) / (width * shrink)) ** 2 + ((y - top) / (height * shrink)) ** 2 <= 1
        picture[inside] = value
    return (picture + 1024).clip(0, 4095).astype("<u2")


def write_studies(folder: Path) -> int:
    """Write a CT, an MR and a CR study of three invented patients as DICOM files; gives their number."""
    studies = (
        ("CT", "1.2.840.10008.5.1.4.1.1.2", "Phantom^Ada^^Dr.", "DEMO-1", "CT HEAD", 2, 20),
        ("MR", "1.2.840.10008.5.1.4.1.1.4", "Phantom^Émile", "DEMO-2", "MR BRAIN", 3, 16),
        (
            "CR",
            "1.2.840.10008.5.1.4.1.1.1",
            "Phantom^Hanako=幻影^花子=げんえい^はなこ",
            "DEMO-3",
            "SKULL",
            1,
            2,
        ),
    )
    count = 0
    for number, (modality, sop_class, name, patient_id, description, series, slices) in enumerate(studies, 1):
        for s in range(1, series + 1):
            for n in range(1, slices + 1):
                ds = _instance(modality, sop_class, name, patient_id, description, number, s, n, slices)
                _write(ds, folder / f"{modality}-{s}-{n:03}.dcm")
                count += 1
    return count


def _instance(
    modality: str, sop_class: str, name: str, patient_id: str, text: str, study: int, series: int, n: int, of: int
) -> Any:
    from pydicom.dataset import Dataset

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = _uid("instance", study, series, n)
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = f"2024031{study}"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = f"{study + 7:02}1500"
    ds.AccessionNumber = f"DEMO-A{study}"
    ds.Modality = modality
    ds.Manufacturer = "Vesalius (made by code, nobody's picture)"
    ds.StudyDescription = text
    ds.SeriesDescription = f"Phantom {series}"
    ds.ReferringPhysicianName = "Nobody^Rita"
    ds.PatientName = name
    ds.PatientID = patient_id
    ds.PatientBirthDate = f"19{50 + study * 10}0101"
    ds.PatientSex = "OFF"[study - 1]
    ds.StudyInstanceUID = _uid("study", study)
    ds.SeriesInstanceUID = _uid("series", study, series)
    ds.StudyID = str(study)
    ds.SeriesNumber = series
    ds.InstanceNumber = n
    if modality != "CR":
        ds.FrameOfReferenceUID = _uid("frame of reference", study)
        ds.ImagePositionPatient = [-120, -120, n * 5]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.SliceThickness = 5
    ds.PixelSpacing = [1.9, 1.9]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = SIZE
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    if modality == "CT":
        ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
    ds.WindowCenter, ds.WindowWidth = 1064, 200
    ds.PixelData = _slice(2 * n / (of + 1) - 1, series - 1).tobytes()
    return ds


def _write(ds: Any, path: Path) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, FileDataset(str(path), ds, file_meta=meta, preamble=b"\0" * 128), enforce_file_format=True)
