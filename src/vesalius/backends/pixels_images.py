"""Pictures as files: JPEG, PNG, GIF, WebP, JPEG 2000. Runs only inside a worker process."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import ImageFormat

WEBP_LARGEST = 16383  # rows or columns
JPEG_LARGEST = 65535


def encode_image(pixels: npt.NDArray[np.uint8], kind: ImageFormat, quality: int) -> bytes:
    """Grey (rows, columns) or RGB (rows, columns, 3) as a file. Raises `CannotTranscode` for one too large."""
    if kind is ImageFormat.RGB:
        return np.ascontiguousarray(
            np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3))
        ).tobytes()
    largest = WEBP_LARGEST if kind is ImageFormat.WEBP else JPEG_LARGEST
    if max(pixels.shape[:2]) > largest:
        raise CannotTranscode(f"the picture is too large for {kind.value}")
    if kind is ImageFormat.PNG:
        return bytes(imagecodecs.png_encode(pixels, 3))
    if kind is ImageFormat.WEBP:
        return bytes(imagecodecs.webp_encode(_as_rgb(pixels), quality, method=2))
    if kind is ImageFormat.JPEG_2000:
        return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="jp2", reversible=True, numthreads=1))
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
