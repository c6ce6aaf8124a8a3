"""Advanced blending presentation states (PS3.3 A.33.7), and what PS3.4 N.2.6 makes of layers, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from tests.support.blending import Floats, Mask, palette, window
from tests.support.rendered import Pixels, state

ADVANCED = "1.2.840.10008.5.1.4.1.1.11.8"
Layer = tuple[Floats, Mask]  # RGB, and where there is something


def item(
    number: int, images: Sequence[Dataset], shown: Sequence[float] | None = None, *,
    function: str = "", colours: str = "", keep: Sequence[tuple[str, Sequence[float]]] = (), whole: bool = False,
    **said: Any,
) -> Dataset:  # fmt: skip
    """An item of Advanced Blending Sequence."""
    ds = Dataset()
    ds.BlendingInputNumber = number
    ds.StudyInstanceUID, ds.SeriesInstanceUID = images[0].StudyInstanceUID, images[0].SeriesInstanceUID
    if not whole:
        ds.ReferencedImageSequence = [reference(each) for each in images]
    if keep:
        ds.ThresholdSequence = [threshold(kind, values) for kind, values in keep]
    if shown is not None:
        voi = Dataset()
        voi.WindowCenter, voi.WindowWidth = (str(each) for each in shown)
        if function:
            voi.VOILUTFunction = function
        ds.SoftcopyVOILUTSequence = [voi]
    if colours:
        ds.PaletteColorLookupTableSequence = [table(colours)]
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


def reference(image: Dataset) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return ds


def threshold(kind: str, values: Sequence[float]) -> Dataset:
    ds = Dataset()
    ds.ThresholdType, ds.ThresholdValueSequence = kind, []
    for value in values:
        each = Dataset()
        each.ThresholdValue = value
        ds.ThresholdValueSequence.append(each)
    return ds


def table(name: str) -> Dataset:
    """A palette written out: states have no segmented ones (PS3.3 C.7.9)."""
    ds, rgb = Dataset(), apply_color_lut(np.arange(256, dtype=np.uint8), palette(name)).astype(np.uint8)
    for place, colour in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(ds, f"{colour}PaletteColorLookupTableData", rgb[:, place].tobytes())
    return ds


def step(mode: str, inputs: Sequence[int], result: int | None = None, opacity: float | None = None) -> Dataset:
    """An item of Blending Display Sequence."""
    ds = Dataset()
    ds.BlendingDisplayInputSequence = []
    for number in inputs:
        each = Dataset()
        each.BlendingInputNumber = number
        ds.BlendingDisplayInputSequence.append(each)
    ds.BlendingMode = mode
    if opacity is not None:
        ds.RelativeOpacity = opacity
    if result is not None:
        ds.BlendingInputNumber = result
    return ds


def advanced_state(image: Dataset, name: str, inputs: list[Dataset], steps: list[Dataset], **said: Any) -> Dataset:
    """A state of these inputs and steps, in the study of an image."""
    ds = state(image, ADVANCED, f"advanced {name}")
    for keyword in ("ReferencedSeriesSequence", "DisplayedAreaSelectionSequence"):
        delattr(ds, keyword)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = image.FrameOfReferenceUID, ""
    ds.Laterality = ""
    ds.ManufacturerModelName, ds.DeviceSerialNumber, ds.SoftwareVersions = "Test", "1", "1"
    ds.AdvancedBlendingSequence, ds.BlendingDisplaySequence = inputs, steps
    ds.PixelPresentation, ds.ColorSpace = "TRUE_COLOR", "SRGB"
    ds.ICCProfile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = {each.SeriesInstanceUID: each for each in inputs if "ReferencedImageSequence" in each}
    if named:
        ds.ReferencedSeriesSequence = []
    for each in named.values():
        listed = Dataset()
        listed.SeriesInstanceUID = each.SeriesInstanceUID
        listed.ReferencedInstanceSequence = each.ReferencedImageSequence
        ds.ReferencedSeriesSequence.append(listed)
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


def square_pixels(columns: int = 14, rows: int = 20, left: int = 1, top: int = 1) -> Dataset:
    """A displayed area whose pixels are as many as those of the image."""
    ds = Dataset()
    ds.DisplayedAreaTopLeftHandCorner, ds.DisplayedAreaBottomRightHandCorner = [left, top], [columns, rows]
    ds.PresentationSizeMode, ds.PresentationPixelAspectRatio = "SCALE TO FIT", ["1", "1"]
    return ds


def coloured(units: Floats, there: Mask, shown: tuple[float, float], colours: str) -> Layer:
    grey = np.rint(window(units, *shown))
    if not colours:
        return np.repeat(grey[..., None], 3, axis=-1), there
    return apply_color_lut(grey.astype(np.uint8), palette(colours)).astype(float), there


def foreground(first: Layer, second: Layer, opacity: float) -> Layer:
    """PS3.4 N.2.6, pixel by pixel."""
    (a, here), (b, there) = first, second
    out, seen = np.zeros(a.shape), np.zeros(here.shape, bool)
    for at in np.ndindex(*here.shape):
        if here[at] and there[at]:
            out[at] = opacity * a[at] + (1 - opacity) * b[at]
        elif here[at] or there[at]:
            out[at] = a[at] if here[at] else b[at]
        seen[at] = here[at] or there[at]
    return out, seen


def equal(*layers: Layer) -> Layer:
    values = np.ma.stack([np.ma.array(rgb, mask=np.repeat(~there[..., None], 3, -1)) for rgb, there in layers])
    found = values.mean(axis=0)
    return found.filled(0.0), ~np.ma.getmaskarray(found)[..., 0]


def same(ours: Pixels, theirs: Pixels, most: int = 2) -> bool:
    """But for pixels on the very edge of a set or threshold, and steps of a palette next to each other."""
    return ours.shape == theirs.shape and float((np.abs(ours - theirs).max(-1) > most).mean()) < 0.01
