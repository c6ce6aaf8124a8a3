"""What a data set says about how one of its frames is to be shown (PS3.3 C.7.6.3, C.11.1, C.11.2, C.7.6.16).

Attributes of the image come from the data set itself, or, in an enhanced object, from the functional groups: those of
the frame before those that all frames share. What is missing or nonsense is None and never an error: a picture
without its window is better than none.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from vesalius.model.coercion import decimal_of, integer_of
from vesalius.model.elements import Header
from vesalius.model.encodings import Mode
from vesalius.model.entities import Values
from vesalius.model.errors import VesaliusError
from vesalius.model.rendering import Window, WindowFunction

SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
FRAME_VOI, VALUE_TRANSFORMATION, PIXEL_MEASURES = 0x00289132, 0x00289145, 0x00289110

SAMPLES, PHOTOMETRIC, PLANAR, ROWS, COLUMNS = 0x00280002, 0x00280004, 0x00280006, 0x00280010, 0x00280011
ALLOCATED, STORED, HIGH_BIT, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
CENTER, WIDTH, INTERCEPT, SLOPE, FUNCTION = 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056
MODALITY_LUTS, VOI_LUTS, LUT_DESCRIPTOR, LUT_DATA = 0x00283000, 0x00283010, 0x00283002, 0x00283006
PADDING, PADDING_LIMIT = 0x00280120, 0x00280121
ICC_PROFILE, OPTICAL_PATHS = 0x00282000, 0x00480105
PIXEL_PRESENTATION, FULL_FRACTION = 0x00089205, 0x0062000E
SPACING, IMAGER_SPACING, ASPECT_RATIO = 0x00280030, 0x00181164, 0x00280034
PALETTE_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
PALETTE_DATA = (0x00281201, 0x00281202, 0x00281203)
PALETTE_SEGMENTS = (0x00281221, 0x00281222, 0x00281223)

# A palette has at most 65,536 entries of 16 bits; a segmented one that says more is cut.
MOST_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table: entries for the values from `first` on; below and above, the first and the last."""

    first: int
    bits: int  # of an entry
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """How the cells of one frame lie and what they mean."""

    rows: int
    columns: int
    samples: int = 1
    allocated: int = 16  # bits
    stored: int = 16  # bits
    high_bit: int = 15
    signed: bool = False
    floating: bool = False
    photometric: str = "MONOCHROME2"
    planar: int = 0
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    window: Window | None = None
    voi_lut: Lut | None = None
    padding: tuple[int, int] | None = None  # the lowest and the highest stored value that is no image
    palette: tuple[Lut, Lut, Lut] | None = None
    supplemental: bool = False  # the palette is for the values that it maps, the others are grey (C.7.6.19)
    full: int | None = None  # the stored value of a segmentation that means all of the pixel (C.8.20.2.3)
    aspect: float = 1.0  # height of a pixel, its width being 1
    icc: bytes | None = None  # the ICC profile of a colour image


class ImageHeader:
    """The header of an image with its functional groups, decoded once for all frames."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._shared: Values = next(iter(items_of(header, SHARED_GROUPS)), {})
        self._frames = items_of(header, FRAME_GROUPS)

    @property
    def frames(self) -> int:
        """How many frames have functional groups of their own."""
        return len(self._frames)

    def says(self, tag: int) -> bool:
        """Whether an element or functional group is said of any frame."""
        return tag in self.header or any(tag in groups for groups in (self._shared, *self._frames))

    def shared(self, tag: int) -> Values:
        """What a functional group says of all frames."""
        return _group((self._shared,), tag)

    def describe(self, index: int) -> Description:
        """Frame `index`, from 0."""
        header = self.header
        groups = (self._frames[index] if index < len(self._frames) else {}, self._shared)
        stored = _integer(header, STORED, _integer(header, ALLOCATED, 16))
        signed = _integer(header, SIGNED, 0) == 1
        first = Description(
            rows=_integer(header, ROWS, 0),
            columns=_integer(header, COLUMNS, 0),
            samples=_integer(header, SAMPLES, 1),
            allocated=_integer(header, ALLOCATED, 16),
            stored=stored,
            high_bit=_integer(header, HIGH_BIT, stored - 1),
            signed=signed,
            photometric=header.text(PHOTOMETRIC) or "",
            planar=_integer(header, PLANAR, 0),
            padding=_padding(header, stored, signed),
            supplemental=header.text(PIXEL_PRESENTATION) in ("COLOR", "MIXED"),
            full=_integer(header, FULL_FRACTION, 0) or None,
            aspect=_aspect(header, groups),
        )
        transformation = _group(groups, VALUE_TRANSFORMATION)
        voi = _group(groups, FRAME_VOI)
        plain = _numbers_of(header, (SLOPE, INTERCEPT))
        slope = number(transformation, SLOPE, plain.get(SLOPE))
        return replace(
            first,
            slope=1.0 if slope is None or slope == 0 else slope,
            intercept=number(transformation, INTERCEPT, plain.get(INTERCEPT)) or 0.0,
            modality_lut=lut_of_item(next(iter(items_of(header, MODALITY_LUTS)), {}), signed=signed),
            window=window_of(voi) or window_of(_text_values(header, (CENTER, WIDTH, FUNCTION))),
            voi_lut=lut_of_item(next(iter(items_of(header, VOI_LUTS)), {}), signed=signed),
            palette=palette_of(header) if first.samples == 1 else None,
            icc=self._icc(),
        )

    def _icc(self) -> bytes | None:
        """The profile of the image (PS3.3 C.11.15), or of its optical path (C.8.12.5); the first of several."""
        own = self.header.raw(ICC_PROFILE)
        if own:
            return own
        for path in items_of(self.header, OPTICAL_PATHS):
            text = next(iter(strings(path, ICC_PROFILE)), "")
            if text and (found := _base64(text)):
                return found
        return None


def items_of(header: Header, tag: int) -> tuple[Values, ...]:
    """The items of a sequence; () where it is absent or cannot be read."""
    try:
        return header.items(tag)
    except VesaliusError:
        return ()


def strings(values: Mapping[int, object], tag: int) -> tuple[str, ...]:
    """The values of an element of a decoded item as strings; () for a sequence or none."""
    found = cast("Sequence[object]", values.get(tag, ()))
    return tuple(value for value in found if isinstance(value, str))


def number(values: Mapping[int, object], tag: int, default: float | None = None) -> float | None:
    """The first value of an element as a finite number."""
    text = next(iter(strings(values, tag)), None)
    found = decimal_of(text) if text is not None else None
    return default if found is None else found


def numbers(values: Mapping[int, object], tag: int) -> tuple[float, ...]:
    """Every value of an element as a number; () if one of them is none."""
    found = [decimal_of(text) for text in strings(values, tag)]
    return () if any(value is None for value in found) else tuple(value for value in found if value is not None)


def window_of(values: Mapping[int, object]) -> Window | None:
    """The first window of the VOI LUT module (PS3.3 C.11.2); None where there is none that can be applied."""
    center, width = number(values, CENTER), number(values, WIDTH)
    name = next(iter(strings(values, FUNCTION)), "LINEAR").replace("_", "-").lower()
    function = next((each for each in WindowFunction if each.value == name), WindowFunction.LINEAR)
    if center is None or width is None or width <= 0 or (width < 1 and function is WindowFunction.LINEAR):
        return None
    return Window(center, width, function)


def lut_of_item(item: Mapping[int, object], *, signed: bool) -> Lut | None:
    """The table of an item with LUT Descriptor and LUT Data (PS3.3 C.11.1.1, C.11.2.1.1)."""
    described = numbers(item, LUT_DESCRIPTOR)
    if len(described) != 3:
        return None
    data = strings(item, LUT_DATA)
    raw = _base64(data[0]) if len(data) == 1 and not data[0].lstrip("-").isdecimal() else None
    if raw is None:
        raw = b"".join(struct.pack("<H", int(text) & 0xFFFF) for text in data if text.lstrip("-").isdecimal())
    return _lut(tuple(map(int, described)), raw, signed=signed)


def _lut(described: tuple[int, ...], raw: bytes, *, signed: bool) -> Lut | None:
    count, first, bits = described
    count = (count & 0xFFFF) or MOST_ENTRIES
    first = first - 0x10000 if signed and first > 0x7FFF else first
    if not 1 <= bits <= 16 or not raw:
        return None
    # Entries of 8 bits may be packed two to a word (PS3.3 C.7.6.3.1.6): the length tells.
    if bits <= 8 and len(raw) < 2 * count:
        entries = tuple(raw[:count])
    else:
        entries = struct.unpack_from(f"<{len(raw) // 2}H", raw)[:count]
    return Lut(first, bits, entries) if entries else None


def palette_of(header: Header) -> tuple[Lut, Lut, Lut] | None:
    """Red, green and blue of a palette (PS3.3 C.7.9), expanded where it is segmented."""
    return _palette(header.values, header.raw, header.mode)


def palette_of_item(item: Mapping[int, object], mode: Mode) -> tuple[Lut, Lut, Lut] | None:
    """The same of an item of a sequence; None also where a table is not as long as it says, or the three differ."""
    found = _palette(partial(strings, item), partial(_raw_of_item, item), mode)
    if found is None:
        return None
    said = [numbers(item, tag)[:2] for tag in PALETTE_DESCRIPTORS]
    whole = len(set(said)) == 1 and all(len(lut.entries) == (int(said[0][0]) & 0xFFFF or MOST_ENTRIES) for lut in found)
    return found if whole else None


def _palette(
    values: Callable[[int], Sequence[str]], raw_of: Callable[[int], bytes | None], mode: Mode
) -> tuple[Lut, Lut, Lut] | None:
    luts = []
    for descriptor, data, segments in zip(PALETTE_DESCRIPTORS, PALETTE_DATA, PALETTE_SEGMENTS, strict=True):
        described = [int(text) for text in values(descriptor) if text.lstrip("-").isdecimal()]
        raw = raw_of(data)
        if len(described) != 3:
            return None
        if raw is None and (packed := raw_of(segments)) is not None:
            raw = _expanded(_words(mode, packed), described[2])
        elif raw is not None:
            raw = _words(mode, raw)
        lut = _lut(tuple(described), raw or b"", signed=False)
        if lut is None:
            return None
        luts.append(lut)
    return luts[0], luts[1], luts[2]


def _raw_of_item(item: Mapping[int, object], tag: int) -> bytes | None:
    """The bytes of a binary value of a decoded item."""
    found = strings(item, tag)
    return _base64(found[0]) if len(found) == 1 else None


def _words(mode: Mode, raw: bytes) -> bytes:
    """OW data as little endian words."""
    if mode is not Mode.EXPLICIT_BE:
        return raw
    return b"".join(raw[at + 1 : at + 2] + raw[at : at + 1] for at in range(0, len(raw) - 1, 2))


def _expanded(raw: bytes, bits: int) -> bytes:
    """A segmented palette written out (PS3.3 C.7.9.2); words in, words (or bytes, as `bits` says) out."""
    width = 1 if bits <= 8 else 2
    words: tuple[int, ...] = tuple(raw) if width == 1 else struct.unpack_from(f"<{len(raw) // 2}H", raw)
    out: list[int] = []
    _segments(words, 0, len(words), width, out, 0)
    cut = out[:MOST_ENTRIES]
    return bytes(value & 0xFF for value in cut) if width == 1 else struct.pack(f"<{len(cut)}H", *cut)


def _segments(words: tuple[int, ...], at: int, end: int, width: int, out: list[int], most: int) -> None:
    """Segments from `at` on, at most `most` of them (0: to the end)."""
    done = 0
    while at + 1 < end and (not most or done < most) and len(out) < MOST_ENTRIES:
        kind, length = words[at], words[at + 1]
        at += 2
        done += 1
        if kind == 0:
            out.extend(words[at : at + length])
            at += length
        elif kind == 1 and at < end:
            goal, start = words[at], out[-1] if out else 0
            out.extend(start + (goal - start) * step // max(length, 1) for step in range(1, length + 1))
            at += 1
        elif kind == 2 and at + (4 // width) <= end and not most:
            parts = words[at : at + 4 // width]
            offset = sum(part << (8 * width * place) for place, part in enumerate(parts))
            at += 4 // width
            _segments(words, offset // width, end, width, out, length)
        else:
            return


def _group(groups: Sequence[Mapping[int, object]], tag: int) -> Values:
    """The first item of a functional group: the frame's own before the shared one."""
    for group in groups:
        items = cast("Sequence[object]", group.get(tag, ()))
        if items and isinstance(items[0], dict):
            return cast("Values", items[0])
    return {}


def _text_values(header: Header, tags: Sequence[int]) -> Values:
    return {tag: header.values(tag) for tag in tags}


def _numbers_of(header: Header, tags: Sequence[int]) -> dict[int, float | None]:
    return {tag: decimal_of(next(iter(header.values(tag)), "")) for tag in tags}


def _aspect(header: Header, groups: Sequence[Mapping[int, object]]) -> float:
    """Height of a pixel by its width; 1 where nothing says otherwise or what is said makes no sense."""
    measures = _group(groups, PIXEL_MEASURES)
    for values in (measures, _text_values(header, (SPACING,)), {SPACING: header.values(IMAGER_SPACING)},
                   {SPACING: header.values(ASPECT_RATIO)}):  # fmt: skip
        pair = numbers(values, SPACING)
        if len(pair) == 2 and pair[0] > 0 and pair[1] > 0 and 0.1 <= pair[0] / pair[1] <= 10:
            return pair[0] / pair[1]
    return 1.0


def _padding(header: Header, stored: int, signed: bool) -> tuple[int, int] | None:
    if PADDING not in header:
        return None
    value = _integer(header, PADDING, 0)
    limit = _integer(header, PADDING_LIMIT, value)
    if signed:
        value, limit = (each - (1 << 16) if each > 0x7FFF else each for each in (value, limit))
    return min(value, limit), max(value, limit)


def _integer(header: Header, tag: int, default: int) -> int:
    value = integer_of(header.text(tag) or "")
    return default if value is None else value


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
