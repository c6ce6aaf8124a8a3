"""The instances that the workloads send: CT-like headers of a real scanner's size with incompressible pixels.

Where it matters what the pixels show, a real CT (`real_ct`).
"""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from tests.support.data import shared_data
from tests.support.generate import ct, part10, uid


def big_header(ds: Dataset) -> Dataset:
    """Fill the header up to about the 257 elements that a scanner writes."""
    block = ds.private_block(0x0019, "VESALIUS BENCH", create=True)
    for n in range(200):
        block.add_new(n, "LO", f"private value {n}")
    return ds


def instance(study: object, series: int, number: int, size: int, pixels: bytes) -> Dataset:
    """One CT instance whose data set has about `size` bytes."""
    side = 512 if size > 400_000 else 64
    ds = ct(study, series, number, rows=1, columns=1)
    ds.Rows = ds.Columns = side
    ds.PixelData = pixels[: side * side * 2]
    if size > 8_000:
        big_header(ds)
    return ds


def encoded(ds: Dataset) -> bytes:
    """The data set in Explicit VR Little Endian."""
    out = DicomIO(BytesIO())
    out.is_little_endian = True
    out.is_implicit_VR = False
    write_dataset(out, ds)
    return out.parent.getvalue()  # type: ignore[attr-defined]


def real_ct(count: int) -> list[tuple[str, bytes]]:
    """Slices of a real CT of 512 x 512 (TCIA ACRIN-NSCLC-FDG-PET) as its scanner wrote them, pixels native.

    SOP Instance UID and data set of each. Raises `RuntimeError` where the real data are not there.
    """
    data = shared_data()
    if data is None:
        raise RuntimeError("the real data are not beside this checkout (set VESALIUS_SHARED)")
    made = []
    for path in sorted((data / "pet-ct/acrin-nsclc-fdg-pet-042/ct").iterdir())[:count]:
        ds = pydicom.dcmread(path)
        ds.decompress()
        made.append((str(ds.SOPInstanceUID), encoded(ds)))
    return made


class Factory:
    """Writes studies of equal instances quickly: one encoding, then the UIDs and the number replaced in place."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels = random.Random(size).randbytes(512 * 512 * 2)
        self.template = part10(instance("template", 1, 1, size, self.pixels))

    def files(self, folder: Path, study: str, count: int) -> list[Path]:
        """`count` instances of one series of one study as files."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number in range(1, count + 1):
            path = folder / f"{number:05}.dcm"
            path.write_bytes(self.one(study, number)[0])
            paths.append(path)
        return paths

    def one(self, study: str, number: int) -> tuple[bytes, str]:
        """A file and its SOP Instance UID; every UID keeps the template's length."""
        raw = self.template
        for old, new in (
            (
                uid("instance", "template", 1, 1),
                self.uid_like(uid("instance", "template", 1, 1), "instance", study, number),
            ),
            (uid("study", "template"), self.uid_like(uid("study", "template"), "study", study)),
            (uid("series", "template", 1), self.uid_like(uid("series", "template", 1), "series", study)),
        ):
            raw = raw.replace(old.encode(), new.encode())
        return raw, self.uid_like(uid("instance", "template", 1, 1), "instance", study, number)

    @staticmethod
    def uid_like(template: str, *parts: object) -> str:
        """A UID of exactly the template's length that depends on the parts alone."""
        digits = uid(*parts).removeprefix("2.25.").ljust(40, "7")
        return ("2.25." + digits)[: len(template)]

    def dataset(self, study: str, number: int) -> tuple[bytes, str]:
        """The data set alone and its SOP Instance UID."""
        raw, sop_instance = self.one(study, number)
        length = 132 + 12 + int.from_bytes(raw[140:144], "little")
        return raw[length:], sop_instance
