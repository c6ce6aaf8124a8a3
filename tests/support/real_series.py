"""The real CT, MR and PET series of the shared data that are volumes, as lists of files."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.data import shared_data

FOLDERS = (
    "ct-series/",
    "mr-series/",
    "multiframe/enhanced-ct/",
    "multiframe/enhanced-mr/",
    "odd-and-broken/agfa-pacs-private-tag-remap/siemens-original/",
    "pet-ct/acrin-nsclc-fdg-pet-042/ct/",
    "pet-ct/acrin-nsclc-fdg-pet-042/pt-ac/",
    "sr-ko-pr-seg-rt/seg-liver-with-ct/",
    "sr-ko-pr-seg-rt/rt-prostate-ct-struct-plan-dose/",
)
# Enhanced by its SOP class, but without a word about where its frames lie.
UNPLACED = ("emri_small",)
ARCHIVE = "ct-series/philips-ingenuity-head-phantom/S2010-5mm-28-uncompressed.tar.xz"


@dataclass(frozen=True)
class RealSeries:
    """One series."""

    name: str
    uid: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return self.name


@cache
def real_series() -> tuple[RealSeries, ...]:
    """Every series with a place in the patient; () without the data."""
    folder = shared_data()
    if folder is None:
        return ()
    found: dict[tuple[str, str], list[Path]] = {}
    with (folder / "FILES.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            path = folder / row["path"]
            wanted = row["path"].startswith(FOLDERS) and row["modality"] in ("CT", "MR", "PT")
            grey = row["spp"] in ("", "1")
            if wanted and grey and path.is_file() and not path.name.startswith(UNPLACED):
                found.setdefault((row["path"].rpartition("/")[0], row["series"]), []).append(path)
    return tuple(
        RealSeries(f"{place.replace('/', '.')}-{uid.rpartition('.')[2][-6:]}", uid, tuple(paths))
        for (place, uid), paths in found.items()
    )


def unpacked(target: Path) -> Iterator[Path]:
    """The files of the one CT series that is kept as an archive."""
    folder = shared_data()
    if folder is None:
        return
    with tarfile.open(folder / ARCHIVE) as archive:
        archive.extractall(target, filter="data")
    yield from (path for path in sorted(target.rglob("*")) if path.is_file())
