"""One picture of two volumes: a grey one, and one in colour over it.

Theory. Both are planes on one grid (`reformat.py`). The fixed one goes through its window to grey, the moving one
through its own to a colour map, and what is seen is fixed x (1 - opacity) + colour x opacity (the blending of PS3.3
C.11.14, PS3.4 N.2.6); where the moving one has no value the fixed one is seen alone. Colour maps are the well-known
palettes of the standard (PS3.6 annex B: hot iron, PET, hot metal blue, PET 20 step, the four seasons) as pydicom brings
them, and grey.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from vesalius.imaging.lookup import windowed
from vesalius.imaging.png import encode
from vesalius.imaging.space import Volume
from vesalius.model.errors import NoVolume
from vesalius.model.rendering import Window, WindowFunction

Octets = npt.NDArray[np.uint8]

# Name in addresses -> file of pydicom's palettes (PS3.6 B.1).
_PALETTES = {
    "hot-iron": "hotiron.dcm",
    "pet": "pet.dcm",
    "hot-metal-blue": "hotmetalblue.dcm",
    "pet-20-step": "pet20step.dcm",
    "spring": "spring.dcm",
    "summer": "summer.dcm",
    "fall": "fall.dcm",
    "winter": "winter.dcm",
}
COLOUR_MAPS = ("grey", *_PALETTES)


@cache
def colour_map(name: str) -> Octets:
    """256 colours (256, 3). Raises `NoVolume` for a name that is none."""
    if name in ("grey", "gray"):
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    file = _PALETTES.get(name)
    if file is None:
        raise NoVolume("there is no such colour map", hint=f"Colour maps: {', '.join(COLOUR_MAPS)}.")
    import pydicom
    from pydicom.data import get_palette_files
    from pydicom.pixels.processing import apply_color_lut

    (path,) = get_palette_files(file)
    return np.asarray(apply_color_lut(np.arange(256, dtype=np.uint8), pydicom.dcmread(path)), np.uint8)


def grey(plane: Volume, window: Window) -> Octets:
    """A plane through its window: (rows, columns) of 8 bits."""
    return np.rint(windowed(plane.values[0].astype(np.float64), window)).astype(np.uint8)


def coloured(plane: Volume, window: Window, name: str) -> Octets:
    """A plane through its window and a colour map: (rows, columns, 3)."""
    return np.asarray(colour_map(name)[grey(plane, window)])


def fused(
    fixed: Volume, moving: Volume, fixed_window: Window, moving_window: Window, name: str, opacity: float
) -> Octets:
    """Both planes in one picture (rows, columns, 3); `opacity` of the moving one, 0 to 1."""
    if fixed.grid.shape != moving.grid.shape:
        raise NoVolume("the two planes are not on one grid")
    base = grey(fixed, fixed_window).astype(np.float32)[..., None]
    top = coloured(moving, moving_window, name).astype(np.float32)
    part = np.where(moving.finite[0], np.float32(min(max(opacity, 0.0), 1.0)), np.float32(0))[..., None]
    return np.rint(base + (top - base) * part).astype(np.uint8)


def usual_window(volume: Volume) -> Window:
    """A window to begin with: soft tissue for HU, 0 to 7 for SUV, else between the 1st and the 99.5th percentile."""
    if volume.unit == "[hnsf'U]":
        return Window(40.0, 400.0, WindowFunction.LINEAR_EXACT)
    if "{SUV" in volume.unit:
        return window_between(0.0, 7.0)
    sample = volume.values.reshape(-1)[:: max(1, volume.values.size >> 18)]
    low, high = (float(each) for each in np.percentile(sample, (1, 99.5)))
    return window_between(min(low, 0.0) if volume.modality == "PT" else low, high if high > low else low + 1)


def window_between(low: float, high: float) -> Window:
    """The window that shows `low` as black and `high` as white."""
    return Window((low + high) / 2, high - low, WindowFunction.LINEAR_EXACT)


def png(picture: Octets) -> bytes:
    """A PNG of grey (rows, columns) or RGB (rows, columns, 3)."""
    return encode(picture)
