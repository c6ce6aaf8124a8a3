"""An advanced blending presentation state (PS3.3 A.33.7, C.11.33, C.11.34): any number of inputs, blended in steps.

Theory. The state numbers its inputs, each a series or some of its images with thresholds, a window and a palette of its
own, and its steps, each of which blends inputs and results of other steps. The step without a number is what is seen.
One input has the geometry of the picture; each of its images is one. So a state is a small graph, written by strangers:
it is read whole and put in order here, before a pixel is touched. Numbers that do not exist or exist twice, steps that
wait for each other, a share that is none: each is a reason of its own, told in words.

What the values become is `blending_layers.py`, where the images come from `web/blending_inputs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from vesalius.imaging.blending import OPACITY, REGISTRATIONS, SEGMENTS, SERIES, items_in, registrations_in
from vesalius.imaging.description import PIXEL_PRESENTATION, Lut, items_of, number, numbers, palette_of_item, strings
from vesalius.imaging.presentation import REFERENCED_IMAGES, image_in, is_advanced
from vesalius.model.elements import Header
from vesalius.model.entities import Values
from vesalius.model.errors import CannotTranscode

INPUTS, NUMBER, DISPLAY_INPUTS, STEPS, MODE = 0x00701B01, 0x00701B02, 0x00701B03, 0x00701B04, 0x00701B06
TIME_SERIES, GEOMETRY, OPTICAL_PATH, PALETTES = 0x00701B07, 0x00701B08, 0x006A000E, 0x00480120
THRESHOLDS, THRESHOLD_VALUES, THRESHOLD_TYPE, THRESHOLD_VALUE = 0x00701B11, 0x00701B12, 0x00701B13, 0x00701B14

MOST_INPUTS, MOST_STEPS, MOST_IN_STEP = 16, 32, 64


class Mode(StrEnum):
    """How a step weighs what it blends."""

    EQUAL = "EQUAL"
    FOREGROUND = "FOREGROUND"


class Comparison(StrEnum):
    """Which values a threshold lets through (C.11.33.1.2.1)."""

    RANGE_INCL = "RANGE_INCL"
    RANGE_EXCL = "RANGE_EXCL"
    GREATER_OR_EQUAL = "GREATER_OR_EQUAL"
    LESS_OR_EQUAL = "LESS_OR_EQUAL"
    GREATER_THAN = "GREATER_THAN"
    LESS_THAN = "LESS_THAN"

    @property
    def values(self) -> int:
        """How many values it compares with."""
        return 2 if self in (Comparison.RANGE_INCL, Comparison.RANGE_EXCL) else 1


@dataclass(frozen=True, slots=True)
class Threshold:
    """Values that are shown; those that no threshold of an input lets through are padding."""

    comparison: Comparison
    low: float
    high: float  # the same where there is one


@dataclass(frozen=True, slots=True)
class Input:
    """One input and how its values are shown."""

    number: int
    series: str
    images: dict[str, tuple[int, ...]]  # SOP Instance UID -> frames from 0, () for all; empty: the whole series
    segments: frozenset[int]
    paths: frozenset[str]  # Optical Path Identifiers: only those of its images are meant
    registrations: frozenset[str]  # SOP Instance UIDs
    time_series: bool
    geometry: bool
    thresholds: tuple[Threshold, ...]
    palette: tuple[Lut, Lut, Lut] | None
    item: Values  # for what it says of modality and window

    def holds(self, series: str, instance: str, index: int) -> bool:
        """Whether a frame (from 0) of an image is one of its own."""
        if not self.images:
            return self.series == series
        listed = self.images.get(instance)
        return listed is not None and (not listed or index in listed)


@dataclass(frozen=True, slots=True)
class Step:
    """One blending. `opacity` is the first one's share (FOREGROUND)."""

    mode: Mode
    inputs: tuple[int, ...]
    result: int | None  # None: what is seen
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a state blends."""

    inputs: dict[int, Input]  # those that are seen
    geometry: Input
    steps: tuple[Step, ...]  # those that are seen, each behind those that it needs; the last is the picture
    grey: bool  # the picture is to be without colours


def advanced_of(header: Header) -> Advanced | None:
    """What a state blends; None for one of another kind. Raises `CannotTranscode` with what is wrong in it."""
    if not is_advanced(header):
        return None
    items = items_of(header, INPUTS)
    if not items:
        raise CannotTranscode("the presentation state names no inputs, or they cannot be read (PS3.3 C.11.33)")
    if len(items) > MOST_INPUTS:
        raise CannotTranscode(f"the presentation state has {len(items)} inputs; at most {MOST_INPUTS} are blended")
    items_by_number = {_number(item): item for item in items}
    if None in items_by_number or len(items_by_number) < len(items):
        raise CannotTranscode("each input of the presentation state has a Blending Input Number of its own")
    known = {key: item for key, item in items_by_number.items() if key is not None}
    steps = _in_order(_steps(header), known)
    used = sorted({each for step in steps for each in step.inputs if each in known})
    marked = [key for key, item in known.items() if "TRUE" in strings(item, GEOMETRY)]
    if len(marked) > 1:
        raise CannotTranscode("more than one input has Geometry for Display TRUE")
    shape = marked[0] if marked else used[0]
    inputs = {key: _input(key, known[key], header) for key in sorted({*used, shape})}
    form = header.text(PIXEL_PRESENTATION) or "TRUE_COLOR"
    if form not in ("TRUE_COLOR", "MONOCHROME"):
        raise CannotTranscode("Pixel Presentation of the presentation state is not TRUE_COLOR")
    return Advanced({key: inputs[key] for key in used}, inputs[shape], steps, form == "MONOCHROME")


def _number(item: Mapping[int, object]) -> int | None:
    found = number(item, NUMBER)
    return None if found is None or not found.is_integer() else int(found)


# -- inputs


def _input(key: int, item: Values, header: Header) -> Input:
    images = items_in(item, REFERENCED_IMAGES)
    return Input(
        number=key,
        series=_text(item, SERIES),
        images=_images(images),
        segments=frozenset(int(each) for image in images for each in numbers(image, SEGMENTS)),
        paths=frozenset(path for image in images for path in strings(image, OPTICAL_PATH)),
        registrations=registrations_in(items_in(item, REGISTRATIONS)),
        time_series="TRUE" in strings(item, TIME_SERIES),
        geometry="TRUE" in strings(item, GEOMETRY),
        thresholds=tuple(_threshold(key, each) for each in items_in(item, THRESHOLDS)),
        palette=_palette(key, item, header),
        item=item,
    )


def _images(items: Iterable[Values]) -> dict[str, tuple[int, ...]]:
    """As `images_in` has them; an image that is listed twice is all that is said of it."""
    found: dict[str, tuple[int, ...]] = {}
    for image in items:
        uid, frames = image_in(image)
        if uid:
            before = found.get(uid)
            found[uid] = frames if before is None else (*before, *frames) if before and frames else ()
    return found


def _threshold(key: int, item: Values) -> Threshold:
    name = _text(item, THRESHOLD_TYPE)
    kind = next((each for each in Comparison if each.value == name), None)
    said = [number(each, THRESHOLD_VALUE) for each in items_in(item, THRESHOLD_VALUES)]
    values = sorted(each for each in said if each is not None)
    if kind is None or len(said) != kind.values or len(values) != kind.values:
        raise CannotTranscode(f"a threshold of input {key} is malformed (PS3.3 C.11.33.1.2)")
    return Threshold(kind, values[0], values[-1])


def _palette(key: int, item: Values, header: Header) -> tuple[Lut, Lut, Lut] | None:
    """The palette of an input. Raises `CannotTranscode` for one that is not as long as it says (C.7.6.3.1.5)."""
    items = items_in(item, PALETTES)
    if not items:
        return None
    found = palette_of_item(items[0], header.mode)
    if found is None:
        raise CannotTranscode(f"the palette of input {key} is malformed (PS3.3 C.7.9)")
    return found


# -- steps


def _steps(header: Header) -> tuple[Step, ...]:
    items = items_of(header, STEPS)
    if not items:
        raise CannotTranscode("the presentation state does not say how its inputs are blended (PS3.3 C.11.34)")
    if len(items) > MOST_STEPS:
        raise CannotTranscode(f"the presentation state blends in {len(items)} steps; at most {MOST_STEPS} are made")
    return tuple(_step(place, item) for place, item in enumerate(items, 1))


def _step(place: int, item: Values) -> Step:
    mode = next((each for each in Mode if each.value == _text(item, MODE)), None)
    if mode is None:
        raise CannotTranscode(f"the Blending Mode of step {place} is neither EQUAL nor FOREGROUND")
    said = [_number(each) for each in items_in(item, DISPLAY_INPUTS)]
    inputs = tuple(each for each in said if each is not None)
    if not inputs or len(inputs) < len(said) or len(inputs) > MOST_IN_STEP:
        raise CannotTranscode(f"step {place} does not say what it blends, or blends more than {MOST_IN_STEP} inputs")
    result = _number(item)
    if NUMBER in item and result is None:
        raise CannotTranscode(f"the Blending Input Number of step {place} is malformed")
    if mode is Mode.EQUAL:
        return Step(mode, inputs, result)
    opacity = number(item, OPACITY)
    if len(inputs) != 2 or opacity is None or not math.isfinite(opacity) or not 0 <= opacity <= 1:
        raise CannotTranscode(f"step {place} is FOREGROUND: it has two inputs and a Relative Opacity from 0 to 1")
    return Step(mode, inputs, result, opacity)


def _in_order(steps: tuple[Step, ...], inputs: Mapping[int, object]) -> tuple[Step, ...]:
    """The steps that lead to the picture, each behind those that it needs. Raises `CannotTranscode`."""
    last = [step for step in steps if step.result is None]
    if len(last) != 1:
        raise CannotTranscode("one step, and no more, has no Blending Input Number: its result is the picture")
    made = {step.result: step for step in steps if step.result is not None}
    if len(made) < len(steps) - 1 or made.keys() & inputs.keys():
        raise CannotTranscode("two inputs or results of the presentation state have one Blending Input Number")
    done: dict[int | None, Step] = {}
    waiting: list[tuple[Step, Iterator[int]]] = [(last[0], iter(last[0].inputs))]
    open_: set[int | None] = {None}
    while waiting:
        step, rest = waiting[-1]
        key = next((each for each in rest if each not in inputs and each not in done), None)
        if key is None:
            waiting.pop()
            open_.discard(step.result)
            done[step.result] = step
        elif key in open_:
            raise CannotTranscode(f"input {key} is the result of a step that needs it already")
        elif key not in made:
            raise CannotTranscode(f"there is no input {key}, which is to be blended")
        else:
            open_.add(key)
            waiting.append((made[key], iter(made[key].inputs)))
    return tuple(done.values())


def _text(item: Mapping[int, object], tag: int) -> str:
    return next(iter(strings(item, tag)), "")
