"""A CT of 2,000 slices, and a program that makes a volume of it and tells what that took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import phantom
from tests.support.generate import part10, uid
from tests.support.phantom import Scan

SLICES, SIDE = 2000, 512
OWN = SLICES * SIDE * SIDE * 4  # float32

PROGRAM = """
import json, resource, sys
limit = int(sys.argv[2]) or resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
import vesalius
with vesalius.open(sys.argv[1]) as library:
    (uid,) = library.series_uids()
    volume = library.series(uid).volume()
print(json.dumps({
    "shape": volume.values.shape, "unit": volume.unit_label, "padding": int(volume.padding[:, 0].sum()),
    "value": float(volume.values[777, 100, 100]), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def write_large_ct(folder: Path) -> None:
    """Slices whose pixels are holes in their files but for the first row, which is padding."""
    scan = Scan(rows=SIDE, columns=SIDE, slices=SLICES, between_rows=0.5, between_columns=0.5, step=0.5)
    (ds,) = phantom.ct(Scan(rows=SIDE, columns=SIDE, slices=1, between_rows=0.5, between_columns=0.5))
    ds.PixelPaddingValue = 63536
    folder.mkdir()
    for place in range(SLICES):
        ds.SOPInstanceUID, ds.InstanceNumber = uid("large", place), str(place)
        ds.ImagePositionPatient = [phantom.decimal(value) for value in scan.position(place)]
        file = part10(ds)
        head = len(file) - SIDE * SIDE * 2
        with (folder / f"{place:05}.dcm").open("wb") as stream:
            stream.write(file[:head] + (63536).to_bytes(2, "little") * SIDE)
            stream.truncate(len(file))


def loaded(folder: Path, limit: int = 0) -> dict[str, Any]:
    """What a process of its own made of the series, under a limit of address space (0: none)."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
