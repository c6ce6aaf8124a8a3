"""Encapsulated pixel data to native: runs only inside a worker process.

Theory. A decoder gives samples; DICOM wants the sample cells that the attributes describe. Between the two lie:
the sign (codestreams of JPEG and JPEG-LS know none, that of JPEG 2000 may disagree with Pixel Representation: the
bits are kept and read as the attribute says, extended from the precision of the codestream), the width of the cell,
the order of the planes (Planar Configuration of the data set is obeyed), and the colour space: a JPEG with loss that
was coded as YCbCr becomes RGB and a JPEG 2000 that used a component transform is RGB again once decoded, and
Photometric Interpretation says so (PS3.5 8.2.1, 8.2.4). What was stored in YCbCr without loss stays YCbCr. Frames of
one bit per pixel are padded to bytes when compressed and follow each other without padding when native (PS3.5 8.1.1).

The size that a codestream announces is compared with Rows and Columns before it is decoded.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise

import imagecodecs
import numpy as np
import numpy.typing as npt
from rle.utils import decode_segment  # type: ignore[attr-defined]

from vesalius.backends.pixels_dataset import PIXEL_DATA, Element
from vesalius.backends.pixels_layout import (
    ENCAPSULATED_ONLY,
    PHOTOMETRIC,
    PLANAR_CONFIGURATION,
    Layout,
    layout_of,
    split_frames,
)
from vesalius.backends.pixels_syntaxes import J2K, JPEG, JPEG_LS
from vesalius.model.errors import CannotTranscode
from vesalius.standard.transfer_syntaxes import DEFLATED_IMAGE_FRAME, ENCAPSULATED_UNCOMPRESSED_LE, RLE_LOSSLESS

Samples = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the header of a JPEG or JPEG-LS codestream announces."""

    frame_type: int  # the second byte of its start-of-frame marker
    precision: int
    rows: int
    columns: int
    components: int
    adobe_transform: int | None  # of the APP14 segment: 0 RGB, 1 YCbCr


def decode_all(elements: list[Element], transfer_syntax: str, largest: int) -> list[Element]:
    """The data set with native pixels, those of icons inside sequences included. Raises `CannotTranscode`."""
    out: list[Element] = []
    changes: dict[int, Element] = {}
    for element in elements:
        if element.items is not None:
            for item in element.items:
                item.elements = decode_all(item.elements, transfer_syntax, largest)
        elif element.fragments is not None:
            if element.tag != PIXEL_DATA:
                raise CannotTranscode("only Pixel Data may be encapsulated", offending=(element.tag,))
            element, changes = _native(elements, element, transfer_syntax, largest)
        out.append(element)
    if changes:
        out = [changes.pop(element.tag, element) for element in out if element.tag not in ENCAPSULATED_ONLY]
        out = sorted([*out, *changes.values()], key=lambda element: element.tag) if changes else out
    return out


def _native(
    elements: list[Element], pixels: Element, transfer_syntax: str, largest: int
) -> tuple[Element, dict[int, Element]]:
    layout = layout_of(elements, little=True, largest=largest)
    one_each = transfer_syntax in (RLE_LOSSLESS, DEFLATED_IMAGE_FRAME, ENCAPSULATED_UNCOMPRESSED_LE)
    frames = split_frames(elements, pixels, layout.frames, one_each=one_each)
    decoded = []
    photometric = layout.photometric
    for frame in frames:
        samples, photometric = decode_frame(frame, layout, transfer_syntax)
        decoded.append(samples)
    value = _joined_bits(decoded, layout) if layout.allocated == 1 else b"".join(decoded)
    if len(value) & 1:
        value += b"\0"
    changes: dict[int, Element] = {
        PHOTOMETRIC: Element(PHOTOMETRIC, "CS", photometric.ljust(len(photometric) + 1 & ~1).encode("ascii"))
    }
    if layout.samples > 1:
        changes[PLANAR_CONFIGURATION] = Element(PLANAR_CONFIGURATION, "US", struct.pack("<H", layout.planar))
    return Element(PIXEL_DATA, "OW" if layout.allocated > 8 else "OB", value), changes


def _joined_bits(frames: list[bytes], layout: Layout) -> bytes:
    if layout.pixels * layout.samples % 8 == 0:
        return b"".join(frames)
    count = layout.pixels * layout.samples
    bits = [np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[:count] for frame in frames]
    return np.packbits(np.concatenate(bits), bitorder="little").tobytes()


def decode_frame(frame: bytes, layout: Layout, transfer_syntax: str) -> tuple[bytes, str]:
    """One frame as native bytes, and its photometric interpretation. Raises `CannotTranscode`."""
    if transfer_syntax == ENCAPSULATED_UNCOMPRESSED_LE:
        if len(frame) < layout.frame_bytes:
            raise CannotTranscode("an uncompressed frame is shorter than the attributes say")
        return frame[: layout.frame_bytes], layout.photometric
    if transfer_syntax == RLE_LOSSLESS:
        return _rle(frame, layout), layout.photometric
    if transfer_syntax == DEFLATED_IMAGE_FRAME:
        return _inflated(frame, layout), layout.photometric
    if transfer_syntax in JPEG:
        samples, precision, photometric = _jpeg(frame, layout)
    elif transfer_syntax in JPEG_LS:
        _announced(frame, layout)
        precision, photometric = announced_by(frame).precision, layout.photometric
        samples = imagecodecs.jpegls_decode(frame)
    elif transfer_syntax in J2K:
        samples, precision, photometric = _j2k(frame, layout)
    else:
        raise CannotTranscode(f"no decoder for {transfer_syntax}")
    return _cells(samples, precision, layout), photometric


def _cells(samples: Samples, precision: int, layout: Layout) -> bytes:
    wanted = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, layout.samples)
    if samples.shape != wanted:
        raise CannotTranscode("the decoded frame has another size than the attributes say")
    if layout.allocated == 1:
        return np.packbits(samples.reshape(-1) != 0, bitorder="little").tobytes()
    if precision > layout.allocated or layout.allocated not in (8, 16, 32):
        raise CannotTranscode("the codestream has more bits than the attributes say")
    cell = np.dtype(f"<i{layout.allocated // 8}" if layout.signed else f"<u{layout.allocated // 8}")
    if layout.signed != (samples.dtype.kind == "i"):
        # The codestream and the attribute disagree about the sign: keep the bits, read them as the attribute says.
        wide = samples.astype(np.int64) & ((1 << precision) - 1)
        if layout.signed:
            wide -= (wide >> (precision - 1)) << precision
        samples = wide
    if layout.samples > 1 and layout.planar == 1:
        samples = np.moveaxis(samples, 2, 0)
    return np.ascontiguousarray(samples, dtype=cell).tobytes()


def _jpeg(frame: bytes, layout: Layout) -> tuple[Samples, int, str]:
    stream = _announced(frame, layout)
    photometric = layout.photometric
    if stream.components == 1 or stream.frame_type == 0xC3:
        # Lossless: the samples are what was stored, whatever their colour space is called.
        space = "GRAYSCALE" if stream.components == 1 else "RGB"
        return imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace=space), stream.precision, photometric
    coded_as_rgb = stream.adobe_transform == 0 or (stream.adobe_transform is None and photometric == "RGB")
    if stream.components != 3:
        raise CannotTranscode("a JPEG with four components is not supported")
    space = "RGB" if coded_as_rgb else "YCBCR"
    return imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace="RGB"), stream.precision, "RGB"


def _j2k(frame: bytes, layout: Layout) -> tuple[Samples, int, str]:
    at = frame.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(frame) < at + 43:
        raise CannotTranscode("not a JPEG 2000 codestream")
    x1, y1, x0, y0 = struct.unpack_from(">4I", frame, at + 8)
    (components,) = struct.unpack_from(">H", frame, at + 40)
    precision = (frame[at + 42] & 0x7F) + 1
    _same_size(y1 - y0, x1 - x0, components, layout)
    photometric = "RGB" if layout.photometric in ("YBR_RCT", "YBR_ICT") else layout.photometric
    return imagecodecs.jpeg2k_decode(frame, numthreads=1), precision, photometric


def _same_size(rows: int, columns: int, components: int, layout: Layout) -> None:
    if (rows, columns, components) != (layout.rows, layout.columns, layout.samples):
        raise CannotTranscode("the codestream announces another size than the attributes say")


def _announced(frame: bytes, layout: Layout) -> Codestream:
    stream = announced_by(frame)
    _same_size(stream.rows, stream.columns, stream.components, layout)
    return stream


def announced_by(frame: bytes) -> Codestream:
    """Read the markers of a JPEG or JPEG-LS codestream up to its start of frame (ISO 10918-1 B.2)."""
    at, end, adobe = 2, len(frame), None
    if frame[:2] != b"\xff\xd8":
        raise CannotTranscode("not a JPEG codestream")
    while at + 4 <= end:
        if frame[at] != 0xFF:
            raise CannotTranscode("a JPEG marker is missing")
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if marker == 0xEE and frame[at + 4 : at + 9] == b"Adobe" and length >= 14 and at + 16 <= end:
            adobe = frame[at + 15]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if at + 10 > end:
                break
            precision, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 4)
            return Codestream(marker, precision, rows, columns, components, adobe)
        at += 2 + length
    raise CannotTranscode("the JPEG codestream announces no frame")


def _inflated(frame: bytes, layout: Layout) -> bytes:
    try:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, layout.frame_bytes + 2)
    except zlib.error as error:
        raise CannotTranscode("a deflated frame is malformed") from error
    if len(data) < layout.frame_bytes or len(data) > layout.frame_bytes + 1:
        raise CannotTranscode("a deflated frame has another size than the attributes say")
    return data[: layout.frame_bytes]


def _rle(frame: bytes, layout: Layout) -> bytes:
    """One RLE frame (PS3.5 annex G): a segment per byte of every sample, the high byte first."""
    cell = max(layout.allocated // 8, 1)
    segments = layout.samples * cell
    if len(frame) < 64 or struct.unpack_from("<I", frame)[0] != segments:
        raise CannotTranscode("an RLE frame has not as many segments as the attributes say")
    offsets = [*struct.unpack_from(f"<{segments}I", frame, 4), len(frame)]
    size = layout.frame_bytes // segments
    planes = np.empty((layout.samples, size, cell), np.uint8)
    for number, (low, high) in enumerate(pairwise(offsets)):
        if not 64 <= low <= high <= len(frame):
            raise CannotTranscode("an RLE segment lies outside its frame")
        data = decode_segment(frame[low:high])
        if len(data) < size:
            raise CannotTranscode("an RLE segment is too short")
        sample, byte = divmod(number, cell)
        planes[sample, :, cell - 1 - byte] = np.frombuffer(data, np.uint8, size)
    if layout.samples > 1 and layout.planar == 0:
        planes = np.ascontiguousarray(np.moveaxis(planes, 0, 1))
    return planes.tobytes()
