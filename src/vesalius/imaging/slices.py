"""One frame as a slice: where it lies, and what tells it from others at the same place (PS3.3 C.7.6.2, C.7.6.16).

Theory. A classic instance is one slice; an instance of many frames is as many, and its functional groups say of each
what the data set of a classic instance says. `Finder` hides the difference: the group of the frame, then the shared
group, then the data set itself. What cannot be placed in the patient is a `Refusal` with the reason, never a guess:
Imager Pixel Spacing is measured at the detector (PS3.3 10.7.1.3) and says nothing about the patient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from vesalius.imaging.marks import marks_of
from vesalius.imaging.sources import SliceHeader
from vesalius.model.coercion import decimal_of, integer_of
from vesalius.model.elements import Header

POSITION, ORIENTATION, FRAME_OF_REFERENCE = 0x00200032, 0x00200037, 0x00200052
PIXEL_SPACING, IMAGER_SPACING, THICKNESS, STEP = 0x00280030, 0x00181164, 0x00180050, 0x00180088
ROWS, COLUMNS, FRAMES, SAMPLES, PHOTOMETRIC = 0x00280010, 0x00280011, 0x00280008, 0x00280002, 0x00280004
IMAGE_TYPE, FRAME_TYPE, NUMBER, MODALITY = 0x00080008, 0x00089007, 0x00200013, 0x00080060
STACK, SOP_CLASS = 0x00209056, 0x00080016
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"  # its palette only says how labels are shown

Vector = tuple[float, float, float]
Find = Callable[[int], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: a whole frame, or a tile of one."""

    index: int  # of its header among the headers of the source
    frame: int  # from 0
    rows: int
    columns: int
    position: Vector  # LPS mm, centre of the first pixel
    along_row: Vector  # unit vector in which columns count (i)
    along_column: Vector  # unit vector in which rows count (j)
    between_columns: float  # mm, > 0
    between_rows: float  # mm, > 0
    thickness: float | None = None  # mm
    step: float | None = None  # Spacing Between Slices, mm
    frame_of_reference: str | None = None
    stack: str = ""
    localizer: bool = False
    number: int = 0  # Instance Number, to break ties alone
    segment: int | None = None
    tile: tuple[int, int] | None = None  # first row and column within the frame
    marks: Mapping[str, str] = field(default_factory=dict)  # see `marks.py`
    oddities: tuple[str, ...] = ()  # codes of findings

    @property
    def key(self) -> tuple[int, int, int]:
        """For a stable order that does not depend on where it came from."""
        return self.number, self.index, self.frame


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a frame lies nowhere in the patient."""

    reason: str
    frames: int = 1


class Finder:
    """Looks up attributes of a frame: its functional groups, the shared ones, the data set."""

    def __init__(self, header: Header, *groups: Mapping[int, tuple[str, ...]]) -> None:
        self._header = header
        self._groups = groups

    def __call__(self, tag: int) -> tuple[str, ...]:
        """The values of an element; () where it is nowhere."""
        for group in self._groups:
            found = group.get(tag)
            if found:
                return found
        return self._header.values(tag)


def numbers(texts: Sequence[str]) -> tuple[float, ...]:
    """Every text as a number; () where one of them is none."""
    found = [decimal_of(text) for text in texts]
    return () if any(value is None for value in found) else tuple(value for value in found if value is not None)


def number(texts: Sequence[str]) -> float | None:
    """The first text as a number."""
    return decimal_of(texts[0]) if texts else None


def whole(texts: Sequence[str], default: int = 0) -> int:
    """The first text as a whole number."""
    found = integer_of(texts[0]) if texts else None
    return default if found is None else found


@cache
def unit_vector(texts: tuple[str, ...]) -> Vector | None:
    """Three texts as a direction of length 1; None where they are none."""
    found = numbers(texts)
    if len(found) != 3:
        return None
    length = sum(value * value for value in found) ** 0.5
    # Direction cosines that are not of length 1 by far are no directions at all (PS3.3 C.7.6.2.1.1).
    if not 0.9 <= length <= 1.1:
        return None
    return found[0] / length, found[1] / length, found[2] / length


def colour_reason(find: Find) -> str | None:
    """Why colours are no values: None for one sample of grey."""
    if whole(find(SAMPLES), 1) != 1:
        return "a colour image holds no measured values"
    if next(iter(find(PHOTOMETRIC)), "").startswith("PALETTE") and LABEL_MAP not in find(SOP_CLASS):
        return "the values of a palette colour image are places in its palette"
    return None


def slice_of(find: Find, index: int, frame: int, position: Sequence[str] | None = None) -> Slice | Refusal:
    """One frame by what `find` says of it; `position` where it stands somewhere else."""
    colour = colour_reason(find)
    if colour is not None:
        return Refusal(colour)
    place = numbers(find(POSITION) if position is None else position)
    if len(place) != 3:
        return Refusal("no Image Position (Patient)")
    cosines = find(ORIENTATION)
    along_row, along_column = unit_vector(tuple(cosines[:3])), unit_vector(tuple(cosines[3:6]))
    if len(cosines) != 6 or along_row is None or along_column is None:
        return Refusal("no Image Orientation (Patient)" if not cosines else "Image Orientation (Patient) is no pair "
                       "of directions")  # fmt: skip
    if abs(sum(a * b for a, b in zip(along_row, along_column, strict=True))) > 1e-2:
        return Refusal("the directions of Image Orientation (Patient) are not perpendicular")
    spacing = _spacing(find)
    if isinstance(spacing, Refusal):
        return spacing
    rows, columns = whole(find(ROWS)), whole(find(COLUMNS))
    if rows < 1 or columns < 1:
        return Refusal("no Rows or no Columns")
    marks = marks_of(find)
    kinds = find(FRAME_TYPE) or find(IMAGE_TYPE)
    step = number(find(STEP))
    return Slice(
        index=index,
        frame=frame,
        rows=rows,
        columns=columns,
        position=(place[0], place[1], place[2]),
        along_row=along_row,
        along_column=along_column,
        between_columns=abs(spacing[1]),
        between_rows=abs(spacing[0]),
        thickness=_positive(number(find(THICKNESS))),
        step=_positive(step),
        frame_of_reference=next(iter(find(FRAME_OF_REFERENCE)), None),
        stack=next(iter(find(STACK)), ""),
        localizer="LOCALIZER" in kinds,
        number=whole(find(NUMBER)),
        marks=marks,
        oddities=("negative-spacing",) if min(spacing) < 0 or (step or 0) < 0 else (),
    )


def _positive(value: float | None) -> float | None:
    return abs(value) if value else None


def _spacing(find: Find) -> tuple[float, float] | Refusal:
    """mm between rows and between columns, as sent; Pixel Spacing alone says it (PS3.3 10.7.1.1)."""
    found = numbers(find(PIXEL_SPACING))
    if len(found) == 2 and found[0] and found[1]:
        return found[0], found[1]
    if find(IMAGER_SPACING):
        return Refusal(
            "Imager Pixel Spacing is measured at the detector, not in the patient; there is no Pixel Spacing"
        )
    return Refusal("no Pixel Spacing")


def slices_of(headers: Sequence[SliceHeader]) -> tuple[list[Slice], list[Refusal]]:
    """Every frame of a series as a slice, and why others are none."""
    from vesalius.imaging.mosaic import is_mosaic, mosaic_slices
    from vesalius.imaging.multiframe_geometry import frames_of, is_multiframe

    found: list[Slice] = []
    refused: list[Refusal] = []
    for index, each in enumerate(headers):
        header = each.header
        if is_multiframe(each):
            slices: Sequence[Slice | Refusal] = frames_of(each, index)
        elif is_mosaic(header):
            slices = mosaic_slices(header, index)
        else:
            slices = (slice_of(header.values, index, 0),)
        for one in slices:
            (found if isinstance(one, Slice) else refused).append(one)  # type: ignore[arg-type]
    return found, refused


def moved(one: Slice, millimetres: float) -> Slice:
    """The slice further along its normal."""
    normal = normal_of(one)
    x, y, z = (value + millimetres * step for value, step in zip(one.position, normal, strict=True))
    return replace(one, position=(x, y, z))


def normal_of(one: Slice) -> Vector:
    """The unit vector that i, j and it turn as x, y, z do."""
    (a, b, c), (d, e, f) = one.along_row, one.along_column
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
    length = (x * x + y * y + z * z) ** 0.5
    return x / length, y / length, z / length
