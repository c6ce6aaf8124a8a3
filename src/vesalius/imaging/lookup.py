"""From stored values to what is shown: the grayscale and colour transformations of PS3.3 C.11.1, C.11.2, C.7.9.

Every function is the formula of its clause in NumPy, on whole arrays; the tests compare each with pydicom's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.imaging.description import Description, Lut
from vesalius.model.rendering import Window, WindowFunction

Numbers = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Octets = npt.NDArray[np.uint8]


def look_up(values: Numbers, lut: Lut) -> npt.NDArray[np.uint16]:
    """Every value's entry; values below and above the table take its first and last (C.11.1.1.1)."""
    found: npt.NDArray[np.uint16] = np.array(lut.entries, np.uint16)[_places(values, lut)]
    return found


def _places(values: Numbers, lut: Lut) -> npt.NDArray[np.int64]:
    if values.dtype.kind == "f":
        values = np.rint(values)
    return np.clip(values.astype(np.int64) - lut.first, 0, len(lut.entries) - 1)


def modality(values: Numbers, slope: float, intercept: float, lut: Lut | None = None) -> Floats:
    """The Modality LUT: stored values become units (C.11.1)."""
    if lut is not None:
        return look_up(values, lut).astype(np.float64)
    return values.astype(np.float64) * slope + intercept


def windowed(values: Floats, window: Window, low: float = 0.0, high: float = 255.0) -> Floats:
    """The VOI window: units become output between `low` and `high` (C.11.2.1.2, C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.function is WindowFunction.SIGMOID:
        with np.errstate(over="ignore"):
            return (high - low) / (1 + np.exp(-4 * (values - center) / width)) + low
    if window.function is WindowFunction.LINEAR:
        center, width = center - 0.5, width - 1
    if width <= 0:
        return np.where(values <= center, low, high)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0) * (high - low) + low


def exact(window: Window) -> Window:
    """The window of an image of fractions: the half and the one of LINEAR are steps between integers (C.11.2.1.2)."""
    if window.function is WindowFunction.LINEAR:
        return replace(window, function=WindowFunction.LINEAR_EXACT)
    return window


def reach(description: Description) -> tuple[float, float]:
    """The lowest and the highest that the Modality LUT may give for what a pixel cell can hold."""
    if description.modality_lut is not None:
        return 0.0, float((1 << description.modality_lut.bits) - 1)
    whole = 1 << description.stored
    low, high = (-(whole >> 1), (whole >> 1) - 1) if description.signed else (0, whole - 1)
    ends = [end * description.slope + description.intercept for end in (low, high)]
    return min(ends), max(ends)


def fitted(lut: Lut, lowest: float, highest: float) -> Lut:
    """The table of a VOI LUT where its input lies between these values (C.11.2.1.1).

    The first value mapped is signed or unsigned as the input of the table is: the output of the Modality LUT, which may
    be negative where the stored values are not. Writers and encodings without VR get it wrong: of the two readings of
    its sixteen bits that one counts which covers more of what may come in, the written one where both do.
    """
    readings = (lut.first, lut.first - 0x10000 if lut.first > 0 else lut.first + 0x10000)

    def covers(first: int) -> float:
        return min(highest, first + len(lut.entries) - 1) - max(lowest, first)

    best = max(readings, key=covers)  # the first of equals: as it is written
    return lut if best == lut.first or not -0x8000 <= best <= 0xFFFF else replace(lut, first=best)


def voi_table(units: Numbers, lut: Lut) -> Floats:
    """Units through a VOI LUT, from 0 to 255 and not rounded: a Presentation LUT may follow (C.11.2.1.1, C.11.4)."""
    entries = look_up(units, lut).astype(np.float64)
    return np.minimum(entries * (255.0 / ((1 << lut.bits) - 1)), 255.0)


def ranged(values: Floats, lowest: float, highest: float) -> Floats:
    """The whole of a range shown from 0 to 255: for images that say no window."""
    if not highest > lowest:
        return np.where(values >= highest, 255.0, 0.0) if highest else np.zeros_like(values)
    return np.clip((values - lowest) / (highest - lowest), 0.0, 1.0) * 255.0


def to_octets(values: Floats) -> Octets:
    """Rounded to 8 bits."""
    return np.rint(values).astype(np.uint8)


def entries_to_octets(entries: npt.NDArray[np.uint16], bits: int) -> Octets:
    """Entries of a table of `bits` bits as 8 bits."""
    return to_octets(np.minimum(entries.astype(np.float64) * (255.0 / ((1 << bits) - 1)), 255.0))


def coloured(values: Numbers, palette: tuple[Lut, Lut, Lut]) -> Octets:
    """The palette: values become red, green and blue (C.7.9)."""
    tables = [_palette_octets(np.array(lut.entries, np.uint16), lut.bits) for lut in palette]
    return np.stack([table[_places(values, lut)] for table, lut in zip(tables, palette, strict=True)], axis=-1)


def _palette_octets(entries: npt.NDArray[np.uint16], bits: int) -> Octets:
    # Writers that put 8 bit colours into words of 16 leave the high byte empty or double it; both are met. The whole
    # table tells which: the colours of one image may all be dark.
    if bits > 8 and int(entries.max(initial=0)) > 0xFF:
        return (entries >> (bits - 8)).astype(np.uint8)
    return entries.astype(np.uint8)


def rgb_of_ybr(samples: Octets) -> Octets:
    """YBR_FULL as RGB (PS3.3 C.7.6.3.1.2, the matrix of ISO 10918-5)."""
    luma = samples[..., 0].astype(np.float32)
    blue = samples[..., 1].astype(np.float32) - 128
    red = samples[..., 2].astype(np.float32) - 128
    rgb = np.stack(
        (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue),
        axis=-1,
    )
    octets: Octets = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return octets


def rgb_of_partial_ybr(samples: Octets) -> Octets:
    """YBR_PARTIAL as RGB: luminance from 16 to 235, chrominance from 16 to 240 (PS3.3 C.7.6.3.1.2, ITU-R BT.601)."""
    luma = (samples[..., 0].astype(np.float32) - 16) * (255 / 219)
    blue = (samples[..., 1].astype(np.float32) - 128) * (255 / 224)
    red = (samples[..., 2].astype(np.float32) - 128) * (255 / 224)
    rgb = np.stack((luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue), axis=-1)
    octets: Octets = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return octets
