"""Where each frame of encapsulated Pixel Data lies (PS3.5 A.4), worked out once at receipt.

Ways, in order of trust: the Extended Offset Table, the Basic Offset Table, one fragment per frame, one frame in
all, and fragments that begin a codestream. A table is believed only if every entry is where a fragment begins;
a table that lies is noted and the next way is tried, so a bad one costs nothing but a note (bad-input row S7).
Positions are absolute: from the first byte of the data set.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

# First bytes of a JPEG or JPEG-LS codestream (SOI, next marker), and of a JPEG 2000 or HTJ2K one (SOC, SIZ).
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")


def begins_codestream(first: bytes) -> bool:
    """Whether a fragment's first four bytes begin a codestream."""
    return first.startswith(_STARTS)


@dataclass(slots=True)
class Fragments:
    """The items of encapsulated Pixel Data, Basic Offset Table aside."""

    starts: array[int] = field(default_factory=lambda: array("Q"))  # of each item's header
    lengths: array[int] = field(default_factory=lambda: array("Q"))  # of each item's value
    codestreams: bytearray = field(default_factory=bytearray)  # 1 where the fragment begins a codestream
    first_item: int = 0  # where the items after the Basic Offset Table begin: the tables count from here
    basic_table: bytes = b""

    def end(self, index: int) -> int:
        """The first byte after a fragment."""
        return self.starts[index] + 8 + self.lengths[index]


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """(offset, length) of each frame, item headers included, and what was wrong on the way there."""

    frames: tuple[tuple[int, int], ...]
    problems: tuple[str, ...] = ()


def index_frames(fragments: Fragments, frames: int | None, extended_table: bytes = b"") -> FrameIndex:
    """The frames of encapsulated Pixel Data; `frames` is Number of Frames, None where it cannot be read."""
    count = len(fragments.starts)
    problems: list[str] = []
    if count == 0:
        return FrameIndex((), ("no fragments",))
    if any(length == 0 for length in fragments.lengths):
        problems.append("an empty fragment")
    if any(length & 1 for length in fragments.lengths):
        problems.append("a fragment of odd length")
    heads: list[int] | None = None
    if extended_table:
        whole = extended_table[: len(extended_table) // 8 * 8]
        heads = _heads(fragments, struct.unpack(f"<{len(whole) // 8}Q", whole), frames)
        if heads is None:
            problems.append("the Extended Offset Table does not fit the fragments")
    if heads is None and fragments.basic_table:
        table = fragments.basic_table
        heads = _heads(fragments, struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4]), frames)
        if heads is None:
            problems.append("the Basic Offset Table does not fit the fragments")
    if heads is None:
        heads = _without_table(fragments, frames)
    if heads is None:
        problems.append("the frames cannot be told from the fragments")
        return FrameIndex((), tuple(problems))
    if frames is not None and len(heads) != frames:
        problems.append("Number of Frames differs from the frames found")
    ends = [fragments.end(head - 1) for head in heads[1:]] + [fragments.end(count - 1)]
    spans = tuple(
        [(fragments.starts[head], end - fragments.starts[head]) for head, end in zip(heads, ends, strict=True)]
    )
    return FrameIndex(spans, tuple(problems))


def _heads(fragments: Fragments, offsets: Sequence[int], frames: int | None) -> list[int] | None:
    """The first fragment of each frame by a table of offsets; None if the table is not to be believed."""
    count = len(fragments.starts)
    if not offsets or offsets[0] != 0 or len(offsets) > count:
        return None
    if frames is not None and len(offsets) != frames and count >= frames:
        return None
    base = fragments.first_item
    place = {start - base: index for index, start in enumerate(fragments.starts)}
    heads: list[int] = []
    for offset in offsets:
        index = place.get(offset)
        if index is None or (heads and index <= heads[-1]):
            return None
        heads.append(index)
    return heads


def _without_table(fragments: Fragments, frames: int | None) -> list[int] | None:
    """The first fragment of each frame where no table helps."""
    count = len(fragments.starts)
    wanted = 1 if frames is None else frames
    if wanted == count:
        return list(range(count))
    if wanted == 1:
        return [0]
    begins = [index for index in range(count) if fragments.codestreams[index]]
    if begins and begins[0] == 0 and len(begins) == wanted:
        return begins
    return None
