"""Encapsulated Pixel Data on its way through: only the places of its fragments are noted (PS3.5 A.4)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from vesalius.model.element_values import decode_value
from vesalius.model.encodings import ITEM, SEQUENCE_END, UNDEFINED
from vesalius.model.entities import PixelLayout
from vesalius.model.errors import CannotUnderstand
from vesalius.model.frames import Fragments, begins_codestream, index_frames
from vesalius.standard.dictionary import describe

_EXTENDED_TABLE = 0x7FE00001
_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = 0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280100
_PHOTOMETRIC = 0x00280004

_ITEM_LE = struct.Struct("<HHI").unpack_from


@dataclass(slots=True)
class Pixels:
    """The items of one encapsulated Pixel Data element; every encapsulated syntax is little endian."""

    tag: int
    offset: int  # of the value, absolute
    table_limit: int  # a longer Basic Offset Table is passed over
    fragments: Fragments = field(default_factory=Fragments)
    end: int = 0  # of the value, absolute, once done
    done: bool = False
    table_seen: bool = False
    table_dropped: bool = False

    def walk(self, buffer: bytes, pos: int, end: int, base: int) -> int:
        """Go on from `pos`; the position reached, which may lie beyond `end`."""
        fragments = self.fragments
        while pos + 8 <= end:
            group, element, length = _ITEM_LE(buffer, pos)
            tag = group << 16 | element
            if tag == SEQUENCE_END:
                self.done = True
                self.end = base + pos
                return pos + 8
            if tag != ITEM or length == UNDEFINED:
                raise CannotUnderstand(
                    f"{describe(self.tag)} holds {describe(tag)} in place of a fragment", offending=(self.tag, tag)
                )
            if not self.table_seen:
                if length > self.table_limit:
                    self.table_dropped = True
                elif pos + 8 + length > end:
                    return pos
                else:
                    fragments.basic_table = buffer[pos + 8 : pos + 8 + length]
                self.table_seen = True
                fragments.first_item = base + pos + 8 + length
            else:
                first = min(length, 4)
                if pos + 8 + first > end:
                    return pos
                fragments.starts.append(base + pos)
                fragments.lengths.append(length)
                fragments.codestreams.append(begins_codestream(buffer[pos + 8 : pos + 8 + first]))
            pos += 8 + length
        return pos

    def frames(self, elements: Mapping[int, tuple[str, bytes]]) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
        """(offset, length) of each frame, and what was wrong."""
        table = elements.get(_EXTENDED_TABLE, ("OV", b""))[1]
        found = index_frames(self.fragments, _integer(elements, _FRAMES, True), table)
        dropped = ("the Basic Offset Table is too long to use",) if self.table_dropped else ()
        return found.frames, (*dropped, *found.problems)


def _integer(elements: Mapping[int, tuple[str, bytes]], tag: int, little_endian: bool) -> int | None:
    """The first value of an integer element, whatever its VR; None if there is none that makes sense."""
    found = elements.get(tag)
    if found is None:
        return None
    values = decode_value(*found, little_endian)
    try:
        number = int(values[0]) if values else -1
    except ValueError:
        return None
    return number if number >= 0 else None


def native_problem(elements: Mapping[int, tuple[str, bytes]], little_endian: bool, layout: PixelLayout) -> str:
    """Why a native Pixel Data cannot be what its description says (PS3.3 C.7.6.3); "" if it can (row S5)."""
    numbers = [_integer(elements, tag, little_endian) for tag in (_ROWS, _COLUMNS, _BITS)]
    rows, columns, bits = numbers
    if rows is None or columns is None or bits is None:
        return "Rows, Columns or Bits Allocated cannot be read"
    frames = _integer(elements, _FRAMES, little_endian) if _FRAMES in elements else 1
    samples = _integer(elements, _SAMPLES, little_endian) if _SAMPLES in elements else 1
    if frames is None or samples is None:
        return "Number of Frames or Samples per Pixel cannot be read"
    total = rows * columns * samples * frames * bits
    if elements.get(_PHOTOMETRIC, ("CS", b""))[1].startswith(b"YBR_FULL_422"):
        total = total * 2 // 3
    if layout.length * 8 < total:
        return "Pixel Data is shorter than Rows, Columns and Number of Frames say"
    return ""
