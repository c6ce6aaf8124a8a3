"""What the values of each slice mean, asked of `values.py` as seldom as can be.

Theory. Hundreds of slices of a CT say the same of their values, and to ask a pydicom data set is dear. So classic
instances that say the same, byte for byte, share one answer: the elements that `values.py` looks at are compared as
they stand in the header. An SUV needs all headers (the earliest acquisition counts), frames of enhanced objects are
asked one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vesalius.imaging.multiframe_geometry import is_multiframe
from vesalius.imaging.slices import MODALITY, Slice
from vesalius.imaging.sources import SliceHeader
from vesalius.imaging.space import Finding
from vesalius.imaging.values import Meaning, Wish, plan

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Everything that may change the meaning of a value. Wishes that look further compare nothing and ask every slice.
TELLING = (
    0x00080008, 0x00080016, 0x00080060, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00280121,
    0x00281052, 0x00281053, 0x00281054, 0x00283000, 0x00409096, 0x00541001, 0x00541006, 0x30040002, 0x3004000E,
)  # fmt: skip
PLAIN = frozenset({Wish.STORED, Wish.NATURAL})


@dataclass(frozen=True, slots=True)
class Meanings:
    """The meaning of each slice of one volume."""

    unit: str
    label: str
    modality: str
    notes: tuple[Finding, ...]
    by_slice: dict[tuple[int, int], Meaning]  # index of the header, frame

    @classmethod
    def of(
        cls, headers: Sequence[SliceHeader], slices: Sequence[Slice], wish: Wish, mappings: Sequence[Dataset]
    ) -> Meanings:
        """Of the slices of one volume. Raises `NoValue`."""
        used = sorted({one.index for one in slices})
        sample: dict[object, int] = {}  # what tells -> place among `asked`
        place: dict[int, int] = {}  # index of a header -> place among `asked`
        asked: list[int] = []
        shared = wish in PLAIN and not mappings
        for index in used:
            key = _telling(headers[index]) if shared else index
            if key not in sample:
                sample[key] = len(asked)
                asked.append(index)
            place[index] = sample[key]
        found = plan([headers[index].dataset for index in asked], wish, mappings)
        many = {index: is_multiframe(headers[index]) for index in used}
        known: dict[tuple[int, int], Meaning] = {}
        by_slice: dict[tuple[int, int], Meaning] = {}
        for one in slices:
            key2 = (place[one.index], one.frame if many[one.index] else 0)
            if key2 not in known:
                known[key2] = found.meaning(*key2)
            by_slice[one.index, one.frame] = known[key2]
        modality = headers[used[0]].header.text(MODALITY) or ""
        return cls(found.unit, found.label, modality, found.notes, by_slice)

    def __getitem__(self, one: Slice) -> Meaning:
        return self.by_slice[one.index, one.frame]


def _telling(each: SliceHeader) -> object:
    if is_multiframe(each):
        return each.sop_instance
    header = each.header
    return each.floating, header.mode, *(header.raw(tag) for tag in TELLING)
