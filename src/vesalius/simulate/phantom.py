"""A small true series: a phantom of which every value is known, as a scanner would write it.

Theory. What is where is a function of the point in the patient (`material`, LPS mm): a body of water in a skin of fat,
with a rod of bone and a bubble of air, without symmetry, so that a flip of any axis shows. A CT of it has exact
Hounsfield units, an MR and an ultrasound have a signal for each material, a projection sums them up. The last row of
each image is a bar code of its SOP Instance UID: pixels that came under another UID are found out.

Who and what for is a worklist item (`Values`), copied as IHE RAD TF-2 appendix A.1 says: what identifies patient, study
and order word for word, the order's attributes into the Request Attributes Sequence, the performed step as Referenced
Performed Procedure Step. An unscheduled examination is an item that somebody typed at the console.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as Items

from vesalius.model import reading
from vesalius.model.entities import Values
from vesalius.model.identifiers import new_uid
from vesalius.standard.sop_classes import PERFORMED_STEP, STORAGE_ROOT

Array = npt.NDArray[Any]

AIR, FAT, WATER, BONE = 0, 1, 2, 3
HOUNSFIELD = np.array((-1000, -100, 0, 1000))
# Semi-axes of body and water (mm along x and y), then centre (x, y) and radius of what is in it.
BODY, INSIDE = (100.0, 70.0), (92.0, 62.0)
ROD, BUBBLE = ((30.0, 20.0), 14.0), ((-40.0, -10.0), 12.0)
_SIGNAL = {"MR": np.array((0, 900, 500, 40)), "US": np.array((0, 160, 70, 250)), "CR": np.array((0, 2, 3, 9))}

STEP_SEQUENCE = 0x00400100
# Tags of the worklist item that go into the object as they are (IHE RAD TF-2 table A.1-1).
_COPIED = (
    *(0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101020, 0x00101030, 0x00102160, 0x00104000),
    *(0x00080090, 0x0020000D, 0x00080050),
)
_OF_THE_ORDER = (0x00080050, 0x0020000D, 0x00081110, 0x00401001, 0x00321060, 0x00321064, 0x00401002)
_OF_THE_STEP = (0x00400009, 0x00400007, 0x00400008)
_ALWAYS = (0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x00080090, 0x00080050)  # type 2


@dataclass(frozen=True, slots=True)
class Device:
    """What makes the images."""

    aet: str
    modality: str
    institution: str = "Vesalius simulated hospital"
    size: int = 64  # rows and columns
    slices: int = 8


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of the device: what identifies it."""

    number: str  # Performed Procedure Step ID
    start: str  # local, YYYYMMDDHHMMSS
    performed_uid: str = ""  # of the MPPS; "": there is none
    series_number: int = 1


@dataclass(frozen=True, slots=True)
class Made:
    """One instance: what it is called, and its data set in Explicit VR Little Endian."""

    sop_class: str
    sop_instance: str
    series: str
    data: bytes
    pixels: int = 0  # bytes of pixel data, the last of the data set
    digest: str = ""  # SHA-256 of them


def material(x: Array, y: Array) -> Array:
    """What is at these points of the patient (LPS mm). The phantom is the same along z."""
    found = np.full(np.broadcast(x, y).shape, AIR)
    found[(x / BODY[0]) ** 2 + (y / BODY[1]) ** 2 <= 1] = FAT
    found[(x / INSIDE[0]) ** 2 + (y / INSIDE[1]) ** 2 <= 1] = WATER
    for value, ((cx, cy), radius) in ((BONE, ROD), (AIR, BUBBLE)):
        found[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = value
    return found


def bar_code(sop_instance: str, width: int) -> Array:
    """The last row of an image: the bits of a checksum of its UID, as often as they fit in."""
    bits = zlib.crc32(sop_instance.encode())
    return np.array([bits >> (column % 32) & 1 for column in range(width)], dtype=bool)


def make(
    item: Values, device: Device, run: Acquisition, *, series: str = "", uids: Callable[[], str] = new_uid
) -> Iterator[Made]:
    """The instances of one series, one after the other. Raises `KeyError` for a modality that is not simulated."""
    kind = KINDS[device.modality]
    series = series or uids()
    frame = uids()
    count = device.slices if kind.stack else 1
    for number in range(1, count + 1):
        sop_instance = uids()
        ds = _common(item, device, run, kind, series, number)
        ds.SOPInstanceUID = sop_instance
        if kind.stack:
            ds.FrameOfReferenceUID = frame
            ds.PositionReferenceIndicator = ""
        kind.describe(ds, device, number)
        pixels = _pixels(kind, device, sop_instance)
        ds.PixelData = pixels
        yield Made(kind.sop_class, sop_instance, series, encode(ds), len(pixels), hashlib.sha256(pixels).hexdigest())


def encode(ds: Dataset) -> bytes:
    """A data set in Explicit VR Little Endian."""
    from pydicom.filebase import DicomIO

    buffer = io.BytesIO()
    out = DicomIO(buffer)
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, ds)
    return buffer.getvalue()


def wrongly_declared(data: bytes) -> bytes:
    """The same data set with its Latin-1 texts declared as UTF-8: the fault of many a console."""
    return data.replace(b"CS\x0a\x00ISO_IR 100", b"CS\x0a\x00ISO_IR 192", 1)


# -- what all objects have


def charset_of(texts: Sequence[str]) -> str:
    """Latin-1 where it is enough, as scanners write, else UTF-8."""
    try:
        "".join(texts).encode("latin-1")
    except UnicodeEncodeError:
        return "ISO_IR 192"
    return "ISO_IR 100"


def _common(item: Values, device: Device, run: Acquisition, kind: Kind, series: str, number: int) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = charset_of(list(reading.all_texts(item)))
    ds.SOPClassUID = kind.sop_class
    for tag in _ALWAYS:
        _put(ds, tag, ())
    for tag in _COPIED:
        if tag in item and (item[tag] or tag in _ALWAYS):
            _put(ds, tag, item[tag])
    other = reading.items(item, 0x00101002)
    if other:
        _put(ds, 0x00101002, other)
    day, time = run.start[:8], run.start[8:14]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = time
    ds.Modality = device.modality
    ds.Manufacturer = "Vesalius"
    ds.ManufacturerModelName = "Simulated modality"
    ds.SoftwareVersions = "1"
    ds.DeviceSerialNumber = device.aet
    ds.InstitutionName = device.institution
    ds.StationName = device.aet
    ds.StudyDescription = reading.text(item, 0x00321060) or "Simulated examination"
    ds.SeriesDescription = "Phantom"
    ds.ProtocolName = reading.text(reading.item(item, STEP_SEQUENCE), 0x00400007) or "Phantom"
    codes = reading.items(item, 0x00321064)
    if codes:
        _put(ds, 0x00081032, codes)
    ds.SeriesInstanceUID = series
    ds.StudyID = (reading.text(item, 0x00401001) or run.number)[:16]
    ds.SeriesNumber = run.series_number
    ds.InstanceNumber = number
    _order(ds, item)
    _performed(ds, item, run)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = device.size
    ds.BitsAllocated = 8 if kind.bits == 8 else 16
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = kind.bits, kind.bits - 1, 0
    return ds


def _order(ds: Dataset, item: Values) -> None:
    """Request Attributes Sequence and Referenced Study Sequence: what the examination was asked for as."""
    request = Dataset()
    step = reading.item(item, STEP_SEQUENCE)
    for tags, source in ((_OF_THE_ORDER, item), (_OF_THE_STEP, step)):
        for tag in tags:
            if source.get(tag):
                _put(request, tag, source[tag])
    if reading.text(step, 0x00400009):
        if "RequestedProcedureID" not in request:
            request.RequestedProcedureID = ""
        ds.RequestAttributesSequence = Items([request])
    study = reading.items(item, 0x00081110)
    if study:
        _put(ds, 0x00081110, study)


def _performed(ds: Dataset, item: Values, run: Acquisition) -> None:
    ds.PerformedProcedureStepID = run.number
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = run.start[:8], run.start[8:14]
    ds.PerformedProcedureStepDescription = ds.StudyDescription
    protocol = reading.items(reading.item(item, STEP_SEQUENCE), 0x00400008)
    if protocol:
        _put(ds, 0x00400260, protocol)
    if run.performed_uid:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = PERFORMED_STEP, run.performed_uid
        ds.ReferencedPerformedProcedureStepSequence = Items([reference])


def _put(ds: Dataset, tag: int, value: Sequence[object]) -> None:
    """An element of the item into the object; items of sequences with what they hold."""
    from pydicom.datadict import dictionary_VR

    vr = dictionary_VR(tag)
    if vr == "SQ":
        ds.add_new(tag, vr, Items([_dataset(one) for one in value if isinstance(one, dict)]))
        return
    texts = [str(one) for one in value]
    ds.add_new(tag, vr, texts[0] if len(texts) == 1 else texts or "")


def _dataset(item: Values) -> Dataset:
    ds = Dataset()
    for tag, value in sorted(item.items()):
        if value:
            _put(ds, tag, value)
    return ds


# -- what each kind has of its own


def _ct(ds: Dataset, device: Device, number: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP, ds.AcquisitionNumber = "120", 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 0, 2000
    _plane(ds, device, number)


def _mr(ds: Dataset, device: Device, number: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", "", "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.MagneticFieldStrength = "600", "12", 1, "1.5"
    _plane(ds, device, number)


def _plane(ds: Dataset, device: Device, number: int) -> None:
    """Axial slices, head first, supine, 5 mm apart, the phantom in the middle of 256 mm."""
    spacing = 256 / device.size
    corner = -128 + spacing / 2
    ds.PatientPosition = "HFS"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [corner, corner, 5.0 * (number - 1)]
    ds.PixelSpacing = [spacing, spacing]
    ds.SliceThickness = 5
    ds.SliceLocation = 5.0 * (number - 1)
    ds.Laterality = ""


def _us(ds: Dataset, device: Device, number: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1 = region.RegionLocationMaxY1 = device.size - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = 25.6 / device.size
    ds.SequenceOfUltrasoundRegions = Items([region])
    ds.LossyImageCompression = "00"
    ds.Laterality = ds.PatientOrientation = ""


def _cr(ds: Dataset, device: Device, number: int) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.BodyPartExamined, ds.ViewPosition, ds.PatientOrientation = "CHEST", "AP", ["L", "F"]
    ds.ImagerPixelSpacing = [256 / device.size, 256 / device.size]


@dataclass(frozen=True, slots=True)
class Kind:
    """What images of a modality are."""

    sop_class: str
    bits: int
    stack: bool  # several slices of one volume
    describe: Callable[[Dataset, Device, int], None]


KINDS: dict[str, Kind] = {
    "CT": Kind(STORAGE_ROOT + "2", 12, True, _ct),
    "MR": Kind(STORAGE_ROOT + "4", 12, True, _mr),
    "US": Kind(STORAGE_ROOT + "6.1", 8, False, _us),
    "CR": Kind(STORAGE_ROOT + "1", 12, False, _cr),
}


def _pixels(kind: Kind, device: Device, sop_instance: str) -> bytes:
    stored, highest = _stored(device.modality, device.size)
    stored = stored.copy()
    stored[-1] = bar_code(sop_instance, device.size) * highest
    return bytes(stored.astype("<u1" if kind.bits == 8 else "<u2").tobytes())


def _stored(modality: str, size: int) -> tuple[Array, int]:
    """Stored values of one image, and that of a set bit of the bar code."""
    centres = -128 + (np.arange(size) + 0.5) * 256 / size
    found = material(centres[np.newaxis, :], centres[:, np.newaxis])
    if modality == "CT":
        return HOUNSFIELD[found] + 1024, 2024
    signal = _SIGNAL[modality][found]
    if modality == "CR":
        columns = signal.sum(axis=0)  # a projection from the front, the same in every row
        return np.tile(np.minimum(columns * 4, 4095), (size, 1)), 4095
    return signal, int(signal.max())
