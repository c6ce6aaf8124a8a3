"""What tells two slices at one place apart: the dimensions beyond the three of space, in order of what they mean.

Theory. A series may hold a volume for every echo, b-value, phase or point in time. Which attribute distinguishes them
is not known beforehand, and several differ in most series without any meaning for this (each slice has its own
time of acquisition). So every slice carries all of its marks, and `sorting.py` takes the first whose values divide
the slices into whole volumes. Makers kept some of them in private elements before the standard had a place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vesalius.model.coercion import decimal_of, decimal_text

Find = Callable[[int], tuple[str, ...]]

IMAGE_TYPE, FRAME_TYPE = 0x00080008, 0x00089007
DIMENSION_VALUES = 0x00209157
GE_B_VALUE, GE_COMPLEX = 0x00431039, 0x0043102F  # the latter 0 to 3: magnitude, phase, real, imaginary


@dataclass(frozen=True, slots=True)
class Mark:
    """A dimension: its name for people, and where it stands, first place first."""

    name: str
    tags: tuple[int, ...]
    numeric: bool = True
    many: bool = False  # all values, not only the first


# In order: what a reader would call the difference comes before what merely differs with it.
MARKS: tuple[Mark, ...] = (
    Mark("segment", (0x0062000B,)),
    Mark("complex component", (0x00089208, GE_COMPLEX), numeric=False),
    Mark("image type", (FRAME_TYPE, IMAGE_TYPE), numeric=False, many=True),
    Mark("echo time", (0x00189082, 0x00180081)),
    Mark("echo", (0x00180086,)),
    Mark("inversion time", (0x00189079, 0x00180082)),
    Mark("flip angle", (0x00181314,)),
    Mark("b-value", (0x00189087, 0x0019100C, 0x20011003, GE_B_VALUE)),
    Mark("diffusion direction", (0x00189089, 0x0019100E), many=True),
    Mark("directionality", (0x00189075,), numeric=False),
    Mark("kVp", (0x00180060,)),
    Mark("kernel", (0x00181210, 0x00189316), numeric=False, many=True),
    Mark("temporal position", (0x00209128, 0x00200100)),
    Mark("cardiac phase", (0x00209241,)),
    Mark("trigger delay", (0x00209153, 0x00181060)),
    Mark("respiratory phase", (0x00209245,)),
    Mark("frame reference time", (0x00541300,)),
    Mark("time offset", (0x0020930D,)),
    Mark("acquisition", (0x00200012,)),
    Mark("GE kind", (0x00431030,)),  # of what the two volumes of a B0 map are, this alone differs
    Mark("time", (0x00189151, 0x00189074, 0x0008002A, 0x00080032), numeric=False),
    Mark("content time", (0x00080033,), numeric=False),
)
ORDERED = ("temporal position", "time", "content time")


def marks_of(find: Find) -> Mapping[str, str]:
    """All marks of a slice that are there, as text; numbers in one form so that 5 and 5.0 are one."""
    found: dict[str, str] = {}
    for mark in MARKS:
        for tag in mark.tags:
            values = find(tag)
            if values:
                found[mark.name] = _text(values, mark, tag)
                break
    for place, value in enumerate(find(DIMENSION_VALUES), start=1):
        found[f"dimension {place}"] = value
    return found


def _text(values: tuple[str, ...], mark: Mark, tag: int) -> str:
    kept = values if mark.many else values[:1]
    if not mark.numeric:
        return "\\".join(kept)
    texts = []
    for text in kept:
        number = decimal_of(text)
        if number is not None and tag == GE_B_VALUE and number >= 1e6:
            number %= 1e6  # GE adds a billion to say that it is there
        texts.append(text if number is None else decimal_text(round(number, 6)))
    return "\\".join(texts)


def order_of(text: str) -> tuple[int, float, str]:
    """Sorts marks: numbers by size before words."""
    number = decimal_of(text)
    return (0, number, "") if number is not None else (1, 0.0, text)


def names_of(slices_marks: list[Mapping[str, str]]) -> list[str]:
    """Every mark that occurs, in the order of `MARKS`, the dimensions of the object itself last."""
    known = [mark.name for mark in MARKS]
    occurring = {name for marks in slices_marks for name in marks}
    dimensions = sorted(name for name in occurring if name.startswith("dimension "))
    return [name for name in known if name in occurring] + dimensions
