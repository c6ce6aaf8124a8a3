"""Real World Value Mapping: stored values to measured ones, by line or table (PS3.3 C.7.6.16.2.11).

Theory. A mapping applies to stored values, before and beside any Modality LUT, and only to those between its first and
its last value. It stands in the image (functional groups, or at the top level of a classic image) or in an instance of
its own that lists the images it is about (PS3.3 A.46). Several may stand side by side (SUV by weight and by surface);
they are told apart by their unit.

A mapping of an own instance that was made for values after rescale instead (there are such in public collections) is
not what the standard says: `values.py` compares those of SUV with what the header gives, and refuses a contradiction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from vesalius.imaging.dataset_values import groups, items, number, text, value

SEQUENCE = "RealWorldValueMappingSequence"


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """One line or table."""

    first: float  # stored values that are mapped, both ends included
    last: float
    slope: float | None
    intercept: float | None
    table: npt.NDArray[np.float64] | None  # a value for each stored one from `first` on
    unit: str  # UCUM, as written
    label: str  # LUT Label, or the meaning of the unit
    quantity: str = ""  # what is measured, in words


def mapping_of(item: Dataset) -> Mapping | None:
    """An item of Real World Value Mapping Sequence; None where it cannot be applied."""
    first, last = _end(item, "RealWorldValueFirstValueMapped"), _end(item, "RealWorldValueLastValueMapped")
    slope, intercept = number(item, "RealWorldValueSlope"), number(item, "RealWorldValueIntercept")
    raw = value(item, "RealWorldValueLUTData")
    table = None if raw is None or slope is not None else np.atleast_1d(np.asarray(raw, np.float64))
    if first is None or last is None or last < first or (table is None and (slope is None or intercept is None)):
        return None
    if table is not None and len(table) != last - first + 1:
        return None
    unit = next(iter(items(item, "MeasurementUnitsCodeSequence")), Dataset())
    return Mapping(
        first=first,
        last=last,
        slope=slope,
        intercept=intercept,
        table=table,
        unit=normal_unit(text(unit, "CodeValue")),
        label=text(item, "LUTLabel") or text(unit, "CodeMeaning"),
        quantity=_quantity(item),
    )


def mappings_of_frame(ds: Dataset, frame: int = 0) -> tuple[Mapping, ...]:
    """The mappings that an image itself has for a frame."""
    for group in (*groups(ds, frame), ds):
        found = tuple(each for each in map(mapping_of, items(group, SEQUENCE)) if each is not None)
        if found:
            return found
    return ()


def mappings_for(ds: Dataset, frame: int, instances: Iterable[Dataset]) -> tuple[Mapping, ...]:
    """The mappings that instances of Real World Value Mapping Storage have for a frame of an image."""
    uid, found = text(ds, "SOPInstanceUID"), []
    for instance in instances:
        for about in items(instance, "ReferencedImageRealWorldValueMappingSequence"):
            if _names(about, uid, frame):
                found += [each for each in map(mapping_of, items(about, SEQUENCE)) if each is not None]
    return tuple(found)


def choose(mappings: Sequence[Mapping], unit: str = "") -> Mapping | None:
    """The first mapping, or the first of a unit."""
    return next((each for each in mappings if not unit or each.unit == unit), None)


def normal_unit(code: str) -> str:
    """A unit with its annotation behind: `{SUVbw}g/ml` is written, `g/ml{SUVbw}` is meant (PS3.16 CID 85)."""
    if code.startswith("{") and code.find("}") < len(code) - 1:
        note, _, rest = code.partition("}")
        return f"{rest}{note}}}"
    return code


def _names(about: Dataset, uid: str, frame: int) -> bool:
    for image in items(about, "ReferencedImageSequence"):
        if text(image, "ReferencedSOPInstanceUID") == uid:
            listed = value(image, "ReferencedFrameNumber")
            if listed is None:
                return True
            return frame + 1 in (map(int, listed) if hasattr(listed, "__iter__") else (int(listed),))
    return False


def _end(item: Dataset, keyword: str) -> float | None:
    """First or last value mapped, of integers (US or SS) or of floating point pixels (FD)."""
    double = "Double" + keyword.replace("RealWorldValue", "FloatRealWorldValue")
    found = number(item, keyword)
    return number(item, double) if found is None else found


def _quantity(item: Dataset) -> str:
    for part in items(item, "QuantityDefinitionSequence"):
        for code in items(part, "ConceptCodeSequence")[:1]:
            return text(code, "CodeMeaning")
    return ""
