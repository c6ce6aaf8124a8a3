"""Colour that means the same on every screen: ICC profiles (PS3.3 C.11.15, PS3.18 8.3.5.1.5), CIELab (C.10.7.1.1).

Theory. The samples of a colour image are those of the device that made it; its ICC profile says what they look like.
A program that shows a JPEG or PNG without a profile takes its samples for sRGB. So a picture of an image with a profile
is converted to sRGB unless something else is asked for, and one without a profile is taken for sRGB. A profile that
cannot be used (broken, of another colour space) is as good as none: a picture in slightly wrong colours is
better than no picture.

The profiles of Adobe RGB (1998) and ROMM RGB are written here from their published primaries and transfer curves.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from vesalius.model.rendering import ColourProfile

Octets = npt.NDArray[np.uint8]
Rgb = tuple[int, int, int]

_D50 = (0.9642, 1.0, 0.8249)
# Red, green and blue as XYZ under D50; then the parametric curve of ICC.1 10.18: type and its numbers.
_ADOBE = (
    "Adobe RGB (1998) compatible",
    ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    (0, (563 / 256,)),
)
_ROMM = (
    "ROMM RGB",
    ((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03135, 0.00009, 0.82521)),
    (3, (1.8, 1.0, 0.0, 1 / 16, 0.03125)),
)


def converted(pixels: Octets, source: bytes | None, wanted: ColourProfile) -> tuple[Octets, bytes | None]:
    """The pixels in the wanted colour space, and the profile that the picture is to carry (None: none).

    Grey is grey in every space, so only a picture that is to carry a profile becomes RGB.
    """
    if wanted is ColourProfile.NONE:
        if pixels.ndim == 2 or source is None:
            return pixels, None
        return _applied(pixels, source, profile(ColourProfile.SRGB)), None
    if pixels.ndim == 2:
        pixels, source = np.repeat(pixels[..., None], 3, axis=-1), None
    if source is not None and not _usable(source):
        source = None
    if wanted is ColourProfile.STORED:
        return pixels, source or profile(ColourProfile.SRGB)
    target = profile(wanted)
    return _applied(pixels, source or profile(ColourProfile.SRGB), target), target


@lru_cache(maxsize=4)
def profile(wanted: ColourProfile) -> bytes:
    """The ICC profile of a well-known colour space."""
    if wanted is ColourProfile.ADOBE_RGB:
        return _matrix_profile(*_ADOBE)
    if wanted is ColourProfile.ROMM_RGB:
        return _matrix_profile(*_ROMM)
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def rgb_of_lab(values: tuple[float, ...]) -> Rgb | None:
    """A colour of three 16 bit numbers (CIELab under D50, as ICC profiles write it) as sRGB."""
    if len(values) != 3 or not all(0 <= value <= 0xFFFF for value in values):
        return None
    light = values[0] * 100 / 0xFFFF
    across, up = (value * 255 / 0xFFFF - 128 for value in values[1:])
    y = (light + 16) / 116
    xyz = np.array([_from_lab(y + across / 500), _from_lab(y), _from_lab(y - up / 200)]) * _D50
    linear = np.clip(_XYZ_TO_SRGB @ xyz, 0, 1)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.rint(coded * 255))
    return red, green, blue


# XYZ under D50 to linear sRGB, the Bradford adaptation included.
_XYZ_TO_SRGB = np.array(
    ((3.1338561, -1.6168667, -0.4906146), (-0.9787684, 1.9161415, 0.0334540), (0.0719453, -0.2289914, 1.4052427))
)


def _from_lab(value: float) -> float:
    return float(value**3) if value > 6 / 29 else 3 * (6 / 29) ** 2 * (value - 4 / 29)


def _usable(source: bytes) -> bool:
    """Whether it is a profile from RGB that the library can read."""
    return source[16:20] == b"RGB " and _transform(source, profile(ColourProfile.SRGB)) is not None


def _applied(pixels: Octets, source: bytes, target: bytes) -> Octets:
    transform = _transform(source, target)
    if transform is None:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    done = ImageCms.applyTransform(image, transform)
    return pixels if done is None else np.asarray(done)


@lru_cache(maxsize=8)
def _transform(source: bytes, target: bytes) -> ImageCms.ImageCmsTransform | None:
    if source[16:20] != b"RGB ":
        return None
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(source)),
            ImageCms.ImageCmsProfile(io.BytesIO(target)),
            "RGB",
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _matrix_profile(name: str, primaries: tuple[tuple[float, ...], ...], curve: tuple[int, tuple[float, ...]]) -> bytes:
    """A profile of version 4 with three primaries and one curve (ICC.1:2010, 8.4)."""
    kind, numbers = curve
    para = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(_fixed, numbers))
    tags = [
        (b"desc", _text(name)),
        (b"cprt", _text("No copyright, use freely")),
        (b"wtpt", _xyz(_D50)),
        *zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, primaries), strict=True),
        *((tag, para) for tag in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags:
        table += tag + struct.pack(">II", at + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4sIIIIQI",
        at + len(data), b"\0\0\0\0", 0x04200000, b"mntr", b"RGB ", b"XYZ ",
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp", 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    head += b"".join(map(_fixed, _D50))
    return head.ljust(128, b"\0") + table + data


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded
