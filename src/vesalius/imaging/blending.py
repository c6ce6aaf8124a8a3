"""A blending softcopy presentation state (PS3.3 A.33.4, C.11.14): grey images with others in colour over them.

Theory. The state names two sets of images. Every underlying image is one picture: it goes through its own modality and
VOI transformation to grey, while the superimposed set, sampled where the pixels of that image lie in the patient, goes
through its own and then through the palette of the state. What is seen is grey x (1 - opacity) + colour x opacity
(PS3.4 N.2.6); where the superimposed set has no value the underlying one is seen alone. How the sets lie to each other
the state leaves open (C.11.14.1.1): they share a frame of reference, or a registration links them, or they are not
blended at all.

Sampling needs volumes and therefore the archive (`web/blending.py`); it ends in an RGBA picture as large as the
underlying image, which the process that draws only lays over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from vesalius.imaging.description import (
    MODALITY_LUTS,
    VOI_LUTS,
    items_of,
    lut_of_item,
    number,
    palette_of,
    strings,
    window_of,
)
from vesalius.imaging.fusion import usual_window
from vesalius.imaging.graphics import applies
from vesalius.imaging.lookup import Octets, coloured, fitted, voi_table, windowed
from vesalius.imaging.presentation import (
    INTERCEPT,
    REFERENCED_IMAGES,
    REFERENCED_INSTANCE,
    REFERENCED_SERIES,
    SLOPE,
    VOI_ITEMS,
    Presentation,
    images_in,
    references_of,
)
from vesalius.imaging.space import Volume
from vesalius.model.elements import Header
from vesalius.model.entities import Values
from vesalius.model.errors import CannotTranscode

BLENDING, POSITION, OPACITY, REGISTRATIONS = 0x00700402, 0x00700405, 0x00700403, 0x00700404
SERIES, SEGMENTS = 0x0020000E, 0x0062000B


@dataclass(frozen=True, slots=True)
class Blending:
    """What a state says of its two sets."""

    underlying: Values
    superimposed: Values
    opacity: float  # of the superimposed set, 0 to 1
    registrations: frozenset[str]  # SOP Instance UIDs of those that are to be used; empty: any


def blending_of(header: Header) -> Blending | None:
    """What a state blends; None for one that blends nothing. Raises `CannotTranscode` for half a description."""
    items = items_of(header, BLENDING)
    if not items:
        return None
    sets = {next(iter(strings(item, POSITION)), ""): item for item in items}
    opacity = number({OPACITY: header.values(OPACITY)}, OPACITY)
    if len(items) != 2 or not sets.keys() >= {"UNDERLYING", "SUPERIMPOSED"} or opacity is None or not 0 <= opacity <= 1:
        raise CannotTranscode("the presentation state does not say which images are blended how (PS3.3 C.11.14)")
    return Blending(
        sets["UNDERLYING"], sets["SUPERIMPOSED"], opacity, registrations_in(items_of(header, REGISTRATIONS))
    )


def registrations_in(items: Iterable[Values]) -> frozenset[str]:
    """SOP Instance UIDs of the items of Referenced Spatial Registration Sequence."""
    return frozenset(
        uid
        for study in items
        for series in items_in(study, REFERENCED_SERIES) or (study,)
        for each in (*items_in(series, 0x00081199), *items_in(series, REFERENCED_IMAGES), series)
        for uid in strings(each, REFERENCED_INSTANCE)
    )


def shown_by(header: Header) -> dict[str, tuple[int, ...]]:
    """The images that a presentation state makes pictures of, as `references_of` has them: the underlying ones."""
    blending = blending_of(header)
    return references_of(header) if blending is None else images_in(items_in(blending.underlying, REFERENCED_SERIES))


def superimposed_by(blending: Blending) -> tuple[str, frozenset[str]]:
    """The series that lies on top and its images. Raises `CannotTranscode` for what is not drawn."""
    series = items_in(blending.superimposed, REFERENCED_SERIES)
    images = images_in(series)
    if len(series) != 1 or not images:
        raise CannotTranscode("only the images of one series are laid over others")
    listed = [image for each in series for image in items_in(each, REFERENCED_IMAGES)]
    if any(images.values()) or any(strings(image, SEGMENTS) for image in listed):
        raise CannotTranscode("some frames or segments of an image, without the others, are not laid over images")
    return next(iter(strings(series[0], SERIES)), ""), frozenset(images)


def as_underlying(said: Presentation, blending: Blending, instance: str, index: int) -> Presentation:
    """What the state says of an underlying image: the values of its set; the palette is for the other one."""
    item = blending.underlying
    voi = next((each for each in items_in(item, VOI_ITEMS) if applies(each, instance, index)), {})
    return replace(
        said,
        slope=number(item, SLOPE),
        intercept=number(item, INTERCEPT),
        modality_lut=lut_of_item(_first(item, MODALITY_LUTS), signed=False),
        window=window_of(voi),
        voi_lut=lut_of_item(_first(voi, VOI_LUTS), signed=True),
        palette=None,
        shutter=None,
    )


def own_modality(blending: Blending) -> tuple[float, float] | None:
    """Slope and intercept that the state says for the superimposed set; None: as its images say.

    Raises `CannotTranscode` for a table: between its entries nothing can be interpolated.
    """
    item = blending.superimposed
    if items_in(item, MODALITY_LUTS):
        raise CannotTranscode("a table as Modality LUT of superimposed images is not drawn, only slope and intercept")
    slope, intercept = number(item, SLOPE), number(item, INTERCEPT)
    return None if slope is None else (slope, intercept or 0.0)


def colours(plane: Volume, whole: Volume, blending: Blending, header: Header) -> Octets:
    """The superimposed set on the pixels of an underlying image: (rows, columns, 4), alpha 0 where it has no value.

    `plane` and `whole` hold units: the set sampled, and all of it. Raises `CannotTranscode`.
    """
    palette = palette_of(header)
    if palette is None:
        raise CannotTranscode("the palette of the blending presentation state is missing or malformed")
    units = plane.values[0].astype(np.float64)
    voi = _voi(blending)
    window = window_of(voi)
    table = lut_of_item(_first(voi, VOI_LUTS), signed=True)
    if table is not None:
        shown = voi_table(units, fitted(table, float(units.min()), float(units.max())))
    else:
        shown = windowed(units, window or usual_window(whole))
    places = np.rint(shown * ((len(palette[0].entries) - 1) / 255.0)) + palette[0].first
    alpha = np.where(plane.finite[0], np.uint8(255), np.uint8(0))
    return np.dstack((coloured(places, palette), alpha))


def blended(below: Octets, above: Octets, opacity: float) -> Octets:
    """Grey or RGB with an RGBA picture over it."""
    grey = below if below.ndim == 3 else np.repeat(below[..., None], 3, axis=-1)
    part = np.where(above[..., 3:] > 0, np.float32(opacity), np.float32(0))
    mixed = grey.astype(np.float32) * (1 - part) + above[..., :3].astype(np.float32) * part
    return np.asarray(np.rint(mixed), np.uint8)


def rescaled(volume: Volume, said: tuple[float, float] | None) -> Volume:
    """Stored values as the units that the state says; units stay as they are."""
    if said is None:
        return volume
    slope, intercept = said
    return replace(volume, values=np.asarray(volume.values, np.float32) * np.float32(slope) + np.float32(intercept))


def _voi(blending: Blending) -> Values:
    """The one VOI item of the superimposed set."""
    items = items_in(blending.superimposed, VOI_ITEMS)
    images = images_in(items_in(blending.superimposed, REFERENCED_SERIES))
    if len(items) > 1 or any(not applies(item, uid, 0) for item in items for uid in images):
        raise CannotTranscode("superimposed images with windows of their own, each another, are not drawn")
    return items[0] if items else {}


def items_in(item: Mapping[int, object], tag: int) -> tuple[Values, ...]:
    """The items of a sequence of a decoded item."""
    return tuple(each for each in cast("tuple[object, ...]", item.get(tag, ())) if isinstance(each, dict))


def _first(item: Mapping[int, object], tag: int) -> Values:
    return next(iter(items_in(item, tag)), {})
