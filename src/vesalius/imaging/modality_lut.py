"""The table of Modality LUT Sequence (PS3.3 C.11.1.1) from a pydicom header."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from vesalius.imaging.dataset_values import items, number, value
from vesalius.imaging.description import Lut


def modality_lut(ds: Dataset) -> Lut | None:
    """The table of Modality LUT Sequence (PS3.3 C.11.1.1)."""
    for item in items(ds, "ModalityLUTSequence")[:1]:
        described, raw = value(item, "LUTDescriptor"), value(item, "LUTData")
        if described is None or raw is None or len(described) != 3:
            return None
        count, first, bits = (int(each) for each in described)
        count = (count & 0xFFFF) or 1 << 16
        signed = number(ds, "PixelRepresentation") == 1
        first = first - 0x10000 if signed and first > 0x7FFF else first & 0xFFFF if not signed else first
        if isinstance(raw, bytes):
            entries = np.frombuffer(raw[: len(raw) & ~1], "<u2") if len(raw) >= 2 * count else np.frombuffer(raw, "u1")
        else:
            entries = np.asarray(raw, np.int64) & 0xFFFF
        return Lut(first, bits, tuple(int(each) for each in entries[:count])) if len(entries) else None
    return None
