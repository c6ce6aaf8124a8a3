"""What a stored value means: from numbers in pixel cells to quantities with units.

Theory. A stored value becomes a quantity by the Modality LUT (a line or a table, PS3.3 C.11.1), which may differ from
slice to slice (PET) and from frame to frame (enhanced objects), or by a Real World Value Mapping (C.7.6.16.2.11), or
by what a PET header says of dose and patient (`suv.py`). `plan` reads the headers of a series once and answers, for
each frame, a `Meaning`: a function on arrays with its unit. Nothing is taken for granted: a CT is in Hounsfield units
only where its Rescale Type and the type of the image say so; what is padding is no value; what sits at the end of the
range of its cells may have been more, and is counted.

Arithmetic is in double precision and rounded once to single, so that results equal any reader's own; where slope and
intercept are small whole numbers single precision is exact and the detour is spared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from vesalius.imaging import real_world
from vesalius.imaging.dataset_values import groups, items, number, of_frame, private, text
from vesalius.imaging.description import Lut
from vesalius.imaging.lookup import look_up
from vesalius.imaging.modality_lut import modality_lut
from vesalius.imaging.space import Finding
from vesalius.imaging.suv import UNITS, NoValue, SuvKind
from vesalius.imaging.suv_enhanced import scaled, uptake_of, with_classic_attributes
from vesalius.imaging.units import hounsfield_notes, unit_of

__all__ = ["Census", "Meaning", "NoValue", "Plan", "Wish", "plan"]

Numbers = npt.NDArray[Any]
Singles = npt.NDArray[np.float32]

EXACT = 1 << 24  # whole numbers up to here are exact in single precision
SEGMENTATIONS = frozenset(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"))
# Stored values where many 12 bit detectors end, whatever Bits Stored says; as stored, and as HU.
_TWELVE_BITS, _TWELVE_BITS_HU = 4095, 3071


class Wish(StrEnum):
    """What somebody wants the values to be."""

    STORED = "stored"  # as they lie in the pixel cells
    NATURAL = "natural"  # what the image says they are: HU, Bq/ml, Gy ...
    SUV_BODY_WEIGHT = "suvbw"
    SUV_LEAN = "suvlbm"  # lean body mass of Janmahasatian
    SUV_LEAN_JAMES = "suvlbm-james"  # with 128 for men
    SUV_LEAN_JAMES_120 = "suvlbm-james120"  # as SUV Type LBM has it
    SUV_SURFACE = "suvbsa"
    SUV_IDEAL_WEIGHT = "suvibw"
    REAL_WORLD = "rwv"  # by Real World Value Mapping
    PRECISE = "precise"  # MR of Philips: by the private scale slope, comparable between series


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the stored values of one frame mean: quantity = stored x slope + intercept, or by a table."""

    unit: str = "1"  # UCUM
    label: str = ""  # of the unit, for people
    slope: float = 1.0
    intercept: float = 0.0
    lut: Lut | None = None
    table: real_world.Mapping | None = None  # a mapping by table
    raw: bool = False  # the stored values themselves are wanted
    padding: tuple[float, float] | None = None  # stored values that are no image, both ends included
    mapped: tuple[float, float] | None = None  # stored values that have a meaning at all
    limits: tuple[float, float] | None = None  # what a cell can hold

    def of(self, stored: Numbers, out: Singles | None = None) -> Numbers:
        """The quantities, float32; with `raw` the stored values as they are (copied to `out` where it is given)."""
        if self.raw:
            if out is None:
                return stored
            out[...] = stored
            return out
        if out is None:
            out = np.empty(stored.shape, np.float32)
        if self.lut is not None:
            out[...] = look_up(stored, self.lut)
        elif self.table is not None and self.table.table is not None:
            at = np.clip(np.asarray(stored, np.int64) - int(self.table.first), 0, len(self.table.table) - 1)
            out[...] = self.table.table[at]
        elif self._exact(stored.dtype):
            out[...] = stored
            if self.slope != 1:
                out *= np.float32(self.slope)
            if self.intercept:
                out += np.float32(self.intercept)
        elif self.slope == 1 and self.intercept == 0:
            out[...] = stored
        else:
            exact = np.multiply(stored, self.slope, dtype=np.float64)
            exact += self.intercept
            out[...] = exact
        return out

    def _exact(self, kind: np.dtype[Any]) -> bool:
        if kind.kind not in "iu" or kind.itemsize > 2 or not (self.slope.is_integer() and self.intercept.is_integer()):
            return False
        return abs(self.slope) * 65536 + abs(self.intercept) < EXACT

    def nothing(self, stored: Numbers) -> npt.NDArray[np.bool_] | None:
        """True where a stored value is padding, or lies outside of what is mapped; None where all are values."""
        found: npt.NDArray[np.bool_] | None = None
        if self.padding is not None:
            low, high = self.padding
            found = stored == low if low == high else (stored >= low) & (stored <= high)
        if self.mapped is not None and self._cuts(stored):
            outside = (stored < self.mapped[0]) | (stored > self.mapped[1])
            found = outside if found is None else found | outside
        return found if found is not None and found.any() else None

    def _cuts(self, stored: Numbers) -> bool:
        if self.mapped is None or stored.dtype.kind == "f" or self.limits is None:
            return self.mapped is not None
        return self.mapped[0] > self.limits[0] or self.mapped[1] < self.limits[1]


@dataclass(frozen=True, slots=True)
class Plan:
    """The meanings of all frames of a series."""

    headers: tuple[Dataset, ...]
    wish: Wish
    unit: str
    label: str
    notes: tuple[Finding, ...] = ()
    mappings: tuple[Dataset, ...] = ()
    factor: float = 1.0  # rescaled value x factor = quantity
    mapped: str = ""  # not the rescaled value, but that of the Real World Value Mapping to this unit

    def meaning(self, header: int, frame: int = 0) -> Meaning:
        """The meaning of a frame, from 0. Raises `NoValue` where this frame has another unit than the first."""
        told = (self.unit, self.label)
        if self.mapped:
            return _by_own_mapping(self.headers[header], frame, self.mapped, self.factor, told)
        found = _meaning(self.headers[header], frame, self.wish, self.mappings, self.factor, told)
        if found.unit != self.unit:
            raise NoValue(f"the frames of the series have different units: {self.unit} and {found.unit}")
        return found


def plan(headers: Sequence[Dataset], wish: Wish = Wish.NATURAL, mappings: Sequence[Dataset] = ()) -> Plan:
    """How the frames of a series become what is wished. `mappings`: Real World Value Mapping instances about it.

    Raises `NoValue`, which says what is missing.
    """
    if not headers:
        raise NoValue("there are no images")
    kept, known = tuple(map(with_classic_attributes, headers)), tuple(mappings)
    first = kept[0]
    try:
        kind = SuvKind(wish.value)
    except ValueError:
        meaning = _meaning(first, 0, wish, known, 1.0, None)
        notes = hounsfield_notes(first, meaning.unit) if wish is Wish.NATURAL else ()
        if wish is Wish.REAL_WORLD:
            _check_mapping(kept, meaning)
        return Plan(kept, wish, meaning.unit, meaning.label, notes, known)
    uptake = uptake_of(headers, kind)
    suv = uptake.suv
    return Plan(kept, wish, suv.unit, suv.label, suv.notes, known, suv.factor, uptake.mapped)


@dataclass(slots=True)
class Census:
    """Counts values at the end of their range while a volume is filled: they may have been more than was written."""

    top: float = -np.inf  # the highest stored value seen
    at_top: int = 0
    meaning: Meaning = field(default_factory=Meaning)

    def see(self, stored: Numbers, meaning: Meaning, nothing: npt.NDArray[np.bool_] | None = None) -> None:
        """The stored values of one frame; `nothing`: where there are none."""
        values = stored if nothing is None else stored[~nothing]
        if values.size == 0 or values.dtype.kind == "f":
            return
        highest = int(values.max())
        if highest > self.top:
            self.top, self.at_top, self.meaning = highest, 0, meaning
        if highest == self.top:
            self.at_top += int(np.count_nonzero(values == highest))

    def findings(self, modality: str = "") -> tuple[Finding, ...]:
        """What a person should know."""
        limits = self.meaning.limits
        if limits is None or not self.at_top:
            return ()
        rail = self.top >= limits[1]
        if modality == "CT" and not rail:
            quantity = self.top * self.meaning.slope + self.meaning.intercept
            rail = self.at_top > 1 and (self.top == _TWELVE_BITS or quantity == _TWELVE_BITS_HU)
        if not rail:
            return ()
        return (
            Finding(
                "values-saturated",
                f"{self.at_top} voxels hold the highest value that could be written; what was there may be higher",
            ),
        )


def _meaning(
    ds: Dataset, frame: int, wish: Wish, mappings: Sequence[Dataset], factor: float, told: tuple[str, str] | None
) -> Meaning:
    limits, padding = _limits(ds), _padding(ds)
    if wish is Wish.STORED or text(ds, "SOPClassUID") in SEGMENTATIONS:
        return Meaning(raw=True, padding=padding, limits=limits)
    if wish is Wish.REAL_WORLD:
        return _by_mapping(ds, frame, mappings, told, padding, limits)
    slope, intercept, lut, unit, label = _modality(ds, frame)
    if wish is Wish.PRECISE:
        slope, intercept = _precise(ds, frame, slope, intercept)
        unit, label = "{FP}", "FP (Philips, by scale slope)"
    elif wish is not Wish.NATURAL:
        if lut is not None:
            raise NoValue("a PET image with a Modality LUT Sequence has no SUV")
        slope, intercept = slope * factor, intercept * factor
        unit, label = told or UNITS[SuvKind(wish.value)]
    elif unit == "" and lut is None and ((slope, intercept) == (1, 0) or text(ds, "Modality") == "PT"):
        # The rescale says nothing; a parametric map and an Enhanced PET say it all in their mapping.
        found = real_world.mappings_of_frame(ds, frame)
        if found:
            return _by_mapping(ds, frame, (), told, padding, limits)
    return Meaning(unit or "1", label, slope, intercept, lut, padding=padding, limits=limits)


def _modality(ds: Dataset, frame: int) -> tuple[float, float, Lut | None, str, str]:
    """Slope, intercept, table, unit and label; the unit is "" where nothing says what the values are."""
    scaling = number(ds, "DoseGridScaling")
    if scaling is not None:
        unit = ("Gy", "Gy") if text(ds, "DoseUnits").upper() in ("GY", "") else ("1", "relative dose")
        return scaling, 0.0, None, *unit
    transformation = of_frame(ds, frame, "PixelValueTransformationSequence") or ds
    slope, intercept = number(transformation, "RescaleSlope"), number(transformation, "RescaleIntercept")
    lut = None if slope is not None else modality_lut(ds)
    kind = text(transformation, "RescaleType").upper()
    if lut is not None:
        kind = text(items(ds, "ModalityLUTSequence")[0], "ModalityLUTType").upper()
    # A slope of zero would make all values one: it is taken for a missing one.
    line = (slope or 1.0, intercept or 0.0, lut)
    return *line, *unit_of(ds, frame, kind, plain=slope is None and lut is None)


def _by_mapping(
    ds: Dataset,
    frame: int,
    instances: Sequence[Dataset],
    told: tuple[str, str] | None,
    padding: tuple[float, float] | None,
    limits: tuple[float, float] | None,
) -> Meaning:
    found = real_world.mappings_for(ds, frame, instances) or real_world.mappings_of_frame(ds, frame)
    chosen = real_world.choose(found, told[0] if told else "")
    if chosen is None:
        raise NoValue("there is no Real World Value Mapping for this image")
    return Meaning(
        chosen.unit or "1",
        chosen.label,
        1.0 if chosen.slope is None else chosen.slope,
        chosen.intercept or 0.0,
        table=chosen if chosen.table is not None else None,
        padding=padding,
        mapped=(chosen.first, chosen.last),
        limits=limits,
    )


def _by_own_mapping(ds: Dataset, frame: int, unit: str, factor: float, told: tuple[str, str]) -> Meaning:
    """The quantity of a frame that its own mapping to `unit` gives, times a factor. Raises `NoValue`."""
    chosen = real_world.choose(real_world.mappings_of_frame(ds, frame), unit)
    if chosen is None:
        raise NoValue(f"frame {frame + 1} has no Real World Value Mapping to {unit}, which others of the series have")
    line = scaled(chosen, factor)
    return Meaning(
        *told,
        1.0 if line.slope is None else line.slope,
        line.intercept or 0.0,
        table=line if line.table is not None else None,
        padding=_padding(ds),
        mapped=(line.first, line.last),
        limits=_limits(ds),
    )


def _check_mapping(headers: tuple[Dataset, ...], meaning: Meaning) -> None:
    """An SUV by mapping is compared with the header's own; both apply to the same stored values."""
    kind = next((each for each, (unit, _) in UNITS.items() if unit == meaning.unit), None)
    if kind is None:
        return
    slopes = [_modality(ds, 0)[0] for ds in headers]
    try:
        factor = uptake_of(headers, kind).suv.factor
    except NoValue:
        factor = 0.0  # the header says less than the mapping
    worst = max(abs(slope * factor / meaning.slope - 1) for slope in slopes) if factor and meaning.slope else 0.0
    if worst > 0.01 and min(slopes) != max(slopes):
        raise NoValue(
            "the Real World Value Mapping contradicts the images: it gives one slope where the images have many, and "
            "other SUVs than their headers",
            hint=f"Ask for {kind.value}, which is worked out from dose, weight and times.",
        )


def _precise(ds: Dataset, frame: int, slope: float, intercept: float) -> tuple[float, float]:
    """FP = (stored x RS + RI) / (RS x SS), SS being (2005,xx0E) of Philips (Chenevert, Transl Oncol 2014; 7: 65)."""
    for place in (*_philips_places(ds, frame), ds):
        tag = private(place, 0x2005, "Philips MR Imaging DD 001", 0x0E)
        scale = number(place, tag) if tag is not None else None
        if scale:
            return 1.0 / scale, intercept / (slope * scale)
    raise NoValue("there is no scale slope (2005,xx0E) of Philips: precise values need it")


def _philips_places(ds: Dataset, frame: int) -> list[Dataset]:
    found: list[Dataset] = []
    for group in groups(ds, frame):
        for creator in ("Philips MR Imaging DD 005", "Philips MR Imaging DD 001"):
            tag = private(group, 0x2005, creator, 0x0F)
            found += items(group, tag)[:1] if tag is not None else ()
    return found


def _limits(ds: Dataset) -> tuple[float, float] | None:
    bits = number(ds, "BitsStored")
    if bits is None or not 1 <= bits <= 32:
        return None
    whole = 1 << int(bits)
    return (-whole / 2, whole / 2 - 1) if number(ds, "PixelRepresentation") == 1 else (0.0, whole - 1.0)


def _padding(ds: Dataset) -> tuple[float, float] | None:
    """The lowest and the highest stored value that is no image (PS3.3 C.7.5.1.1.2)."""
    for name in ("Float", "DoubleFloat"):
        found = number(ds, f"{name}PixelPaddingValue")
        if found is not None:
            limit = number(ds, f"{name}PixelPaddingRangeLimit")
            return _ordered(found, found if limit is None else limit)
    found, limit = number(ds, "PixelPaddingValue"), number(ds, "PixelPaddingRangeLimit")
    if found is None:
        return None
    signed, half = number(ds, "PixelRepresentation") == 1, 1 << 15
    # Written with the VR of the other sign, which is common in Implicit VR.
    right = [
        each - 2 * half if signed and each >= half else each + 2 * half if not signed and each < 0 else each
        for each in (found, found if limit is None else limit)
    ]
    return _ordered(*right)


def _ordered(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)
