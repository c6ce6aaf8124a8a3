"""From a heap of slices to stacks, each of which is one volume: grouped, split, put in order, measured.

Theory. Order in space is the projection of a slice's position on the normal of its plane, and nothing else: Instance
Number counts what it likes. First slices that cannot belong together part (another Frame of Reference, direction,
size, spacing, stack; localizers). Where more than one slice lies at a place, some dimension beyond space is in the
series: the first mark (`marks.py`) whose values divide the slices into whole volumes is that dimension, and each
part is looked at again, for there may be two. Where no mark does but every place has the same number of slices, their
order in time does. What is left are true duplicates: they are told, and refused unless their pixels are the same.

Nothing here depends on the order in which slices come: groups and ties are ordered by what slices say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vesalius.imaging.marks import ORDERED, names_of, order_of
from vesalius.imaging.slices import Slice, normal_of
from vesalius.imaging.space import Finding
from vesalius.model.errors import NoVolume

Floats = npt.NDArray[np.float64]

SAME_PLACE = 0.01  # mm between two slices that are at one place
SAME_DIRECTION = 1e-3  # difference of two direction cosines that are one
SAME_SPACING = 1e-3  # of the spacing
UNNOTICED = 0.01  # of the step; positions are written with few digits
UNEVEN = 0.05  # of the step; more is no even spacing any more

SamePixels = Callable[[Slice, Slice], bool]


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one volume in order of their place, and what was odd about them."""

    slices: tuple[Slice, ...]
    label: str = ""  # what tells it from its siblings: "b-value 1000"
    notes: tuple[Finding, ...] = field(default=())

    @property
    def localizer(self) -> bool:
        """Whether it only plans others."""
        return self.slices[0].localizer


def stacks_of(slices: Sequence[Slice], same_pixels: SamePixels) -> list[Stack]:
    """All stacks: localizers last, otherwise in order of what tells them apart. Raises `NoVolume`."""
    found: list[Stack] = []
    for group in _groups(sorted(slices, key=lambda one: one.key)):
        found += _split(group, "", same_pixels)
    if len({stack.label for stack in found}) < len(found):
        found = [
            Stack(stack.slices, f"stack {place}" + (f", {stack.label}" if stack.label else ""), stack.notes)
            for place, stack in enumerate(found, start=1)
        ]
    return sorted(found, key=lambda stack: stack.localizer)


def projections(slices: Sequence[Slice]) -> Floats:
    """mm of each slice along the normal of the first."""
    normal = np.array(normal_of(slices[0]))
    return np.asarray(np.array([one.position for one in slices], np.float64) @ normal, np.float64)


# -- what cannot belong together


def _groups(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices of one frame of reference, direction, size, spacing and stack."""
    groups: list[list[Slice]] = []
    by_key: dict[tuple[object, ...], list[list[Slice]]] = defaultdict(list)
    for one in slices:
        key = (one.frame_of_reference, one.rows, one.columns, one.stack, one.localizer, one.segment is None)
        near = next((group for group in by_key[key] if _alike(group[0], one)), None)
        if near is None:
            near = []
            by_key[key].append(near)
            groups.append(near)
        near.append(one)
    return groups


def _alike(a: Slice, b: Slice) -> bool:
    if a.along_row is b.along_row and a.along_column is b.along_column and a.between_rows == b.between_rows:
        return abs(a.between_columns - b.between_columns) <= SAME_SPACING * a.between_columns
    turned = max(abs(x - y) for x, y in zip(a.along_row + a.along_column, b.along_row + b.along_column, strict=True))
    return (
        turned <= SAME_DIRECTION
        and abs(a.between_rows - b.between_rows) <= SAME_SPACING * a.between_rows
        and abs(a.between_columns - b.between_columns) <= SAME_SPACING * a.between_columns
    )


# -- the dimensions beyond space


def _split(slices: list[Slice], label: str, same_pixels: SamePixels) -> list[Stack]:
    """One stack for every volume in slices that share a direction. Raises `NoVolume`."""
    places = _places(slices)
    counts = Counter(places)
    if max(counts.values()) == 1:
        return [_ordered(slices, label)]
    names = names_of([one.marks for one in slices])
    for whole_volumes in (True, False):
        for name in names:
            parts = _parted(slices, places, name)
            if len(parts) > 1 and _divides(parts, set(counts), max(counts.values()), whole=whole_volumes):
                return [
                    stack
                    for value, part in parts.items()
                    for stack in _split(part, _joined(label, f"{name} {value}"), same_pixels)
                ]
    if len(set(counts.values())) == 1:
        ranked = _by_time(slices, places)
        if ranked is not None:
            note = Finding("split-by-time", "volumes at one place were told apart by their order in time alone")
            return [_ordered(part, _joined(label, f"time {n}"), note) for n, part in enumerate(ranked, start=1)]
        blocks = _by_number(slices, places)
        if blocks is not None:
            note = Finding("split-by-number", "volumes at one place were told apart by their Instance Numbers alone")
            return [_ordered(part, _joined(label, f"run {n}"), note) for n, part in enumerate(blocks, start=1)]
    return [_without_duplicates(slices, places, label, same_pixels)]


def _joined(label: str, more: str) -> str:
    return f"{label}, {more}" if label else more


def _places(slices: Sequence[Slice]) -> list[int]:
    """The number of the place of each slice, counted along the normal."""
    along = projections(slices)
    order = np.argsort(along, kind="stable")
    numbers = np.zeros(len(slices), np.int64)
    numbers[order] = np.cumsum(np.diff(along[order], prepend=along[order[0]]) > SAME_PLACE)
    return [int(place) for place in numbers]


def _parted(slices: Sequence[Slice], places: Sequence[int], name: str) -> dict[str, list[Slice]]:
    """Slices by one mark, its values in order."""
    parts: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        parts[one.marks.get(name, "")].append(one)
    return {value: parts[value] for value in sorted(parts, key=order_of)}


def _divides(parts: dict[str, list[Slice]], places: set[int], most: int, *, whole: bool) -> bool:
    """Whether each part is whole volumes (every place equally often), or at least no part has two at a place."""
    reach = [Counter(_places(part)) for part in parts.values()]
    if whole:
        return all(len(counts) == len(places) and len(set(counts.values())) == 1 for counts in reach)
    # A series that broke off: its last volume lacks slices.
    return len(parts) == most and all(max(counts.values()) == 1 for counts in reach)


def _by_time(slices: Sequence[Slice], places: Sequence[int]) -> list[list[Slice]] | None:
    """The n-th slice of every place together, in order of time; None where nothing says one."""
    if all(not one.marks.get(name) for one in slices for name in ORDERED) and len({o.number for o in slices}) < 2:
        return None
    at: dict[int, list[Slice]] = defaultdict(list)
    for one, place in zip(slices, places, strict=True):
        at[place].append(one)
    for group in at.values():
        group.sort(key=lambda one: ([order_of(one.marks.get(name, "")) for name in ORDERED], one.key))
        times = {tuple(one.marks.get(name, "") for name in ORDERED) for one in group}
        if len(times) < len(group):
            return None
    return [[group[rank] for group in at.values()] for rank in range(len(at[places[0]]))]


def _by_number(slices: Sequence[Slice], places: Sequence[int]) -> list[list[Slice]] | None:
    """Runs of Instance Numbers each of which goes once through all places; None where they do not."""
    found = sorted(zip(slices, places, strict=True), key=lambda pair: pair[0].key)
    count = len(set(places))
    if len({one.number for one in slices}) < len(slices):
        return None
    runs = [found[at : at + count] for at in range(0, len(found), count)]
    if any(len({place for _, place in run}) < count for run in runs):
        return None
    return [[one for one, _ in run] for run in runs]


def _without_duplicates(slices: list[Slice], places: list[int], label: str, same_pixels: SamePixels) -> Stack:
    """The slices without those that are another's copy. Raises `NoVolume` where they differ."""
    kept: dict[int, Slice] = {}
    dropped = 0
    for one, place in zip(slices, places, strict=True):
        first = kept.setdefault(place, one)
        if first is one:
            continue
        if not same_pixels(first, one):
            raise NoVolume(
                f"{len(slices)} slices lie at {len(set(places))} places, and nothing that they say tells those at one "
                "place apart",
                hint="The series may hold two acquisitions or reconstructions: keep them in series of their own.",
            )
        dropped += 1
    note = Finding("duplicates-dropped", f"{dropped} slices were left out: each is the copy of another at its place")
    return _ordered(list(kept.values()), label, note)


def _ordered(slices: list[Slice], label: str, *notes: Finding) -> Stack:
    along = projections(slices)
    ordered = tuple(slices[place] for place in np.argsort(along, kind="stable"))
    odd = sorted({oddity for one in ordered for oddity in one.oddities})
    told = {"negative-spacing": "a spacing is negative: its size was taken, and the order from the positions"}
    return Stack(ordered, label, (*notes, *(Finding(code, told.get(code, code)) for code in odd)))


# -- spacing


@dataclass(frozen=True, slots=True)
class Spacing:
    """How slices follow each other along their normal."""

    step: float  # mm; of an uneven stack the smallest that occurs
    even: bool
    notes: tuple[Finding, ...] = ()
    reason: str = ""  # of an uneven stack


def spacing_of(stack: Stack) -> Spacing:
    """The step of a stack. Raises `NoVolume` where a single slice has no thickness."""
    slices = stack.slices
    if len(slices) == 1:
        return _single(slices[0])
    along = projections(slices)
    steps = np.diff(along)
    step = float((along[-1] - along[0]) / (len(along) - 1))
    off = float(np.abs(along - (along[0] + step * np.arange(len(along)))).max())
    if off <= max(UNNOTICED * step, SAME_PLACE):
        return Spacing(step, even=True)
    if off <= UNEVEN * step:
        return Spacing(step, True, (Finding("spacing-uneven", f"slices lie up to {off:.3f} mm off an even spacing"),))
    smallest = float(np.median(steps[steps <= steps.min() * (1 + 2 * UNEVEN)]))
    places = steps / smallest
    if np.abs(places - np.rint(places)).max() <= 2 * UNEVEN:
        smallest = float((along[-1] - along[0]) / np.rint(places).sum())
        missing = int(np.rint(places).sum()) - len(steps)
        where = ", ".join(f"{along[at]:.1f} mm" for at in np.flatnonzero(np.rint(places) > 1)[:5])
        reason = f"{missing} slices are missing (after the slices at {where} along the normal)"
    else:
        reason = f"slices follow each other at {steps.min():.3f} to {steps.max():.3f} mm"
    return Spacing(smallest, even=False, reason=reason)


def _single(one: Slice) -> Spacing:
    step = one.step or one.thickness
    if step is None:
        raise NoVolume("a single slice without Slice Thickness has no extent in space")
    return Spacing(step, True, (Finding("single-slice", "one slice: its thickness stands for the spacing"),))
