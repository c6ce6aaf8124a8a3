"""A phantom whose every voxel is known: a body of water with bone, fat, lung and a hot lesion, in patient space.

What is where is a function of the point in LPS mm (`material`), so a scan on any grid has known values, and two scans
on different grids show the same body. Scans are whole series of pydicom data sets as scanners write them (classic CT,
MR and PET, enhanced MR, segmentation, RT dose, parametric map), with the oddities that a test asks for. The body
is asymmetric in every direction: a flip of any axis shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    ParametricMapStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    SegmentationStorage,
)

from tests.support.generate import part10, uid

Array = npt.NDArray[Any]

AIR, FAT, WATER, BONE, LUNG = 0, 1, 2, 3, 4
HU = np.array((-1000, -100, 0, 1000, -800))
BACKGROUND_BQ_ML, LESION_BQ_ML = 2500.0, 20000.0
PET_SLOPES = (1.0, 1.25, 2.0, 2.5, 0.625, 3.125, 5.0, 6.25)  # every activity is a whole number of each
# Centre (LPS mm) and radius of what is in the body; the last that holds a point wins.
BODY = ((0.0, 0.0), (70.0, 45.0))  # an elliptic cylinder along z
PARTS: tuple[tuple[tuple[float, float, float], float, int], ...] = (
    ((-30.0, -12.0, 5.0), 18.0, LUNG),
    ((32.0, 14.0, -8.0), 12.0, BONE),
    ((10.0, -22.0, 12.0), 9.0, FAT),
)
LESION = ((32.0, 14.0, -8.0), 12.0)  # in PET: where the bone is


def material(points: Array) -> npt.NDArray[np.intp]:
    """What is at points (..., 3) in LPS mm."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    (cx, cy), (rx, ry) = BODY
    found = np.where(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1, WATER, AIR)
    for (px, py, pz), radius, what in PARTS:
        found = np.where((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2 <= radius**2, what, found)
    return found


def hounsfield(points: Array) -> Array:
    """HU at points in LPS mm."""
    return HU[material(points)]


def activity(points: Array) -> Array:
    """Bq/ml at points in LPS mm: none in air, a background in the body, much in the lesion."""
    (x, y, z), radius = LESION
    hot = ((points - (x, y, z)) ** 2).sum(axis=-1) <= radius**2
    return np.where(hot, LESION_BQ_ML, np.where(material(points) == AIR, 0.0, BACKGROUND_BQ_ML))


@dataclass(frozen=True)
class Scan:
    """Where the voxels of a scan lie."""

    rows: int = 48
    columns: int = 64
    slices: int = 12
    between_rows: float = 2.5  # mm
    between_columns: float = 2.75
    step: float = 4.0  # mm along the normal
    along_row: tuple[float, float, float] = (1.0, 0.0, 0.0)
    along_column: tuple[float, float, float] = (0.0, 1.0, 0.0)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the whole grid, LPS mm
    tilt: float = 0.0  # degrees: each slice lies further along the columns than the one before

    @property
    def normal(self) -> Array:
        return np.cross(self.along_row, self.along_column)

    @property
    def affine(self) -> Array:
        """(i, j, k, 1) to LPS mm."""
        affine = np.eye(4)
        affine[:3, 0] = np.array(self.along_row) * self.between_columns
        affine[:3, 1] = np.array(self.along_column) * self.between_rows
        affine[:3, 2] = self.normal * self.step
        affine[:3, 2] += np.array(self.along_column) * self.step * math.tan(math.radians(self.tilt))
        middle = (np.array((self.columns, self.rows, self.slices)) - 1) / 2
        affine[:3, 3] = np.array(self.centre) - affine[:3, :3] @ middle
        return affine

    def points(self) -> Array:
        """The centre of every voxel (slices, rows, columns, 3), LPS mm."""
        k, j, i = np.meshgrid(np.arange(self.slices), np.arange(self.rows), np.arange(self.columns), indexing="ij")
        return np.stack((i, j, k), axis=-1) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def position(self, place: float) -> Array:
        """Image Position (Patient) of slice `place`."""
        return self.affine[:3, 3] + self.affine[:3, 2] * place


def oblique(scan: Scan | None = None) -> Scan:
    """A scan turned about all three axes."""
    a, b, c = 0.3, -0.2, 0.45
    rx = np.array(((1, 0, 0), (0, math.cos(a), -math.sin(a)), (0, math.sin(a), math.cos(a))))
    ry = np.array(((math.cos(b), 0, math.sin(b)), (0, 1, 0), (-math.sin(b), 0, math.cos(b))))
    rz = np.array(((math.cos(c), -math.sin(c), 0), (math.sin(c), math.cos(c), 0), (0, 0, 1)))
    turned = rx @ ry @ rz
    return replace(scan or Scan(), along_row=tuple(turned[:, 0]), along_column=tuple(turned[:, 1]))


CORONAL = Scan(along_row=(1.0, 0.0, 0.0), along_column=(0.0, 0.0, -1.0))
SAGITTAL = Scan(along_row=(0.0, 1.0, 0.0), along_column=(0.0, 0.0, -1.0))


def decimal(value: float) -> str:
    """A DS of at most 16 characters (PS3.5 6.2)."""
    text = repr(float(value) + 0.0)
    return text if len(text) <= 16 else f"{value:.9f}"[:16] if abs(value) < 1e4 else f"{value:.6g}"


def _common(modality: str, sop_class: str, study: object, series: object, number: int, frame: object) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid("phantom", study, series, number)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240131"
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime = "101500", "101600", "101600"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "PH1", modality, "Vesalius"
    ds.StudyDescription, ds.SeriesDescription = "PHANTOM", f"{modality} {series}"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Water", "PHANTOM", "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("phantom study", study), uid("phantom series", study, series)
    ds.FrameOfReferenceUID = uid("phantom frame", study if frame is None else frame)
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", "1", str(number)
    return ds


def _plane(ds: Dataset, scan: Scan, place: float) -> None:
    ds.ImagePositionPatient = [decimal(value) for value in scan.position(place)]
    ds.ImageOrientationPatient = [decimal(value) for value in (*scan.along_row, *scan.along_column)]
    ds.PixelSpacing = [decimal(scan.between_rows), decimal(scan.between_columns)]
    ds.SliceThickness = decimal(scan.step)


def _pixels(ds: Dataset, stored: Array, bits: int = 16, *, signed: bool) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.BitsAllocated = 8 if bits <= 8 else 16 if bits <= 16 else 32
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(signed)
    cells = stored.astype(f"<{'i' if signed else 'u'}{ds.BitsAllocated // 8}")
    if bits < ds.BitsAllocated:
        cells = cells & ((1 << bits) - 1) if not signed else cells
    ds.PixelData = cells.tobytes() + b"\0" * (cells.nbytes % 2)


def ct(
    scan: Scan | None = None,
    *,
    study: object = 1,
    series: object = "ct",
    slope: float = 1.0,
    intercept: float = -1024.0,
    signed: bool = False,
    bits: int = 16,
    frame: object = None,
    first_number: int = 1,
    each: Callable[[Dataset, int], None] | None = None,
) -> list[Dataset]:
    """A CT of the phantom; `each` changes an instance by its place along the normal."""
    scan = scan or Scan()
    values = hounsfield(scan.points())
    found = []
    for place in range(scan.slices):
        ds = _common("CT", CTImageStorage, study, series, first_number + place, frame)
        _plane(ds, scan, place)
        _pixels(ds, np.rint((values[place] - intercept) / slope), bits, signed=signed)
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = decimal(intercept), decimal(slope), "HU"
        ds.KVP, ds.ConvolutionKernel = "120", "B30f"
        if each is not None:
            each(ds, place)
        found.append(ds)
    return found


def pet(scan: Scan | None = None, *, study: object = 1, series: object = "pt", frame: object = None) -> list[Dataset]:
    """A PET of the phantom in Bq/ml: each slice has its own slope, and all that SUV needs is there."""
    scan = scan or Scan(rows=32, columns=32, slices=10, between_rows=5.0, between_columns=5.0, step=5.0)
    values = activity(scan.points())
    found = []
    for place in range(scan.slices):
        ds = _common("PT", PositronEmissionTomographyImageStorage, study, series, place + 1, frame)
        _plane(ds, scan, place)
        slope = PET_SLOPES[place % len(PET_SLOPES)]
        _pixels(ds, np.rint(values[place] / slope), 16, signed=True)
        ds.RescaleIntercept, ds.RescaleSlope = "0", decimal(slope)
        ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["DECY", "ATTN", "SCAT"]
        ds.SeriesType, ds.ImageIndex = ["WHOLE BODY", "IMAGE"], place + 1
        ds.PatientWeight, ds.PatientSize = "70", "1.75"
        ds.FrameReferenceTime, ds.ActualFrameDuration = "0", "120000"
        dose = Dataset()
        dose.RadiopharmaceuticalStartTime, dose.RadionuclideTotalDose = "091600", "350000000"
        dose.RadionuclideHalfLife = "6586.2"
        ds.RadiopharmaceuticalInformationSequence = Items([dose])
        found.append(ds)
    return found


def mr(
    scan: Scan | None = None,
    *,
    study: object = 1,
    series: object = "mr",
    echoes: Sequence[float] = (5.0,),
    frame: object = None,
) -> list[Dataset]:
    """A classic MR of the phantom, a volume for each echo: the material times 100, plus the number of the echo."""
    scan = scan or Scan()
    values = material(scan.points()) * 100
    found = []
    for echo, time in enumerate(echoes, start=1):
        for place in range(scan.slices):
            number = place * len(echoes) + echo
            ds = _common("MR", MRImageStorage, study, series, number, frame)
            _plane(ds, scan, place)
            _pixels(ds, values[place] + echo, 12, signed=False)
            ds.EchoTime, ds.EchoNumbers, ds.SpacingBetweenSlices = decimal(time), str(echo), decimal(scan.step)
            found.append(ds)
    return found


def _group(**attributes: object) -> Items:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Items([item])


def enhanced_mr(
    scan: Scan | None = None, *, study: object = 1, series: object = "emr", b_values: Sequence[float] = (0.0, 1000.0)
) -> Dataset:
    """An enhanced MR with shared and per-frame groups mixed: the frames of both b-values lie in no useful order.

    Orientation is shared, spacing stands in every frame, the rescale is shared but for the second b-value's frames.
    """
    scan = scan or Scan()
    values = material(scan.points()) * 100
    ds = _common("MR", EnhancedMRImageStorage, study, series, 1, None)
    shared = Dataset()
    shared.PlaneOrientationSequence = _group(
        ImageOrientationPatient=[decimal(value) for value in (*scan.along_row, *scan.along_column)]
    )
    shared.PixelValueTransformationSequence = _group(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    ds.SharedFunctionalGroupsSequence = Items([shared])
    frames, planes = [], []
    for place in reversed(range(scan.slices)):
        for index, b_value in enumerate(b_values):
            item = Dataset()
            item.PlanePositionSequence = _group(ImagePositionPatient=[decimal(v) for v in scan.position(place)])
            item.PixelMeasuresSequence = _group(
                PixelSpacing=[decimal(scan.between_rows), decimal(scan.between_columns)],
                SliceThickness=decimal(scan.step),
            )
            item.MRDiffusionSequence = _group(DiffusionBValue=b_value, DiffusionDirectionality="ISOTROPIC")
            item.FrameContentSequence = _group(StackID="1", InStackPositionNumber=place + 1)
            if index == 1:
                item.PixelValueTransformationSequence = _group(RescaleIntercept="7", RescaleSlope="2", RescaleType="US")
            frames.append(item)
            planes.append(values[place] + index)
    ds.PerFrameFunctionalGroupsSequence = Items(frames)
    _pixels(ds, np.stack(planes), 12, signed=False)
    ds.NumberOfFrames = len(frames)
    return ds


def enhanced_pet(scan: Scan | None = None, *, study: object = 1, series: object = "ept") -> Dataset:
    """An Enhanced PET of the phantom (PS3.3 A.56): each frame has its own mapping to Bq/ml and its own time."""
    scan = scan or Scan(rows=32, columns=32, slices=10, between_rows=5.0, between_columns=5.0, step=5.0)
    values = activity(scan.points())
    ds = _common("PT", EnhancedPETImageStorage, study, series, 1, None)
    ds.DecayCorrected = ds.AttenuationCorrected = ds.ScatterCorrected = "YES"
    ds.DecayCorrectionDateTime, ds.AcquisitionDateTime = "20240131101600", "20240131101600"
    ds.PatientWeight, ds.PatientSize = "70", "1.75"
    dose = Dataset()
    dose.RadiopharmaceuticalAgentNumber, dose.RadiopharmaceuticalStartDateTime = 1, "20240131091600"
    dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = "350", "6586.2"
    ds.RadiopharmaceuticalInformationSequence = Items([dose])
    shared = Dataset()
    shared.PlaneOrientationSequence = _group(
        ImageOrientationPatient=[decimal(value) for value in (*scan.along_row, *scan.along_column)]
    )
    shared.PixelMeasuresSequence = _group(
        PixelSpacing=[decimal(scan.between_rows), decimal(scan.between_columns)], SliceThickness=decimal(scan.step)
    )
    shared.RadiopharmaceuticalUsageSequence = _group(RadiopharmaceuticalAgentNumber=1)
    frames, planes = [], []
    for place in reversed(range(scan.slices)):
        slope = PET_SLOPES[place % len(PET_SLOPES)]
        item = Dataset()
        item.PlanePositionSequence = _group(ImagePositionPatient=[decimal(v) for v in scan.position(place)])
        item.FrameContentSequence = _group(FrameReferenceDateTime=f"2024013110{20 + place}00", StackID="1")
        # The rescale is that of the display (PS3.3 C.7.6.16.2.9); what is measured stands in the mapping.
        item.PixelValueTransformationSequence = _group(RescaleIntercept="0", RescaleSlope="3", RescaleType="US")
        mapping = Dataset()
        mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = -32768, 32767
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept, mapping.LUTLabel = slope, 0.0, "BQML"
        mapping.MeasurementUnitsCodeSequence = _group(
            CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Becquerels/milliliter"
        )
        item.RealWorldValueMappingSequence = Items([mapping])
        frames.append(item)
        planes.append(np.rint(values[place] / slope))
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = Items([shared]), Items(frames)
    _pixels(ds, np.stack(planes), 16, signed=True)
    ds.NumberOfFrames = len(frames)
    return ds


def segmentation(
    scan: Scan | None = None,
    *,
    study: object = 1,
    series: object = "seg",
    fractional: bool = False,
    numbers: tuple[int, int] = (1, 2),
) -> Dataset:
    """Two segments, bone and lung, as frames of one bit (or fractions); planes without any are left out."""
    scan = scan or Scan()
    found = material(scan.points())
    ds = _common("SEG", SegmentationStorage, study, series, 1, None)
    ds.SegmentationType = "FRACTIONAL" if fractional else "BINARY"
    segments, frames, planes = [], [], []
    for number, (name, what) in zip(numbers, (("Bone", BONE), ("Lung", LUNG)), strict=True):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType = number, name, "MANUAL"
        segments.append(segment)
        for place in range(scan.slices):
            mask = found[place] == what
            if not mask.any():
                continue
            item = Dataset()
            item.PlanePositionSequence = _group(ImagePositionPatient=[decimal(v) for v in scan.position(place)])
            item.SegmentIdentificationSequence = _group(ReferencedSegmentNumber=number)
            frames.append(item)
            planes.append(mask)
    shared = Dataset()
    shared.PlaneOrientationSequence = _group(
        ImageOrientationPatient=[decimal(value) for value in (*scan.along_row, *scan.along_column)]
    )
    shared.PixelMeasuresSequence = _group(
        PixelSpacing=[decimal(scan.between_rows), decimal(scan.between_columns)],
        SliceThickness=decimal(scan.step),
        SpacingBetweenSlices=decimal(scan.step),
    )
    ds.SegmentSequence = Items(segments)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = Items([shared]), Items(frames)
    stacked = np.stack(planes)
    if fractional:
        ds.SegmentationFractionalType, ds.MaximumFractionalValue = "PROBABILITY", 200
        _pixels(ds, stacked * 100, 8, signed=False)
    else:
        _pixels(ds, stacked[0], 8, signed=False)
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 1, 0
        packed = np.packbits(stacked.reshape(-1), bitorder="little").tobytes()
        ds.PixelData = packed + b"\0" * (len(packed) % 2)
    ds.NumberOfFrames = len(frames)
    return ds


def dose(scan: Scan | None = None, *, study: object = 1, series: object = "dose", absolute: bool = False) -> Dataset:
    """An RT dose of 32 bits: 2 Gy in the lesion, 0.5 Gy elsewhere in the body."""
    scan = scan or Scan(rows=20, columns=24, slices=8, between_rows=6.0, between_columns=7.0, step=5.0)
    gray = np.where(activity(scan.points()) == LESION_BQ_ML, 2.0, np.where(material(scan.points()) == AIR, 0.0, 0.5))
    ds = _common("RTDOSE", RTDoseStorage, study, series, 1, None)
    _plane(ds, scan, 0)
    _pixels(ds, np.rint(gray / 1e-6), 32, signed=False)
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType, ds.DoseGridScaling = "GY", "PHYSICAL", "PLAN", "1e-6"
    base = float(scan.position(0)[2]) if absolute else 0.0
    ds.GridFrameOffsetVector = [decimal(base + place * scan.step) for place in range(scan.slices)]
    ds.FrameIncrementPointer = 0x3004000C
    ds.NumberOfFrames = scan.slices
    return ds


def parametric_map(scan: Scan | None = None, *, study: object = 1, series: object = "map", double: bool = False
                   ) -> Dataset:  # fmt: skip
    """A map of floating point values in 1/cm: the linear attenuation of what is there, more or less."""
    scan = scan or Scan()
    values = 0.19 * (1 + hounsfield(scan.points()) / 1000.0)
    ds = _common("OT", ParametricMapStorage, study, series, 1, None)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.NumberOfFrames = scan.rows, scan.columns, scan.slices
    ds.BitsAllocated = 64 if double else 32
    if double:
        ds.DoubleFloatPixelData = values.astype("<f8").tobytes()
    else:
        ds.FloatPixelData = values.astype("<f4").tobytes()
    shared = Dataset()
    shared.PlaneOrientationSequence = _group(
        ImageOrientationPatient=[decimal(value) for value in (*scan.along_row, *scan.along_column)]
    )
    shared.PixelMeasuresSequence = _group(
        PixelSpacing=[decimal(scan.between_rows), decimal(scan.between_columns)], SliceThickness=decimal(scan.step)
    )
    unit = _group(CodeValue="/cm", CodingSchemeDesignator="UCUM", CodeMeaning="/cm")
    shared.RealWorldValueMappingSequence = _group(
        RealWorldValueIntercept=0.0,
        RealWorldValueSlope=1.0,
        DoubleFloatRealWorldValueFirstValueMapped=-1e9,
        DoubleFloatRealWorldValueLastValueMapped=1e9,
        LUTLabel="attenuation",
        LUTExplanation="attenuation",
        MeasurementUnitsCodeSequence=unit,
    )
    frames = []
    for place in range(scan.slices):
        item = Dataset()
        item.PlanePositionSequence = _group(ImagePositionPatient=[decimal(v) for v in scan.position(place)])
        frames.append(item)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = Items([shared]), Items(frames)
    return ds


def write(folder: Path, datasets: Sequence[Dataset], transfer_syntax: str = ExplicitVRLittleEndian) -> list[Path]:
    """Data sets as files; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, ds in enumerate(datasets):
        path = folder / f"{ds.Modality}-{number:04}-{ds.SOPInstanceUID[-12:]}.dcm"
        path.write_bytes(part10(ds, transfer_syntax))
        paths.append(path)
    return paths
