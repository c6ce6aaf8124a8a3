"""Colour images as the slices of a volume: red, green and blue of a pixel packed into one number.

Theory. Volumes hold amounts that may be interpolated; a colour may stand for a value of some palette, and a colour
between two of them would stand for another one, or for none. So colours are carried as names are: a pixel is
red + 256 green + 65,536 blue, sampled by the nearest one alone. All that this takes is a source whose headers say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vesalius.imaging.description import Description, ImageHeader
from vesalius.imaging.render import shown
from vesalius.imaging.slices import colour_reason
from vesalius.imaging.sources import LIMITS, SliceHeader, StoredSource
from vesalius.model.elements import read_header
from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import RenderRequest
from vesalius.standard.transfer_syntaxes import lookup

# What would say otherwise of the packed numbers.
FORGOTTEN = (
    "PlanarConfiguration", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence",
    "VOILUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit", "ICCProfile", "PixelPresentation",
    "RealWorldValueMappingSequence", "SmallestImagePixelValue", "LargestImagePixelValue",
)  # fmt: skip

JPEG_WITH_LOSS = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def as_decoded(description: Description, transfer_syntax: str) -> Description:
    """What is said of a frame, for its cells as a worker process decodes them."""
    if transfer_syntax in JPEG_WITH_LOSS and description.samples == 3:
        # The decoder gives RGB whatever the codestream is made of.
        return replace(description, photometric="RGB")
    return description


class ColourSource:
    """A series of colour images whose frames are numbers: a `SeriesSource`."""

    def __init__(self, source: StoredSource) -> None:
        self._source = source
        self._images: dict[str, tuple[SliceHeader, ImageHeader]] = {}
        self._headers: tuple[SliceHeader, ...] | None = None
        self.study = source.study
        self.series = source.series
        self.digest = f"colours of {source.digest}"

    def headers(self) -> Sequence[SliceHeader]:
        """See `SeriesSource`. Raises `CannotTranscode` for what cannot be read."""
        if self._headers is None:
            self._headers = tuple(self._header(each) for each in self._source.headers())
        return self._headers

    def _header(self, each: SliceHeader) -> SliceHeader:
        self._images[each.sop_instance] = each, ImageHeader(each.header)
        return SliceHeader(
            _repacked(each), each.transfer_syntax, each.sop_class, each.sop_instance, f"colours of {each.digest}"
        )

    def cells(self, header: SliceHeader, frame: int) -> bytes:
        """See `SeriesSource`."""
        own, image = self._images[header.sop_instance]
        description = as_decoded(image.describe(frame), own.transfer_syntax)
        cells = self._source.cells(own, frame)
        rgb = shown(cells, description, RenderRequest())
        if rgb.ndim == 2:
            rgb = np.repeat(rgb[..., None], 3, axis=-1)
        wide = rgb.astype("<u4")
        numbers = np.asarray(wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16, "<u4")
        return numbers.tobytes()

    def compressed(self, header: SliceHeader) -> bool:
        """See `SeriesSource`."""
        return self._source.compressed(self._images[header.sop_instance][0])


def placeable(source: StoredSource) -> StoredSource | ColourSource:
    """A source of one instance whose headers say where frames lie, be they grey or in colours."""
    colours = any(colour_reason(each.header.values) is not None for each in source.headers())
    return ColourSource(source) if colours else source


def _repacked(each: SliceHeader) -> bytes:
    """The header as that of unsigned grey of 24 bits."""
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    syntax = lookup(each.transfer_syntax)
    try:
        ds = Dataset()
        ds.update(each.dataset)
        for keyword in FORGOTTEN:
            ds.pop(keyword, None)
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 32, 24, 23, 0
        stream = DicomBytesIO()
        stream.is_implicit_VR, stream.is_little_endian = not syntax.explicit, syntax.little_endian
        write_dataset(stream, ds)
        encoded: bytes = stream.getvalue()
        read_header(encoded, each.transfer_syntax, LIMITS)
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise CannotTranscode("the header of a colour image cannot be read") from error
    return encoded
