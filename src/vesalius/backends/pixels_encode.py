"""Native pixels to an encapsulated form: runs only inside a worker process.

Theory. For receivers that take nothing but compressed images. Every encoder used here but JPEG is lossless over the
whole sample cell, so bits above Bits Stored (old overlays, sign extension) survive too. One fragment per frame and a
Basic Offset Table (PS3.5 A.4). RGB stays RGB: no colour transform is applied, so Photometric Interpretation does not
change.

JPEG with loss is written for who asks for it by name: 8 bits (Process 1) or 12 (Process 4), unsigned, colour as YCbCr.
The data set then says so (PS3.3 C.7.6.1.1.5): Lossy Image Compression, its method and ratio, a derived image. The SOP
Instance UID stays: it is another representation of what was asked for, made for this answer alone.
"""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
from rle.utils import encode_segment  # type: ignore[attr-defined]

from vesalius.backends.pixels_dataset import PIXEL_DATA, Element
from vesalius.backends.pixels_layout import (
    BITS_STORED,
    PHOTOMETRIC,
    PLANAR_CONFIGURATION,
    Layout,
    find,
    layout_of,
    text_of,
)
from vesalius.backends.pixels_syntaxes import LOSSY
from vesalius.model.errors import CannotTranscode
from vesalius.standard.transfer_syntaxes import (
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)

FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
QUALITY = 90
IMAGE_TYPE, LOSSY_COMPRESSION, LOSSY_RATIO, LOSSY_METHOD = 0x00080008, 0x00282110, 0x00282112, 0x00282114


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
        encode_frame(pixels.value[at : at + layout.frame_bytes], layout, transfer_syntax)
        for at in range(0, layout.total_bytes, layout.frame_bytes)
    ]
    encapsulated = Element(PIXEL_DATA, "OB", fragments=_with_table(frames), undefined=True)
    planar = Element(PLANAR_CONFIGURATION, "US", struct.pack("<H", 1 if transfer_syntax == RLE_LOSSLESS else 0))
    changes = {PIXEL_DATA: encapsulated}
    if layout.samples > 1:
        changes[PLANAR_CONFIGURATION] = planar
    if transfer_syntax in LOSSY:
        changes |= _with_loss(elements, layout, sum(map(len, frames)))
    out = [changes.pop(element.tag, element) for element in elements]
    return sorted([*out, *changes.values()], key=lambda element: element.tag) if changes else out


def _with_loss(elements: list[Element], layout: Layout, compressed: int) -> dict[int, Element]:
    """What the data set has to say of a compression with loss (PS3.3 C.7.6.1.1.5)."""
    ratios = [part for part in text_of(elements, LOSSY_RATIO).split("\\") if part]
    methods = [part for part in text_of(elements, LOSSY_METHOD).split("\\") if part]
    kinds = text_of(elements, IMAGE_TYPE).split("\\")
    texts = {
        LOSSY_COMPRESSION: ("CS", "01"),
        LOSSY_RATIO: ("DS", "\\".join([*ratios, f"{layout.total_bytes / max(compressed, 1):.4g}"])),
        LOSSY_METHOD: ("CS", "\\".join([*methods, "ISO_10918_1"])),
    }
    if kinds[0]:
        texts[IMAGE_TYPE] = "CS", "\\".join(["DERIVED", *kinds[1:]])
    if layout.samples > 1:
        texts[PHOTOMETRIC] = "CS", "YBR_FULL_422"
    return {
        tag: Element(tag, vr, text.encode("ascii", "replace").ljust(len(text) + 1 & ~1))
        for tag, (vr, text) in texts.items()
    }


def _with_table(frames: list[bytes]) -> list[memoryview]:
    even = [frame + b"\0" if len(frame) & 1 else frame for frame in frames]
    offsets, at = [], 0
    for frame in even:
        offsets.append(at)
        at += 8 + len(frame)
    # Beyond 4 GiB the table cannot say where a frame is; it is left empty then.
    table = struct.pack(f"<{len(offsets)}I", *offsets) if at <= 0xFFFFFFFF else b""
    return [memoryview(table), *(memoryview(frame) for frame in even)]


def encode_frame(frame: bytes | memoryview, layout: Layout, transfer_syntax: str) -> bytes:
    """One native frame as a codestream. Raises `CannotTranscode`."""
    if layout.allocated not in (8, 16) and not (layout.allocated == 32 and transfer_syntax == RLE_LOSSLESS):
        raise CannotTranscode(f"pixels of {layout.allocated} bits cannot be compressed this way")
    if len(frame) < layout.frame_bytes:
        raise CannotTranscode("there are fewer pixels than the attributes say", offending=(PIXEL_DATA,))
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
    if transfer_syntax in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL):
        if layout.signed:
            samples = samples.view(f"<i{layout.allocated // 8}")
        return bytes(imagecodecs.htj2k_encode(samples, reversible=True, rgb=False, tlm=True))
    if transfer_syntax == RLE_LOSSLESS:
        return _rle(samples, layout)
    if transfer_syntax in LOSSY:
        return _jpeg(samples, layout, transfer_syntax)
    raise CannotTranscode(f"no encoder for {transfer_syntax}")


def _jpeg(samples: np.ndarray[tuple[int, ...], np.dtype[np.generic]], layout: Layout, transfer_syntax: str) -> bytes:
    """One JPEG frame with loss."""
    bits = 8 if transfer_syntax == JPEG_BASELINE else 12
    if layout.signed or layout.stored > bits:
        raise CannotTranscode(f"this JPEG holds at most {bits} unsigned bits", offending=(BITS_STORED,))
    if layout.photometric == "PALETTE COLOR":
        # What is near an index is another colour altogether (PS3.5 8.2.1 allows it for lossless processes alone).
        raise CannotTranscode("indices of a palette cannot be compressed with loss", offending=(PHOTOMETRIC,))
    if layout.samples == 1:
        if bits == 12:
            samples = samples.astype(np.uint16) & 0x0FFF
        return bytes(imagecodecs.jpeg8_encode(samples, QUALITY, bitspersample=bits, colorspace="GRAYSCALE"))
    if layout.photometric not in ("RGB", "YBR_FULL") or layout.samples != 3 or bits != 8:
        raise CannotTranscode("these colours cannot be compressed this way", offending=(PHOTOMETRIC,))
    space = "RGB" if layout.photometric == "RGB" else "YCBCR"
    return bytes(imagecodecs.jpeg8_encode(samples, QUALITY, colorspace=space, outcolorspace="YCBCR", subsampling="422"))


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
