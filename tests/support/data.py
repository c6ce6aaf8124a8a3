"""Where the real DICOM and HL7 data lie, and which of the files a correct archive must take."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_data() -> Path | None:
    """The folder of real data beside the repository, or None where it is not there."""
    folder = Path(os.environ.get("VESALIUS_SHARED", REPOSITORY.parent / "shared")) / "data"
    return folder if (folder / "FILES.csv").exists() else None


def need_shared_data() -> Path:
    """As `shared_data`, but the test is skipped without it."""
    folder = shared_data()
    if folder is None:
        pytest.skip("the real data are not beside this checkout (set VESALIUS_SHARED)")
    return folder


@dataclass(frozen=True)
class RealFile:
    """One row of FILES.csv whose file lies open on the disk (not inside an archive)."""

    path: Path
    row: dict[str, str]

    @property
    def sop_class(self) -> str:
        return self.row["sop_class_uid"]

    @property
    def sop_instance(self) -> str:
        return self.row["sop_instance"]

    @property
    def transfer_syntax(self) -> str:
        return self.row["ts_uid"]


def real_files() -> list[RealFile]:
    """Every open file of FILES.csv, in order."""
    folder = shared_data()
    if folder is None:
        return []
    with (folder / "FILES.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [RealFile(folder / row["path"], row) for row in rows if (folder / row["path"]).is_file()]


def part10_parts(path: Path) -> tuple[dict[int, str], bytes]:
    """File meta information (tag -> text) and the data set bytes of a Part 10 file, by the smallest reader possible.

    An independent second reading for comparisons: it shares no code with the product.
    """
    raw = path.read_bytes()
    if raw[128:132] != b"DICM":
        raise ValueError("no DICM prefix")
    position = 132
    meta: dict[int, str] = {}
    while raw[position : position + 2] == b"\x02\x00":
        tag = 0x00020000 | int.from_bytes(raw[position + 2 : position + 4], "little")
        vr = raw[position + 4 : position + 6]
        if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"UC", b"UR"):
            length = int.from_bytes(raw[position + 8 : position + 12], "little")
            start = position + 12
        else:
            length = int.from_bytes(raw[position + 6 : position + 8], "little")
            start = position + 8
        meta[tag] = raw[start : start + length].decode("latin-1").rstrip("\0 ")
        position = start + length
    return meta, raw[position:]
