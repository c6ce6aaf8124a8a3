"""How long the header walker takes for a CT header of 257 elements, Pixel Data of 512 KiB following.

Usage: python -m benchmarks.micro_header_walker [--json]
The bytes are in memory already. `chunks` feeds them as a network would, 32 KiB at a time.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable

import pydicom
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from vesalius.model import datasets
from vesalius.model.elements import HeaderReader, read_header
from vesalius.standard.dictionary import VR_OF, is_retired

GOAL_US = 150.0


def ct_dataset(elements: int = 257, pixels: int = 512 * 1024) -> Dataset:
    """A CT slice as scanners send it: identification, geometry, private groups, sequences, and native pixels."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(ds, keyword, "1.2.826.0.1.3680043.10.1.1234567890.20240101123456.789")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240131"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "121314.567890"
    ds.Modality, ds.Manufacturer, ds.PatientName, ds.PatientID = "CT", "VESALIUS", "Doe^Jane", "PID-1"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-1.5, 2.25, 3.125], [1, 0, 0, 0, 1, 0]
    ds.Rows = ds.Columns = 512
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.RescaleSlope, ds.RescaleIntercept = "1", "-1024"
    for keyword in ("ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence", "ReferencedImageSequence"):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "1.2.3.4.5.6"
        setattr(ds, keyword, [item])
    for group in (0x0009, 0x0019, 0x0021, 0x0027, 0x0043, 0x0045):
        block = ds.private_block(group, "VESALIUS_TEST", create=True)
        for number in range(16):
            vr, value = [("DS", "1.5"), ("SL", 7), ("SH", "ABC"), ("US", 3)][number % 4]
            block.add_new(number, vr, value)
    fill = {"CS": "NO", "DS": "1.25", "IS": "17", "LO": "some text", "SH": "text", "DA": "20240131", "TM": "1213",
            "FD": 1.5, "FL": 1.5, "UL": 5, "US": 6, "ST": "a line"}  # fmt: skip
    for tag, vr in VR_OF.items():
        if len(ds) >= elements - 1:
            break
        if (
            0x00180000 < tag < 0x7FE00000
            and vr in fill
            and tag not in ds
            and not is_retired(tag)
            and tag >> 16 != 0x0028
        ):
            ds.add_new(tag, vr, fill[vr])
    ds.PixelData = b"\0" * pixels
    ds["PixelData"].VR = "OW"
    return ds


def encode(ds: Dataset, transfer_syntax: str) -> bytes:
    """The data set's bytes, without file meta information."""
    uid = pydicom.uid.UID(transfer_syntax)
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = uid.is_implicit_VR, uid.is_little_endian
    write_dataset(stream, ds)
    return stream.getvalue()


def time_of(work: Callable[[], object], rounds: int = 7, repeats: int = 200) -> float:
    """Microseconds of one call: the best of some rounds, the machine being shared."""
    best = []
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(repeats):
            work()
        best.append((time.perf_counter() - begin) / repeats)
    return min(best) * 1e6


def in_chunks(data: bytes, syntax: str, size: int) -> object:
    """Feed the bytes in chunks, as a connection would."""
    reader = HeaderReader(syntax)
    view = memoryview(data)
    for pos in range(0, len(data), size):
        reader.feed(view[pos : pos + size])
    return reader.finish()


def measure() -> dict[str, float]:
    """Every timing of this benchmark, in microseconds."""
    ds = ct_dataset()
    results: dict[str, float] = {"elements": float(len(ds))}
    for name, uid in (("explicit", ExplicitVRLittleEndian), ("implicit", ImplicitVRLittleEndian),
                      ("big endian", ExplicitVRBigEndian)):  # fmt: skip
        data = encode(ds, uid)
        results[f"{name}, one buffer"] = time_of(lambda data=data, uid=uid: read_header(data, uid))
        if name == "explicit":
            results["explicit, feed() of the whole"] = time_of(lambda data=data, uid=uid: in_chunks(data, uid, 1 << 30))
            results["explicit, chunks of 32 KiB"] = time_of(lambda data=data, uid=uid: in_chunks(data, uid, 32 << 10))
            results["pydicom"] = time_of(
                lambda data=data: pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True), repeats=20
            )
    keys = (0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080052, 0x00080054, 0x00080056, 0x00080061, 0x00080090,
            0x00081030, 0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x0020000D, 0x00200010, 0x00201206, 0x00201208,
            0x00100032, 0x00081032)  # fmt: skip
    answer = dict.fromkeys(keys, ("value",)) | {0x00081032: (), 0x00100010: ("Müller^Jürgen",),
              0x00201206: ("4",), 0x00201208: ("400",), 0x00080005: ("ISO_IR 192",)}  # fmt: skip
    encoded = datasets.encode(answer, ExplicitVRLittleEndian, ("ISO_IR 192",))
    results["answer of 20 keys, encode"] = time_of(
        lambda: datasets.encode(answer, ExplicitVRLittleEndian, ("ISO_IR 192",))
    )
    results["answer of 20 keys, decode"] = time_of(lambda: datasets.decode(encoded, ExplicitVRLittleEndian))
    return results


def main() -> None:
    """Print the timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="machine-readable")
    arguments = parser.parse_args()
    results = measure()
    if arguments.json:
        print(json.dumps(results))
        return
    for name, value in results.items():
        print(f"{name:34} {value:8.1f} us" if name != "elements" else f"{int(value)} elements")
    print(f"goal: {GOAL_US:.0f} us; reached: {results['explicit, one buffer'] <= GOAL_US}")


if __name__ == "__main__":
    main()
