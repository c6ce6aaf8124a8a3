"""The edition of the DICOM standard that the tables of this package were generated from."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

# PS3.6 of this edition; `tools/generate_standard.py` lists what was added from later ones.
EDITION = "2024c"

_DATA = Path(__file__).parent / "data"


@cache
def table(name: str) -> dict[str, Any]:
    """The generated table `data/<name>.json`, read once. Callers never change it."""
    content: dict[str, Any] = json.loads((_DATA / f"{name}.json").read_bytes())
    return content
