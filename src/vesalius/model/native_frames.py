"""Where the frames of native Pixel Data lie (PS3.5 8.1.1, PS3.3 C.7.6.3): plain arithmetic on the attributes.

Frames follow each other without padding, so a frame of one-bit pixels may begin inside a byte. Sizes are Python
integers and compared with the bytes that are there before anything is read: a description that does not fit its
pixels (bad-input rows S5, S6) is an error in words, never a read past the end.
"""

from __future__ import annotations

from array import array
from dataclasses import replace

from vesalius.model.elements_header import Header
from vesalius.model.entities import NativeFrames, PixelLayout
from vesalius.model.errors import CannotTranscode
from vesalius.standard.transfer_syntaxes import GE_PRIVATE_BE_PIXELS, lookup

SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, BITS = (
    0x00280002,
    0x00280004,
    0x00280008,
    0x00280010,
    0x00280011,
    0x00280100,
)
FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00008, 0x7FE00009

_WORDS = {2: "H", 4: "I", 8: "Q"}


def native_frames(header: Header, pixels: PixelLayout) -> NativeFrames:
    """The frames of native Pixel Data. Raises `CannotTranscode` where description and bytes contradict each other."""
    rows, columns = _number(header, ROWS), _number(header, COLUMNS)
    samples = _number(header, SAMPLES) if SAMPLES in header else 1
    count = frame_count(header)
    cell = {FLOAT_PIXELS: 32, DOUBLE_PIXELS: 64}.get(pixels.tag) or _number(header, BITS)
    bits = rows * columns * samples * cell
    if (header.text(PHOTOMETRIC) or "").startswith("YBR_FULL_422"):
        bits = bits * 2 // 3
    if not bits:
        raise CannotTranscode("the image has no pixels by its description", offending=(ROWS, COLUMNS))
    if pixels.length * 8 < bits * count:
        raise CannotTranscode("Pixel Data is shorter than Rows, Columns and Number of Frames say", offending=(FRAMES,))
    return NativeFrames(count, bits, cell)


def laid_out(header: Header) -> PixelLayout | None:
    """Where the pixels lie, with what native frames look like where the header says so properly: worked out once, at
    receipt. Where it does not, or cells have to be turned around, `native` stays None and whoever reads is told."""
    pixels = header.pixels
    if pixels is None or pixels.encapsulated or cells_are_big_endian(header.transfer_syntax):
        return pixels
    try:
        return replace(pixels, native=native_frames(header, pixels))
    except CannotTranscode:
        return pixels


def frame_count(header: Header) -> int:
    """Number of Frames, 1 where it is absent or empty. Raises `CannotTranscode` where it is no count."""
    text = header.text(FRAMES)
    if not text:
        return 1
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) < 1 << 31:
        raise CannotTranscode("Number of Frames is not a count", offending=(FRAMES,))
    return int(text)


def _number(header: Header, tag: int) -> int:
    text = header.text(tag)
    if not text or not text.isascii() or not text.isdecimal():
        raise CannotTranscode("an attribute that describes the pixels is missing or is no number", offending=(tag,))
    return int(text)


def cells_are_big_endian(transfer_syntax: str) -> bool:
    """Whether native cells are stored with the high byte first."""
    return transfer_syntax == GE_PRIVATE_BE_PIXELS or not lookup(transfer_syntax).little_endian


def little_endian(data: bytes, word: int) -> bytes:
    """Big endian words of so many bytes as little endian ones; what is left at the end stays."""
    code = _WORDS.get(word)
    if code is None:
        return data
    whole = len(data) // word * word
    words = array(code, data[:whole])
    words.byteswap()
    return words.tobytes() + data[whole:]


def from_bit(data: bytes, skip: int, bits: int) -> bytes:
    """`bits` bits of packed one-bit pixels from bit `skip` on, moved to the beginning of a byte."""
    if skip:
        data = (int.from_bytes(data, "little") >> skip).to_bytes(len(data), "little")
    size = (bits + 7) // 8
    if bits % 8:
        return data[: size - 1] + bytes((data[size - 1] & (1 << bits % 8) - 1,))
    return data[:size]
