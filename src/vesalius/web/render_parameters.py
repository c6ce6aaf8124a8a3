"""The query parameters of rendered resources (PS3.18 8.3.5.1): window, viewport, quality, annotation, profile.

What makes no sense is 400 and never a guess (bad-input row H25); sizes are capped before anything is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from vesalius.model.rendering import ColourProfile, Fit, ImageFormat, Region, RenderRequest, Window, WindowFunction
from vesalius.web.errors import Problem
from vesalius.web.negotiation import single

LARGEST_SIDE = 16_384  # pixels
LARGEST_PICTURE = 64 << 20  # pixels
QUALITY = 90

Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class RenderParameters:
    """What a request says about every picture of its answer."""

    quality: int = QUALITY
    window: Window | None = None
    region: Region | None = None
    fit: Fit | None = None
    patient: bool = False
    technique: bool = False
    profile: ColourProfile = ColourProfile.NONE

    def request(self, kind: ImageFormat, *, fit: Fit | None = None, exact_size: bool = False) -> RenderRequest:
        """The work to be done for one picture."""
        return RenderRequest(
            format=kind,
            quality=self.quality,
            window=self.window,
            region=self.region,
            fit=fit or self.fit,
            patient=self.patient,
            technique=self.technique,
            profile=self.profile,
            exact_size=exact_size,
        )


def parameters_of(request: Request) -> dict[str, list[str]]:
    """The query of a request: name -> values, in order."""
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return found


def render_parameters(parameters: Parameters) -> RenderParameters:
    """The parameters of the WADO-RS rendered resources. Raises `Problem` (400)."""
    patient, technique = annotations_of(single(parameters, "annotation"))
    fit, region = _viewport(single(parameters, "viewport"))
    return RenderParameters(
        quality=quality_of(single(parameters, "quality"), "quality"),
        window=_window(single(parameters, "window")),
        region=region,
        fit=fit,
        patient=patient,
        technique=technique,
        profile=_profile(single(parameters, "iccprofile")),
    )


def _profile(text: str | None) -> ColourProfile:
    """The colour space of the pictures (8.3.5.1.5)."""
    found = next((each for each in ColourProfile if text in (None, each.value)), None)
    if found is None:
        raise Problem(400, "iccprofile is one of " + ", ".join(ColourProfile))
    return found


def annotations_of(text: str | None) -> tuple[bool, bool]:
    """Whether patient and technique are to be burnt in. Raises `Problem` (400)."""
    wanted = {part.strip() for part in (text or "").split(",") if part.strip()}
    if wanted - {"patient", "technique"}:
        raise Problem(400, "annotation holds patient, technique or both")
    return "patient" in wanted, "technique" in wanted


def quality_of(text: str | None, name: str) -> int:
    """The quality of a picture with loss. Raises `Problem` (400)."""
    if text is None:
        return QUALITY
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise Problem(400, f"{name} is a whole number from 1 to 100")
    return int(text)


def side_of(text: str, name: str) -> int:
    """A number of pixels. Raises `Problem` (400)."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= LARGEST_SIDE):
        raise Problem(400, f"{name} is a whole number of pixels from 1 to {LARGEST_SIDE}")
    return int(text)


def number_of(text: str, name: str) -> float:
    """A decimal number that a picture can have. Raises `Problem` (400)."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e12:
        raise Problem(400, f"{name} holds something that is no number")
    return value


def window_of(center: str, width: str, function: str = WindowFunction.LINEAR.value) -> Window:
    """A window. Raises `Problem` (400)."""
    found = next((each for each in WindowFunction if each.value == function.strip().lower()), None)
    if found is None:
        raise Problem(400, "the function of a window is linear, linear-exact or sigmoid")
    value, extent = number_of(center, "window"), number_of(width, "window")
    if extent <= 0 or (found is WindowFunction.LINEAR and extent < 1):
        raise Problem(400, "the width of a window is positive, and at least 1 for a linear one")
    return Window(value, extent, found)


def _window(text: str | None) -> Window | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise Problem(400, "window is center,width,function")
    return window_of(*parts)


def _viewport(text: str | None) -> tuple[Fit | None, Region | None]:
    """`vw,vh[,sx,sy,sw,sh]` (8.3.5.1.3); what is left empty of the region is the image's."""
    if text is None:
        return None, None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3, 4, 5, 6):
        raise Problem(400, "viewport is width,height or width,height,x,y,width,height")
    fit = Fit(side_of(parts[0], "viewport"), side_of(parts[1], "viewport"))
    if (fit.width or 0) * (fit.height or 0) > LARGEST_PICTURE:
        raise Problem(400, "the viewport is too large")
    rest = [number_of(part, "viewport") if part else None for part in parts[2:]] + [None] * 4
    left, top, width, height = rest[:4]
    if width == 0 or height == 0:
        raise Problem(400, "the region of a viewport has an extent")
    if left is None and top is None and width is None and height is None:
        return fit, None
    return fit, Region(left or 0.0, top or 0.0, width, height)
