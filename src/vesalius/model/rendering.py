"""What a rendered image shall be: the parameters of PS3.18 8.3.5.1 and 9.1.2.2 as plain values.

Whoever parses a request makes these, the worker process of the pixels obeys them. Numbers are checked where they are
parsed; here they are only named.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ImageFormat(enum.StrEnum):
    """What comes out. The values are media types, but for the last one."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    GIF = "image/gif"
    WEBP = "image/webp"
    JPEG_2000 = "image/jp2"
    RGB = "rgb"  # three bytes a pixel and no header, for an encoder of video


class WindowFunction(enum.StrEnum):
    """VOI LUT Function (PS3.3 C.11.2.1.3); the values are those of the query parameter."""

    LINEAR = "linear"
    LINEAR_EXACT = "linear-exact"
    SIGMOID = "sigmoid"


class ColourProfile(enum.StrEnum):
    """What becomes of colour (PS3.18 8.3.5.1.5); the values are those of the query parameter."""

    NONE = "no"  # sRGB, and the picture does not say so: what every program takes a picture for that says nothing
    STORED = "yes"  # the colours as stored, with the profile of the image
    SRGB = "srgb"  # converted, with its profile
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"


@dataclass(frozen=True, slots=True)
class Window:
    """A window in the units that the Modality LUT gives."""

    center: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the image: left, top, width and height, in pixels or as fractions of the image.

    A negative width or height flips the part (PS3.18 8.3.5.1.3).
    """

    left: float
    top: float
    width: float | None = None  # None: up to the edge
    height: float | None = None
    fractions: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest size of what comes out, in pixels; the image fills it as far as its shape allows."""

    width: int | None = None
    height: int | None = None
    enlarge: bool = True  # a smaller image is scaled up


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One image to be made of one frame."""

    format: ImageFormat = ImageFormat.JPEG
    quality: int = 90  # 1 to 100, of the formats with loss
    window: Window | None = None  # None: as the data set or the presentation state says
    region: Region | None = None
    fit: Fit | None = None
    patient: bool = False  # burn in who it is
    technique: bool = False  # burn in how it was made
    profile: ColourProfile = ColourProfile.NONE
    exact_size: bool = False  # pad to even numbers of rows and columns, as encoders of video need
