"""What tests of storage commitment have in common."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from tests.support.generate import part10
from tests.support.modality import TITLE, Modality
from tests.support.server import listing


def config(port: int, *duties: str, allow: str = '"store", "commit", "notify"', more: str = "") -> str:
    """A configuration with the modality as peer MOD, and short waits between two calls."""
    return (
        f'[[peers]]\nname = "MOD"\nhost = "127.0.0.1"\nport = {port}\naet = "{TITLE}"\nallow = [{allow}]\n'
        f"duties = [{', '.join(repr(duty) for duty in duties)}]\n"
        f"[commitment]\nretry_first = 0.2\nretry_longest = 0.5\n[server]\ngrace = 2.0\n{more}"
    )


def send(modality: Modality, *datasets: Dataset) -> list[tuple[str, str]]:
    """Store instances by C-STORE; their classes and UIDs."""
    with modality.associated() as assoc:
        for ds in datasets:
            assert assoc.send_c_store(pydicom.dcmread(io.BytesIO(part10(ds)))).Status == 0
    return [(str(ds.SOPClassUID), str(ds.SOPInstanceUID)) for ds in datasets]


def states(data: Path, transaction: str) -> list[object]:
    """The states of the requests with a Transaction UID, newest first."""
    return [one["state"] for one in listing("commitments", data=data) if one["transaction"] == transaction]


def until(found: Callable[[], object], seconds: float = 60) -> object:
    """Wait for it to come true."""
    end = time.monotonic() + seconds
    while not (got := found()):
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.1)
    return got
