"""What a data set says about its pixels, and where each frame begins in a run of fragments.

Theory. Sizes are computed in Python integers and compared with the cap before anything is allocated. Frames of
encapsulated pixel data are found in this order (PS3.5 A.4): one frame takes all fragments; as many fragments as frames
take one each; the offset tables, extended before basic; last, the start markers of the codestreams.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from vesalius.backends.pixels_dataset import PIXEL_DATA, Element, number_of
from vesalius.model.elements import Header
from vesalius.model.errors import CannotTranscode

SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC = 0x00280004
PLANAR_CONFIGURATION = 0x00280006
NUMBER_OF_FRAMES = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
BITS_ALLOCATED = 0x00280100
BITS_STORED = 0x00280101
PIXEL_REPRESENTATION = 0x00280103
EXTENDED_OFFSET_TABLE = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00002
ENCAPSULATED_TOTAL_LENGTH = 0x7FE00003
# Belong to encapsulated pixel data alone and leave with it (PS3.3 C.7.6.3).
ENCAPSULATED_ONLY = frozenset({EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS, ENCAPSULATED_TOTAL_LENGTH})

CODESTREAM_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS; JPEG 2000


@dataclass(slots=True)
class Layout:
    """The attributes of PS3.3 C.7.6.3 that tell how samples lie in memory."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int  # bits
    stored: int  # bits
    signed: bool
    photometric: str
    planar: int

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.rows * self.columns

    @property
    def frame_bits(self) -> int:
        """Bits of one frame without padding."""
        return self.pixels * self.samples * self.allocated

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame of whole-byte samples."""
        return (self.frame_bits + 7) // 8

    @property
    def total_bytes(self) -> int:
        """Bytes of all frames, uncompressed, before padding to an even number."""
        return (self.frame_bits * self.frames + 7) // 8


def find(elements: list[Element], tag: int) -> Element | None:
    """The first element with this tag."""
    return next((element for element in elements if element.tag == tag), None)


def text_of(elements: list[Element], tag: int) -> str:
    """The text of an element without padding; "" if it is missing."""
    element = find(elements, tag)
    return bytes(element.value).decode("ascii", "replace").strip(" \0") if element is not None else ""


def layout_of(elements: list[Element], *, little: bool, largest: int) -> Layout:
    """The layout of the pixels of one data set. Raises `CannotTranscode` if it makes no sense or is too large."""

    def number(tag: int, default: int | None = None) -> int:
        element = find(elements, tag)
        value = number_of(element, little=little) if element is not None else None
        if value is None:
            if default is None:
                raise CannotTranscode("an attribute that describes the pixels is missing", offending=(tag,))
            return default
        return value

    frames = text_of(elements, NUMBER_OF_FRAMES) or "1"
    if not frames.isdecimal() or int(frames) < 1:
        raise CannotTranscode("Number of Frames is not a count", offending=(NUMBER_OF_FRAMES,))
    return _layout(number, int(frames), text_of(elements, PHOTOMETRIC), largest)


def frame_layout(header: Header, *, floating: int, largest: int) -> Layout:
    """The layout of one frame alone; `floating`: bits of a floating point cell, 0 for integers.

    Raises `CannotTranscode` if it makes no sense or is too large.
    """

    def number(tag: int, default: int | None = None) -> int:
        if floating and tag in (BITS_ALLOCATED, BITS_STORED):
            return floating
        text = header.text(tag)
        if text and text.isascii() and text.isdecimal():
            return int(text)
        if default is None:
            raise CannotTranscode("an attribute that describes the pixels is missing or no number", offending=(tag,))
        return default

    return _layout(number, 1, header.text(PHOTOMETRIC) or "", largest)


def _layout(number: Callable[[int, int | None], int], frames: int, photometric: str, largest: int) -> Layout:
    allocated = number(BITS_ALLOCATED, None)
    layout = Layout(
        rows=number(ROWS, None),
        columns=number(COLUMNS, None),
        samples=number(SAMPLES_PER_PIXEL, 1),
        frames=frames,
        allocated=allocated,
        stored=number(BITS_STORED, allocated),
        signed=number(PIXEL_REPRESENTATION, 0) == 1,
        photometric=photometric,
        planar=number(PLANAR_CONFIGURATION, 0),
    )
    if layout.allocated not in (1, 8, 16, 32, 64) or not 1 <= layout.stored <= layout.allocated:
        raise CannotTranscode("bits allocated or stored make no sense", offending=(BITS_ALLOCATED,))
    if not layout.pixels or layout.samples not in (1, 3, 4) or layout.planar not in (0, 1):
        raise CannotTranscode("the size of the image makes no sense", offending=(ROWS, COLUMNS))
    if layout.total_bytes > largest:
        raise CannotTranscode("the uncompressed pixels would pass the limit")
    return layout


def split_frames(elements: list[Element], pixels: Element, frames: int, *, one_each: bool) -> list[bytes]:
    """The encoded bytes of every frame. `one_each`: the syntax allows only one fragment per frame (RLE)."""
    fragments = list(pixels.fragments or ())
    if not fragments:
        raise CannotTranscode("encapsulated pixel data holds no offset table item", offending=(PIXEL_DATA,))
    table, fragments = fragments[0], fragments[1:]
    if len(fragments) == frames:
        return [bytes(fragment) for fragment in fragments]
    if len(fragments) < frames or one_each:
        raise CannotTranscode("there are not as many fragments as frames", offending=(PIXEL_DATA,))
    if frames == 1:
        return [b"".join(fragments)]
    starts = [0]
    for fragment in fragments:
        starts.append(starts[-1] + 8 + len(fragment))
    first = _table(elements, table, frames)
    if first is None or not set(first) < set(starts):
        first = [at for at, fragment in zip(starts, fragments, strict=False) if _begins(fragment)]
    if len(first) != frames or first[0] != 0:
        raise CannotTranscode("the frames cannot be told apart", offending=(PIXEL_DATA,))
    number_at = {at: number for number, at in enumerate(starts)}
    bounds = [number_at[at] for at in first] + [len(fragments)]
    return [b"".join(fragments[low:high]) for low, high in pairwise(bounds)]


def _begins(fragment: memoryview) -> bool:
    return any(fragment[: len(start)] == start for start in CODESTREAM_STARTS)


def _table(elements: list[Element], basic: memoryview, frames: int) -> list[int] | None:
    extended = find(elements, EXTENDED_OFFSET_TABLE)
    if extended is not None and len(extended.value) == 8 * frames:
        offsets = list(struct.unpack(f"<{frames}Q", extended.value))
    elif len(basic) == 4 * frames:
        offsets = list(struct.unpack(f"<{frames}I", basic))
    else:
        return None
    return offsets if offsets == sorted(set(offsets)) else None
