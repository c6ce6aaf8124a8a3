"""Native pixels to a lossless encapsulated form: runs only inside a worker process.

Theory. For receivers that take nothing but compressed images. Every encoder used here is lossless over the whole
sample cell, so bits above Bits Stored (old overlays, sign extension) survive too. One fragment per frame and a Basic
Offset Table (PS3.5 A.4). RGB stays RGB: no colour transform is applied, so Photometric Interpretation does not change.
"""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
from rle.utils import encode_segment  # type: ignore[attr-defined]

from vesalius.backends.pixels_dataset import PIXEL_DATA, Element
from vesalius.backends.pixels_layout import PLANAR_CONFIGURATION, Layout, find, layout_of
from vesalius.model.errors import CannotTranscode
from vesalius.standard.transfer_syntaxes import (
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)

FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)


def encode_all(elements: list[Element], transfer_syntax: str, largest: int) -> list[Element]:
    """The data set with its pixels compressed. Without pixels it stays as it is. Raises `CannotTranscode`."""
    if any(find(elements, tag) is not None for tag in FLOAT_PIXELS):
        raise CannotTranscode("floating point pixels cannot be compressed")
    pixels = find(elements, PIXEL_DATA)
    if pixels is None:
        return elements
    layout = layout_of(elements, little=True, largest=largest)
    if layout.allocated not in (8, 16) and not (layout.allocated == 32 and transfer_syntax == RLE_LOSSLESS):
        raise CannotTranscode(f"pixels of {layout.allocated} bits cannot be compressed this way")
    if "422" in layout.photometric or "420" in layout.photometric:
        raise CannotTranscode("native pixels with reduced chrominance cannot be compressed")
    if len(pixels.value) < layout.total_bytes:
        raise CannotTranscode("there are fewer pixels than the attributes say", offending=(PIXEL_DATA,))
    frames = [
        _encoded(pixels.value[at : at + layout.frame_bytes], layout, transfer_syntax)
        for at in range(0, layout.total_bytes, layout.frame_bytes)
    ]
    encapsulated = Element(PIXEL_DATA, "OB", fragments=_with_table(frames), undefined=True)
    planar = Element(PLANAR_CONFIGURATION, "US", struct.pack("<H", 1 if transfer_syntax == RLE_LOSSLESS else 0))
    out = []
    for element in elements:
        if element.tag == PIXEL_DATA:
            element = encapsulated
        elif element.tag == PLANAR_CONFIGURATION and layout.samples > 1:
            element = planar
        out.append(element)
    return out


def _with_table(frames: list[bytes]) -> list[memoryview]:
    even = [frame + b"\0" if len(frame) & 1 else frame for frame in frames]
    offsets, at = [], 0
    for frame in even:
        offsets.append(at)
        at += 8 + len(frame)
    # Beyond 4 GiB the table cannot say where a frame is; it is left empty then.
    table = struct.pack(f"<{len(offsets)}I", *offsets) if at <= 0xFFFFFFFF else b""
    return [memoryview(table), *(memoryview(frame) for frame in even)]


def _encoded(frame: bytes | memoryview, layout: Layout, transfer_syntax: str) -> bytes:
    cell = np.dtype(f"<u{layout.allocated // 8}")
    samples = np.frombuffer(frame, cell)
    if layout.samples == 1:
        samples = samples.reshape(layout.rows, layout.columns)
    elif layout.planar == 1:
        samples = np.moveaxis(samples.reshape(layout.samples, layout.rows, layout.columns), 0, 2)
    else:
        samples = samples.reshape(layout.rows, layout.columns, layout.samples)
    samples = np.ascontiguousarray(samples)
    if transfer_syntax == JPEG_LS_LOSSLESS:
        return bytes(imagecodecs.jpegls_encode(samples, level=0))
    if transfer_syntax == JPEG_LOSSLESS_SV1:
        space = "GRAYSCALE" if layout.samples == 1 else "RGB"
        return bytes(
            imagecodecs.jpeg8_encode(
                samples,
                lossless=True,
                predictor=1,
                bitspersample=layout.allocated,
                colorspace=space,
                outcolorspace=space,
            )
        )
    if transfer_syntax == JPEG_2000_LOSSLESS:
        if layout.signed:
            samples = samples.view(f"<i{layout.allocated // 8}")
        return bytes(
            imagecodecs.jpeg2k_encode(samples, level=0, codecformat="j2k", reversible=True, mct=False, numthreads=1)
        )
    if transfer_syntax == RLE_LOSSLESS:
        return _rle(samples, layout)
    raise CannotTranscode(f"no encoder for {transfer_syntax}")


def _rle(samples: np.ndarray[tuple[int, ...], np.dtype[np.generic]], layout: Layout) -> bytes:
    """One RLE frame (PS3.5 annex G): a segment per byte of every sample, the high byte first, rows apart."""
    cell = layout.allocated // 8
    octets = samples.reshape(layout.pixels, layout.samples).view(np.uint8).reshape(layout.pixels, layout.samples, cell)
    segments = []
    for sample in range(layout.samples):
        for byte in reversed(range(cell)):
            segment = bytes(encode_segment(octets[:, sample, byte].tobytes(), layout.columns))
            segments.append(segment + b"\0" if len(segment) & 1 else segment)
    if len(segments) > 15:
        raise CannotTranscode("an RLE frame has at most 15 segments")
    offsets, at = [], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)
