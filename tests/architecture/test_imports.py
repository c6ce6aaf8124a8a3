"""The floors hold: imports point down only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.data import REPOSITORY


def test_imports_point_down_only() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
