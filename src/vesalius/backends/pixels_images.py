"""Pictures as files: JPEG, PNG, GIF, WebP, JPEG 2000. For pixels of our own making."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import ImageFormat

WEBP_LARGEST = 16383  # rows or columns
JPEG_LARGEST = 65535


def encode_image(pixels: npt.NDArray[np.uint8], kind: ImageFormat, quality: int, profile: bytes | None = None) -> bytes:
    """Grey (rows, columns) or RGB (rows, columns, 3) as a file, with an ICC profile where there is room for one.

    Raises `CannotTranscode` for one too large.
    """
    if kind is ImageFormat.RGB:
        return np.ascontiguousarray(
            np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3))
        ).tobytes()
    largest = WEBP_LARGEST if kind is ImageFormat.WEBP else JPEG_LARGEST
    if max(pixels.shape[:2]) > largest:
        raise CannotTranscode(f"the picture is too large for {kind.value}")
    if profile is not None and kind in (ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.JPEG):
        return _with_profile(pixels, kind, quality, profile)
    if kind is ImageFormat.PNG:
        return bytes(imagecodecs.png_encode(pixels, 3))
    if kind is ImageFormat.WEBP:
        return bytes(imagecodecs.webp_encode(_as_rgb(pixels), quality, method=2))
    if kind is ImageFormat.JPEG_2000:
        made = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="jp2", reversible=True, numthreads=1))
        return made if profile is None else _jp2_with_profile(made, profile)
    if kind is ImageFormat.GIF:
        image = Image.fromarray(pixels)
        out = io.BytesIO()
        (image if image.mode == "L" else image.quantize(256)).save(out, "GIF")
        return out.getvalue()
    return bytes(imagecodecs.jpeg8_encode(pixels, quality))


def _as_rgb(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if pixels.ndim == 3:
        return pixels
    return np.repeat(pixels[..., None], 3, axis=-1)


def _with_profile(pixels: npt.NDArray[np.uint8], kind: ImageFormat, quality: int, profile: bytes) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind is ImageFormat.JPEG:
        image.save(out, "JPEG", quality=quality, subsampling=0, icc_profile=profile)
    else:
        image.save(out, kind.name, quality=quality, icc_profile=profile)
    return out.getvalue()


def _jp2_with_profile(made: bytes, profile: bytes) -> bytes:
    """A JP2 file whose colour specification is a profile (ISO 15444-1 I.5.3.3, method 2)."""
    at = made.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", made, at)
    boxes, place, end = b"", at + 8, at + length
    while place + 8 <= end:
        (size,) = struct.unpack_from(">I", made, place)
        if size < 8:
            break
        if made[place + 4 : place + 8] != b"colr":
            boxes += made[place : place + size]
        place += size
    boxes += struct.pack(">I4sBBB", 11 + len(profile), b"colr", 2, 0, 0) + profile
    return made[:at] + struct.pack(">I4s", 8 + len(boxes), b"jp2h") + boxes + made[end:]
