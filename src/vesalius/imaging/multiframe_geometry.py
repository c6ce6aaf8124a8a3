"""Where the frames of multi-frame objects lie: functional groups, RT Dose, nuclear medicine.

Theory. An enhanced object says of each frame what is its own and once what all share (PS3.3 C.7.6.16); writers put
the same group here or there as they like, and some in both: the frame's own wins. Each group is a sequence of one
item, and no attribute that is asked for here stands in two groups with two meanings, so a frame becomes one flat
table. An RT Dose has one plane and a vector of distances (PS3.3 C.8.8.3.2); a reconstructed nuclear medicine image
has one plane and a spacing, which may be negative (PS3.3 C.8.4.15).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from vesalius.imaging.description import FRAME_GROUPS, SHARED_GROUPS, items_of
from vesalius.imaging.slices import (
    FRAMES,
    ORIENTATION,
    POSITION,
    STEP,
    Finder,
    Refusal,
    Slice,
    moved,
    number,
    numbers,
    slice_of,
    whole,
)
from vesalius.imaging.sources import SliceHeader
from vesalius.model.elements import Header
from vesalius.model.entities import Values
from vesalius.model.errors import CannotTranscode
from vesalius.model.native_frames import frame_count

RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
NUCLEAR_MEDICINE = "1.2.840.10008.5.1.4.1.1.20"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
OFFSETS, DETECTORS, SEGMENT = 0x3004000C, 0x00540022, 0x0062000B
# Sequences of a functional group whose first item says more of the frame.
INNER = (0x00189076, 0x00189317)
# What the frames of a nuclear medicine image may be, beside slices (PS3.3 C.8.4.8): energy, detector, phase, rotation,
# R-R interval, time slot, time slice.
NM_DIMENSIONS = {0x00540010: "energy window", 0x00540020: "detector", 0x00540030: "phase", 0x00540050: "rotation",
                 0x00540060: "R-R interval", 0x00540070: "time slot", 0x00540100: "time slice"}  # fmt: skip

Flat = dict[int, tuple[str, ...]]


def is_multiframe(each: SliceHeader) -> bool:
    """Whether an instance holds frames that are to be looked at one by one."""
    header = each.header
    if header.text(FRAMES) is not None and (_count(header) > 1 or OFFSETS in header):
        return True
    return SHARED_GROUPS in header or FRAME_GROUPS in header


def _count(header: Header) -> int:
    try:
        return frame_count(header)
    except CannotTranscode:
        return 1


def flat_groups(groups: Mapping[int, object]) -> Flat:
    """The attributes of all groups of one item of functional groups, as one table."""
    flat: Flat = {}
    for tag, items in groups.items():
        if tag >> 16 & 1:
            # Philips keeps the data set of a classic image in a private group, with positions of its own.
            continue
        for item in cast("Sequence[object]", items)[:1]:
            if isinstance(item, dict):
                _take(item, flat)
    return flat


def _take(item: Mapping[int, object], flat: Flat) -> None:
    for tag, value in item.items():
        values = cast("tuple[object, ...]", value)
        if values and isinstance(values[0], str):
            flat[tag] = cast("tuple[str, ...]", values)
        elif tag in INNER and values:
            _take(cast("Values", values[0]), flat)


def frames_of(each: SliceHeader, index: int) -> Sequence[Slice | Refusal]:
    """Every frame of a multi-frame instance."""
    header, count = each.header, _count(each.header)
    if each.sop_class == WHOLE_SLIDE:
        return [Refusal("tiles of a slide lie on its glass, not in the patient", count)]
    if OFFSETS in header or each.sop_class == RT_DOSE:
        return list(_dose(header, index, count))
    own, shared = items_of(header, FRAME_GROUPS), next(iter(items_of(header, SHARED_GROUPS)), {})
    if not own and not shared:
        if each.sop_class == NUCLEAR_MEDICINE:
            return list(_nuclear(header, index, count))
        return [Refusal("an image of many frames that does not say where each lies", count)]
    return list(_enhanced(each, index, count, own, flat_groups(shared)))


def _enhanced(
    each: SliceHeader, index: int, count: int, own: Sequence[Values], shared: Flat
) -> Iterator[Slice | Refusal]:
    for frame in range(count):
        flat = flat_groups(own[frame]) if frame < len(own) else {}
        find = Finder(each.header, flat, shared)
        one = slice_of(find, index, frame)
        if isinstance(one, Slice) and each.sop_class == SEGMENTATION:
            one = replace(one, segment=whole(find(SEGMENT), 1))
        yield one


def _dose(header: Header, index: int, count: int) -> Iterator[Slice | Refusal]:
    first = slice_of(header.values, index, 0)
    offsets = numbers(header.values(OFFSETS))
    if isinstance(first, Refusal):
        yield Refusal(first.reason, count)
        return
    if len(offsets) != count:
        if count == 1 and not offsets:
            yield first
        else:
            yield Refusal("the Grid Frame Offset Vector has another length than there are frames", count)
        return
    # The vector begins with 0, or it holds the coordinates of the planes themselves (PS3.3 C.8.8.3.2).
    for frame, offset in enumerate(offsets):
        yield replace(moved(first, offset - offsets[0]), frame=frame)


def _nuclear(header: Header, index: int, count: int) -> Iterator[Slice | Refusal]:
    """A reconstructed image: the first plane stands in Detector Information, the others follow at a spacing."""
    detector = next(iter(items_of(header, DETECTORS)), {})
    place: Flat = {tag: cast("tuple[str, ...]", detector[tag]) for tag in (POSITION, ORIENTATION) if detector.get(tag)}
    first = slice_of(Finder(header, place), index, 0)
    step = number(header.values(STEP))
    vector = header.values(0x00540080)
    if isinstance(first, Refusal):
        yield Refusal(first.reason, count)
        return
    if not step or (vector and len(vector) != count):
        yield Refusal("frames without Spacing Between Slices", count)
        return
    dimensions = {name: header.values(tag) for tag, name in NM_DIMENSIONS.items()}
    for frame in range(count):
        place_number = whole(vector[frame : frame + 1], frame + 1) - 1
        marks = {name: values[frame] for name, values in dimensions.items() if len(values) == count}
        yield replace(moved(first, step * place_number), frame=frame, marks={**first.marks, **marks})
